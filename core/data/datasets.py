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
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ...kernels.errors import BadInput, unknown
from ..checks import check_count, check_number
from . import arrays, tables, words
from .formulas import flower, half_moons, rings
from .tables import Encoding, Table


@dataclass(frozen=True)
class Dataset:
    """Arrays for training and testing; unpacks into x_train, y_train, x_test, y_test.

    name: of the data set. x_train, x_test: (n, features) floating. y_train, y_test: (n,) class
        numbers, or the targets of a regression (standardized when there is an encoding).
    feature_names, class_names: what the columns and the class numbers mean.
    task: "classification" or "regression", why: what it was decided from.
    encoding: how a file's contents became these arrays.
    notes: what the reader of a table should know.
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
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.x_train, self.y_train, self.x_test, self.y_test))

    def __repr__(self) -> str:
        rows, columns = len(self.x_train), math.prod(self.x_train.shape[1:])
        classes = len(self.class_names)
        kind = f"{classes} classes" if self.task == "classification" else "regression"
        size = f"{rows} + {len(self.x_test)} rows, {columns} features, {kind}"
        return f"<{self.name}: {size}>"


def stratified_split(y: np.ndarray, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and testing, each class in its share, drawn by the seed.

    y: (n,) labels. test_size: the share for testing. Of every class at least one row is for
    training.
    """
    rng = np.random.default_rng(seed)
    test: list[np.ndarray] = []
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        test.append(rows[: min(round(len(rows) * test_size), len(rows) - 1)])
    held = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(y)), held), held


def _digits(test_size: float, seed: int) -> Dataset:
    with (
        resources.as_file(resources.files(__package__) / "digits.npz") as path,
        np.load(path, allow_pickle=False) as file,
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
SUFFIXES = (".csv", ".tsv", ".txt", ".npz")
TASKS = ("classification", "regression")
MOST_CLASS_NUMBER = 65_535  # of an NPZ: beyond that y is no numbering of classes
MOST_IDX = 16 + 60_000 * 28 * 28  # bytes
FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
)  # fmt: skip


def _idx(path: Path) -> np.ndarray:
    """A gzipped IDX file of bytes (LeCun's format: magic number, sizes, data)."""
    try:
        with gzip.open(path) as file:
            data = file.read(MOST_IDX + 1)  # no more, however much was packed into it
        if len(data) > MOST_IDX:
            raise ValueError("it is larger than any of the data set")
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
    """Numbers of `count` rows for training and testing, drawn by the seed.

    test_size: the share for testing; of two rows and more, either part has one.
    """
    order = np.random.default_rng(seed).permutation(count)
    held = min(max(round(count * test_size), 1), count - 1)
    return np.sort(order[held:]), np.sort(order[:held])


