"""How the columns of a table are to be taken, and how they were: for people and as plain data."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...kernels.errors import BadInput, unknown
from .columns import LEAVES, Column

WIDTH, LEAST = 100, 72  # characters, where nobody says how wide the screen is
MOST = 60  # columns that are listed
ASKED = ("number", "category", "yes/no", "date", "identifier", "text")  # what --types takes


@dataclass(frozen=True)
class Planned:
    """A column as it was taken, why, how many cells are missing, and how to say otherwise."""

    column: Column
    why: str
    missing: int
    otherwise: str = ""


@dataclass(frozen=True)
class Plan:
    """What was asked for when a table is encoded.

    types: name -> kind, one of `ASKED`, "S<M<L" for an order, or "date(%d/%m/%Y)". missing: see
    `database.Reading`. impute: fill missing cells, or refuse them. embed_from: categories of so
    many words and more become codes; None: none do.
    """

    types: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] | None = None
    impute: bool = True
    embed_from: int | None = None


def check_type(name: str, kind: str) -> None:
    """Raises UnknownName, with the nearest, for what no column can be."""
    if kind in ASKED or re.fullmatch(r"date\([^)]+\)", kind):
        return
    if "<" in kind and all(word.strip() for word in kind.split("<")):
        return
    raise unknown(f"type of column {name!r}:", kind, (*ASKED, "S<M<L", "date(%d/%m/%Y)"))


def parted_words(given: Sequence[str] | str) -> list[str]:
    """Words as they come, or parted by commas.

    >>> parted_words("NA,-")
    ['NA', '-']
    """
    return [word.strip() for word in given.split(",")] if isinstance(given, str) else list(given)


def typed(given: Mapping[str, str] | str | None) -> dict[str, str]:
    """Kinds of columns by name, from a dictionary or from words. Raises: BadInput.

    >>> typed("age=number,zip=category")
    {'age': 'number', 'zip': 'category'}
    """
    if given is None or isinstance(given, Mapping):
        return dict(given or {})
    found = {}
    for word in parted_words(given):
        name, sign, kind = word.rpartition("=")
        if not sign or not name or not kind:
            raise BadInput(f"--types takes name=kind, parted by commas, not {word!r}")
        found[name.strip()] = kind.strip()
    return found


def taken_as(column: Column) -> str:
    """A column's kind, and how many features it makes."""
    if column.kind in LEAVES:
        return f"left out ({column.kind})"
    if column.embedded:
        return f"category, {len(column.words)} codes"
    many = len(column.numbers) + len(column.one_hot)
    return column.kind if many == 1 else f"{column.kind}, {many} features"


def lines(planned: Sequence[Planned], width: int | None = None) -> list[str]:
    """The plan as lines of a table: column, taken as, why, missing, how to say otherwise.

    width: in characters; None takes what the terminal has.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not planned:
        return []
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("column", "taken as", "why", "missing", "otherwise"):
        table.add_column(head, overflow="fold", justify="right" if head == "missing" else "left")
    for one in planned[:MOST]:
        cells = (one.column.name, taken_as(one.column), one.why, str(one.missing or ""),
                 one.otherwise)  # fmt: skip
        table.add_row(*(Text(cell) for cell in cells))
    if width is None:
        width = max(shutil.get_terminal_size((WIDTH, 24)).columns, LEAST)
    text = io.StringIO()
    Console(file=text, width=width, color_system=None, legacy_windows=False).print(table)
    made = [line.rstrip() for line in text.getvalue().splitlines()]
    more = len(planned) - MOST
    return [*made, f"... and {more} columns more"] if more > 0 else made


def to_json(one: Planned) -> dict[str, Any]:
    """A column of the plan in words of JSON."""
    return {
        "name": one.column.name, "kind": one.column.kind, "taken_as": taken_as(one.column),
        "why": one.why, "missing": one.missing, "otherwise": one.otherwise,
        "features": [*one.column.numbers, *one.column.one_hot],
    }  # fmt: skip
