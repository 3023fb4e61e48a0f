"""Tables: CSV files and data frames as features and targets, and the encoding that a model keeps.

Columns of numbers pass through; columns of words become one column per word (one-hot). Class names
become class numbers; targets of a regression are standardized, and predictions turned back.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...kernels.errors import BadInput, UnknownName, unknown
from .words import class_name, missing, number

MOST_WORDS = 1000  # a column of more different words is a name or a date, not a category
SNIFFED_LINES = 20  # that the separator is guessed from


@dataclass(frozen=True)
class Table:
    """Words in rows and columns, as read.

    columns: names. rows: one tuple of words a row. lines: where each row stands in the file.
    unit: what these numbers count, for messages.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    unit: str = "line"

    def index(self, column: str) -> int:
        """The position of a column. Raises: UnknownName with the nearest spelling."""
        if column not in self.columns:
            valid = str(unknown("column", column, self.columns))
            hint = valid.removeprefix(f"unknown column {column!r}")
            raise UnknownName(f"{self.name} has no column {column!r}{hint}")
        return self.columns.index(column)

    def place(self, row: int) -> str:
        """Where a row stands, for messages."""
        return f"{self.name}, {self.unit} {self.lines[row]}"

    def taken(self, rows: Sequence[int] | np.ndarray) -> Table:
        """The table of some of the rows."""
        return replace(
            self,
            rows=tuple(self.rows[i] for i in rows),
            lines=tuple(self.lines[i] for i in rows),
        )

    def words(self, column: str) -> list[str]:
        """All words of a column."""
        at = self.index(column)
        return [row[at] for row in self.rows]


