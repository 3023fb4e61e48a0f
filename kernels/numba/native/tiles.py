"""Products of small and middling matrices, without packing: register tiles side by side.

out = A B, where B's rows are contiguous and A is read element by element, so either A or its
transpose will do. BLAS copies both factors into an order of its own first, which pays only when
they are used often enough: see `backends/native/products.py`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from .machine import intrinsic, pointer, register_jitable
from .register_tile import BYTES, MASKS, TALL, WIDE, Tile, size_of_real, tile
from .strips import strip

_I32, _I64 = ir.IntType(32), ir.IntType(64)

# Bytes of the panel of B that is copied together: a part of a second-level cache, of which
# processors with AVX-512 have more.
SCRATCH = 262144 if BYTES == 64 else 131072
UNMASKED = 16  # inner indices from which the masked stores of a tile take less than they save
NEAR = 262144  # bytes of B that are expected to be in that cache already


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


_w6, _w5, _w4, _w3, _w2, _w1 = (tile(rows, WIDE) for rows in (6, 5, 4, 3, 2, 1))
_w1_chains = tile(1, WIDE, chains=2)
# One row: long stretches of B's rows. From a far cache they are prefetched; from a near one
# that would take as long as the work.
_row, _row_far = tile(1, 4 * WIDE), tile(1, 4 * WIDE, distance=8)


@register_jitable
def product(
    a: int, a_row: int, a_inner: int, b: int, b_row: int, out: int, out_row: int, rows: int,
    inner: int, columns: int, block: int, scratch: int, bias: int, relu: int, panels: int,
    transposed: int, turned: int, like: Any,
) -> None:  # fmt: skip
    """out (rows, columns) = A (rows, inner) B (inner, columns); addresses, and steps in elements.

    block: inner indices worked on together, so that a block of B stays in a near cache.
    scratch: SCRATCH bytes where panels of B are copied together, all at once where they fit, else
        one by one (then block * WIDE vectors must fit), or 0.
    panels: where `pack` has put B, or 0; b then serves for the columns beyond whole panels alone.
    bias: the address of one row that is added, or 0. relu: whether negative results become 0.
    transposed: scratch for `rows` rows of `transposed_row` elements, where each block of A is
        transposed first so that its inner indices lie side by side, or 0.
    turned: whether b is the transpose of B: each panel is made in the scratch just before it is
        used, while a whole transpose would go to a far cache and come back.
    """
    size = size_of_real(like)
    lanes = BYTES // size
    wide = WIDE * lanes
    full = columns // wide * wide
    for first in range(0, inner, block):
        many, add = min(block, inner - first), first
        last = first + block >= inner
        a_at, b_at = a + size * first * a_inner, b + size * first * (1 if turned else b_row)
        b_column = b_row if turned else 1
        x_row, x_inner = a_row, a_inner
        if transposed != 0:
            x_row, x_inner = transposed_row(block, inner, size), 1
            transpose(a_at, a_inner, many, rows, transposed, x_row, like)
            a_at = transposed
        together = scratch != 0 and full * many * size <= SCRATCH
        if together and turned:
            for column in range(0, full, wide):
                transpose(b_at + size * column * b_row, b_row, wide, many,
                          scratch + size * column * many, wide, like)  # fmt: skip
        elif together:
            for k in range(many):
                for column in range(0, full, wide):
                    _copy_row(pointer(b_at + size * (k * b_row + column), like),
                              pointer(scratch + size * (column * many + k * wide), like),
                    )  # fmt: skip
        column = 0
        while column < columns:
            shift = bias + size * column if last and bias != 0 else 0
            cut = relu if last else 0
            panel, target = b_at + size * column * b_column, out + size * column
            if rows == 1 and panels == 0 and not turned and column + 4 * wide <= columns:
                x, y, z = pointer(a_at, like), pointer(panel, like), pointer(target, like)
                if many * b_row * size > NEAR:
                    _row_far(x, x_row, x_inner, y, b_row, z, out_row, many, add, 0, shift, cut)
                else:
                    _row(x, x_row, x_inner, y, b_row, z, out_row, many, add, 0, shift, cut)
                column += 4 * wide
                continue
            if column + wide <= columns:
                ready, step = panel, b_row
                if panels != 0:
                    ready, step = panels + size * (column * inner + first * wide), wide
                elif together:
                    ready, step = scratch + size * column * many, wide
                elif turned:
                    transpose(panel, b_row, wide, many, scratch, wide, like)
                    ready, step = scratch, wide
                elif scratch != 0:
                    for k in range(many):
                        _copy_row(pointer(panel + size * k * b_row, like),
                                  pointer(scratch + size * k * wide, like))  # fmt: skip
                    ready, step = scratch, wide
                _panel(a_at, x_row, x_inner, ready, step, target, out_row, rows, many, add,
                       shift, cut, like)  # fmt: skip
                column += wide
                continue
            left, strips, strips_row = columns - column, panel, b_row
            if turned:
                strips_row = columns - full
                if column == full:  # the panels were used: what is left takes their place
                    transpose(panel, b_row, left, many, scratch, left, like)
                strips = scratch + size * (column - full)
            width = 2 * lanes if WIDE > 2 and left >= 2 * lanes else lanes
            if left < lanes:
                width = left if MASKS or left == 1 or many >= UNMASKED else 4 if left >= 4 else 2
            strip(a_at, x_row, x_inner, strips, strips_row, target, out_row, rows, many, add,
                  width, shift, cut, like)  # fmt: skip
            column += width


@register_jitable
def transposed_row(block: int, inner: int, size: int) -> int:
    """Elements from one row of a transposed block to the next, of `size` bytes each.

    A line more than it needs: with 1024 of them each row would begin in the same set of a cache.
    """
    return min(block, inner) + 64 // size


@register_jitable
def pack(b: int, b_row: int, inner: int, first: int, last: int, panels: int, like: Any) -> None:
    """Copies wide panels of B, from column `first` to `last`, one behind the other."""
    size = size_of_real(like)
    wide = WIDE * BYTES // size
    for column in range(first, last, wide):
        for k in range(inner):
            _copy_row(pointer(b + size * (k * b_row + column), like),
                      pointer(panels + size * (column * inner + k * wide), like))  # fmt: skip


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
    for number in range(tiles):
        stop = rows * (number + 1) // tiles
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
        one = Tile(builder, x.dtype)
        lanes, vector = one.lanes, one.vector
        fma = one.function(f"llvm.fma.{one.letter}", vector, [vector] * 3)
        places = [builder.gep(x_at, [builder.mul(row, _I64(i))]) for i in range(lanes)]
        before = builder.block
        loop, after = builder.append_basic_block("dots"), builder.append_basic_block("added")
        builder.branch(loop)
        builder.position_at_end(loop)
        index = builder.phi(_I64)
        index.add_incoming(_I64(0), before)
        sums = [builder.phi(vector) for _ in range(lanes)]
        factor = one.load(builder.gep(v_at, [index]))
        made = []
        for place, old in zip(places, sums, strict=True):
            made.append(builder.call(fma, [one.load(builder.gep(place, [index])), factor, old]))
            old.add_incoming(one.zero, before)
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
        one.store(made[0], out)
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
            one = Tile(builder, x.dtype)
            lanes = one.lanes
            if inner >= lanes:  # never called: there `_dots` does the work
                return context.get_dummy_value()

            def chosen(a: Any, b: Any, numbers: list[int]) -> Any:
                kind = ir.VectorType(_I32, len(numbers))
                return builder.shuffle_vector(a, b, ir.Constant(kind, numbers))

            few = ir.VectorType(one.vector.element, inner)
            factor = builder.load(builder.bitcast(v_at, few.as_pointer()), align=one.align)
            factor = chosen(factor, factor, [lane % inner for lane in range(lanes)])
            made = [
                builder.fmul(one.load(builder.gep(x_at, [_I64(i * lanes)])), factor)
                for i in range(inner)
            ]
            even, odd = list(range(0, 2 * lanes, 2)), list(range(1, 2 * lanes, 2))
            while len(made) > 1:
                pairs = zip(made[::2], made[1::2], strict=True)
                made = [builder.fadd(chosen(a, b, even), chosen(a, b, odd)) for a, b in pairs]
            one.store(made[0], out_at)
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


@register_jitable
def pack_transposed(b: int, b_row: int, rows: int, columns: int, panels: int, like: Any) -> None:
    """The transpose of B's rows as panels: the last one, of what is left, is as wide as that."""
    size = size_of_real(like)
    wide = WIDE * BYTES // size
    for first in range(0, rows, wide):
        some = min(wide, rows - first)
        source, target = b + size * first * b_row, panels + size * first * columns
        transpose(source, b_row, some, columns, target, some, like)
