"""Graphs that are plain chains of dense layers, as models that can be trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...backends.contract import Backend
from ...backends.program import Layout
from ...kernels.ops import ACTIVATIONS
from ...kernels.spec import FLOATS, ROWS, elements
from ..graph.graph import Node
from ..layers import Activation, Dense, Flatten, Layer, Standardize
from ..model import Sequential
from ..standardization import Shift
from .batches import leaves
from .reading import Parsed
from .spellings import spelled
from .tracing import trace
from .values import Unknown

DEFAULTS = {"leaky_relu": 0.01, "elu": 1.0}
LOSSES = {"softmax": "cross_entropy", "sigmoid": "binary_cross_entropy"}


@dataclass
class Chain:
    """Layers from the last to the first, as they are found.

    arrays: of each layer, by name. features: the shape of a row. shift: what the host does first.
    """

    layers: list[Layer] = field(default_factory=list)
    arrays: list[dict[str, np.ndarray]] = field(default_factory=list)
    features: tuple[int, ...] = ()
    dtype: str = "float32"
    shift: Shift | None = None

    def put(self, layer: Layer, **arrays: np.ndarray) -> None:
        """Puts a layer before those that are there."""
        self.layers.insert(0, layer)
        self.arrays.insert(0, arrays)


def chain_of(parsed: Parsed, output: str) -> Chain | None:
    """The layers that a graph is, or None where it is something else."""
    if any(port.carrier != port.dtype for port in parsed.inputs):
        return None
    try:
        inputs = leaves(parsed)
        node = trace(parsed, inputs, [output])[output].node
    except Unknown:
        return None
    if len(inputs) != 1 or node is None or node.dtype not in FLOATS:
        return None
    found, (x,) = Chain(dtype=node.dtype), inputs.values()
    while node is not x:
        before = _front(node, x, found)
        before = _layer(node, found) if before is None else before
        if before is None:
            return None
        node = before
    dense = any(isinstance(layer, Dense) for layer in found.layers)
    if not dense or (x.dtype != found.dtype and found.shift is None):
        return None
    found.features = tuple(d for d in x.shape[1:] if isinstance(d, int))
    return found if _one_dtype(found) else None


def _one_dtype(found: Chain) -> bool:
    return all(a.dtype.name == found.dtype for arrays in found.arrays for a in arrays.values())


def _layer(node: Node, found: Chain) -> Node | None:
    """What goes into the layer that a node ends, which is put before the others; or None."""
    name, before = _activation(node)
    if name is not None and before is not None:
        dense = _dense(before, name, found)
        if dense is not None:
            return dense
        found.put(Activation(name))
        return before
    return _dense(node, None, found)


def _activation(node: Node) -> tuple[str | None, Node | None]:
    """An activation with its settings as they are by default, and what it is applied to."""
    if node.op in ACTIVATIONS:
        alpha = node.attrs.get("alpha")
        if alpha is None or math.isclose(alpha, DEFAULTS[node.op], rel_tol=1e-6):
            return node.op, node.inputs[0]
    written = spelled(node)
    return (None, None) if written is None else written


def _dense(node: Node, activation: str | None, found: Chain) -> Node | None:
    """The input of activation(x @ weight + bias)."""
    bias, product = None, node
    if node.op == "add":
        for a, b in (node.inputs, node.inputs[::-1]):
            if a is not None and b is not None and a.op == "matmul" and b.op == "constant":
                product, bias = a, b.attrs["value"]
    if product.op != "matmul":
        return None
    x, weight = product.inputs
    assert x is not None
    assert weight is not None
    turned = product.attrs["transpose_a"] or product.attrs["transpose_b"]
    if weight.op != "constant" or x.ndim != 2 or weight.ndim != 2 or turned:
        return None
    kernel = weight.attrs["value"]
    units = kernel.shape[1]
    if bias is not None and (bias.size not in (1, units) or bias.ndim > 2):
        return None
    arrays = {"weight": kernel}
    if bias is not None:
        arrays["bias"] = np.broadcast_to(bias.reshape(1, -1), (1, units))
    found.put(Dense(units, activation, use_bias=bias is not None), **arrays)
    return x


def _front(node: Node, x: Node, found: Chain) -> Node | None:
    """The input of a layer that has no product: flattening, standardizing; or None."""
    below = node.inputs[0] if node.inputs else None
    if node.op == "reshape" and below is not None and below.ndim > 2:
        if below.shape[0] != ROWS or node.shape != (ROWS, elements(below.shape)[0]):
            return None
        found.put(Flatten())
        return below
    if node.op == "cast" and below is not None and node.dtype == found.dtype != below.dtype:
        standard = _standard(below)
        if standard is None or standard[0] is not x or x.dtype != "float64":
            return None
        found.shift = Shift(*standard[1:])
        if not found.layers or not isinstance(found.layers[0], Standardize):
            mean, scale = (
                np.full(a.shape, v, found.dtype) for a, v in zip(standard[1:], (0, 1), strict=True)
            )
            found.put(Standardize(), mean=mean, scale=scale)
        return x
    standard = _standard(node)
    if standard is None:
        return None
    found.put(Standardize(), mean=standard[1], scale=standard[2])
    return standard[0]


def _standard(node: Node) -> tuple[Node, np.ndarray, np.ndarray] | None:
    """x, mean and scale, (1, ...), of (x - mean) * scale or (x - mean) / deviation; or None."""
    if node.op not in ("multiply", "divide"):
        return None
    pairs = (node.inputs,) if node.op == "divide" else (node.inputs, node.inputs[::-1])
    for first, second in pairs:
        if first is None or second is None or second.op != "constant" or first.op != "subtract":
            continue
        x, mean = first.inputs
        if x is None or mean is None or mean.op != "constant" or node.shape != x.shape:
            continue
        shape = (1, *(d for d in x.shape[1:] if isinstance(d, int)))
        factor = second.attrs["value"]
        with np.errstate(divide="ignore"):
            factor = 1.0 / factor if node.op == "divide" else factor
        if _fits(factor, shape) and _fits(mean.attrs["value"], shape):
            rows = (np.broadcast_to(a, shape) for a in (mean.attrs["value"], factor))
            mean_row, scale_row = (np.ascontiguousarray(a, x.dtype) for a in rows)
            return x, mean_row, scale_row
    return None


def _fits(array: np.ndarray, shape: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(array.shape, shape) == shape
    except ValueError:
        return False


def model_of(found: Chain, backend: Backend, metadata: Mapping[str, str]) -> Sequential:
    """The chain as a model with its weights, to predict with and to train on."""
    last = found.layers[-1]
    activation = getattr(last, "activation", None)
    loss = metadata.get("lamina.loss") or LOSSES.get(str(activation), "mean_squared_error")
    model = _made(found, loss, backend, LOSSES.get(str(activation), "mean_squared_error"))
    arrays = {
        f"{number}.{name}": array
        for number, each in enumerate(found.arrays)
        for name, array in each.items()
    }
    session = model.session
    session.build(found.features, lambda layout: _segments(layout, found.dtype, arrays))
    session.learned, session.shift = True, found.shift
    return model


def _made(found: Chain, loss: str, backend: Backend, fitting: str) -> Sequential:
    """The model with the loss that the file names, or, where that does not fit, another."""
    for choice in (loss, fitting):
        try:
            model = Sequential(found.layers, choice, backend=backend, dtype=found.dtype)
            model.session.checked(found.features)
        except ValueError:
            continue
        return model
    return Sequential(found.layers, fitting, backend=backend, dtype=found.dtype)


def _segments(layout: Layout, dtype: str, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The flat segments with the arrays in their places."""
    made = {n: np.zeros(layout.length(n), dtype) for n in ("parameters", "statistics")}
    for entry in layout.entries:
        flat = np.asarray(arrays[entry.name], dtype).reshape(-1)
        made[entry.segment][entry.offset : entry.offset + entry.size] = flat
    return made
