"""From a program to entries: which steps compute each instruction, on which memory, in which share.

Every instruction becomes rows of entries, one entry (or none) for each share of the work. An entry
says what it reads and writes, so that `stretches` can find where the shares must wait for each
other. An instruction that nothing here knows is left to the walker.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ..kernels import philox
from ..kernels.fused_cpu import CODES
from ..kernels.native import steps, tiles
from ..kernels.op import Op
from ..kernels.spec import ITEMSIZE, Spec, concrete_attrs, length
from ..kernels.vectorized import GELU_CUBIC, GELU_TANH, INV_SQRT_2PI, SQRT_HALF
from .program import Instruction, Program

Range = tuple[int, int]
SHARED_ELEMENTS = 4096  # below this an elementwise step is not worth the barrier it may cost
# Where tiles beat BLAS: measured on 2 cores of a Xeon with AVX-512, float32, 2026-11-23. One core's
# tiles reach 145 to 170 GFLOP/s from (32, 64, 32) up, OpenBLAS 75 to 135; from about a thousand in
# every dimension BLAS's copies pay for themselves: 148 to 124.
LARGE = 512
PACKED_ROWS = 48  # rows that a panel's copy is used for before it pays
NARROW = 16  # columns below which a sum over rows does not fill a vector
NEAR_BLOCK = 128  # inner indices whose panel a first-level cache holds


def bits(number: float) -> int:
    """A float64 as the integer that stands in a record's slot."""
    return int(np.float64(number).view(np.int64))


@dataclass
class Entry:
    """One step on one share.

    record: its slots; addresses are plain integers. batch: slot -> (column, offset in bytes), for
        addresses inside a batch column, which `load` fills in. reads, writes: ranges of addresses.
    """

    step: str
    record: list[int]
    reads: list[Range] = field(default_factory=list)
    writes: list[Range] = field(default_factory=list)
    batch: dict[int, tuple[str, int]] = field(default_factory=dict)


Shares = list[Entry | None]


@dataclass(frozen=True)
class Memory:
    """Where a program's values lie.

    address: value id -> address. column: address of a batch column's buffer -> its name.
    now: the address of each share's now-record. control: of the control block.
    scratch: gives that many bytes that nobody else uses.
    """

    address: Mapping[int, int]
    columns: Mapping[str, Range]
    control: int
    now: list[int]
    scratch: Callable[[int], int]
    blas: Callable[[str], int]


