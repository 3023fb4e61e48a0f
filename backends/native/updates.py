"""How the optimizer updates become steps, on flat segments in place and on arrays of one's own."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

from ...kernels import momentum, ops
from ...kernels.memory import Address
from ...kernels.spec import length
from ..program import Instruction, ValueId
from .host_numbers import Now
from .lowering import Lowering, Rule, bits, rule
from .spans import ByteCount, Cut, moved, span
from .tasks import Shares

# Instructions of an update that change no element by what others are, or that read no parameter:
# of these each process can do a part.
IN_PARTS = {"clip_norm"}


def update_rule(*names: str) -> Callable[[Rule], Rule]:
    """`rule` for instructions that work on elements of flat segments."""
    IN_PARTS.update(names)
    return rule(*names)


def _in_place(low: Lowering, one: Instruction) -> bool:
    """Whether it works on segments of the state, which each share updates a part of."""
    kinds = {low.program.values[i].kind for i in (*one.inputs, *one.outputs) if i is not None}
    return kinds <= {"flat", "control"}


def _owners(low: Lowering, one: Instruction) -> dict[ValueId, ValueId]:
    """Flat inputs that become outputs: steps write them where they lie."""
    places = ops.get(one.op).overwrites
    found = {}
    for out, sources in zip(one.outputs, places, strict=False):
        source = one.inputs[sources[0]]
        assert source is not None
        found[source] = out
    return found


def _copied(low: Lowering, one: Instruction, cuts: list[Cut]) -> Iterator[Shares]:
    """Brings what is to be updated to where the outputs lie, if that is somewhere else.

    cuts: of the elements, whatever the rank.
    """
    for source, out in _owners(low, one).items():
        if low.at(source) == low.at(out):
            continue
        row: Shares = []
        for start, stop in cuts:
            first, size = low.bytes(start), low.bytes(stop - start)
            read, write = (span(moved(low.at(i), first), size) for i in (source, out))
            record = [read.start, size // 4, write.start]
            row.append(low.task("copy", record, [read], [write]) if size else None)
        yield row


def _flats(low: Lowering, one: Instruction) -> list[ValueId]:
    """The flat inputs, each where it becomes an output."""
    owners = _owners(low, one)
    return [owners.get(i, i) for i in one.inputs if i is not None and low.specs[i].rank == 1]


def _update(
    low: Lowering, one: Instruction, step: str, record: Callable[..., list[int]],
    ids: list[ValueId] | None = None,
) -> Iterator[Shares]:  # fmt: skip
    """A step over flat arrays; record: (addresses, elements, now, first element) -> slots."""
    ids = _flats(low, one) if ids is None else ids
    now = Now(low, one)
    count = length(low.specs[ids[0]])
    for cuts in low.owned() if _in_place(low, one) else [low.cuts(count, 4.0 * count, 16)]:
        yield from _copied(low, one, cuts)
        row: Shares = []
        for share, (start, stop) in enumerate(cuts):
            if start == stop:
                row.append(None)
                continue
            places = [moved(low.at(i), low.bytes(start)) for i in ids]
            spans = [span(place, low.bytes(stop - start)) for place in places]
            writes = [part for i, part in zip(ids, spans, strict=True) if i in one.outputs]
            slots = record(places, stop - start, now.places[share], start)
            row.append(low.task(step, slots, [*spans, *now.reads], writes))
        yield row


def _numbers(low: Lowering, *numbers: float) -> Address:
    """Float64 numbers in memory that stays, where a slot holds but the program's dtype."""
    place = low.memory.scratch(ByteCount(8 * len(numbers)))
    (ctypes.c_double * len(numbers)).from_address(place)[:] = list(numbers)
    return place


