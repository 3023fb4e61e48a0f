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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ...kernels.errors import BadInput, unknown
from ...kernels.memory import forget
from ..checks import check_count, check_number
from . import arrays, engine, tables
from .database import Chunked, Reading
from .encoding import Encoding
from .formulas import flower, half_moons, rings
from .frames import is_frame
from .plan import Plan, Planned, parted_words, typed
from .series import Series, Table
from .spill import room, spilled
from .splits import TASKS, parts
from .splits import random_split as random_split
from .splits import stratified_split as stratified_split


@dataclass(frozen=True)
class Dataset:
    """Arrays for training and testing; unpacks into x_train, y_train, x_test, y_test.

    name: of the data set. x_train, x_test: (n, features) floating. y_train, y_test: (n,) class
        numbers, or the targets of a regression (standardized when there is an encoding).
    feature_names, class_names: what the columns and the class numbers mean.
    task: "classification" or "regression", why: what it was decided from.
    encoding: how a file's contents became these arrays.
    notes: what the reader of a table should know.
    plan: how each column of a table was taken, and why. held: of a table, the numbers of the rows
        that are for testing, from 0; None of other data.
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
    plan: tuple[Planned, ...] = ()
    held: np.ndarray | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.x_train, self.y_train, self.x_test, self.y_test))

    def __repr__(self) -> str:
        rows, columns = len(self.x_train), math.prod(self.x_train.shape[1:])
        classes = len(self.class_names)
        kind = f"{classes} classes" if self.task == "classification" else "regression"
        size = f"{rows} + {len(self.x_test)} rows, {columns} features, {kind}"
        return f"<{self.name}: {size}>"


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


def _table(
    table: Table, label: str | None, task: str, plan: Plan, drop: Sequence[str], test_size: float,
    seed: int,
) -> Dataset:  # fmt: skip
    found, notes = tables.label_of(table, label, task, plan)
    known = found.rows
    parted = found.series.values[known] if found.task == TASKS[0] else known
    some, rest = parts(found.name, parted, found.task, test_size, seed)
    train, test = known[some], known[rest]
    encoding, planned = tables.learn(table, found, train, plan, drop)
    y = tables.targets(table, found, encoding)
    x_train, x_test = _features(table, encoding, train, test, notes)
    return Dataset(
        table.name, x_train, y[some], x_test, y[rest], encoding.feature_names, encoding.classes,
        found.task, found.why, encoding, (*table.notes, *notes), planned, test,
    )  # fmt: skip


def _features(
    table: Table, encoding: Encoding, train: np.ndarray, test: np.ndarray, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The features of rows to train and to test on; on disk where memory is too small for them."""
    width = len(encoding.feature_names)
    large = (len(train) + len(test)) * width * 8 > room()
    made = [spilled(len(rows), width) if large else np.empty((len(rows), width))
            for rows in (train, test)]  # fmt: skip
    if isinstance(table, Chunked):
        table.once = True  # the features take its place in memory
    seen = 0
    for start, block in encoding.blocks(table, say=notes.append):
        seen = start + len(block)
        for rows, x in zip((train, test), made, strict=True):
            first, last = np.searchsorted(rows, (start, start + len(block)))
            np.take(block, rows[first:last] - start, 0, x[first:last], "clip")
            forget(x)
    if seen != table.rows:
        raise BadInput(f"{table.name} was changed while it was read: read it again")
    return made[0], made[1]


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
    found, name = arrays.named(path), path.name
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
        task, why = tables.decide_task(Series("number", y.astype(np.float64)))
    if not parted:
        train, test = parts("y", y, task, test_size, seed)
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
    impute: bool = True,
    types: Mapping[str, str] | str | None = None,
    missing: Sequence[str] | str | None = None,
    header: bool | None = None,
    drop: Sequence[str] | str = (),
    delimiter: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    embed_from: int | None = None,
) -> Dataset:
    """A data set by name, from a file, from a query, or from a data frame.

    source: "digits", "planar", "moons", "circles", "fashion-mnist"; the path of an NPZ with x and
        y, or with x_train, y_train, x_test, y_test; or a table: the path of a CSV or TSV (perhaps
        packed), Parquet, JSON lines or Arrow file, a pattern of such paths, a query of DuckDB's SQL
        that begins with SELECT, FROM or WITH, a data frame of pandas or polars, an Arrow table, or
        a dictionary of lists. Targets of a regression are standardized (`encoding.units` turns them
        back). Features that memory is too small for are in a file that goes with the array.
    test_size, seed: the share of rows held out for testing, each class in its share, and the seed
        that draws them; with 0 all rows are for training. Formulas draw new points for testing
        instead, and sources that come in two parts keep theirs.
    label: a table's label column, the last one if none is named. task: "classification",
        "regression", or "auto": words and at most 20 different whole numbers are classes.
    impute: missing numbers become the median, with a feature that says so, and rows without a label
        are left out; with False either is refused.
    types: name -> what a column is: "number", "category", "yes/no", "date" or "date(%d/%m/%Y)",
        "S<M<L" for words in order, "identifier" and "text", which are left out; or "a=number,b=..."
    missing: the words for missing cells, instead of the usual ones ("", NA, N/A, null, ?, ...); in
        data frames and other columns that have types only nulls are missing, unless this says so.
    header: whether the first line names the columns. drop: columns to leave out. delimiter: what
        parts the cells of a line. decimal: "." or ",". encoding: of a text file, such as "cp1252".
    embed_from: categories of so many words and more become a column of codes, for an embedding.
    Raises: UnknownName with the nearest spelling; BadInput.

    >>> load("planar")
    <planar: 400 + 400 rows, 2 features, 2 classes>
    """
    check_number("datasets.load: test_size", test_size, 0.0, 1.0, open_high=True)
    check_count("datasets.load: seed", seed, least=0)
    if task not in (*TASKS, "auto"):
        raise unknown("task", task, (*TASKS, "auto"))
    words = None if missing is None else tuple(parted_words(missing))
    reading = Reading(words, header, tuple(parted_words(drop)), delimiter, decimal, encoding)
    plan = Plan(typed(types), words, impute, embed_from)
    if not is_frame(source) and not isinstance(source, (str, os.PathLike)):
        raise BadInput(
            f"datasets.load takes a name, a path or a data frame, not {type(source).__name__}"
        )
    if not is_frame(source):
        name = str(os.fspath(source))
        plain = name in NAMES or Path(name).suffix.lower() == ".npz"
        if plain and (label is not None or reading != Reading() or types or not impute):
            raise BadInput(f"label and impute are for a table with named columns, not for {name!r}")
        if name in NAMES:
            if task == "regression":
                raise BadInput(f"{name!r} has classes for labels: it is no regression")
            return _named(name, test_size, seed)
        if _is_array(name):
            return _npz(Path(name), task, test_size, seed)
    wanted = None if label is None else str(label)

    def as_written(columns: Sequence[str], fractions: frozenset[str]) -> frozenset[str]:
        told = {one for one, kind in plan.types.items() if kind != "number"}
        name = columns[-1] if wanted is None else wanted
        if task == TASKS[0] or (task == "auto" and name not in fractions):
            told.add(name)  # "007" and "7" are two classes
        return frozenset(told)

    with engine.open_table(source, reading, as_written) as table:
        return _table(table, wanted, task, plan, reading.drop, test_size, seed)


def _is_array(name: str) -> bool:
    """Whether a source is an NPZ, and not a table. Raises: BadInput, UnknownName for neither."""
    if engine.is_query(name):
        return False
    path = Path(name)
    try:
        file, folder = path.is_file(), path.is_dir()
    except (OSError, ValueError):  # no name that a file could have
        file = folder = False
    if folder or any(sign in name for sign in "*?["):
        return False  # a pattern, or what the reader of tables refuses
    if not file and (engine.is_file(name) or path.suffix.lower() == ".npz"):
        raise BadInput(f"there is no file {name!r}")
    if not file:
        raise unknown("data set", name, NAMES)
    return path.suffix.lower() == ".npz"


def _named(name: str, test_size: float, seed: int) -> Dataset:
    if name == "digits":
        return _digits(test_size, seed)
    if name == "fashion-mnist":
        return _fashion()
    return _drawn(name, {"planar": flower, "moons": half_moons, "circles": rings}[name])
