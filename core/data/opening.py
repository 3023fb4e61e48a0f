"""Arrays, tables and data frames of a user's own, opened and made a data set of."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...kernels.errors import BadInput, unknown
from ...kernels.memory import forget
from . import arrays, engine, tables
from .database import Chunked, Reading
from .dataset import NAMES, Dataset
from .encoding import Encoding
from .frames import is_frame
from .plan import Plan
from .series import Series, Table
from .spill import room, spilled
from .splits import TASKS, parts

MOST_CLASS_NUMBER = 65_535  # of an NPZ: beyond that y is no numbering of classes


def opened(
    source: Any, test_size: float, seed: int, label: str | None, task: str, reading: Reading,
    plan: Plan,
) -> Dataset:  # fmt: skip
    """A data set from a file, a query or a data frame; see `datasets.load`.

    reading: how a text file is read. plan: what the columns are. Raises: UnknownName, BadInput.
    """
    if not is_frame(source) and not isinstance(source, (str, os.PathLike)):
        raise BadInput(
            f"datasets.load takes a name, a path or a data frame, not {type(source).__name__}"
        )
    if not is_frame(source) and _is_array(name := str(os.fspath(source))):
        if label is not None or reading != Reading() or plan.types or not plan.impute:
            raise BadInput(f"label and impute are for a table with named columns, not for {name!r}")
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
