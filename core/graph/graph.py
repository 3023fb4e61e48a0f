"""The computation graph: symbolic nodes with shapes and dtypes, and how they print.

A node is one operation of the table applied to other nodes, or a leaf: rows of a batch, a
parameter, a constant, a control number. Nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...kernels import attributes, ops
from ...kernels.errors import DtypeError, ShapeError
from ...kernels.spec import FLOATS, INTEGERS, Dim, Rows, Shape, Spec, elements

LEAVES = ("batch", "parameter", "constant", "control")
SELECT = "select"  # one output of an operation that has several


class Node:
    """One value of a computation graph, with shape and dtype known and the number not.

    Nodes take the arithmetic operators, comparisons, `@`, and `[...]` with slices; `lm.ops` has all
    operations as functions. Numbers and arrays among the operands become constants of the node's
    dtype.
    """

    __slots__ = ("attrs", "inputs", "name", "op", "spec", "specs")
    __array_ufunc__ = None  # let NumPy hand its operators over to ours

    def __init__(
        self,
        op: str,
        inputs: tuple[Node | None, ...],
        attrs: Mapping[str, Any],
        specs: tuple[Spec, ...],
        name: str = "",
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.attrs = dict(attrs)
        self.specs = specs
        self.spec = specs[0]
        self.name = name

    @property
    def shape(self) -> Shape:
        """The shape; the number of rows in a batch prints as n."""
        return self.spec.shape

    @property
    def dtype(self) -> str:
        """The dtype's name."""
        return self.spec.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.spec.rank

    @property
    def leaf(self) -> bool:
        """Whether no operation made it."""
        return self.op in LEAVES

    @property
    def source(self) -> str:
        """Which column, parameter or control number a leaf is."""
        return str(self.attrs.get("source", ""))

    @property
    def T(self) -> Node:  # noqa: N802
        """The axes in reverse order."""
        return make("transpose", self, axes=tuple(range(self.ndim))[::-1])

    def reshape(self, *shape: Any) -> Node:
        """The same elements in another shape; one dimension may be -1."""
        return make("reshape", self, shape=fill_shape(self, shape[0] if len(shape) == 1 else shape))

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Node:
        """The sum over axes."""
        return make("sum", self, axis=axis, keepdims=keepdims)

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Node:
        """The mean over axes."""
        return make("mean", self, axis=axis, keepdims=keepdims)

    def __repr__(self) -> str:
        return f"<{self.name or self.op}: {self.spec}>"

    def __bool__(self) -> bool:
        raise TypeError(
            f"{self!r} has no truth value while a function is traced: use lm.ops.where for a choice"
        )

    def __float__(self) -> float:
        raise TypeError(f"{self!r} has no number while a function is traced")

    def __iter__(self) -> Iterator[Node]:
        raise TypeError(f"{self!r} cannot be iterated: slice it, as in x[:, 0:1]")

    def __add__(self, other: Any) -> Node:
        return make("add", self, other)

    def __radd__(self, other: Any) -> Node:
        return make("add", other, self)

    def __sub__(self, other: Any) -> Node:
        return make("subtract", self, other)

    def __rsub__(self, other: Any) -> Node:
        return make("subtract", other, self)

    def __mul__(self, other: Any) -> Node:
        return make("multiply", self, other)

    def __rmul__(self, other: Any) -> Node:
        return make("multiply", other, self)

    def __truediv__(self, other: Any) -> Node:
        return make("divide", self, other)

    def __rtruediv__(self, other: Any) -> Node:
        return make("divide", other, self)

    def __pow__(self, other: Any) -> Node:
        if isinstance(other, (int, np.integer)) and other == 2:
            return make("multiply", self, self)  # exact, and cheaper
        return make("power", self, other)

    def __rpow__(self, other: Any) -> Node:
        return make("power", other, self)

    def __matmul__(self, other: Any) -> Node:
        return make("matmul", self, other)

    def __rmatmul__(self, other: Any) -> Node:
        return make("matmul", other, self)

    def __neg__(self) -> Node:
        return make("negative", self)

    def __abs__(self) -> Node:
        return make("abs", self)

    def __lt__(self, other: Any) -> Node:
        return make("less", self, other)

    def __le__(self, other: Any) -> Node:
        return make("less_equal", self, other)

    def __gt__(self, other: Any) -> Node:
        return make("greater", self, other)

    def __ge__(self, other: Any) -> Node:
        return make("greater_equal", self, other)

    def __getitem__(self, index: Any) -> Node:
        return cut(self, index if isinstance(index, tuple) else (index,))


def fill_shape(x: Node, given: Any) -> Shape:
    """A shape with its -1 replaced by the number that fits. Raises: ShapeError."""
    shape = attributes.wholes("reshape", "shape", given)
    if -1 not in shape:
        return shape
    if shape.count(-1) > 1:
        raise ShapeError(f"[reshape] only one length can be -1, not {shape.count(-1)} of {shape}")
    at = shape.index(-1)
    whole, power = elements(x.shape)
    part, known = elements((*shape[:at], *shape[at + 1 :]))
    if part == 0 or whole % part or power - known not in (0, 1):
        raise ShapeError(f"[reshape] {x.spec} does not fit into {shape}")
    missing = whole // part
    return (*shape[:at], Rows(missing) if power > known else missing, *shape[at + 1 :])


