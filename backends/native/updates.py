"""How the optimizer updates become steps, on flat segments in place."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

from ...kernels.memory import Address
from ...kernels.spec import length
from ..program import Instruction, ValueId
from .lowering import Lowering, Shares, bits, rule
from .spans import ByteCount, moved, span


def _update(
    low: Lowering, ids: list[ValueId], step: str, record: Callable[..., list[int]]
) -> Iterator[Shares]:
    """A step over flat segments; record: (addresses, elements, now, first element) -> slots."""
    for cuts in low.owned():
        row: Shares = []
        for share, (start, stop) in enumerate(cuts):
            if start == stop:
                row.append(None)
                continue
            places = [moved(low.at(i), low.bytes(start)) for i in ids]
            spans = [span(place, low.bytes(stop - start)) for place in places]
            slots = record(places, stop - start, low.memory.now[share], start)
            row.append(low.task(step, slots, spans, spans))
        yield row


def _in_place(low: Lowering, one: Instruction) -> bool:
    """Whether it works on segments of the state: what a step writes is then what it reads."""
    kinds = {low.program.values[i].kind for i in (*one.inputs, *one.outputs) if i is not None}
    return kinds <= {"flat", "control"}


def _flats(low: Lowering, one: Instruction) -> list[ValueId]:
    return [i for i in one.inputs if i is not None and low.specs[i].rank == 1]


@rule("sgd_update")
def _sgd(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    if not _in_place(low, one):
        return None
    return _update(low, _flats(low, one), "sgd", lambda p, n, now, _: [p[0], p[1], n, now])


@rule("momentum_update", "nesterov_update")
def _momentum(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    if not _in_place(low, one):
        return None
    factor, nesterov = bits(attrs["momentum"]), int(one.op == "nesterov_update")
    return _update(
        low, _flats(low, one), "momentum",
        lambda p, n, now, _: [p[0], p[1], n, now, p[2], factor, nesterov],
    )  # fmt: skip


@rule("rmsprop_update")
def _rmsprop(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    if not _in_place(low, one):
        return None
    tail = [bits(attrs["rho"]), bits(1.0 - attrs["rho"]), bits(attrs["epsilon"])]
    return _update(
        low, _flats(low, one), "rmsprop",
        lambda p, n, now, _: [p[0], p[1], n, now, p[2], *tail],
    )  # fmt: skip


@rule("adam_update", "adamw_update")
def _adam(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    if not _in_place(low, one):
        return None
    beta1, beta2, decay = attrs["beta1"], attrs["beta2"], attrs.get("weight_decay", 0.0)
    decayed = attrs.get("decayed", 0)
    tail = [bits(n) for n in (beta1, 1.0 - beta1, beta2, 1.0 - beta2, attrs["epsilon"])]
    wide = low.memory.scratch(ByteCount(24))
    for slot, number in enumerate((beta1, beta2, decay)):
        _poke(moved(wide, ByteCount(8 * slot)), number)

    def record(p: list[Address], n: int, now: Address, start: int) -> list[int]:
        shrunk = min(max(decayed - start, 0), n) if decay else 0
        return [p[0], p[1], n, now, p[2], p[3], *tail, 0, shrunk, wide]

    return _update(low, _flats(low, one), "adam", record)


def _poke(address: Address, number: float) -> None:
    """Writes a float64 at an address."""
    ctypes.c_double.from_address(address).value = number


@rule("clip_norm")
def _clip(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (g,) = one.inputs
    assert g is not None
    if not _in_place(low, one):
        return None
    return _clip_tasks(low, g, bits(attrs["maximum"]))


def _clip_tasks(low: Lowering, g: ValueId, maximum: int) -> Iterator[Shares]:
    size = ByteCount(8 * low.shares)
    sums = span(low.memory.scratch(size), size)
    count = length(low.specs[g])
    cuts = low.cuts(count, 4.0 * count, 64)
    first: Shares = []
    second: Shares = []
    for share, (start, stop) in enumerate(cuts):
        part = span(moved(low.at(g), low.bytes(start)), low.bytes(stop - start))
        slot = span(moved(sums.start, ByteCount(8 * share)), ByteCount(8))
        record = [part.start, stop - start, slot.start]
        first.append(low.task("squares", record, [part], [slot]))
        record = [part.start, stop - start, sums.start, low.shares, maximum]
        made = low.task("clip", record, [part, sums], [part])
        second.append(None if start == stop else made)
    yield first
    yield second


@rule("add_decay")
def _add_decay(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    g, p = one.inputs
    assert g is not None
    assert p is not None
    if not _in_place(low, one) or attrs["stop"] > length(low.specs[g]):
        return None
    first, last, factor = attrs["start"], attrs["stop"], bits(attrs["coefficient"])
    row: Shares = []
    for start, stop in low.cuts(last - first, 2.0 * (last - first), 16):
        offset, size = low.bytes(first + start), low.bytes(stop - start)
        a, b = (span(moved(low.at(id), offset), size) for id in (g, p))
        record = [a.start, b.start, stop - start, factor]
        made = low.task("add_decay", record, [a, b], [a])
        row.append(None if start == stop else made)
    return iter([row])
