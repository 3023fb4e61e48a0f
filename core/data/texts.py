"""Text files as tables: DuckDB reads them, as `dialect` says that they are written."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...kernels.errors import BadInput
from . import dialect as dialects
from .database import Database, Kept, Reading, Stored, quoted
from .dialect import Dialect
from .series import Table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SMALL = 1 << 24  # bytes of a file that are read at once
NULLS = ("", "NA", "N/A", "#N/A", "<NA>", "nan", "NaN", "-nan", "NULL", "null", "?")


def read(name: str, paths: list[Path], reading: Reading, words: Kept) -> Table:
    """The table of text files that have the same columns, in any order. Raises: BadInput."""
    given = (reading.encoding, reading.delimiter, reading.decimal, reading.header)
    found = [dialects.find(path, *given) for path in paths]
    columns = [c for at, c in enumerate(found[0].columns) if at not in found[0].empty]
    for path, one in zip(paths, found, strict=True):
        if odd := set(columns) ^ {c for at, c in enumerate(one.columns) if at not in one.empty}:
            raise BadInput(
                f"{path.name} has other columns than {paths[0].name}: {', '.join(sorted(odd)[:5])}"
            )
    large = sum(path.stat().st_size for path in paths) > SMALL or any(
        path.suffix.lower() in dialects.OPENERS for path in paths
    )
    kept = words(columns)
    kinds = {
        column: all(one.numeric[one.columns.index(column)] and column not in kept for one in found)
        for column in columns
    }
    hint = found[0].decimal
    notes = tuple(dict.fromkeys(note for one in found for note in one.notes))
    database = Database(large)
    try:
        counts: list[int] = []
        for path, one in zip(paths, found, strict=True):
            plain = path if one.plain else _plain(path, one, database.folder)
            kinds = _held(database, path, plain, one, kinds, reading, counts)
        rows = sum(counts)
        if not rows:
            raise BadInput(f"{name} has no rows")
        table = Stored(
            name, database, columns, rows, False, _places(paths, found, counts), hint, notes
        )
        return table if large else table.loaded()
    except BaseException:
        database.close()
        raise


def _plain(path: Path, found: Dialect, folder: Path) -> Path:
    """A copy of a file in UTF-8, unpacked, with one kind of line ends."""
    target = folder / "plain.csv"
    with (
        dialects.text(path, found.encoding) as file,
        target.open("w", encoding="utf-8", newline="") as out,
    ):
        file.reconfigure(newline=None)
        shutil.copyfileobj(file, out, dialects.CHUNK)
    return target


def _held(
    database: Database,
    path: Path,
    plain: Path,
    found: Dialect,
    kinds: dict[str, bool],
    reading: Reading,
    counts: list[int],
) -> dict[str, bool]:
    """Puts a file into the table `t`; columns with words among the numbers are read as words."""
    import duckdb

    columns = list(kinds)
    connection = database.connection
    while True:
        query = _query(plain, found, kinds, reading)
        try:
            if not counts:
                connection.execute(f"CREATE OR REPLACE TABLE t AS {query}")
            else:
                connection.execute(f"INSERT INTO t {query}")
            held = connection.execute("SELECT count(*) FROM t").fetchall()[0][0]
            counts.append(held - sum(counts))
            return kinds
        except duckdb.Error as error:
            column = re.search(r'when converting column "c(\d+)"', str(error))
            if column is None or not isinstance(error, duckdb.ConversionException):
                raise _refused(path, found, error) from None
            odd = {columns[int(column[1])]}
        try:
            odd |= _not_numbers(connection, plain, found, kinds, reading)
            kinds = {name: numeric and name not in odd for name, numeric in kinds.items()}
            if counts:  # what came from files before is turned into words as well
                for at, name in enumerate(columns):
                    if name in odd:
                        connection.execute(f"ALTER TABLE t ALTER c{at} TYPE VARCHAR")
        except duckdb.Error as error:
            raise _refused(path, found, error) from None


def _query(
    plain: Path, found: Dialect, kinds: dict[str, bool], reading: Reading, count: bool = False
) -> str:
    """Reads a file's columns as c0, c1, ..., in the order of `kinds`."""
    order = {name: at for at, name in enumerate(kinds)}
    held, numeric = [], []
    for at, column in enumerate(found.columns):
        name = f"c{order[column]}" if column in order else f"empty{at}"
        double = column in order and kinds[column] and not count
        held.append(f"{quoted(name)}: '{'DOUBLE' if double else 'VARCHAR'}'")
        numeric.append(name)
    nulls = NULLS if reading.missing is None else ("", *reading.missing)
    words = ", ".join(quoted(word) for word in dict.fromkeys(nulls))
    chosen = ", ".join(f"c{at}" for at in range(len(kinds)))
    return (
        f"SELECT {chosen} FROM read_csv({quoted(_literal(plain))}, auto_detect = false,"
        f" delim = {quoted(found.delimiter)}, quote = '\"', escape = '\"', header = false,"
        f" skip = {found.first}, nullstr = [{words}], columns = {{{', '.join(held)}}},"
        f" decimal_separator = {quoted(found.decimal or '.')}, strict_mode = true,"
        " max_line_size = 20000000)"
    )


def _literal(path: Path) -> str:
    """A path in which DuckDB sees no pattern."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def _not_numbers(
    connection: DuckDBPyConnection,
    plain: Path,
    found: Dialect,
    kinds: dict[str, bool],
    reading: Reading,
) -> set[str]:
    """The columns of numbers in which some cell is none."""
    names = [name for name, numeric in kinds.items() if numeric]
    at = {name: f"c{number}" for number, name in enumerate(kinds)}
    decimal = found.decimal or "."
    told = ", ".join(
        f"bool_or({at[n]} IS NOT NULL AND TRY_CAST("
        + (f"replace({at[n]}, ',', '.')" if decimal == "," else at[n])
        + " AS DOUBLE) IS NULL)"
        for n in names
    )
    query = _query(plain, found, kinds, reading, count=True)
    answer = connection.execute(f"SELECT {told} FROM ({query})").fetchall()[0]
    return {name for name, odd in zip(names, answer, strict=True) if odd}


def _refused(path: Path, found: Dialect, error: Exception) -> BadInput:
    """What DuckDB says of a file, with the line as an editor counts it."""
    wanted = len(found.columns)
    try:
        with dialects.text(path, found.encoding) as file:
            rows = dialects.rows_of(iter(file), path.name, found.delimiter, found.skipped)
            for line, row in rows:
                if len(row) != wanted:
                    return BadInput(
                        dialects.ragged(path.name, line, len(row), wanted, found.delimiter)
                    )
    except BadInput as told:
        return told
    first = str(error).split("\n")[0].removeprefix("Invalid Input Error: ")
    return BadInput(f"{path.name} cannot be read as a table: {first}")


def _places(paths: list[Path], found: list[Dialect], counts: list[int]) -> Any:
    """Where rows stand in the files, as an editor counts lines."""

    def place(row: int) -> str:
        for path, one, count in zip(paths, found, counts, strict=True):
            if row >= count:
                row -= count
                continue
            with dialects.text(path, one.encoding) as file:
                rows = dialects.rows_of(iter(file), path.name, one.delimiter, one.skipped)
                wanted = row + one.header
                line = next(line for at, (line, _) in enumerate(rows) if at == wanted)
            return f"{path.name}, line {line}"
        return f"{paths[-1].name}, row {row}"

    return place
