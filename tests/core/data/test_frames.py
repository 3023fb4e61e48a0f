"""Columns of other libraries as numbers, words and times; only real nulls are missing."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.core.data.frames import from_frame, series_of
from lamina.core.data.series import Series

NOON = datetime.datetime(2020, 1, 2, 12, 0)
COLUMNS: dict[str, tuple[list[Any], str, list[str]]] = {  # cells, kind, as they are written
    "integers": ([1, 2, None], "number", ["1", "2", ""]),
    "floats": ([1.5, float("nan"), 2.0], "number", ["1.5", "", "2"]),
    "decimals": ([Decimal("1.5"), None, Decimal(2)], "number", ["1.5", "", "2"]),
    "truths": ([True, False, None], "word", ["true", "false", ""]),
    "words": (["NA", "", None], "word", ["NA", "", ""]),
    "words and numbers": (["a", 2, 2.5], "word", ["a", "2", "2.5"]),
    "days": ([datetime.date(2020, 1, 2), None], "time", ["2020-01-02", ""]),
    "moments": ([NOON, None], "time", ["2020-01-02T12:00:00", ""]),
    "with a zone": (
        [NOON.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=2)))], "time",
        ["2020-01-02T10:00:00"],
    ),
    "times of day": ([datetime.time(1, 30), None], "time", ["1970-01-01T01:30:00", ""]),
    "spans": ([datetime.timedelta(hours=1), None], "number", ["3600", ""]),
    "lists": ([[1], None], "other", []),
    "nothing": ([None, None], "number", ["", ""]),
}  # fmt: skip


def written(series: Series) -> list[str]:
    return [series.text(row) for row in range(len(series))]


@pytest.mark.parametrize("name", COLUMNS)
def test_lists_of_objects(name: str) -> None:
    cells, kind, told = COLUMNS[name]
    series = series_of(cells, "x")
    assert series.kind == kind
    assert kind == "other" or written(series) == told


def test_columns_of_pandas() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    zone = pandas.to_datetime(["2020-01-02 12:00", None]).tz_localize("Europe/Berlin")
    frame = pandas.DataFrame({
        "int": pandas.array([1, None], dtype="Int64"),
        "float": [1.5, float("nan")],
        "truth": pandas.array([True, None], dtype="boolean"),
        "string": pandas.array(["NA", None], dtype="string"),
        "category": pandas.Categorical(["b", None], ["a", "b"]),
        "order": pandas.Categorical(["M", "S"], ["S", "M", "L"], ordered=True),
        "day": pandas.to_datetime(["2020-01-02", None]),
        "zone": zone,
        "span": pandas.to_timedelta(["1h", None]),
        "mixed": ["a", 2],
        "month": pandas.period_range("2020-01", periods=2, freq="M"),
    })  # fmt: skip
    table = from_frame(frame)
    told = {name: written(table.series(name)) for name in table.columns}
    assert told == {
        "int": ["1", ""], "float": ["1.5", ""], "truth": ["true", ""], "string": ["NA", ""],
        "category": ["b", ""], "order": ["M", "S"], "day": ["2020-01-02", ""],
        "zone": ["2020-01-02T11:00:00", ""], "span": ["3600", ""], "mixed": ["a", "2"],
        "month": ["2020-01-01", "2020-02-01"],
    }  # fmt: skip
    assert table.series("order").words == ("S", "M", "L")
    assert table.series("order").ordered


def test_columns_of_polars() -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    frame = polars.DataFrame({
        "int": [1, None], "float": [1.5, None], "truth": [True, None], "string": ["NA", None],
        "day": [datetime.date(2020, 1, 2), None], "moment": [NOON, None],
        "clock": [datetime.time(1, 30), None], "number": [Decimal("1.5"), None],
        "span": [datetime.timedelta(hours=1), None],
    })  # fmt: skip
    frame = frame.with_columns(
        polars.Series("order", ["M", "S"], polars.Enum(["S", "M", "L"])),
        polars.Series("category", ["b", None], polars.Categorical),
        polars.col("moment").dt.replace_time_zone("Europe/Berlin").alias("zone"),
    )
    table = from_frame(frame.lazy())
    told = {name: written(table.series(name)) for name in table.columns}
    assert told == {
        "int": ["1", ""], "float": ["1.5", ""], "truth": ["true", ""], "string": ["NA", ""],
        "day": ["2020-01-02", ""], "moment": ["2020-01-02T12:00:00", ""],
        "clock": ["1970-01-01T01:30:00", ""], "number": ["1.5", ""], "span": ["3600", ""],
        "order": ["M", "S"], "category": ["b", ""], "zone": ["2020-01-02T11:00:00", ""],
    }  # fmt: skip
    assert table.series("order").words == ("S", "M", "L")


def test_columns_of_arrow() -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    made = {name: cells for name, (cells, *_) in COLUMNS.items() if name not in MIXED}
    for name, cells in made.items():
        series = series_of(pyarrow.chunked_array([cells]), name)
        assert series.kind in (COLUMNS[name][1], "number")
        assert series.kind == "other" or written(series) == COLUMNS[name][2]


MIXED = ("words and numbers", "nothing")


def test_orders_become_numbers() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    sizes = pandas.Categorical(["S", "L", "M", None] * 6, ["S", "M", "L"], ordered=True)
    frame = pandas.DataFrame({"size": sizes, "y": ["p", "q", "q", "p"] * 6})
    data = lm.datasets.load(frame, test_size=0)
    assert data.feature_names == ("size", "size=(missing)")
    np.testing.assert_array_equal(data.x_train[:4], [[0, 0], [2, 0], [1, 0], [1, 1]])
    given = {"size": ["S", "L", "M", ""] * 6, "y": ["p", "q", "q", "p"] * 6}
    same = lm.datasets.load(given, test_size=0, types={"size": "S<M<L"}, missing="")
    np.testing.assert_array_equal(same.x_train, data.x_train)


def test_blanks_around_words_are_not_looked_at() -> None:
    rows = {"a": ["WD ", " New", "Old"] * 10, "y": ["p", "q", "r"] * 10}
    data = lm.datasets.load(rows, label="y", test_size=0)
    assert data.feature_names == ("a=New", "a=Old", "a=WD")
    same = data.encoding.features({"a": ["WD", "New ", "Old"] * 10})
    np.testing.assert_array_equal(same, data.x_train)


def test_words_for_missing_are_words_in_a_frame() -> None:
    rows = {"country": ["NA", "ZA", "BW"] * 10, "y": ["None", "Mild", "Severe"] * 10}
    data = lm.datasets.load(rows, label="y", test_size=0)
    assert data.feature_names == ("country=BW", "country=NA", "country=ZA")
    assert data.class_names == ("Mild", "None", "Severe")
    told = lm.datasets.load(rows, label="y", test_size=0, missing="NA")
    assert told.feature_names == ("country=ZA", "country=(missing)")


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({}, "no columns"),
        ({"a": []}, "no rows"),
        ({"a": [1, 2], "b": [1]}, "unequal lengths"),
        ({"a": np.array([1j]), "b": [1]}, "column 'a' of the data frame holds complex"),
        ({"a": np.ones((2, 2)), "b": [1, 2]}, "column 'a' of the data frame has the shape"),
        ({"": [1], "b": [1]}, "column 1 has no name"),
        ({"a": [10**400, 1], "b": [1, 2]}, "column 'a' of the data frame holds a whole number"),
    ],
)
def test_frames_that_are_none(columns: dict[str, Any], says: str) -> None:
    with pytest.raises(lm.BadInput, match=says):
        from_frame(columns)
