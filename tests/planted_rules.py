"""Wrong rules of simplification, each with the check that finds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lamina.core.graph.graph import Node, make
from lamina.core.graph.rewriting import Rule, either_way, given, is_number


@dataclass(frozen=True)
class Fault:
    """rule: what is planted, in the place of the right one of its name. check: what finds it.

    said: words of what that says.
    """

    rule: Rule
    check: str
    said: str


FAULTS: list[Fault] = []


def planted(*ops: str, check: str, said: str) -> Callable[[Callable[[Node], Node | None]], None]:
    def register(function: Callable[[Node], Node | None]) -> None:
        rule = Rule(function.__name__, ops, function.__doc__ or "", function)
        FAULTS.append(Fault(rule, check, said))

    return register


@planted("add", check="values", said="graph")
def negative_added(node: Node) -> Node | None:
    """A sign: a + -b = b - a."""
    for a, b in either_way(node):
        if b.op == "negative":
            return make("subtract", given(b)[0], a)
    return None


@planted("transpose", check="axes", said="Arrays are not equal")
def transposed_twice(node: Node) -> Node | None:
    """A wrong axis: the permutations the wrong way round."""
    x, axes = given(node)[0], node.attrs["axes"]
    if x.op != "transpose":
        return None
    return make("transpose", *x.inputs, axes=tuple(axes[a] for a in x.attrs["axes"]))


@planted("sum", check="shapes", said="Not equal to tolerance")
def copies_reduced(node: Node) -> Node | None:
    """A lost broadcast: the sum of k copies is one of them."""
    wide = given(node)[0]
    if wide.op != "broadcast_to" or node.attrs["axis"] != (1,):
        return None
    return make("reshape", *wide.inputs, shape=node.shape)


@planted("matmul", check="untouched", said="transpose")
def transpose_multiplied(node: Node) -> Node | None:
    """A shared node changed in place."""
    a, b = given(node)
    if a.op == "transpose" and not node.attrs["transpose_a"]:
        node.inputs, node.attrs["transpose_a"] = (a.inputs[0], b), True
    return None


@planted("sum", check="order", said=r"sum\(")
def summed_in_turn(node: Node) -> Node | None:
    """A reduction in another order: down the columns first, then along what is left."""
    (x,) = given(node)
    if x.ndim != 2 or node.attrs["axis"] not in (None, (0, 1)) or node.attrs["keepdims"]:
        return None
    return make("sum", make("sum", x, axis=0), axis=0)


@planted("add", check="values", said="graph")
def zero_added(node: Node) -> Node | None:
    """A number taken for another: x + 1 = x."""
    for x, one in either_way(node):
        if is_number(one, 1) and x.shape == node.shape:
            return x
    return None
