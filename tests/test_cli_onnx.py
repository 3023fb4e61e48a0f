"""The command line and ONNX files: `lamina export`, and `lamina predict` of what it wrote."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import lamina as lm
import numpy as np
import pytest
from lamina.__main__ import app
from lamina.core.command import predictions
from support import GOLDEN, classifier
from typer.testing import CliRunner

pytest.importorskip("onnx")


def run(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.output


def flowers(path: Path) -> Path:
    """A table of numbers and words; kinds are told by both."""
    rng = np.random.default_rng(0)
    lines = ["size,colour,when,kind"]
    for i in range(60):
        k = i % 3
        colour = ("red", "blue", "green")[int(rng.integers(3)) if i % 4 else k]
        lines.append(f"{rng.normal(k):.3f},{colour},{1.7e9 + rng.normal(k):.2f},{'abc'[k]}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.long
@pytest.mark.parametrize("recipe", ["simple", "tabular"])
def test_a_table_s_model_predicts_the_same_from_its_onnx_file(recipe: str, tmp_path: Path) -> None:
    table, saved, made = (
        flowers(tmp_path / "f.csv"),
        tmp_path / "f.safetensors",
        tmp_path / "f.onnx",
    )
    run(
        "train",
        table,
        "--label",
        "kind",
        "--save",
        saved,
        "--epochs",
        3,
        "--backend",
        "numpy",
        "--recipe",
        recipe,
    )
    told = run("export", saved, made)
    assert "takes the columns of its table" in told
    first = run("predict", saved, table, "--backend", "numpy")
    assert run("predict", made, table, "--backend", "numpy") == first
    assert next(csv.reader(io.StringIO(first))) == ["kind", "p(a)", "p(b)", "p(c)"]
    assert "is there already: replace it with --overwrite" in run("export", saved, made, code=2)
    run("export", saved, made, "--overwrite")
    new = tmp_path / "new.csv"
    new.write_text("size,colour,when\n1,mauve,1.7e9\n")
    assert "training never saw" in run("predict", made, new, "--strict", code=2)
    lines = run("predict", made, new, "--backend", "numpy")
    assert "note: column 'colour' has 'mauve' in 1 row, which training never saw" in lines
    assert lines == run("predict", saved, new, "--backend", "numpy")
    new.write_text("size;colour;when;more\n1,5;-;1,7e9;x\n")
    options = ("--missing", "-", "--decimal", ",", "--delimiter", ";", "--backend", "numpy")
    assert run("predict", made, new, *options) == run("predict", saved, new, *options)


@pytest.mark.slow
def test_a_model_of_arrays(tmp_path: Path) -> None:
    saved, made, rows = tmp_path / "m.safetensors", tmp_path / "m.onnx", tmp_path / "x.npy"
    classifier().build(4).save(saved)
    np.save(rows, np.random.default_rng(0).normal(size=(5, 4)))
    assert 'takes "x", rows of any number' in run("export", saved, made)
    first = run("predict", saved, rows, "--backend", "numpy")
    assert run("predict", made, rows, "--backend", "numpy") == first


def test_files_of_other_libraries(tmp_path: Path) -> None:
    rows = tmp_path / "x.npy"
    x = np.random.default_rng(0).normal(size=(5, 8)).astype("float32")
    np.save(rows, x)
    path = GOLDEN / "onnx" / "torch_dynamo_gated.onnx"
    done = CliRunner().invoke(app, ["predict", str(path), str(rows), "--backend", "numpy"])
    found = list(csv.reader(io.StringIO(done.stdout)))  # stderr may tell of compiled kernels
    assert found[0] == ["y0", "y1", "y2"]
    wanted = lm.load_onnx(path, "numpy").predict(x)
    np.testing.assert_allclose(np.array(found[1:], float), wanted, rtol=1e-6)


def test_columns_by_name(tmp_path: Path) -> None:
    table = tmp_path / "new.csv"
    table.write_text("width,size,colour\n3.5,5.1,red\n3.0,4.9,blue\n")
    model = predictions.opened(GOLDEN / "onnx" / "sklearn_columns.onnx", "numpy")
    lines = predictions.predict(model, table).splitlines()
    assert lines[0] == "y0,y1,y2"
    p = model.predict({"size": [[5.1], [4.9]], "width": [[3.5], [3.0]],
                       "colour": [["red"], ["blue"]]})  # fmt: skip
    np.testing.assert_allclose([[float(v) for v in line.split(",")] for line in lines[1:]], p)


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"words")
    told = run("predict", path, tmp_path / "x.npy", code=1)
    assert "is no ONNX model, or is damaged" in told
    told = run("export", tmp_path / "none.safetensors", path, "--overwrite", code=1)
    assert "there is no file" in told
