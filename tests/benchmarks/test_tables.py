"""The measurement on real tables: resumed where it ended, and told as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lamina.benchmarks import tables
from lamina.benchmarks.named_tables import NAMED, read, split
from lamina.benchmarks.whole_command import WholeCommand
from typer.testing import CliRunner


class Guess:
    """Says the same of every row."""

    def __init__(self, value: float) -> None:
        self.value = value

    def fit(self, X: Any, y: Any) -> None:
        self.classes_ = np.unique(y)

    def score(self, X: Any, y: Any) -> float:
        return self.value

    def predict_proba(self, X: Any) -> np.ndarray:
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


@pytest.fixture
def contest(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    pytest.importorskip("pandas")
    made: list[str] = []

    def guess(name: str, value: float) -> Any:
        def make(task: str, X: Any) -> Guess:
            made.append(name)
            return Guess(value)

        return make

    monkeypatch.setattr(
        tables, "CONTESTANTS", {"lamina": guess("lamina", 0.75), "boosting": guess("boosting", 0.5)}
    )
    return made


def run(*words: object) -> Any:
    return CliRunner().invoke(tables.app, [str(word) for word in words])


@pytest.mark.slow
def test_what_is_measured_is_not_measured_again(tmp_path: Path, contest: list[str]) -> None:
    file = tmp_path / "r.json"
    done = run(file, "--table", "iris", "--splits", 2)
    assert done.exit_code == 0, done.output
    assert contest == ["lamina", "boosting"] * 2
    assert "| iris | 0.7500 |" in done.stdout
    assert "above on 1 of 1 tables" in done.stdout
    rows = json.loads(file.read_text())["results"]
    assert set(rows) == {f"iris/{n}/{who}" for n in (0, 1) for who in ("lamina", "boosting")}
    assert {"score", "seconds", "log_loss"} <= set(rows["iris/0/lamina"])
    run(file, "--table", "iris", "--table", "wine", "--splits", 1)
    assert contest == ["lamina", "boosting"] * 3
    again = run(file, "--show")
    assert "| wine | 0.7500 |" in again.stdout
    assert len(contest) == 6


def test_parts_are_put_together_and_compared_where_both_were(
    tmp_path: Path, contest: list[str]
) -> None:
    ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.json"
    run(ours, "--table", "iris", "--splits", 2, "--contestant", "lamina", "--no-times")
    run(theirs, "--table", "iris", "--splits", 1, "--contestant", "boosting")
    found = json.loads(ours.read_text())
    assert all("seconds" not in row for row in found["results"].values())
    found["results"]["iris/1/lamina"]["score"] = 0.0  # which boosting was not measured on
    ours.write_text(json.dumps(found))
    done = run(ours, "--take", theirs, "--show")
    assert "| iris | 0.3750 | 0.5000 (of 1) | 0.0 |" in done.stdout
    assert "beside boosting (1 splits): above on 1 of 1 tables" in done.stdout
    assert "mean difference +0.2500\n" in done.stdout
    assert len(json.loads(ours.read_text())["results"]) == 3
    assert len(contest) == 3


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    done = run(tmp_path / "r.json", "--table", "irsi")
    assert done.exit_code == 2
    assert "did you mean 'iris'" in done.stderr


def test_there_are_twenty_four_tables_of_names_of_their_own() -> None:
    assert len({table.name for table in NAMED}) == len(NAMED) == 24


def test_a_fifth_of_the_rows_is_held_out() -> None:
    pytest.importorskip("pandas")
    (iris,) = (table for table in NAMED if table.name == "iris")
    X, y = read(iris)
    train, test = split(y, iris.task, 3)
    assert (len(train), len(test)) == (120, 30)
    assert not set(train) & set(test)
    assert y.iloc[test].value_counts().tolist() == [10, 10, 10]
    assert len(X) == 150


@pytest.mark.slow
@pytest.mark.parametrize("contestant", ["boosting", "perceptron"])
def test_the_others_take_words_and_missing_cells(contestant: str) -> None:
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = pandas.DataFrame({"a": rng.normal(size=60), "b": rng.choice(["u", "v", "w"], 60)})
    y = pandas.Series(np.where(X.a > 0, "p", "q"))
    X.loc[::7, "a"] = np.nan
    X.loc[::9, "b"] = None
    model = tables.CONTESTANTS[contestant]("classification", X)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert model.fit(X, y).score(X, y) > 0.8


@pytest.mark.long
@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_the_whole_command_is_measured_from_start_to_end(name: str) -> None:
    pytest.importorskip("pandas")
    table = next(one for one in NAMED if one.name == name)
    found = tables.measure(table, 0, "command")
    assert found["score"] > (0.9 if name == "iris" else 0.2)
    assert found["seconds"] > 0.1  # Python alone does not start in that


def test_the_command_that_fails_says_why() -> None:
    pandas = pytest.importorskip("pandas")
    y = pandas.Series(["a"], name="y")
    with pytest.raises(RuntimeError, match="--label y"):
        WholeCommand("classification").fit(pandas.DataFrame({"x": [1.0]}), y)
