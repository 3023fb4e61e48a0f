"""`lamina bench estimators`: the answers are compared before anything is timed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from lamina.__main__ import app
from lamina.benchmarks import estimators
from typer.testing import CliRunner

sklearn = pytest.importorskip("sklearn.datasets")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = sklearn.make_classification(120, 5, random_state=0)
    monkeypatch.setattr(estimators, "_rows", lambda: rows)
    table = estimators.table
    monkeypatch.setitem(estimators.CASES, "table", lambda on: replace(table(on), rounds=2))


@pytest.mark.slow
def test_figures_of_both(tmp_path: Path) -> None:
    file = tmp_path / "fits.json"
    done = CliRunner().invoke(
        app, ["bench", "estimators", "table", "--backend", "numpy", "--json", str(file)]
    )
    assert done.exit_code == 0, done.output
    (row,) = json.loads(file.read_text())["rows"]
    assert len(row["seconds"]["lamina"]) == len(row["seconds"]["scikit-learn"]) == 2
    assert "200 epochs, weights" in row["case"]
    assert "lamina" in done.output


@pytest.mark.slow
def test_other_answers_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators, "SAME_WEIGHTS", -1.0)
    done = CliRunner().invoke(app, ["bench", "estimators", "table", "--backend", "numpy"])
    assert done.exit_code != 0
    assert "apart after 200 epochs" in done.output


def test_an_unknown_case_is_named() -> None:
    done = CliRunner().invoke(app, ["bench", "estimators", "tabel"])
    assert done.exit_code != 0
    assert "unknown case 'tabel'" in done.output
