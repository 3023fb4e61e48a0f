"""DuckDB as the reader of tables: its connection, with a spill folder that goes with it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...backends import threads
from ...kernels.errors import BadInput
from . import stream
from .series import Series, Table, joined, word_series

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Of all columns those kept as written; told also which begin with numbers with fractions.
Kept = Callable[[Sequence[str], frozenset[str]], frozenset[str]]


def nothing_kept(columns: Sequence[str], fractions: frozenset[str]) -> frozenset[str]:
    """No column's cells are kept as they are written: numbers are numbers."""
    return frozenset()


@dataclass(frozen=True)
class Reading:
    """How a table is to be read, where it does not say so itself.

    missing: the words that say that nothing is known, instead of the usual ones. header: whether
    the first line names the columns. drop: columns that are left out. delimiter, decimal, encoding:
    of a text file.
    """

    missing: tuple[str, ...] | None = None
    header: bool | None = None
    drop: tuple[str, ...] = ()
    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None


class Chunked(Table):
    """A table in memory, in the pieces that it was read in.

    once: whether `batches` gives up the pieces that it has given, so that what is made of them
    takes their place in memory.
    """

    def __init__(
        self,
        name: str,
        columns: Sequence[str],
        chunks: list[list[Series]],
        place: Callable[[int], str] | None = None,
        hint: str = "",
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__(name, dict.fromkeys(columns), place, hint, notes)  # type: ignore[arg-type]
        self._chunks, self._rows = chunks, sum(len(chunk[0]) for chunk in chunks)
        self.once = False
        self._desk: np.ndarray | None = None

    @property
    def rows(self) -> int:
        """How many."""
        return self._rows

    def series(self, column: str) -> Series:
        """The cells of a column."""
        self.check(column)
        at = self.columns.index(column)
        return joined([chunk[at] for chunk in self._chunks])

    def glance(self, column: str) -> Series:
        """The same, good until the next glance: numbers are put where the last ones were."""
        self.check(column)
        at = self.columns.index(column)
        parts = [chunk[at] for chunk in self._chunks]
        if len(parts) < 2 or any(part.kind != "number" for part in parts):
            return joined(parts)
        if self._desk is None:
            self._desk = np.empty(self._rows)
        values = np.concatenate([part.values for part in parts], out=self._desk)
        return replace(parts[0], values=values)

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, Table]]:
        """Tables of consecutive rows with the columns."""
        for column in columns:
            self.check(column)
        self._desk = None
        at = [self.columns.index(column) for column in columns]
        start = 0
        for number in range(len(self._chunks)):
            chunk = self._chunks[number]
            if self.once:
                self._chunks[number] = []
            some = dict(zip(columns, (chunk[i] for i in at), strict=True))
            yield start, Table(self.name, some, self._behind(start), self.hint)
            start += len(chunk[0])
            del chunk, some


class Stored(Table):
    """A table that memory is too small for: columns are read when they are asked for.

    source: what gives its columns as c0, c1, ..., in the same order whenever it is asked. exact:
    only nulls are missing. Batches are good until the next one.
    """

    def __init__(
        self,
        name: str,
        columns: Sequence[str],
        database: Database,
        source: str,
        exact: bool,
        place: Callable[[int], str] | None = None,
        hint: str = "",
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__(name, dict.fromkeys(columns), place, hint, notes)  # type: ignore[arg-type]
        self._database, self._source, self._exact = database, source, exact
        self._rows = database.count(source)
        self._desk: np.ndarray | None = None

    @property
    def rows(self) -> int:
        """How many."""
        return self._rows

    def series(self, column: str) -> Series:
        """The cells of a column, read now."""
        self.check(column)
        query = f"SELECT c{self.columns.index(column)} FROM {self._source}"
        return joined([part[0] for part in self._parts(query, hold=True)])

    def glance(self, column: str) -> Series:
        """The same, good until the next glance: numbers are put where the last ones were."""
        self.check(column)
        query = f"SELECT c{self.columns.index(column)} FROM {self._source}"
        if self._desk is None:
            self._desk = np.empty(self._rows)
        start, parts = 0, []
        for (part,) in self._parts(query):
            if part.kind == "number":
                self._desk[start : start + len(part)] = part.values
                start += len(part)
            else:
                parts.append(replace(part, values=part.values.copy()))
        return joined(parts) if parts else Series("number", self._desk[:start], (), self._exact)

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, Table]]:
        """Tables of consecutive rows with the columns."""
        for column in columns:
            self.check(column)
        told = ", ".join(f"c{self.columns.index(column)}" for column in columns)
        start, self._desk = 0, None
        query = f"SELECT {told} FROM {self._source}"
        for part in self._parts(query):
            some = dict(zip(columns, part, strict=True))
            yield start, Table(self.name, some, self._behind(start), self.hint)
            start += len(part[0])

    def _parts(self, query: str, hold: bool = False) -> Iterator[list[Series]]:
        """What is streamed. Raises: BadInput where a file is damaged further down."""
        import duckdb

        try:
            yield from self._database.stream(query, self._exact, hold)
        except (duckdb.Error, RuntimeError) as error:
            raise unread(self.name, error) from None

    def close(self) -> None:
        """Removes the database."""
        self._database.close()


