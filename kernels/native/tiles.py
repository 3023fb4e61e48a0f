"""Products of small and middling matrices, without packing: tiles that stay in registers.

out = A B, where B's rows are contiguous and A is read element by element, so either A or its
transpose will do. A tile of out is a few rows by a few vectors: for each inner index one element of
every row of A is multiplied with the vectors of a row of B. BLAS copies both factors into an order
of its own first, which pays only when they are used often enough: see `backends/lowering.py`.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils

from .machine import intrinsic, pointer, register_jitable

_FEATURES = llvm.get_host_cpu_features()
BYTES = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx") else 16
WIDE = 2 if BYTES == 32 else 4  # vectors of a tile: AVX has 16 registers, the others 32
TALL = 6  # rows of a wide tile: 24 or 12 sums, and room for what is multiplied
LONG = 12 if WIDE == 4 else 6  # rows of a tile of one or two vectors

CHAINS = 8  # sums kept apart in the tiles of few vectors
_I1, _I32, _I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)


def _tile(rows: int, vectors: int, masked: bool = False, chains: int = 1) -> Any:
    """Intrinsic: out[rows, vectors] (+)= A B for one tile, all pointers to its first element.

    (a, its step to the next row, its step to the next inner index, b, its row length, out, its row
    length, inner size from 1, whether to add to out, columns that count where the vector is masked,
    the address of a bias to be added or 0, whether negative results become 0)

    chains: sums of every second, fourth, ... inner index are kept apart, for in a tile of few
    vectors each multiplication would wait for the one before. The inner size is a multiple of it.
    """

    def typed(
        context: Any, a: Any, a_row: Any, a_inner: Any, b: Any, b_row: Any, out: Any,
        out_row: Any, inner: Any, add: Any, columns: Any, bias: Any, relu: Any,
    ) -> Any:  # fmt: skip
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _Tile(builder, a.dtype, rows, vectors, masked, chains).build(args)
            return context.get_dummy_value()

        whole = types.int64
        return types.void(
            a, whole, whole, b, whole, out, whole, whole, whole, whole, whole, whole
        ), build

    return intrinsic(typed)


class _Tile:
    """Builds the instructions of one tile."""

    def __init__(
        self, builder: Any, real: Any, rows: int, vectors: int, masked: bool, chains: int
    ) -> None:
        single = real == types.float32
        number = ir.FloatType() if single else ir.DoubleType()
        self.builder, self.rows, self.vectors, self.chains = builder, rows, vectors, chains
        self.masked, self.align = masked, 4 if single else 8
        self.lanes = BYTES // self.align
        self.vector = ir.VectorType(number, self.lanes)
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)
        self.letter = f"v{self.lanes}f{8 * self.align}"
        self.mask: Any = None
        self.ahead = 8 if vectors > WIDE else 0

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
            if self.ahead:
                later = builder.gep(row, [builder.mul(b_row, _I64(self.ahead))])
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


PACKED = 131072  # bytes of the panel of B that is copied together: a part of a second-level cache


@intrinsic
def stack(context: Any, like: Any) -> Any:
    """PACKED bytes of the stack, as long as the calling function runs."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        with builder.goto_entry_block():
            slot = builder.alloca(ir.IntType(8), PACKED)
            slot.align = 64
        return builder.ptrtoint(slot, _I64)

    return types.int64(like), build


@intrinsic
def size_of_real(context: Any, like: Any) -> Any:
    """Bytes of what `like` points to."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _I64(like.dtype.bitwidth // 8)

    return types.int64(like), build


@intrinsic
def _copy_row(context: Any, source: Any, target: Any) -> Any:
    """Copies the vectors of a wide panel's row."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        single = source.dtype == types.float32
        lanes = BYTES // (4 if single else 8)
        vector = ir.VectorType(ir.FloatType() if single else ir.DoubleType(), lanes)
        rows = [builder.bitcast(a, vector.as_pointer()) for a in args]
        for v in range(WIDE):
            places = [builder.gep(row, [_I64(v)]) for row in rows]
            builder.store(builder.load(places[0], align=4), places[1], align=4)
        return context.get_dummy_value()

    return types.void(source, target), build


