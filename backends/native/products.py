"""How products and the dense layers become steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...kernels.memory import Address
from ...kernels.numba.activations import CODES
from ...kernels.numba.native.register_tile import BYTES, WIDE
from ...kernels.numba.native.tiles import SCRATCH, transposed_row
from ...kernels.spec import length
from ...kernels.thresholds import Thresholds
from ..program import Instruction, ValueId
from .lowering import Lowering, bits, optional, rule
from .spans import ByteCount, Cut, Span, moved, span
from .tasks import Shares, Task

FEW_ROWS = 16  # up to which weights, not rows, are shared out: what counts is to read them once
LONG = 64  # inner indices of a share at least
# In training each share has just updated some rows of the weights. Where they are many, it reads
# those alone, and partial sums go from core to core instead of weights: 784-128 with 64 rows takes
# 0.95 of the time (2 cores of an EPYC 7003, 2026-11-24).
MOVED, MOVED_ELEMENTS = 4, 32768  # rows of the weights to rows of the batch; elements of weights
# Inner indices whose panel a first-level cache holds. A copied panel of AVX's two vectors is better
# worked on as a whole: (512, 256, 256) 83 to 88 GFLOP/s of 92 (EPYC 7003, 2026-11-24).
NEAR_BLOCK = 128
# Of a row times a matrix larger than a near cache, inner indices worked on together: the rows of so
# few follow each other in memory. 2048-2048-2048-2048-10 takes 0.75 of the time, 1024-1024-1024-10
# 0.85, 784-512-256-10, whose matrices are smaller, would take 1.04 (EPYC 9004, 2026-11-28).
ROW_BLOCK, ROW_BYTES = 16, 2**20


def tiles(
    low: Lowering, a: tuple[Address, int, int], b: tuple[Address, int], out: tuple[Address, int],
    sizes: tuple[int, int, int], reads: list[Span], writes: list[Span],
    bias: Address | None = None, relu: bool = False, panels: Address | None = None,
    transposed: bool = False, turned: bool = False,
) -> Task:  # fmt: skip
    """out = A B in tiles, plus a bias, negative results zero where `relu`; panels: B packed.

    a: address, step along rows and along the inner index; b, out: address and row length; sizes:
    rows, inner, columns; transposed: whether A, whose inner indices lie far apart, is copied first
    so that they lie side by side; turned: whether b is the transpose of B.
    """
    rows, inner, columns = sizes
    block, packed = blocks(low.thresholds, sizes, low.item, turned or panels is not None)
    if rows == 1 and not turned and panels is None and inner * columns * low.item > ROW_BYTES:
        block = ROW_BLOCK
    record = [
        *a, *b, *out, rows, inner, columns, block, 0, bias or 0, int(relu), panels or 0, 0,
        int(turned),
    ]  # fmt: skip
    made = low.task("product_tiles", record, reads, writes)
    if turned or (packed and panels is None):
        made.scratch[11] = ByteCount(SCRATCH)
    if transposed:
        made.scratch[15] = low.bytes(rows * transposed_row(block, inner, low.item))
    return made


def gemm(
    low: Lowering, a: tuple[Address, int], b: tuple[Address, int], out: tuple[Address, int],
    sizes: tuple[int, int, int], reads: list[Span], writes: list[Span],
    transposes: tuple[bool, bool] = (False, False),
) -> Task:  # fmt: skip
    """out = op(a) op(b) by BLAS, where op is the transpose, or nothing.

    a, b, out: address and row length, as they lie. sizes: rows, inner indices, columns.
    """
    rows, inner, columns = sizes
    codes = [ord("T") if one else ord("N") for one in reversed(transposes)]
    record = [low.blas("gemm"), *codes, columns, rows, inner, *b, *a, *out]
    return low.task("product", record, reads, writes)


def blocks(
    found: Thresholds, sizes: tuple[int, int, int], item: int, ready: bool = False
) -> tuple[int, bool]:  # fmt: skip
    """How many inner indices of a product are worked on together, and whether panels are copied.

    sizes: rows, inner indices, columns, of `item` bytes each. ready: whether B is there in panels,
    or becomes panels in any case.
    """
    rows, inner, columns = sizes
    packed = rows >= found.packed_rows and columns >= 2 * WIDE * BYTES // item
    whole = packed if WIDE == 2 else min(inner, columns) >= found.whole_block
    block = SCRATCH // (BYTES * WIDE) if whole or ready else NEAR_BLOCK
    if packed:  # all panels together, where they fit
        block = max(block, SCRATCH // (columns * item))
    return block, packed


def _product(
    low: Lowering, x: ValueId, rows: Cut, w: ValueId, bias: ValueId | None, relu: bool,
    out: ValueId, panels: Address | None,
) -> Task:  # fmt: skip
    """Rows of out = x w + bias, with negative results zero where that is the activation."""
    start, stop = rows
    inner, columns = low.size(x, 1), low.size(w, 1)
    reads = [low.part(x, start, stop), low.whole(w)]
    writes = [low.part(out, start, stop)]
    a, b, c, count = reads[0].start, reads[1].start, writes[0].start, stop - start
    shift = None
    if bias is not None:
        reads.append(low.whole(bias))
        shift = reads[-1].start
    if columns == 1 and not relu:
        return low.task("vector_product", [a, count, inner, b, c, shift or 0], reads, writes)
    sizes = (count, inner, columns)
    if panels is not None:
        reads.append(span(panels, low.bytes(length(low.specs[w]))))
    return tiles(
        low, (a, inner, 1), (b, columns), (c, columns), sizes, reads, writes, shift, relu, panels
    )  # fmt: skip


def _by_blas(low: Lowering, cuts: list[Cut], inner: int, columns: int) -> bool:
    """Whether BLAS is the faster for a share's rows."""
    return min(max(b - a for a, b in cuts), inner, columns) >= low.thresholds.forward_blas


