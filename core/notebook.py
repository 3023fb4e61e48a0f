"""How objects show themselves in a notebook: tables, and pictures where matplotlib is installed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from . import drawing, figures
from .layout import Traced
from .markup import Markup, element

MOST_NODES = 40  # of a graph that is drawn; of a larger one the table says more
_numbers = itertools.count()


def table(rows: Sequence[Sequence[str]], below: str = "", above: str = "") -> Markup:
    """An HTML table; the first row is the head. below, above: lines of words around it."""
    head, *rest = rows
    made = element(
        "table",
        element("thead", element("tr", [element("th", cell, scope="col") for cell in head])),
        element("tbody", [element("tr", [element("td", cell) for cell in row]) for row in rest]),
    )
    around = [
        [element("div", line) for line in words.splitlines() if line] for words in (above, below)
    ]
    return element("div", around[0], made, around[1])


def _picture(draw: Callable[[], Any]) -> Markup:
    """What a function draws into axes, as SVG."""
    plt, figure = figures.pyplot(), draw().figure
    try:
        return element("div", figures.svg(figure, f"lamina-{next(_numbers)}"))
    finally:
        plt.close(figure)


def curves(history: drawing.Measured, rows: Sequence[Sequence[str]]) -> Markup:
    """The loss by epoch, where there are two epochs and matplotlib, above a table."""
    drawn = len(history.epochs) > 1 and find_spec("matplotlib") is not None
    picture = _picture(lambda: drawing.curves({"": history}, "loss")) if drawn else Markup("")
    return Markup(picture + table(rows))


def graph(traced: Traced, rows: Sequence[Sequence[str]]) -> Markup:
    """The graph, where it is small and matplotlib is there; else a table."""
    if len(traced.nodes) > MOST_NODES or find_spec("matplotlib") is None:
        return table(rows)
    return _picture(lambda: drawing.graph(traced))