class Lowering:
    """The entries of one program for one number of rows and of shares."""

    def __init__(self, program: Program, memory: Memory, rows: int, shares: int) -> None:
        self.program = program
        self.memory = memory
        self.rows = rows
        self.shares = shares
        self.item = ITEMSIZE[program.dtype]
        self.specs = [v.spec.at(rows) for v in program.values]
        self.prologue: list[Shares] = []  # what is done before the first instruction
        self.turned: dict[int, int] = {}

    # Helpers

    def cuts(self, count: int, work: float, multiple: int = 1) -> list[Range]:
        """The part of `count` items for each share; all for the first where there is little."""
        if self.shares == 1 or work < SHARED_ELEMENTS:
            return [(0, count)] + [(0, 0)] * (self.shares - 1)
        units = -(-count // multiple)
        marks = [min(units * s // self.shares * multiple, count) for s in range(self.shares + 1)]
        return list(pairwise(marks))

    def at(self, id: int) -> int:
        """A value's address."""
        return self.memory.address[id]

    def entry(self, step: str, record: list[int], reads: list[Range], writes: list[Range]) -> Entry:
        """An entry, with the slots found that hold addresses of batch columns."""
        made = Entry(step, record, reads, writes)
        starts = {low for low, _ in reads}
        for slot, value in enumerate(record):
            if value not in starts:
                continue
            for name, (low, high) in self.memory.columns.items():
                if low <= value < high:
                    made.batch[slot] = (name, value - low)
        return made

    def whole(self, id: int) -> Range:
        """All of a value's memory."""
        spec = self.specs[id]
        return self.at(id), self.at(id) + length(spec) * ITEMSIZE[spec.dtype]

    def part(self, id: int, start: int, stop: int) -> Range:
        """Rows of a value's memory."""
        low, high = self.whole(id)
        row = (high - low) // max(self.size(id, 0), 1) if self.specs[id].rank else 0
        return low + start * row, low + stop * row

    def flat(
        self, step: str, ids: tuple[int, ...], out: int, tail: Callable[..., list[int]]
    ) -> Iterator[Shares]:
        """One step over all elements. tail: (ids' addresses, elements, out's address) -> record."""
        count = length(self.specs[out])
        row: Shares = []
        for start, stop in self.cuts(count, count, 16):
            if stop == start:
                row.append(None)
                continue
            places = [self.at(i) + start * self.item for i in ids]
            target = self.at(out) + start * self.item
            size = (stop - start) * self.item
            row.append(
                self.entry(
                    step, tail(places, stop - start, target), [(p, p + size) for p in places],
                    [(target, target + size)],
                )
            )  # fmt: skip
        yield row

    def rowwise(
        self,
        step: str,
        ids: tuple[int, ...],
        outs: tuple[int, ...],
        record: Callable[[list[int], int, list[int]], list[int]],
        work: float,
    ) -> Iterator[Shares]:
        """One step over rows. record: (addresses of ids, rows, addresses of outs) -> record."""
        row: Shares = []
        for start, stop in self.cuts(self.rows_of(ids[0]), work):
            if stop == start:
                row.append(None)
                continue
            reads = [self.part(i, start, stop) for i in ids]
            writes = [self.part(o, start, stop) for o in outs]
            made = record([r[0] for r in reads], stop - start, [w[0] for w in writes])
            row.append(self.entry(step, made, reads, writes))
        yield row

    def rows_of(self, id: int) -> int:
        """The rows of a matrix."""
        return int(self.specs[id].shape[0])  # type: ignore[arg-type]

    def first(
        self, step: str, record: list[int], reads: list[Range], writes: list[Range]
    ) -> Shares:
        """A step of the first share alone."""
        return [self.entry(step, record, reads, writes), *[None] * (self.shares - 1)]

    def alone(self, entry: Entry) -> Shares:
        """An entry of the first share alone."""
        return [entry, *[None] * (self.shares - 1)]

    def one(self) -> int:
        """The address of the number one in the program's dtype."""
        place = self.memory.scratch(8)
        kind = ctypes.c_float if self.item == 4 else ctypes.c_double
        kind.from_address(place).value = 1.0
        return place

    def real_matrices(self, *ids: int) -> bool:
        """Whether values are matrices of the program's dtype."""
        return all(
            self.specs[i].rank == 2 and self.specs[i].dtype == self.program.dtype for i in ids
        )

    def reals(self, *ids: int) -> bool:
        """Whether values are of the program's dtype and of one shape."""
        shape = self.specs[ids[0]].shape
        return all(
            self.specs[i].dtype == self.program.dtype and self.specs[i].shape == shape for i in ids
        )

    def size(self, id: int, axis: int) -> int:
        """A dimension of a value."""
        return int(self.specs[id].shape[axis])  # type: ignore[arg-type]

    def transposed(self, w: int) -> int:
        """The address of a weight's transpose, which is made at the start of each step."""
        if w not in self.turned:
            rows, columns = self.size(w, 0), self.size(w, 1)
            place = self.memory.scratch(rows * columns * self.item)
            whole = (place, place + rows * columns * self.item)
            row: Shares = []
            for start, stop in self.cuts(rows, rows * columns, 16):
                read = self.part(w, start, stop)
                record = [read[0], columns, stop - start, columns, place + start * self.item, rows]
                made = self.entry("transpose", record, [read], [whole])
                row.append(None if start == stop else made)
            self.prologue.append(row)
            self.turned[w] = place
        return self.turned[w]

    # Instructions

    def lower(self, one: Instruction) -> list[Shares] | None:
        """The entries of an instruction, or None where no step computes it."""
        ids = one.inputs
        if any(i is None for i in ids[:-1]):
            return None
        attrs = concrete_attrs(one.attrs, self.rows)
        rule = RULES.get(one.op)
        if rule is None:
            return None
        if any(length(self.specs[i]) == 0 for i in (*ids, *one.outputs) if i is not None):
            return None
        found = rule(self, one, attrs)
        return None if found is None else list(found)


Rule = Callable[[Lowering, Instruction, dict[str, Any]], Iterator[Shares] | None]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers how operations become steps."""

    def register(function: Rule) -> Rule:
        for name in names:
            RULES[name] = function
        return function

    return register


# Products


def _tiles(
    low: Lowering, a: tuple[int, int, int], b: tuple[int, int], out: tuple[int, int],
    sizes: tuple[int, int, int], reads: list[Range], writes: list[Range],
    bias: int = 0, relu: bool = False,
) -> Entry:  # fmt: skip
    """out = A B in tiles, plus a bias, negative results zero where `relu`.

    a: address, step along rows and along the inner index; b, out: address and row length; sizes:
    rows, inner, columns.
    """
    rows, inner, columns = sizes
    packed = rows >= PACKED_ROWS and columns >= 2 * tiles.BYTES // low.item * tiles.WIDE
    room = tiles.PACKED // (tiles.BYTES * tiles.WIDE)
    block = room if columns >= LARGE and inner >= LARGE else NEAR_BLOCK
    record = [*a, *b, *out, rows, inner, columns, min(block, room), int(packed), bias, int(relu)]
    return low.entry("product_tiles", record, reads, writes)


def _large(low: Lowering, *sizes: int) -> bool:
    """Whether BLAS, which copies its factors together first, is the faster."""
    return min(sizes) >= LARGE


def _product(
    low: Lowering, x: int, rows: Range, w: int, bias: int | None, relu: bool, out: int
) -> Entry:
    """Rows of out = x w + bias, with negative results zero where that is the activation."""
    start, stop = rows
    inner, columns = low.size(x, 1), low.size(w, 1)
    reads = [low.part(x, start, stop), low.whole(w)]
    writes = [low.part(out, start, stop)]
    a, b, c, count = reads[0][0], reads[1][0], writes[0][0], stop - start
    shift = 0
    if bias is not None:
        reads.append(low.whole(bias))
        shift = reads[-1][0]
    if columns == 1 and not relu:
        return low.entry("vector_product", [a, count, inner, b, c, shift], reads, writes)
    sizes = (count, inner, columns)
    return _tiles(
        low, (a, inner, 1), (b, columns), (c, columns), sizes, reads, writes, shift, relu
    )  # fmt: skip


def _product_tn(low: Lowering, x: int, g: int, rows: Range, out: int) -> Entry:
    """Rows of out = x^T g."""
    start, stop = rows
    count, inner, columns = low.size(x, 0), low.size(x, 1), low.size(g, 1)
    reads, writes = [low.whole(x), low.whole(g)], [low.part(out, start, stop)]
    a, b, c, wide = reads[0][0] + start * low.item, reads[1][0], writes[0][0], stop - start
    reads[0] = (a, reads[0][1])
    if columns == 1:  # one row: g^T x
        sizes = (1, count, wide)
        return _tiles(low, (b, 1, 1), (a, inner), (c, wide), sizes, reads, writes)
    if _large(low, count, wide, columns):
        codes = [ord("N"), ord("T")]
        record = [
            low.memory.blas("gemm"), *codes, columns, wide, count, b, columns, a, inner, c, columns,
        ]  # fmt: skip
        return low.entry("product", record, reads, writes)
    sizes = (wide, count, columns)
    return _tiles(low, (a, 1, inner), (b, columns), (c, columns), sizes, reads, writes)


def _product_nt(low: Lowering, g: int, place: int, rows: Range, w: int, out: int) -> Entry:
    """Rows of out = g w^T, g at `place`."""
    start, stop = rows
    columns, width = low.size(g, 1), low.size(w, 0)
    size = columns * low.item
    reads = [(place + start * size, place + stop * size), low.whole(w)]
    writes = [low.part(out, start, stop)]
    a, b, c, count = reads[0][0], reads[1][0], writes[0][0], stop - start
    if columns == 1:  # a column is its own transpose
        sizes = (count, 1, width)
        return _tiles(low, (a, 1, 1), (b, width), (c, width), sizes, reads, writes)
    if _large(low, count, columns, width):
        codes = [ord("T"), ord("N")]
        record = [
            low.memory.blas("gemm"), *codes, width, count, columns, b, columns, a, columns, c,
            width,
        ]  # fmt: skip
        return low.entry("product", record, reads, writes)
    turned = low.transposed(w)
    reads[1] = (turned, turned + width * size)
    sizes = (count, columns, width)
    return _tiles(low, (a, columns, 1), (turned, width), (c, width), sizes, reads, writes)


@rule("dense")
def _dense(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    x, w, bias, out = one.inputs[0], one.inputs[1], _optional(one, 2), one.outputs[0]
    assert x is not None
    assert w is not None
    if not low.real_matrices(x, w, out) or (bias is not None and not low.real_matrices(bias)):
        return None
    return _dense_entries(low, x, w, bias, out, attrs)


def _dense_entries(
    low: Lowering, x: int, w: int, bias: int | None, out: int, attrs: dict[str, Any]
) -> Iterator[Shares]:
    columns = low.size(w, 1)
    cuts = low.cuts(low.rows_of(x), length(low.specs[x]) * columns)
    relu = attrs["activation"] == "relu"
    yield [None if a == b else _product(low, x, (a, b), w, bias, relu, out) for a, b in cuts]
    if attrs["activation"] in ("linear", "relu"):
        return
    code, alpha = CODES[attrs["activation"]], bits(attrs["alpha"])
    row: Shares = []
    for start, stop in cuts:
        span = low.part(out, start, stop)
        record = [span[0], stop - start, columns, span[0], 0, code, alpha, span[0]]
        row.append(None if start == stop else low.entry("activate", record, [span], [span]))
    yield row


def _optional(one: Instruction, index: int) -> int | None:
    return one.inputs[index] if index < len(one.inputs) else None


@rule("dense_backward")
def _dense_backward(
    low: Lowering, one: Instruction, attrs: dict[str, Any]
) -> Iterator[Shares] | None:
    g, x, w, y = one.inputs[0], one.inputs[1], one.inputs[2], _optional(one, 3)
    assert g is not None
    assert x is not None
    assert w is not None
    if not low.real_matrices(g, x, w):
        return None
    return _dense_backward_entries(low, one, (g, x, w, y), attrs)


def _dense_backward_entries(
    low: Lowering, one: Instruction, ids: tuple[int, int, int, int | None], attrs: dict[str, Any]
) -> Iterator[Shares]:
    g, x, w, y = ids
    rows, columns = (int(d) for d in low.specs[g].shape)  # type: ignore[arg-type]
    inner = int(low.specs[x].shape[1])  # type: ignore[arg-type]
    place, size = low.at(g), columns * low.item
    work = float(rows) * columns * inner
    cuts = low.cuts(rows, work)
    if y is not None and attrs["activation"] != "linear":
        place = low.memory.scratch(rows * size)
        code, alpha = CODES[attrs["activation"]], bits(attrs["alpha"])
        row: Shares = []
        for start, stop in cuts:
            if start == stop:
                row.append(None)
                continue
            reads = [low.part(g, start, stop), low.part(y, start, stop)]
            target = place + start * size
            record = [reads[0][0], stop - start, columns, reads[1][0], code, alpha, target]
            writes = [(target, place + stop * size)]
            row.append(low.entry("activate_backward", record, reads, writes))
        yield row
    outputs = list(one.outputs)
    weight = outputs.pop(0)
    bias = outputs.pop(0) if attrs["bias"] else None
    if attrs["input"]:
        yield [
            None if a == b else _product_nt(low, g, place, (a, b), w, outputs[0]) for a, b in cuts
        ]
    yield [
        None
        if a == b
        else _moved(_product_tn(low, x, g, (a, b), weight), low.at(g), place, rows * size)
        for a, b in low.cuts(inner, work, 16 if inner >= 64 else 1)
    ]
    if bias is not None and 1 < columns < NARROW:  # the product of a row of ones and g
        span, one_place = low.whole(bias), low.one()
        reads = [(place, place + rows * size)]
        ones, g_at, out = (one_place, 0, 0), (place, columns), (span[0], columns)
        yield low.alone(_tiles(low, ones, g_at, out, (1, rows, columns), reads, [span]))
        return
    if bias is not None:
        row = []
        for start, stop in low.cuts(columns, rows * columns, 16):
            target = low.at(bias) + start * low.item
            record = [place, rows, columns, start, stop - start, target]
            made = low.entry(
                "column_sums", record, [(place, place + rows * size)],
                [(target, target + (stop - start) * low.item)],
            )  # fmt: skip
            row.append(None if start == stop else made)
        yield row


def _moved(entry: Entry, old: int, new: int, size: int) -> Entry:
    """The entry with a gradient that lies elsewhere."""
    if old == new:
        return entry
    entry.record = [new if value == old else value for value in entry.record]
    entry.reads = [(new, new + size) if r[0] == old else r for r in entry.reads]
    return entry


@rule("matmul")
def _matmul(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    a, b = one.inputs
    assert a is not None
    assert b is not None
    if not low.real_matrices(a, b):
        return None
    first, second = bool(attrs["transpose_a"]), bool(attrs["transpose_b"])
    return iter([_matmul_entries(low, a, b, one.outputs[0], first, second)])


def _matmul_entries(low: Lowering, a: int, b: int, out: int, first: bool, second: bool) -> Shares:
    rows, columns = (int(d) for d in low.specs[out].shape)  # type: ignore[arg-type]
    long_a, long_b = int(low.specs[a].shape[1]), int(low.specs[b].shape[1])  # type: ignore[arg-type]
    inner = int(low.specs[a].shape[0 if first else 1])  # type: ignore[arg-type]
    row: Shares = []
    for start, stop in low.cuts(rows, float(rows) * columns * inner):
        read = low.whole(a) if first else low.part(a, start, stop)
        place = read[0] + start * low.item if first else read[0]
        reads, writes = [(place, read[1]), low.whole(b)], [low.part(out, start, stop)]
        codes = [ord("T") if second else ord("N"), ord("T") if first else ord("N")]
        record = [
            low.memory.blas("gemm"), *codes, columns, stop - start, inner, reads[1][0], long_b,
            place, long_a, writes[0][0], columns,
        ]  # fmt: skip
        row.append(None if start == stop else low.entry("product", record, reads, writes))
    return row


# Activations and rows


def _activation(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (x,), out = one.inputs, one.outputs[0]
    assert x is not None
    if not low.reals(x, out):
        return None
    code, alpha = CODES[one.op], bits(attrs.get("alpha", 0.0))
    return low.flat("activate", (x,), out, lambda p, n, o: [p[0], 1, n, p[0], 0, code, alpha, o])


def _activation_backward(
    low: Lowering, one: Instruction, attrs: dict[str, Any]
) -> Iterator[Shares] | None:
    g, y = one.inputs
    assert g is not None
    assert y is not None
    if not low.reals(g, y, one.outputs[0]):
        return None
    code, alpha = CODES[one.op.removesuffix("_backward")], bits(attrs.get("alpha", 0.0))
    return low.flat(
        "activate_backward", (g, y), one.outputs[0],
        lambda p, n, o: [p[0], 1, n, p[1], code, alpha, o],
    )  # fmt: skip


for _name in CODES:
    if _name != "linear":
        RULES[_name] = _activation
        RULES[f"{_name}_backward"] = _activation_backward


@rule("softmax", "log_softmax", "softmax_backward", "log_softmax_backward")
def _softmax(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    ids = tuple(i for i in one.inputs if i is not None)
    if not low.real_matrices(*ids):
        return None
    columns = int(low.specs[ids[0]].shape[1])  # type: ignore[arg-type]

    def record(places: list[int], rows: int, outs: list[int]) -> list[int]:
        return [places[0], rows, columns, *places[1:], outs[0]]

    return low.rowwise(one.op, ids, one.outputs, record, 10.0 * length(low.specs[ids[0]]))


def _numbers(step: str, *numbers: float) -> Rule:
    """An elementwise step with numbers at the end of its record."""

    def lowered(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
        ids = tuple(i for i in one.inputs if i is not None)
        if not low.reals(*ids, one.outputs[0]):
            return None
        tail = [bits(n) for n in numbers]
        return low.flat(step, ids, one.outputs[0], lambda p, n, o: [p[0], n, *p[1:], *tail, o])

    return lowered


RULES["gelu"] = _numbers("gelu", SQRT_HALF, 0.5, 1.0)
RULES["gelu_backward"] = _numbers("gelu_backward", SQRT_HALF, INV_SQRT_2PI, 0.5, 1.0)
RULES["gelu_tanh"] = _numbers("gelu_tanh", GELU_TANH, GELU_CUBIC, 0.5, 1.0)
RULES["gelu_tanh_backward"] = _numbers(
    "gelu_tanh_backward", GELU_TANH, GELU_CUBIC, 0.5, 1.0, 3.0
)  # fmt: skip


# Losses


@rule("softmax_cross_entropy", "sigmoid_binary_cross_entropy")
def _total_loss(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    z, target, weights = one.inputs[0], one.inputs[1], _optional(one, 2)
    assert z is not None
    assert target is not None
    if weights is None or not low.real_matrices(z, weights):
        return None
    labels = one.op == "softmax_cross_entropy"
    if low.specs[target].dtype != ("int32" if labels else low.program.dtype):
        return None
    return _total_loss_entries(low, one, (z, target, weights))


def _total_loss_entries(
    low: Lowering, one: Instruction, ids: tuple[int, int, int]
) -> Iterator[Shares]:
    z = ids[0]
    rows, columns = (int(d) for d in low.specs[z].shape)  # type: ignore[arg-type]
    partial = low.memory.scratch(8 * low.shares)
    row: Shares = []
    for share, (start, stop) in enumerate(low.cuts(rows, 20.0 * rows * columns)):
        slot = partial + 8 * share
        reads = [low.part(i, start, stop) for i in ids]
        writes = [low.part(one.outputs[0], start, stop), (slot, slot + 8)]
        record = [
            reads[0][0], stop - start, columns, reads[1][0], reads[2][0], writes[0][0], slot,
        ]  # fmt: skip
        row.append(low.entry(one.op, record, reads, writes))  # no rows: it writes a zero
    yield row
    out = low.whole(one.outputs[1])
    yield low.first(
        "total", [partial, low.shares, out[0]], [(partial, partial + 8 * low.shares)], [out]
    )


@rule("softmax_cross_entropy_backward")
def _labels_backward(
    low: Lowering, one: Instruction, attrs: dict[str, Any]
) -> Iterator[Shares] | None:
    p, labels, weights = one.inputs[0], one.inputs[1], _optional(one, 2)
    assert p is not None
    assert labels is not None
    if weights is None or not low.real_matrices(p, weights) or low.specs[labels].dtype != "int32":
        return None
    columns = int(low.specs[p].shape[1])  # type: ignore[arg-type]

    def record(places: list[int], rows: int, outs: list[int]) -> list[int]:
        return [places[0], rows, columns, places[1], places[2], outs[0]]

    ids = (p, labels, weights)
    return low.rowwise(one.op, ids, one.outputs, record, 4.0 * length(low.specs[p]))


def _difference(factor: float) -> Rule:
    def lowered(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
        p, target, weights = one.inputs[0], one.inputs[1], _optional(one, 2)
        ids = tuple(i for i in (p, target, weights) if i is not None)
        if not low.real_matrices(*ids):
            return None
        columns = int(low.specs[ids[0]].shape[1])  # type: ignore[arg-type]
        scale = bits(factor / columns)

        def record(places: list[int], rows: int, outs: list[int]) -> list[int]:
            weighted = rows if len(places) > 2 else 0
            return [*places[:1], rows, columns, places[1], places[-1], weighted, scale, outs[0]]

        return low.rowwise("scaled_difference", ids, one.outputs, record, length(low.specs[ids[0]]))

    return lowered


RULES["sigmoid_binary_cross_entropy_backward"] = _difference(1.0)
RULES["mean_squared_error_backward"] = _difference(2.0)


@rule("mean_squared_error")
def _squared(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    ids = tuple(i for i in one.inputs if i is not None)
    if not low.real_matrices(*ids):
        return None
    columns = int(low.specs[ids[0]].shape[1])  # type: ignore[arg-type]

    def record(places: list[int], rows: int, outs: list[int]) -> list[int]:
        weighted = rows if len(places) > 2 else 0
        return [places[0], rows, columns, places[1], places[-1], weighted, outs[0]]

    return low.rowwise(one.op, ids, one.outputs, record, length(low.specs[ids[0]]))


@rule("argmax")
def _argmax(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (x,) = one.inputs
    assert x is not None
    if not low.real_matrices(x) or attrs["axis"] not in (-1, 1):
        return None
    columns = int(low.specs[x].shape[1])  # type: ignore[arg-type]
    return low.rowwise(
        "argmax", (x,), one.outputs, lambda p, n, o: [p[0], n, columns, o[0]],
        length(low.specs[x]),
    )  # fmt: skip


# Element by element


def _steps(low: Lowering, id: int, shape: tuple[int, int]) -> tuple[int, int] | None:
    """Steps along rows and columns of a value that is broadcast to a matrix."""
    own = tuple(int(d) for d in low.specs[id].shape)  # type: ignore[arg-type]
    if len(own) > 2:
        return None
    rows, columns = (1,) * (2 - len(own)) + own
    if rows not in (1, shape[0]) or columns not in (1, shape[1]):
        return None
    return (0 if rows == 1 else columns), (0 if columns == 1 else 1)


@rule(*steps.ARITHMETIC, *steps.COMPARISONS)
def _elementwise(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    x, y = one.inputs
    out = one.outputs[0]
    assert x is not None
    assert y is not None
    own = tuple(int(d) for d in low.specs[out].shape)  # type: ignore[arg-type]
    if len(own) > 2:
        if any(low.specs[i].shape != own for i in (x, y)):
            return None
        own = (own[0], math.prod(own[1:]))
    shape = ((1,) * (2 - len(own)) + own)[0], (own[-1] if own else 1)
    along = (shape[1], 1), (shape[1], 1)
    if low.specs[x].shape != low.specs[out].shape or low.specs[y].shape != low.specs[out].shape:
        first, second = _steps(low, x, shape), _steps(low, y, shape)
        if first is None or second is None:
            return None
        along = first, second
    kinds = {low.specs[x].dtype, low.specs[y].dtype}
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    if one.op in steps.ARITHMETIC:
        if kind != low.program.dtype:
            return None
        step, tail = "arithmetic", []
    else:
        known = {low.program.dtype: 0, "int32": 1, "bool": 2}
        if kind not in known:
            return None
        step, tail = "compare", [known[kind]]
    table = steps.ARITHMETIC if step == "arithmetic" else steps.COMPARISONS
    return _elementwise_entries(
        low, (step, table.index(one.op), tail), (x, y, out), shape, along
    )  # fmt: skip


def _elementwise_entries(
    low: Lowering, step: tuple[str, int, list[int]], ids: tuple[int, int, int],
    shape: tuple[int, int], along: tuple[tuple[int, int], tuple[int, int]],
) -> Iterator[Shares]:  # fmt: skip
    (rows, columns), (name, code, tail) = shape, step
    size = [ITEMSIZE[low.specs[i].dtype] for i in ids]
    row: Shares = []
    for start, stop in low.cuts(rows, float(rows) * columns):
        if start == stop:
            row.append(None)
            continue
        places, reads = [], []
        for id, (down, across), item in zip(ids[:2], along, size, strict=False):
            place = low.at(id) + start * down * item
            end = place + ((stop - start - 1) * down + (columns - 1) * across + 1) * item
            places.append(place)
            reads.append((place, end))
        target = low.at(ids[2]) + start * columns * size[2]
        record = [
            code, target, stop - start, columns, places[0], *along[0], places[1], *along[1], *tail,
        ]  # fmt: skip
        writes = [(target, target + (stop - start) * columns * size[2])]
        row.append(low.entry(name, record, reads, writes))
    yield row


@rule("cast")
def _cast(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (x,), out = one.inputs, one.outputs[0]
    assert x is not None
    if low.specs[x].dtype != "bool" or low.specs[out].dtype != low.program.dtype:
        return None
    source, target = low.whole(x), low.whole(out)
    record = [source[0], length(low.specs[out]), target[0]]
    return iter([low.first("cast_truth", record, [source], [target])])


@rule("sum", "mean")
def _sum(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (x,), out = one.inputs, one.outputs[0]
    assert x is not None
    if attrs["axis"] is not None or low.specs[x].dtype != low.program.dtype:
        return None
    source, target, count = low.whole(x), low.whole(out), length(low.specs[x])
    record = [source[0], count, target[0], 1 if one.op == "sum" else count]
    return iter([low.first("sum_all", record, [source], [target])])


@rule("reshape")
def _reshape(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (x,), out = one.inputs, one.outputs[0]
    assert x is not None
    source, target = low.whole(x), low.whole(out)
    if source[0] == target[0]:
        return iter([])  # the same memory, seen in another shape
    if (source[1] - source[0]) % 4:
        return None
    record = [source[0], (source[1] - source[0]) // 4, target[0]]
    return iter([low.first("copy", record, [source], [target])])


@rule("broadcast_to")
def _broadcast(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (x,), out = one.inputs, one.outputs[0]
    assert x is not None
    if length(low.specs[x]) != 1 or low.specs[x].dtype != low.program.dtype:
        return None
    source, target = low.whole(x), low.whole(out)
    record = [source[0], length(low.specs[out]), target[0]]
    return iter([low.first("fill", record, [source], [target])])


@rule("dropout_mask")
def _dropout(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    out = one.outputs[0]
    if attrs["dtype"] != low.program.dtype:
        return None
    sources = [low.program.values[i].source for i in one.inputs if i is not None]
    if sources != ["seed", "counter"]:
        return None
    count, row = length(low.specs[out]), []
    bar, scale = philox.threshold(attrs["rate"]), bits(1.0 / (1.0 - attrs["rate"]))
    stream = attrs["stream"] & philox.WORD
    for share, (start, stop) in enumerate(low.cuts(count, 30.0 * count, 16)):
        target = low.at(out) + start * low.item
        record = [
            low.memory.now[share], low.memory.control, stream, bar, scale, start // 4, target,
            stop - start,
        ]  # fmt: skip
        writes = [(target, target + (stop - start) * low.item)]
        row.append(None if start == stop else low.entry("dropout_mask", record, [], writes))
    return iter([row])


# Updates, on flat segments in place


def _update(
    low: Lowering, one: Instruction, ids: list[int], step: str, record: Any
) -> Iterator[Shares]:
    """A step over flat segments; record: (addresses, elements, now, first element) -> slots."""
    count = length(low.specs[ids[0]])
    row: Shares = []
    for share, (start, stop) in enumerate(low.cuts(count, 4.0 * count, 64)):
        if start == stop:
            row.append(None)
            continue
        places = [low.at(i) + start * low.item for i in ids]
        ranges = [(p, p + (stop - start) * low.item) for p in places]
        slots = record(places, stop - start, low.memory.now[share], start)
        row.append(low.entry(step, slots, ranges, ranges))
    yield row


def _flats(low: Lowering, one: Instruction) -> list[int]:
    return [i for i in one.inputs if i is not None and low.specs[i].rank == 1]


@rule("sgd_update")
def _sgd(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    return _update(low, one, _flats(low, one), "sgd", lambda p, n, now, _: [p[0], p[1], n, now])


@rule("momentum_update", "nesterov_update")
def _momentum(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    factor, nesterov = bits(attrs["momentum"]), int(one.op == "nesterov_update")
    return _update(
        low, one, _flats(low, one), "momentum",
        lambda p, n, now, _: [p[0], p[1], n, now, p[2], factor, nesterov],
    )  # fmt: skip


@rule("rmsprop_update")
def _rmsprop(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    tail = [bits(attrs["rho"]), bits(1.0 - attrs["rho"]), bits(attrs["epsilon"])]
    return _update(
        low, one, _flats(low, one), "rmsprop",
        lambda p, n, now, _: [p[0], p[1], n, now, p[2], *tail],
    )  # fmt: skip


@rule("adam_update", "adamw_update")
def _adam(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    beta1, beta2, decay = attrs["beta1"], attrs["beta2"], attrs.get("weight_decay", 0.0)
    decayed = attrs.get("decayed", 0)
    tail = [bits(n) for n in (beta1, 1.0 - beta1, beta2, 1.0 - beta2, attrs["epsilon"])]
    wide = low.memory.scratch(24)
    for slot, number in enumerate((beta1, beta2, decay)):
        _poke(wide + 8 * slot, number)

    def record(p: list[int], n: int, now: int, start: int) -> list[int]:
        shrunk = min(max(decayed - start, 0), n) if decay else 0
        return [p[0], p[1], n, now, p[2], p[3], *tail, 0, shrunk, wide]

    return _update(low, one, _flats(low, one), "adam", record)


def _poke(address: int, number: float) -> None:
    """Writes a float64 at an address."""
    ctypes.c_double.from_address(address).value = number


@rule("clip_norm")
def _clip(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (g,) = one.inputs
    assert g is not None
    return _clip_entries(low, one, g, bits(attrs["maximum"]))


def _clip_entries(low: Lowering, one: Instruction, g: int, maximum: int) -> Iterator[Shares]:
    sums = low.memory.scratch(8 * low.shares)
    count = length(low.specs[g])
    cuts = low.cuts(count, 4.0 * count, 64)
    first: Shares = []
    second: Shares = []
    for share, (start, stop) in enumerate(cuts):
        place, slot = low.at(g) + start * low.item, sums + 8 * share
        span = (place, place + (stop - start) * low.item)
        first.append(low.entry("squares", [place, stop - start, slot], [span], [(slot, slot + 8)]))
        record = [place, stop - start, sums, low.shares, maximum]
        made = low.entry("clip", record, [span, (sums, sums + 8 * low.shares)], [span])
        second.append(None if start == stop else made)
    yield first
    yield second


@rule("add_decay")
def _add_decay(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    g, p = one.inputs
    assert g is not None
    assert p is not None
    first, last, factor = attrs["start"], attrs["stop"], bits(attrs["coefficient"])
    row: Shares = []
    for start, stop in low.cuts(last - first, 2.0 * (last - first), 16):
        offset, size = (first + start) * low.item, (stop - start) * low.item
        a, b = low.at(g) + offset, low.at(p) + offset
        made = low.entry(
            "add_decay", [a, b, stop - start, factor], [(a, a + size), (b, b + size)],
            [(a, a + size)],
        )  # fmt: skip
        row.append(None if start == stop else made)
    return iter([row])


def stretches(rows: list[Shares], shares: int) -> list[list[Shares]]:
    """Cuts rows of entries where one share touches what another one has written, or is to write."""
    found: list[list[Shares]] = [[]]
    reads: list[list[Range]] = [[] for _ in range(shares)]
    writes: list[list[Range]] = [[] for _ in range(shares)]
    for row in rows:
        if shares > 1 and _clash(row, reads, writes):
            found.append([])
            reads, writes = [[] for _ in range(shares)], [[] for _ in range(shares)]
        found[-1].append(row)
        for share, entry in enumerate(row):
            if entry is not None:
                reads[share] += entry.reads
                writes[share] += entry.writes
    return found


def _clash(row: Shares, reads: list[list[Range]], writes: list[list[Range]]) -> bool:
    for share, entry in enumerate(row):
        if entry is None:
            continue
        for other in range(len(row)):
            if other != share and (
                _meet(entry.reads, writes[other])
                or _meet(entry.writes, writes[other])
                or _meet(entry.writes, reads[other])
            ):
                return True
    return False


def _meet(some: list[Range], others: list[Range]) -> bool:
    return any(a < d and c < b for a, b in some for c, d in others)


def has_rule(op: Op) -> bool:
    """Whether an operation may run natively."""
    return op.name in RULES


def place_of(spec: Spec) -> int:
    """Bytes of a concrete spec."""
    return length(spec) * ITEMSIZE[spec.dtype]
