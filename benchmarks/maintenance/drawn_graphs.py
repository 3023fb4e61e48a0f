"""Graphs of operations at random, as a layer or a loss: one move after the other, then an end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from lamina.kernels.spec import ROWS, Rows, size

if TYPE_CHECKING:
    from lamina.benchmarks.maintenance import graph_moves, graph_patterns
    from lamina.benchmarks.maintenance.graph_data import OWN, Graph
    from lamina.benchmarks.maintenance.graph_drawing import MOVES, Drawing
else:  # they lie beside this file and are not installed
    import graph_moves
    import graph_patterns
    from graph_data import OWN, Graph
    from graph_drawing import MOVES, Drawing

assert graph_moves
assert graph_patterns  # both register moves
DEEPEST, LONGEST = 8, 24  # operations on the longest way, and in all
TRIES = 60


def draw(rng: np.random.Generator, depth: int | None = None) -> Graph:
    """A layer, or now and then a loss. depth: operations on the longest way; None: 1 to 8."""
    depth = depth or int(rng.integers(1, DEEPEST + 1))
    kind = "loss" if rng.random() < 0.3 else "layer"
    width = some_length(rng) if rng.random() < 0.95 else int(rng.integers(5, 20))
    deep = kind == "layer" and rng.random() < 0.4
    features = (some_length(rng), width) if deep else (width,)
    weights = np.array([weight for weight, _ in MOVES])
    while True:
        drawing, result = Drawing(rng, kind, features), "x"
        for _ in range(TRIES):
            chosen = int(rng.choice(len(MOVES), p=weights / weights.sum()))
            made = drawing.attempt(MOVES[chosen][1])
            result = made or result
            if drawing.graph(result).depth >= depth or len(drawing.statements) >= LONGEST:
                break
        closed = drawing.attempt(partial(closing, name=result))
        if closed is None:
            continue
        graph = drawing.graph(closed)
        deaf = kind == "loss" and not any("x" in one.names for one in graph.statements)
        if depth <= graph.depth <= DEEPEST and graph.fits() and not deaf:
            return graph


def some_length(rng: np.random.Generator) -> int:
    """A small length, seldom one."""
    return int(rng.choice([1, 2, 3, 4], p=[0.1, 0.3, 0.35, 0.25]))


def closing(d: Drawing, name: str) -> str:
    """Ends a graph: what a layer returns, (n, ...) in x's dtype, or a loss, (n, k)."""
    if d.nodes[name].dtype != "float32":
        name = d.do("cast", name, dtype=OWN)
    node = d.nodes[name]
    batches = [a for a, length in enumerate(node.shape) if isinstance(length, Rows)]
    if len(batches) > 1:
        name = d.do("mean", name, axis=tuple(batches[1:]))
    elif not batches:  # nothing of the rows is left: it moves all of them
        one = d.do("mean", name, axis=None) if node.ndim else name
        return d.do(d.one_of(["add", "multiply"]), "x", one)
    node = d.nodes[name]
    if batches[0]:
        others = tuple(a for a in range(node.ndim) if a != batches[0])
        name = d.do("transpose", name, axes=(batches[0], *others))
    total = size(d.nodes[name].shape)
    assert isinstance(total, Rows)
    shape, lossy = d.nodes[name].shape, d.kind == "loss"
    ranks = (1, 2) if lossy else (2, 3)
    if shape[0] == ROWS and len(shape) in ranks:
        return name
    return d.do("reshape", name, shape=(ROWS, total.factor))
