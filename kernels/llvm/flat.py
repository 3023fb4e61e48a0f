"""A chain without rows: along all elements, and sums of everything."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from ..chain import Chain, Statement
from .lanes import I64, Lanes, kind_of
from .layout import Layout
from .loops import Function
from .namespace import apply

ROWS, COLUMNS, SCRATCH, PLACES = range(4)  # slots of a record; from PLACES on addresses


def wide_of(dtype: str) -> str:
    """What sums of everything are kept in."""
    return "float64" if dtype in ("float32", "float64") else "int64"


class Flat(Function):
    """The function of a chain, whose elements are one long row."""

    def __init__(self, module: Any, chain: Chain) -> None:
        super().__init__(module, chain.name)
        self.chain, self.layout = chain, Layout(chain)
        self.values: dict[int, Lanes] = {}  # of the walk, or of the block, that is being written
        self.column: Any = None  # where the walk stands
        self.mask: Any = None

    def write(self) -> None:
        """The function's code."""
        chain = self.chain
        self.rows, self.columns = self.slot(ROWS), self.slot(COLUMNS)
        places = [*chain.inputs, *chain.outputs]
        self.address = {
            ("in" if at < len(chain.inputs) else "out", operand): self.slot(PLACES + at)
            for at, operand in enumerate(places)
        }
        self.scalars = self._scalars()
        self.body()
        self._finish()
        if chain.past:
            self.settle()
        self.end()

    def _scalars(self) -> dict[int, Any]:
        """Numbers that are the same everywhere, loaded or computed once."""
        found: dict[int, Any] = {}
        for at, operand in enumerate(self.chain.operands):
            if operand.extent == "scalar" and ("in", at) in self.address:
                found[at] = self.load(self.address["in", at], I64(0), operand.dtype, 1).ir
        return found

    def scalar(self, at: int, width: int) -> Lanes:
        """An operand that is one number, in every lane."""
        operand = self.chain.operands[at]
        if operand.known is not None:
            return self.writer.constant(operand.known, operand.dtype, width)
        if at in self.scalars:
            return self.writer.spread(self.scalars[at], operand.dtype, width)
        one = self.chain.makers[at]
        return self.compute(one, [self.scalar(i, width) for i in one.inputs])

    def compute(self, one: Statement, inputs: list[Lanes]) -> Lanes:
        """What a statement gives for lanes."""
        if one.op == "copy":
            return inputs[0]
        return apply(one.op, inputs, dict(one.attrs))

    def body(self) -> None:
        """Goes along everything."""
        b, width = self.builder, self.chain.width
        count = b.mul(self.rows, self.columns)
        whole = b.sub(count, b.srem(count, I64(width)))
        with self.loop(I64(0), whole, width) as at:
            self._elements(at, None)
        left = b.sub(count, whole)
        with b.if_then(b.icmp_signed(">", left, I64(0))):
            self._elements(whole, self.below(left, width))

    def _elements(self, at: Any, mask: Any) -> None:
        """Some elements of everything."""
        self.column, self.mask, self.values = at, mask, {}
        for operand in sorted(self.layout.stored):
            self._put(operand, self.flat_value(operand), at)
        for one in self.chain.statements:
            if one.over == "all":
                self._total(one, self.flat_value(one.inputs[0]), mask)

    def flat_value(self, at: int) -> Lanes:
        """An operand at the elements where the walk stands."""
        operand, width = self.chain.operands[at], self.chain.width
        if operand.extent == "scalar":
            return self.scalar(at, width)
        if at not in self.values:
            if ("in", at) in self.address:
                found = self.load(
                    self.address["in", at], self.column, operand.dtype, width, self.mask
                )
            else:
                one = self.chain.makers[at]
                found = self.compute(one, [self.flat_value(i) for i in one.inputs])
            self.values[at] = found
        return self.values[at]

    def _put(self, operand: int, value: Lanes, at: Any) -> None:
        past = self.chain.past and self.mask is None and value.width > 1
        self.store(value, self.address["out", operand], at, self.mask, past)

    def _total(self, one: Statement, value: Lanes, mask: Any) -> None:
        """Adds lanes to a sum of everything."""
        wide = wide_of(value.dtype)
        kind = kind_of(wide, value.width)
        zero = ir.Constant(kind, None if value.width > 1 else 0)
        place = self.variable(("total", one.output, value.width), kind, zero)
        more = self._only(value.cast(wide), mask, 0)
        old = Lanes(self.writer, self.builder.load(place), wide, value.width)
        self.builder.store((old + more).ir, place)

    def _only(self, value: Lanes, mask: Any, other: Any) -> Lanes:
        """Lanes where the mask is on, another number elsewhere."""
        if mask is None:
            return value
        return self.writer.select(value.made(mask, "bool"), value, other)

    def _finish(self) -> None:
        """Writes what was summed up over all rows."""
        b = self.builder
        for one in self.chain.statements:
            if ("out", one.output) not in self.address or one.over not in ("rows", "all"):
                continue
            if self.chain.operands[one.output].extent == "column":
                continue  # it was added up where it lies
            wide = wide_of(self.chain.operands[one.inputs[0]].dtype)
            found = self.writer.constant(0, wide, 1)
            for key, place in self.variables.items():
                if isinstance(key, tuple) and key[:2] == ("total", one.output):
                    lanes = Lanes(self.writer, b.load(place), wide, key[2])
                    found = found + found.made(lanes.halves(lambda x, y: x + y))
            self.store(found, self.address["out", one.output], I64(0))