def cut(x: Node, index: tuple[Any, ...]) -> Node:
    """x[index] for slices with positive steps, and integers, which drop their axis."""
    if len(index) > x.ndim:
        raise ShapeError(f"[slice] {len(index)} indices for {x.spec}")
    starts: list[int] = []
    stops: list[Dim] = []
    steps: list[int] = []
    kept: list[int] = []
    for axis, length in enumerate(x.shape):
        part = index[axis] if axis < len(index) else slice(None)
        if isinstance(part, (np.integer, np.ndarray)):
            part = attributes.whole("slice", "indices", part)
        start, stop, step = 0, length, 1
        if isinstance(part, slice):
            if isinstance(length, int):
                try:
                    start, end, step = part.indices(length)
                except (TypeError, ValueError):  # no whole numbers, a step of 0
                    step = 0
                if step < 1:
                    raise ShapeError(
                        f"[slice] bounds must be whole numbers and steps positive"
                        f" (x: {x.spec}, {part})"
                    )
                stop = max(start, end)
            elif part != slice(None):
                raise ShapeError(f"[slice] the batch axis cannot be cut (x: {x.spec})")
            kept.append(axis)
        elif type(part) is int and isinstance(length, int) and -length <= part < length:
            start = part % length
            stop = start + 1
        else:
            raise ShapeError(f"[slice] index {part!r} does not fit axis {axis} (x: {x.spec})")
        starts.append(start)
        stops.append(stop)
        steps.append(step)
    result = make("slice", x, starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))
    if len(kept) == x.ndim:
        return result
    return make("reshape", result, shape=tuple(result.shape[a] for a in kept))


def leaf(kind: str, spec: Spec, source: str, name: str = "") -> Node:
    """A leaf: "batch" (a data column), "parameter" (an entry) or "control" (a host number)."""
    return Node(kind, (), {"source": source}, (spec,), name or source)


def constant(value: Any, dtype: str | None = None, name: str = "") -> Node:
    """A leaf that is known now: a number or an array."""
    array = np.asarray(value)
    if dtype in INTEGERS and array.dtype.kind in "iu":
        array = attributes.whole_array(name or "a constant", array, dtype)
    elif dtype is not None:
        array = np.asarray(array, dtype=dtype)
    if array.dtype == np.bool_ or array.dtype.name in (*FLOATS, *INTEGERS):
        return Node("constant", (), {"value": array}, (Spec(array.shape, array.dtype.name),), name)
    if np.issubdtype(array.dtype, np.number) and not np.iscomplexobj(array):
        return constant(array, "float64", name)
    raise DtypeError(f"a constant of dtype {array.dtype} cannot enter a graph: {value!r}")


def _operand(value: Any, dtype: str | None) -> Node | None:
    if value is None or isinstance(value, Node):
        return value
    array = np.asarray(value)
    if (
        dtype is not None
        and array.dtype != np.bool_
        and (dtype in FLOATS or array.dtype.kind in "iu")
    ):
        return constant(array, dtype)
    if dtype is None and array.dtype.kind in "iu":
        return constant(array, "float64")  # numbers alone: real arithmetic, not integer division
    return constant(array)


def _whole(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "iu"


def make(op: str, *inputs: Any, **attrs: Any) -> Node:
    """The node of an operation; of one with several outputs it is the first, see `outputs`.

    Raises: UnknownName, ShapeError, DtypeError.
    """
    row = ops.get(op)
    kinds = [n.dtype for n in inputs if isinstance(n, Node) and n.dtype != "bool"]
    dtype = kinds[0] if kinds else None
    counting = row.indices.input if row.indices else None
    nodes = tuple(
        constant(attributes.whole_array(f"[{op}] {name}", value, "int32"))
        if at == counting and not isinstance(value, Node) and _whole(value)
        else _operand(value, dtype)
        for at, (name, value) in enumerate(zip(row.inputs, inputs, strict=False))
    )
    nodes += tuple(_operand(value, dtype) for value in inputs[len(row.inputs) :])
    full = attributes.normal(op, row.complete(attrs))
    specs = row.check([None if n is None else n.spec for n in nodes], full)
    return Node(op, nodes, full, specs)


def outputs(node: Node) -> tuple[Node, ...]:
    """All outputs of an operation's node."""
    if len(node.specs) == 1:
        return (node,)
    return tuple(Node(SELECT, (node,), {"index": i}, (s,)) for i, s in enumerate(node.specs))


def order(results: Iterable[Node]) -> list[Node]:
    """All nodes that the results depend on, each after its inputs."""
    done: dict[Node, None] = {}
    for result in results:
        stack: list[tuple[Node, bool]] = [(result, False)]
        while stack:
            node, expanded = stack.pop()
            if node in done:
                continue
            if expanded:
                done[node] = None
                continue
            stack.append((node, True))
            stack.extend((i, False) for i in reversed(node.inputs) if i is not None)
    return list(done)


def consumers(results: Sequence[Node]) -> dict[Node, list[Node]]:
    """Which nodes read each node; a result counts as read once more by itself."""
    found: dict[Node, list[Node]] = {node: [] for node in order(results)}
    for node in found:
        for one in node.inputs:
            if one is not None:
                found[one].append(node)
    for node in results:
        found[node].append(node)
    return found
