"""Tables of any source; files and queries are read by DuckDB, imported when one is.

What is small is held in memory. What is large goes into a database in a spill folder, which is
removed with the table, and comes from there column by column and batch by batch.
"""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import Any

from ...kernels.errors import BadInput
from . import texts
from .characters import OPENERS
from .database import (
    Chunked,
    Database,
    Kept,
    Reading,
    Stored,
    named,
    nothing_kept,
    quoted,
    unread,
)
from .frames import from_frame, is_frame
from .series import Table, check_names
from .spill import room

TEXT = (".csv", ".tsv", ".txt", ".tab", ".psv", ".data")
PARQUET = (".parquet", ".pq")
JSON = (".jsonl", ".ndjson", ".json")
ARROW = (".arrow", ".feather", ".ipc")
UNREAD = (".zip", ".zst", ".7z", ".tar", ".rar", ".br", ".lz4")
SHEETS = (".xlsx", ".xls", ".ods", ".numbers")
PACKED = (*OPENERS,)
QUERY = re.compile(r"\s*(select|from|with)\s", re.IGNORECASE)
FRACTIONS = ("DOUBLE", "FLOAT", "DECIMAL", "REAL")
NUMBERS = ("INT", "FLOAT", "DOUBLE", "DECIMAL", "REAL", "UINT", "HUGE", "UHUGE", "BIGINT")
WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")


def suffix(path: str) -> str:
    """The end of a file's name that tells its format, without that of a packer."""
    name = Path(path).name.lower()
    for packer in (*PACKED, ".zst"):
        name = name.removesuffix(packer)
    return Path(name).suffix


def is_query(source: str) -> bool:
    """Whether a text is a query of DuckDB's SQL."""
    return QUERY.match(source) is not None


def is_file(source: str) -> bool:
    """Whether a text names files that can be tables, by how their names end."""
    return suffix(source) in (*TEXT, *PARQUET, *JSON, *ARROW, *SHEETS)


def files(source: str) -> list[Path]:
    """The files that a path or a pattern names, in order. Raises: BadInput where there are none."""
    if any(sign in source for sign in "*?[") and not Path(source).exists():
        found = sorted(Path(name) for name in glob.glob(source, recursive=True))  # noqa: PTH207  absolute too
        if not found:
            raise BadInput(f"no file is named like {source!r}")
        return found
    path = Path(source)
    if path.is_dir():
        raise BadInput(f"{source!r} is a folder, not a file: name files in it, as '{source}/*.csv'")
    if not path.exists():
        raise BadInput(f"there is no file {source!r}")
    if not path.is_file():
        raise BadInput(f"{source!r} is no regular file: a table is read more than once, save it")
    return [path]


def read(source: str, reading: Reading, words: Kept = nothing_kept) -> Table:
    """The table of a file, of several that a pattern names, or of a query.

    words: columns whose cells are kept as they are written, such as labels. Raises: BadInput.
    """
    if is_query(source):
        # On lines of its own: it may end in a comment.
        return _typed("the query", f"(\n{source.strip().rstrip(';')}\n)", words, [])
    found = files(source)
    kinds = {suffix(str(path)) for path in found}
    kind = kinds.pop()
    if kinds:
        raise BadInput(f"{source!r} names files of different formats: {kind} and {kinds.pop()}")
    name = found[0].name if len(found) == 1 else source
    if kind in SHEETS:
        raise BadInput(f"{name} is a spreadsheet: save the sheet as CSV, and give that")
    for path in found:
        if path.suffix.lower() in UNREAD:
            raise BadInput(
                f"{path.name} is packed in a way that is not read here: unpack it, or pack it with"
                " gzip, bzip2 or xz"
            )
    if kind in ARROW:
        return _arrow(found)
    if kind in PARQUET or kind in JSON:
        what, more = "read_parquet", ""
        if kind in JSON:  # all lines tell what keys there are, and of which types
            what, more = "read_json_auto", ", sample_size = -1, union_by_name = true"
        listed = ", ".join(quoted(str(path)) for path in found)
        return _typed(name, f"{what}([{listed}]{more})", words, found)
    return texts.read(name, found, reading, words)


def is_table(source: Any) -> bool:
    """Whether a source can be read as a table: a path, a pattern, a query, a frame or the like."""
    if isinstance(source, (str, os.PathLike)):
        return True
    return isinstance(source, Table) or is_frame(source)


def open_table(
    source: Any,
    reading: Reading | None = None,
    words: Kept | frozenset[str] = nothing_kept,
) -> Table:
    """A table, to be closed in the end.

    source: a path, a pattern of paths, a query that begins with SELECT, FROM or WITH, a data frame
    of pandas or polars, an Arrow table, a dictionary of lists, or a table, which stays open.
    words: columns whose cells are kept as they are written. Raises: BadInput.
    """
    if isinstance(source, Table):
        return Borrowed(source)
    if is_frame(source):
        return from_frame(source, (reading or Reading()).decimal or ".")
    if not isinstance(source, (str, os.PathLike)):
        raise BadInput(f"a table is a path, a query or a data frame, not {type(source).__name__}")
    kept = words
    if isinstance(kept, frozenset):
        known = kept
        return read(str(os.fspath(source)), reading or Reading(), lambda *_: known)
    return read(str(os.fspath(source)), reading or Reading(), kept)


