"""How an operation on arrays of any rank becomes loops over axes: broadcasts, parts, orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from ...kernels import ops
from ...kernels.llvm.nest import Nest
from ...kernels.memory import Address
from ...kernels.rules import normal_axes
from ...kernels.spec import ITEMSIZE, concrete_attrs, length, normal_axis
from ..program import Instruction, ValueId
from .lowering import Lowering
from .spans import ByteCount, Span, moved, span
from .tasks import Shares

VECTOR = 64  # bytes of results that are worked on together


@dataclass(frozen=True)
class Array:
    """Where an array lies, and how far apart its elements are along each axis.

    span: all the memory that it may touch. known: the number that all of it is.
    """

    start: Address
    dtype: str
    distances: tuple[int, ...]
    span: Span
    known: Any = None


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """The distances of an array's elements, in row-major order."""
    products = [*accumulate(reversed(shape), lambda a, b: a * b, initial=1)]
    return tuple(reversed(products[:-1]))


def array(low: Lowering, id: ValueId) -> Array:
    """A value's memory as an array."""
    spec, known = low.specs[id], low.program.literal(id)
    shape = tuple(int(d) for d in spec.shape)  # type: ignore[arg-type]
    whole = span(low.at(id), ByteCount(length(spec) * ITEMSIZE[spec.dtype]))
    return Array(whole.start, spec.dtype, contiguous(shape), whole, known)


def shape_of(low: Lowering, id: ValueId) -> tuple[int, ...]:
    """A value's concrete shape."""
    return tuple(int(d) for d in low.specs[id].shape)  # type: ignore[arg-type]


def lower(low: Lowering, one: Instruction) -> list[Shares] | None:
    """The tasks of an operation, or None where loops over axes do not compute it."""
    ids = [i for i in one.inputs if i is not None]
    attrs = concrete_attrs(one.attrs, low.rows)
    out = one.outputs[0]
    shape, result = shape_of(low, out), array(low, out)
    if one.op in MOVES:
        return MOVES[one.op](low, [array(low, i) for i in ids], ids, attrs, result, shape)
    if one.op in ("sum", "mean", "max", "argmax"):
        return _reduce(low, one, array(low, ids[0]), attrs, result)
    if one.op == "one_hot":
        return None
    if ops.get(one.op).independent != "elements" or len(one.outputs) > 1:
        return None
    inputs = [broadcast(array(low, i), shape_of(low, i), shape) for i in ids]
    return loops(low, one.op, tuple(sorted(attrs.items())), inputs, result, shape)


def broadcast(one: Array, own: Sequence[int], shape: Sequence[int]) -> Array:
    """An array of a shape, repeated to another one."""
    more = len(shape) - len(own)
    distances = tuple(0 if d == 1 else s for d, s in zip(own, one.distances, strict=True))
    return replace(one, distances=(*[0] * more, *distances))


# What moves elements


def _whole(
    low: Lowering, inputs: list[Array], ids: list[ValueId], attrs: Any, result: Array,
    shape: tuple[int, ...],
) -> list[Shares]:  # fmt: skip
    """reshape: the same elements in a row."""
    count = length(low.specs[ids[0]])
    if inputs[0].start == result.start:
        return []  # the same memory, seen in another shape
    return loops(
        low, "copy", (), [replace(inputs[0], distances=(1,))], replace(result, distances=(1,)),
        (count,),
    )  # fmt: skip


def _repeat(
    low: Lowering, inputs: list[Array], ids: list[ValueId], attrs: Any, result: Array,
    shape: tuple[int, ...],
) -> list[Shares]:  # fmt: skip
    """broadcast_to."""
    own = broadcast(inputs[0], shape_of(low, ids[0]), shape)
    return loops(low, "copy", (), [own], result, shape)


def _transpose(
    low: Lowering, inputs: list[Array], ids: list[ValueId], attrs: Any, result: Array,
    shape: tuple[int, ...],
) -> list[Shares]:  # fmt: skip
    turned = tuple(inputs[0].distances[a] for a in attrs["axes"])
    return loops(low, "copy", (), [replace(inputs[0], distances=turned)], result, shape)


def _cut(one: Array, attrs: Any) -> Array:
    """A part of an array."""
    first = sum(s * d for s, d in zip(attrs["starts"], one.distances, strict=True))
    distances = tuple(s * d for s, d in zip(attrs["steps"], one.distances, strict=True))
    start = moved(one.start, ByteCount(first * ITEMSIZE[one.dtype]))
    return replace(one, start=start, distances=distances)


def _slice(
    low: Lowering, inputs: list[Array], ids: list[ValueId], attrs: Any, result: Array,
    shape: tuple[int, ...],
) -> list[Shares]:  # fmt: skip
    return loops(low, "copy", (), [_cut(inputs[0], attrs)], result, shape)


