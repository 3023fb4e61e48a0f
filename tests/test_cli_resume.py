"""The command line's `--save`, `--resume`, `--overwrite`, `--test-size 0` and `--version`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.__main__ import app
from lamina.core.command import jobs, predictions, results
from lamina.core.command.settings import Settings, option, words
from typer.testing import CliRunner

BEGUN = ["--recipe", "simple", "--hidden", "8", "--epochs", "2", "--backend", "numpy"]


def run(*given: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in given])


def table(path: Path, rows: int = 120, seed: int = 0) -> Path:
    points = np.random.default_rng(seed).normal(size=(rows, 2)).round(3)
    lines = [f"{a},{b},{'yes' if a > 0 else 'no'}\n" for a, b in points]
    path.write_text("a,b,y\n" + "".join(lines))
    return path


def begun(folder: Path) -> tuple[Path, Path]:
    """A table, and the file of a model that was trained on it."""
    data, model = table(folder / "t.csv"), folder / "m.safetensors"
    done = run("train", data, "--save", model, *BEGUN)
    assert done.exit_code == 0, done.output
    return data, model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--hidden", "64,64"], "--hidden 8, not --hidden 64,64"),
        (["--dtype", "float64"], "--dtype float32, not --dtype float64"),
        (["--seed", "7"], "--seed 0, not --seed 7"),
        (["--test-size", "0.5"], "--test-size 0.2, not --test-size 0.5"),
        (["--test-size", "0"], "--test-size 0.2, not --test-size 0"),
        (["--activation", "tanh"], "--activation relu, not --activation tanh"),
        (["--dropout", "0.5"], "--dropout 0.0, not --dropout 0.5"),
        (["--label", "b"], "--label y, not --label b"),
        (["--task", "regression"], "--task classification, not --task regression"),
        (["--strict"], "no --strict, not --strict"),
        (["--drop", "b"], "no --drop, not --drop b"),
        (["--no-header"], "no --no-header, not --no-header"),
        (["--decimal", ","], "no --decimal, not --decimal ,"),
    ],
)
def test_resume_refuses_what_contradicts_the_file(
    tmp_path: Path, given: list[str], told: str
) -> None:
    data, model = begun(tmp_path)
    before = model.read_bytes()
    done = run("train", data, "--save", model, "--resume", "--epochs", "3", *given)
    assert done.exit_code == 2
    assert told in done.stderr
    assert f"Leave {given[0]} away" in done.stderr
    assert model.read_bytes() == before


@pytest.mark.slow
def test_resume_says_what_it_takes_from_the_file_and_reports_what_was_used(tmp_path: Path) -> None:
    data, model = begun(tmp_path)
    done = run("train", "--save", model, "--resume", "--epochs", "5", "--label", "y")
    assert done.exit_code == 0, done.output
    assert "2 epochs done, 3 to go" in done.stdout
    assert "--test-size 0.2 --hidden 8 --activation relu" in " ".join(done.stdout.split())
    assert "epoch 3/5" in done.stdout
    assert "epoch 5/5" in done.stdout
    assert "epoch 1/" not in done.stdout
    again = run("train", data, "--save", model, "--resume", "--epochs", "5", "--json")
    report = json.loads(again.stdout)
    assert report["epochs_before"] == 5
    assert report["history"] == {}
    assert report["settings"]["hidden"] == [8]
    assert report["settings"]["backend"] == "numpy"
    over = run("train", data, "--save", model, "--resume")
    assert "0 to go" in over.stdout
    assert "counts from the beginning" in over.stdout


@pytest.mark.slow
def test_resume_takes_another_rate_and_other_batches(tmp_path: Path) -> None:
    data, model = begun(tmp_path)
    given = ["--learning-rate", "0.5", "--batch-size", "16", "--epochs", "4", "--json"]
    report = json.loads(run("train", data, "--save", model, "--resume", *given).stdout)
    assert report["settings"]["learning_rate"] == 0.5
    assert report["settings"]["batch_size"] == 16
    found = lm.load(model, backend="numpy")
    assert found.optimizer.learning_rate == 0.5
    assert found.state.step == 2 * 3 + 2 * 6
    report = json.loads(run("train", "--save", model, "--resume", "--epochs", "5", "--json").stdout)
    assert report["settings"]["learning_rate"] == 0.5
    assert report["settings"]["batch_size"] == 16


@pytest.mark.slow
def test_resume_keeps_the_rows_that_were_held_out(tmp_path: Path) -> None:
    data, model = tmp_path / "t.csv", tmp_path / "m.safetensors"
    table(data)
    run("train", data, "--save", model, "--seed", "7", "--test-size", "0.5", *BEGUN)
    seen = {tuple(row) for row in lm.datasets.load(data, 0.5, seed=7).x_train}
    told: list[int] = []

    def watch(model: lm.Sequential, found: lm.datasets.Dataset) -> dict[str, float]:
        told.append(sum(tuple(row) in seen for row in found.x_test))
        told.append(len(found.x_test))
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "tested", watch)
        done = run("train", data, "--save", model, "--resume", "--epochs", "3")
    assert done.exit_code == 0, done.output
    assert told == [0, 60]


@pytest.mark.slow
@pytest.mark.parametrize("change", ["more rows", "another order", "another value"])
def test_resume_refuses_other_rows(tmp_path: Path, change: str) -> None:
    data, model = begun(tmp_path)
    head, *rows = data.read_text().splitlines()
    if change == "more rows":
        rows += rows[:10]
    elif change == "another order":
        rows.reverse()
    else:
        rows[5] = "0.125," + rows[5].split(",", 1)[1]
    data.write_text("\n".join([head, *rows]))
    done = run("train", data, "--save", model, "--resume", "--epochs", "3")
    assert done.exit_code == 2
    assert "was trained on other rows than t.csv has now" in done.stderr


def test_resume_of_a_model_that_python_saved(tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    data = lm.datasets.load("moons")
    model = lm.Sequential([lm.Dense(1, "sigmoid")], "binary_cross_entropy", backend="numpy")
    model.fit(data.x_train, data.y_train, verbose=0)
    model.save(file)
    done = run("train", "moons", "--save", file, "--resume")
    assert done.exit_code == 2
    assert "was not written by lamina train" in done.stderr
    model.origin = {"settings": {"hidden": 3}, "rows": ""}
    model.save(file)
    done = run("train", "moons", "--save", file, "--resume")
    assert done.exit_code == 1
    assert "does not say how it was trained" in done.stderr


@pytest.mark.slow
def test_no_file_is_lost(tmp_path: Path) -> None:
    data, model = begun(tmp_path)
    before = model.read_bytes()
    done = run("train", data, "--save", model, *BEGUN)
    assert done.exit_code == 2
    assert "is there already" in done.stderr
    assert model.read_bytes() == before
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    assert run("train", data, "--save", other, *BEGUN).exit_code == 2
    assert other.read_text() == "mine"
    both = run("train", data, "--save", model, "--resume", "--overwrite")
    assert both.exit_code == 2
    assert "give one of them" in both.stderr
    for word in ("--resume", "--overwrite"):
        alone = run("train", data, word)
        assert alone.exit_code == 2
        assert "the file that --save names" in alone.stderr
    done = run("train", data, "--save", model, "--overwrite", *BEGUN, "--hidden", "4")
    assert done.exit_code == 0, done.output
    assert lm.load(model, backend="numpy").layers[1] == lm.Dense(4, "relu")


@pytest.mark.long
def test_training_on_every_row(tmp_path: Path) -> None:
    words, numbers, npz = table(tmp_path / "w.csv"), tmp_path / "n.csv", tmp_path / "a.npz"
    numbers.write_text("a,b\n" + "".join(f"{i},{i / 7}\n" for i in range(50)))
    np.savez(npz, x=np.arange(60.0).reshape(30, 2), y=np.arange(30) % 3)
    for data, rows in (("digits", 1797), (words, 120), (numbers, 50), (npz, 30)):
        done = run("train", data, "--test-size", "0", "--epochs", "1", "--backend", "numpy")
        assert done.exit_code == 0, done.output
        assert f"{rows} rows to train, 0 to test" in done.stdout
        assert "no rows were held out to test on" in done.stdout
        assert len(lm.datasets.load(data, test_size=0).y_train) == rows
    report = run("train", words, "--test-size", "0", *BEGUN, "--json")
    assert json.loads(report.stdout)["test"] == {}


def test_version() -> None:
    done = run("--version")
    assert (done.exit_code, done.stdout) == (0, f"lamina {lm.__version__}\n")


@pytest.mark.parametrize(
    ("wanted", "given", "score"),
    [
        ([0, 0], [0, 0], 1.0),  # scikit-learn's values
        ([3, 3, 3], [3, 3, 3], 1.0),
        ([3, 3, 3], [3, 3, 4], 0.0),
        ([1, 2, 3], [1, 2, 3], 1.0),
        ([1, 2, 3], [2, 2, 2], 0.0),
        ([1, 2, 3], [3, 2, 1], -3.0),
        ([5], [5], float("nan")),
    ],
)
def test_r2_is_scikit_learns(wanted: list[float], given: list[float], score: float) -> None:
    found = results.r2_score(np.array(wanted, float), np.array(given, float))
    np.testing.assert_equal(found, score)


@pytest.mark.parametrize("p", [0.5, np.nextafter(np.float32(0.5), np.float32(0)), 0.75, 0.25])
def test_one_rule_for_the_class(tmp_path: Path, p: float) -> None:
    model = lm.Sequential(
        [lm.Dense(1, "sigmoid")], "binary_cross_entropy", metrics=("accuracy",), backend="numpy",
        dtype="float64",
    ).build(1)  # fmt: skip
    x = np.zeros((1, 1))
    model.set_weights([np.zeros((1, 1)), np.array([np.log(p / (1 - p))])])
    np.save(tmp_path / "x.npy", x)
    number = int(model.predict_classes(x)[0])
    assert number == int(model.predict(x)[0, 0] >= 0.5)
    assert predictions.predict(model, tmp_path / "x.npy").splitlines()[1][0] == str(number)
    assert model.evaluate(x, [number])["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--test-size", "1"], "--test-size must be a number in [0, 1)"),
        (["--dropout", "1"], "--dropout must be a number in [0, 1)"),
        (["--learning-rate", "nan"], "--learning-rate must be a number"),
        (["--seed", "-1"], "--seed must be a whole number"),
        (["--seed", str(2**63)], "--seed must be below 2**63"),
        (["--learning-rate", "1e30"], "Give a lower --learning-rate"),
        (["--log", "x.txt"], "--log writes .csv or .jsonl"),
        (["--label", "y"], "--label and options for tables are for a table"),
    ],
)
def test_messages_in_the_words_of_the_shell(
    given: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("train", "moons", "--backend", "numpy", "--epochs", "30", *given)
    assert done.exit_code in (1, 2)
    assert told in done.stderr
    assert not any(name in done.stderr for name in ("test_size", "learning_rate", "clip_norm"))


@pytest.mark.slow
def test_advice_about_tables_in_the_words_of_the_shell(tmp_path: Path) -> None:
    data, model = tmp_path / "d.csv", tmp_path / "m.safetensors"
    for text, given, told in (
        ("a,y\n,u\n1,v\n2,u\n3,v\n", ["--strict"], "or train without --strict"),
        ("a,y\n1,u\n2,v\n3,w\n", [], "choose another --label or --task"),
        ("a,y\n1,u\n2,v\n3,u\n", ["--task", "regression"], "use --task classification"),
        ("a,y\n1e300,u\n2,v\n3,u\n4,v\n", [], "use --dtype float64"),
    ):
        data.write_text(text)
        plain = ["--recipe", "simple", "--backend", "numpy", "--test-size", "0.25"]
        done = run("train", data, *plain, *given)
        assert told in done.stderr, done.output
    data.write_text("a,y\n" + "p,u\nq,v\n" * 9)
    run("train", data, "--save", model, *BEGUN)
    data.write_text("a\nr\n")
    done = run("predict", model, data, "--strict", "--backend", "numpy")
    assert "it knows p, q (without --strict it counts as none of them)" in done.stderr


def loss_of_ones_own(y: Any, p: Any) -> Any:
    return (y - p) ** 2


def test_a_model_with_parts_of_ones_own_is_for_python(tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    model = lm.Sequential([lm.Dense(1)], loss_of_ones_own, backend="numpy").build(1)
    with pytest.warns(UserWarning, match="custom"):
        model.save(file)
    done = run("predict", file, "x.npy", "--backend", "numpy")
    assert done.exit_code == 1
    assert "it can be used from Python alone" in done.stderr


def test_settings_as_they_are_typed() -> None:
    assert option("batch_size") == "--batch-size"
    told = Settings(hidden=(), impute=False, header=False, learning_rate=1e-5)
    assert words(told, ("hidden", "impute", "header", "types", "learning_rate")) == (
        '--hidden "" --strict --no-header --learning-rate 1e-05'
    )
    assert Settings.from_json({"settings": told.to_json(), "backend": "numpy"}).hidden == ()
