"""The command line, as a user would call it: output, JSON, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import lamina as lm
import numpy as np
import pytest
import support


def lamina(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    parent = str(Path(lm.__file__).parents[1])
    path = os.pathsep.join(filter(None, [parent, os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, "-m", "lamina", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **environment},
        timeout=support.PATIENCE,
        check=False,
    )


@pytest.mark.long
def test_train_prints_what_it_does(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    done = lamina(
        "train", "digits", "--hidden", "32", "--epochs", "30", "--dropout", "0",
        "--backend", "numpy", "--save", str(file),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "64 features, 10 classes" in done.stdout
    assert "backend  numpy" in done.stdout
    accuracy = float(done.stdout.split("test accuracy ")[1].split()[0])
    assert accuracy > 0.93
    data = lm.datasets.load("digits", seed=0)
    model = lm.load(file, backend="numpy")
    assert model.evaluate(data.x_test, data.y_test)["accuracy"] == pytest.approx(accuracy, abs=1e-4)


@pytest.mark.long
def test_train_json_is_one_object() -> None:
    words = ["train", "planar", "--hidden", "4", "--activation", "tanh", "--epochs", "3"]
    done = lamina(*words, "--backend", "numpy", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["backend"] == "numpy"
    assert len(report["history"]["loss"]) == 3
    assert set(report["test"]) == {"loss", "accuracy"}
    again = json.loads(lamina(*words, "--backend", "numpy", "--json").stdout)
    assert again["history"] == report["history"]


@pytest.mark.long
def test_train_with_a_loss_of_choice(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    rows = np.random.default_rng(0).normal(size=(40, 2))
    lines = [f"{a:.3f},{b:.3f},{a - 2 * b:.3f}" for a, b in rows]
    table.write_text("\n".join(["a,b,y", *lines]))
    words = ["train", str(table), "--hidden", "4", "--epochs", "2", "--backend", "numpy"]
    found = []
    for loss in ("auto", "huber", "mae"):
        file = tmp_path / f"{loss}.safetensors"
        done = lamina(*words, "--loss", loss, "--save", str(file))
        assert done.returncode == 0, done.stderr
        found.append(lm.load(file, backend="numpy").loss.name)
    assert found == ["mean_squared_error", "huber", "mean_absolute_error"]
    plain = [*words, "--recipe", "simple", "--save", str(tmp_path / "plain.safetensors")]
    assert lamina(*plain, "--loss", "huber").returncode == 0
    again = [*plain, "--resume", "--loss"]
    assert "begun with: --loss huber, not --loss mae" in lamina(*again, "mae").stderr
    assert lamina(*again, "huber").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["train", "digist"], 2, "did you mean 'digits'"),
        (["train", "--backend", "nunpy"], 2, "did you mean 'numpy'"),
        (["train", "--activation", "rleu"], 2, "did you mean 'relu'"),
        (["train", "--loss", "hubert"], 2, "did you mean 'huber'"),
        (["train", "moons", "--loss", "focal"], 2, "focal is not for two classes: use one of"),
        (["train", "--hidden", "12,x"], 2, "--hidden takes layer sizes"),
        (["train", "--learning-rate", "-1"], 2, "--learning-rate must be a number"),
        (["train", "--save", "/no/such/folder/m.safetensors"], 2, "there is no folder"),
        (["train", "moons", "--save", "."], 2, "is a folder: name a file in it"),
        (["train", "--log", "/no/such/folder/log.csv"], 2, "there is no folder"),
        (["train", "--task", "regresion"], 2, "did you mean 'regression'"),
        (["train", "--test-size", "2"], 2, "--test-size must be a number"),
        (["train", "--repeat", "x.json", "--epochs", "3"], 2, "leave --epochs away"),
        (["train", "moons", "--repeat", "x.json"], 2, "leave the data away"),
        (["train", "--repeat", "no-such.json"], 1, "no-such.json: No such file"),
        (["train", sys.executable], 2, "zero bytes"),
        (["predict", "no-such.safetensors", "x.csv"], 1, "there is no file"),
        (["predict", "m", "x.csv", "--output", "/no/such/folder/p.csv"], 2, "there is no folder"),
        (["devices", "--check", "nunpy"], 2, "did you mean 'numpy'"),
    ],
)
def test_wrong_words(words: list[str], code: int, says: str) -> None:
    done = lamina(*words)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.long
def test_devices_lists_all_four() -> None:
    found = json.loads(lamina("devices", "--json").stdout)
    names = [row["name"] for row in found]
    assert names[:4] == ["loops", "numpy", "numba", "cupy"]
    for row in found:
        assert row["device"] if row["available"] else (row["reason"] and row["fix"])
    plain = lamina("devices", "--probe").stdout
    assert all(name in plain for name in names)


@pytest.mark.long
def test_an_unavailable_backend_fails_honestly() -> None:
    if lm.get_backend("auto").name == "cupy":
        pytest.skip("this machine has a GPU")
    done = lamina("train", "--backend", "cuda")
    assert done.returncode == 1
    assert "cannot run here" in done.stderr
    assert "To mend it" in done.stderr


@pytest.mark.long
def test_the_environment_chooses_where_auto_stands() -> None:
    done = lamina("train", "planar", "--epochs", "1", "--json", LAMINA_BACKEND="numpy")
    report = json.loads(done.stdout)
    assert report["backend"] == "numpy"
    assert "LAMINA_BACKEND" in report["chosen_by"]
    wrong = lamina("train", "planar", "--epochs", "1", LAMINA_BACKEND="nunpy")
    assert wrong.returncode == 2
    assert "did you mean 'numpy'" in wrong.stderr


@pytest.mark.long
def test_devices_check_runs_the_table() -> None:
    done = lamina("devices", "--check", "numpy", "--json")
    report = json.loads(done.stdout)
    assert report["failures"] == {}
    assert report["passed"] >= 79
    assert done.returncode == 0


@pytest.mark.long
def test_a_table_from_file_to_prediction(tmp_path: Path) -> None:
    table, model, new = (tmp_path / name for name in ("t.csv", "m.safetensors", "n.csv"))
    rows = [f"{i % 7},{'ab'[i % 2]},{'yes' if i % 2 else 'no'}" for i in range(60)]
    table.write_text("size,group,answer\n" + "\n".join(rows))
    words = ["--hidden", "8", "--epochs", "150", "--dropout", "0", "--backend", "numpy"]
    done = lamina("train", str(table), *words, "--save", str(model))
    assert done.returncode == 0, done.stderr
    assert "classification of 'answer': the label holds words" in done.stdout
    assert "its two words, a and b" in " ".join(done.stdout.split())
    new.write_text("group,size\nb,3\na,4\n")
    told = lamina("predict", str(model), str(new), "--backend", "numpy")
    lines = told.stdout.splitlines()
    assert lines[0] == "answer,p(no),p(yes)"
    assert [line.split(",")[0] for line in lines[1:]] == ["yes", "no"]
    assert told.stderr == ""
    new.write_text("group,note,size\nz,hello,3\n")
    unseen = lamina("predict", str(model), str(new), "--strict", "--backend", "numpy")
    assert (unseen.returncode, unseen.stdout) == (2, "")
    assert "line 2, column 'group' is 'z', which training never saw: it knows a, b" in unseen.stderr
    taken = lamina("predict", str(model), str(new), "--backend", "numpy")
    assert len(taken.stdout.splitlines()) == 2
    assert "training had no such column: note" in taken.stderr
    assert "'z' in 1 row, which training never saw" in taken.stderr
    new.write_text("group,size\nb,3\na,4\n")
    output = tmp_path / "p.csv"
    written = lamina("predict", str(model), str(new), "--output", str(output))
    assert "2 rows written" in written.stdout
    assert len(output.read_text().splitlines()) == 3
    for arguments, says in (
        (["train", str(table), "--label", "answr"], "did you mean 'answer'"),
        (["train", str(tmp_path)], "is a folder"),
        (["predict", str(table), str(new)], "no safetensors file"),
        (["predict", str(model), str(table.with_name("no.csv"))], "there is no file"),
        (["predict", str(model), str(tmp_path)], "is a folder"),
        (
            ["predict", str(model), str(tmp_path / "x.npz")],
            "give a CSV with the columns size, group",
        ),
        (["train", "--repeat", str(table)], "is no JSON"),
        (["train", "--resume"], "--save names"),
    ):
        wrong = lamina(*arguments)
        assert wrong.returncode in (1, 2), arguments
        assert says in wrong.stderr, wrong.stderr
        assert "Traceback" not in wrong.stderr


@pytest.mark.long
def test_a_run_is_repeated_from_its_report(tmp_path: Path) -> None:
    report = tmp_path / "run.json"
    words = ["moons", "--hidden", "8", "--epochs", "3", "--seed", "4", "--backend", "numpy"]
    report.write_text(lamina("train", *words, "--json").stdout)
    again = json.loads(lamina("train", "--from-json", str(report), "--json").stdout)
    first = json.loads(report.read_text())
    assert again["history"] == first["history"]
    assert again["settings"] == first["settings"]


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_says_how_to_go_on(tmp_path: Path, default_interrupt: None) -> None:
    file, log = tmp_path / "m.safetensors", tmp_path / "log.csv"
    words = ["train", "moons", "--backend", "numpy", "--save", str(file), "--log", str(log)]
    parent = str(Path(lm.__file__).parents[1])
    child = subprocess.Popen(
        [sys.executable, "-m", "lamina", *words, "--epochs", "1000000"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": parent},
        text=True,
    )
    try:
        while not (log.exists() and log.stat().st_size > 100) and child.poll() is None:
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        _, told = child.communicate(timeout=support.PATIENCE)
    finally:
        child.kill()
        child.communicate()
    assert child.returncode == 130, told
    assert "go on from it with --resume" in told
    assert "Traceback" not in told
    epochs = lm.load(file, backend="numpy").state.epoch
    done = lamina(*words, "--epochs", str(epochs + 1), "--resume")
    assert done.returncode == 0, done.stderr
    assert f"{epochs} epochs done" in done.stdout


@pytest.mark.long
def test_a_regression_in_its_own_units(tmp_path: Path) -> None:
    table, model = tmp_path / "t.csv", tmp_path / "m.safetensors"
    rows = [f"{i % 31},{'ab'[i % 2]},{1000 * (i % 31) + 5000 * (i % 2) + 0.5}" for i in range(200)]
    rows[3] = ",a," + rows[3].split(",")[2]
    table.write_text("size,group,price\n" + "\n".join(rows))
    words = [str(table), "--hidden", "16", "--epochs", "150", "--dropout", "0", "--label", "price"]
    words += ["--test-size", "0.25", "--backend", "numpy"]
    refused = lamina("train", *words, "--strict")
    assert refused.returncode == 2
    assert "line 5, column 'size' is empty" in refused.stderr
    done = lamina("train", *words, "--save", str(model))
    assert done.returncode == 0, done.stderr
    assert "regression of 'price': the label holds numbers with fractions" in done.stdout
    assert "150 rows to train, 50 to test" in done.stdout
    error = float(done.stdout.split("mean absolute error ")[1].split()[0])
    assert 10 < error < 3000
    assert float(done.stdout.split("test R2 ")[1].split()[0]) > 0.9
    new = tmp_path / "n.csv"
    new.write_text("size,group\n10,a\n,b\n")
    header, first, second = lamina("predict", str(model), str(new)).stdout.splitlines()
    assert header == "price"
    assert float(first) == pytest.approx(10_000, abs=3000)
    assert float(second) == pytest.approx(12_000, abs=8000)  # as the one row without a size has


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "predict", "devices"])
def test_help_has_examples(command: str) -> None:
    done = lamina(command, "--help")
    assert done.returncode == 0
    assert f"lamina {command}" in done.stdout.split("Examples:")[1]
