"""How operations element by element, sums and masks become steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ...kernels import philox
from ...kernels.numba.native.steps_elements import ARITHMETIC, COMPARISONS
from ...kernels.spec import ITEMSIZE, length
from ..program import Instruction
from .lowering import Lowering, Shares, bits, rule


def _steps(low: Lowering, id: int, shape: tuple[int, int]) -> tuple[int, int] | None:
    """Steps along rows and columns of a value that is broadcast to a matrix."""
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
        first, second = _steps(low, x, shape), _steps(low, y, shape)
        if first is None or second is None:
            return None
        along = first, second
    kinds = {low.specs[x].dtype, low.specs[y].dtype}
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    if one.op in ARITHMETIC:
        if kind != low.program.dtype:
            return None
        step, tail = "arithmetic", []
    else:
        known = {low.program.dtype: 0, "int32": 1, "bool": 2}
        if kind not in known:
            return None
        step, tail = "compare", [known[kind]]
    table = ARITHMETIC if step == "arithmetic" else COMPARISONS
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
