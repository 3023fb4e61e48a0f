"""Tables in memory: named columns of numbers, words and times, whatever they were read from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...kernels.errors import BadInput, UnknownName, unknown
from . import cells
from .stream import BATCH


@dataclass(frozen=True)
class Series:
    """The cells of a column.

    kind: "number" (values are float64, NaN where nothing is known), "word" (int32 places in
    `words`, -1 where nothing is known), "time" (datetime64[us], NaT), or "other", of which nothing
    can be made (bytes, lists). exact: only real nulls are missing, "NA" is a word. ordered: the
    words stand in their order. clock: times of day, on 1970-01-01.
    """

    kind: str
    values: np.ndarray
    words: tuple[str, ...] = ()
    exact: bool = False
    ordered: bool = False
    clock: bool = False

    def __len__(self) -> int:
        return len(self.values)

    @property
    def known(self) -> np.ndarray:
        """Which of the cells say something."""
        if self.kind == "number":
            return np.asarray(~np.isnan(self.values))
        if self.kind == "time":
            return np.asarray(~np.isnat(self.values))
        return np.asarray(self.values >= 0)

    @cached_property
    def finite(self) -> bool:
        """Whether all cells are finite numbers; it says no where their sum is not."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.kind == "number" and bool(np.isfinite(self.values.sum()))

    @cached_property
    def gone(self) -> int:
        """How many of the cells say nothing."""
        return 0 if self.finite else len(self) - int(np.count_nonzero(self.known))

    def taken(self, rows: np.ndarray | slice) -> Series:
        """Some of the cells."""
        return replace(self, values=self.values[rows])

    def text(self, row: int) -> str:
        """A cell as it would be written."""
        value = self.values[row]
        if self.kind == "number":
            return "" if math.isnan(value) else written(float(value))
        if self.kind == "time":
            return "" if np.isnat(value) else moment(value)
        return self.words[value] if value >= 0 else ""

    def spelled(self) -> Series:
        """The same cells as words; a whole number is written as such."""
        if self.kind == "word":
            return self
        known = self.known
        found, places = np.unique(self.values[known], return_inverse=True)
        codes = np.full(len(self.values), -1, dtype=np.int32)
        codes[known] = places
        told = [written(float(v)) if self.kind == "number" else moment(v) for v in found]
        return Series("word", codes, tuple(told), self.exact)

    def cleaned(self, also: Sequence[str] | None) -> Series:
        """The same without cells whose words say that nothing is known, blanks around words gone.

        also: those words, instead of the usual ones.
        """
        if self.kind != "word":
            return self
        bare = [word.strip() for word in self.words]
        known = self.exact and also is None
        lost = [not known and cells.missing(word, also) for word in bare]
        if not any(lost) and bare == list(self.words):
            return self
        kept = dict.fromkeys(word for word, gone in zip(bare, lost, strict=True) if not gone)
        places = {word: at for at, word in enumerate(kept)}
        table = np.array([*(places.get(word, -1) for word in bare), -1], dtype=np.int32)
        return replace(self, values=table[self.values], words=tuple(kept))

    def without(self, gone: Callable[[str], bool]) -> Series:
        """The same with cells missing whose words are such."""
        if self.kind != "word" or not any(gone(word) for word in self.words):
            return self
        kept = [word for word in self.words if not gone(word)]
        places = {word: at for at, word in enumerate(kept)}
        table = np.array([*(places.get(word, -1) for word in self.words), -1], dtype=np.int32)
        return replace(self, values=table[self.values], words=tuple(kept))


def written(value: float) -> str:
    """A number as a word: whole ones without a fraction.

    >>> written(3.0), written(0.5)
    ('3', '0.5')
    """
    whole = abs(value) < 1e16 and value == math.floor(value)
    return str(int(value)) if whole else repr(value)


