"""Moves of drawn graphs that people write: norms, gates, losses and the like by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.benchmarks.maintenance.graph_drawing import Drawing, move, shapely
else:  # they lie beside this file and are not installed
    from graph_drawing import Drawing, move, shapely


@move(1.5)
def normalized(d: Drawing) -> str:
    """Along any axes: less the mean, over the root of the mean of squares."""
    name = d.last(shapely)
    axes = d.axes(d.node(name))
    centred = d.do("subtract", name, d.do("mean", name, axis=axes, keepdims=True))
    square = d.do("multiply", centred, centred)
    spread_ = d.do("add", d.do("mean", square, axis=axes, keepdims=True), 0.1)
    if d.chance(0.5):
        return d.do("divide", centred, d.do("sqrt", spread_))
    return d.do("multiply", centred, d.do("power", spread_, -0.5))


@move(1.0)
def softmax_by_hand(d: Drawing) -> str:
    """exp(z - max) / sum, or the logarithm of it."""
    name = d.last(shapely)
    shifted = d.do("subtract", name, d.do("max", name, axis=(-1,), keepdims=True))
    raised = d.do("exp", shifted)
    total = d.do("sum", raised, axis=(-1,), keepdims=True)
    if d.chance(0.3):
        return d.do("subtract", shifted, d.do("log", total))
    return d.do("divide", raised, total)


@move(1.0)
def gated(d: Drawing) -> str:
    """A value times the sigmoid of it or of another, written either way."""
    name = d.last()
    other = d.mate(name) if d.chance(0.3) else name
    if not isinstance(other, str) or d.chance(0.5):
        gate = d.do("sigmoid", name)
    else:
        gate = d.do("divide", 1.0, d.do("add", 1.0, d.do("exp", d.do("negative", name))))
    return d.do("multiply", other, gate)


@move(0.7)
def huber(d: Drawing) -> str:
    """Quadratic near zero, linear further out."""
    name = d.last()
    size_ = d.do("abs", name)
    near = d.do("multiply", d.do("multiply", 0.5, name), name)
    return d.do("where", d.do("less", size_, 1.0), near, d.do("subtract", size_, 0.5))


@move(0.7)
def residual(d: Drawing) -> str:
    """A value and what is made of it."""
    name = d.last()
    return d.do("add", name, d.do(d.one_of(["tanh", "gelu", "softplus", "relu"]), name))
