"""From a chain of operations to a function: blocks of rows, and walks along the columns of each.

The function takes a record of 64-bit slots and a null pointer, as every native step does: rows,
columns, an address of memory of its own, then the addresses of inputs and outputs. A block has as
many rows as a vector has lanes, so what there is once a row is computed for a whole block at a
time, between two walks. A walk goes along the columns of each row of the block; the next one finds
in the nearest cache what it needs of the block.

Sums along columns are kept in the lanes of a vector and then combined by halves; sums down the rows
are added up over `TOGETHER` rows, and those sums one after the other; sums of everything are kept
in float64. All of that is in an order that only the numbers of rows and columns decide.

An output that is a sum down the rows, or of everything, is one share's part of it: of the dtype
where it is a column, a float64 or int64 where it is one number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from ..chain import Chain, Statement
from .flat import SCRATCH, Flat
from .lanes import I64, Lanes
from .layout import Layout
from .loops import STORED
from .namespace import Namespace


@dataclass(frozen=True)
class Chained:
    """A chain as code."""

    chain: Chain

    @property
    def name(self) -> str:
        """That of the chain."""
        return self.chain.name

    def write(self, module: Any) -> None:
        """Adds the function to a module, under its name."""
        _function(module, self.chain).write()

    def scratch(self, columns: int) -> int:
        """Bytes of memory that a call needs for itself."""
        layout = Layout(self.chain)
        padded = -(-columns // self.chain.width) * self.chain.width
        return 8 * padded * (len(layout.sums) + len(layout.kept) * self.chain.lanes)


def _function(module: Any, chain: Chain) -> Flat:
    return (Flat if chain.flat else Blocks)(module, chain)


TOGETHER = 64  # rows whose sums down the rows are added to the results together


class Blocks(Flat):
    """The function of a chain that has rows."""

    def body(self) -> None:
        """Goes over blocks of rows, several times along the columns of each."""
        b, lanes = self.builder, self.chain.lanes
        self._divide_scratch()
        self._clear_sums()
        with self.loop(I64(0), self.rows, lanes) as start:
            left = b.sub(self.rows, start)
            count = b.select(b.icmp_signed("<", left, I64(lanes)), left, I64(lanes))
            self.block_start, self.row_mask = start, self.below(count, lanes)
            self.row_values: dict[int, Lanes] = {}
            for walk in range(self.layout.walks):
                needed = self._broadcast(walk)
                with self.loop(I64(0), count, 1) as row:
                    self._walk(walk, row, needed)
            self._close_block()
            further = b.add(start, I64(lanes))
            enough = b.icmp_signed("==", b.srem(further, I64(TOGETHER)), I64(0))
            with b.if_then(b.or_(enough, b.icmp_signed(">=", further, self.rows))):
                self._add_sums()

    def _divide_scratch(self) -> None:
        """Which part of the call's own memory is for what."""
        b, width = self.builder, self.chain.width
        more = b.add(self.columns, I64(width - 1))
        self.padded = b.sub(more, b.srem(more, I64(width)))
        self.own: dict[tuple[str, int], Any] = {}
        at, line = self.slot(SCRATCH), b.mul(self.padded, I64(8))
        for operand in self.layout.sums:
            self.own["sum", operand] = at
            at = b.add(at, line)
        for operand in self.layout.kept:
            self.own["kept", operand] = at
            at = b.add(at, b.mul(line, I64(self.chain.lanes)))

    def _clear_sums(self) -> None:
        """Sets sums down the rows to zero: the results, and those of some rows."""
        for operand in self.layout.sums:
            dtype, width = self.chain.operands[operand].dtype, self.chain.width
            with self.loop(I64(0), self.columns, 1) as at:
                self.store(self.writer.constant(0, dtype, 1), self.address["out", operand], at)
            with self.loop(I64(0), self.padded, width) as at:
                self.store(self.writer.constant(0, dtype, width), self.own["sum", operand], at)

    def _add_sums(self) -> None:
        """Adds the sums of some rows to the results, and clears them."""
        b, width = self.builder, self.chain.width
        whole = b.sub(self.columns, b.srem(self.columns, I64(width)))
        for operand in self.layout.sums:
            dtype, own = self.chain.operands[operand].dtype, self.own["sum", operand]
            out = self.address["out", operand]
            for start, stop, count in ((I64(0), whole, width), (whole, self.columns, 1)):
                with self.loop(start, stop, count) as at:
                    both = self.load(out, at, dtype, count) + self.load(own, at, dtype, count)
                    self.store(both, out, at)
                    self.store(self.writer.constant(0, dtype, count), own, at)

    def _broadcast(self, walk: int) -> dict[int, Any]:
        """What a walk reads once a row, as numbers in a line: operand -> the line."""
        needed: dict[int, Any] = {}
        self._readers(walk, needed)
        lanes = self.chain.lanes
        for at in needed:
            operand = self.chain.operands[at]
            if ("in", at) in self.address:
                needed[at] = None  # read where it lies
                continue
            stored = STORED[operand.dtype]
            place = self.variable(("line", at), ir.ArrayType(stored, lanes))
            address = self.builder.ptrtoint(place, I64)
            self.store(self.row_value(at), address, I64(0))
            needed[at] = address
        return needed

    def _readers(self, walk: int, found: dict[int, Any]) -> None:
        """The row operands that the walk's full values are computed from."""
        seen: set[int] = set()

        def visit(at: int) -> None:
            if at in seen:
                return
            seen.add(at)
            operand = self.chain.operands[at]
            if operand.extent == "row":
                found[at] = None
            elif operand.extent == "full" and not self._reloaded(at, walk):
                for i in self.chain.makers[at].inputs:
                    visit(i)

        for at in self._wanted(walk):
            visit(at)
        for one in self._reductions(walk):
            for i in one.inputs:
                visit(i)

    def _reloaded(self, at: int, walk: int) -> bool:
        """Whether a full operand is read from memory in a walk."""
        if ("in", at) in self.address:
            return True
        earlier = self.layout.when(self.chain.makers[at]) < walk
        return earlier and (at in self.layout.stored or at in self.layout.kept)

    def _wanted(self, walk: int) -> list[int]:
        """Full operands that a walk writes."""
        return [
            at for at in (*sorted(self.layout.stored), *self.layout.kept)
            if self.chain.operands[at].extent == "full"
            and self.layout.when(self.chain.makers[at]) == walk
        ]  # fmt: skip

    def _reductions(self, walk: int) -> list[Statement]:
        """What reduces full operands in a walk."""
        return [
            s for s in self.chain.statements
            if s.over and self.chain.operands[s.inputs[0]].extent == "full"
            and self.layout.when(s) == walk
        ]  # fmt: skip

    def _walk(self, walk: int, row: Any, lines: dict[int, Any]) -> None:
        """Along the columns of one row."""
        b, width = self.builder, self.chain.width
        self.row, self.walk = b.add(self.block_start, row), walk
        self.row_scalars = {
            at: self.load(
                self.address["in", at] if line is None else line,
                self.row if line is None else row, self.chain.operands[at].dtype, 1,
            ).ir
            for at, line in lines.items()
        }  # fmt: skip
        reduced = [s for s in self._reductions(walk) if s.over == "columns"]
        several = self._at_once(walk, reduced)
        for one in reduced:
            kind, first = self._accumulator(one)
            for number in range(several):
                b.store(first.ir, self.variable(("sum", one.output, number), kind))
        self.row_start = b.mul(self.row, self.columns)
        self.kept_start = b.mul(row, self.padded)
        whole, first_part = b.sub(self.columns, b.srem(self.columns, I64(width))), I64(0)
        if several > 1:
            first_part = b.sub(self.columns, b.srem(self.columns, I64(width * several)))
            with self.loop(I64(0), first_part, width * several) as at:
                for number in range(several):
                    self._columns(b.add(at, I64(number * width)), None, number)
        with self.loop(first_part, whole, width) as at:
            self._columns(at, None)
        left = b.sub(self.columns, whole)
        with b.if_then(b.icmp_signed(">", left, I64(0))):
            self._columns(whole, self.below(left, width))
        for one in reduced:
            kind, first = self._accumulator(one)
            lanes, *more = (
                first.made(b.load(self.variable(("sum", one.output, number), kind)))
                for number in range(several)
            )
            for other in more:
                lanes = _combiner(one)(lanes, other)
            found = Lanes(self.writer, lanes.halves(_combiner(one)), lanes.dtype, 1)
            found = found.cast(self.chain.operands[one.output].dtype)
            self.store(found, self._reduced_line(one), row)

    def _at_once(self, walk: int, reduced: list[Statement]) -> int:
        """How many vectors of a row are reduced at once: one sum after the other has to wait."""
        computed = sum(
            self.layout.when(s) == walk and self.chain.operands[s.output].extent == "full"
            for s in self.chain.statements
        )
        return 1 if not reduced or computed > 8 else 2 if computed > 3 else 4

    def _reduced_line(self, one: Statement) -> Any:
        stored = STORED[self.chain.operands[one.output].dtype]
        place = self.variable(("reduced", one.output), ir.ArrayType(stored, self.chain.lanes))
        return self.builder.ptrtoint(place, I64)

    def _sum_dtype(self, one: Statement) -> str:
        return self.chain.operands[one.inputs[0]].dtype

    def _accumulator(self, one: Statement) -> tuple[Any, Lanes]:
        """The kind and the first value of what a reduction along the columns adds up in."""
        dtype = self._sum_dtype(one)
        first: Any = 0
        if one.op == "max":
            first = -math.inf if dtype.startswith("float") else np.iinfo(dtype).min
        made = self.writer.constant(first, dtype, self.chain.width)
        return made.ir.type, made

    def _columns(self, at: Any, mask: Any, number: int = 0) -> None:
        """Some columns of the row where the walk stands."""
        b = self.builder
        self.column, self.mask, self.values = at, mask, {}
        if self.chain.past and self.layout.walks > 1:
            self._fetch_ahead(at)
        for operand in self._wanted(self.walk):
            value = self.full_value(operand)
            if operand in self.layout.stored:
                self._put(operand, value, b.add(self.row_start, at))
            else:
                self.store(value, self.own["kept", operand], b.add(self.kept_start, at))
        for one in self._reductions(self.walk):
            if one.over == "columns":
                kind, first = self._accumulator(one)
                place = self.variable(("sum", one.output, number), kind)
                old = Lanes(self.writer, b.load(place), first.dtype, first.width)
                more = self._only(self._reduced(one), mask, first)
                b.store(_combiner(one)(old, more).ir, place)
            elif one.over == "all":
                self._total(one, self.full_value(one.inputs[0]), mask)
            else:
                value, place = self.full_value(one.inputs[0]), self.own["sum", one.output]
                old = self.load(place, at, value.dtype, value.width)
                self.store(old + value, place, at)

    def _fetch_ahead(self, at: Any) -> None:
        """Asks for what the next block reads, one matrix a walk, when the first walk is over.

        That one finds it in a cache; without, memory would rest during all other walks.
        """
        b, operands = self.builder, self.chain.operands
        full = [i for i in self.chain.inputs if operands[i].extent == "full"]
        block = b.mul(self.columns, I64(self.chain.lanes))
        place = b.add(b.add(self.row_start, at), block)
        for number, operand in enumerate(full):
            if self.walk == 1 + number % (self.layout.walks - 1):
                self.fetch(self.address["in", operand], place, operands[operand].dtype)

    def _reduced(self, one: Statement) -> Lanes:
        """What a reduction along the columns takes of the columns where the walk stands."""
        value = self.full_value(one.inputs[0])
        if one.op != "pick":
            return value
        return self.writer.select(self._label(one.inputs[1]), value, 0)

    def _label(self, labels: int) -> Lanes:
        """Which column is that of the row's label."""
        label = self.full_value(labels)
        here = self.writer.spread(self.column, "int64", self.chain.width).cast(label.dtype)
        return self.writer.count(label.dtype, self.chain.width) + here == label

    def full_value(self, at: int) -> Lanes:
        """An operand at the columns where the walk stands."""
        operand, width = self.chain.operands[at], self.chain.width
        if operand.extent == "scalar":
            return self.scalar(at, width)
        if at not in self.values:
            self.values[at] = self._full_value(at, operand.dtype, width)
        return self.values[at]

    def _full_value(self, at: int, dtype: str, width: int) -> Lanes:
        b, extent = self.builder, self.chain.operands[at].extent
        if extent == "row":
            return self.writer.spread(self.row_scalars[at], dtype, width)
        if extent == "column":
            return self.load(self.address["in", at], self.column, dtype, width, self.mask)
        if self._reloaded(at, self.walk):
            where = b.add(self.row_start, self.column)
            if ("in", at) in self.address:
                return self.load(self.address["in", at], where, dtype, width, self.mask)
            if at in self.layout.stored:
                return self.load(self.address["out", at], where, dtype, width, self.mask)
            kept = b.add(self.kept_start, self.column)
            return self.load(self.own["kept", at], kept, dtype, width)
        one = self.chain.makers[at]
        if one.op == "one_hot":
            return self._label(one.inputs[0]).cast(dict(one.attrs)["dtype"])
        return self.compute(one, [self.full_value(i) for i in one.inputs])

    def row_value(self, at: int) -> Lanes:
        """An operand that is one number a row, for the rows of the block."""
        operand, lanes = self.chain.operands[at], self.chain.lanes
        if operand.extent == "scalar":
            return self.scalar(at, lanes)
        if at not in self.row_values:
            if ("in", at) in self.address:
                found = self.load(
                    self.address["in", at], self.block_start, operand.dtype, lanes, self.row_mask
                )
            else:
                found = self._made_row(self.chain.makers[at])
            self.row_values[at] = found
        return self.row_values[at]

    def _made_row(self, one: Statement) -> Lanes:
        operand, lanes = self.chain.operands[one.output], self.chain.lanes
        if one.over != "columns" or self.chain.operands[one.inputs[0]].extent != "full":
            return self.compute(one, [self.row_value(i) for i in one.inputs])
        found = self.load(self._reduced_line(one), I64(0), operand.dtype, lanes)
        if one.op == "mean":
            count = Lanes(self.writer, self.columns, "int64", 1).cast(operand.dtype)
            found = found / self.writer.spread(count.ir, operand.dtype, lanes)
        return found

    def _close_block(self) -> None:
        """What there is once a row, and what it adds to sums of everything."""
        for operand in sorted(self.layout.stored):
            if self.chain.operands[operand].extent == "row":
                value = self.row_value(operand)
                self.store(value, self.address["out", operand], self.block_start, self.row_mask)
        for one in self.chain.statements:
            if one.over in ("rows", "all") and (
                self.chain.operands[one.inputs[0]].extent in ("row", "scalar")
            ):
                self._total(one, self.row_value(one.inputs[0]), self.row_mask)


def _combiner(one: Statement) -> Callable[[Lanes, Lanes], Lanes]:
    return Namespace.maximum if one.op == "max" else lambda x, y: x + y