_w6, _w5, _w4, _w3, _w2, _w1 = (_tile(rows, WIDE) for rows in (6, 5, 4, 3, 2, 1))
_w1_chains = _tile(1, WIDE, chains=2)
_row = _tile(1, 4 * WIDE)  # one row: long stretches of B's rows, which the processor fetches ahead
_two_long, _two_4, _two_1 = (_tile(rows, 2) for rows in (LONG, 4, 1))
_one_long, _one_4, _one_1 = (_tile(rows, 1) for rows in (LONG, 4, 1))
_end_long, _end_4, _end_1 = (_tile(rows, 1, masked=True) for rows in (LONG, 4, 1))
_end_4_chains, _end_1_chains = (_tile(rows, 1, True, chains=CHAINS) for rows in (4, 1))


@register_jitable
def product(
    a: int, a_row: int, a_inner: int, b: int, b_row: int, out: int, out_row: int, rows: int,
    inner: int, columns: int, block: int, packed: int, bias: int, relu: int, like: Any,
) -> None:  # fmt: skip
    """out (rows, columns) = A (rows, inner) B (inner, columns); addresses, and steps in elements.

    block: inner indices worked on together, so that a block of B stays in a near cache.
    packed: whether each panel of B is copied together first (then block * WIDE vectors must fit).
    bias: the address of one row that is added, or 0. relu: whether negative results become 0.
    """
    size = size_of_real(like)
    lanes = BYTES // size
    wide = WIDE * lanes
    room = stack(like)
    for first in range(0, inner, block):
        many, add = min(block, inner - first), first
        last = first + block >= inner
        a_at, b_at = a + size * first * a_inner, b + size * first * b_row
        column = 0
        while column < columns:
            shift = bias + size * column if last and bias != 0 else 0
            cut = relu if last else 0
            panel, target = b_at + size * column, out + size * column
            if rows == 1 and column + 4 * wide <= columns:
                _row(pointer(a_at, like), a_row, a_inner, pointer(panel, like), b_row,
                     pointer(target, like), out_row, many, add, 0, shift, cut)  # fmt: skip
                column += 4 * wide
                continue
            if column + wide <= columns:
                if packed != 0:
                    for k in range(many):
                        _copy_row(pointer(panel + size * k * b_row, like),
                                  pointer(room + size * k * wide, like))  # fmt: skip
                    _panel(a_at, a_row, a_inner, room, wide, target, out_row, rows, many, add,
                           shift, cut, like)  # fmt: skip
                else:
                    _panel(a_at, a_row, a_inner, panel, b_row, target, out_row, rows, many, add,
                           shift, cut, like)  # fmt: skip
                column += wide
                continue
            left = columns - column
            width = 2 * lanes if WIDE > 2 and left >= 2 * lanes else min(lanes, left)
            _strip(a_at, a_row, a_inner, panel, b_row, target, out_row, rows, many, add, width,
                   shift, cut, like)  # fmt: skip
            column += width


