"""What a rule of simplification is, and what rules ask of nodes.

A rule looks at one node and returns another that has the same value, or None. Rules are lines of a
table, `TABLE`: `identities.py`, `shapes.py` and `spellings.py` fill it, `simplify.py` applies it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...kernels.ops import OPS
from ...kernels.spec import FLOATS, Rows, Shape, Spec, size
from .graph import Node, make

Rewrite = Callable[[Node], Node | None]

ANY = "*"  # in the place of an operation's name
COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
BROADCASTING = (
    "add", "subtract", "multiply", "divide", "maximum", "minimum", "power", *COMPARISONS, "where",
)  # fmt: skip
UNARY = tuple(
    name for name, row in OPS.items() if row.independent == "elements" and len(row.inputs) == 1
)


@dataclass(frozen=True)
class Rule:
    """One identity by which a graph gets smaller.

    name: of the function that applies it. ops: the operations that it looks at. identity: what it
    says, in one line. rewrite: node -> a node of the same value and spec, or None. floats: whether
    it holds for floating numbers only. alone: operations that it takes apart among the node's
    inputs; it pays only where nobody else reads these.
    """

    name: str
    ops: tuple[str, ...]
    identity: str
    rewrite: Rewrite
    floats: bool = False
    alone: tuple[str, ...] = ()

    def apply(self, node: Node, shared: Callable[[Node], bool]) -> Node | None:
        """The node that takes another's place, or None. shared: whether a node is read twice."""
        if self.floats and node.dtype not in FLOATS:
            return None
        made = self.rewrite(node)
        if made is not None and any(n.op in self.alone and shared(n) for n in given(node)):
            return None
        return made


TABLE: list[Rule] = []


def rule(
    *ops: str, floats: bool = False, alone: tuple[str, ...] = ()
) -> Callable[[Rewrite], Rewrite]:
    """Adds a line to the table; the function's docstring begins with the identity."""

    def register(function: Rewrite) -> Rewrite:
        identity = (function.__doc__ or "").strip().split("\n")[0]
        TABLE.append(Rule(function.__name__, ops, identity, function, floats, alone))
        return function

    return register


def by_operation(rules: Sequence[Rule]) -> dict[str, list[Rule]]:
    """The rules for each operation, in the order of the table."""
    found: dict[str, list[Rule]] = {name: [] for name in OPS}
    for one in rules:
        for name in OPS if one.ops == (ANY,) else one.ops:
            found[name].append(one)
    return found


def over(node: Node, inputs: tuple[Node | None, ...], name: str | None = None) -> Node:
    """The same operation on other inputs of the same specs; the node itself where none differs.

    name: None keeps the node's.
    """
    name = node.name if name is None else name
    if name == node.name and all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
        return node
    return Node(node.op, inputs, node.attrs, node.specs, name)


def given(node: Node) -> list[Node]:
    """The inputs that are not left out."""
    return [n for n in node.inputs if n is not None]


def literal(node: Node) -> bool:
    """Whether a node is a number or an array that is known while the graph is made.

    A constant with a name is an argument of a function: it stands for any number.
    """
    return node.op == "constant" and not node.name


def number(node: Node) -> Any:
    """The number of a literal of one element, or None."""
    if not literal(node) or node.attrs["value"].size != 1:
        return None
    return node.attrs["value"].item()


def is_number(node: Node, value: float) -> bool:
    """Whether a node is that literal number."""
    found = number(node)
    return found is not None and bool(found == value)


def either_way(node: Node) -> Iterator[tuple[Node, Node]]:
    """The inputs of an operation of two, and exchanged where that changes nothing."""
    a, b = given(node)
    yield a, b
    if node.op in ("add", "multiply"):
        yield b, a


def shaped(x: Node, shape: Shape) -> Node:
    """x, broadcast where it has not that shape."""
    return x if x.shape == shape else make("broadcast_to", x, shape=shape)


def smaller(a: Spec, b: Spec) -> bool:
    """Whether a has fewer elements than b, which depends on no number of rows."""
    one, other = size(a.shape), size(b.shape)
    if isinstance(one, Rows):
        return isinstance(other, Rows) and one.factor < other.factor
    return isinstance(other, Rows) or one < other


def last_axis(node: Node) -> bool:
    """Whether a reduction is along the last axis of its input and keeps it as one."""
    (x,) = given(node)
    axis = node.attrs["axis"]
    return bool(node.attrs["keepdims"]) and x.ndim > 0 and axis in ((-1,), (x.ndim - 1,))


def opposite(a: Node, b: Node) -> bool:
    """Whether a is -b as it is written after the negation has been absorbed."""
    if (a.op == "negative" and a.inputs[0] is b) or (b.op == "negative" and b.inputs[0] is a):
        return True
    if a.op == b.op == "subtract":
        return a.inputs == b.inputs[::-1]
    if a.op == b.op and a.op in ("multiply", "divide"):
        for x, c in either_way(a):
            for y, d in either_way(b):
                one, other = number(c), number(d)
                if x is y and one is not None and other is not None and one == -other:
                    return True
    return False


def nonnegative(x: Node) -> bool:
    """Whether every element is above zero, +0.0 or NaN, whatever goes in."""
    if literal(x):
        return not bool((np.signbit(x.attrs["value"])).any())
    if x.op in ("abs", "exp", "sigmoid", "softmax", "softplus"):
        return True
    if x.op == "multiply" and x.inputs[0] is x.inputs[1]:
        return True
    if x.op in ("add", "multiply", "divide", "sum", "mean", "max", "reshape", "broadcast_to"):
        return all(nonnegative(n) for n in given(x))
    return False
