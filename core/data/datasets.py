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
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ...kernels.errors import BadInput, unknown
from ..checks import check_count, check_number
from .dataset import NAMES
from .dataset import Dataset as Dataset
from .formulas import flower, half_moons, rings
from .splits import TASKS
from .splits import random_split as random_split
from .splits import stratified_split as stratified_split


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
    name = str(os.fspath(source)) if isinstance(source, (str, os.PathLike)) else ""
    if name in NAMES:
        told = (label, missing, header, delimiter, decimal, encoding)
        if types or drop or not impute or any(one is not None for one in told):
            raise BadInput(f"label and impute are for a table with named columns, not for {name!r}")
        if task == "regression":
            raise BadInput(f"{name!r} has classes for labels: it is no regression")
        return _named(name, test_size, seed)
    from .database import Reading  # what reads tables is loaded for those who have one
    from .opening import opened
    from .plan import Plan, parted_words, typed

    words = None if missing is None else tuple(parted_words(missing))
    reading = Reading(words, header, tuple(parted_words(drop)), delimiter, decimal, encoding)
    plan = Plan(typed(types), words, impute, embed_from)
    return opened(source, test_size, seed, label, task, reading, plan)


def _named(name: str, test_size: float, seed: int) -> Dataset:
    if name == "digits":
        return _digits(test_size, seed)
    if name == "fashion-mnist":
        return _fashion()
    return _drawn(name, {"planar": flower, "moons": half_moons, "circles": rings}[name])
