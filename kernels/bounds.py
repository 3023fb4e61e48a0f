"""Indices and labels held to what they choose from, before kernels take them for places in memory.

Kernels look at no index: compiled, they would read and write foreign memory; NumPy would take a
negative one from the end. Each is looked at once, where it comes in: whole columns and constants
by `backends/bounds.py`, what a step computes in front of the call that reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .errors import BadInput
from .op import Attrs, Op, Specs


class OutOfRange(BadInput):
    """An index that is not among what it chooses from.

    row: the operation. name: of the array that holds it. value: the number; where: its place there,
    of an array of that shape. limit: it must be in [0, limit).
    """

    def __init__(
        self, row: Op, name: str, value: Any, where: tuple[int, ...], shape: tuple[int, ...],
        limit: int,
    ) -> None:  # fmt: skip
        self.row, self.name, self.value = row, name, value
        self.where, self.shape, self.limit = where, shape, limit
        indices = row.indices
        assert indices is not None
        number = float(value)
        told = str(int(number)) if number.is_integer() else f"{number:.9g}"
        owner = "there are" if indices.attr else f"{row.inputs[0]} has"
        kind = row.inputs[indices.input]
        way = f"so {kind} go from 0 to {limit - 1}" if limit > 0 else f"so no {kind} fit"
        super().__init__(
            f"[{row.name}] {name} has {told} at {place(where, shape)}, but {owner} {limit}"
            f" {indices.noun}, {way}"
        )

    def __reduce__(self) -> Any:  # a row of the table is no data
        return BadInput, (str(self),)


def place(where: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """Words for a place in an array: its row, and its column where there are several.

    >>> place((3, 0), (8, 1)), place((3, 1), (8, 2))
    ('row 3', 'row 3, column 1')
    """
    if where and all(d == 1 for d in shape[1:]):
        return f"row {where[0]}"
    if len(where) == 2:
        return f"row {where[0]}, column {where[1]}"
    return f"index {where}"


def first_outside(array: np.ndarray, limit: int) -> tuple[int, ...] | None:
    """The place of the first number that is not in [0, limit), or None. NaN is in no range.

    array: whole numbers, or floating ones that stand for them.
    """
    if not array.size:
        return None
    if array.dtype.kind in "iu":
        if array.min() >= 0 and array.max() < limit:
            return None
        outside = (array < 0) | (array >= limit)
    else:
        outside = ~((array >= 0) & (array < limit))
        if not outside.any():
            return None
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(outside)), array.shape))


def guarded(
    row: Op, specs: Specs, attrs: Attrs, function: Callable[..., Any],
    to_numpy: Callable[[Any], np.ndarray],
) -> Callable[..., Any]:  # fmt: skip
    """A kernel or a reference that is only called with indices in range; else OutOfRange is raised.

    specs: concrete. function: takes one argument before its inputs. to_numpy: brings an array to
    the host.
    """
    indices = row.indices
    if indices is None:
        return function
    limit: Any = indices.limit(specs, attrs)
    at, name = indices.input + 1, row.inputs[indices.input]

    def run(*args: Any, **named: Any) -> Any:
        array = args[at] if isinstance(args[at], np.ndarray) else to_numpy(args[at])
        where = first_outside(array, limit)
        if where is not None:
            raise OutOfRange(row, name, array[where], where, array.shape, limit)
        return function(*args, **named)

    return run