class Borrowed(Table):
    """A table that somebody else closes."""

    def __init__(self, table: Table) -> None:
        super().__init__(table.name, {}, table.place, table.hint, table.notes)
        self.columns, self._table = table.columns, table
        self.series, self.glance = table.series, table.glance  # type: ignore[method-assign]
        self.batches = table.batches  # type: ignore[method-assign]

    @property
    def rows(self) -> int:
        """How many."""
        return self._table.rows


# Columns that have types


def _arrow(paths: list[Path]) -> Table:
    try:
        import pyarrow
        from pyarrow import feather
    except ImportError:
        raise BadInput(
            f"{paths[0].name} is an Arrow file, which needs pyarrow: pip install pyarrow, or give"
            " Parquet"
        ) from None
    try:
        made = pyarrow.concat_tables([feather.read_table(path) for path in paths])
    except (OSError, pyarrow.ArrowException) as error:
        raise BadInput(f"{paths[0].name} is no Arrow file, or is damaged: {error}") from None
    table = from_frame(made)
    return Table(paths[0].name, {name: table.series(name) for name in table.columns})


def _typed(name: str, source: str, words: Kept, paths: list[Path]) -> Table:
    """The table of an expression whose columns have types of their own."""
    import duckdb

    database = Database()
    try:
        try:
            told = database.connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
            columns = [row[0] for row in told]
            if paths:
                _check_cases(name, columns)
            if paths and suffix(str(paths[0])) in PARQUET:
                _check_columns(database, paths, columns)
            check_names(name, columns)
            fractions = frozenset(
                column for column, kind, *_ in told if str(kind).startswith(FRACTIONS)
            )
            kept = words(columns, fractions)
            cast = [_cast(named(column), str(kind), column in kept) for column, kind, *_ in told]
            chosen = ", ".join(f"{one} AS c{at}" for at, one in enumerate(cast))
            query = f"SELECT {chosen} FROM {source}"
            stays = bool(paths) and suffix(str(paths[0])) in PARQUET
            if stays and any(one.endswith("VARCHAR") for one in cast):  # words are made once
                stays = database.count(source) * len(columns) * 8 > room()
            # A column of a Parquet is sooner read again than kept.
            chunks = None if stays else database.gathered(query, True, room())
            if chunks is None:
                if not paths:  # a query need not give the same rows when it is asked again
                    database.keep(query)
                    query = "SELECT * FROM disk.kept"
                return Stored(name, columns, database, f"({query})", True, None, ".")
        except (duckdb.Error, RuntimeError) as error:
            raise unread(name, error) from None
        database.close()
        chunks = [chunk for chunk in chunks if len(chunk[0])]
        if not chunks:
            raise BadInput(f"{name} has no rows")
        return Chunked(name, columns, chunks, None, ".")
    except BaseException:
        database.close()
        raise


def _check_columns(database: Database, paths: list[Path], columns: list[str]) -> None:
    """Raises BadInput for files with other columns than the first one, in any order."""
    for path in paths[1:]:
        query = f"DESCRIBE SELECT * FROM read_parquet({quoted(str(path))})"
        told = {row[0] for row in database.connection.execute(query).fetchall()}
        if odd := sorted(set(columns) ^ told):
            raise BadInput(
                f"{path.name} has other columns than {paths[0].name}: {', '.join(odd[:5])}"
            )


def _check_cases(name: str, columns: list[str]) -> None:
    """Raises BadInput for names that differ in case alone: DuckDB calls A beside a A_1."""
    known = {column.lower() for column in columns}
    for column in columns:
        bare = re.sub(r"_\d+$", "", column)
        if bare != column and bare not in columns and bare.lower() in known:
            raise BadInput(
                f"{name}: another column is called like {bare!r}, but for the case of its letters:"
                " rename one of them"
            )


def _cast(column: str, kind: str, word: bool) -> str:
    """A column as numbers, truths, times or words."""
    base = kind.split("(")[0].upper()
    if kind.endswith("]") or base in ("STRUCT", "MAP", "UNION", "BLOB", "BIT", "GEOMETRY"):
        return f"CASE WHEN {column} IS NULL THEN NULL ELSE 0 END::INTEGER"
    if word and base in WHOLE:
        return f"{column}::BIGINT"
    if word and base not in ("DATE", "TIME") and not base.startswith("TIMESTAMP"):
        return f"{column}::VARCHAR"
    if base == "INTERVAL":
        return "extract(epoch FROM " + column + ")::DOUBLE"
    if base.startswith(NUMBERS) or base in ("TINYINT", "SMALLINT"):
        return f"{column}::DOUBLE"
    if base == "JSON":  # values of several types: words without their quotes
        return f"({column} ->> '$')::VARCHAR"
    if base == "BOOLEAN":
        return column
    if base == "DATE" or base.startswith("TIMESTAMP"):
        return f"{column}::TIMESTAMP"
    if base == "TIME":
        return f"(DATE '1970-01-01' + {column})::TIMESTAMP"
    return f"{column}::VARCHAR"
