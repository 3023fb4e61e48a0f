"""`lamina train` on tables, by the recipe for them, and its defaults for small networks."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.__main__ import app
from typer.testing import CliRunner

SMALL = ["--hidden", "8", "--epochs", "4", "--members", "2", "--backend", "numpy"]


def run(*given: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in given])


def table(path: Path, numbers: bool = False) -> Path:
    rng = np.random.default_rng(0)
    lines = ["a,b,y\n"]
    for a, b in rng.normal(size=(90, 2)).round(3):
        told = str(a - b) if numbers else ["no", "yes"][int(a > b)]
        lines.append(f"{a},{'' if b > 1.5 else b},{told}\n")
    path.write_text("".join(lines))
    return path


@pytest.mark.slow
def test_a_table_is_learned_by_its_recipe(tmp_path: Path) -> None:
    data, model = table(tmp_path / "t.csv"), tmp_path / "m.safetensors"
    done = run("train", data, *SMALL, "--members", 6, "--save", model)
    assert done.exit_code == 0, done.output
    assert "6 of 8-2, selu, float32" in done.stdout
    assert "learn from 83% of the rows each" in done.stdout
    found = lm.load(model, "numpy")
    assert [type(layer).__name__ for layer in found.layers] == [
        "RobustScale", "PiecewiseLinear", "Ensemble", "Activation",
    ]  # fmt: skip
    lines = run("predict", model, data, "--backend", "numpy").stdout.split()
    assert lines[0] == "y,p(no),p(yes)"
    assert len(lines) == 91


@pytest.mark.slow
def test_the_same_again_from_a_report(tmp_path: Path) -> None:
    data, report = table(tmp_path / "t.csv", numbers=True), tmp_path / "r.json"
    first = run("train", data, *SMALL, "--json")
    report.write_text(first.stdout)
    told = json.loads(first.stdout)
    assert told["settings"]["recipe"] == "tabular"
    assert (told["settings"]["members"], told["settings"]["epochs"]) == (2, 4)
    assert set(told["history"]) == {"loss", "val_loss"}
    again = json.loads(run("train", "--repeat", report, "--json").stdout)
    assert again["history"] == told["history"]
    assert again["test"] == told["test"]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["html", "txt"])
@pytest.mark.parametrize("recipe", ["tabular", "simple"])
def test_reports(tmp_path: Path, suffix: str, recipe: str) -> None:
    data, page = table(tmp_path / "t.csv"), tmp_path / f"r.{suffix}"
    small = (
        SMALL if recipe == "tabular" else [word for word in SMALL if word not in ("--members", "2")]
    )
    done = run("train", data, *small, "--recipe", recipe, "--report", page)
    assert done.exit_code == 0, done.output
    assert "a linear model" in done.stdout
    text = page.read_text()
    assert "a linear model" in text
    assert text.startswith("<!doctype html>") == (suffix == "html")


@pytest.mark.slow
def test_a_log_has_a_line_for_each_epoch_of_each_member(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    done = run("train", table(tmp_path / "t.csv"), *SMALL, "--log", log)
    assert done.exit_code == 0, done.output
    with log.open(newline="") as file:
        rows = [(row["member"], row["epoch"]) for row in csv.DictReader(file)]
    assert rows == [(str(m), str(e)) for m in (0, 1) for e in (1, 2, 3, 4)]


@pytest.mark.slow
def test_it_is_not_gone_on_with(tmp_path: Path) -> None:
    data, model = table(tmp_path / "t.csv"), tmp_path / "m.safetensors"
    run("train", data, *SMALL, "--save", model)
    before = model.read_bytes()
    done = run("train", data, *SMALL, "--save", model, "--resume")
    assert done.exit_code == 2
    assert "train with --recipe simple to go on later" in " ".join(done.stderr.split())
    assert model.read_bytes() == before


@pytest.mark.slow
def test_a_budget_of_time(tmp_path: Path) -> None:
    small = ["--hidden", "64,64", "--epochs", "100000", "--backend", "numpy"]
    done = run("train", table(tmp_path / "t.csv"), *small, "--time", "1")
    assert done.exit_code == 0, done.output
    assert "note     1 s are enough for" in done.stdout


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["planar", "--members", "3"], "--members is for --recipe tabular, and planar is no table"),
        (["planar", "--time", "3"], "--time is for --recipe tabular"),
        (["planar", "--recipe", "simple", "--members", "3"], "the simple one trains one network"),
        (["planar", "--recipe", "tabluar"], "did you mean 'tabular'"),
        (["planar", "--time", "0"], "--time must be above 0 seconds"),
        (["planar", "--report", "r.pdf"], "--report writes .html or .txt"),
        (["planar", "--report", "r.html", "--test-size", "0"], "--report needs rows held out"),
        (["planar", "--report", "/no/such/r.html"], "there is no folder"),
    ],
)
def test_what_no_table_can_have(
    tmp_path: Path, given: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("train", *given, "--backend", "numpy")
    assert done.exit_code == 2
    assert told in " ".join(done.stderr.split())


@pytest.mark.slow
def test_the_recipe_learns_arrays_too(tmp_path: Path) -> None:
    done = run("train", "moons", *SMALL, "--recipe", "tabular")
    assert done.exit_code == 0, done.output
    np.savez(tmp_path / "i.npz", x=np.zeros((9, 2, 2)), y=np.arange(9) % 2)
    images = run("train", tmp_path / "i.npz", *SMALL, "--recipe", "tabular")
    assert "i.npz has images" in images.stderr


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_small_network_has_defaults_of_its_own(seed: int) -> None:
    words = ["--hidden", "4", "--activation", "tanh", "--backend", "numba", "--seed", seed]
    found = json.loads(run("train", "planar", *words, "--json").stdout)
    assert found["test"]["accuracy"] >= 0.9
    assert found["settings"]["dropout"] == 0.0
    wide = run("train", "planar", "--epochs", "1", "--backend", "numpy", "--json")
    assert json.loads(wide.stdout)["settings"]["dropout"] == 0.2
