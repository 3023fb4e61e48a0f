"""How operations element by element, sums and masks become steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ...kernels.numba.native.steps_elements import ARITHMETIC, COMPARISONS
from ...kernels.spec import ITEMSIZE, length
from ..program import Instruction, ValueId
from .lowering import Lowering, rule
from .spans import ByteCount, moved, span
from .tasks import Shares


def _strides(low: Lowering, id: ValueId, shape: tuple[int, int]) -> tuple[int, int] | None:
    """Strides along rows and columns of a value that is broadcast to a matrix."""
    own = tuple(int(d) for d in low.specs[id].shape)  # type: ignore[arg-type]
    if len(own) > 2:
        return None
    rows, columns = (1,) * (2 - len(own)) + own
    if rows not in (1, shape[0]) or columns not in (1, shape[1]):
        return None
    return (0 if rows == 1 else columns), (0 if columns == 1 else 1)


@rule(*ARITHMETIC, *COMPARISONS)
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
        first, second = _strides(low, x, shape), _strides(low, y, shape)
        if first is None or second is None:
            return None
        along = first, second
    kinds = {low.specs[x].dtype, low.specs[y].dtype}
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    if one.op in ARITHMETIC:
        if kind != low.dtype:
            return None
        step, tail = "arithmetic", []
    else:
        known = {low.dtype: 0, "int32": 1, "bool": 2}
        if kind not in known:
            return None
        step, tail = "compare", [known[kind]]
    table = ARITHMETIC if step == "arithmetic" else COMPARISONS
    return _elementwise_tasks(
        low, (step, table.index(one.op), tail), (x, y, out), shape, along
    )  # fmt: skip


def _elementwise_tasks(
    low: Lowering, step: tuple[str, int, list[int]], ids: tuple[ValueId, ValueId, ValueId],
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
            place = moved(low.at(id), ByteCount(start * down * item))
            last = (stop - start - 1) * down + (columns - 1) * across
            places.append(place)
            reads.append(span(place, ByteCount((last + 1) * item)))
        width = columns * size[2]
        first = moved(low.at(ids[2]), ByteCount(start * width))
        write = span(first, ByteCount((stop - start) * width))
        record = [
            code, write.start, stop - start, columns, places[0], *along[0], places[1], *along[1],
            *tail,
        ]  # fmt: skip
        row.append(low.task(name, record, reads, [write]))
    yield row


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
