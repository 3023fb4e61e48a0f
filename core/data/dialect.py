"""How a text file writes its table: characters, separator, header, decimal sign.

Nothing is guessed silently: where two readings fit, the file is refused with the option that tells.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ...kernels.errors import BadInput
from . import cells

SEPARATORS = (",", ";", "\t", "|")
NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar", " ": "a blank"}
SPELLED = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|", "space": " "}
HEAD = 1 << 18  # characters that are looked at
LINES = 400  # of them, at most
PLAIN = ("utf-8", "ascii")  # as DuckDB reads it
CHUNK = 1 << 22
MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
OPENERS: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open,
}  # fmt: skip
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class Dialect:
    """What was found: how to read a file.

    encoding: of its characters. delimiter, decimal: a character each; decimal is "" where nothing
    tells. skipped: lines before the header. header: whether a line names the columns. columns: the
    names. above: how many lines are above the rows. numeric: which columns
    begin with numbers as programs write them; fractions: with such as have a fraction. plain:
    whether the file is UTF-8 as it lies, with one kind of line ends, and nothing above the rows but
    the header's line. empty: which
    columns are nothing. notes: what a user should know of it.
    """

    encoding: str
    delimiter: str
    decimal: str
    skipped: int
    header: bool
    columns: tuple[str, ...]
    above: int
    numeric: tuple[bool, ...]
    fractions: tuple[bool, ...]
    plain: bool
    empty: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def stream(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked."""
    opener = OPENERS.get(path.suffix.lower())
    found: IO[bytes] = opener(path, "rb") if opener else path.open("rb")
    return found


def text(path: Path, encoding: str) -> io.TextIOWrapper:
    """The characters of a file; only line ends part lines."""
    name = "utf-8-sig" if encoding == "utf-8" else encoding
    return io.TextIOWrapper(stream(path), encoding=name, newline="")


def check_characters(path: Path, encoding: str | None) -> tuple[str, bool]:
    """The encoding of a file, and whether it can be read as it lies there; all is looked at.

    encoding: as asked for, or None. Raises: BadInput with the line of what is no character.
    """
    lines, returns = 0, 0
    try:
        with stream(path) as file:
            start = file.read(4)
            marked = next((name for mark, name in MARKS if start.startswith(mark)), None)
            try:
                chosen = codecs.lookup(encoding or marked or "utf-8").name
                decoder = codecs.getincrementaldecoder(chosen)()
            except (LookupError, TypeError):
                raise BadInput(
                    f"--encoding {encoding} is none that Python knows: try utf-8, utf-16, cp1252 or"
                    " latin-1"
                ) from None
            chunk = start + file.read(CHUNK)
            while chunk:
                if chosen == "utf-8" and (at := chunk.find(b"\0")) >= 0:
                    line = lines + chunk.count(b"\n", 0, at) + 1
                    raise BadInput(
                        f"{path.name}, line {line} has zero bytes: it is no text, or of 16-bit"
                        " characters, which --encoding utf-16 reads"
                    )
                following = file.read(CHUNK)
                try:
                    if not (chosen in PLAIN and chunk.isascii() and not decoder.getstate()[0]):
                        decoder.decode(chunk, final=not following)
                except UnicodeDecodeError as error:
                    line = lines + error.object[: error.start].count(b"\n") + 1
                    raise BadInput(
                        f"{path.name}, line {line} is no text in {chosen}: save the file in UTF-8,"
                        " or name its characters, as in --encoding cp1252 (Windows), latin-1 or"
                        " utf-16"
                    ) from None
                lines += chunk.count(b"\n")
                returns += chunk.count(b"\r")
                chunk = following
    except BadInput:
        raise
    except DAMAGE as error:
        told = getattr(error, "strerror", None) or error
        raise BadInput(f"{path} cannot be read: {told}") from None
    mixed = lines and returns and lines != returns  # kinds of line ends, which DuckDB refuses
    packed = path.suffix.lower() in OPENERS
    return chosen, chosen in PLAIN and not packed and not mixed


