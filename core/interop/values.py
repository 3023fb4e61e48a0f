"""What an operator of ONNX is given: values, attributes, and words for what it cannot do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...kernels.errors import CheckpointError
from ...kernels.spec import DTYPES, FLOATS, INTEGERS, Dim, Rows, Shape, elements
from ..graph.graph import Node, constant, make

MOST = 1 << 26  # elements of one value: a bomb has more
HELD = 1 << 24  # of one that is made on the host, and of one for each row of a batch


class Unknown(Exception):
    """Numbers are asked of a value that has none until the graph runs on rows of known number."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """One value of an ONNX graph: numbers known on the host, or a node of lamina's graph.

    host: an array of numbers, of words, or (objects) of sizes that count the rows of a batch.
    chosen: (words, node): the words that the node's integers number, in the node's place.
    """

    host: np.ndarray | None = None
    node: Node | None = None
    chosen: tuple[np.ndarray, Node] | None = None

    @property
    def symbolic(self) -> bool:
        """Whether it holds sizes that count rows."""
        return (
            self.host is not None
            and self.host.dtype == object
            and any(isinstance(v, Rows) for v in self.host.reshape(-1).tolist())
        )

    @property
    def words(self) -> bool:
        """Whether it holds strings."""
        if self.chosen is not None:
            return True
        host = self.host
        if host is None or host.dtype.kind not in "OUST":
            return False
        return not any(isinstance(v, (int, Rows)) for v in host.reshape(-1)[:1].tolist())


Evaluate = Callable[[Node], np.ndarray]
Function = Callable[["Call"], Any]


class Call:
    """One node of an ONNX graph with its values.

    proto: the node. inputs: its values, None where one is left out. version: of the operator set.
    evaluate: the numbers of a node whose leaves are all known; raises Unknown. lookup: the value of
    a name anywhere before in the graph.
    """

    def __init__(
        self,
        proto: Any,
        inputs: Sequence[Tensor | None],
        version: int,
        attributes: Mapping[str, Any],
        evaluate: Evaluate,
        lookup: Callable[[str], Tensor],
    ) -> None:
        self.proto, self.inputs, self.version = proto, list(inputs), version
        self.attributes, self.evaluate, self.lookup = attributes, evaluate, lookup

    @property
    def outputs(self) -> int:
        """The number of its outputs."""
        return len(self.proto.output)

    def wants(self, index: int) -> bool:
        """Whether an output has a name, so that somebody reads it."""
        return index < len(self.proto.output) and bool(self.proto.output[index])

    def refuse(self, what: str) -> CheckpointError:
        """The error that names the node."""
        return CheckpointError(f"{label(self.proto)}: {what}")

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute's value."""
        return self.attributes.get(name, default)

    def has(self, index: int) -> bool:
        """Whether the input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def tensor(self, index: int) -> Tensor:
        """An input. Raises: CheckpointError where it is left out."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise self.refuse(f"input {index} is missing")
        return found

    def node(self, index: int) -> Node:
        """An input as a node."""
        found = self.tensor(index)
        if found.chosen is not None or found.words:
            raise self.refuse("strings are not computed with here")
        if found.symbolic:
            raise Unknown
        if found.node is None:
            assert found.host is not None
            return self.constant(found.host)
        return found.node

    def nodes(self) -> list[Node]:
        """All inputs as nodes."""
        return [self.node(i) for i in range(len(self.inputs))]

    def constant(self, array: np.ndarray) -> Node:
        """Numbers as a node. Raises: CheckpointError for a dtype that there is not."""
        if array.dtype.name not in DTYPES:
            raise self.refuse(f"lamina has no dtype {array.dtype.name}: it has {', '.join(DTYPES)}")
        return constant(array, array.dtype.name)

    def like(self, x: Node, value: float) -> Node:
        """A number of a node's dtype."""
        return constant(np.asarray(value).astype(x.dtype), x.dtype)

    def host(self, index: int) -> np.ndarray:
        """An input's numbers now. Raises: Unknown."""
        found = self.tensor(index)
        if found.host is not None:
            return found.host
        if found.chosen is not None:
            raise self.refuse("strings are not computed with here")
        assert found.node is not None
        return self.evaluate(found.node)

    def wholes(self, index: int) -> list[Dim]:
        """An input's numbers as sizes, which may count rows."""
        found = self.host(index).reshape(-1).tolist()
        if not all(isinstance(v, (int, Rows)) and not isinstance(v, bool) for v in found):
            raise self.refuse(f"input {index} must be whole numbers")
        return found

    def ints(self, index: int) -> list[int]:
        """An input's whole numbers. Raises: Unknown where they count rows."""
        found = self.wholes(index)
        if any(isinstance(v, Rows) for v in found):
            raise Unknown
        return [v for v in found if isinstance(v, int)]

    def number(self, index: int) -> float:
        """An input's one number."""
        found = self.host(index).reshape(-1)
        if found.size != 1:
            raise self.refuse(f"input {index} must be one number")
        return found.item()  # type: ignore[no-any-return]

    def axes(self, rank: int, at: int = 1, since: int = 0) -> list[int] | None:
        """Axes from the attribute, or from an input of newer operator sets; None: not given."""
        given = self.attr("axes")
        if given is None and self.has(at) and self.version >= since:
            given = self.ints(at)
        return None if given is None else [self.axis(rank, int(a)) for a in given]

    def axis(self, rank: int, axis: int) -> int:
        """An axis that is not negative."""
        if not -rank <= axis < max(rank, 1):
            raise self.refuse(f"axis {axis} is out of range for rank {rank}")
        return axis % max(rank, 1)

    def bounded(self, shape: Shape, held: bool = False) -> Shape:
        """A shape that a file may ask for. Raises: CheckpointError for one that is too large.

        held: whether it is made on the host, number by number.
        """
        return bounded(shape, self.refuse, HELD if held else MOST)