def _blas_product(low: Lowering, x: ValueId, rows: Cut, w: ValueId, out: ValueId) -> Task:
    """Rows of out = x w."""
    start, stop = rows
    inner, columns = low.size(x, 1), low.size(w, 1)
    a, b, c = low.part(x, start, stop), low.whole(w), low.part(out, start, stop)
    sizes = (stop - start, inner, columns)
    return gemm(low, (a.start, inner), (b.start, columns), (c.start, columns), sizes, [a, b], [c])


def _in_parts(
    low: Lowering, x: ValueId, w: ValueId, cuts: list[Cut], bias: ValueId | None, relu: bool,
    out: ValueId,
) -> Iterator[Shares]:  # fmt: skip
    """out = x w + bias as a sum of products, each of some of w's rows: a share reads them alone.

    Columns of w would do as well, but then its cache holds half of each stretch of memory, and only
    half of the cache's sets are used.
    """
    rows, inner, columns = low.size(x, 0), low.size(x, 1), low.size(w, 1)
    size = low.bytes(rows * columns)
    place = low.memory.scratch(ByteCount(size * low.shares))
    found: Shares = []
    for share, (start, stop) in enumerate(cuts):
        whole, part = low.whole(x), low.part(w, start, stop)
        first = moved(place, ByteCount(share * size))
        a = moved(whole.start, low.bytes(start))
        sizes = (rows, stop - start, columns)
        found.append(
            tiles(
                low, (a, inner, 1), (part.start, columns), (first, columns), sizes,
                [Span(a, whole.stop), part], [span(first, size)],
            )
        )  # fmt: skip
    yield found
    yield [
        None if a == b else join(low, place, (a, b), low.whole(out), columns, bias, relu)
        for a, b in low.cuts(rows, rows * columns)
    ]


def join(
    low: Lowering, place: Address, rows: Cut, out: Span, columns: int, bias: ValueId | None = None,
    relu: bool = False,
) -> Task:  # fmt: skip
    """Rows of out = the sum of the shares' matrices of its size, one behind the other at `place`.

    bias: a value that is added, or None. relu: whether negative results become 0.
    """
    first, size = low.bytes(columns * rows[0]), low.bytes(columns * (rows[1] - rows[0]))
    places = [ByteCount(share * out.size + first) for share in range(low.shares)]
    reads = [span(moved(place, by), size) for by in places]
    write = span(moved(out.start, first), size)
    shared = [] if bias is None else [low.whole(bias)]
    record = [
        reads[0].start, low.shares, rows[1] - rows[0], columns, shared[0].start if shared else 0,
        int(relu), write.start, out.size // low.item,
    ]  # fmt: skip
    return low.task("join", record, [*reads, *shared], [write])


@rule("dense", empty=True)
def _dense(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    x, w, bias, out = one.inputs[0], one.inputs[1], optional(one, 2), one.outputs[0]
    assert x is not None
    assert w is not None
    if attrs["activation"] not in CODES:
        return None
    low = low.folded(one)
    if length(low.specs[out]) == 0:
        return iter([])
    return _dense_tasks(low, x, w, bias, out, attrs)


def _dense_tasks(
    low: Lowering, x: ValueId, w: ValueId, bias: ValueId | None, out: ValueId,
    attrs: dict[str, Any],
) -> Iterator[Shares]:  # fmt: skip
    rows, columns = low.size(x, 0), low.size(w, 1)
    work = length(low.specs[x]) * columns
    cuts = low.cuts(rows, work)
    relu = attrs["activation"] == "relu"
    inner = low.size(x, 1)
    parts = low.cuts(inner, work, 16)
    few = rows <= FEW_ROWS or (
        bool(low.program.update) and inner >= MOVED * rows and inner * columns >= MOVED_ELEMENTS
    )
    shift = (0, 0)  # a bias that is still to be added, and its rows
    finished = bool(inner) and attrs["activation"] in ("linear", "relu")
    if inner == 0:
        yield from low.clear(out)
        shift = (0, 0) if bias is None else (low.at(bias), 1)
    elif low.shares > 1 and few and all(b - a >= LONG for a, b in parts):
        yield from _in_parts(low, x, w, parts, bias, relu, out)
    elif low.program.update and _by_blas(low, cuts, inner, columns):
        yield [None if a == b else _blas_product(low, x, (a, b), w, out) for a, b in cuts]
        shift = (0, 0) if bias is None else (low.at(bias), 1)
        finished = attrs["activation"] == "linear" and bias is None
    else:
        kept = low.parameter(w) and not low.program.update and inner > 1 and columns >= 2 * low.wide
        panels = low.packed(w) if kept and rows > FEW_ROWS else None
        yield [
            None if a == b else _product(low, x, (a, b), w, bias, relu, out, panels)
            for a, b in cuts
        ]
    if finished:
        return
    code, alpha = CODES[attrs["activation"]], bits(attrs["alpha"])
    row: Shares = []
    for start, stop in cuts:
        part = low.part(out, start, stop)
        record = [
            part.start, stop - start, columns, *shift, code, alpha, part.start,
            int(low.thresholds.streams),
        ]  # fmt: skip
        reads = [part] if bias is None else [part, low.whole(bias)]
        row.append(None if start == stop else low.task("activate", record, reads, [part]))
    yield row
