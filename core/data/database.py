"""DuckDB as the reader of tables: its connection, with a spill folder that goes with it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backends import threads
from .series import BATCH, Series, Table, word_series

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Kept = Callable[[Sequence[str]], frozenset[str]]  # of all columns those kept as written


def nothing_kept(columns: Sequence[str]) -> frozenset[str]:
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


class Stored(Table):
    """A table in a database, as `t` with c0, c1, ...: columns are read when they are asked for.

    exact: only nulls are missing.
    """

    def __init__(
        self,
        name: str,
        database: Database,
        columns: Sequence[str],
        rows: int,
        exact: bool,
        place: Any,
        hint: str,
        notes: Sequence[str],
    ) -> None:
        super().__init__(name, dict.fromkeys(columns), place, hint, notes)  # type: ignore[arg-type]
        self._database, self._rows, self._exact = database, rows, exact
        self._at = {column: f"c{at}" for at, column in enumerate(columns)}

    @property
    def rows(self) -> int:
        """How many."""
        return self._rows

    def series(self, column: str) -> Series:
        """The cells of a column, read now."""
        self.check(column)
        return self._database.fetch(f"SELECT {self._at[column]} FROM t", self._exact)[0]

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, Table]]:
        """Tables of consecutive rows with the columns."""
        for column in columns:
            self.check(column)
        told = ", ".join(self._at[column] for column in columns)
        for start in range(0, self._rows, BATCH):
            query = f"SELECT {told} FROM t WHERE rowid >= {start} AND rowid < {start + BATCH}"
            found = self._database.fetch(query, self._exact)
            some = dict(zip(columns, found, strict=True))
            yield start, Table(self.name, some, self._behind(start), self.hint)

    def loaded(self) -> Table:
        """The whole of it in memory, and without its database."""
        told = ", ".join(self._at.values())
        found = self._database.fetch(f"SELECT {told} FROM t", self._exact)
        self.close()
        some = dict(zip(self.columns, found, strict=True))
        return Table(self.name, some, self._place, self.hint, self.notes)

    def close(self) -> None:
        """Removes the database."""
        self._database.close()


class Database:
    """A connection to DuckDB, with a spill folder that goes with it."""

    def __init__(self, large: bool) -> None:
        import duckdb

        self.folder = Path(tempfile.mkdtemp(prefix="lamina-"))
        place = str(self.folder / "table.duckdb") if large else ":memory:"
        self.connection: DuckDBPyConnection = duckdb.connect(
            place,
            config={
                "threads": threads.count(),
                "temp_directory": str(self.folder / "spill"),
                "autoinstall_known_extensions": "false",
                "python_enable_replacements": "false",  # no variable of a program is a table
            },
        )

    def fetch(self, query: str, exact: bool, values: Sequence[Any] = ()) -> list[Series]:
        """The columns of a query's answer. Raises: what DuckDB does."""
        found = self.connection.execute(query, values).fetchnumpy()
        return [_series(array, exact) for array in found.values()]

    def close(self) -> None:
        """Ends the connection and removes the folder."""
        self.connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _series(array: Any, exact: bool) -> Series:
    """What DuckDB gave as a column."""
    gone = np.ma.getmaskarray(array) if isinstance(array, np.ma.MaskedArray) else None
    values: np.ndarray = np.ma.getdata(array)
    kind = values.dtype.kind
    if kind == "f":
        if gone is not None:
            values[gone] = np.nan
        return Series("number", values, (), exact)
    if kind == "M":
        values = values.astype("datetime64[us]", copy=False)
        if gone is not None:
            values[gone] = np.datetime64("NaT")
        return Series("time", values, (), exact)
    if kind in "bi":  # truths, and whether cells of other types are there
        codes = values.astype(np.int32)
        if gone is not None:
            codes[gone] = -1
        if kind == "b":
            return Series("word", codes, ("false", "true"), exact)
        return Series("other", codes, (), exact)
    listed = values.tolist()
    if gone is not None:
        listed = [None if out else v for v, out in zip(listed, gone.tolist(), strict=True)]
    return word_series(listed, exact)


def quoted(text: str) -> str:
    """A text of SQL."""
    return "'" + text.replace("'", "''") + "'"


def named(text: str) -> str:
    """A name of SQL."""
    return '"' + text.replace('"', '""') + '"'
