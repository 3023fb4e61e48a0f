"""Pictures that objects show of themselves: curves of a training, and a computation graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ..kernels.errors import unknown
from . import figures
from .layout import Traced, placed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_ACROSS = 3  # arrows one behind the other, before a graph runs downwards


class Measured(Protocol):
    """What `fit` returns, as far as it is drawn."""

    @property
    def history(self) -> Mapping[str, Sequence[float]]:
        """Name -> one number per epoch."""

    @property
    def epochs(self) -> Sequence[int]:
        """Their numbers."""


def curves(several: Mapping[str, Measured], metric: str, ax: Axes | None = None) -> Axes:
    """One metric of trainings by name, and dashed that of their validation. Raises: UnknownName."""
    ax = figures.axes(ax)
    held = any(f"val_{metric}" in one.history for one in several.values())  # dashes are for these
    for number, (name, one) in enumerate(several.items()):
        if metric not in one.history:
            raise unknown("metric", metric, tuple(one.history))
        colour = figures.SERIES[number % len(figures.SERIES)]
        dashes = "-" if held else figures.DASHES[number % len(figures.DASHES)]
        ax.plot(
            one.epochs, one.history[metric], linestyle=dashes, color=colour,
            label=name or "training",
        )  # fmt: skip
        if f"val_{metric}" in one.history:
            told = f"{name}, validation" if name else "validation"
            ax.plot(one.epochs, one.history[f"val_{metric}"], "--", color=colour, label=told)
    ax.set_xlabel("epoch")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_ylabel(metric.replace("_", " "))
    if len(ax.lines) > 1:
        ax.legend()
    return ax


def graph(traced: Traced, ax: Axes | None = None) -> Axes:
    """Nodes as boxes with value and derivative; downwards where it is deep."""
    nodes = placed(traced)
    figures.pyplot()
    from matplotlib.offsetbox import AnnotationBbox, TextArea, VPacker

    deep, wide = max(node.depth for node in nodes), max(node.row for node in nodes)
    down = deep > MOST_ACROSS
    size = (1.3 * wide + 1.5, 0.62 * deep + 0.6) if down else (1.3 * deep + 1.1, 0.85 * wide + 0.75)
    ax = figures.axes(ax, figsize=size)
    boxes: dict[int, Any] = {}
    for node in nodes:
        title = f"{node.name} = {node.formula}" if node.formula else node.name
        place = (node.row, -node.depth) if down else (node.depth, -node.row)
        words = [(title, figures.BLUE), (node.value, figures.BLUE)]
        words += [(node.derivative, figures.ORANGE)] * bool(node.derivative)
        lines = [TextArea(text, textprops={"color": c, "fontsize": 8}) for text, c in words]
        boxes[id(node)] = ax.add_artist(
            AnnotationBbox(
                VPacker(children=lines, align="center", pad=0, sep=2), place, pad=0.25,
                bboxprops={"boxstyle": "round,pad=0.25", "facecolor": figures.PAPER,
                           "edgecolor": figures.SOFT, "linewidth": 0.9},
            )
        ).patch  # fmt: skip
    for node in nodes:
        for other in node.inputs:
            ends = [(n.row, -n.depth) if down else (n.depth, -n.row) for n in (node, other)]
            ax.annotate(
                "", *ends, arrowprops={
                    "arrowstyle": "-|>", "color": figures.SOFT, "linewidth": 0.9, "shrinkA": 0,
                    "shrinkB": 0, "patchA": boxes[id(other)], "patchB": boxes[id(node)],
                },
            )  # fmt: skip
    across, up = ((0, wide), (-deep, 0)) if down else ((0, deep), (-wide, 0))
    ax.set(xlim=(across[0] - 0.5, across[1] + 0.5), ylim=(up[0] - 0.5, up[1] + 0.5))
    ax.axis("off")
    return ax
