"""Data sets to start with: arrays for training and testing, with names.

digits: Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak 1998, UCI Machine
    Learning Repository (doi 10.24432/C50P49), licence CC BY 4.0; the 1,797 images of 8 x 8 pixels
    of its test set. Embedded in the package.
planar: the flower of the course's section 3, from its formula.
moons, circles: two interleaved half moons, and a circle inside another.
fashion-mnist: Xiao, Rasul, Vollgraf 2017, 60,000 + 10,000 images of 28 x 28 pixels of clothes, MIT
    licence. Not embedded: from Debian's package dataset-fashion-mnist, or from a folder that the
    environment variable LAMINA_DATA_DIR names.
CSV and NPZ files and data frames: see `load`.
"""

from __future__ import annotations

import gzip
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ..kernels.errors import BadInput, unknown
from . import tables
from .layers import check_count, check_number
from .tables import Encoding, Table


@dataclass(frozen=True)
class Dataset:
    """Arrays for training and testing; unpacks into x_train, y_train, x_test, y_test.

    x: (n, features) floating. y: (n,) class numbers, or the targets of a regression (standardized
    when there is an encoding). feature_names, class_names: what they mean. task: "classification"
    or "regression", why: what it was decided from. encoding: how a table became these arrays.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    task: str = "classification"
    why: str = ""
    encoding: Encoding | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.x_train, self.y_train, self.x_test, self.y_test))

    def __repr__(self) -> str:
        rows, columns = self.x_train.shape
        classes = len(self.class_names)
        kind = f"{classes} classes" if self.task == "classification" else "regression"
        size = f"{rows} + {len(self.x_test)} rows, {columns} features, {kind}"
        return f"<{self.name}: {size}>"


def stratified_split(y: np.ndarray, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and testing, each class in its share, drawn by the seed."""
    rng = np.random.default_rng(seed)
    test: list[np.ndarray] = []
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        test.append(rows[: round(len(rows) * test_size)])
    held = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(y)), held), held


def flower(rows: int = 400, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The course's flower with two kinds of petals: (rows, 2) points, (rows,) labels 0 and 1.

    The course draws with NumPy's legacy generator, seed 1.
    """
    rng = np.random.RandomState(seed)
    each = rows // 2
    x, y = np.zeros((2 * each, 2)), np.zeros(2 * each, dtype=np.int64)
    for label in range(2):
        part = slice(each * label, each * (label + 1))
        angle = np.linspace(label * 3.12, (label + 1) * 3.12, each) + rng.randn(each) * 0.2
        radius = 4.0 * np.sin(4.0 * angle) + rng.randn(each) * 0.2
        x[part] = np.c_[radius * np.sin(angle), radius * np.cos(angle)]
        y[part] = label
    return x, y


def half_moons(rows: int = 400, seed: int = 1, noise: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Two half moons that reach into each other."""
    rng = np.random.default_rng(seed)
    each = rows // 2
    angle = np.linspace(0.0, np.pi, each)
    upper = np.c_[np.cos(angle), np.sin(angle)]
    lower = np.c_[1.0 - np.cos(angle), 0.5 - np.sin(angle)]
    points = np.r_[upper, lower] + rng.normal(scale=noise, size=(2 * each, 2))
    return points, np.repeat([0, 1], each)


def rings(rows: int = 400, seed: int = 1, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """A circle of radius 0.8 inside one of radius 1."""
    rng = np.random.default_rng(seed)
    each = rows // 2
    angle = np.linspace(0.0, 2.0 * np.pi, each, endpoint=False)
    circle = np.c_[np.cos(angle), np.sin(angle)]
    points = np.r_[circle, 0.8 * circle] + rng.normal(scale=noise, size=(2 * each, 2))
    return points, np.repeat([0, 1], each)


def _digits(test_size: float, seed: int) -> Dataset:
    with (
        resources.as_file(resources.files(__package__) / "digits.npz") as path,
        np.load(path) as file,
    ):
        x, y = file["x"].astype(np.float32) / 16.0, file["y"].astype(np.int64)
    train, test = stratified_split(y, test_size, seed)
    pixels = tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))
    classes = tuple(str(label) for label in range(10))
    return Dataset("digits", x[train], y[train], x[test], y[test], pixels, classes)


