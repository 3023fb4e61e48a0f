"""Charts of a report as inline SVG on linear scales: they take the width they are given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..markup import Markup, element

HEIGHT = 260  # pixels


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high`."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float]) -> Axis:
        """Over all finite values, with some room."""
        known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(known), max(known)
        room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
        return cls(low - room, high + room)

    def at(self, value: float) -> float:
        """The position in percent, kept within the axis."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0) * 100.0

    def ticks(self, about: int = 5) -> list[float]:
        """Round numbers along it."""
        raw = (self.high - self.low) / about
        unit = 10.0 ** math.floor(math.log10(raw))
        step = next(unit * m for m in (1.0, 2.0, 5.0, 10.0) if unit * m >= raw)
        first = math.ceil(self.low / step)
        return [step * n for n in range(first, math.floor(self.high / step) + 1)]


def figure(value: float) -> str:
    """A number on an axis."""
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e12 else f"{value:.4g}"


def plane(title: str, x: Axis, y: Axis, names: tuple[str, str], *drawn: Markup) -> Markup:
    """A plane with its grid, the axes' names, and what is drawn in it."""
    parts: list[Markup] = []
    for tick in y.ticks():
        at = f"{100.0 - y.at(tick):.2f}%"
        parts.append(element("line", x1="0%", x2="100%", y1=at, y2=at, class_="grid"))
        parts.append(element("text", figure(tick), x=-8, y=at, class_="tick", text_anchor="end"))
    for tick in x.ticks():
        at = f"{x.at(tick):.2f}%"
        words = element("text", figure(tick), x=at, y=HEIGHT + 18, class_="tick")
        parts.append(Markup(words.replace("<text ", '<text text-anchor="middle" ', 1)))
    across = element("text", names[0], x="100%", y=HEIGHT + 38, class_="axis", text_anchor="end")
    up = element("text", names[1], x=0, y=-12, class_="axis")
    return element(
        "svg", element("title", title), *parts, *drawn, across, up,
        class_="chart plane", width="100%", height=HEIGHT, role="img", aria_label=title,
    )  # fmt: skip


def curve(x: Axis, y: Axis, points: Sequence[tuple[float, float]], slot: int) -> list[Markup]:
    """Straight lines from point to point."""
    known = [point for point in points if all(map(math.isfinite, point))]
    found = []
    for (x1, y1), (x2, y2) in pairwise(known):
        found.append(
            element(
                "line", x1=f"{x.at(x1):.2f}%", y1=f"{100 - y.at(y1):.2f}%",
                x2=f"{x.at(x2):.2f}%", y2=f"{100 - y.at(y2):.2f}%", class_=f"curve s{slot}",
            )
        )  # fmt: skip
    return found


def dots(x: Axis, y: Axis, points: Sequence[tuple[float, float, str]], slot: int) -> list[Markup]:
    """A dot for each point, which says its name."""
    return [
        element(
            "circle", element("title", name), cx=f"{x.at(a):.2f}%", cy=f"{100 - y.at(b):.2f}%",
            r=4, class_=f"dot s{slot}",
        )
        for a, b, name in points
    ]  # fmt: skip


def bars(rows: Sequence[tuple[str, float, str]]) -> Markup:
    """Bars of HTML, one below the other: name, length from 0, and what is said of it."""
    most = max((value for _, value, _ in rows), default=0.0) or 1.0
    return element(
        "ul",
        *(
            element(
                "li", element("span", name, class_="name"),
                element(
                    "span", element("i", style=f"width:{100 * max(value, 0.0) / most:.1f}%"),
                    class_="track",
                ),
                element("span", told, class_="told"),
            )
            for name, value, told in rows
        ),
        class_="hbars",
    )  # fmt: skip
