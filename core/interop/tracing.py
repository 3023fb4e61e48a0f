"""A graph's outputs from nodes for its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...kernels.errors import BadInput, CheckpointError
from ...kernels.spec import FLOATS
from ..graph.graph import Node
from .reading import Parsed
from .tracer import Scope, Tracer
from .values import Tensor


def trace(
    parsed: Parsed, inputs: Mapping[str, Node | np.ndarray], outputs: Sequence[str]
) -> dict[str, Tensor]:
    """The values of outputs. Raises: CheckpointError, Unknown.

    inputs: nodes, and arrays for those that are words.
    """
    nodes = {name: node for name, node in inputs.items() if isinstance(node, Node)}
    held = sum(array.size for array in parsed.weights.values())
    tracer = Tracer(parsed.functions, list(nodes.values()), held)
    values = {name: Tensor(host=array) for name, array in parsed.weights.items()}
    values |= {name: Tensor(node=node) for name, node in nodes.items()}
    values |= {n: Tensor(host=words) for n, words in inputs.items() if not isinstance(words, Node)}
    scope = Scope(values, parsed.opsets, {})
    tracer.run(parsed.needed(outputs, list(inputs)), scope)
    for name in outputs:
        if name not in values:
            raise CheckpointError(f"nothing makes {name!r}")
    return {name: values[name] for name in outputs}


def chosen_output(parsed: Parsed, wanted: str | None) -> str:
    """The output to predict: the one asked for, the only one, or the only one of floats.

    A classifier of scikit-learn has its labels beside its probabilities. Raises: BadInput.
    """
    names = [port.name for port in parsed.outputs]
    if not names:
        raise CheckpointError("it has no output")
    if wanted is not None:
        if wanted not in names:
            raise BadInput(f"there is no output {wanted!r}: there are {', '.join(names)}")
        return wanted
    floats = [p.name for p in parsed.outputs if p.dtype in FLOATS or p.dtype == "sequence_type"]
    if len(names) == 1 or len(floats) != 1:
        if len(names) == 1:
            return names[0]
        raise BadInput(
            f"there are several outputs: choose one by output=..., of {', '.join(names)}"
        )
    return floats[0]
