"""How products of arrays with any number of axes become steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..program import Instruction, ValueId
from .lowering import Lowering, rule
from .products import gemm, tiles
from .spans import ByteCount, Cut, Span, moved
from .tasks import Shares, Task


@dataclass(frozen=True)
class Product:
    """out = op(a) op(b), where op is the transpose of the last two axes, or nothing."""

    low: Lowering
    a: ValueId
    b: ValueId
    out: ValueId
    transpose_a: bool
    transpose_b: bool

    @property
    def inner(self) -> int:
        """The length of the axis that is summed over."""
        return self.low.size(self.a, -2 if self.transpose_a else -1)

    def rows(self, start: int, stop: int) -> tuple[Span, Span, Span]:
        """What rows of the first product read of a and b, and where its rows begin in out."""
        low = self.low
        a, out = low.whole(self.a), low.whole(self.out)
        first = low.bytes(start * (1 if self.transpose_a else low.size(self.a, -1)))
        target = low.bytes(start * low.size(self.out, -1))
        return Span(moved(a.start, first), a.stop), low.whole(self.b), Span(
            moved(out.start, target), out.stop
        )  # fmt: skip

    def by_blas(self, start: int, stop: int) -> Task:
        """Rows of the first product."""
        low, columns = self.low, self.low.size(self.out, -1)
        a, b, out = self.rows(start, stop)
        return gemm(
            low, (a.start, low.size(self.a, -1)), (b.start, low.size(self.b, -1)),
            (out.start, columns), (stop - start, self.inner, columns), [a, b], [out],
            (self.transpose_a, self.transpose_b),
        )  # fmt: skip

    def by_tiles(self, start: int, stop: int) -> Task:
        """Rows of the first product, where b is read as it lies."""
        columns, long = self.low.size(self.out, -1), self.low.size(self.a, -1)
        a, b, out = self.rows(start, stop)
        steps = (1, long) if self.transpose_a else (long, 1)
        sizes = (stop - start, self.inner, columns)
        return tiles(
            self.low, (a.start, *steps), (b.start, columns), (out.start, columns), sizes,
            [a, b], [out],
        )  # fmt: skip


@rule("matmul")
def _matmul(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    a, b = one.inputs
    assert a is not None
    assert b is not None
    flags = bool(attrs["transpose_a"]), bool(attrs["transpose_b"])
    whole = Product(low, a, b, one.outputs[0], *flags)
    lead_a, lead_b, lead = (_leading(low, i) for i in (a, b, whole.out))
    if math.prod(lead) == 1 or (math.prod(lead_b) == 1 and not flags[0]):
        return iter([_one(whole, math.prod(lead))])
    return iter([_many(whole, lead, lead_a, lead_b)])


def _leading(low: Lowering, id: ValueId) -> tuple[int, ...]:
    """The axes before the last two."""
    return tuple(low.size(id, axis) for axis in range(low.specs[id].rank - 2))


def _one(product: Product, stacked: int) -> Shares:
    """A product of two matrices, the first of which may be several, one below the other."""
    low, ids = product.low, (product.a, product.b, product.out)
    shapes = {i: (low.size(i, -2), low.size(i, -1)) for i in ids}
    for i in (product.a, product.out):
        shapes[i] = shapes[i][0] * stacked, shapes[i][1]
    flat = Product(low.shaped(shapes), *ids, product.transpose_a, product.transpose_b)
    rows, columns = shapes[product.out]
    row: Shares = []
    for start, stop in low.cuts(rows, float(rows) * columns * flat.inner):
        row.append(None if start == stop else _own(flat, (start, stop)))
    return row


def _own(flat: Product, rows: Cut) -> Task:
    """Rows of one product, and of out those alone."""
    made = flat.by_blas(*rows)
    made.writes = [flat.low.part(flat.out, *rows)]
    return made


def _many(
    product: Product, lead: tuple[int, ...], lead_a: tuple[int, ...], lead_b: tuple[int, ...]
) -> Shares:
    """A product for each index of the leading axes, which are shared out, or rows of each."""
    low, count = product.low, math.prod(lead)
    rows, columns = low.size(product.out, -2), low.size(product.out, -1)
    steps = [
        tuple(low.bytes(size * step) for step in _steps(own, lead))
        for own, size in (
            (lead_a, low.size(product.a, -2) * low.size(product.a, -1)),
            (lead_b, low.size(product.b, -2) * low.size(product.b, -1)),
            (lead, rows * columns),
        )
    ]
    # slots of the addresses of a, b and out in the step's record
    first, places = (
        (product.by_blas, (8, 6, 10)) if product.transpose_b else (product.by_tiles, (0, 3, 5))
    )
    moves = dict(zip(places, steps, strict=True))
    stacked = count >= low.shares
    row: Shares = []
    for start, stop in low.cuts(
        count if stacked else rows, float(count) * rows * columns * product.inner
    ):
        if start == stop:
            row.append(None)
            continue
        inner = first(0, rows) if stacked else first(start, stop)
        made = repeated(low, inner, (start, stop) if stacked else (0, count), lead, moves)
        if stacked:
            whole, size = low.whole(product.out), rows * columns
            made.writes = [
                Span(moved(whole.start, low.bytes(start * size)),
                     moved(whole.start, low.bytes(stop * size)))
            ]  # fmt: skip
        row.append(made)
    return row


def _steps(own: tuple[int, ...], lead: tuple[int, ...]) -> list[int]:
    """Of each leading axis, by how many matrices an index moves; 0 where it is repeated."""
    padded = (1,) * (len(lead) - len(own)) + own
    return [
        0 if length == 1 else math.prod(padded[axis + 1 :]) for axis, length in enumerate(padded)
    ]


def repeated(
    low: Lowering, task: Task, numbers: Cut, lengths: tuple[int, ...],
    moves: Mapping[int, tuple[ByteCount, ...]],
) -> Task:  # fmt: skip
    """A task for some of the indices of axes; it is that of the first of all.

    lengths: of the axes. moves: slot of its record -> by how many bytes it moves along each axis.
    """
    head = [0, len(task.record), 0, *numbers, len(lengths), len(moves), *lengths]
    for slot, steps in moves.items():
        head += [slot, *steps]
    made = low.task("repeat", [*head, *task.record], task.reads, task.writes)
    made.calls = {0: task.step}
    made.scratch = {slot + len(head): size for slot, size in task.scratch.items()}
    made.scratch[2] = ByteCount(8 * len(task.record))
    return made
