"""Reverse-mode differentiation: graph in, graph out."""

from __future__ import annotations

from collections.abc import Sequence

from ...kernels.errors import NotDifferentiable
from ...kernels.ops import PIECEWISE_CONSTANT
from ...kernels.spec import FLOATS
from . import loss_derivatives  # noqa: F401  # its rules register
from .derivatives import RULES, Gradient
from .graph import SELECT, Node, constant, make, order


def differentiate(result: Node, wrt: Sequence[Node]) -> list[Gradient]:
    """The gradients of a result of one element with respect to nodes; None where there is no path.

    Raises: NotDifferentiable when the path leads through an operation that has no rule.
    """
    nodes = order([result])
    wanted = set(wrt)
    needed: set[Node] = set()
    for node in nodes:
        if node in wanted or any(i in needed for i in node.inputs if i is not None):
            needed.add(node)
    arriving: dict[Node, dict[int, Node]] = {result: {0: constant(1.0, result.dtype)}}
    if result.shape != ():
        arriving[result][0] = make("broadcast_to", arriving[result][0], shape=result.shape)
    for node in reversed(nodes):
        if node not in needed or node not in arriving or node.leaf:
            continue
        if node.op == SELECT:
            source = node.inputs[0]
            assert source is not None
            _add(arriving, source, node.attrs["index"], arriving[node][0])
            continue
        if node.op in PIECEWISE_CONSTANT:
            continue
        if node.op not in RULES:
            raise NotDifferentiable(f"[{node.op}] has no derivative: {node!r}")
        needs = [i is not None and i in needed for i in node.inputs]
        given = [arriving[node].get(i) for i in range(len(node.specs))]
        made = list(RULES[node.op](node, given, needs))
        for one, need, gradient in zip(node.inputs, needs, made, strict=True):
            if need and gradient is not None and one is not None and one.dtype in FLOATS:
                _add(arriving, one, 0, gradient)
    return [arriving[n].get(0) if n in arriving and n in needed else None for n in wrt]


def _add(arriving: dict[Node, dict[int, Node]], node: Node, index: int, gradient: Node) -> None:
    slots = arriving.setdefault(node, {})
    slots[index] = make("add", slots[index], gradient) if index in slots else gradient
