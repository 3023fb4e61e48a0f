"""Data frames, Arrow tables and dictionaries of lists as tables, without the libraries they are of.

Only real nulls are missing in them: "NA" is a word there.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from ...kernels.errors import BadInput
from .series import Series, Table, check_names, word_series, written

NULLS = ("NoneType", "NAType", "NaTType")  # types of what stands where nothing is known
NULLABLE = (  # of pandas
    "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64",
)  # fmt: skip
# Types of polars that are no plain numbers
LISTED = (
    "Str",
    "Utf8",
    "Cat",
    "Enum",
    "Obj",
    "Li",
    "Arr",
    "Dec",
    "Time",
    "Datetime",
    "Bool",
    "Bin",
    "Int128",
    "UInt128",
)
DAY = datetime.date(1970, 1, 1)


def is_frame(source: Any) -> bool:
    """Whether it has named columns: a data frame, an Arrow table, or a dictionary of lists."""
    if isinstance(source, Mapping) or hasattr(source, "collect_schema"):
        return True
    named = hasattr(source, "columns") or hasattr(source, "column_names")
    return named and hasattr(source, "__getitem__") and not isinstance(source, type)


def from_frame(frame: Any, decimal: str = ".") -> Table:
    """A data frame, an Arrow table or a dictionary of lists as a table; rows are counted from 0.

    decimal: the sign before fractions, for words that are numbers. A lazy frame is collected.
    Raises: BadInput for columns without name, of the same name, or of unequal lengths.
    """
    name = "the data frame"
    if hasattr(frame, "collect_schema") and hasattr(frame, "lazy") and hasattr(frame, "sink_csv"):
        try:
            frame = frame.collect()  # of polars
        except Exception as error:
            told = str(error).strip().split("\n")[0]
            raise BadInput(f"{name} is lazy, and its plan cannot be run: {told}") from None
    if isinstance(frame, Mapping):
        labels = list(frame)
    elif hasattr(frame, "column_names"):
        labels = list(frame.column_names)
    else:
        labels = list(frame.columns)
    columns = [str(label) for label in labels]
    check_names(name, columns)
    found = {}
    for column, label in zip(columns, labels, strict=True):
        found[column] = series_of(frame[label], f"column {column!r} of {name}")
    if not found or not len(next(iter(found.values()))):
        raise BadInput(f"{name} has no {'rows' if found else 'columns'}")
    if len({len(series) for series in found.values()}) > 1:
        raise BadInput(f"{name} has columns of unequal lengths")
    return Table(name, found, hint=decimal)


def series_of(values: Any, what: str) -> Series:
    """A column of any library as one of numbers, words or times. Raises: BadInput."""
    ordered = _ordered(values)
    array = _array(values, what)
    kind = array.dtype.kind
    if kind in "iuf":
        return _numbers(np.ma.getdata(array), np.ma.getmaskarray(array))
    if kind == "b":
        codes = np.ma.getdata(array).astype(np.int32)
        codes[np.ma.getmaskarray(array)] = -1
        return Series("word", codes, ("false", "true"), exact=True)
    if kind == "M":
        return Series("time", np.ma.filled(array.astype("datetime64[us]"), np.datetime64("NaT")))
    if kind == "m":
        seconds = array / np.timedelta64(1, "s")
        return _numbers(np.ma.getdata(seconds), np.ma.getmaskarray(array))
    if kind in "UT":
        return word_series(array.tolist(), exact=True)
    if kind != "O":
        raise BadInput(f"{what} holds {array.dtype}, of which no feature can be made: leave it out")
    made = _objects(np.ma.filled(array, None).tolist(), what)
    if ordered is not None and made.kind == "word":
        made = _in_order(made, ordered)
    return made


def _array(values: Any, what: str) -> np.ndarray:
    """A column as NumPy's array of one axis."""
    if not isinstance(values, np.ndarray):
        dtype = str(getattr(values, "dtype", ""))
        if dtype.startswith("period") and hasattr(values, "dt"):
            values = values.dt.to_timestamp()
        if hasattr(values, "isna") and dtype in NULLABLE:
            values = values.to_numpy(dtype=np.float64, na_value=math.nan)
        elif isinstance(values, (list, tuple)):
            values = np.fromiter(values, dtype=object, count=len(values))
        elif hasattr(values, "to_pylist") or (dtype.startswith(LISTED) and hasattr(values, "cast")):
            listed = values.to_pylist() if hasattr(values, "to_pylist") else values.to_list()
            values = np.fromiter(listed, dtype=object, count=len(listed))
    array: np.ndarray = values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    if array.ndim != 1:
        raise BadInput(f"{what} has the shape {array.shape}, not one cell a row")
    return array


