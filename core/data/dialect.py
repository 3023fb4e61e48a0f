"""How a text file writes its table: characters, separator, header, decimal sign.

Nothing is guessed silently: where two readings fit, the file is refused with the option that tells.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...kernels.errors import BadInput
from . import cells, characters

SEPARATORS = (",", ";", "\t", "|")
NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar", " ": "a blank"}
SPELLED = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|", "space": " "}
HEAD = 1 << 18  # characters that are looked at
LINES = 400  # of them, at most
RULE = re.compile(r"\s*[:+]?[-=]{2,}[-=+:]*\s*")  # what parts names from rows in a table for people


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


def rows_of(
    file: Iterator[str], name: str, delimiter: str, skipped: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line that it ends on. Raises: BadInput."""
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    for _ in range(skipped):
        next(file, None)
    line = 0  # the last one of the row before
    try:
        for row in reader:
            line = reader.line_num
            if row and row != [""]:
                yield line + skipped, row
    except csv.Error as error:
        told = str(error)
        if "end of data" in told:
            told = "a quote is opened and never closed"
        elif "expected after" in told:
            told += ": within quotes a quote is written twice"
        raise BadInput(f"{name}, line {line + 1 + skipped}: {told}") from None


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
    chosen, plain = characters.check(path, encoding)
    with characters.text(path, chosen) as file:
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
    columns = [word.strip().strip("\ufeff") for word in first]
    below = [word for word in (sample[1][1] if len(sample) > 1 else []) if word.strip()]
    if below and all(RULE.fullmatch(word) for word in below):
        raise BadInput(f"{name}, line {sample[1][0]} is a rule and no row: remove it")
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
                top = found[0]
                told = ragged(name, line, len(row), len(top[1]), delimiter)
                if len(top[1]) == 1 and len(row) > 1:
                    told += f"; where line {top[0]} is a title above the table, remove it"
                raise BadInput(told)
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
    elif twice := [at for at, row in body if any(row) and [w.strip() for w in row] == columns]:
        raise BadInput(
            f"{name}, line {twice[0]} is the same as line {line}, which has the names of columns:"
            " remove it, or say --no-header where both are rows"
        )
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
