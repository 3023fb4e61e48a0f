"""One tile of a product, which stays in registers: built with LLVM's vectors.

A tile of out = A B is a few rows by a few vectors: for each inner index one element of every row of
A is multiplied with the vectors of a row of B.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ...processor import AMD, VECTOR
from .machine import intrinsic

BYTES = VECTOR
# Whether part of a vector is stored as fast as all of it: on AMD's a store in a mask takes ten
# cycles, (400, 2, 4) 1.7 µs in masks and 0.57 in narrower vectors (EPYC 9004, 2026-11-28).
MASKS = BYTES == 64 and not AMD
WIDE = 2 if BYTES == 32 else 4  # vectors of a tile: AVX has 16 registers, the others 32
TALL = 6  # rows of a wide tile: 24 or 12 sums, and registers left for what is multiplied
LONG = 12 if WIDE == 4 else 8  # rows of a tile of one vector, or of two

CHAINS = 8  # sums kept apart in the tiles of few vectors
_I1, _I32, _I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)


@intrinsic
def size_of_real(context: Any, like: Any) -> Any:
    """Bytes of what `like` points to."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _I64(like.dtype.bitwidth // 8)

    return types.int64(like), build


def tile(
    rows: int, vectors: int, masked: bool = False, chains: int = 1, width: int = 0,
    distance: int = 0,
) -> Any:  # fmt: skip
    """Intrinsic: out[rows, vectors] (+)= A B for one tile, all pointers to its first element.

    (a, its step to the next row, its step to the next inner index, b, its row length, out, its row
    length, inner size from 1, whether to add to out, columns that count where the vector is masked,
    the address of a bias to be added or 0, whether negative results become 0)

    chains: sums of every second, fourth, ... inner index are kept apart, for in a tile of few
    vectors each multiplication would wait for the one before. The inner size is a multiple of it.
    width: elements of a vector where it is narrower than the processor's. distance: inner indices
    between a row of B that is used and the one that is asked of memory meanwhile, or 0.
    """

    def typed(
        context: Any, a: Any, a_row: Any, a_inner: Any, b: Any, b_row: Any, out: Any,
        out_row: Any, inner: Any, add: Any, columns: Any, bias: Any, relu: Any,
    ) -> Any:  # fmt: skip
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            Tile(builder, a.dtype, rows, vectors, masked, chains, width, distance).build(args)
            return context.get_dummy_value()

        whole = types.int64
        return types.void(
            a, whole, whole, b, whole, out, whole, whole, whole, whole, whole, whole
        ), build

    return intrinsic(typed)


