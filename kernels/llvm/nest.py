"""Loops over axes: one operation on arrays of any rank, however they are broadcast or laid out.

What a chain of whole rows cannot be (`chain.py`): other axes, other orders, parts of arrays. Every
array has a distance in memory along each axis, 0 where it is repeated; lengths and distances are
numbers of the record, so one piece of code serves all shapes of a rank.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .lanes import I64, Lanes
from .loops import Function
from .namespace import Namespace, apply

REDUCTIONS = ("sum", "mean", "max", "argmax")


@dataclass(frozen=True)
class Nest:
    """One operation in loops.

    op: of the table, or "copy". inputs: their dtypes. kept, reduced: how many axes the result has,
    and how many are reduced. width: elements of the last kept axis that are worked on together:
    there every distance is 0 or 1, by `inner`, of the inputs. known: an input that is this number.

    Slots of its record: lengths of the kept axes, then of the reduced ones; for each input its
    address and its distances, in elements, along all of them; the result's address and its
    distances along the kept ones; the divisor of a mean (a whole number).
    """

    op: str
    attrs: tuple[tuple[str, Any], ...]
    inputs: tuple[str, ...]
    dtype: str
    kept: int
    reduced: int
    width: int
    inner: tuple[int, ...]
    known: tuple[Any, ...]

    @cached_property
    def name(self) -> str:
        """Letters and digits that say all of it."""
        return "n" + hashlib.sha256(repr(self).encode()).hexdigest()[:24]

    def write(self, module: Any) -> None:
        """Adds the function to a module, under its name."""
        _Loops(module, self).write()


class _Loops(Function):
    def __init__(self, module: Any, nest: Nest) -> None:
        super().__init__(module, nest.name)
        self.nest = nest

    def write(self) -> None:
        """The function's code."""
        nest, axes = self.nest, self.nest.kept + self.nest.reduced
        self.lengths = [self.slot(at) for at in range(axes)]
        at = axes
        self.address, self.distances = [], []
        for steps in (*[axes] * len(nest.inputs), nest.kept):
            self.address.append(self.slot(at))
            self.distances.append([self.slot(at + 1 + k) for k in range(steps)])
            at += 1 + steps
        self.divisor = self.slot(at)
        outer = nest.kept - (nest.kept > 0)
        with ExitStack() as stack:
            indices = [
                stack.enter_context(self.loop(I64(0), self.lengths[axis], 1))
                for axis in range(outer)
            ]
            self._line(indices)
        self.end()

    def _line(self, indices: list[Any]) -> None:
        """All of the last kept axis."""
        b, width = self.builder, self.nest.width
        if not self.nest.kept:
            self._some([], None)
            return
        count = self.lengths[self.nest.kept - 1]
        whole = b.sub(count, b.srem(count, I64(width)))
        with self.loop(I64(0), whole, width) as at:
            self._some([*indices, at], None)
        if width > 1:
            left = b.sub(count, whole)
            with b.if_then(b.icmp_signed(">", left, I64(0))):
                self._some([*indices, whole], self.below(left, width))

    def _offset(self, which: int, indices: list[Any]) -> Any:
        """How far from its start an array's element lies."""
        b, found = self.builder, I64(0)
        for index, step in zip(indices, self.distances[which], strict=False):
            found = b.add(found, b.mul(index, step))
        return found

    def _read(self, which: int, indices: list[Any], mask: Any) -> Lanes:
        nest, width = self.nest, self.nest.width
        dtype, known = nest.inputs[which], nest.known[which]
        if known is not None:
            return self.writer.constant(known, dtype, width)
        place = self._offset(which, indices)
        if width > 1 and not nest.inner[which]:
            one = self.load(self.address[which], place, dtype, 1)
            return self.writer.spread(one.ir, dtype, width)
        return self.load(self.address[which], place, dtype, width, mask)

    def _some(self, indices: list[Any], mask: Any) -> None:
        """Some elements of the result."""
        nest = self.nest
        if nest.op in REDUCTIONS:
            value = self._reduced(indices, mask)
        else:
            inputs = [self._read(which, indices, mask) for which in range(len(nest.inputs))]
            copied = nest.op == "copy"
            value = inputs[0] if copied else apply(nest.op, inputs, dict(nest.attrs))
        self.store(value, self.address[-1], self._offset(len(nest.inputs), indices), mask)

    def _reduced(self, indices: list[Any], mask: Any) -> Lanes:
        """Everything along the reduced axes, the last of them in the innermost loop."""
        nest, b = self.nest, self.builder
        wide = _wide(nest)
        first: Any = 0
        if nest.op in ("max", "argmax"):
            least = -math.inf if wide.startswith("float") else np.iinfo(wide).min
            first = least
        start = self.writer.constant(first, wide, nest.width)
        place = self.variable(("found", nest.width), start.ir.type)
        b.store(start.ir, place)
        zero = self.writer.constant(0, "int64", nest.width)
        best = self.variable(("best", nest.width), zero.ir.type)
        b.store(zero.ir, best)
        with ExitStack() as stack:
            inner = [
                stack.enter_context(self.loop(I64(0), self.lengths[nest.kept + axis], 1))
                for axis in range(nest.reduced)
            ]
            value = self._read(0, [*indices, *inner], mask).cast(wide)
            old = value.made(b.load(place))
            if nest.op == "argmax":
                here = self.writer.spread(inner[-1], "int64", nest.width)
                self._better(old, value, here, place, best)
            else:
                combine: Callable[[Lanes, Lanes], Lanes] = (
                    Namespace.maximum if nest.op == "max" else lambda x, y: x + y
                )
                b.store(combine(old, value).ir, place)
        if nest.op == "argmax":
            return Lanes(self.writer, b.load(best), "int64", nest.width).cast(nest.dtype)
        found = Lanes(self.writer, b.load(place), wide, nest.width)
        if nest.op == "mean":
            count = Lanes(self.writer, self.divisor, "int64", 1).cast(wide)
            found = found / self.writer.spread(count.ir, wide, nest.width)
        return found.cast(nest.dtype)

    def _better(self, old: Lanes, value: Lanes, here: Lanes, place: Any, best: Any) -> None:
        """The first largest; the first NaN is larger than all."""
        b, select = self.builder, self.writer.select
        first = here == 0
        more = (value > old) | first
        if value.real:
            more = (more | (value != value)) & ((old == old) | first)
        b.store(select(more, value, old).ir, place)
        b.store(select(more, here, here.made(b.load(best))).ir, best)


def _wide(nest: Nest) -> str:
    """What a reduction is computed in."""
    dtype = nest.inputs[0]
    if nest.op in ("max", "argmax"):
        return dtype
    return "float64" if dtype in ("float32", "float64") else "int64"
