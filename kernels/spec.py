"""Shapes and dtypes: what is known of an array before it exists.

One dimension may be symbolic: the number of rows in a mini-batch, which a program learns only when
it runs. `ROWS` stands for it, and `ROWS * 8` for eight times it (after a reshape).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union

from .errors import ShapeError


@dataclass(frozen=True)
class Rows:
    """A dimension of `factor` times the number of rows in the batch."""

    factor: int = 1

    def __mul__(self, other: int) -> Rows:
        if not isinstance(other, int):
            return NotImplemented
        return Rows(self.factor * other)

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return "n" if self.factor == 1 else f"{self.factor}n"


ROWS = Rows()
Dim = Union[int, Rows]
Shape = tuple[Dim, ...]
# What of a matrix a value has: all elements, one a row, one a column, one.
Extent = Literal["full", "row", "column", "scalar"]

FLOATS = ("float32", "float64")
INTEGERS = ("int32", "int64", "uint32")
DTYPES = (*FLOATS, *INTEGERS, "bool")
ITEMSIZE = {"float32": 4, "float64": 8, "int32": 4, "int64": 8, "uint32": 4, "bool": 1}


@dataclass(frozen=True)
class Spec:
    """Shape and dtype of one array.

    >>> Spec((ROWS, 64), "float32")
    float32[n, 64]
    """

    shape: Shape
    dtype: str

    @property
    def rank(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def symbolic(self) -> bool:
        """Whether the shape depends on the number of rows in the batch."""
        return any(isinstance(d, Rows) for d in self.shape)

    def at(self, rows: int) -> Spec:
        """The concrete spec for a batch of `rows` rows."""
        return Spec(concrete(self.shape, rows), self.dtype)

    def __repr__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


def spec_of(array: Any) -> Spec:
    """The spec of an array of any namespace (dtype names are NumPy's)."""
    dtype = str(array.dtype)
    return Spec(tuple(array.shape), dtype.rsplit(".", 1)[-1])


def size(shape: Shape) -> Dim:
    """The number of elements; symbolic where one dimension is.

    >>> size((ROWS, 8, 8))
    64n
    """
    factor = math.prod(d for d in shape if isinstance(d, int))
    symbolic = [d for d in shape if isinstance(d, Rows)]
    if not symbolic:
        return factor
    if len(symbolic) > 1:
        raise ShapeError(f"a shape with two batch dimensions {shape} has no size")
    return symbolic[0] * factor


def elements(shape: Shape) -> tuple[int, int]:
    """The number of elements as (factor, power): factor times the batch's rows to the power.

    Products of rows with rows have two axes of the batch, which `size` cannot say.

    >>> elements((ROWS, 8, ROWS)), elements((2, 3))
    ((8, 2), (6, 0))
    """
    factor = math.prod(d.factor if isinstance(d, Rows) else d for d in shape)
    return factor, sum(isinstance(d, Rows) for d in shape)


def length(spec: Spec) -> int:
    """The number of elements of a spec without a symbolic dimension."""
    total = size(spec.shape)
    if isinstance(total, Rows):
        raise ShapeError(f"{spec} has no number of elements until the batch is known")
    return total


def concrete(shape: Shape, rows: int) -> tuple[int, ...]:
    """The shape for a batch of `rows` rows."""
    return tuple(d.factor * rows if isinstance(d, Rows) else d for d in shape)


def concrete_attrs(attrs: dict[str, Any], rows: int) -> dict[str, Any]:
    """Attributes with every symbolic dimension in them replaced by its number."""

    def fill(value: Any) -> Any:
        if isinstance(value, Rows):
            return value.factor * rows
        if isinstance(value, tuple):
            return tuple(fill(v) for v in value)
        return value

    return {name: fill(value) for name, value in attrs.items()}


def broadcast_shapes(shapes: Sequence[Shape]) -> Shape | None:
    """The shape that all the shapes broadcast to, or None when they do not.

    >>> broadcast_shapes([(ROWS, 4), (1, 4), ()])
    (n, 4)
    """
    rank = max((len(s) for s in shapes), default=0)
    result: list[Dim] = []
    for axis in range(rank):
        dim: Dim = 1
        for shape in shapes:
            at = axis - (rank - len(shape))
            if at < 0 or shape[at] == 1 or shape[at] == dim:
                continue
            if dim != 1:
                return None
            dim = shape[at]
        result.append(dim)
    return tuple(result)


def normal_axis(op: str, axis: int, spec: Spec) -> int:
    """A non-negative axis.

    Raises: ShapeError when the array has no such axis.
    """
    if not -spec.rank <= axis < spec.rank:
        raise ShapeError(f"[{op}] axis {axis} is out of range for {spec}")
    return axis % spec.rank
