"""The results that a page is made of, and what all its sections need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...core.markup import Markup, element
from ..environment import title
from ..result import Result, Row
from ..words import NONE, count, seconds, short
from .factors import guessed, label, order, own_backends


@dataclass
class Source:
    """One result: its file's name, its number on the page, and a place for each of its rows."""

    number: int
    name: str
    result: Result
    anchors: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.anchors = {
            id(row): f"row-{self.number}-{at}" for at, row in enumerate(self.result.rows, 1)
        }
        self.own = own_backends(self.result)

    def rows(self, *kinds: str) -> list[Row]:
        """The rows of some kinds."""
        return [row for row in self.result.rows if row.kind in kinds]

    def anchor(self, row: Row) -> str:
        """The id of a row in the table of all rows."""
        return self.anchors[id(row)]

    def href(self, row: Row) -> str:
        """A link's target: the row."""
        return f"#{self.anchor(row)}"

    @property
    def machine(self) -> str:
        """The machine in a few words, however little the result says of it."""
        unknown = {"processor": "unknown processor", "cores": "?", "python": "?"}
        return title({**unknown, **self.result.environment})

    @property
    def date(self) -> str:
        """When it was measured."""
        return str(self.result.environment.get("date") or "no date")

    def note(self) -> Markup:
        """Where the figures of a section are from."""
        return element(
            "p", "From ", element("a", self.name, href=f"#source-{self.number}"),
            f" · {self.machine} · {self.date}", class_="from",
        )  # fmt: skip


def told(row: Row) -> str:
    """A row in one line, for hover and focus."""
    what = f"{row.case}, {row.dtype}: {label(row)}"
    if not row.seconds:
        return f"{what}: {row.status} {row.reason}".strip()
    rest = f", extrapolated from {count(row.measured)}" if guessed(row) else ""
    rate = f", {short(row.flops / row.median / 1e9)} GFLOP/s" if row.flops else ""
    return f"{what}, {seconds(row.median)} per {row.unit}{rate}{rest}"


def slots(rows: Sequence[Row]) -> dict[str, int]:
    """A colour for each way of computing: 0 for loops, 1 to 9 for the others, in order."""
    names = list(dict.fromkeys(label(row) for row in sorted(rows, key=order)))
    return numbered(names)


def numbered(names: Sequence[str], zero: str = "loops") -> dict[str, int]:
    """Colours for names: 0 for `zero`, 1 to 9 in turn for the others."""
    others = [name for name in names if name != zero]
    return {zero: 0} | {name: number % 9 + 1 for number, name in enumerate(others)}


def legend(names: dict[str, int], shown: set[str]) -> Markup:
    """Names of colours."""
    items = [
        element("li", element("i"), name, class_=f"s{slot}")
        for name, slot in names.items()
        if name in shown
    ]
    return element("ul", *items, class_="legend")


def table(caption: str, heads: Sequence[str], body: Sequence[Any], class_: str = "") -> Markup:
    """A table that scrolls inside its own box. body: rows made by `cells`."""
    head = element("tr", *(element("th", each, scope="col") for each in heads))
    drawn = element(
        "table", element("caption", element("span", caption)), element("thead", head),
        element("tbody", *body), class_=class_ or None,
    )  # fmt: skip
    return element("div", drawn, class_="wide", tabindex="0", role="region", aria_label=caption)


def cells(first: Any, *rest: Any, **attributes: Any) -> Markup:
    """A row of a table; its first cell names it. A missing value is a dash."""
    others = (element("td", NONE if each is None else each) for each in rest)
    return element("tr", element("th", first, scope="row"), *others, **attributes)


def missing(rows: Sequence[Row], source: Source) -> Markup:
    """The rows that were not timed, with their reasons; nothing if there are none."""
    items = [
        element(
            "li", element("b", row.status, class_=row.status), " ",
            element("a", f"{label(row)}, {row.case}", href=source.href(row)),
            f": {row.reason}" if row.reason else None,
        )
        for row in rows
        if row.status != "ok" or not row.seconds
    ]  # fmt: skip
    return element("ul", *items, class_="untimed") if items else Markup("")
