"""Identities of shapes and reductions: what need not be moved, copied or reduced.

They hold to the last bit, but where a docstring says otherwise. What adds in another order is not
here: the order of a reduction is part of its value.
"""

from __future__ import annotations

import math
from typing import Any

from ...kernels.rules import normal_axes
from ...kernels.spec import FLOATS, INTEGERS, Rows, Shape
from .graph import Node, constant, make
from .rewriting import BROADCASTING, UNARY, either_way, given, rule, shaped

# Shapes


@rule("reshape", "broadcast_to", "cast", "transpose", "slice", "unslice")
def nothing_moved(node: Node) -> Node | None:
    """x in its own shape, dtype or order of axes, and a slice of everything, are x."""
    x = given(node)[0]
    if node.op == "transpose":
        return x if node.attrs["axes"] == tuple(range(x.ndim)) else None
    steps = node.attrs.get("steps", ())
    return x if x.spec == node.spec and all(step == 1 for step in steps) else None


@rule("reshape")
def reshaped_twice(node: Node) -> Node | None:
    """A reshape of a reshape is one reshape."""
    x = given(node)[0]
    return make("reshape", *x.inputs, shape=node.shape) if x.op == "reshape" else None


@rule("transpose")
def transposed_twice(node: Node) -> Node | None:
    """A transpose of a transpose is one transpose."""
    x, axes = given(node)[0], node.attrs["axes"]
    if x.op != "transpose":
        return None
    return make("transpose", *x.inputs, axes=tuple(x.attrs["axes"][a] for a in axes))


@rule("matmul")
def transpose_multiplied(node: Node) -> Node | None:
    """a.T @ b is the product with the first factor transposed; so with the second."""
    attrs, inputs = dict(node.attrs), given(node)
    for at, name in ((0, "transpose_a"), (1, "transpose_b")):
        x = inputs[at]
        last = (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
        if x.op == "transpose" and x.attrs["axes"] == last:
            inputs[at], attrs[name] = given(x)[0], not attrs[name]
    return make("matmul", *inputs, **attrs) if inputs != given(node) else None


# dtype -> the dtypes that hold all its numbers
WIDER = {
    "bool": (*FLOATS, *INTEGERS), "float32": ("float64",), "int32": ("int64", "float64"),
    "uint32": ("int64", "float64"), "int64": (), "float64": (),
}  # fmt: skip


@rule("cast")
def cast_twice(node: Node) -> Node | None:
    """A cast of a cast is one cast, where the one between holds all numbers of the first."""
    x = given(node)[0]
    if x.op != "cast" or x.dtype not in WIDER[given(x)[0].dtype]:
        return None
    return make("cast", *x.inputs, dtype=node.dtype)


@rule("broadcast_to")
def broadcast_twice(node: Node) -> Node | None:
    """A broadcast of a broadcast is one broadcast."""
    x = given(node)[0]
    return make("broadcast_to", *x.inputs, shape=node.shape) if x.op == "broadcast_to" else None


@rule(*BROADCASTING)
def broadcast_absorbed(node: Node) -> Node | None:
    """An operation that broadcasts by itself needs no broadcast input."""
    inputs = [given(n)[0] if n.op == "broadcast_to" else n for n in given(node)]
    if inputs == given(node):
        return None
    return shaped(make(node.op, *inputs, **node.attrs), node.shape)


@rule(*UNARY)
def broadcast_later(node: Node) -> Node | None:
    """f(broadcast(x)) = broadcast(f(x)) for what goes element by element."""
    x = given(node)[0]
    if x.op != "broadcast_to":
        return None
    return make("broadcast_to", make(node.op, *x.inputs, **node.attrs), shape=node.shape)


@rule("add")
def slices_added(node: Node) -> Node | None:
    """The sum of two neighbouring slices in zeros is the two one after the other in zeros.

    The derivative of a function of slices. A -0.0 stays one where the sum would be 0.0.
    """
    for one, other in either_way(node):
        if one.op != "unslice" or other.op != "unslice" or one.shape != other.shape:
            continue
        first, second = _ends(one), _ends(other)
        if not all(step == 1 for step in (*one.attrs["steps"], *other.attrs["steps"])):
            continue
        apart = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a != b]
        if len(apart) != 1 or first[apart[0]][1] != second[apart[0]][0]:
            continue
        joined = make("concatenate", *one.inputs, *other.inputs, axis=apart[0])
        stops = other.attrs["stops"]
        return make("unslice", joined, **{**one.attrs, "stops": stops})
    return None


