"""How tables become arrays, and predictions words again: what a model keeps of its table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from ...kernels.errors import BadInput
from .columns import LEAVES, SECONDS, Column
from .engine import open_table
from .features import Counted, Writer, listed
from .series import Series, Table
from .stream import BATCH

Say = Callable[[str], None]


def unsaid(text: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Place:
    """Where the features of a column are: its numbers, its zeros and ones, and its code."""

    column: Column
    numbers: slice
    words: slice
    code: int


@dataclass(frozen=True)
class Encoding:
    """How tables become arrays, and predictions words again; saved with the model.

    columns: empty for plain arrays, whose features are taken as they are. task: "classification"
    or "regression". classes: names by class number. mean, scale: a regression's target is
    (label - mean) / scale. missing: the words for missing, where others were named than the usual.

    Features are in three blocks: `numeric` numbers, for the network to scale; then `one_hot` zeros
    and ones; then a column of codes for each of `embedded`, which counts their rows.
    """

    columns: tuple[Column, ...]
    label: str
    task: str
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0
    missing: tuple[str, ...] | None = None

    @property
    def used(self) -> tuple[Column, ...]:
        """The columns that become features."""
        return tuple(column for column in self.columns if column.kind not in LEAVES)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of all features."""
        numbers = [name for column in self.used for name in column.numbers]
        words = [name for column in self.used for name in column.one_hot]
        return (*numbers, *words, *(column.name for column in self.used if column.embedded))

    @property
    def numeric(self) -> int:
        """How many features, from the first, are numbers."""
        return sum(len(column.numbers) for column in self.used)

    @property
    def one_hot(self) -> int:
        """How many features behind them are zeros and ones."""
        return sum(len(column.one_hot) for column in self.used)

    @property
    def embedded(self) -> tuple[int, ...]:
        """How many codes each of the last features has, from 0."""
        return tuple(len(column.words) + 1 for column in self.used if column.embedded)

    @property
    def as_written(self) -> frozenset[str]:
        """The columns whose cells are words, whatever they look like."""
        return frozenset(column.name for column in self.columns if column.written)

    def features(self, source: Any, strict: bool = False, say: Say = unsaid) -> np.ndarray:
        """(n, features) float64 of a table: see `engine.open_table` for what that may be.

        Its columns may come in any order, and there may be more (see `extra`). Words that training
        never saw count as none of its words, missing numbers as the usual one; `say` is told.
        strict: refuse them instead.
        Raises: UnknownName for a column that is missing, with the nearest; BadInput.
        """
        with open_table(source, words=self.as_written) as table:
            x = np.empty((table.rows, len(self.feature_names)))
            for start, block in self.blocks(table, strict, say):
                x[start : start + len(block)] = block
        return x

    def blocks(
        self, table: Table, strict: bool = False, say: Say = unsaid
    ) -> Iterator[tuple[int, np.ndarray]]:
        """(k, features) of consecutive rows of a table, each with the number of its first row."""
        told: dict[str, Counted] = {}
        width, code = len(self.feature_names), self.numeric + self.one_hot
        for first, part in table.batches([column.name for column in self.used]):
            swift, slow = self._swift(part)
            for start in range(0, part.rows, BATCH):
                block = np.empty((min(BATCH, part.rows - start), width))
                block[:, self.numeric : code] = 0.0
                for at, values in swift:
                    block[:, at] = 0.0 if values is None else values[start : start + BATCH]
                if slow:
                    names = [place.column.name for place in slow]
                    self._write(part.cut(start, BATCH, names), slow, block, strict, told)
                yield first + start, block
        for name, counted in told.items():
            if note := counted.note(name):
                say(note)

    @cached_property
    def _places(self) -> tuple[Place, ...]:
        """Where the features of each of the used columns are."""
        found = []
        at, hot, code = 0, self.numeric, self.numeric + self.one_hot
        for column in self.used:
            numbers, words = len(column.numbers), len(column.one_hot)
            found.append(Place(column, slice(at, at + numbers), slice(hot, hot + words), code))
            at, hot, code = at + numbers, hot + words, code + column.embedded
        return tuple(found)

    def _swift(self, part: Table) -> tuple[list[tuple[int, np.ndarray | None]], list[Place]]:
        """Features that are a column's numbers as they are, or zeros; and all other columns."""
        swift: list[tuple[int, np.ndarray | None]] = []
        slow = []
        for place in self._places:
            column, series = place.column, part.series(place.column.name)
            if column.kind == "number" and not column.words and series.finite:
                swift.append((place.numbers.start, series.values))
                if column.indicator:
                    swift.append((place.numbers.start + 1, None))
            else:
                slow.append(place)
        return swift, slow

    def _write(
        self, part: Table, places: list[Place], out: np.ndarray, strict: bool,
        told: dict[str, Counted],
    ) -> None:  # fmt: skip
        for place in places:
            column = place.column
            series = part.series(column.name).cleaned(self.missing)
            writer = Writer(column, part, series, strict, told.setdefault(column.name, Counted()))
            writer.numbers(out[:, place.numbers])
            if column.one_hot:
                writer.one_hot(out[:, place.words])
            if column.embedded:
                out[:, place.code] = writer.codes()

    def extra(self, table: Table) -> tuple[str, ...]:
        """The names of columns that are neither features nor the label, and are not looked at."""
        known = {self.label, *(column.name for column in self.columns)}
        return tuple(name for name in table.columns if name not in known)

    def labels(self, source: Any) -> np.ndarray:
        """(n,) class numbers, or standardized targets, of a table. Raises: BadInput."""
        words = frozenset([self.label] if self.classes else [])
        with open_table(source, words=words) as table:
            series = table.series(self.label).cleaned(self.missing)
            known = series.known
            if not known.all():
                place = table.place(int(np.argmin(known)))
                raise BadInput(f"{place}: the label is missing: remove the row")
            return self.targets(table, series)

    def targets(self, table: Table, series: Series) -> np.ndarray:
        """(n,) class numbers, or standardized targets, of cells none of which is missing."""
        if self.classes:
            series = series.spelled()
            places = {name: at for at, name in enumerate(self.classes)}
            table_of = np.array([places.get(word, -1) for word in series.words], dtype=np.int64)
            found = table_of[series.values]
            if (found < 0).any():
                row = int(np.argmin(found))
                raise BadInput(
                    f"{table.place(row)}: label {series.text(row)!r} is none of"
                    f" {listed(self.classes)}"
                )
            return np.asarray(found)
        values = Writer(Column(self.label, format=SECONDS), table, series, True, Counted()).values()
        return np.asarray((values - self.mean) / self.scale)

    def units(self, targets: np.ndarray) -> np.ndarray:
        """Standardized targets of a regression in the label's own units, float64."""
        result: np.ndarray = np.asarray(targets, dtype=np.float64) * self.scale + self.mean
        return result

    def to_json(self) -> dict[str, Any]:
        """Plain words and numbers."""
        return {**asdict(self), "version": 2}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Encoding:
        """The encoding of `to_json`, of files from before there were kinds of columns as well."""
        made = _of_old if told.get("version") is None else _of_new
        missing = told.get("missing")
        return cls(
            tuple(made(column) for column in told["columns"]), str(told["label"]),
            str(told["task"]), tuple(told["classes"]), float(told["mean"]), float(told["scale"]),
            None if missing is None else tuple(missing),
        )  # fmt: skip


def _of_new(told: Mapping[str, Any]) -> Column:
    known = {field.name for field in fields(Column)}
    words: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in told.items()}
    if odd := set(words) - known:
        raise ValueError(f"a column has {', '.join(sorted(odd))}, which nothing here knows")
    return Column(**words)


def _of_old(told: Mapping[str, Any]) -> Column:
    """A column of numbers, or of words as zeros and ones; a cell without fill is refused."""
    words, fill = tuple(told["categories"]), told["fill"]
    if words:
        return Column(str(told["name"]), "category", words, fill, strict=fill is None)
    number = None if fill is None else float(fill)
    return Column(str(told["name"]), "number", (), number, strict=fill is None)
