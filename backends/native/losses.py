"""How losses become steps, alone and together with the activation before them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...kernels.memory import Address
from ...kernels.spec import length
from ..program import Instruction, ValueId
from .indices import indexed
from .lowering import Lowering, bits, optional, rule
from .spans import ByteCount, moved, span
from .tasks import Shares


def _given(one: Instruction) -> list[ValueId]:
    """Predictions, targets, and weights where there are some."""
    return [i for i in one.inputs if i is not None]


def _weights(one: Instruction, low: Lowering) -> Address | None:
    """Ones where an instruction has no weights."""
    return None if optional(one, 2) is not None else low.ones(low.size(_given(one)[0], 0))


def _total(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares]:
    """Probabilities, and the sum over rows of their losses, which each share begins."""
    low, ids = low.folded(one), _given(one)
    rows, columns = low.size(ids[0], 0), low.size(ids[0], 1)
    size = ByteCount(8 * low.shares)
    partial, even = span(low.memory.scratch(size), size), _weights(one, low)
    row: Shares = []
    for share, (start, stop) in enumerate(low.cuts(rows, 20.0 * rows * columns)):
        slot = span(moved(partial.start, ByteCount(8 * share)), ByteCount(8))
        reads = [low.part(i, start, stop) for i in ids]
        writes = [low.part(one.outputs[0], start, stop), slot]
        weights = reads[-1].start if even is None else even
        record = [
            reads[0].start, stop - start, columns, reads[1].start, weights, writes[0].start,
            slot.start,
        ]  # fmt: skip
        row.append(low.task(one.op, record, reads, writes))  # no rows: it writes a zero
    yield row
    out = low.whole(one.outputs[1])
    yield low.first("total", [partial.start, low.shares, out.start], [partial], [out])


indexed("softmax_cross_entropy")(_total)
rule("sigmoid_binary_cross_entropy")(_total)


@indexed("softmax_cross_entropy_backward")
def _labels_backward(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares]:
    low, ids = low.folded(one), _given(one)
    columns, even = low.size(ids[0], 1), _weights(one, low)

    def record(places: list[Address], rows: int, outs: list[Address]) -> list[int]:
        weights = places[-1] if even is None else even
        return [places[0], rows, columns, places[1], weights, outs[0]]

    work = 4.0 * length(low.specs[ids[0]])
    return low.rowwise(one.op, tuple(ids), one.outputs, record, work)


def _by_rows(
    low: Lowering, one: Instruction, step: str, numbers: tuple[int, ...], work: float
) -> Iterator[Shares]:
    """A step on rows, with weights or none. numbers: what stands before the output."""
    low, ids = low.folded(one), _given(one)
    columns = low.size(ids[0], 1)

    def record(places: list[Address], rows: int, outs: list[Address]) -> list[int]:
        weighted = rows if len(places) > 2 else 0
        return [places[0], rows, columns, places[1], places[-1], weighted, *numbers, outs[0]]

    return low.rowwise(step, tuple(ids), one.outputs, record, work * length(low.specs[ids[0]]))


@rule("sigmoid_binary_cross_entropy_backward", "mean_squared_error_backward")
def _difference(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares]:
    factor = 2.0 if one.op == "mean_squared_error_backward" else 1.0
    scale = bits(factor / low.size(_given(one)[0], -1))
    return _by_rows(low, one, "scaled_difference", (scale,), 1.0)


@rule("mean_squared_error")
def _squared(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares]:
    return _by_rows(low, one, one.op, (), 1.0)


def _of_probabilities(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares]:
    """Minus the logarithm of what is kept from zero by the smallest normal number."""
    return _by_rows(low, one, one.op, (bits(float(np.finfo(low.dtype).smallest_normal)),), 20.0)


indexed("cross_entropy")(_of_probabilities)
rule("binary_cross_entropy")(_of_probabilities)
