"""Operators that take and put elements at places."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ....kernels.spec import Rows
from ...graph.graph import Node, constant, make
from ..values import (
    Call,
    Tensor,
    Unknown,
    cast,
    ints,
    moved,
    operator,
    reshape,
    size_of,
    taken,
)
from .reductions import largest, product, smallest, total, within


def places(call: Call, at: int, length: int) -> Node | np.ndarray:
    """Indices from 0 on, of an input that may count from the end. Raises: CheckpointError."""
    given = call.tensor(at)
    if given.host is not None and not given.symbolic:
        host = given.host
        if host.dtype.kind not in "iu" or (
            host.size and not (-length <= host.min() and host.max() < length)
        ):
            raise call.refuse(f"its indices are not all in [-{length}, {length})")
        return np.where(host < 0, host + length, host).astype(np.int32)
    indices = call.node(at)
    return make("where", make("less", indices, 0), indices + length, indices)


@operator("Gather")
def _gather(call: Call) -> Node | Tensor:
    given = call.tensor(0)
    if given.words:
        return _words(call, given)
    x = call.node(0)
    axis = call.axis(x.ndim, call.attr("axis", 0))
    length = x.shape[axis]
    if isinstance(length, Rows):
        raise Unknown
    return taken(x, places(call, 1, length), axis)


def _words(call: Call, given: Tensor) -> Tensor:
    """Words at the places that a node says."""
    if given.host is None or given.host.ndim != 1:
        raise call.refuse("takes one list of words")
    index = call.node(1)
    return Tensor(chosen=(given.host, index))


@operator("GatherElements")
def _gather_elements(call: Call) -> Node:
    x = call.node(0)
    axis = call.axis(x.ndim, call.attr("axis", 0))
    length = size_of(x.shape, (axis,))
    found = places(call, 1, length)
    index = constant(found, "int32") if isinstance(found, np.ndarray) else found
    shape, whole = ints(index.shape), ints(x.shape)
    if len(shape) != len(whole):
        raise call.refuse(f"needs indices of as many axes as {x.spec}")
    flat = _offsets(call, index, shape, whole, axis)
    count = math.prod(whole)
    return reshape(
        make("gather_rows", reshape(x, (count,)), reshape(flat, (math.prod(shape),))), shape
    )


def _offsets(
    call: Call, index: Node, shape: tuple[int, ...], whole: tuple[int, ...], axis: int
) -> Node:
    """Places in the flat array of shape `whole`: the index along the axis, else where it stands."""
    strides = [math.prod(whole[a + 1 :]) for a in range(len(whole))]
    call.bounded((*shape, len(shape)), held=True)
    base = np.zeros(shape, np.int64)
    for a, places_of in enumerate(np.indices(shape)):
        base += 0 if a == axis else places_of * strides[a]
    return cast(index, "int64") * strides[axis] + constant(base)


@operator("GatherND")
def _gather_nd(call: Call) -> Node:
    x, index = call.node(0), call.node(1)
    batch = int(call.attr("batch_dims", 0))
    whole, shape = ints(x.shape), ints(index.shape)
    depth = shape[-1]
    if not 0 <= batch <= batch + depth <= len(whole) or shape[:batch] != whole[:batch]:
        raise call.refuse(f"its indices {index.spec} do not fit {x.spec}")
    flat = _flat_nd(call, index, whole, batch, shape)
    rows = reshape(x, (math.prod(whole[: batch + depth]), *whole[batch + depth :]))
    found = make("gather_rows", rows, flat)
    return reshape(found, (*shape[:-1], *whole[batch + depth :]))


def _flat_nd(
    call: Call, index: Node, whole: tuple[int, ...], batch: int, shape: tuple[int, ...]
) -> Node:
    """Row numbers, (k,), of tuples of places along the last axis."""
    depth = shape[-1]
    outer = whole[batch : batch + depth]
    lengths = constant(np.array(outer, np.int64))
    index = cast(index, "int64")
    index = make("where", make("less", index, 0), index + lengths, index)
    strides = np.array([math.prod(outer[a + 1 :]) for a in range(depth)], np.int64)
    lead = shape[:-1]
    flat = reshape(total(index * constant(strides), (index.ndim - 1,)), lead)
    call.bounded((*lead, len(lead) + 1), held=True)
    base = np.zeros(lead, np.int64)
    for a, places_of in enumerate(np.indices(lead)[:batch]):
        base += places_of * math.prod(whole[a + 1 : batch + depth])
    return reshape(flat + constant(base), (math.prod(lead),))


@operator("ScatterElements", "Scatter")
def _scatter_elements(call: Call) -> Node:
    x, updates = call.node(0), call.node(2)
    axis = call.axis(x.ndim, call.attr("axis", 0))
    whole = ints(x.shape)
    found = places(call, 1, whole[axis])
    index = constant(found, "int32") if isinstance(found, np.ndarray) else found
    shape = ints(index.shape)
    flat = _offsets(call, index, shape, whole, axis)
    count = math.prod(shape)
    return reshape(
        _put(call, reshape(x, (math.prod(whole),)), reshape(flat, (count,)),
             reshape(updates, (count,))), whole,
    )  # fmt: skip


@operator("ScatterND")
def _scatter_nd(call: Call) -> Node:
    x, index, updates = call.node(0), call.node(1), call.node(2)
    whole, shape = ints(x.shape), ints(index.shape)
    depth = shape[-1]
    flat = _flat_nd(call, index, whole, 0, shape)
    rows = (math.prod(whole[:depth]), *whole[depth:])
    given = reshape(updates, (math.prod(shape[:-1]), *whole[depth:]))
    return reshape(_put(call, reshape(x, rows), flat, given), whole)


def _put(call: Call, rows: Node, index: Node, updates: Node) -> Node:
    """The rows with others put at their places (no place twice), or joined with those there."""
    reduction = call.attr("reduction", "none")
    count, given = size_of(rows.shape, (0,)), size_of(index.shape, (0,))
    rest = ints(updates.shape[1:])
    call.bounded((count, given, *rest))
    ones = [1] * len(rest)
    hits = make("equal", reshape(index, (1, given)), np.arange(count)[:, None])
    hits = reshape(hits, (count, given, *ones))
    every = reshape(updates, (1, given, *rest))

    def joined(neutral: float, reduce: Callable[[Node, tuple[int, ...]], Node]) -> Node:
        found = make("where", hits, every, call.like(rows, neutral))
        return reshape(reduce(found, (1,)), rows.shape)

    least, most = within(rows.dtype, -np.inf), within(rows.dtype, np.inf)
    if reduction == "add":
        return rows + joined(0, total)
    if reduction == "mul":
        return rows * joined(1, product)
    if reduction == "max":
        return make("maximum", rows, joined(least, largest))
    if reduction == "min":
        return make("minimum", rows, joined(most, smallest))
    if reduction != "none":
        raise call.refuse(f"joins by {reduction!r}, which is not known")
    if not given:
        return rows
    put = make("max", cast(hits, "int32"), axis=(1,), keepdims=False)
    return make("where", make("greater", put, 0), joined(0, total), rows)


@operator("OneHot")
def _one_hot(call: Call) -> Node:
    indices, depth = call.node(0), int(call.number(1))
    pair = call.node(2)
    if pair.shape != (2,) or depth < 1:
        raise call.refuse("needs a depth from 1, and two values: off and on")
    axis = call.axis(indices.ndim + 1, call.attr("axis", -1))
    call.bounded((*indices.shape, depth))
    labels = cast(indices, "int64")
    labels = make("where", make("less", labels, 0), labels + depth, labels)
    column = reshape(labels, (*labels.shape, 1))
    hit = make("equal", column, constant(np.arange(depth, dtype=np.int64)))
    off, on = (make("slice", pair, starts=(i,), stops=(i + 1,), steps=(1,)) for i in (0, 1))
    made = make("where", hit, on, off)
    return moved(made, made.ndim - 1, axis)


@operator("Compress")
def _compress(call: Call) -> Node:
    x, chosen = call.node(0), call.host(1).astype(bool)
    axis = call.attr("axis")
    if axis is None:
        x, axis = reshape(x, (size_of(x.shape, range(x.ndim)),)), 0
    axis = call.axis(x.ndim, axis)
    found = np.flatnonzero(chosen).astype(np.int32)
    if chosen.ndim != 1 or len(chosen) > size_of(x.shape, (axis,)):
        raise call.refuse("chooses along an axis by one boolean for each place")
    return taken(x, found, axis)


@operator("ReverseSequence")
def _reverse_sequence(call: Call) -> Node:
    x, lengths = call.node(0), call.ints(1)
    time = call.axis(x.ndim, call.attr("time_axis", 0))
    batch = call.axis(x.ndim, call.attr("batch_axis", 1))
    steps = size_of(x.shape, (time,))
    if {time, batch} != {0, 1} or len(lengths) != x.shape[batch]:
        raise call.refuse("needs the time and the batch first, and one length for each row")
    if any(not 0 <= n <= steps for n in lengths):
        raise call.refuse(f"lengths are from 0 to {steps}")
    x = moved(x, batch, 0)
    whole = ints(x.shape)
    flat = reshape(x, (whole[0] * steps, *whole[2:]))
    order = [
        row * steps + (n - 1 - t if t < n else t)
        for row, n in enumerate(lengths)
        for t in range(steps)
    ]
    found = make("gather_rows", flat, constant(np.array(order, np.int32)))
    return moved(reshape(found, whole), 0, batch)
