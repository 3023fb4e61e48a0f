"""NPZ and NPY files that claim more than they have, or that hold programs, are refused in words."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.core.command import predictions
from lamina.core.data import arrays

HEADER = "{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}"


def npy(shape: str, descr: str = "<f8", version: int = 1, body: bytes = b"\0" * 64) -> bytes:
    """An NPY file with any header."""
    text = HEADER.format(descr=descr, shape=shape).encode() + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + body


def npz(path: Path, pack: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", pack) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


FORGED = {
    "rows": npy("(10000000000000, 8)"),
    "as many as a number can say": npy("(9223372036854775807,)"),
    "more than a number can say": npy(f"({10**30}, 4)"),
    "a product that wraps": npy("(4294967296, 4294967296, 2)"),
    "one too many": npy("(9,)"),
    "fewer than none": npy("(-1,)"),
    "of no size": npy("(10000000000000,)", "|V0"),
    "version 2": npy("(10000000000000, 8)", version=2),
    "version 3": npy("(8,)", version=3),
    "version 9": npy("(8,)", version=9),
    "objects": npy("(1,)", "|O", body=pickle.dumps([1])),
    "nested": npy("(" * 900 + "8," + ")" * 900),
    "brackets": npy("(8,), 'x': " + "[" * 3000),
    "no shape": npy("8"),
    "words": npy("('a',)"),
    "no header": b"\x93NUMPY\x01\x00",
    "a header that is not there": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{",
}


@pytest.fixture(scope="module")
def model() -> lm.Sequential:
    return support.classifier().build(4)


@pytest.mark.parametrize("name", FORGED)
def test_forged_headers(name: str, tmp_path: Path, model: lm.Sequential) -> None:
    path = tmp_path / "a.npz"
    for pack in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        npz(path, pack, x=FORGED[name], y=npy("(8,)"))
        with pytest.raises(lm.BadInput, match="no NPZ file of plain arrays"):
            lm.datasets.load(path)
        with pytest.raises(lm.BadInput, match="no NPY or NPZ file of plain arrays"):
            predictions.predict(model, path)
    single = tmp_path / "a.npy"
    single.write_bytes(FORGED[name])
    with pytest.raises(lm.BadInput, match="no NPY or NPZ file of plain arrays"):
        predictions.predict(model, single)


def test_what_a_header_claims_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(FORGED["rows"])
    says = r"its header claims float64\[10000000000000, 8\], but 64 bytes follow it"
    with pytest.raises(lm.BadInput, match=says):
        arrays.read(tmp_path / "a.npy")


def test_archives_that_claim_more_than_they_can_hold(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=npy("(10000000000, 8)"), y=npy("(8,)"))
    data = path.read_bytes()
    size = len(npy("(10000000000, 8)"))
    at = data.index(b"PK\x01\x02")
    assert data[at + 24 : at + 28] == struct.pack("<I", size)
    path.write_bytes(data[: at + 24] + struct.pack("<I", 2**32 - 2) + data[at + 28 :])
    with pytest.raises(lm.BadInput, match=r"more than \d+ can hold"):
        arrays.read(path)


@pytest.mark.parametrize("pack", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_that_numpy_does_not_write(pack: int, tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", pack, x=npy("(8,)"))
    with pytest.raises(lm.BadInput, match="packed in another way"):
        arrays.read(path)


def test_members_that_are_no_arrays_are_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", b"no array")
        archive.writestr("y.npy", npy("(8,)"))
    found = arrays.read(path)
    assert list(found) == ["y"]
    with pytest.raises(lm.BadInput, match="has y: it needs x and y"):
        lm.datasets.load(path)


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def test_a_planted_pickle_does_not_run(tmp_path: Path, model: lm.Sequential) -> None:
    mark, path = tmp_path / "mark", tmp_path / "a.npz"
    boxed = np.array([Bomb(mark)], dtype=object)
    np.savez(path, x=boxed, y=boxed)
    raw = pickle.dumps(Bomb(mark))
    for _ in range(2):
        with pytest.raises(lm.BadInput):
            lm.datasets.load(path)
        with pytest.raises(lm.BadInput):
            predictions.predict(model, path)
        path.write_bytes(raw)  # a bare pickle, which NumPy's `load` knows too
    assert not mark.exists()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_all_that_numpy_writes_is_read(save: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wanted: dict[str, Any] = {
        "a": rng.standard_normal((3, 4)), "b": np.asfortranarray(rng.standard_normal((3, 4))),
        "c": np.arange(5, dtype=">i2"), "d": np.zeros((0, 7)), "e": np.float32(3.0),
        "f": np.array(["x", "yz"]), "g": np.array([True, False]), "h": np.zeros((2, 100_000)),
    }  # fmt: skip
    save(tmp_path / "a.npz", **wanted)
    found = arrays.read(tmp_path / "a.npz")
    assert isinstance(found, dict)
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == np.asarray(array).dtype
        np.save(tmp_path / "one.npy", array)
        np.testing.assert_array_equal(arrays.read(tmp_path / "one.npy"), array)
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.arange(6.0), version=(2, 0))
    (tmp_path / "two.npy").write_bytes(buffer.getvalue())
    np.testing.assert_array_equal(arrays.read(tmp_path / "two.npy"), np.arange(6.0))


# Formulas in predictions


FORMULAS = ("=1+1", "@cmd", "+A1", "-2+3")


@pytest.fixture
def named(tmp_path: Path) -> tuple[lm.Sequential, Path]:
    """A model of a table whose classes are formulas, and rows to predict for."""
    table = tmp_path / "table.csv"
    rows = [f"{i % 4},{FORMULAS[i % 4]}" for i in range(24)]
    table.write_text("size,=kind\n" + "\n".join(rows) + "\n")
    data = lm.datasets.load(table, task="classification")
    model = lm.Sequential(
        [lm.Standardize(), lm.Dense(4, "softmax")], "cross_entropy", lm.Adam(0.3), backend="numpy",
        seed=0,
    )  # fmt: skip
    model.encoding = data.encoding
    model.fit(data.x_train, data.y_train, epochs=60, batch_size=8, verbose=0)
    new = tmp_path / "new.csv"
    new.write_text("size\n0\n1\n2\n3\n")
    return model, new


def test_names_are_written_exactly_and_it_is_said(named: tuple[lm.Sequential, Path]) -> None:
    told: list[str] = []
    lines = predictions.predict(*named, say=told.append).splitlines()
    assert [line.split(",")[0] for line in lines] == ["=kind", *FORMULAS]
    assert len(told) == 1
    assert "--escape-formulas" in told[0]


def test_formulas_are_escaped_where_asked(named: tuple[lm.Sequential, Path]) -> None:
    told: list[str] = []
    lines = predictions.predict(*named, escape_formulas=True, say=told.append).splitlines()
    assert [line.split(",")[0] for line in lines] == ["'=kind", *("'" + f for f in FORMULAS)]
    assert lines[0].split(",")[1].startswith("p(")
    assert told == []


@pytest.mark.parametrize("word", ["-1", "+1.5", "-1e-3", "a=b", "", "x", "1-2"])
def test_what_is_no_formula(word: str) -> None:
    assert not predictions.as_formula(word)


@pytest.mark.parametrize("word", ["=", "=1+1", "-1-1", "+x", "@", "\t=1", "\r=1", "＝1"])
def test_what_is_a_formula(word: str) -> None:
    assert predictions.as_formula(word)


def test_a_class_without_a_name(named: tuple[lm.Sequential, Path]) -> None:
    from dataclasses import replace

    model, new = named
    assert model.encoding is not None
    model.encoding = replace(model.encoding, classes=("a",))
    with pytest.raises(lm.BadInput, match="tells 4 classes, but has names for 1"):
        predictions.predict(model, new)
