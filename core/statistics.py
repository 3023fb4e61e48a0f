"""Statistics of layers, learned from all the training data at once, before the first step."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

import numpy as np

from ..backends import batching
from ..backends.contract import Backend
from ..backends.state import Control, DataBlock, State
from .examples import Examples
from .features import RobustScale
from .graph.graph import Node
from .layers import Flatten, Layer, Standardize
from .standardization import Shift, shifted
from .tracing import ForwardGraph


def learn(
    backend: Backend,
    layers: Sequence[Layer],
    graph: ForwardGraph,
    state: State,
    examples: Examples,
) -> Shift | None:
    """Shows each layer with statistics its input, and leaves them in the state.

    backend: where the state is. graph: of the layers. examples: of the whole training data, raw.
    Returns what the host has to do to features before they are rounded.
    """
    assert examples.raw
    flat, shift = state.read("statistics"), None
    leading = next((n for n, la in enumerate(layers) if type(la) is not Flatten), -1)
    ready: np.ndarray | None = None
    found: Mapping[str, np.ndarray]
    for number, layer in enumerate(layers):
        if all(p.moving for p in graph.statistics[number].values()):
            continue
        if number == leading and type(layer) in (Standardize, RobustScale):
            x = examples.x if number == 0 else examples.x.reshape(examples.rows, -1)
            features = examples.x.shape[1:]
            learned = _learned(layer, x, examples.weights)
            shift, found = shifted(learned, state.dtype, features)
        else:
            ready = examples.ready(shift, state.dtype).x if ready is None else ready
            behind = graph.outputs[number - 1] if number else graph.x
            x = forward(backend, graph, state, behind, ready, shift)
            found = _learned(layer, x, examples.weights)
        for name, value in found.items():
            entry = state.layout[f"{number}.{name}"]
            flat[entry.offset : entry.offset + entry.size] = np.asarray(value).reshape(-1)
        state.write("statistics", flat)
    return shift


def _learned(layer: Layer, x: np.ndarray, weights: np.ndarray | None) -> Mapping[str, np.ndarray]:
    """A layer's statistics; one that does not know weights is shown the rows that count."""
    if weights is None:
        return layer.learn(x)
    if "weights" in inspect.signature(layer.learn).parameters:
        return layer.learn(x, weights)
    counted = weights > 0
    return layer.learn(x if counted.all() else x[counted])


def forward(
    backend: Backend,
    graph: ForwardGraph,
    state: State,
    node: Node,
    x: np.ndarray,
    shift: Shift | None,
) -> np.ndarray:
    """One node of the forward graph over all rows, (n, ...) of the state's dtype.

    x: (n, features...), checked and cast, or a memory map, whose rows `shift` makes such ones.
    """
    if node.leaf:
        return x
    rows, capacity = len(x), batching.capacity(len(x))
    from .programs import predict_program  # the compiler is loaded by those who run something

    program = predict_program(graph, node, state.layout, capacity)
    casts = None if shift is None else {"x": shift}
    block = DataBlock(backend, {"x": x}, dtype=state.dtype, casts=casts)
    binding = backend.compile(program).bind(state, block)
    binding.run(Control(batch=capacity, steps=batching.count(rows, capacity)))
    return binding.read("prediction")