def _drawn(name: str, draw: Callable[..., tuple[np.ndarray, np.ndarray]]) -> Dataset:
    """Points of a formula for training, and as many new ones for testing."""
    return Dataset(name, *draw(seed=1), *draw(seed=1001), ("x1", "x2"), ("0", "1"))


NAMES = ("digits", "planar", "moons", "circles", "fashion-mnist")
TASKS = ("classification", "regression")
FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
)  # fmt: skip


def _idx(path: Path) -> np.ndarray:
    """A gzipped IDX file of bytes (LeCun's format: magic number, sizes, data)."""
    try:
        with gzip.open(path) as file:
            data = file.read()
        if data[:3] != b"\x00\x00\x08":
            raise ValueError("its magic number is wrong")
        sizes = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
        return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * len(sizes)).reshape(sizes)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise BadInput(f"{path} is no IDX file, or is damaged: {error}") from None


def _fashion() -> Dataset:
    given = os.environ.get("LAMINA_DATA_DIR")
    folders = [Path(given), Path(given) / "fashion-mnist"] if given else []
    for folder in (*folders, FASHION_FOLDER):
        if (folder / "train-images-idx3-ubyte.gz").is_file():
            break
    else:
        raise BadInput(
            "fashion-mnist is not here: apt-get install dataset-fashion-mnist, or put its four"
            " ...-ubyte.gz files into a folder and name it in LAMINA_DATA_DIR"
        )
    arrays: list[np.ndarray] = []
    for part in ("train", "t10k"):
        images = _idx(folder / f"{part}-images-idx3-ubyte.gz")
        labels = _idx(folder / f"{part}-labels-idx1-ubyte.gz")
        arrays += [images.reshape(len(images), -1) / np.float32(255.0), labels.astype(np.int64)]
    pixels = tuple(f"pixel_{row}_{column}" for row in range(28) for column in range(28))
    x_train, y_train, x_test, y_test = arrays
    return Dataset("fashion-mnist", x_train, y_train, x_test, y_test, pixels, FASHION_CLASSES)


