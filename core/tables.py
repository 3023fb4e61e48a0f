"""Tables: CSV files and data frames as features and targets, and the encoding that a model keeps.

Columns of numbers pass through; columns of words become one column per word (one-hot). Class names
become class numbers; targets of a regression are standardized, and predictions turned back.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..kernels.errors import BadInput, unknown

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
MOST_CLASSES = 20  # integral labels with more distinct values than that are taken for numbers


@dataclass(frozen=True)
class Table:
    """Words in rows and columns, as read.

    columns: names. rows: one tuple of words a row. lines: where each row stands in the file.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def index(self, column: str) -> int:
        """The position of a column. Raises: UnknownName with the nearest spelling."""
        if column not in self.columns:
            raise unknown(f"column of {self.name}", column, self.columns)
        return self.columns.index(column)

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
    head = text.lstrip().split("\n", 1)[0]
    delimiter = max(",;\t|", key=head.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
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
    for column, count in Counter(header).items():
        if not column:
            raise BadInput(f"{path.name}: column {header.index('') + 1} has no name")
        if count > 1:
            raise BadInput(f"{path.name}: the column name {column!r} stands {count} times")
    return Table(path.name, tuple(header), tuple(rows), tuple(lines))


def from_frame(frame: Any) -> Table:
    """A data frame (anything with `columns` and `[name]`) as a table."""
    columns = tuple(str(c) for c in frame.columns)
    series = [[_word(v) for v in np.asarray(frame[c], dtype=object)] for c in frame.columns]
    rows = tuple(zip(*series, strict=True))
    return Table("the data frame", columns, rows, tuple(range(len(rows))))


def _word(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(float(value)) if isinstance(value, (float, np.floating)) else str(value)


def number(word: str) -> float | None:
    """The finite number that a word says, or None."""
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def missing(word: str) -> bool:
    """Whether a cell says that nothing is known."""
    return word.lower() in MISSING


@dataclass(frozen=True)
class Column:
    """One feature column: of numbers (no categories) or of words.

    fill: what stands in for a missing cell, or None to refuse it.
    """

    name: str
    categories: tuple[str, ...] = ()
    fill: str | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features that it becomes."""
        return tuple(f"{self.name}={c}" for c in self.categories) or (self.name,)

    def encode(self, table: Table) -> np.ndarray:
        """(n, features) numbers. Raises: BadInput naming line, column and cell."""
        words = table.words(self.name)
        result = np.zeros((len(words), len(self.features)))
        places = {category: at for at, category in enumerate(self.categories)}
        for row, given in enumerate(words):
            word = given
            if missing(word):
                if self.fill is None:
                    raise BadInput(
                        f"{self._where(table, row)} is empty: fill it, remove the row, or ask for"
                        " missing cells to be imputed"
                    )
                word = self.fill
            if not self.categories:
                value = number(word)
                if value is None:
                    raise BadInput(f"{self._where(table, row)} is {word!r}, not a number")
                result[row, 0] = value
            elif word in places:
                result[row, places[word]] = 1.0
            else:
                known = ", ".join(self.categories[:10])
                raise BadInput(
                    f"{self._where(table, row)} is {word!r}, which training never saw: it knows"
                    f" {known}{', ...' if len(self.categories) > 10 else ''}"
                )
        return result

    def _where(self, table: Table, row: int) -> str:
        return f"{table.name}, line {table.lines[row]}, column {self.name!r}"


@dataclass(frozen=True)
class Encoding:
    """How tables become arrays, and predictions words again; saved with the model.

    task: "classification" or "regression". classes: names by class number. mean, scale: a
    regression's target is (label - mean) / scale.
    """

    columns: tuple[Column, ...]
    label: str
    task: str
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0

    @property
    def features(self) -> tuple[str, ...]:
        """The names of all features."""
        return tuple(name for column in self.columns for name in column.features)

    def x(self, table: Table) -> np.ndarray:
        """(n, features). The table's columns may come in any order, and there may be more.

        Raises: UnknownName for a column that is missing, with the nearest; BadInput.
        """
        return np.hstack([column.encode(table) for column in self.columns])

    def y(self, table: Table) -> np.ndarray:
        """(n,) class numbers, or standardized targets. Raises: BadInput."""
        words = table.words(self.label)
        for row, word in enumerate(words):
            if missing(word):
                raise BadInput(f"{table.name}, line {table.lines[row]}: the label is empty")
        if self.task == "classification":
            places = {name: at for at, name in enumerate(self.classes)}
            names = [class_name(word) for word in words]
            for row, name in enumerate(names):
                if name not in places:
                    raise BadInput(
                        f"{table.name}, line {table.lines[row]}: label {name!r} is none of"
                        f" {', '.join(self.classes)}"
                    )
            return np.array([places[name] for name in names], dtype=np.int64)
        found = [number(word) for word in words]
        for row, value in enumerate(found):
            if value is None:
                raise BadInput(
                    f"{table.name}, line {table.lines[row]}: label {words[row]!r} is no number"
                )
        return (np.array(found, dtype=np.float64) - self.mean) / self.scale

    def to_json(self) -> dict[str, Any]:
        """Plain words and numbers."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Encoding:
        """The encoding of `to_json`."""
        columns = tuple(
            Column(c["name"], tuple(c["categories"]), c["fill"]) for c in told["columns"]
        )
        return cls(
            columns, str(told["label"]), str(told["task"]), tuple(told["classes"]),
            float(told["mean"]), float(told["scale"]),
        )  # fmt: skip


def class_name(word: str) -> str:
    """A label as a class name: 1 and 1.0 are the same class."""
    value = number(word)
    return word if value is None or value != math.floor(value) else str(int(value))


def decide_task(words: Sequence[str]) -> tuple[str, str]:
    """The task for a label column, and why."""
    values = [number(word) for word in words if not missing(word)]
    if any(value is None for value in values):
        return "classification", "the label holds words"
    distinct = len(set(values))
    if all(value == math.floor(value) for value in values if value is not None):
        if distinct <= MOST_CLASSES:
            return "classification", f"the label holds {distinct} different whole numbers"
        return "regression", f"the label holds {distinct} different whole numbers"
    return "regression", "the label holds numbers with fractions"


def learn(table: Table, rows: np.ndarray, label: str, task: str, impute: bool) -> Encoding:
    """The encoding of a table, learned from the training rows alone.

    Raises: BadInput.
    """
    part = Table(
        table.name,
        table.columns,
        tuple(table.rows[i] for i in rows),
        tuple(table.lines[i] for i in rows),
    )
    names = [name for name in table.columns if name != label]
    if not names:
        raise BadInput(f"{table.name} has no column beside the label {label!r}")
    columns = tuple(_column(part, name, impute) for name in names)
    words = [word for word in part.words(label) if not missing(word)]
    if task == "regression":
        targets = np.array([value for word in words if (value := number(word)) is not None])
        if len(targets) < len(words) or not len(targets):
            raise BadInput(f"the label {label!r} holds words: use classification")
        scale = float(targets.std()) or 1.0
        return Encoding(columns, label, task, (), float(targets.mean()), scale)
    found = {class_name(word) for word in words}
    if len(found) < 2:
        raise BadInput(
            f"the label {label!r} has one class only ({', '.join(found) or 'none'}): there is"
            " nothing to learn"
        )
    numeric = all(number(name) is not None for name in found)
    classes = sorted(found, key=float) if numeric else sorted(found)
    return Encoding(columns, label, task, tuple(classes))


def _column(table: Table, name: str, impute: bool) -> Column:
    words = [word for word in table.words(name) if not missing(word)]
    if not words:
        raise BadInput(f"{table.name}: column {name!r} is empty in every row: remove it")
    values = [value for word in words if (value := number(word)) is not None]
    if len(values) == len(words):
        return Column(name, (), repr(float(np.mean(values))) if impute else None)
    counts = Counter(words)
    fill = max(sorted(counts), key=counts.__getitem__) if impute else None
    return Column(name, tuple(sorted(counts)), fill)
