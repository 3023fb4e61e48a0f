"""Reductions over axes, and the places of the largest and the smallest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ....kernels.spec import Rows
from ...graph.graph import Node, make
from ..values import Call, Unknown, cast, cut, operator, real, reshape, size_of, taken


def _reduction(compute: Callable[[Node, tuple[int, ...]], Node], nothing: float | None) -> Any:
    """An operator of the family Reduce...

    compute: reduces a node over axes, which stay as ones. nothing: the result of no elements.
    """

    def apply(call: Call) -> Node:
        x = call.node(0)
        found = call.axes(x.ndim)
        if not found and call.attr("noop_with_empty_axes", 0):
            axes: tuple[int, ...] = ()
        else:
            axes = tuple(sorted(set(found))) if found else tuple(range(x.ndim))
        if any(x.shape[a] == 0 for a in axes):
            shape = tuple(1 if a in axes else d for a, d in enumerate(x.shape))
            if nothing is None:
                raise call.refuse("of an empty axis has no value")
            made = make("broadcast_to", call.like(x, within(x.dtype, nothing)), shape=shape)
            call.bounded(shape)
        else:
            made = compute(x, axes)
        if call.attr("keepdims", 1):
            return made
        return reshape(made, [d for a, d in enumerate(made.shape) if a not in axes])

    return apply


def within(dtype: str, value: float) -> float:
    """A number, infinities as the last ones of a dtype that has none."""
    if real(dtype) or np.isfinite(value):
        return value
    if dtype == "bool":
        return float(value > 0)
    limits = np.iinfo(dtype)
    return limits.max if value > 0 else limits.min


def largest(x: Node, axes: tuple[int, ...]) -> Node:
    """The largest number over axes, which stay as ones."""
    if x.dtype == "bool":
        return cast(largest(cast(x, "int32"), axes), "bool")
    return make("max", x, axis=axes, keepdims=True) if axes else x


def _mean(x: Node, axes: tuple[int, ...]) -> Node:
    return make("mean", x, axis=axes, keepdims=True) if axes else x


def product(x: Node, axes: tuple[int, ...]) -> Node:
    """The product over axes, which stay as ones."""
    return _paired(x, axes, "multiply")


def smallest(x: Node, axes: tuple[int, ...]) -> Node:
    """The smallest number over axes, which stay as ones."""
    if x.dtype == "bool":
        return cast(smallest(cast(x, "int32"), axes), "bool")
    if not axes:
        return x
    return mirrored(make("max", mirrored(x), axis=axes, keepdims=True))


def mirrored(x: Node) -> Node:
    """The same numbers in the opposite order, so that nothing overflows."""
    if real(x.dtype):
        return -x
    if x.dtype.startswith("u"):
        return make("subtract", int(np.iinfo(x.dtype).max), x)
    return make("subtract", -1, x)


def total(x: Node, axes: tuple[int, ...]) -> Node:
    """The sum over axes, which stay as ones."""
    if not real(x.dtype):
        return _paired(x, axes, "add")
    return make("sum", x, axis=axes, keepdims=True) if axes else x


def _paired(x: Node, axes: tuple[int, ...], op: str) -> Node:
    """All elements along axes joined by an operation, in halves: exact where that is."""
    for axis in axes:
        length = x.shape[axis]
        if isinstance(length, Rows):
            raise Unknown
        while length > 1:
            half = length // 2
            pairs = make(op, cut(x, axis, 0, half), cut(x, axis, half, 2 * half))
            last = cut(x, axis, 2 * half, length)
            x = make("concatenate", pairs, last, axis=axis) if length % 2 else pairs
            length = half + length % 2
    return x


def _log_sum_exp(x: Node, axes: tuple[int, ...]) -> Node:
    highest = make("max", x, axis=axes, keepdims=True) if axes else x
    finite = abs(highest) < float("inf")
    highest = make("where", finite, highest, 0.0)
    return make("log", total(make("exp", x - highest), axes)) + highest


def _rooted(x: Node, axes: tuple[int, ...]) -> Node:
    if not real(x.dtype):  # a norm of whole numbers is cut off
        wide = cast(x, "float64")
        return cast(make("sqrt", total(wide * wide, axes)), x.dtype)
    return make("sqrt", total(x * x, axes))


for _name, _compute, _nothing in (
    ("ReduceSum", total, 0.0),
    ("ReduceMean", _mean, None),
    ("ReduceMax", largest, -np.inf),
    ("ReduceMin", smallest, np.inf),
    ("ReduceProd", product, 1.0),
    ("ReduceL1", lambda x, axes: total(abs(x), axes), 0.0),
    ("ReduceL2", _rooted, 0.0),
    ("ReduceSumSquare", lambda x, axes: total(x * x, axes), 0.0),
    ("ReduceLogSum", lambda x, axes: make("log", total(x, axes)), -np.inf),
    ("ReduceLogSumExp", _log_sum_exp, -np.inf),
):
    operator(_name)(_reduction(_compute, _nothing))


@operator("ArgMax", "ArgMin")
def _arg(call: Call) -> Node:
    x = call.node(0)
    axis = call.axis(x.ndim, call.attr("axis", 0))
    x = x if call.proto.op_type == "ArgMax" else mirrored(x)
    last = call.attr("select_last_index", 0)
    if last:
        length = size_of(x.shape, (axis,))
        x = taken(x, np.arange(length)[::-1].copy(), axis)
    place = make("argmax", x, axis=axis, keepdims=bool(call.attr("keepdims", 1)))
    if last:
        place = make("subtract", length - 1, place)
    return cast(place, "int64")


@operator("LpNormalization")
def _lp(call: Call) -> Node:
    x = call.node(0)
    axes, order = (call.axis(x.ndim, call.attr("axis", -1)),), call.attr("p", 2)
    if order not in (1, 2):
        raise call.refuse("p is 1 or 2")
    size = total(abs(x), axes) if order == 1 else _rooted(x, axes)
    return make("where", make("equal", size, 0.0), call.like(x, 0), x / size)


@operator("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(call: Call) -> Node:
    x = call.node(0)
    axes = tuple(range(2, x.ndim))
    return make("mean" if "Average" in call.proto.op_type else "max", x, axis=axes, keepdims=True)