class Database:
    """A connection to DuckDB, with a spill folder that goes with it."""

    def __init__(self) -> None:
        import duckdb

        self.folder = Path(tempfile.mkdtemp(prefix="lamina-"))
        self.connection: DuckDBPyConnection = duckdb.connect(
            config={
                "threads": threads.count(),
                "temp_directory": str(self.folder / "spill"),
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",  # no variable of a program is a table
            },
        )
        self.connection.execute("SET enable_progress_bar = false")  # it writes among our output
        self.connection.execute("SET enable_external_file_cache = false")  # they are the system's
        self.connection.execute("SET parquet_metadata_cache = true")  # a query for each column

    def stream(self, query: str, exact: bool, hold: bool = True) -> Iterator[list[Series]]:
        """The columns of a query's answer, some rows at a time. Raises: what DuckDB does.

        hold: see `stream.batches`.
        """
        for part in stream.batches(self.connection, query, hold):
            yield [_series(column, exact) for column in part]

    def gathered(self, query: str, exact: bool, most: float) -> list[list[Series]] | None:
        """The whole answer in pieces, or None where it has more than so many bytes."""
        chunks: list[list[Series]] = []
        size = 0
        for part in self.stream(query, exact):
            size += sum(series.values.nbytes + sum(map(len, series.words)) for series in part)
            if size > most:
                return None
            chunks.append(part)
        return chunks

    def keep(self, query: str, first: bool = True) -> None:
        """Puts an answer into the table `kept`, on disk; behind what is there, if not the first."""
        if not first:
            self.connection.execute(f"INSERT INTO disk.kept {query}")
            return
        file = quoted(str(self.folder / "table.duckdb"))
        self.connection.execute(f"ATTACH IF NOT EXISTS {file} AS disk")
        self.connection.execute(f"CREATE OR REPLACE TABLE disk.kept AS {query}")

    def count(self, source: str) -> int:
        """How many rows there are."""
        found = self.connection.execute(f"SELECT count(*) FROM {source}").fetchall()
        return int(found[0][0])

    def close(self) -> None:
        """Ends the connection and removes the folder."""
        self.connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _series(column: stream.Column, exact: bool) -> Series:
    """What DuckDB gave as a column."""
    if isinstance(column, list):
        return word_series(column, exact)
    if isinstance(column, tuple):
        return Series("word", *column, exact)
    kind = column.dtype.kind
    if kind == "f":
        return Series("number", column, (), exact)
    if kind == "M":
        return Series("time", column, (), exact)
    if column.dtype == np.int8:
        return Series("word", column.astype(np.int32), ("false", "true"), exact)
    return Series("other", column, (), exact)  # whether cells of other types are there


def unread(name: str, error: Exception) -> BadInput:
    """What is said of what DuckDB cannot read."""
    what = "cannot be answered" if name == "the query" else "cannot be read as a table"
    return BadInput(f"{name} {what}: {str(error).strip().splitlines()[0]}")


def quoted(text: str) -> str:
    """A text of SQL."""
    return "'" + text.replace("'", "''") + "'"


def named(text: str) -> str:
    """A name of SQL."""
    return '"' + text.replace('"', '""') + '"'