class Tile:
    """Builds the instructions of one tile."""

    def __init__(
        self, builder: Any, real: Any, rows: int = 1, vectors: int = 1, masked: bool = False,
        chains: int = 1, width: int = 0, distance: int = 0,
    ) -> None:  # fmt: skip
        single = real == types.float32
        number = ir.FloatType() if single else ir.DoubleType()
        self.builder, self.rows, self.vectors, self.chains = builder, rows, vectors, chains
        self.masked, self.align = masked, 4 if single else 8
        self.lanes = width or BYTES // self.align
        self.vector = ir.VectorType(number, self.lanes)
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)
        self.letter = f"v{self.lanes}f{8 * self.align}"
        self.mask: Any = None
        self.distance = distance

    def function(self, name: str, result: Any, arguments: list[Any]) -> Any:
        """An LLVM function, declared."""
        kind = ir.FunctionType(result, arguments)
        return cgutils.get_or_insert_function(self.builder.module, kind, name)

    def masks(self, columns: Any) -> Any:
        """Which lanes count."""
        kind = ir.VectorType(_I1, self.lanes)
        mask = ir.Constant(kind, ir.Undefined)
        for lane in range(self.lanes):
            inside = self.builder.icmp_signed("<", _I64(lane), columns)
            mask = self.builder.insert_element(mask, inside, _I32(lane))
        return mask

    def load(self, place: Any) -> Any:
        """A vector; lanes that do not count are zero."""
        builder, at = self.builder, self.vector.as_pointer()
        place = builder.bitcast(place, at)
        if self.mask is None:
            return builder.load(place, align=self.align)
        function = self.function(
            f"llvm.masked.load.{self.letter}.p0{self.letter}", self.vector,
            [at, _I32, self.mask.type, self.vector],
        )  # fmt: skip
        return builder.call(function, [place, _I32(self.align), self.mask, self.zero])

    def store(self, value: Any, place: Any) -> None:
        """Writes the lanes that count."""
        builder, at = self.builder, self.vector.as_pointer()
        place = builder.bitcast(place, at)
        if self.mask is None:
            builder.store(value, place, align=self.align)
            return
        function = self.function(
            f"llvm.masked.store.{self.letter}.p0{self.letter}", ir.VoidType(),
            [self.vector, at, _I32, self.mask.type],
        )  # fmt: skip
        builder.call(function, [value, place, _I32(self.align), self.mask])

    def prefetch(self, place: Any) -> None:
        """Asks for the line at a place, which need not be readable."""
        raw = ir.IntType(8).as_pointer()
        function = self.function("llvm.prefetch.p0", ir.VoidType(), [raw, _I32, _I32, _I32])
        hints = [_I32(0), _I32(3), _I32(1)]  # to read, to keep near, data
        self.builder.call(function, [self.builder.bitcast(place, raw), *hints])

    def spread(self, value: Any) -> Any:
        """One element in all lanes."""
        nothing = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(nothing, value, _I32(0))
        same = ir.Constant(ir.VectorType(_I32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, nothing, same)

    def build(self, args: Any) -> None:
        """The whole tile."""
        builder, rows, vectors = self.builder, range(self.rows), range(self.vectors)
        a, a_row, a_inner, b, b_row, out, out_row, inner, add, columns, bias, relu = args
        fma = self.function(f"llvm.fma.{self.letter}", self.vector, [self.vector] * 3)
        if self.masked:
            self.mask = self.masks(columns)
        keep = builder.icmp_signed("!=", add, _I64(0))
        steps = [builder.mul(a_row, _I64(i)) for i in rows]
        targets = [builder.gep(out, [builder.mul(out_row, _I64(i))]) for i in rows]
        places = [[builder.gep(t, [_I64(v * self.lanes)]) for v in vectors] for t in targets]
        begun = [[builder.select(keep, self.load(p), self.zero) for p in line] for line in places]
        before = builder.block
        loop, after = builder.append_basic_block("inner"), builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        index = builder.phi(_I64)
        index.add_incoming(_I64(0), before)
        sums = [
            [[builder.phi(self.vector) for _ in vectors] for _ in rows] for _ in range(self.chains)
        ]
        made = []
        for chain in range(self.chains):
            here = builder.add(index, _I64(chain))
            row = builder.gep(b, [builder.mul(here, b_row)])
            column = builder.gep(a, [builder.mul(here, a_inner)])
            factors = [self.load(builder.gep(row, [_I64(v * self.lanes)])) for v in vectors]
            if self.distance:
                later = builder.gep(row, [builder.mul(b_row, _I64(self.distance))])
                for v in vectors:
                    self.prefetch(builder.gep(later, [_I64(v * self.lanes)]))
            lines = []
            for i in rows:
                one = self.spread(builder.load(builder.gep(column, [steps[i]])))
                old = sums[chain][i]
                lines.append([builder.call(fma, [one, factors[v], old[v]]) for v in vectors])
            made.append(lines)
        following = builder.add(index, _I64(self.chains))
        index.add_incoming(following, loop)
        for chain in range(self.chains):
            for i in rows:
                for v in vectors:
                    first = begun[i][v] if chain == 0 else self.zero
                    sums[chain][i][v].add_incoming(first, before)
                    sums[chain][i][v].add_incoming(made[chain][i][v], loop)
        builder.cbranch(builder.icmp_signed("<", following, inner), loop, after)
        builder.position_at_end(after)
        for i in rows:
            for v in vectors:
                total = made[0][i][v]
                for chain in range(1, self.chains):
                    total = builder.fadd(total, made[chain][i][v])
                self.store(self.finished(total, v, b, bias, relu), places[i][v])

    def finished(self, total: Any, v: int, b: Any, bias: Any, relu: Any) -> Any:
        """With the bias added, and negative results zero, where that is wanted."""
        builder = self.builder
        biased = builder.icmp_signed("!=", bias, _I64(0))
        given = builder.inttoptr(bias, b.type)
        source = builder.select(biased, given, b)  # b can be read and is not used
        shift = self.load(builder.gep(source, [_I64(v * self.lanes)]))
        total = builder.select(biased, builder.fadd(total, shift), total)
        below = builder.fcmp_ordered("<=", total, self.zero)  # NaN stays NaN
        cut = builder.select(below, self.zero, total)
        return builder.select(builder.icmp_signed("!=", relu, _I64(0)), cut, total)