def _unslice(
    low: Lowering, inputs: list[Array], ids: list[ValueId], attrs: Any, result: Array,
    shape: tuple[int, ...],
) -> list[Shares]:  # fmt: skip
    zero = Array(Address(0), result.dtype, (0,) * len(shape), Span(Address(0), Address(0)), 0)
    cleared = loops(low, "copy", (), [zero], result, shape)
    own = shape_of(low, ids[0])
    return [*cleared, *loops(low, "copy", (), inputs, _cut(result, attrs), own)]


def _concatenate(
    low: Lowering, inputs: list[Array], ids: list[ValueId], attrs: Any, result: Array,
    shape: tuple[int, ...],
) -> list[Shares]:  # fmt: skip
    axis = normal_axis("concatenate", attrs["axis"], low.specs[ids[0]])
    found, at = [], 0
    for one, id in zip(inputs, ids, strict=True):
        own = shape_of(low, id)
        start = moved(result.start, ByteCount(at * result.distances[axis] * ITEMSIZE[result.dtype]))
        found += loops(low, "copy", (), [one], replace(result, start=start), own)
        at += own[axis]
    return found


MOVES = {
    "reshape": _whole, "broadcast_to": _repeat, "transpose": _transpose, "slice": _slice,
    "unslice": _unslice, "concatenate": _concatenate,
}  # fmt: skip


def _reduce(
    low: Lowering, one: Instruction, x: Array, attrs: dict[str, Any], result: Array
) -> list[Shares] | None:
    """Sums, means and maxima along axes."""
    id = one.inputs[0]
    assert id is not None
    own = shape_of(low, id)
    axes = normal_axes(one.op, low.specs[id], attrs)
    kept = [a for a in range(len(own)) if a not in axes]
    order = [*kept, *axes]
    divisor = 1
    for axis in axes:
        divisor *= own[axis]
    x = replace(x, distances=tuple(x.distances[a] for a in order))
    shape = tuple(own[a] for a in kept)
    result = replace(result, distances=contiguous(shape))
    return loops(
        low, one.op, (), [x], result, shape, tuple(own[a] for a in axes), divisor
    )  # fmt: skip


# The loops


def loops(
    low: Lowering, op: str, attrs: tuple[tuple[str, Any], ...], inputs: list[Array], result: Array,
    shape: tuple[int, ...], reduced: tuple[int, ...] = (), divisor: int = 1,
) -> list[Shares]:  # fmt: skip
    """Loops over the axes of a result, cut along the first of them."""
    if 0 in shape:
        return []
    arrays = [*inputs, result]
    lengths, distances = _merged(shape, [a.distances for a in arrays], len(reduced))
    kept = len(lengths)
    inner = [own[kept - 1] if kept else 0 for own in distances]
    width = max(1, VECTOR // ITEMSIZE[low.program.dtype])
    if not kept or inner[-1] != 1 or any(i not in (0, 1) for i in inner):
        width = 1
    nest = Nest(
        op, attrs, tuple(i.dtype for i in inputs), result.dtype, kept, len(reduced), width,
        tuple(inner[:-1]) if width > 1 else (0,) * len(inputs), tuple(i.known for i in inputs),
    )  # fmt: skip
    count = lengths[0] if kept else 1
    total = float(count)
    for other in (*lengths[1:], *reduced):
        total *= other
    cuts = low.cuts(count, total if kept else 0.0, width if kept == 1 else 1)
    row: Shares = []
    for start, stop in cuts:
        if stop == start:
            row.append(None)
            continue
        record = [*([stop - start, *lengths[1:]] if kept else []), *reduced]
        places = []
        for one, own in zip(arrays, distances, strict=True):
            first = own[0] * start if kept else 0
            place = moved(one.start, ByteCount(first * ITEMSIZE[one.dtype]))
            places.append(span(place, ByteCount(_reach(own, record) * ITEMSIZE[one.dtype])))
        slots = [*record]
        for place_of, own in zip(places, distances, strict=True):
            slots += [place_of.start, *own]
        slots.append(divisor)
        reads = [p for p, i in zip(places, inputs, strict=False) if i.known is None]
        made = low.task("loops", slots, reads, [places[-1]])
        made.code = nest
        row.append(made)
    return [row]


def _reach(distances: Sequence[int], lengths: Sequence[int]) -> int:
    """How many elements lie between an array's first one and the end of its last."""
    return 1 + sum(s * (n - 1) for s, n in zip(distances, lengths, strict=False))


def _merged(
    shape: tuple[int, ...], distances: list[tuple[int, ...]], reduced: int
) -> tuple[list[int], list[tuple[int, ...]]]:
    """The kept axes without those of length one, and neighbours as one where all arrays allow it.

    The distances along reduced axes follow unchanged.
    """
    lengths: list[int] = []
    steps: list[list[int]] = []  # for each axis that is left, of each array
    for axis, count in enumerate(shape):
        if count == 1:
            continue
        own = [d[axis] for d in distances]
        if lengths and all(a == b * count for a, b in zip(steps[-1], own, strict=True)):
            lengths[-1] *= count
            steps[-1] = own
        else:
            lengths.append(count)
            steps.append(own)
    found = [(*(s[which] for s in steps), *d[len(shape) :]) for which, d in enumerate(distances)]
    return lengths, found