def random_split(count: int, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and testing, drawn by the seed."""
    order = np.random.default_rng(seed).permutation(count)
    held = min(max(round(count * test_size), 1), count - 1)
    return np.sort(order[held:]), np.sort(order[:held])


def _parts(y: np.ndarray, task: str, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The split for a task. Raises: BadInput when one of the parts would be empty."""
    if len(y) < 2:
        raise BadInput("one row is too few to train and to test on")
    split = stratified_split(y, test_size, seed) if task == TASKS[0] else None
    if split is None or not len(split[1]):  # every class too small for its share
        split = random_split(len(y), test_size, seed)
    return split


def _table(
    table: Table, label: str | None, task: str, impute: bool, test_size: float, seed: int
) -> Dataset:
    name = table.columns[-1] if label is None else label
    words = table.words(name)
    why = "asked for"
    if task == "auto":
        task, why = tables.decide_task(words)
    names = np.array([tables.class_name(word) for word in words])
    train, test = _parts(names, task, test_size, seed)
    encoding = tables.learn(table, train, name, task, impute)
    x, y = encoding.x(table), encoding.y(table)
    return Dataset(
        table.name, x[train], y[train], x[test], y[test], encoding.features, encoding.classes,
        task, why, encoding,
    )  # fmt: skip


def _npz(path: Path, task: str, test_size: float, seed: int) -> Dataset:
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(f"{path} is no NPZ file of plain arrays: {error}") from None
    if {"x_train", "y_train", "x_test", "y_test"} <= set(arrays):
        parts: list[np.ndarray] = [
            arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")
        ]
    elif {"x", "y"} <= set(arrays):
        x, y = arrays["x"], arrays["y"]
        if x.ndim < 2 or len(x) != len(y):
            raise BadInput(f"{path.name}: x must have rows of features, and y one target for each")
        parts = []
    else:
        raise BadInput(
            f"{path.name} has {', '.join(arrays) or 'nothing'}: it needs x and y, or x_train,"
            " y_train, x_test and y_test"
        )
    y = parts[1] if parts else y
    if y.ndim == 2 and y.shape[1] == 1:
        y = y.reshape(-1)
    why = "asked for"
    if y.ndim > 1 or y.dtype.kind not in "biuf":
        raise BadInput(f"{path.name}: y must be numbers, one for each row")
    if task == "auto":
        task, why = tables.decide_task([str(float(v)) for v in y[:100_000]])
    if not parts:
        train, test = _parts(y, task, test_size, seed)
        parts = [x[train], y[train], x[test], y[test]]
    parts[1], parts[3] = parts[1].reshape(-1), parts[3].reshape(-1)
    features = tuple(f"x{i}" for i in range(math.prod(parts[0].shape[1:])))
    classes: tuple[str, ...] = ()
    if task == TASKS[0]:
        values = parts[1]
        if values.min() < 0 or (values != np.floor(values)).any():
            raise BadInput(f"{path.name}: class numbers must be whole and from 0")
        if len(np.unique(values)) < 2:
            raise BadInput(f"{path.name}: y has one class only: there is nothing to learn")
        classes = tuple(str(i) for i in range(int(values.max()) + 1))
        parts[1], parts[3] = (p.astype(np.int64) for p in (parts[1], parts[3]))
    x_train, y_train, x_test, y_test = parts
    return Dataset(path.name, x_train, y_train, x_test, y_test, features, classes, task, why)


def load(
    source: Any,
    test_size: float = 0.2,
    seed: int = 0,
    label: str | None = None,
    task: str = "auto",
    impute: bool = False,
) -> Dataset:
    """A data set by name, from a file, or from a data frame.

    source: "digits", "planar", "moons", "circles", "fashion-mnist"; the path of a CSV with a
        header; the path of an NPZ with x and y, or with x_train, y_train, x_test, y_test; a data
        frame.
    test_size, seed: the share of rows held out for testing, each class in its share, and the seed
        that draws them; formulas draw new points for testing instead.
    label: a table's label column, the last one if none is named. task: "classification",
        "regression", or "auto": words and at most 20 different whole numbers are classes.
    impute: fill missing cells with the column's mean or its most frequent word.
    Raises: UnknownName with the nearest spelling; BadInput.

    >>> load("planar")
    <planar: 400 + 400 rows, 2 features, 2 classes>
    """
    check_number("datasets.load: test_size", test_size, 0.0, 1.0, open_high=True)
    if test_size == 0:
        raise BadInput("datasets.load: test_size must be above 0")
    check_count("datasets.load: seed", seed, least=0)
    if task not in (*TASKS, "auto"):
        raise unknown("task", task, (*TASKS, "auto"))
    if hasattr(source, "columns") and hasattr(source, "__getitem__"):
        return _table(tables.from_frame(source), label, task, impute, test_size, seed)
    name = os.fspath(source)
    if Path(name).suffix.lower() in (".csv", ".tsv", ".txt") or Path(name).is_file():
        if Path(name).suffix.lower() == ".npz":
            return _npz(Path(name), task, test_size, seed)
        return _table(tables.read_csv(name), label, task, impute, test_size, seed)
    if Path(name).suffix.lower() == ".npz":
        raise BadInput(f"there is no file {name!r}")
    formulas = {"planar": flower, "moons": half_moons, "circles": rings}
    if name == "digits":
        return _digits(test_size, seed)
    if name in formulas:
        return _drawn(name, formulas[name])
    if name == "fashion-mnist":
        return _fashion()
    if Path(name).exists():
        raise BadInput(f"{name!r} is a folder, not a file")
    raise unknown("data set", name, NAMES)
