"""How the optimizer updates become steps, on flat segments in place."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from ...kernels import momentum
from ...kernels.memory import Address
from ...kernels.spec import length
from ..program import Instruction, ValueId
from .lowering import Lowering, Rule, Shares, bits, rule
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


def update(*names: str) -> Callable[[Rule], Rule]:
    """Registers how updates become steps, which leave those that are not in place to the walker."""

    def register(function: Rule) -> Rule:
        @wraps(function)
        def lower(
            low: Lowering, one: Instruction, attrs: dict[str, Any]
        ) -> Iterator[Shares] | None:
            return function(low, one, attrs) if _in_place(low, one) else None

        rule(*names)(lower)
        return function

    return register


def _flats(low: Lowering, one: Instruction) -> list[ValueId]:
    return [i for i in one.inputs if i is not None and low.specs[i].rank == 1]


def _numbers(low: Lowering, *numbers: float) -> Address:
    """Float64 numbers in memory that stays, where a slot holds but the program's dtype."""
    place = low.memory.scratch(ByteCount(8 * len(numbers)))
    (ctypes.c_double * len(numbers)).from_address(place)[:] = list(numbers)
    return place


@update("sgd_update")
def _sgd(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    return _update(low, _flats(low, one), "sgd", lambda p, n, now, _: [p[0], p[1], n, now])


@update("momentum_update", "nesterov_update")
def _momentum(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    factor, nesterov = bits(attrs["momentum"]), int(one.op == "nesterov_update")
    return _update(
        low, _flats(low, one), "momentum",
        lambda p, n, now, _: [p[0], p[1], n, now, p[2], factor, nesterov],
    )  # fmt: skip


@update("rmsprop_update")
def _rmsprop(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    tail = [bits(attrs["rho"]), bits(1.0 - attrs["rho"]), bits(attrs["epsilon"])]
    return _update(
        low, _flats(low, one), "rmsprop",
        lambda p, n, now, _: [p[0], p[1], n, now, p[2], *tail],
    )  # fmt: skip


@update("adam_update", "adamw_update")
def _adam(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    beta1, beta2, decay = attrs["beta1"], attrs["beta2"], attrs.get("weight_decay", 0.0)
    decayed = attrs.get("decayed", 0)
    tail = [bits(n) for n in (beta1, 1.0 - beta1, beta2, 1.0 - beta2, attrs["epsilon"])]
    wide = _numbers(low, beta1, beta2, decay)

    def record(p: list[Address], n: int, now: Address, start: int) -> list[int]:
        shrunk = min(max(decayed - start, 0), n) if decay else 0
        return [p[0], p[1], n, now, p[2], p[3], *tail, shrunk, wide]

    return _update(low, _flats(low, one), "adam", record)


@update("adagrad_update")
def _adagrad(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    tail = [bits(1.0), bits(1.0), bits(attrs["epsilon"])]
    return _update(
        low, _flats(low, one), "rmsprop",
        lambda p, n, now, _: [p[0], p[1], n, now, p[2], *tail],
    )  # fmt: skip


@update("amsgrad_update")
def _amsgrad(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    beta1, beta2 = attrs["beta1"], attrs["beta2"]
    tail = [bits(n) for n in (beta1, 1.0 - beta1, beta2, 1.0 - beta2, attrs["epsilon"])]
    wide = _numbers(low, beta1, beta2)
    return _update(
        low, _flats(low, one), "amsgrad",
        lambda p, n, now, _: [p[0], p[1], n, now, p[2], p[3], *tail, wide, p[4]],
    )  # fmt: skip


@update("nadam_update")
def _nadam(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    beta1, beta2, decay = attrs["beta1"], attrs["beta2"], attrs["momentum_decay"]
    tail = [bits(n) for n in (beta1, 1.0 - beta1, beta2, 1.0 - beta2, attrs["epsilon"])]
    wide, known = _numbers(low, beta1, beta2, momentum.BASE**decay), momentum.products(beta1, decay)
    table = _numbers(low, *known.tolist())
    return _update(
        low, _flats(low, one), "nadam",
        lambda p, n, now, _: [p[0], p[1], n, now, p[2], p[3], *tail, wide, table, len(known)],
    )  # fmt: skip


@update("lion_update")
def _lion(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    beta1, beta2 = attrs["beta1"], attrs["beta2"]
    tail = [bits(n) for n in (beta1, 1.0 - beta1, beta2, 1.0 - beta2)]
    return _update(
        low, _flats(low, one), "lion", lambda p, n, now, _: [p[0], p[1], n, now, p[2], *tail]
    )


@update("shrink")
def _shrink(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    decay, decayed = _numbers(low, attrs["weight_decay"]), attrs["decayed"]
    return _update(
        low, _flats(low, one), "shrink",
        lambda p, n, now, start: [p[0], min(max(decayed - start, 0), n), now, decay],
    )  # fmt: skip


@update("average_update")
def _average(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    decay, start, every = _numbers(low, attrs["decay"]), attrs["start"], attrs["every"]
    return _update(
        low, _flats(low, one), "average",
        lambda p, n, now, _: [p[0], p[1], n, now, decay, start, every],
    )  # fmt: skip


@update("keep")
def _keep(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    ids = [*_flats(low, one), *one.outputs]
    return _update(low, ids, "keep", lambda p, n, now, _: [p[0], p[1], n])


@update("assign")
def _assign(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    x, values = one.inputs
    assert x is not None
    assert values is not None
    source = low.whole(values)
    target = span(low.at(x), source.size)
    record = [source.start, source.size // 4, target.start]
    return iter([low.first("copy", record, [source], [target])])


@update("clip_norm")
def _clip(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (g,) = one.inputs
    assert g is not None
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


def _range(
    low: Lowering, one: Instruction, attrs: dict[str, Any], step: str, number: float
) -> Iterator[Shares] | None:
    """A step on [start, stop) of its first input, with the second one and a number."""
    x, other = one.inputs
    assert x is not None
    assert other is not None
    if attrs["stop"] > length(low.specs[x]):
        return None
    first, last = attrs["start"], attrs["stop"]
    row: Shares = []
    for start, stop in low.cuts(last - first, 2.0 * (last - first), 16):
        offset, size = low.bytes(first + start), low.bytes(stop - start)
        a, b = (span(moved(low.at(id), offset), size) for id in (x, other))
        record = [a.start, b.start, stop - start, bits(number)]
        made = low.task(step, record, [a, b], [a])
        row.append(None if start == stop else made)
    return iter([row])


@update("add_decay")
def _add_decay(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    return _range(low, one, attrs, "add_decay", attrs["coefficient"])


@update("rescale")
def _rescale(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    return _range(low, one, attrs, "rescale", attrs["factor"])