def _parts(
    label: str, y: np.ndarray, task: str, test_size: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The split for a task. Raises: BadInput when one of the parts would be empty."""
    if not test_size:
        return np.arange(len(y)), np.arange(0)
    if len(y) < 2:
        raise BadInput("one row is too few to train and to test on")
    if task != TASKS[0]:
        return random_split(len(y), test_size, seed)
    train, test = stratified_split(y, test_size, seed)
    if not len(test):  # every class is too small for its share: a row of some of them
        classes, counts = np.unique(y, return_counts=True)
        rng = np.random.default_rng(seed)
        rows = [rng.choice(np.flatnonzero(y == one)) for one in classes[counts > 1]]
        if not rows:
            raise BadInput(
                f"the label {label!r} is different in every row: choose another label or task"
            )
        test = np.sort(rng.permutation(rows)[: max(round(len(y) * test_size), 1)])
        train = np.setdiff1d(np.arange(len(y)), test)
    return train, test


def _mixed(table: Table, name: str) -> str:
    """What to tell of a column that is mostly numbers, but not all; "" of any other."""
    cells = [(row, word) for row, word in enumerate(table.words(name)) if not words.missing(word)]
    odd = [(row, word) for row, word in cells if words.number(word) is None]
    if not odd or len(odd) * 2 > len(cells):
        return ""
    row, word = odd[0]
    return (
        f"column {name!r} has {len(cells) - len(odd)} numbers, but {table.unit}"
        f" {table.lines[row]} has {word!r}: all of it is taken for words"
    )


def _table(
    table: Table, label: str | None, task: str, impute: bool, test_size: float, seed: int,
    embed_from: int | None = None,
) -> Dataset:  # fmt: skip
    name = table.columns[-1] if label is None else label
    labels = table.words(name)
    if len(table.columns) == 1:
        raise BadInput(f"{table.name} has no column beside the label {name!r}")
    why = "asked for"
    if task == "auto":
        task, why = words.decide_task(labels)
    names = np.array([words.class_name(word) for word in labels])
    train, test = _parts(name, names, task, test_size, seed)
    encoding = tables.learn(table, train, name, task, impute, embed_from)
    # Seldom words may stand in the held-out rows alone, which is no fault of the table.
    x, y = encoding.features(table, allow_unseen=True), encoding.labels(table)
    notes = [note for column in encoding.columns if (note := _mixed(table, column.name))]
    held = table.taken(test)
    for column in encoding.columns:
        if unseen := column.unseen(held):
            notes.append(
                f"column {column.name!r}: {len(unseen)} of its words, such as {unseen[0]!r}, are in"
                " the rows held out alone, and count as none of the known"
            )
    return Dataset(
        table.name, x[train], y[train], x[test], y[test], encoding.feature_names,
        encoding.classes, task, why, encoding, tuple(notes),
    )  # fmt: skip


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an NPZ file. Raises: BadInput."""
    try:
        found = arrays.read(path)
        if isinstance(found, np.ndarray):
            raise BadInput("it is a single array, an NPY")
    except (OSError, BadInput) as error:
        raise BadInput(f"{path} is no NPZ file of plain arrays: {error}") from None
    return found


def _pair(file: str, names: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x, and y as (n,), checked against each other. Raises: BadInput."""
    if x.ndim < 2 or y.ndim < 1 or len(x) != len(y):
        raise BadInput(
            f"{file}: {names} must have rows of features, and one target for each, not shapes"
            f" {x.shape} and {y.shape}"
        )
    if y.size != len(y) or y.dtype.kind not in "biuf":
        raise BadInput(f"{file}: {names.split()[-1]} must be numbers, one for each row")
    y = y.reshape(-1)
    if not np.isfinite(y).all():
        row = int(np.argmin(np.isfinite(y)))
        raise BadInput(f"{file}: {names.split()[-1]} has {y[row]} at row {row}: remove the row")
    return x, y


def _npz(path: Path, task: str, test_size: float, seed: int) -> Dataset:
    found, name = _arrays(path), path.name
    parted = {"x_train", "y_train", "x_test", "y_test"} <= set(found)
    if parted:
        x, y = _pair(name, "x_train and y_train", found["x_train"], found["y_train"])
        x_test, y_test = _pair(name, "x_test and y_test", found["x_test"], found["y_test"])
    elif {"x", "y"} <= set(found):
        x, y = _pair(name, "x and y", found["x"], found["y"])
    else:
        raise BadInput(
            f"{name} has {', '.join(found) or 'nothing'}: it needs x and y, or x_train, y_train,"
            " x_test and y_test"
        )
    if not len(y) or (parted and test_size and not len(y_test)):
        raise BadInput(f"{name} has no rows to {'test' if len(y) else 'train'} on")
    if parted and x.shape[1:] != x_test.shape[1:]:
        raise BadInput(f"{name}: x_train and x_test have rows of different shapes")
    why = "asked for"
    if task == "auto":
        task, why = words.decide_task([str(float(v)) for v in np.unique(y)])
    if not parted:
        train, test = _parts("y", y, task, test_size, seed)
        x, y, x_test, y_test = x[train], y[train], x[test], y[test]
    classes: tuple[str, ...] = ()
    mean, scale = 0.0, 1.0
    if task == TASKS[0]:
        _check_class_numbers(name, np.concatenate([y, y_test]))
        if len(np.unique(y)) < 2:
            raise BadInput(f"{name}: y has one class only: there is nothing to learn")
        classes = tuple(str(i) for i in range(int(y.max()) + 1))
        y, y_test = y.astype(np.int64), y_test.astype(np.int64)
        if len(y_test) and y_test.max() >= len(classes):
            raise BadInput(f"{name}: y_test has class {y_test.max()}, which y_train never has")
    else:
        mean, scale = tables.standard("y", y.astype(np.float64))
        y, y_test = (y - mean) / scale, (y_test - mean) / scale
    encoding = Encoding((), "y", task, classes, mean, scale)
    features = tuple(f"x{i}" for i in range(math.prod(x.shape[1:])))
    return Dataset(name, x, y, x_test, y_test, features, classes, task, why, encoding)


def _check_class_numbers(file: str, y: np.ndarray) -> None:
    if y.min() < 0 or (y != np.floor(y)).any():
        raise BadInput(f"{file}: class numbers must be whole and from 0")
    if y.max() > MOST_CLASS_NUMBER:
        raise BadInput(f"{file}: y has class {y.max():g}: number the classes from 0 without gaps")


def load(
    source: Any,
    test_size: float = 0.2,
    seed: int = 0,
    label: str | None = None,
    task: str = "auto",
    impute: bool = False,
    embed_from: int | None = None,
) -> Dataset:
    """A data set by name, from a file, or from a data frame.

    source: "digits", "planar", "moons", "circles", "fashion-mnist"; the path of a CSV with a
        header; the path of an NPZ with x and y, or with x_train, y_train, x_test, y_test; a data
        frame. Targets of a regression are standardized (`encoding.units` turns them back).
    test_size, seed: the share of rows held out for testing, each class in its share, and the seed
        that draws them; with 0 all rows are for training. Formulas draw new points for testing
        instead, and sources that come in two parts keep theirs.
    label: a table's label column, the last one if none is named. task: "classification",
        "regression", or "auto": words and at most 20 different whole numbers are classes.
    impute: fill missing cells with the column's mean or its most frequent word.
    embed_from: how many words a table's column has, from which on it becomes one column of codes,
        for `lm.Embedding`; numbers then come first, codes last. None: one column for each word.
    Raises: UnknownName with the nearest spelling; BadInput.

    >>> load("planar")
    <planar: 400 + 400 rows, 2 features, 2 classes>
    """
    check_number("datasets.load: test_size", test_size, 0.0, 1.0, open_high=True)
    check_count("datasets.load: seed", seed, least=0)
    if task not in (*TASKS, "auto"):
        raise unknown("task", task, (*TASKS, "auto"))
    if tables.is_frame(source):
        wanted = None if label is None else str(label)
        found = tables.from_frame(source)
        return _table(found, wanted, task, impute, test_size, seed, embed_from)
    if not isinstance(source, (str, os.PathLike)):
        raise BadInput(
            f"datasets.load takes a name, a path or a data frame, not {type(source).__name__}"
        )
    name = str(os.fspath(source))
    path, suffix = Path(name), Path(name).suffix.lower()
    if plain(name) and (label is not None or impute):
        raise BadInput(f"label and impute are for a table with named columns, not for {name!r}")
    if name in NAMES:
        if task == "regression":
            raise BadInput(f"{name!r} has classes for labels: it is no regression")
        return _named(name, test_size, seed)
    try:
        file, folder = path.is_file(), path.is_dir()
    except (OSError, ValueError):  # no name that a file could have
        file = folder = False
    if folder:
        raise BadInput(f"{name!r} is a folder, not a file")
    if not file and suffix in SUFFIXES:
        raise BadInput(f"there is no file {name!r}")
    if not file:
        raise unknown("data set", name, NAMES)
    if suffix == ".npz":
        return _npz(path, task, test_size, seed)
    return _table(tables.read_csv(path), label, task, impute, test_size, seed, embed_from)


def plain(name: str) -> bool:
    """Whether a source, by its name, is of arrays, and no table with named columns."""
    return name in NAMES or Path(name).suffix.lower() == ".npz"


def _named(name: str, test_size: float, seed: int) -> Dataset:
    if name == "digits":
        return _digits(test_size, seed)
    if name == "fashion-mnist":
        return _fashion()
    return _drawn(name, {"planar": flower, "moons": half_moons, "circles": rings}[name])