def bounded(shape: Shape, refuse: Callable[[str], Exception], most: int = MOST) -> Shape:
    """A shape that has no more elements than a file may ask for."""
    factor, power = elements(shape)
    most = min(most, HELD) if power else most
    if factor > most or factor < 0 or any(isinstance(d, int) and d < 0 for d in shape):
        per = " for each row" if power else ""
        raise refuse(f"it makes {factor} elements{per}, and at most {most} are made from a file")
    return shape


def label(proto: Any) -> str:
    """How a node is called in messages."""
    domain = f"{proto.domain}." if proto.domain not in ("", "ai.onnx") else ""
    made = ", ".join(name for name in proto.output if name)
    name = f" {proto.name!r}" if proto.name else ""
    return f"node{name} ({domain}{proto.op_type} -> {made})"


# The table of operators: the supported list

OPERATORS: dict[tuple[str, str], Function] = {}
ML, TRAINING = "ai.onnx.ml", "ai.onnx.preview.training"


def operator(*names: str, domain: str = "") -> Callable[[Function], Function]:
    """Adds a function to the table, under those names of a domain."""

    def register(function: Function) -> Function:
        for name in names:
            OPERATORS[domain, name] = function
        return function

    return register


# What several operators need


def ints(shape: Shape) -> tuple[int, ...]:
    """A shape without rows. Raises: Unknown."""
    if any(isinstance(d, Rows) for d in shape):
        raise Unknown
    return tuple(d for d in shape if isinstance(d, int))


def sizes(shape: Sequence[Dim]) -> np.ndarray:
    """A shape as an array: of objects where it counts rows."""
    kind = object if any(isinstance(d, Rows) for d in shape) else np.int64
    result = np.empty(len(shape), kind)
    result[:] = shape
    return result


def empty(shape: Shape) -> bool:
    """Whether there are no elements."""
    return any(d == 0 for d in shape)


def size_of(shape: Shape, axes: Sequence[int]) -> int:
    """The number of elements along axes. Raises: Unknown where one counts rows."""
    return math.prod(ints(tuple(shape[a] for a in axes)))


def cast(x: Node, dtype: str) -> Node:
    """The node in that dtype."""
    return x if x.dtype == dtype else make("cast", x, dtype=dtype)


def reshape(x: Node, shape: Sequence[Dim]) -> Node:
    """The node in that shape."""
    return x if x.shape == tuple(shape) else make("reshape", x, shape=tuple(shape))


def transpose(x: Node, axes: Sequence[int]) -> Node:
    """The node with its axes in that order."""
    return x if list(axes) == list(range(x.ndim)) else make("transpose", x, axes=tuple(axes))


def moved(x: Node, axis: int, to: int) -> Node:
    """The node with one axis at another place."""
    rest = [a for a in range(x.ndim) if a != axis]
    rest.insert(to, axis)
    return transpose(x, rest)


def expand(x: Node, shape: Shape) -> Node:
    """The node repeated to a shape."""
    return x if x.shape == shape else make("broadcast_to", x, shape=shape)


def cut(x: Node, axis: int, start: int, stop: Dim, step: int = 1) -> Node:
    """x[start:stop:step] along one axis; all of it is x."""
    if (start, stop, step) == (0, x.shape[axis], 1):
        return x
    starts, stops, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
    starts[axis], stops[axis], steps[axis] = start, stop, step
    return make("slice", x, starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))


def taken(x: Node, indices: Node | np.ndarray, axis: int) -> Node:
    """x at the indices along an axis; the indices' shape takes the axis's place."""
    front = moved(x, axis, 0)
    index = constant(indices, "int32") if isinstance(indices, np.ndarray) else indices
    count = index.shape
    flat = reshape(index, (_size(count),))
    found = make("gather_rows", front, flat)
    found = reshape(found, (*count, *front.shape[1:]))
    order = list(range(len(count), len(count) + axis))
    order += [*range(len(count)), *range(len(count) + axis, found.ndim)]
    return transpose(found, order)


def _size(shape: Shape) -> Dim:
    factor, power = elements(shape)
    if power > 1:
        raise Unknown
    return Rows(factor) if power else factor


def real(dtype: str) -> bool:
    """Whether a dtype is floating."""
    return dtype in FLOATS


def integral(dtype: str) -> bool:
    """Whether a dtype is one of whole numbers."""
    return dtype in INTEGERS
