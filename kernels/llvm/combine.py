"""Sums of several shares brought together, in the order of the shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from .lanes import I8, I64, Lanes
from .loops import Function


@dataclass(frozen=True)
class Combine:
    """out[j] = the sum over shares of part[share, j], over a divisor.

    Slots of its record: 0 the parts, 1 how many, 2 bytes of each, 3 numbers in each, 4 out, 5
    divisor (float64). wide: the parts' dtype. dtype: the result's.
    """

    wide: str
    dtype: str
    width: int

    @property
    def name(self) -> str:
        """Letters and digits that say all of it."""
        return f"combine_{self.wide}_{self.dtype}_{self.width}"

    def write(self, module: Any) -> None:
        """Adds the function to a module, under its name."""
        _Combining(module, self).write()


class _Combining(Function):
    def __init__(self, module: Any, one: Combine) -> None:
        super().__init__(module, one.name)
        self.one = one

    def write(self) -> None:
        """The function's code."""
        b, one = self.builder, self.one
        self.parts, self.shares, self.size, count, self.out = (self.slot(at) for at in range(5))
        self.divisor = b.bitcast(self.slot(5), ir.DoubleType())
        whole = b.sub(count, b.srem(count, I64(one.width)))
        with self.loop(I64(0), whole, one.width) as at:
            self._some(at, one.width)
        with self.loop(whole, count, 1) as at:
            self._some(at, 1)
        self.end()

    def _some(self, at: Any, width: int) -> None:
        b, one = self.builder, self.one
        zero = self.writer.constant(0, one.wide, width)
        total = self.variable(("total", width), zero.ir.type)
        b.store(zero.ir, total)
        with self.loop(I64(0), self.shares, 1) as share:
            place = b.add(self.parts, b.mul(share, self.size))
            old = Lanes(self.writer, b.load(total), one.wide, width)
            b.store((old + self.load(place, at, one.wide, width)).ir, total)
        found = Lanes(self.writer, b.load(total), one.wide, width)
        if found.real:
            divisor = Lanes(self.writer, self.divisor, "float64", 1).cast(one.wide)
            found = found / self.writer.spread(divisor.ir, one.wide, width)
        self.store(found.cast(one.dtype), self.out, at)


__all__ = ["I8", "Combine"]