def read_csv(path: str | Path) -> Table:
    """A CSV file with a header; the separator is a comma, semicolon, tab or bar.

    Raises: BadInput for what is no such file, with the line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{path.name} is no text in UTF-8: save it as CSV in UTF-8") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from None
    if "\0" in text:
        raise BadInput(f"{path.name} is no text: it has zero bytes")
    # newline="": only line ends part rows, not the other characters that str.splitlines knows
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    header: list[str] | None = None
    rows, lines = [], []
    try:
        for row in reader:
            words = [word.strip() for word in row]
            if not any(words):
                continue
            if header is None:
                header = words
                continue
            if len(words) != len(header):
                raise BadInput(
                    f"{path.name}, line {reader.line_num}: {len(words)} cells, but the header has"
                    f" {len(header)}"
                )
            rows.append(tuple(words))
            lines.append(reader.line_num)
    except csv.Error as error:
        raise BadInput(f"{path.name}, line {reader.line_num}: {error}") from None
    if header is None or not rows:
        raise BadInput(f"{path.name} has {'no header' if header is None else 'no rows'}")
    _check_names(path.name, header)
    return Table(path.name, tuple(header), tuple(rows), tuple(lines))


def _separator(text: str) -> str:
    """The separator that stands equally often in the first lines, quotes left out."""
    lines = [
        line for line in text.lstrip().split("\n", SNIFFED_LINES)[:SNIFFED_LINES] if line.strip()
    ]
    bare = [re.sub(r'"[^"]*"', "", line) for line in lines] or [""]

    def fit(separator: str) -> tuple[bool, int]:
        counts = [line.count(separator) for line in bare]
        return counts[0] > 0 and set(counts) == {counts[0]}, counts[0]

    return max(",;\t|", key=fit)


def _check_names(table: str, header: Sequence[str]) -> None:
    for column, count in Counter(header).items():
        if not column:
            raise BadInput(f"{table}: column {header.index('') + 1} has no name")
        if count > 1:
            raise BadInput(f"{table}: the column name {column!r} stands {count} times")


def is_frame(source: Any) -> bool:
    """Whether it looks like a data frame: it has `columns`, and `[name]` gives one."""
    return hasattr(source, "columns") and hasattr(source, "__getitem__")


def from_frame(frame: Any) -> Table:
    """A data frame (anything with `columns` and `[name]`) as a table, rows counted from 0.

    Raises: BadInput for columns without name, of the same name, or of unequal lengths.
    """
    name = "the data frame"
    columns = tuple(str(c) for c in frame.columns)
    _check_names(name, columns)
    series = [[_word(v) for v in np.asarray(frame[c], dtype=object)] for c in frame.columns]
    if not series or not series[0]:
        raise BadInput(f"{name} has no {'rows' if series else 'columns'}")
    if len({len(words) for words in series}) > 1:
        raise BadInput(f"{name} has columns of unequal lengths")
    rows = tuple(zip(*series, strict=True))
    return Table(name, columns, rows, tuple(range(len(rows))), "row")


def _word(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return "" if math.isnan(value) else repr(float(value))
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # pandas' missing values
        return ""
    return str(value).strip()


@dataclass(frozen=True)
class Column:
    """One feature column: of numbers (no categories) or of words.

    fill: what stands in for a missing cell, or None to refuse it. embedded: it becomes one feature,
    the code of its word: from 1, and 0 for a word that training never saw.
    """

    name: str
    categories: tuple[str, ...] = ()
    fill: str | None = None
    embedded: bool = False

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features that it becomes."""
        if self.embedded or not self.categories:
            return (self.name,)
        return tuple(f"{self.name}={c}" for c in self.categories)

    def encode(self, table: Table, allow_unseen: bool = False) -> np.ndarray:
        """(n, features) numbers; words that training never saw are refused, or all zeros.

        Raises: BadInput naming line, column and cell.
        """
        words = table.words(self.name)
        result = np.zeros((len(words), len(self.features)))
        places = {category: at for at, category in enumerate(self.categories)}
        for row, given in enumerate(words):
            word = given
            if missing(word):
                if self.fill is None:
                    what = f"{given!r}, a missing value" if given else "empty"
                    raise BadInput(
                        f"{self._where(table, row)} is {what}: fill it, remove the row, or train"
                        " with imputation"
                    )
                word = self.fill
            if not self.categories:
                value = number(word)
                if value is None:
                    raise BadInput(f"{self._where(table, row)} is {word!r}, not a number")
                result[row, 0] = value
            elif self.embedded:
                result[row, 0] = places.get(word, -1) + 1
            elif word in places:
                result[row, places[word]] = 1.0
            elif not allow_unseen:
                raise BadInput(
                    f"{self._where(table, row)} is {word!r}, which training never saw: it knows"
                    f" {_listed(self.categories)}"
                )
        return result

    def unseen(self, table: Table) -> list[str]:
        """The words of a table that training never saw."""
        if not self.categories:
            return []
        words = set(table.words(self.name)) - set(self.categories)
        return sorted(word for word in words if not missing(word))

    def _where(self, table: Table, row: int) -> str:
        return f"{table.place(row)}, column {self.name!r}"


def _listed(words: Sequence[str]) -> str:
    """The first ten words."""
    return ", ".join(words[:10]) + (", ..." if len(words) > 10 else "")


