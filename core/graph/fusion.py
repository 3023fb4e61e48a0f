"""Fusion: chains of operations become the fused rows of the table, before differentiation.

- matmul + bias + activation becomes `dense`;
- softmax, cross-entropy and the sum over rows become `softmax_cross_entropy`, whose derivative is
  p - y directly; sigmoid with binary cross-entropy likewise.

An intermediate result that somebody else reads stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...kernels.ops import FUSABLE
from .graph import Node, consumers, make, order, outputs

LOSS_OF = {"softmax": "cross_entropy", "sigmoid": "binary_cross_entropy"}


def fuse(results: Sequence[Node]) -> list[Node]:
    """The same results, computed with fused operations where the graph has their patterns."""
    readers = consumers(results)
    swaps = _fused_losses(results, readers)
    done: dict[Node, Node] = {}

    def rebuilt(node: Node) -> Node:
        """The node over rebuilt inputs; leaves are shared between the graphs."""
        if node.leaf:
            return node
        ins = tuple(None if i is None else done[i] for i in node.inputs)
        if all(a is b for a, b in zip(ins, node.inputs, strict=True)):
            return node
        return Node(node.op, ins, node.attrs, node.specs, node.name)

    for node in order(results):
        if node in done:
            continue
        if node in swaps:
            # the loss's other inputs are leaves, so everything it needs has been rebuilt
            first, rest, pair, total = swaps[node]
            made = outputs(make(pair, done[first], *rest))
            for old, new in zip((node, total), made, strict=True):
                new.name = old.name
                done[old] = new
            continue
        new = rebuilt(node)
        dense = _dense(new, node, readers)
        done[node] = new if dense is None else dense
    return [done[r] for r in results]


def _sole(node: Node, readers: dict[Node, list[Node]]) -> Node | None:
    """The only reader of a node."""
    return readers[node][0] if len(readers[node]) == 1 and readers[node][0] is not node else None


def _fused_losses(
    results: Sequence[Node], readers: dict[Node, list[Node]]
) -> dict[Node, tuple[Node, tuple[Node, ...], str, Node]]:
    """activation node -> (its input, labels and weights, the fused operation, the total)."""
    found: dict[Node, tuple[Node, tuple[Node, ...], str, Node]] = {}
    for total in order(results):
        loss = total.inputs[0] if total.op == "sum" and total.shape == () else None
        if loss is None or loss.op not in LOSS_OF.values() or _sole(loss, readers) is not total:
            continue
        activation, *rest = (n for n in loss.inputs if n is not None)
        if activation in found:  # a second loss of the same probabilities stays as it is
            continue
        if LOSS_OF.get(activation.op) == loss.op and all(n.leaf for n in rest):
            (z,) = _given(*activation.inputs)
            found[activation] = (z, tuple(rest), f"{activation.op}_{loss.op}", total)
    return found


def _given(*nodes: Node | None) -> list[Node]:
    """Inputs that are not optional."""
    return [node for node in nodes if node is not None]


def _dense(new: Node, old: Node, readers: dict[Node, list[Node]]) -> Node | None:
    """The `dense` node that a node completes: product + bias, or product (+ bias) + activation."""
    name = old.name
    if new.op == "add":
        for at, other in ((0, 1), (1, 0)):
            product, bias, before = _given(new.inputs[at], new.inputs[other], old.inputs[at])
            plain = product.op == "matmul" and not any(product.attrs.values())
            if not plain or len(readers[before]) > 1:
                continue
            x, weight = _given(*product.inputs)
            if weight.ndim == 2 and bias.shape == (1, weight.shape[1]):
                made = make("dense", x, weight, bias)
                made.name = name
                return made
    if new.op in FUSABLE:
        inner, before = _given(new.inputs[0], old.inputs[0])
        if len(readers[before]) > 1:
            return None
        if inner.op == "matmul" and not any(inner.attrs.values()):
            if _given(*inner.inputs)[1].ndim != 2:
                return None
        elif inner.op != "dense" or inner.attrs["activation"] != "linear":
            return None
        made = make("dense", *inner.inputs, activation=new.op, **new.attrs)
        made.name = name
        return made
    return None
