"""A graph that is being drawn: what is there, what is chosen of it, and what a move adds.

The numbers are followed along on a few rows. A move whose result is not finite or too large is
taken back, so that what is compared later is not noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from lamina.core.graph.graph import Node, leaf
from lamina.kernels.errors import LaminaError
from lamina.kernels.spec import INTEGERS, Rows, Spec

if TYPE_CHECKING:
    from lamina.benchmarks.maintenance.graph_data import (
        Constant,
        Graph,
        Input,
        Statement,
        applied,
    )
    from lamina.benchmarks.maintenance.graph_oracle import value_of
else:  # they lie beside this file and are not installed
    from graph_data import Constant, Graph, Input, Statement, applied
    from graph_oracle import value_of

LARGEST = 30.0  # of the numbers on the way
SEEN = 5  # rows that the numbers are followed on
Move = Callable[["Drawing"], str]
MOVES: list[tuple[float, Move]] = []


class Refused(Exception):
    """A move that does not fit what is there."""


def floating(node: Node) -> bool:
    """Numbers of x's kind."""
    return node.dtype == "float32"


def whole(node: Node) -> bool:
    """Integers."""
    return node.dtype in INTEGERS


def shapely(node: Node) -> bool:
    """A floating value with at least one axis."""
    return floating(node) and node.ndim > 0


class Drawing:
    """A graph that grows: its values as nodes of float32 and as numbers, the newest last."""

    def __init__(self, rng: np.random.Generator, kind: str, features: tuple[int, ...]) -> None:
        self.rng, self.kind, self.features = rng, kind, features
        self.parameters: list[tuple[str, tuple[int, ...]]] = []
        self.statements: list[Statement] = []
        self.nodes = Graph(kind, features, (), (), "x").nodes()
        self.values = {n: rng.standard_normal((SEEN, *features)) for n in self.nodes}

    def graph(self, result: str) -> Graph:
        """What was drawn, as far as the result needs it."""
        parameters, statements = tuple(self.parameters), tuple(self.statements)
        return Graph(self.kind, self.features, parameters, statements, result).lean()

    # Choosing

    def one_of(self, choices: Sequence[Any]) -> Any:
        """One of them. Raises: Refused where there is none."""
        if not choices:
            raise Refused
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, p: float) -> bool:
        """True with that probability."""
        return bool(self.rng.random() < p)

    def last(self, accept: Callable[[Node], bool] = floating, newest: float = 0.7) -> str:
        """A value, mostly the newest one that fits. Raises: Refused."""
        fitting = [name for name, node in self.nodes.items() if accept(node)]
        if fitting and self.chance(newest):
            made = [n for n in fitting if n.startswith("v")]
            return (made or fitting)[-1]
        return str(self.one_of(fitting))

    def number(self) -> float:
        """A number of two digits that is not near zero."""
        return float(round(self.one_of([-1, 1, 1]) * self.rng.uniform(0.2, 1.7), 2))

    def constant(self, shape: tuple[int, ...]) -> Constant:
        """An array of numbers of two digits."""
        return Constant.of(self.rng.uniform(-1.5, 1.5, shape).round(2))

    def parameter(self, shape: tuple[int, ...]) -> str:
        """A new array of the layer. Raises: Refused in a loss, and where there are enough."""
        if self.kind == "loss" or len(self.parameters) == 6:
            raise Refused
        name = "abcdef"[len(self.parameters)]
        self.parameters.append((name, shape))
        self.nodes[name] = leaf("parameter", Spec(shape, "float32"), name)
        self.values[name] = 0.5 * self.rng.standard_normal(shape)
        return name

    def array(self, shape: tuple[int, ...]) -> Input:
        """A parameter or a constant."""
        constant = self.kind == "loss" or self.chance(0.3)
        return self.constant(shape) if constant else self.parameter(shape)

    def mate(self, name: str) -> Input:
        """Something that broadcasts with a value: a number, an array, a value or a part of it."""
        node, shape = self.nodes[name], self.nodes[name].shape
        way = self.rng.random()
        if way < 0.1 or not floating(node):
            return self.number() if floating(node) else int(self.rng.integers(0, 4))
        if way < 0.45:  # ones for some axes and for the batch's, and perhaps fewer axes
            inner = [1 if isinstance(d, Rows) or self.chance(0.2) else d for d in shape]
            return self.array(tuple(inner[int(self.rng.integers(0, len(inner) + 1)) :]))
        if way < 0.6 and node.ndim:
            axes = self.axes(node)
            return self.do(self.one_of(["mean", "sum", "max"]), name, axis=axes, keepdims=True)
        fitting = [n for n, other in self.nodes.items() if other.dtype == node.dtype]
        return str(self.one_of(fitting))

    def axes(self, node: Node) -> tuple[int, ...]:
        """Some axes, from the front or from the back."""
        count = int(self.rng.integers(1, node.ndim + 1))
        chosen = sorted(int(a) for a in self.rng.choice(node.ndim, count, replace=False))
        return tuple(a - node.ndim if self.chance(0.3) else a for a in chosen)

    def node(self, name: str) -> Node:
        """The node of a value."""
        return self.nodes[name]

    # Growing

    def do(self, op: str, *inputs: Input, **attrs: Any) -> str:
        """Adds a statement; its target. Raises: Refused, and what the operation's rule raises."""
        target = f"v{len(self.statements)}"
        one = Statement(target, op, inputs, tuple(attrs.items()))
        node = applied(one, self.nodes)
        if node.ndim > 3:
            raise Refused
        known = {self.nodes[name]: value for name, value in self.values.items()}
        made = np.asarray(computed(node, known))
        if (
            made.size
            and made.dtype.kind != "b"
            and not (np.abs(made.astype(np.float64)) <= LARGEST).all()
        ):
            raise Refused
        self.nodes[target], self.values[target] = node, made
        self.statements.append(one)
        return target

    def attempt(self, move: Move) -> str | None:
        """A move, or nothing where it does not fit."""
        statements, parameters = len(self.statements), len(self.parameters)
        try:
            return move(self)
        except (Refused, LaminaError):
            for one in self.statements[statements:]:
                del self.nodes[one.target], self.values[one.target]
            for name, _ in self.parameters[parameters:]:
                del self.nodes[name], self.values[name]
            del self.statements[statements:], self.parameters[parameters:]
            return None


def computed(node: Node, known: dict[Node, Any]) -> Any:
    """A node's numbers; a statement may be of more nodes than one."""
    for one in node.inputs:
        if one is not None and one not in known:
            known[one] = computed(one, known)
    return value_of(node, known, SEEN)


def move(weight: float) -> Callable[[Move], Move]:
    """Registers a move. weight: how often, beside the others, it is made."""

    def register(function: Move) -> Move:
        MOVES.append((weight, function))
        return function

    return register