@dataclass(frozen=True)
class Encoding:
    """How tables become arrays, and predictions words again; saved with the model.

    columns: empty for plain arrays, whose features are taken as they are. task: "classification"
    or "regression". classes: names by class number. mean, scale: a regression's target is
    (label - mean) / scale.
    """

    columns: tuple[Column, ...]
    label: str
    task: str
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of all features."""
        return tuple(name for column in self.columns for name in column.features)

    def features(self, table: Any, allow_unseen: bool = False) -> np.ndarray:
        """(n, features) of a table or data frame.

        Its columns may come in any order, and there may be more (see `extra`). allow_unseen: all
        zeros for a word that training never saw.
        Raises: UnknownName for a column that is missing, with the nearest; BadInput.
        """
        found = table if isinstance(table, Table) else from_frame(table)
        return np.hstack([column.encode(found, allow_unseen) for column in self.columns])

    def extra(self, table: Table) -> tuple[str, ...]:
        """The names of columns that are neither features nor the label, and are not looked at."""
        known = {self.label, *(column.name for column in self.columns)}
        return tuple(name for name in table.columns if name not in known)

    def labels(self, table: Any) -> np.ndarray:
        """(n,) class numbers, or standardized targets, of a table or data frame.

        Raises: BadInput.
        """
        found = table if isinstance(table, Table) else from_frame(table)
        words = found.words(self.label)
        for row, word in enumerate(words):
            if missing(word):
                what = f"{word!r}, a missing value" if word else "empty"
                raise BadInput(f"{found.place(row)}: the label is {what}: remove the row")
        if self.task == "classification":
            places = {name: at for at, name in enumerate(self.classes)}
            names = [class_name(word) for word in words]
            for row, name in enumerate(names):
                if name not in places:
                    raise BadInput(
                        f"{found.place(row)}: label {name!r} is none of {_listed(self.classes)}"
                    )
            return np.array([places[name] for name in names], dtype=np.int64)
        values = [number(word) for word in words]
        for row, value in enumerate(values):
            if value is None:
                raise BadInput(f"{found.place(row)}: label {words[row]!r} is no number")
        return (np.array(values, dtype=np.float64) - self.mean) / self.scale

    def units(self, targets: np.ndarray) -> np.ndarray:
        """Standardized targets of a regression in the label's own units, float64."""
        result: np.ndarray = np.asarray(targets, dtype=np.float64) * self.scale + self.mean
        return result

    def to_json(self) -> dict[str, Any]:
        """Plain words and numbers."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Encoding:
        """The encoding of `to_json`."""
        columns = tuple(
            Column(c["name"], tuple(c["categories"]), c["fill"], bool(c.get("embedded", False)))
            for c in told["columns"]
        )
        return cls(
            columns, str(told["label"]), str(told["task"]), tuple(told["classes"]),
            float(told["mean"]), float(told["scale"]),
        )  # fmt: skip


def learn(
    table: Table,
    rows: np.ndarray,
    label: str,
    task: str,
    impute: bool,
    embed_from: int | None = None,
) -> Encoding:
    """The encoding of a table: kinds from all rows, words and numbers from the training rows alone.

    embed_from: words from which on a column is embedded; then numbers come first, and codes last.
    Raises: BadInput.
    """
    names = [name for name in table.columns if name != label]
    part = table.taken(rows)
    columns = tuple(_column(table, part, name, impute) for name in names)
    if embed_from is not None:
        columns = tuple(replace(c, embedded=len(c.categories) >= embed_from) for c in columns)
        columns = tuple(sorted(columns, key=lambda c: (c.embedded, bool(c.categories))))
    words = [word for word in part.words(label) if not missing(word)]
    if task == "regression":
        targets = np.array([value for word in words if (value := number(word)) is not None])
        if len(targets) < len(words):
            raise BadInput(f"the label {label!r} holds words: use classification")
        if not len(targets):
            raise BadInput(f"the label {label!r} is empty in every row to train on")
        return Encoding(columns, label, task, (), *standard(label, targets))
    found = {class_name(word) for word in words}
    if len(found) < 2:
        raise BadInput(
            f"the label {label!r} has one class only ({', '.join(found) or 'none'}): there is"
            " nothing to learn"
        )
    numeric = all(number(name) is not None for name in found)
    classes = sorted(found, key=float) if numeric else sorted(found)
    return Encoding(columns, label, task, tuple(classes))


def standard(label: str, targets: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of targets. Raises: BadInput when all are the same."""
    if targets.min() == targets.max():
        raise BadInput(
            f"the label {label!r} is {targets[0]:g} in every row to train on: there is nothing to"
            " learn"
        )
    most = float(np.abs(targets).max())  # squares of the largest numbers would overflow
    return float((targets / most).mean()) * most, float((targets / most).std()) * most


def _column(table: Table, part: Table, name: str, impute: bool) -> Column:
    words = [word for word in part.words(name) if not missing(word)]
    if not words:
        raise BadInput(f"{table.name}: column {name!r} is empty in every row: remove it")
    if all(missing(word) or number(word) is not None for word in table.words(name)):
        values = np.array([float(word) for word in words])
        fill = repr(float((values / len(values)).sum())) if impute else None
        return Column(name, (), fill)
    counts = Counter(words)
    if len(counts) > MOST_WORDS:
        raise BadInput(
            f"{table.name}: column {name!r} has {len(counts)} different words, more than"
            f" {MOST_WORDS}: remove it, or turn it into numbers"
        )
    fill = max(sorted(counts), key=counts.__getitem__) if impute else None
    return Column(name, tuple(sorted(counts)), fill)
