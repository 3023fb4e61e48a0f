"""Statistics of layers, learned from all the training data at once, before the first step."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..backends import batching
from ..backends.state import Control
from .examples import Examples
from .graph.graph import Node
from .layers import Flatten, Layer, Standardize
from .standardization import shifted
from .tracing import predict_program

if TYPE_CHECKING:
    from .session import Session


def learn(session: Session, examples: Examples) -> None:
    """Shows each layer with statistics its input, and leaves them in the session and its state.

    examples: of the whole training data, raw.
    """
    assert examples.raw
    session.shift = None
    flat, graph, layers = session.state.read("statistics"), session.graph(), session.layers
    leading = next((n for n, la in enumerate(layers) if type(la) is not Flatten), -1)
    ready: np.ndarray | None = None
    found: Mapping[str, np.ndarray]
    for number, layer in enumerate(layers):
        if not graph.statistics[number]:
            continue
        if number == leading and type(layer) is Standardize:
            x = examples.x if number == 0 else examples.x.reshape(examples.rows, -1)
            session.shift, found = shifted(
                layer.learn(x, examples.weights), session.dtype, session.features or ()
            )
        else:
            ready = session.ready(examples).x if ready is None else ready
            seen = ready if number == 0 else _forward(session, ready, graph.outputs[number - 1])
            found = _learned(layer, seen, examples.weights)
        for name, value in found.items():
            entry = session.state.layout[f"{number}.{name}"]
            flat[entry.offset : entry.offset + entry.size] = np.asarray(value).reshape(-1)
        session.state.write("statistics", flat)
    session.learned = True


def _learned(layer: Layer, x: np.ndarray, weights: np.ndarray | None) -> Mapping[str, np.ndarray]:
    """A layer's statistics; one that does not know weights is shown the rows that count."""
    if weights is None:
        return layer.learn(x)
    if "weights" in inspect.signature(layer.learn).parameters:
        return layer.learn(x, weights)
    counted = weights > 0
    return layer.learn(x if counted.all() else x[counted])


def _forward(session: Session, x: np.ndarray, node: Node) -> np.ndarray:
    """One node of the forward graph over all rows."""
    if node.leaf:
        return x
    rows, capacity = len(x), batching.capacity(len(x))
    program = predict_program(session.graph(), node, session.state.layout, capacity)
    binding = session.backend.compile(program).bind(session.state, session.block(x))
    binding.run(Control(batch=capacity, steps=batching.count(rows, capacity)))
    return binding.read("prediction")
