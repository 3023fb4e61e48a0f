"""A graph from an ONNX file, ready to predict on a backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...backends.contract import Backend
from ...kernels.errors import BadInput, CheckpointError, DtypeError, ShapeError
from ...kernels.spec import DTYPES
from ..graph.autodiff import compute
from ..graph.graph import Node, constant
from .reading import Parsed, Port
from .tracer import Scope, Tracer
from .values import Tensor


def trace(
    parsed: Parsed, inputs: Mapping[str, Node], outputs: Sequence[str]
) -> dict[str, Tensor]:
    """The values of outputs, given nodes for the inputs. Raises: CheckpointError, Unknown."""
    tracer = Tracer(parsed.functions, list(inputs.values()))
    values = {name: Tensor(host=array) for name, array in parsed.weights.items()}
    values |= {name: Tensor(node=node) for name, node in inputs.items()}
    scope = Scope(values, parsed.opsets, {})
    tracer.run(parsed.needed(outputs, list(inputs)), scope)
    for name in outputs:
        if name not in values:
            raise CheckpointError(f"nothing makes {name!r}")
    return {name: values[name] for name in outputs}


def run_once(
    parsed: Parsed, arrays: Mapping[str, np.ndarray], outputs: Sequence[str], backend: Backend
) -> dict[str, np.ndarray]:
    """Outputs of the graph for these very arrays, by one run of a program."""
    given = {name: constant(array, array.dtype.name, name) for name, array in arrays.items()}
    found = trace(parsed, given, outputs)
    nodes: dict[str, Node] = {}
    results: dict[str, np.ndarray] = {}
    for name, value in found.items():
        node = value.chosen[1] if value.chosen is not None else value.node
        if node is None:
            results[name] = np.asarray(value.host)
        elif node.op == "constant":
            results[name] = np.asarray(node.attrs["value"])
        else:
            nodes[name] = node
    if nodes:
        results |= compute(nodes, backend)
    for name, value in found.items():
        if value.chosen is not None:
            results[name] = value.chosen[0][results[name]]
    return {name: results[name] for name in outputs}
