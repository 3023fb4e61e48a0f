"""Simplification: a graph becomes a smaller one of the same values.

- Equal subexpressions are computed once: same operation, inputs (in any order where that changes
  nothing) and attributes. Constants are equal by their bytes, leaves by what they stand for.
- Constants are folded, and the rules of the table applied, from the leaves on, until none applies.
- What no result depends on is gone.

No node is changed: a node whose inputs stayed is the same object before and after, one whose inputs
changed is a new one. It runs twice: before fusion, on what the user wrote, so that a rule here must
leave the derivatives as they were; and after differentiation, on results and gradients together, so
that the backward pass takes from the forward pass what is there.

Names (`0.dense`) survive: the node that takes another's place has its own name, or the first one in
order of computation of those that it stands for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ...kernels.rules import normal_axes
from . import identities, shapes, spellings  # noqa: F401  # their rules register
from .graph import SELECT, Node, consumers, order
from .rewriting import TABLE, Rule, by_operation, given, over

SWEEPS = 20  # more than any graph was seen to need: two or three
COMPARED = 1 << 16  # bytes of a constant; a larger one equals only itself
COMMUTATIVE = ("add", "multiply", "equal", "not_equal")


def simplify(results: Sequence[Node], rules: Sequence[Rule] = TABLE) -> list[Node]:
    """The same results, computed with less.

    rules: which ones are applied; equal subexpressions are joined with none as well.
    """
    table = by_operation(rules)
    found = list(results)
    for _ in range(SWEEPS):
        made = _Sweep(found, table).run()
        if all(a is b for a, b in zip(made, found, strict=True)):
            break
        found = made
    return found


Key = TypeVar("Key")


def simplify_all(
    results: Mapping[Key, Node], gradients: Mapping[str, Node | None]
) -> tuple[dict[Key, Node], dict[str, Node | None]]:
    """Results and their gradients, simplified together; None stays None."""
    wanted = {name: node for name, node in gradients.items() if node is not None}
    made = simplify([*results.values(), *wanted.values()])
    found = dict(zip(wanted, made[len(results) :], strict=True))
    return (
        dict(zip(results, made[: len(results)], strict=True)),
        {name: found.get(name) for name in gradients},
    )


class _Sweep:
    """One way through a graph, from the leaves to the results."""

    def __init__(self, results: Sequence[Node], table: Mapping[str, Sequence[Rule]]) -> None:
        self.results, self.table = results, table
        self.readers = {node: len(found) for node, found in consumers(results).items()}
        self.done: dict[Node, Node] = {}  # node -> what stands for it
        self.known: dict[Any, Node] = {}  # what a node says -> the first that says it
        self.numbers: dict[Node, int] = {}  # the order in which they were first seen
        self.shared: set[Node] = set()  # read more than once
        self.names: dict[Node, str] = {}

    def run(self) -> list[Node]:
        """The results, simplified."""
        return self.named([self.simplified(node) for node in self.results])

    def simplified(self, result: Node) -> Node:
        """What stands for a node, after its inputs."""
        stack = [result]
        while stack:
            node = stack[-1]
            waiting = [n for n in given(node) if n not in self.done]
            if node in self.done:
                stack.pop()
            elif waiting:
                stack.extend(reversed(waiting))
            else:
                self.settle(node)
        return self.done[result]

    def settle(self, node: Node) -> None:
        """Decides what stands for a node whose inputs have been decided."""
        again = over(node, tuple(None if n is None else self.done[n] for n in node.inputs))
        first = self.known.setdefault(self.said(again), again)
        self.numbers.setdefault(first, len(self.numbers))
        if first not in self.done:
            other = self.rewritten(first)
            self.done[first] = first if other is None else self.simplified(other)
        self.done[node] = made = self.done[first]
        if self.readers.get(node, 0) > 1 or (first is not again and node in self.readers):
            self.shared.add(made)
        if node.name and not made.leaf and not made.name:
            self.names.setdefault(made, node.name)

    def said(self, node: Node) -> Any:
        """What two nodes have in common when they are equal."""
        if node.op == "constant":
            array = node.attrs["value"]
            if node.name or array.nbytes > COMPARED:
                return node
            return "constant", node.spec, array.tobytes()
        if node.leaf:
            return node.op, node.source, node.spec
        inputs = [-1 if n is None else self.numbers[n] for n in node.inputs]
        if node.op in COMMUTATIVE:
            inputs.sort()
        attrs = dict(node.attrs)
        if node.op in ("sum", "mean", "max"):
            attrs["axis"] = normal_axes(node.op, given(node)[0].spec, attrs)
        return node.op, tuple(inputs), repr(sorted(attrs.items())), node.specs

    def rewritten(self, node: Node) -> Node | None:
        """What the first rule that applies makes of a node."""
        if node.leaf or node.op == SELECT:
            return None
        for one in self.table[node.op]:
            made = one.apply(node, self.shared.__contains__)
            if made is not None:
                assert made.specs == node.specs, f"{one.name}: {node!r} became {made!r}"
                return made
        return None

    def named(self, results: list[Node]) -> list[Node]:
        """The results with the names of nodes that others stand for."""
        if not self.names:
            return results
        made: dict[Node, Node] = {}
        for node in order(results):
            inputs = tuple(None if n is None else made[n] for n in node.inputs)
            made[node] = over(node, inputs, self.names.get(node, node.name))
        return [made[node] for node in results]
