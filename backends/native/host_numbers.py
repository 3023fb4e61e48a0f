"""Numbers that the host gives to each step, or that a program computes: where steps find them.

Steps read the learning rate and the number of the step from their share's now-record, and the seed
from the control record. An instruction whose numbers are other values gets records of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...kernels import ops, philox
from ...kernels.numba.native.slots import NOW_SLOTS, RATE, SEED, STEP
from ...kernels.numba.native.steps_data import NUMBERS
from ...kernels.spec import length
from ..program import Instruction, ValueId
from .lowering import Lowering, bits, optional, rule
from .spans import ByteCount, Span, moved, span
from .tasks import Shares

# Inputs of operations -> what is added to them for the slot of the step, which counts from 1.
STEPS = {"step": 0, "counter": 1}


class Now:
    """Where the steps of an instruction find its numbers.

    places: of the now-record, for each share. control: of the control record. reads: the memory
    that such records are made in, if they are.
    """

    def __init__(self, low: Lowering, one: Instruction) -> None:
        self.places, self.control = low.memory.now, low.memory.control
        self.reads: list[Span] = []
        row = ops.get(one.op)
        given = {name: i for name, i in zip(row.inputs, one.inputs, strict=False) if i is not None}
        names = ("learning_rate", "seed", *STEPS)
        numbers = {name: given[name] for name in names if name in given}
        if all(_control(low, id) == name for name, id in numbers.items()):
            return
        size = ByteCount(8 * (NOW_SLOTS + SEED + 1))
        made = span(low.memory.scratch(size), size)
        self.places, self.reads = [made.start] * low.shares, [made]
        self.control = moved(made.start, ByteCount(8 * NOW_SLOTS))
        record: list[int] = [made.start, self.control]
        reads = [low.whole(id) for id in numbers.values() if not _control(low, id)]
        step = next((name for name in STEPS if name in numbers), None)
        record += _number(low, numbers.get("learning_rate"))[:2]
        address, kind, shift = _number(low, numbers.get(step) if step else None)
        record += [address, kind, shift + STEPS.get(step or "", 0)]
        record += _number(low, numbers.get("seed"))[:2]
        low.before.append(low.first("numbers", record, reads, [made]))


def _control(low: Lowering, id: ValueId) -> str:
    """Which number of the host a value is, or ""."""
    value = low.program.values[id]
    return value.source if value.kind == "control" else ""


def _number(low: Lowering, id: ValueId | None) -> list[int]:
    """Where a number stands, its dtype, and what is added to it; address 0 where there is none."""
    if id is None:
        return [0, 0, 0]
    source, now = _control(low, id), low.memory.now[0]
    if source == "learning_rate":
        return [moved(now, ByteCount(8 * RATE)), NUMBERS.index("float64"), 0]
    if source == "seed":
        return [moved(low.memory.control, ByteCount(8 * SEED)), NUMBERS.index("int64"), 0]
    if source:
        return [moved(now, ByteCount(8 * STEP)), NUMBERS.index("int64"), -STEPS[source]]
    return [low.at(id), NUMBERS.index(low.specs[id].dtype), 0]


@rule("dropout_mask")
def _dropout(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    out, first = one.outputs[0], optional(one, 2)
    known = 0 if first is None else low.program.literal(first)
    if first is not None and known is None and _control(low, first) != "first_row":
        return None
    now, memory = Now(low, one), low.memory
    a_row = 0 if first is None else length(low.specs[out]) // max(low.size(out, 0), 1)
    before, each = (0, a_row) if known is None else (known * a_row, 0)
    count, row = length(low.specs[out]), Shares()
    threshold, scale = philox.threshold(attrs["rate"]), bits(1.0 / (1.0 - attrs["rate"]))
    stream = attrs["stream"] & philox.WORD
    for share, (start, stop) in enumerate(low.cuts(count, 30.0 * count, 16)):
        write = span(moved(low.at(out), low.bytes(start)), low.bytes(stop - start))
        record = [
            now.places[share], now.control, stream, threshold, scale, before + start, write.start,
            stop - start, each, memory.now[share], memory.control,
        ]  # fmt: skip
        made = low.task("dropout_mask", record, now.reads, [write])
        row.append(None if start == stop else made)
    return iter([row])
