"""Text files as tables: DuckDB reads them, as `dialect` says that they are written."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...kernels.errors import BadInput
from . import cells, characters
from . import dialect as dialects
from .database import Chunked, Database, Kept, Reading, Stored, quoted
from .dialect import Dialect
from .series import Series, Table
from .spill import room

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NULLS = sorted(cells.MISSING)
LINES = "buffer_size = 4000000"  # bytes; DuckDB's own 32 MB a thread are as much as a table takes
LONG_LINES = "buffer_size = 128000000, max_line_size = 64000000"


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
    fractions = frozenset(
        column
        for column in columns
        if all(one.fractions[one.columns.index(column)] for one in found)
    )
    kept = words(columns, fractions)
    kinds = {
        column: all(one.numeric[one.columns.index(column)] and column not in kept for one in found)
        for column in columns
    }
    notes = tuple(dict.fromkeys(note for one in found for note in one.notes))
    database = Database()
    try:
        plain = [
            path if one.plain else _plain(path, one, database.folder / f"{at}.csv")
            for at, (path, one) in enumerate(zip(paths, found, strict=True))
        ]
        files = [Text(*each) for each in zip(paths, plain, found, strict=True)]
        large = sum(path.stat().st_size for path in plain) > room()
        made = _read(database, files, kinds, reading, large)
        place = _places(files)
        if large:
            return Stored(
                name, columns, database, "disk.kept", False, place, found[0].decimal, notes
            )
        database.close()
        chunks = [chunk for some in made for chunk in some if len(chunk[0])]
        if not chunks:
            raise BadInput(f"{name} has no rows")
        return Chunked(name, columns, chunks, place, found[0].decimal, notes)
    except BaseException:
        database.close()
        raise


@dataclass(frozen=True)
class Text:
    """A text file: where it is, where it lies as plain UTF-8, and how it is written."""

    path: Path
    plain: Path
    found: Dialect


def _plain(path: Path, found: Dialect, target: Path) -> Path:
    """A copy of a file's rows in UTF-8, unpacked, with one kind of line ends."""
    with (
        characters.text(path, found.encoding) as file,
        target.open("w", encoding="utf-8", newline="") as out,
    ):
        file.reconfigure(newline=None)
        for _ in range(found.above):
            file.readline()
        shutil.copyfileobj(file, out, characters.CHUNK)
    return target


def _read(
    database: Database, files: list[Text], kinds: dict[str, bool], reading: Reading, large: bool
) -> list[list[list[Series]]]:
    """The pieces of each file, or nothing, but the table `kept` in the database, where it is large.

    Columns that turn out to have words among the numbers are read as words, in all files.
    """
    import duckdb

    sizes, columns = LINES, list(kinds)
    while True:
        made: list[list[list[Series]]] = []
        for number, file in enumerate(files):
            query = _query(file, kinds, reading, sizes)
            try:
                if large:
                    database.keep(query, first=not number)
                else:
                    made.append(list(database.stream(query, exact=False)))
                continue
            except (duckdb.Error, RuntimeError) as error:
                column = re.search(r'when converting column "c(\d+)"', str(error))
                if "Maximum line size" in str(error) and sizes == LINES:
                    sizes = LONG_LINES
                    break
                if column is None:
                    raise _refused(file, error) from None
                odd = {columns[int(column[1])]}
            try:
                odd |= _not_numbers(database.connection, file, kinds, reading, sizes)
            except duckdb.Error as error:
                raise _refused(file, error) from None
            kinds = {name: numeric and name not in odd for name, numeric in kinds.items()}
            break
        else:
            return made


def _query(
    file: Text, kinds: dict[str, bool], reading: Reading, sizes: str, words: bool = False
) -> str:
    """Reads a file's columns as c0, c1, ..., in the order of `kinds`; words: none as numbers."""
    order = {name: at for at, name in enumerate(kinds)}
    found = file.found
    held = []
    for at, column in enumerate(found.columns):
        name = f"c{order[column]}" if column in order else f"empty{at}"
        double = column in order and kinds[column] and not words
        held.append(f"{quoted(name)}: '{'DOUBLE' if double else 'VARCHAR'}'")
    nulls = NULLS if reading.missing is None else ("", *reading.missing)
    # With the delimiter in it a word is no cell, but in quotes; `Series.cleaned` sees to that.
    nulls = [word for word in nulls if found.delimiter not in word]
    told = ", ".join(quoted(word) for word in dict.fromkeys(nulls))
    chosen = ", ".join(f"c{at}" for at in range(len(kinds)))
    skip = found.above if found.plain else 0
    return (
        f"SELECT {chosen} FROM read_csv({quoted(_literal(file.plain))}, auto_detect = false,"
        f" delim = {quoted(found.delimiter)}, quote = '\"', escape = '\"', header = false,"
        f" skip = {skip}, nullstr = [{told}], columns = {{{', '.join(held)}}},"
        f" decimal_separator = {quoted(found.decimal or '.')}, strict_mode = true, {sizes})"
    )


def _literal(path: Path) -> str:
    """A path in which DuckDB sees no pattern."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def _not_numbers(
    connection: DuckDBPyConnection, file: Text, kinds: dict[str, bool], reading: Reading, sizes: str
) -> set[str]:
    """The columns of numbers in which some cell is none."""
    names = [name for name, numeric in kinds.items() if numeric]
    at = {name: f"c{number}" for number, name in enumerate(kinds)}
    comma = file.found.decimal == ","
    told = ", ".join(
        f"bool_or({at[n]} IS NOT NULL AND TRY_CAST("
        + (f"replace({at[n]}, ',', '.')" if comma else at[n])
        + " AS DOUBLE) IS NULL)"
        for n in names
    )
    query = _query(file, kinds, reading, sizes, words=True)
    answer = connection.execute(f"SELECT {told} FROM ({query})").fetchall()[0]
    return {name for name, odd in zip(names, answer, strict=True) if odd}


def _rows(file: Text) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file, each with the line that it ends on, as an editor counts. Slow."""
    found = file.found
    with characters.text(file.path, found.encoding) as text:
        yield from dialects.rows_of(iter(text), file.path.name, found.delimiter, found.skipped)


def _refused(file: Text, error: Exception) -> BadInput:
    """What DuckDB says of a file, with the line as an editor counts it."""
    found, name = file.found, file.path.name
    wanted = len(found.columns)
    try:
        for line, row in _rows(file):
            if len(row) != wanted:
                return BadInput(dialects.ragged(name, line, len(row), wanted, found.delimiter))
    except BadInput as told:
        return told
    first = str(error).split("\n")[0].removeprefix("Invalid Input Error: ")
    return BadInput(f"{name} cannot be read as a table: {first}")


def _places(files: list[Text]) -> Callable[[int], str]:
    """Where rows stand in the files, as an editor counts lines."""

    def place(row: int) -> str:
        for file in files:
            for number, (line, _) in enumerate(_rows(file)):
                if number == row + file.found.header:
                    return f"{file.path.name}, line {line}"
            row -= number + 1 - file.found.header
        return f"{files[-1].path.name}, row {row}"

    return place