def rows_of(
    file: Iterator[str], name: str, delimiter: str, skipped: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line that it ends on. Raises: BadInput."""
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    for _ in range(skipped):
        next(file, None)
    try:
        for row in reader:
            if row and row != [""]:
                yield reader.line_num + skipped, row
    except csv.Error as error:
        line = reader.line_num + skipped
        told = "a quote is opened and never closed" if "end of data" in str(error) else error
        raise BadInput(f"{name}, line {line}: {told}") from None


def find(
    path: Path,
    encoding: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
) -> Dialect:
    """How a file is written; what is given is taken as said.

    Raises: BadInput, naming the line and the option, where two readings fit or none does.
    """
    chosen, plain = check_characters(path, encoding)
    with text(path, chosen) as file:
        head = file.read(HEAD)
        whole = not file.read(1)
    if not whole:  # the last line, and an open quote, are cut
        head = head[: max(head.rfind("\n"), head.rfind("\r")) + 1] or head
    name, notes = path.name, []
    skipped = 0
    if found := re.match(r"\ufeff?\s*\"?sep=(.)\"?[ \t]*(\r\n|\n|\r)", head, re.IGNORECASE):
        skipped = found[0].count("\n") or 1
        delimiter = delimiter or found[1]
    if delimiter is not None:
        delimiter = SPELLED.get(delimiter, delimiter)
        if len(delimiter) != 1 or delimiter in '"\n\r':
            raise BadInput(f"--delimiter takes one character, or tab, not {delimiter!r}")
    else:
        delimiter, said = separator(name, head, skipped)
        notes += said
    sample = _sample(name, head, whole, delimiter, skipped)
    if not sample:
        raise BadInput(f"{name} has no header")
    line, first = sample[0]
    columns = [word.strip() for word in first]
    named = _named(name, line, columns, sample[1:], header)
    empty: tuple[int, ...] = ()
    if not named:
        columns = [f"c{i + 1}" for i in range(len(columns))]
    else:
        columns, empty, more = _given_names(name, line, columns, sample[1:])
        notes += more
        if len(sample) < 2 and whole:
            raise BadInput(f"{name} has no rows")
    body = sample[1:] if named else sample
    breaks = sum(word.count("\n") or word.count("\r") for word in first)
    above = line if named else line - 1 - breaks
    words = [[row[at] for _, row in body if at < len(row)] for at in range(len(columns))]
    if decimal is not None and decimal not in (".", ","):
        raise BadInput(f"--decimal is . or , and not {decimal!r}")
    sign = decimal or _decimal(words, delimiter)
    numeric = tuple(_numeric(column, sign) for column in words)
    fractions = tuple(
        number and any((sign or ".") in word for word in column)
        for number, column in zip(numeric, words, strict=True)
    )
    return Dialect(
        chosen, delimiter, sign, skipped, named, tuple(columns), above,
        numeric, fractions, plain and above <= 1, empty, tuple(notes),
    )  # fmt: skip


def _sample(
    name: str, head: str, whole: bool, delimiter: str, skipped: int
) -> list[tuple[int, list[str]]]:
    found: list[tuple[int, list[str]]] = []
    try:
        for line, row in rows_of(io.StringIO(head, newline=""), name, delimiter, skipped):
            if found and len(row) != len(found[0][1]):
                raise BadInput(ragged(name, line, len(row), len(found[0][1]), delimiter))
            found.append((line, row))
            if len(found) > LINES:
                break
    except BadInput as error:
        if whole or "never closed" not in str(error):
            raise
    return found


def ragged(name: str, line: int, cells: int, names: int, delimiter: str) -> str:
    """What to say of a row that has another number of cells than the header."""
    one = NAMES.get(delimiter, repr(delimiter))
    return (
        f"{name}, line {line}: {cells} cells, but the header has {names}: mend the line, or name"
        f" another separator than {one} with --delimiter"
    )


def _named(
    name: str,
    line: int,
    columns: list[str],
    body: list[tuple[int, list[str]]],
    header: bool | None,
) -> bool:
    """Whether the first row names the columns. Raises: BadInput where it may be data."""
    if header is not None:
        return header
    told = [cells.number(word.replace(",", ".")) for word in columns]
    odd = [
        word
        for word, value in zip(columns, told, strict=True)
        if value is not None and (value < 0 or value != int(value))
    ]
    if all(value is not None for value in told):
        what = "numbers"
    elif odd:
        what = repr(odd[0])
    elif len(columns) > 1 and body and all(_among(w, at, body) for at, w in enumerate(columns)):
        what = "the same words as other lines"
    else:
        return True
    raise BadInput(
        f"{name}, line {line} has {what} where names of columns should be: --no-header takes it for"
        " a row, --header for names"
    )


def _among(word: str, at: int, body: list[tuple[int, list[str]]]) -> bool:
    """Whether a word stands in its column further down, or is a number where all are numbers."""
    column = [row[at].strip() for _, row in body if at < len(row)]
    if cells.number(word) is not None and all(cells.number(cell) is not None for cell in column):
        return True
    return word in column


def _given_names(
    name: str, line: int, columns: list[str], body: list[tuple[int, list[str]]]
) -> tuple[list[str], tuple[int, ...], list[str]]:
    """The header's names; a first one without name has rows' names, empty last ones are nothing."""
    notes: list[str] = []
    empty: list[int] = []
    while len(columns) - len(empty) > 1 and not columns[len(columns) - len(empty) - 1]:
        at = len(columns) - len(empty) - 1
        if any(row[at].strip() for _, row in body):
            break
        empty.append(at)
    if empty:
        notes.append(f"{len(empty)} empty columns without a name behind the others are left out")
    if columns[0] == "" and len(columns) > 1 and "rownames" not in columns:
        columns = ["rownames", *columns[1:]]
        notes.append("the first column has no name: it is taken for names of rows, 'rownames'")
    columns = [word or (f"empty{i + 1}" if i in empty else "") for i, word in enumerate(columns)]
    for at, word in enumerate(columns):
        if not word:
            raise BadInput(f"{name}, line {line}: column {at + 1} has no name: give it one")
        if columns.count(word) > 1:
            raise BadInput(
                f"{name}, line {line}: the column name {word!r} stands {columns.count(word)} times:"
                " rename one of them, or say --no-header where that is a row"
            )
    return columns, tuple(empty), notes


def separator(name: str, head: str, skipped: int = 0) -> tuple[str, list[str]]:
    """The separator of a text, and what to say of it. Raises: BadInput where two would do."""
    lines = [line for line in re.split(r"\r\n|\n|\r", head)[skipped:] if line.strip()][:LINES]
    if not lines:
        raise BadInput(f"{name} has no header")
    fitting = {}
    for one in SEPARATORS:
        rows = _split(head, one, skipped)
        if rows and len(rows[0]) > 1:
            same = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
            fitting[one] = (same == 1.0, same, rows)
    if not fitting:
        return ",", []  # one column alone
    best = [one for one, (even, _, _) in fitting.items() if even]
    if not best:
        return max(fitting, key=lambda one: (fitting[one][1], len(fitting[one][2][0]))), []
    if len(best) == 1:
        return best[0], []
    # A cell that has another separator in it, and is no number, speaks against a reading.
    clean = [
        one
        for one in best
        if all(
            _explained(cell, [other for other in best if other != one])
            for row in fitting[one][2][1:]
            for cell in row
        )
    ]
    if len(clean) == 1:
        others = ", ".join(NAMES[one] for one in best if one != clean[0])
        return clean[0], [f"cells are parted by {NAMES[clean[0]]}, and not by {others}"]
    told = " and ".join(NAMES[one] for one in best)
    raise BadInput(
        f"{name}, line {1 + skipped}: {told} would both part every line into cells: say which with"
        " --delimiter"
    )


def _split(head: str, delimiter: str, skipped: int) -> list[list[str]]:
    """The first rows by a separator; as far as quotes allow."""
    found: list[list[str]] = []
    lines = io.StringIO(head, newline="")
    for _ in range(skipped):
        next(lines, None)
    try:
        for row in csv.reader(lines, delimiter=delimiter):
            if row and row != [""]:
                found.append(row)
            if len(found) >= LINES:
                break
    except csv.Error:
        return []
    return found


def _explained(cell: str, others: list[str]) -> bool:
    """Whether a cell without its quotes has no other separator in it, or is a number."""
    if not any(one in cell for one in others):
        return True
    word = cell.strip().translate(cells.MINUS)
    patterns = (cells.COMMA, cells.GROUPED[","], cells.GROUPED["."])
    return any(pattern.fullmatch(word) for pattern in patterns)


def _decimal(words: list[list[str]], delimiter: str) -> str:
    """The decimal sign that the cells speak for, "" where none does, or both do."""
    if delimiter == ",":
        return "."  # quoted cells alone could have a comma: their column says it for itself
    found = {sign for column in words if (sign := cells.evidence(column))}
    if found:
        return found.pop() if len(found) == 1 else ""
    grouped = ",." if delimiter == ";" else ","  # semicolons are of places with decimal commas
    either = [word for column in words for word in column if cells.EITHER.fullmatch(word.strip())]
    return "" if any(sign in word for word in either for sign in grouped) else "."


def _numeric(words: list[str], decimal: str) -> bool:
    """Whether a column begins with numbers that an engine reads, and no codes."""
    told = [word.strip() for word in words if not cells.missing(word)]
    pattern = cells.COMMA if decimal == "," else cells.PLAIN
    doubtful = not decimal and any(cells.EITHER.fullmatch(word) for word in told)
    return all(pattern.fullmatch(word) for word in told) and not cells.padded(told) and not doubtful