def _ordered(values: Any) -> tuple[str, ...] | None:
    """The categories of a column that says that they have an order."""
    accessor = getattr(values, "cat", None)
    dtype = getattr(values, "dtype", None)
    if getattr(dtype, "ordered", False):
        return tuple(_word(c) for c in dtype.categories)  # type: ignore[union-attr]
    if type(dtype).__name__ == "Enum" and accessor is not None:  # of polars
        return tuple(str(c) for c in dtype.categories)  # type: ignore[union-attr]
    return None


def _in_order(series: Series, order: tuple[str, ...]) -> Series:
    places = {word: at for at, word in enumerate(order)}
    table = np.array([*(places[word] for word in series.words), -1], dtype=np.int32)
    return Series("word", table[series.values], order, exact=True, ordered=True)


def _numbers(values: np.ndarray, gone: np.ndarray) -> Series:
    found = values.astype(np.float64)
    found[gone] = math.nan
    return Series("number", found, exact=True)


def _objects(values: list[Any], what: str) -> Series:
    """Objects: all of them numbers, truths or times, else words."""
    kinds = {type(v) for v in values} - {type(None)}
    kinds = {kind for kind in kinds if kind.__name__ not in NULLS}
    blank = [_null(v) for v in values]
    if kinds and all(issubclass(kind, (bool, np.bool_)) for kind in kinds):
        codes = [-1 if gone else int(v) for v, gone in zip(values, blank, strict=True)]
        return Series("word", np.array(codes, dtype=np.int32), ("false", "true"), exact=True)
    numeric = (bool, int, float, Decimal, Fraction, np.number, np.bool_)
    if all(issubclass(kind, numeric) for kind in kinds):
        try:
            told = [math.nan if gone else float(v) for v, gone in zip(values, blank, strict=True)]
        except OverflowError:
            raise BadInput(f"{what} holds a whole number that no feature can hold") from None
        return Series("number", np.array(told, dtype=np.float64), exact=True)
    if kinds and all(issubclass(kind, (datetime.timedelta, np.timedelta64)) for kind in kinds):
        second = np.timedelta64(1, "s")
        spans = [math.nan if gone else np.timedelta64(v) / second
                 for v, gone in zip(values, blank, strict=True)]  # fmt: skip
        return Series("number", np.array(spans, dtype=np.float64), exact=True)
    if kinds and all(issubclass(k, (datetime.date, np.datetime64)) for k in kinds):
        return Series("time", np.array([_time(v, g) for v, g in zip(values, blank, strict=True)]))
    if kinds and all(issubclass(k, datetime.time) for k in kinds):
        clocks = [None if g else datetime.datetime.combine(DAY, v.replace(tzinfo=None))
                  for v, g in zip(values, blank, strict=True)]  # fmt: skip
        return Series("time", np.array(clocks, dtype="datetime64[us]"), clock=True)
    if any(issubclass(k, (list, dict, tuple, set, bytes, np.ndarray)) for k in kinds):
        return Series("other", np.array([-1 if g else 0 for g in blank]), (), exact=True)
    words = [None if g else _word(v) for v, g in zip(values, blank, strict=True)]
    return word_series(words, exact=True)


def _null(value: Any) -> bool:
    if type(value).__name__ in NULLS:
        return True
    if isinstance(value, (float, np.floating, Decimal)):
        return bool(value != value)
    return isinstance(value, np.datetime64) and bool(np.isnat(value))


def _time(value: Any, gone: bool) -> Any:
    if gone:
        return np.datetime64("NaT", "us")
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        year, month, day, hour, minute, second, *_ = value.timetuple()
        value = datetime.datetime(year, month, day, hour, minute, second, value.microsecond)
    return np.array(value, dtype="datetime64[us]")[()]


def _word(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)):
        return written(float(value))
    return str(value)
