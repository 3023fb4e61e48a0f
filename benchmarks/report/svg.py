"""Charts as inline SVG on logarithmic scales.

Positions are percentages of the plot and there is no view box: a chart takes the width it is given
and its words keep their size, on a phone as on a desk. Colours are the page's variables (`s0` to
`s9` name a series), so that they follow light and dark. Every mark is a link.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ...core.markup import Markup, element

GAP = 20  # pixels: the line of words above a bar


@dataclass(frozen=True)
class Mark:
    """One measured row in a chart.

    x, y: in the data's units. name: said on hover and focus. href: its row. slot: its colour.
    faint: a figure that rests on an extrapolation, or a smaller size. radius: pixels.
    """

    x: float
    name: str
    href: str
    slot: int = 0
    y: float = 1.0
    faint: bool = False
    radius: float = 5.0


@dataclass(frozen=True)
class Bar:
    """A mark drawn as a bar from 1, with words above it and further marks on it."""

    mark: Mark
    label: str
    value: str
    others: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Scale:
    """A logarithmic axis."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float], *, room: float = 1.0, decades: bool = True) -> Scale:
        """From the decade below all values to the one above; `room` widens both ends first."""
        known = [v for v in values if v > 0.0 and math.isfinite(v)] or [1.0]
        low, high = min(known) / room, max(known) * room
        if decades:
            low = 10.0 ** math.floor(math.log10(low) + 1e-9)
            high = 10.0 ** math.ceil(math.log10(high) - 1e-9)
        return cls(low, high if high > low else low * 10.0)

    def at(self, value: float) -> float:
        """The position in percent, kept within the axis."""
        share = math.log(max(value, 1e-300) / self.low) / math.log(self.high / self.low)
        return 100.0 * min(max(share, 0.0), 1.0)

    def ticks(self, most: int = 7) -> list[float]:
        """Powers of ten, at most so many; where there is just one or none, 2 and 5 as well."""
        first = math.ceil(math.log10(self.low) - 1e-9)
        last = math.floor(math.log10(self.high) + 1e-9)
        powers = range(first, last + 1, (last - first) // most + 1)
        found = [10.0**power for power in powers]
        if len(found) < 2:
            found = [m * 10.0**p for p in range(first - 1, last + 1) for m in (1.0, 2.0, 5.0)]
        return [tick for tick in found if self.low * 0.999 <= tick <= self.high * 1.001]


def percent(value: float) -> str:
    """A position as SVG writes it."""
    return f"{value:.2f}%"


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line between two positions in percent."""
    return element(
        "line", x1=percent(x1), y1=percent(y1), x2=percent(x2), y2=percent(y2), class_=class_
    )


def words(x: str, y: str, value: str, class_: str = "", anchor: str = "", **more: str) -> Markup:
    """Text at a position that says its own unit."""
    return element(
        "text", value, x=x, y=y, class_=class_ or None, text_anchor=anchor or None, **more
    )


def linked(mark: Mark, *drawn: Markup, class_: str = "") -> Markup:
    """What is drawn for a mark, as a link to its row that says its name."""
    faint = " faint" if mark.faint else ""
    return element(
        "a", element("title", mark.name), *drawn,
        href=mark.href, class_=f"s{mark.slot}{faint} {class_}".strip(), aria_label=mark.name,
    )  # fmt: skip


def dot(mark: Mark, x: Scale, y: str) -> Markup:
    """A mark as a circle; a wider one that is not seen takes the finger."""
    at = percent(x.at(mark.x))
    return linked(
        mark,
        element("circle", cx=at, cy=y, r=11, class_="touch"),
        element("circle", cx=at, cy=y, r=mark.radius, class_="dot"),
        class_="mark",
    )


def drawing(title: str, height: int, *parts: object, class_: str) -> Markup:
    """An SVG element with its title."""
    return element(
        "svg", element("title", title), *parts,
        class_=class_, width="100%", height=height, role="group", aria_label=title,
    )  # fmt: skip


def _columns(scale: Scale, height: int, tick: Callable[[float], str] | None) -> list[Markup]:
    """Grid lines and their names for charts of bars and strips."""
    found = []
    for value in scale.ticks():
        at = percent(scale.at(value))
        found.append(element("line", x1=at, x2=at, y1="0", y2=height, class_="grid"))
        if tick:
            found.append(words(at, str(height + 15), tick(value), "tick", "middle"))
    return found


def bars(
    title: str,
    items: Sequence[Bar],
    scale: Scale,
    tick: Callable[[float], str],
    *,
    thick: int = 10,
    named: bool = True,
) -> Markup:
    """One bar from 1 to its value for each item; its words stand above it.

    thick: pixels. named: whether the grid's lines are.
    """
    step = GAP + thick + 6
    height = step * len(items) + 2
    parts: list[object] = [*_columns(scale, height, tick if named else None)]
    start = scale.at(1.0)
    for number, item in enumerate(items):
        top = step * number + GAP
        end = scale.at(item.mark.x)
        left, width = min(start, end), abs(end - start)
        box = element(
            "rect", x=percent(left), y=top, width=percent(width), height=thick, rx=2, class_="bar"
        )
        stub = element("rect", x=percent(start), y=top, width=3, height=thick, class_="bar stub")
        name = words("0", str(top - 6), item.label, "label")
        value = words("100%", str(top - 6), item.value, "value", "end")
        parts.append(linked(item.mark, box, stub, name, value, class_="mark"))
        parts += [dot(other, scale, str(top + thick / 2)) for other in item.others]
    return drawing(title, height + 22 * named, *parts, class_="chart bars")


def strips(
    title: str,
    rows: Sequence[tuple[str, Sequence[Mark]]],
    scale: Scale,
    tick: Callable[[float], str],
) -> Markup:
    """One line for each row with its marks along it; the row's name stands above its line."""
    step = 38
    height = step * len(rows) + 4
    parts: list[object] = [*_columns(scale, height, tick)]
    for number, (name, marks) in enumerate(rows):
        y = step * number + 27
        parts.append(element("line", x1="0", x2="100%", y1=y, y2=y, class_="rail"))
        parts.append(words("0", str(y - 13), name, "label", dx="6"))
        parts += [dot(mark, scale, str(y)) for mark in marks]
    one = percent(scale.at(1.0))
    parts.insert(0, element("line", x1=one, x2=one, y1="0", y2=height, class_="one"))
    return drawing(title, height + 22, *parts, class_="chart strips")


def plane(
    title: str,
    series: Sequence[Sequence[Mark]],
    x: Scale,
    y: Scale,
    names: tuple[str, str],
    ticks: tuple[Callable[[float], str], Callable[[float], str]],
    *,
    joined: bool,
    drawn: Sequence[Markup] = (),
    height: int = 320,
) -> Markup:
    """Marks in a logarithmic plane, each series joined by lines or not.

    names, ticks: of the x and the y axis. drawn: what lies behind the marks, see `line`.
    """
    parts: list[object] = []
    for value in x.ticks():
        at = x.at(value)
        parts.append(line(at, 0, at, 100, "grid"))
        parts.append(words(percent(at), "100%", ticks[0](value), "tick", "middle", dy="17"))
    for value in y.ticks(9):
        at = 100 - y.at(value)
        parts.append(line(0, at, 100, at, "grid"))
        parts.append(words("0", percent(at), ticks[1](value), "tick", "end", dx="-7", dy="4"))
    parts.append(words("100%", "100%", names[0], "axis", "end", dy="35"))
    parts.append(words("0", "0", names[1], "axis", "", dx="-48", dy="-12"))
    parts += drawn
    for marks in series:
        if joined:
            for one, two in pairwise(marks):
                ends = x.at(one.x), 100 - y.at(one.y), x.at(two.x), 100 - y.at(two.y)
                faint = " faint" if one.faint or two.faint else ""
                parts.append(line(*ends, class_=f"curve s{one.slot}{faint}"))
    for marks in series:
        parts += [dot(mark, x, percent(100 - y.at(mark.y))) for mark in marks]
    return drawing(title, height, *parts, class_="chart plane")
