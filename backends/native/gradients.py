"""How the derivative of a dense layer becomes steps: what the shares take, and what they exchange.

The gradient of x is cut by rows of the batch, or by rows of the weights that each share updates;
that of the weights by rows of the weights, or by rows of the batch, and then its parts are summed
before the update. What is smaller goes from core to core.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...kernels.memory import Address
from ...kernels.numba.activations import CODES
from ..program import Instruction, ValueId
from .lowering import Lowering, bits, optional, rule
from .products import MOVED_ELEMENTS, gemm, join, tiles
from .spans import ByteCount, Cut, Span, moved, span
from .tasks import Shares, Task

MANY_ROWS = 512  # of a batch, from which parts of a gradient may be summed
ALIASED = 4096  # bytes from one line to another in the same set of a first-level cache
NARROW = 16  # columns below which a sum over rows does not fill a vector
# Rows of g from which each share makes the panels of w^T itself, where it needs all of them; below,
# the shares make them together, and each waits for those of the others.
TURNED_ROWS = 128


@rule("dense_backward", empty=True)
def _dense_backward(
    low: Lowering, one: Instruction, attrs: dict[str, Any]
) -> Iterator[Shares] | None:
    g, x, w, y = one.inputs[0], one.inputs[1], one.inputs[2], optional(one, 3)
    assert g is not None
    assert x is not None
    assert w is not None
    if attrs["activation"] not in CODES:
        return None
    low = low.folded(one)
    if low.size(g, 0) == 0 or low.size(w, 1) == 0:
        return low.clear(*one.outputs)
    return _Backward(low, g, x, w).tasks(one, y, attrs)


class _Backward:
    """One layer's derivative. place: where the gradient of its linear part lies."""

    def __init__(self, low: Lowering, g: ValueId, x: ValueId, w: ValueId) -> None:
        self.low, self.g, self.x, self.w = low, g, x, w
        self.rows, self.columns = low.size(g, 0), low.size(g, 1)
        self.inner = low.size(x, 1)
        self.place, self.size = low.at(g), low.bytes(self.columns)
        self.work = float(self.rows) * self.columns * self.inner
        self.cuts = low.cuts(self.rows, self.work)
        self.own = low.weight_cuts(self.inner, self.work)
        # What a share's part is worth: of the rows of the batch, and of the rows of the weights.
        part, own = (max(b - a for a, b in cuts) for cuts in (self.cuts, self.own))
        self.turned = low.shares == 1 or part >= TURNED_ROWS
        found = low.thresholds
        self.blas_by_batch = min(part, self.inner, self.columns) >= found.input_blas
        self.blas_by_weight = min(self.rows, own, self.columns) >= found.weight_blas

    def tasks(self, one: Instruction, y: ValueId | None, attrs: dict[str, Any]) -> Iterator[Shares]:
        """All steps."""
        if y is not None and attrs["activation"] != "linear":
            yield self.derivative(y, attrs)
        outputs = list(one.outputs)
        weight = outputs.pop(0)
        bias = outputs.pop(0) if attrs["bias"] else None
        if self.inner == 0:  # then there is but a bias
            yield from [] if bias is None else [self.of_bias(bias)]
            return
        if attrs["input"]:
            yield from self.of_input(outputs[0])
        if self.by_batch(weight, bias):
            yield from self.of_own_batch(weight, bias)
            return
        yield from self.of_weight(weight)
        if bias is not None:
            yield self.of_bias(bias)

    def derivative(self, y: ValueId, attrs: dict[str, Any]) -> Shares:
        """g times the activation's derivative, to a place of its own."""
        low, row = self.low, Shares()
        self.place = low.memory.scratch(ByteCount(self.rows * self.size))
        code, alpha = CODES[attrs["activation"]], bits(attrs["alpha"])
        for start, stop in self.cuts:
            if start == stop:
                row.append(None)
                continue
            reads = [low.part(self.g, start, stop), low.part(y, start, stop)]
            write = self.rows_of_g(start, stop)
            g, derived = reads[0].start, reads[1].start
            record = [
                g, stop - start, self.columns, derived, code, alpha, write.start,
                int(low.thresholds.streams),
            ]  # fmt: skip
            row.append(low.task("activate_backward", record, reads, [write]))
        return row

    def rows_of_g(self, start: int, stop: int) -> Span:
        """Where rows of the gradient lie."""
        first = moved(self.place, ByteCount(start * self.size))
        return span(first, ByteCount((stop - start) * self.size))

    # g w^T

    def of_input(self, out: ValueId) -> Iterator[Shares]:
        """out = g w^T."""
        # Either half of w^T goes from core to core, or half of g w^T.
        moved = self.columns > self.rows and self.inner * self.columns >= MOVED_ELEMENTS
        own = moved and self.low.parameter(self.w) and not self.blas_by_batch
        if own and all(a < b for a, b in self.own):
            yield from self.columns_of_input(out)
        else:
            yield [None if a == b else self.rows_of_input((a, b), out) for a, b in self.cuts]

    def rows_of_input(self, rows: Cut, out: ValueId) -> Task:
        """Rows of out = g w^T."""
        low, (start, stop) = self.low, rows
        columns, width = self.columns, self.inner
        reads = [self.rows_of_g(start, stop), low.whole(self.w)]
        writes = [low.part(out, start, stop)]
        a, b, c, count = reads[0].start, reads[1].start, writes[0].start, stop - start
        if columns == 1:  # a column is its own transpose
            sizes = (count, 1, width)
            return tiles(low, (a, 1, 1), (b, width), (c, width), sizes, reads, writes)
        if self.blas_by_batch:
            return gemm(
                low, (a, columns), (b, columns), (c, width), (count, columns, width), reads, writes,
                transposes=(False, True),
            )  # fmt: skip
        if self.turned:
            return tiles(
                low, (a, columns, 1), (b, columns), (c, width), (count, columns, width), reads,
                writes, turned=True,
            )  # fmt: skip
        panels = low.transposed(self.w)
        reads[1] = span(panels, ByteCount(width * self.size))
        full = width // low.wide * low.wide
        # where column 0 of those left would be
        rest = moved(panels, low.bytes(full * columns - full))
        return tiles(
            low, (a, columns, 1), (rest, width - full), (c, width), (count, columns, width), reads,
            writes, panels=panels,
        )  # fmt: skip

    def columns_of_input(self, out: ValueId) -> Iterator[Shares]:
        """Columns of out = g w^T: each share those of the rows of w that it updates itself."""
        low, row = self.low, Shares()
        for start, stop in self.own:
            reads = [self.rows_of_g(0, self.rows), low.part(self.w, start, stop)]
            g, w, target = reads[0].start, reads[1].start, moved(low.at(out), low.bytes(start))
            sizes = (self.rows, self.columns, stop - start)
            row.append(
                tiles(
                    low, (g, self.columns, 1), (w, self.columns), (target, self.inner), sizes,
                    reads, [low.whole(out)], turned=True,
                )
            )  # fmt: skip
        yield row

    # x^T g, and the sums of g's columns

    def of_weight(self, out: ValueId) -> Iterator[Shares]:
        """out = x^T g: each share the rows that it updates."""
        yield [None if a == b else self.rows_of_weight((a, b), out) for a, b in self.own]

    def rows_of_weight(self, rows: Cut, out: ValueId) -> Task:
        """Rows of out = x^T g."""
        low, (start, stop) = self.low, rows
        write = low.part(out, start, stop)
        if not self.blas_by_weight:
            return self.product((0, self.rows), rows, write)
        x, g = self.columns_of_x((0, self.rows), start), self.rows_of_g(0, self.rows)
        return gemm(
            low, (x.start, self.inner), (g.start, self.columns), (write.start, self.columns),
            (stop - start, self.rows, self.columns), [x, g], [write], transposes=(True, False),
        )  # fmt: skip

    def columns_of_x(self, batch: Cut, first: int) -> Span:
        """Rows of x from one of their columns on."""
        rows = self.low.part(self.x, *batch)
        return Span(moved(rows.start, self.low.bytes(first)), rows.stop)

    def product(self, batch: Cut, rows: Cut, write: Span) -> Task:
        """Rows of x^T g, of some rows of the batch."""
        low, (start, stop), count = self.low, rows, batch[1] - batch[0]
        wide, columns = stop - start, self.columns
        x, g = self.columns_of_x(batch, start), self.rows_of_g(*batch)
        if columns == 1:  # one row: g^T x
            sizes = (1, count, wide)
            return tiles(
                low, (g.start, 1, 1), (x.start, self.inner), (write.start, wide), sizes, [x, g],
                [write],
            )  # fmt: skip
        aliased = low.bytes(self.inner) % ALIASED == 0
        found = low.thresholds
        copied = self.rows >= (found.aliased_rows if aliased else found.copied_rows)
        return tiles(
            low, (x.start, 1, self.inner), (g.start, columns), (write.start, columns),
            (wide, count, columns), [x, g], [write], transposed=copied and columns >= NARROW,
        )  # fmt: skip

    def of_bias(self, out: ValueId) -> Shares:
        """out = the sums of g's columns."""
        low, whole = self.low, self.low.whole(out)
        if 1 < self.columns < NARROW:
            return low.alone(self.sums((0, self.rows), (0, self.columns), whole))
        row = Shares()
        for start, stop in low.bias_cuts(self.columns):
            write = span(moved(whole.start, low.bytes(start)), low.bytes(stop - start))
            part = None if start == stop else self.sums((0, self.rows), (start, stop), write)
            row.append(part)
        return row

    def sums(self, batch: Cut, columns: Cut, write: Span) -> Task:
        """Sums of some columns of g, over some rows of the batch."""
        low, (start, stop), count = self.low, columns, batch[1] - batch[0]
        read = self.rows_of_g(*batch)
        if 1 < self.columns < NARROW:  # the product of a row of ones and g
            sizes = (1, count, self.columns)
            b, out = (read.start, self.columns), (write.start, self.columns)
            return tiles(low, (low.ones(), 0, 0), b, out, sizes, [read], [write])
        record = [read.start, count, self.columns, start, stop - start, write.start]
        return low.task("column_sums", record, [read], [write])

    # Both, of a share's own rows of the batch

    def by_batch(self, weight: ValueId, bias: ValueId | None) -> bool:
        """Whether shares do better with their own rows of x and g, and sum up at the end."""
        low = self.low
        weights = self.inner * self.columns
        read = {id for one in low.program.backward for id in one.inputs}
        return (
            low.shares > 1
            and bool(low.program.update)
            and not self.blas_by_batch
            and self.rows >= MANY_ROWS
            and all(a < b for a, b in self.cuts)
            and 2 * weights <= self.rows * (self.inner + self.columns)
            and weight not in read
            and bias not in read
        )

    def of_own_batch(self, weight: ValueId, bias: ValueId | None) -> Iterator[Shares]:
        """Gradients of the shares' rows, which a step before the update sums."""
        low, products, sums = self.low, Shares(), Shares()
        wanted = [(weight, self.inner)] if bias is None else [(weight, self.inner), (bias, 1)]
        places = [
            low.memory.scratch(ByteCount(low.shares * rows * self.size)) for _, rows in wanted
        ]
        for share, batch in enumerate(self.cuts):
            part = ByteCount(self.inner * self.size)
            write = span(moved(places[0], ByteCount(share * part)), part)
            products.append(self.product(batch, (0, self.inner), write))
            if bias is not None:
                write = span(moved(places[1], ByteCount(share * self.size)), self.size)
                sums.append(self.sums(batch, (0, self.columns), write))
        yield products
        if bias is not None:
            yield sums
            low.epilogue.append(self.joined(bias, 1, places[1], low.bias_cuts(self.columns)))
        low.epilogue.append(self.joined(weight, self.columns, places[0], self.own))

    def joined(self, out: ValueId, columns: int, place: Address, cuts: list[Cut]) -> Shares:
        """out = the sum of the shares' parts; cuts: of its rows, as if it had so many columns."""
        low = self.low
        return [
            None if a == b else join(low, place, (a, b), low.whole(out), columns) for a, b in cuts
        ]