def _ends(node: Node) -> list[tuple[Any, Any]]:
    """(start, stop) for each axis of a slice."""
    return list(zip(node.attrs["starts"], node.attrs["stops"], strict=True))


# Reductions


def reduced(node: Node) -> tuple[int, ...]:
    """The axes that a reduction reduces."""
    return normal_axes(node.op, given(node)[0].spec, node.attrs)


@rule("sum", "mean", "max")
def one_element_reduced(node: Node) -> Node | None:
    """The sum, mean or largest of one element is the element; sums of -0.0 up to the sign."""
    x = given(node)[0]
    if any(x.shape[axis] != 1 for axis in reduced(node)):
        return None
    return make("reshape", x, shape=node.shape)


@rule("reshape", alone=("sum", "mean", "max"))
def reduction_reshaped(node: Node) -> Node | None:
    """A reduction keeps its axes as ones, or not, as what reads it wants them."""
    x = given(node)[0]
    if x.op not in ("sum", "mean", "max"):
        return None
    made = make(x.op, *x.inputs, **{**x.attrs, "keepdims": not x.attrs["keepdims"]})
    return made if made.shape == node.shape else None


@rule("max", alone=("max",))
def largest_of_largest(node: Node) -> Node | None:
    """max(max(x)) is one max; the sum of a sum stays, for its order is part of its value."""
    x = given(node)[0]
    if x.op != "max" or x.attrs["keepdims"] != node.attrs["keepdims"]:
        return None
    inner, outer = reduced(x), reduced(node)
    left = [axis for axis in range(given(x)[0].ndim) if axis not in inner]
    axes = outer if x.attrs["keepdims"] else tuple(left[axis] for axis in outer)
    both = tuple(sorted({*inner, *axes}))
    return make("max", *x.inputs, axis=both, keepdims=node.attrs["keepdims"])


@rule("sum", "max", floats=True)
def copies_reduced(node: Node) -> Node | None:
    """The sum of k copies of x is k * x, the largest of them x.

    Where only the copies are reduced, and their number does not depend on the batch. The sum was
    rounded k times, the product is once.
    """
    x, axes, copied = _broadcast(node)
    counts = [given(node)[0].shape[axis] for axis in axes]
    if x is None or not set(axes) <= copied or not axes:
        return None
    factor = math.prod(c for c in counts if isinstance(c, int))
    if any(isinstance(c, Rows) for c in counts) or not factor:
        return None
    if node.op == "sum":
        x = make("multiply", x, constant(float(factor), node.dtype))
    kept = tuple(1 if axis in axes else d for axis, d in enumerate(given(node)[0].shape))
    return make("reshape", make("broadcast_to", x, shape=kept), shape=node.shape)


@rule("sum", "mean", "max")
def copied_after_reduction(node: Node) -> Node | None:
    """A reduction along axes that are no copies comes before the copies are made."""
    x, axes, copied = _broadcast(node)
    if x is None or set(axes) & copied or not axes:
        return None
    extra = given(node)[0].ndim - x.ndim
    made = make(node.op, x, axis=tuple(axis - extra for axis in axes), keepdims=True)
    kept = tuple(1 if axis in axes else d for axis, d in enumerate(given(node)[0].shape))
    return make("reshape", make("broadcast_to", made, shape=kept), shape=node.shape)


def _broadcast(node: Node) -> tuple[Node | None, tuple[int, ...], set[int]]:
    """What a reduction's input is a broadcast of, the reduced axes, and those that are copies."""
    wide = given(node)[0]
    if wide.op != "broadcast_to":
        return None, (), set()
    x, axes = given(wide)[0], reduced(node)
    shape: Shape = (1,) * (wide.ndim - x.ndim) + x.shape
    copied = {at for at, (a, b) in enumerate(zip(shape, wide.shape, strict=True)) if a != b}
    copied |= set(range(wide.ndim - x.ndim))
    return x, axes, copied
