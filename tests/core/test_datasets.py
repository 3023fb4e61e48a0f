"""The data sets: sizes, seeds, splits, spelling."""

from __future__ import annotations

import zipfile
from pathlib import Path

import lamina as lm
import numpy as np
import pytest


def test_digits() -> None:
    data = lm.datasets.load("digits")
    x_train, y_train, x_test, y_test = data
    assert len(x_train) + len(x_test) == 1797
    assert x_train.shape[1] == len(data.feature_names) == 64
    assert 0.0 <= x_train.min() <= x_train.max() == 1.0
    assert set(np.unique(y_train)) == set(np.unique(y_test)) == set(range(10))
    shares = [np.mean(y_test == label) - np.mean(y_train == label) for label in range(10)]
    assert np.abs(shares).max() < 0.005


def test_the_split_follows_the_seed() -> None:
    first, same, other = (lm.datasets.load("digits", seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(first.x_test, same.x_test)
    assert not np.array_equal(first.y_test, other.y_test)
    rows = {row.tobytes() for row in first.x_test} & {row.tobytes() for row in first.x_train}
    assert len(rows) <= 2  # the data hold few images twice


def test_planar_is_the_course_s() -> None:
    data = lm.datasets.load("planar")
    # the first point that the course's notebook draws with NumPy's legacy seed 1
    np.testing.assert_allclose(data.x_train[0], [1.20444229, 3.57611415], rtol=1e-8)
    assert data.y_train.tolist() == [0] * 200 + [1] * 200
    assert not np.array_equal(data.x_train, data.x_test)


@pytest.mark.parametrize("name", ["moons", "circles"])
def test_drawn(name: str) -> None:
    data = lm.datasets.load(name)
    assert data.x_train.shape == data.x_test.shape == (400, 2)
    assert np.bincount(data.y_train).tolist() == [200, 200]


def test_wrong_words() -> None:
    with pytest.raises(lm.UnknownName, match="did you mean 'digits'"):
        lm.datasets.load("digist")
    with pytest.raises(lm.BadInput, match="test_size"):
        lm.datasets.load("digits", test_size=1.5)
    for source in (None, 5, ["digits"]):
        with pytest.raises(lm.BadInput, match="a name, a path or a data frame"):
            lm.datasets.load(source)
    for source in ("a" * 5000, "a\0b"):
        with pytest.raises(lm.UnknownName, match="unknown data set"):
            lm.datasets.load(source)
    with pytest.raises(lm.BadInput, match="for a table with named columns"):
        lm.datasets.load("digits", label="pixel_0_0")
    with pytest.raises(lm.BadInput, match="no regression"):
        lm.datasets.load("digits", task="regression")


def test_a_name_wins_over_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "moons").write_text("a,b\n1,x\n")
    monkeypatch.chdir(tmp_path)
    assert lm.datasets.load("moons").x_train.shape == (400, 2)


def test_npz(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).standard_normal((40, 3)), np.arange(40) % 2
    np.savez(tmp_path / "a.npz", x=x, y=y)
    data = lm.datasets.load(tmp_path / "a.npz")
    assert (data.task, len(data.x_test), data.class_names) == ("classification", 8, ("0", "1"))
    np.savez(tmp_path / "b.npz", x_train=x, y_train=x[:, 0], x_test=x, y_test=x[:, 0])
    data = lm.datasets.load(tmp_path / "b.npz")
    assert (data.task, len(data.x_test)) == ("regression", 40)
    units = np.concatenate([data.encoding.units(y) for y in (data.y_train, data.y_test)])
    np.testing.assert_allclose(units, np.r_[x[:, 0], x[:, 0]])
    np.savez(tmp_path / "images.npz", x=x.reshape(-1, 3, 1), y=y)
    assert "3 features" in repr(lm.datasets.load(tmp_path / "images.npz"))


def test_bad_npz(tmp_path: Path) -> None:
    x, y = np.ones((40, 3)), np.arange(40) % 2
    hole = np.where(np.arange(40) == 3, np.nan, 0.5)
    path = tmp_path / "bad.npz"
    whole = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    for arrays, says in (
        ({"z": x}, "it needs x and y"),
        ({"x": np.array([{}], dtype=object), "y": y}, "no NPZ file"),
        ({"x": x, "y": hole}, "y has nan at row 3"),
        ({"x": x, "y": y[:9]}, "one target for each"),
        ({"x": np.float64(1), "y": np.float64(1)}, "rows of features"),
        ({"x": x, "y": y.astype(str)}, "y must be numbers"),
        ({"x": x, "y": y * 0}, "one class only"),
        ({"x": x, "y": y - 1}, "whole and from 0"),
        ({"x": x, "y": y * 10**9}, "number the classes from 0"),
        ({"x": x[:0], "y": y[:0]}, "no rows to train on"),
        ({**whole, "x_test": x[:0], "y_test": y[:0]}, "no rows to test on"),
        ({**whole, "x_test": x[:, :2]}, "rows of different shapes"),
        ({**whole, "y_test": y + 1}, "which y_train never has"),
        ({**whole, "y_test": y.astype(str)}, "y_test must be numbers"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(lm.BadInput, match=says):
            lm.datasets.load(path)
    np.savez(path, **whole)
    # the versions that the zip file's directory asks for
    path.write_bytes(path.read_bytes().replace(b"PK\x01\x02", b"PK\x01\x02\xeb\xeb\xeb\xeb"))
    with pytest.raises(lm.BadInput, match="no NPZ"):
        lm.datasets.load(path)
    path.write_bytes(b"PK\x03\x04 no")
    with pytest.raises(lm.BadInput, match="no NPZ"):
        lm.datasets.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00\x08\x00{'a': (\n" + bytes(64))
    with pytest.raises(lm.BadInput, match="no NPZ"):
        lm.datasets.load(path)
    with path.open("wb") as file:
        np.save(file, x)
    with pytest.raises(lm.BadInput, match="a single array, an NPY"):
        lm.datasets.load(path)


@pytest.mark.long
def test_fashion_mnist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LAMINA_DATA_DIR", raising=False)
    if not lm.datasets.FASHION_FOLDER.is_dir():
        with pytest.raises(lm.BadInput, match="apt-get install dataset-fashion-mnist"):
            lm.datasets.load("fashion-mnist")
        pytest.skip("the package dataset-fashion-mnist is not installed")
    data = lm.datasets.load("fashion-mnist")
    assert (data.x_train.shape, data.x_test.shape) == ((60_000, 784), (10_000, 784))
    assert np.bincount(data.y_test).tolist() == [1000] * 10
    assert data.class_names[9] == "Ankle boot"
    monkeypatch.setenv("LAMINA_DATA_DIR", str(tmp_path))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"no gzip")
    with pytest.raises(lm.BadInput, match="is no IDX file"):
        lm.datasets.load("fashion-mnist")