@update_rule("sgd_update")
def _sgd(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    return _update(low, one, "sgd", lambda p, n, now, _: [p[0], p[1], n, now])


@update_rule("momentum_update", "nesterov_update")
def _momentum(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    factor, nesterov = bits(attrs["momentum"]), int(one.op == "nesterov_update")
    return _update(
        low, one, "momentum",
        lambda p, n, now, _: [p[0], p[1], n, now, p[2], factor, nesterov],
    )  # fmt: skip


@update_rule("rmsprop_update")
def _rmsprop(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    tail = [bits(attrs["rho"]), bits(1.0 - attrs["rho"]), bits(attrs["epsilon"])]
    return _update(
        low, one, "rmsprop",
        lambda p, n, now, _: [p[0], p[1], n, now, p[2], *tail],
    )  # fmt: skip


@update_rule("adam_update", "adamw_update")
def _adam(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    beta1, beta2, decay = attrs["beta1"], attrs["beta2"], attrs.get("weight_decay", 0.0)
    decayed = attrs.get("decayed", 0)
    tail = [bits(n) for n in (beta1, 1.0 - beta1, beta2, 1.0 - beta2, attrs["epsilon"])]
    wide = _numbers(low, beta1, beta2, decay)

    def record(p: list[Address], n: int, now: Address, start: int) -> list[int]:
        shrunk = min(max(decayed - start, 0), n) if decay else 0
        return [p[0], p[1], n, now, p[2], p[3], *tail, shrunk, wide]

    return _update(low, one, "adam", record)


@update_rule("adagrad_update")
def _adagrad(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    tail = [bits(1.0), bits(1.0), bits(attrs["epsilon"])]
    return _update(
        low, one, "rmsprop",
        lambda p, n, now, _: [p[0], p[1], n, now, p[2], *tail],
    )  # fmt: skip


@update_rule("amsgrad_update")
def _amsgrad(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    beta1, beta2 = attrs["beta1"], attrs["beta2"]
    tail = [bits(n) for n in (beta1, 1.0 - beta1, beta2, 1.0 - beta2, attrs["epsilon"])]
    wide = _numbers(low, beta1, beta2)
    return _update(
        low, one, "amsgrad",
        lambda p, n, now, _: [p[0], p[1], n, now, p[2], p[3], *tail, wide, p[4]],
    )  # fmt: skip


@update_rule("nadam_update")
def _nadam(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    beta1, beta2, decay = attrs["beta1"], attrs["beta2"], attrs["momentum_decay"]
    tail = [bits(n) for n in (beta1, 1.0 - beta1, beta2, 1.0 - beta2, attrs["epsilon"])]
    wide, known = _numbers(low, beta1, beta2, momentum.BASE**decay), momentum.products(beta1, decay)
    table = _numbers(low, *known.tolist())
    return _update(
        low, one, "nadam",
        lambda p, n, now, _: [p[0], p[1], n, now, p[2], p[3], *tail, wide, table, len(known)],
    )  # fmt: skip


@update_rule("lion_update")
def _lion(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    beta1, beta2 = attrs["beta1"], attrs["beta2"]
    tail = [bits(n) for n in (beta1, 1.0 - beta1, beta2, 1.0 - beta2)]
    return _update(low, one, "lion", lambda p, n, now, _: [p[0], p[1], n, now, p[2], *tail])


@update_rule("shrink")
def _shrink(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    decay, decayed = _numbers(low, attrs["weight_decay"]), attrs["decayed"]
    return _update(
        low, one, "shrink",
        lambda p, n, now, start: [p[0], min(max(decayed - start, 0), n), now, decay],
    )  # fmt: skip


@update_rule("average_update")
def _average(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    decay, start, every = _numbers(low, attrs["decay"]), attrs["start"], attrs["every"]
    return _update(
        low, one, "average",
        lambda p, n, now, _: [p[0], p[1], n, now, decay, start, every],
    )  # fmt: skip


@update_rule("keep")
def _keep(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    ids = [*_flats(low, one), *one.outputs]
    return _update(low, one, "keep", lambda p, n, now, _: [p[0], p[1], n], ids)


@rule("assign")
def _assign(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares]:
    _, values = one.inputs
    assert values is not None
    yield from _copied(low, one, [(0, low.size(one.outputs[0], 0))] + [(0, 0)] * (low.shares - 1))
    source = low.whole(values)
    target = span(low.at(one.outputs[0]), source.size)
    record = [source.start, source.size // 4, target.start]
    yield low.first("copy", record, [source], [target])


@rule("clip_norm")
def _clip(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    return _clip_tasks(low, one, bits(attrs["maximum"]))


def _clip_tasks(low: Lowering, one: Instruction, maximum: int) -> Iterator[Shares]:
    g = one.outputs[0]
    size = ByteCount(8 * low.shares)
    sums = span(low.memory.scratch(size), size)
    count = length(low.specs[g])
    cuts = low.cuts(count, 4.0 * count, 64)
    yield from _copied(low, one, cuts)
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
) -> Iterator[Shares]:
    """A step on [start, stop) of its first input, with the second one and a number."""
    ids, count = _flats(low, one), length(low.specs[one.outputs[0]])
    begin, end = low.updated or (0, count)
    cuts = [(begin + a, begin + b) for a, b in low.cuts(end - begin, 2.0 * (end - begin), 16)]
    yield from _copied(low, one, cuts)
    first, last = max(attrs["start"], begin), min(attrs["stop"], end)
    last = max(first, last)
    row: Shares = []
    for start, stop in low.cuts(last - first, 2.0 * (last - first), 16):
        offset, size = low.bytes(first + start), low.bytes(stop - start)
        a, b = (span(moved(low.at(id), offset), size) for id in ids)
        record = [a.start, b.start, stop - start, bits(number)]
        made = low.task(step, record, [a, b], [a])
        row.append(None if start == stop else made)
    yield row


@update_rule("add_decay")
def _add_decay(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    return _range(low, one, attrs, "add_decay", attrs["coefficient"])


@update_rule("rescale")
def _rescale(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    return _range(low, one, attrs, "rescale", attrs["factor"])
