"""A user's own layer or loss as a list of statements: plain data that prints as Python, and runs.

What is printed is what runs: the class or function is made from the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import lamina as lm
import numpy as np
from lamina.core.graph.functions import ops as functions
from lamina.core.graph.graph import Node, leaf
from lamina.core.losses import weighted_sum
from lamina.kernels.errors import ShapeError
from lamina.kernels.spec import ROWS, Rows, Spec

OWN, OTHER = "own dtype", "other dtype"  # of x, and the floating one that x has not
SYMBOLS = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**", "less": "<",
    "less_equal": "<=", "greater": ">", "greater_equal": ">=",
}  # fmt: skip


@dataclass(frozen=True)
class Constant:
    """An array that stands in the text. values: numbers in nested tuples."""

    values: Any

    @classmethod
    def of(cls, array: np.ndarray) -> Constant:
        """A constant with an array's numbers."""
        return cls(_tuples(array.tolist()))

    def __str__(self) -> str:
        return f"np.array({self.array.tolist()})"

    @property
    def array(self) -> np.ndarray:
        """The array."""
        return np.array(self.values)


Input = str | int | float | Constant  # a name, a number or an array


@dataclass(frozen=True)
class Statement:
    """target = op(inputs, attrs), in the words of the operation table."""

    target: str
    op: str
    inputs: tuple[Input, ...]
    attrs: tuple[tuple[str, Any], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The values that it reads."""
        return tuple(i for i in self.inputs if isinstance(i, str))

    def __str__(self) -> str:
        shown = [str(i) if isinstance(i, (str, Constant)) else repr(i) for i in self.inputs]
        attrs = dict(self.attrs)
        if self.op in SYMBOLS:
            text = f"{shown[0]} {SYMBOLS[self.op]} {shown[1]}"
        elif self.op == "matmul" and not any(attrs.values()):
            text = f"{shown[0]} @ {shown[1]}"
        elif self.op == "slice":
            ranges = zip(attrs["starts"], attrs["stops"], attrs["steps"], strict=True)
            text = f"{shown[0]}[{', '.join(map(_range, ranges))}]"
        else:
            given = [f"[{', '.join(shown)}]"] if self.op == "concatenate" else shown
            given += [f"{name}={_written(value)}" for name, value in self.attrs]
            text = f"lm.ops.{self.op}({', '.join(given)})"
        return f"{self.target} = {text}"


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _range(triple: tuple[Any, Any, int]) -> str:
    start, stop, step = triple
    if isinstance(stop, Rows):
        return ":"
    return f"{start}:{stop}" + (f":{step}" if step != 1 else "")


def _written(value: Any) -> str:
    """An attribute as Python, with n for the rows of the batch."""
    if isinstance(value, tuple):
        inner = ", ".join(map(_written, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, Rows):
        return "n" if value.factor == 1 else f"n * {value.factor}"
    if value == OWN:
        return "x.dtype"
    return "other" if value == OTHER else repr(value)


@dataclass(frozen=True)
class Graph:
    """A layer of x, or a loss of y and x (the predictions).

    kind: "layer" or "loss". features: of a row of x: its shape without the batch axis.
    parameters: name -> shape of a layer's arrays. result: the value that it returns.
    """

    kind: str
    features: tuple[int, ...]
    parameters: tuple[tuple[str, tuple[int, ...]], ...]
    statements: tuple[Statement, ...]
    result: str

    @property
    def leaves(self) -> tuple[str, ...]:
        """What is there before the first statement."""
        return ("x", *(["y"] if self.kind == "loss" else []), *(n for n, _ in self.parameters))

    def lean(self) -> Graph:
        """Without statements and parameters that nobody reads."""
        needed, kept = {self.result}, []
        for one in reversed(self.statements):
            if one.target in needed:
                kept.append(one)
                needed.update(one.names)
        parameters = tuple(p for p in self.parameters if p[0] in needed)
        return replace(self, parameters=parameters, statements=tuple(reversed(kept)))

    @property
    def depth(self) -> int:
        """The operations on the longest way from a leaf to the result."""
        depths = dict.fromkeys(self.leaves, 0)
        for one in self.statements:
            depths[one.target] = 1 + max((depths[n] for n in one.names), default=0)
        return depths[self.result]

    def nodes(self, dtype: str = "float32") -> dict[str, Node]:
        """Every value as a node. Raises: ShapeError, DtypeError and the like where none fits."""
        x = leaf("batch", Spec((ROWS, *self.features), dtype), "x")
        found = {"x": x}
        if self.kind == "loss":
            found["y"] = leaf("batch", Spec((ROWS, *self.features), dtype), "y")
        for name, shape in self.parameters:
            found[name] = leaf("parameter", Spec(shape, dtype), name)
        for one in self.statements:
            found[one.target] = applied(one, found)
        return found

    def fits(self) -> bool:
        """Whether it can be traced, and its result is what a layer or a loss must return."""
        try:
            nodes = self.nodes()
            made = nodes[self.result]
            if made.dtype != nodes["x"].dtype or made.shape[:1] != (ROWS,):
                return False
            if any(isinstance(d, Rows) for d in made.shape[1:]) or 0 in made.shape:
                return False
            if self.kind == "loss":
                weighted_sum("", made, leaf("batch", Spec((ROWS, 1), made.dtype), "weights"))
            return self.kind == "loss" or made.ndim >= 2
        except (lm.ShapeError, lm.DtypeError, lm.BadInput, KeyError):
            return False

    def body(self) -> Iterator[str]:
        """The statements as lines of a function of x."""
        lines = [str(one) for one in self.statements]
        attrs = [value for one in self.statements for _, value in one.attrs]
        if any(isinstance(d, Rows) for v in attrs if isinstance(v, tuple) for d in v):
            yield "n = x.shape[0]"
        if OTHER in attrs:
            yield 'other = "float64" if x.dtype == "float32" else "float32"'
        yield from lines
        yield f"return {self.result}"

    def __str__(self) -> str:
        if self.kind == "loss":
            return "def drawn(y, x):\n" + "".join(f"    {line}\n" for line in self.body())
        lines = ["class Drawn(lm.Layer):"]
        if self.parameters:
            lines += ["    def parameters(self, shape):", "        return {"]
            for name, shape in self.parameters:
                how = "lm.initializers.RandomNormal(0.5)"
                lines.append(f'            "{name}": lm.Parameter({shape}, {how}),')
            lines += ["        }", ""]
        lines.append("    def forward(self, x, parameters, context):")
        lines += [f'        {name} = parameters["{name}"]' for name, _ in self.parameters]
        lines += [f"        {line}" for line in self.body()]
        return "\n".join(lines) + "\n"

    def made(self) -> Any:
        """The layer, or the loss function."""
        scope: dict[str, Any] = {"lm": lm, "np": np}
        exec(compile(str(self), "<drawn graph>", "exec"), scope)
        return scope["Drawn"]() if self.kind == "layer" else scope["drawn"]


def applied(one: Statement, nodes: Mapping[str, Node]) -> Node:
    """The node of a statement over the nodes of what it reads."""
    own = nodes["x"].dtype
    dtypes = {OWN: own, OTHER: "float64" if own == "float32" else "float32"}
    attrs = {n: dtypes.get(v, v) if isinstance(v, str) else v for n, v in one.attrs}
    ins = [
        nodes[i] if isinstance(i, str) else i.array if isinstance(i, Constant) else i
        for i in one.inputs
    ]
    if not any(isinstance(i, Node) for i in ins):
        raise ShapeError(f"[{one.op}] reads no value")
    made: Node = getattr(functions, one.op)(*([ins] if one.op == "concatenate" else ins), **attrs)
    return made
