"""How operations element by element, casts, sums and broadcasts become steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...kernels.numba.native.steps_elements import ARITHMETIC, COMPARISONS
from ...kernels.spec import ITEMSIZE, length
from ..program import Instruction, ValueId
from .lowering import Lowering, rule
from .spans import ByteCount, Span, moved, span
from .tasks import Shares


@rule(*ARITHMETIC, *COMPARISONS)
def _elementwise(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    """One long row, where nothing is broadcast."""
    ids = [i for i in (*one.inputs, *one.outputs) if i is not None]
    x, y, out = (low.specs[i] for i in ids)
    if not x.shape == y.shape == out.shape or x.dtype != y.dtype:
        return None
    if one.op in ARITHMETIC:
        if x.dtype != low.dtype:
            return None
        return _elementwise_tasks(low, "arithmetic", [ARITHMETIC.index(one.op)], ids)
    known = {low.dtype: 0, "int32": 1, "bool": 2}
    if x.dtype not in known:
        return None
    return _elementwise_tasks(low, "compare", [COMPARISONS.index(one.op), known[x.dtype]], ids)


def _elementwise_tasks(
    low: Lowering, step: str, words: list[int], ids: list[ValueId]
) -> Iterator[Shares]:
    row: Shares = []
    count = length(low.specs[ids[-1]])
    for start, stop in low.cuts(count, float(count), 64):
        if start == stop:
            row.append(None)
            continue
        *reads, write = (_part(low, id, start, stop) for id in ids)
        record = [*words, stop - start, *(p.start for p in (*reads, write))]
        row.append(low.task(step, record, reads, [write]))
    yield row


def _part(low: Lowering, id: ValueId, start: int, stop: int) -> Span:
    """The memory of some of a value's elements, in their order."""
    item = ITEMSIZE[low.specs[id].dtype]
    return span(moved(low.at(id), ByteCount(start * item)), ByteCount((stop - start) * item))


@rule("cast")
def _cast(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (x,), out = one.inputs, one.outputs[0]
    assert x is not None
    if low.specs[x].dtype != "bool" or low.specs[out].dtype != low.dtype:
        return None
    source, target = low.whole(x), low.whole(out)
    record = [source.start, length(low.specs[out]), target.start]
    return iter([low.first("cast_boolean", record, [source], [target])])


@rule("sum", "mean")
def _sum(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (x,), out = one.inputs, one.outputs[0]
    assert x is not None
    if attrs["axis"] is not None or low.specs[x].dtype != low.dtype:
        return None
    source, target, count = low.whole(x), low.whole(out), length(low.specs[x])
    record = [source.start, count, target.start, 1 if one.op == "sum" else count]
    return iter([low.first("sum_all", record, [source], [target])])


@rule("reshape")
def _reshape(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (x,), out = one.inputs, one.outputs[0]
    assert x is not None
    source, target = low.whole(x), low.whole(out)
    if source.start == target.start:
        return iter([])  # the same memory, seen in another shape
    if source.size % 4:
        return None
    record = [source.start, source.size // 4, target.start]
    return iter([low.first("copy", record, [source], [target])])


@rule("broadcast_to")
def _broadcast(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (x,), out = one.inputs, one.outputs[0]
    assert x is not None
    if length(low.specs[x]) != 1 or low.specs[x].dtype != low.dtype:
        return None
    source, target = low.whole(x), low.whole(out)
    record = [source.start, length(low.specs[out]), target.start]
    return iter([low.first("fill", record, [source], [target])])