@register_jitable
def _strip(
    a: int, a_row: int, a_inner: int, b: int, b_row: int, out: int, out_row: int, rows: int,
    inner: int, add: int, width: int, bias: int, relu: int, like: Any,
) -> None:  # fmt: skip
    """All rows of a strip of two vectors, of one, or of part of one."""
    size = size_of_real(like)
    lanes = BYTES // size
    y = pointer(b, like)
    row = 0
    even = inner // CHAINS * CHAINS
    while row < rows:
        x, z = pointer(a + size * row * a_row, like), pointer(out + size * row * out_row, like)
        height = LONG if row + LONG <= rows else 4 if row + 4 <= rows else 1
        if width == 2 * lanes:
            if height == LONG:
                _two_long(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
            elif height == 4:
                _two_4(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
            else:
                _two_1(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
        elif width == lanes:
            if height == LONG:
                _one_long(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
            elif height == 4:
                _one_4(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
            else:
                _one_1(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
        elif height == LONG:
            _end_long(x, a_row, a_inner, y, b_row, z, out_row, inner, add, width, bias, relu)
        elif even > 0 and even == inner:
            if height == 4:
                _end_4_chains(
                    x, a_row, a_inner, y, b_row, z, out_row, inner, add, width, bias, relu
                )  # fmt: skip
            else:
                _end_1_chains(
                    x, a_row, a_inner, y, b_row, z, out_row, inner, add, width, bias, relu
                )  # fmt: skip
        elif height == 4:
            _end_4(x, a_row, a_inner, y, b_row, z, out_row, inner, add, width, bias, relu)
        else:
            _end_1(x, a_row, a_inner, y, b_row, z, out_row, inner, add, width, bias, relu)
        row += height


@register_jitable
def _panel(
    a: int, a_row: int, a_inner: int, b: int, b_row: int, out: int, out_row: int, rows: int,
    inner: int, add: int, bias: int, relu: int, like: Any,
) -> None:  # fmt: skip
    """All rows of one wide panel of columns, in tiles of nearly equal height."""
    size = size_of_real(like)
    y = pointer(b, like)
    tiles = (rows + TALL - 1) // TALL
    row = 0
    for tile in range(tiles):
        stop = rows * (tile + 1) // tiles
        x, z = pointer(a + size * row * a_row, like), pointer(out + size * row * out_row, like)
        height = stop - row
        if height == 6:
            _w6(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
        elif height == 5:
            _w5(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
        elif height == 4:
            _w4(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
        elif height == 3:
            _w3(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
        elif height == 2:
            _w2(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
        elif inner % 2 == 0:
            _w1_chains(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
        else:
            _w1(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
        row = stop


@intrinsic
def _dots(context: Any, x: Any, x_row: Any, v: Any, inner: Any, out: Any) -> Any:
    """out[i] = row i of x times v, for as many rows as a vector has elements.

    inner: a multiple of the elements of a vector. The rows' sums are added up in halves: after each
    exchange one vector holds what two held.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x_at, row, v_at, inner, out = args
        tile = _Tile(builder, x.dtype, 1, 1, False, 1)
        lanes, vector = tile.lanes, tile.vector
        fma = tile.function(f"llvm.fma.{tile.letter}", vector, [vector] * 3)
        places = [builder.gep(x_at, [builder.mul(row, _I64(i))]) for i in range(lanes)]
        before = builder.block
        loop, after = builder.append_basic_block("dots"), builder.append_basic_block("added")
        builder.branch(loop)
        builder.position_at_end(loop)
        index = builder.phi(_I64)
        index.add_incoming(_I64(0), before)
        sums = [builder.phi(vector) for _ in range(lanes)]
        factor = tile.load(builder.gep(v_at, [index]))
        made = []
        for place, old in zip(places, sums, strict=True):
            made.append(builder.call(fma, [tile.load(builder.gep(place, [index])), factor, old]))
            old.add_incoming(tile.zero, before)
            old.add_incoming(made[-1], loop)
        following = builder.add(index, _I64(lanes))
        index.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, inner), loop, after)
        builder.position_at_end(after)

        def chosen(a: Any, b: Any, numbers: list[int]) -> Any:
            kind = ir.Constant(ir.VectorType(_I32, lanes), numbers)
            return builder.shuffle_vector(a, b, kind)

        half = lanes // 2
        while half:  # lane l of a joined vector then belongs to the row that l's bits name
            joined = []
            for i in range(half):
                a, b = made[i], made[i + half]
                low = [lane + lanes - half if lane & half else lane for lane in range(lanes)]
                high = [lane + lanes if lane & half else lane + half for lane in range(lanes)]
                joined.append(builder.fadd(chosen(a, b, low), chosen(a, b, high)))
            made = joined
            half //= 2
        tile.store(made[0], out)
        return context.get_dummy_value()

    return types.void(x, types.int64, v, types.int64, out), build


def _short_dots(inner: int) -> Any:
    """Intrinsic: out[i] = row i of x times v, for as many rows as a vector has elements.

    Rows have `inner` elements, fewer than a vector: 2, 4, 8. They lie one behind the other, so
    several fit one vector; neighbours are added until each element is the sum of a row.
    """

    def typed(context: Any, x: Any, v: Any, out: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            x_at, v_at, out_at = args
            tile = _Tile(builder, x.dtype, 1, 1, False, 1)
            lanes = tile.lanes
            if inner >= lanes:  # never called: there `_dots` does the work
                return context.get_dummy_value()

            def chosen(a: Any, b: Any, numbers: list[int]) -> Any:
                kind = ir.VectorType(_I32, len(numbers))
                return builder.shuffle_vector(a, b, ir.Constant(kind, numbers))

            few = ir.VectorType(tile.vector.element, inner)
            factor = builder.load(builder.bitcast(v_at, few.as_pointer()), align=tile.align)
            factor = chosen(factor, factor, [lane % inner for lane in range(lanes)])
            made = [
                builder.fmul(tile.load(builder.gep(x_at, [_I64(i * lanes)])), factor)
                for i in range(inner)
            ]
            even, odd = list(range(0, 2 * lanes, 2)), list(range(1, 2 * lanes, 2))
            while len(made) > 1:
                pairs = zip(made[::2], made[1::2], strict=True)
                made = [builder.fadd(chosen(a, b, even), chosen(a, b, odd)) for a, b in pairs]
            tile.store(made[0], out_at)
            return context.get_dummy_value()

        return types.void(x, v, out), build

    return intrinsic(typed)


_dots_2, _dots_4, _dots_8 = (_short_dots(inner) for inner in (2, 4, 8))


@register_jitable
def vector_product(x: int, rows: int, inner: int, v: int, out: int, bias: int, like: Any) -> None:
    """out (rows, 1) = x (rows, inner) v (inner, 1) + bias."""
    size = size_of_real(like)
    lanes = BYTES // size
    result, factor = pointer(out, like), pointer(v, like)
    short = inner < lanes and inner in (2, 4, 8)
    full = rows // lanes * lanes if inner >= lanes or short else 0
    even = inner if short else inner // lanes * lanes
    for i in range(0, full, lanes):
        row, target = pointer(x + size * i * inner, like), pointer(out + size * i, like)
        if not short:
            _dots(row, inner, factor, even, target)
        elif inner == 2:
            _dots_2(row, factor, target)
        elif inner == 4:
            _dots_4(row, factor, target)
        else:
            _dots_8(row, factor, target)
    for i in range(full):
        for k in range(even, inner):
            result[i] += pointer(x, like)[i * inner + k] * factor[k]
    for i in range(full, rows):
        total = pointer(x, like)[i * inner] * factor[0]
        for k in range(1, inner):
            total += pointer(x, like)[i * inner + k] * factor[k]
        result[i] = total
    if bias != 0:
        shift = pointer(bias, like)[0]
        for i in range(rows):
            result[i] += shift


@intrinsic
def _transpose_block(
    context: Any, source: Any, source_row: Any, target: Any, target_row: Any
) -> Any:
    """A square of as many rows as a vector has elements, by exchanges of halves, quarters, ..."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source_at, row, target_at, other = args
        single = source.dtype == types.float32
        lanes = BYTES // (4 if single else 8)
        vector = ir.VectorType(ir.FloatType() if single else ir.DoubleType(), lanes)
        at, align = vector.as_pointer(), 4 if single else 8

        def chosen(a: Any, b: Any, numbers: list[int]) -> Any:
            kind = ir.VectorType(ir.IntType(32), lanes)
            return builder.shuffle_vector(a, b, ir.Constant(kind, numbers))

        lines = []
        for i in range(lanes):
            place = builder.gep(source_at, [builder.mul(row, _I64(i))])
            lines.append(builder.load(builder.bitcast(place, at), align=align))
        half = lanes // 2
        while half:
            for i in range(lanes):
                if i & half:
                    continue
                a, b = lines[i], lines[i + half]
                low = [lane + lanes - half if lane & half else lane for lane in range(lanes)]
                high = [lane + lanes if lane & half else lane + half for lane in range(lanes)]
                lines[i], lines[i + half] = chosen(a, b, low), chosen(a, b, high)
            half //= 2
        for i in range(lanes):
            place = builder.gep(target_at, [builder.mul(other, _I64(i))])
            builder.store(lines[i], builder.bitcast(place, at), align=align)
        return context.get_dummy_value()

    return types.void(source, source_row, target, target_row), build


@register_jitable
def transpose(
    source: int, source_row: int, rows: int, columns: int, target: int, target_row: int, like: Any
) -> None:
    """target (columns, rows) = the transpose of source (rows, columns); steps in elements."""
    size = size_of_real(like)
    lanes = BYTES // size
    full_rows, full_columns = rows // lanes * lanes, columns // lanes * lanes
    for i in range(0, full_rows, lanes):
        for j in range(0, full_columns, lanes):
            _transpose_block(
                pointer(source + size * (i * source_row + j), like), source_row,
                pointer(target + size * (j * target_row + i), like), target_row,
            )  # fmt: skip
    a, b = pointer(source, like), pointer(target, like)
    for i in range(rows):
        first = full_columns if i < full_rows else 0
        for j in range(first, columns):
            b[j * target_row + i] = a[i * source_row + j]
