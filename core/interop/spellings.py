"""Activations as other libraries spell them out, told by their expressions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache

import numpy as np

from ...kernels.ops import OPS
from ...kernels.spec import ROWS, Spec
from ..graph.functions import ops
from ..graph.graph import Node, leaf
from . import formulas

DIGITS = 6  # of a constant that are compared: float32 has seven
ROOT = 2.0**0.5
LONGEST = 80  # operations of one activation

SPELLINGS: dict[str, tuple[Callable[[Node], Node], ...]] = {
    "silu": (formulas.silu, formulas.silu_whole),
    "mish": (formulas.mish, formulas.mish_whole),
    "softsign": (formulas.softsign,),
    "softplus": (formulas.softplus, lambda x: ops.log(ops.exp(x) + 1.0)),
    "elu": (formulas.elu,),
    "selu": (formulas.selu,),
    "leaky_relu": (formulas.leaky_relu,),
    "gelu": (
        formulas.gelu,
        formulas.gelu_whole,
        lambda x: x * 0.5 * (ops.erf(x / ROOT) + 1.0),
        lambda x: x * (ops.erf(x / ROOT) + 1.0) * 0.5,
        lambda x: x * (ops.erf(x * (1.0 / ROOT)) + 1.0) * 0.5,
        lambda x: x * ((ops.erf(x / ROOT) + 1.0) * 0.5),
        lambda x: x * ((ops.erf(x * (1.0 / ROOT)) + 1.0) * 0.5),
    ),
    "gelu_tanh": (
        formulas.gelu_tanh,
        lambda x: x * 0.5 * (_tanh_form(ops.power(x, 3.0), x) + 1.0),
        lambda x: x * ((_tanh_form(ops.power(x, 3.0), x) + 1.0) * 0.5),
        lambda x: x * ((_tanh_form(x * x * x, x) + 1.0) * 0.5),
        lambda x: x * (_tanh_form(ops.power(x, 3.0), x) + 1.0) * 0.5,
        lambda x: x * (_tanh_form(x * x * x, x) + 1.0) * 0.5,
    ),
    "hard_swish": (
        formulas.hard_swish,
        lambda x: x * ops.hard_sigmoid(x),
        lambda x: x * _between((x + 3.0) / 6.0, 1.0),
        lambda x: x * _between(x + 3.0, 6.0) / 6.0,
    ),
    "hard_sigmoid": (
        formulas.hard_sigmoid,
        lambda x: _between((x + 3.0) / 6.0, 1.0),
        lambda x: _between(x + 3.0, 6.0) / 6.0,
    ),
}


def _tanh_form(cube: Node, x: Node) -> Node:
    return ops.tanh((x + cube * formulas.CUBIC) * formulas.INNER)


def _between(x: Node, high: float) -> Node:
    """Between 0 and a number."""
    return ops.clip(x, low=0.0, high=high)


def said(node: Node, x: Node, known: dict[Node, str | None] | None = None) -> str | None:
    """What an expression in x says, as a digest; the same for sums and products in any order.

    None: it is no expression of elements of x and numbers alone.
    """
    known = {x: "x"} if known is None else known
    if node not in known:
        known[node] = _digest(node, [said(n, x, known) for n in node.inputs if n is not None])
    return known[node]


def _digest(node: Node, parts: list[str | None]) -> str | None:
    if node.op == "constant":
        value = node.attrs["value"]
        return f"{float(value.reshape(())):.{DIGITS}g}" if value.size == 1 else None
    row = OPS.get(node.op)
    words = [part for part in parts if part is not None]
    if row is None or row.independent != "elements" or len(words) < len(parts):
        return None
    if node.op in ("add", "multiply", "equal", "maximum", "minimum"):
        words.sort()
    numbers = (int, float, np.number)
    words += [f"{v:.{DIGITS}g}" for v in node.attrs.values() if isinstance(v, numbers)]
    return hashlib.blake2b(f"{node.op} {words}".encode(), digest_size=16).hexdigest()


@cache
def _known() -> dict[str, str]:
    """Expression -> the activation that it is."""
    found = {}
    for name, spellings in SPELLINGS.items():
        for spelled in spellings:
            x = leaf("batch", Spec((ROWS, 2), "float64"), "x")
            text = said(spelled(x), x)
            assert text is not None, name
            found[text] = name
    return found


def spelled(node: Node) -> tuple[str, Node] | None:
    """The activation that a node is, written out, and what it is applied to; or None."""
    x = _below(node)
    text = None if x is None else said(node, x)
    name = None if text is None else _known().get(text)
    return (name, x) if name is not None and x is not None else None


def _below(node: Node) -> Node | None:
    """The one node that all of an expression of elements is of, where there is one."""
    found: dict[Node, None] = {}
    stack, seen = [node], set()
    while stack:
        one = stack.pop()
        if one in seen or one.op == "constant":
            continue
        seen.add(one)
        if len(seen) > LONGEST:
            return None
        row = OPS.get(one.op)
        ends = any(n is not None and n.op == "matmul" for n in one.inputs)
        if one.leaf or row is None or row.independent != "elements" or ends:
            found[one] = None
        else:
            stack += [n for n in one.inputs if n is not None]
    return next(iter(found)) if len(found) == 1 and node not in found else None