def moment(value: np.datetime64) -> str:
    """A time as a word: at midnight the day alone, and no more digits than it takes.

    >>> moment(np.datetime64("2020-01-02", "us")), moment(np.datetime64("2020-01-02T12:00", "us"))
    ('2020-01-02', '2020-01-02T12:00:00')
    """
    units = ("datetime64[D]", "datetime64[s]")
    return str(next((whole for u in units if (whole := value.astype(u)) == value), value))


def word_series(words: Sequence[Any], exact: bool = False) -> Series:
    """A column of words, None where there is none, as they are."""
    places: dict[Any, int] = {}
    codes = np.fromiter(
        (-1 if word is None else places.setdefault(word, len(places)) for word in words),
        dtype=np.int32, count=len(words),
    )  # fmt: skip
    return Series("word", codes, tuple(places), exact)


def joined(parts: Sequence[Series]) -> Series:
    """Columns one behind the other; those of different kinds become words."""
    if len(parts) == 1:
        return parts[0]
    if len({part.kind for part in parts}) > 1 or parts[0].kind == "word":
        parts = [part.spelled() for part in parts]
        places: dict[str, int] = {}
        codes = []
        for part in parts:
            at = [places.setdefault(word, len(places)) for word in part.words]
            codes.append(np.array([*at, -1], dtype=np.int32)[part.values])
        return replace(parts[0], values=np.concatenate(codes), words=tuple(places))
    return replace(parts[0], values=np.concatenate([part.values for part in parts]))


class Table:
    """Named columns of one length.

    name: for messages. columns: their names. place: where a row stands, by its number. hint: the
    decimal sign that the whole file speaks for, if any. notes: what its reader did.
    """

    def __init__(
        self,
        name: str,
        series: Mapping[str, Series],
        place: Callable[[int], str] | None = None,
        hint: str = "",
        notes: Sequence[str] = (),
    ) -> None:
        self.name, self._series = name, dict(series)
        self.columns, self.hint, self.notes = tuple(series), hint, tuple(notes)
        self._place = place or (lambda row: f"{name}, row {row}")

    @property
    def rows(self) -> int:
        """How many."""
        return len(next(iter(self._series.values())))

    def check(self, column: str) -> None:
        """Raises UnknownName, with the nearest spelling, where there is no such column."""
        if column not in self.columns:
            valid = str(unknown("column", column, self.columns))
            hint = valid.removeprefix(f"unknown column {column!r}")
            raise UnknownName(f"{self.name} has no column {column!r}{hint}")

    def series(self, column: str) -> Series:
        """The cells of a column. Raises: UnknownName with the nearest spelling."""
        self.check(column)
        return self._series[column]

    def glance(self, column: str) -> Series:
        """The same, good until the next glance at any column."""
        return self.series(column)

    def place(self, row: int) -> str:
        """Where a row stands, for messages."""
        return self._place(row)

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, Table]]:
        """Tables of consecutive rows with the columns, each with the number of its first row."""
        for column in columns:
            self.check(column)
        for start in range(0, self.rows, BATCH):
            yield start, self.cut(start, BATCH, columns)

    def cut(self, start: int, rows: int, columns: Sequence[str]) -> Table:
        """So many rows from a start, or what is left of them, of some columns."""
        some = {name: self._series[name].taken(slice(start, start + rows)) for name in columns}
        return Table(self.name, some, self._behind(start), self.hint)

    def _behind(self, start: int) -> Callable[[int], str]:
        return lambda row: self.place(start + row)

    def close(self) -> None:
        """Gives up what was kept for reading on."""

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_names(table: str, names: Sequence[str], where: str = "") -> None:
    """Raises BadInput for columns without a name, and for two of the same."""
    place = f"{table}, {where}" if where else table
    for column, count in Counter(names).items():
        if not column:
            raise BadInput(f"{place}: column {list(names).index('') + 1} has no name: give it one")
        if count > 1:
            raise BadInput(
                f"{place}: the column name {column!r} stands {count} times: rename one of them"
            )
