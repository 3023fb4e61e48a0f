"""How operations that work by number become steps, and how computed numbers are looked at.

Steps look at no index. What comes from data is checked where rows are given to a binding; what a
step computes is looked at by another before it is read, which stops the run as a loss does that is
not finite: `bounds.py` says which is which. That step makes its own copy of the indices, in which
one that is out of range is 0, so whatever else is done in that batch stays within its arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import numpy as np

from ...kernels.memory import Address
from ...kernels.numba.native.slots import EARLY, LATE
from ...kernels.numba.native.steps_data import NUMBERS
from ...kernels.spec import ITEMSIZE, length
from .. import bounds
from ..program import Instruction, ValueId
from .lowering import Lowering, Rule, rule
from .spans import ByteCount, moved, span
from .tasks import Look, Shares

LARGEST = 2**31  # what indices in 32 bits are below
NARROW = 16  # columns of a sum of rows, for each share, below which rows are shared out instead


def indexed(*names: str) -> Callable[[Rule], Rule]:
    """Registers how operations with indices become steps, which find them as int32 in range."""

    def register(function: Rule) -> Rule:
        @wraps(function)
        def lower(
            low: Lowering, one: Instruction, attrs: dict[str, Any]
        ) -> Iterator[Shares] | None:
            id, limit = bounds.index(low.program, one, low.rows)
            if limit > LARGEST:
                return None
            low = _counted(low, id, limit)
            return function(low, one, attrs) if low.full(one) else low.clear(*one.outputs)

        rule(*names, empty=True)(lower)
        return function

    return register


def _counted(low: Lowering, id: ValueId, limit: int) -> Lowering:
    """The same, with a value of indices as int32 that are known to be in [0, limit)."""
    unknown = (id, limit) in low.computed
    if low.specs[id].dtype == "int32" and not unknown:
        return low
    if (id, limit) not in low.indices:
        place = low.memory.scratch(ByteCount(4 * length(low.specs[id])))
        low.before.append(_copies(low, id, limit if unknown else None, place))
        low.indices[id, limit] = place
    return low.at_place(id, low.indices[id, limit], "int32")


def _copies(low: Lowering, id: ValueId, limit: int | None, place: Address) -> Shares:
    """Steps that make indices int32; limit: what those that are looked at must be below."""
    spec, program, row = low.specs[id], low.program, Shares()
    kind, item = NUMBERS.index(spec.dtype), ITEMSIZE[spec.dtype]
    found = Address(0)
    if limit is not None:
        found = low.memory.scratch(ByteCount(24 * low.shares))
        low.looks.append(Look(low.owner, found))
    early = bool(program.sums) and low.owner < len(program.forward)
    for share, (start, stop) in enumerate(low.cuts(length(spec), length(spec))):
        size = stop - start
        read = span(moved(low.at(id), ByteCount(item * start)), ByteCount(item * size))
        write = span(moved(place, ByteCount(4 * start)), ByteCount(4 * size))
        record = [
            read.start, kind, size, write.start, int(limit is not None), limit or 0,
            low.memory.now[share], low.memory.control, EARLY if early else LATE, start,
            moved(found, ByteCount(24 * share)) if found else 0,
        ]  # fmt: skip
        row.append(low.task("indices", record, [read], [write]) if size else None)
    return row


def _row_bytes(low: Lowering, x: ValueId) -> ByteCount:
    """The size of one index of the leading axis."""
    return ByteCount(low.whole(x).size // low.size(x, 0))


@indexed("gather_rows")
def _gather(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    x, indices = one.inputs
    assert x is not None
    assert indices is not None
    size, whole = _row_bytes(low, x), low.whole(x)
    row: Shares = []
    for start, stop in low.cuts(low.size(indices, 0), length(low.specs[one.outputs[0]])):
        chosen, write = low.part(indices, start, stop), low.part(one.outputs[0], start, stop)
        record = [whole.start, size, chosen.start, stop - start, write.start]
        made = low.task("gather_rows", record, [whole, chosen], [write])
        row.append(None if start == stop else made)
    return iter([row])


@indexed("scatter_rows")
def _scatter(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    x, indices = one.inputs
    assert x is not None
    assert indices is not None
    low = low.typed(low.specs[x].dtype)
    rows, targets, count = low.size(x, 0), low.size(one.outputs[0], 0), length(low.specs[x])
    columns = count // rows
    wide = columns >= NARROW * low.shares
    row: Shares = []
    for start, stop in low.cuts(columns if wide else targets, count, NARROW if wide else 1):
        reads, write = [low.whole(x), low.whole(indices)], low.whole(one.outputs[0])
        ends = [0, targets, start, stop - start] if wide else [start, stop, 0, columns]
        record = [
            reads[0].start, rows, columns, reads[1].start, write.start, targets, *ends,
            int(low.dtype == "bool"),
        ]  # fmt: skip
        if not wide:
            write = low.part(one.outputs[0], start, stop)
        row.append(None if start == stop else low.task("scatter_rows", record, reads, [write]))
    return iter([row])


@indexed("pick")
def _pick(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    x, labels = one.inputs
    assert x is not None
    assert labels is not None
    low = low.folded(one)
    columns, item = low.size(x, 1), ITEMSIZE[low.specs[x].dtype]
    return low.rowwise(
        "pick", (x, labels), one.outputs,
        lambda p, n, o: [p[0], n, columns, p[1], o[0], item], low.size(x, 0),
    )  # fmt: skip


@indexed("one_hot")
def _one_hot(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (labels,), out = one.inputs, one.outputs[0]
    assert labels is not None
    low = low.folded(one)
    kind, classes = low.specs[out].dtype, low.size(out, 1)
    item = ITEMSIZE[kind]
    bits = int(np.ones((), kind).view(f"int{8 * item}"))
    return low.rowwise(
        "one_hot", (labels,), one.outputs,
        lambda p, n, o: [p[0], n, classes, o[0], item, bits], length(low.specs[out]),
    )  # fmt: skip
