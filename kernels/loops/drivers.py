"""What leads each operation to its explicit loops.

A driver arranges views, chooses the formula for an activation's name and calls the loop; it does no
arithmetic on arrays. Compiled, the same loops are the "compiled loops".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import philox
from ..op import Op
from . import operations, scalar, training, updates

Array = Any
Out = tuple[Any, ...]
Function = Callable[..., Any]
Use = Callable[[Function], Function]  # a loop or formula -> the one to call in its place


def run(use: Use, driver: Function, out: Out, *inputs: Any, **attrs: Any) -> None:
    """Calls a driver with row-major arrays, whatever the layout of the ones that came.

    Row-major arrays have all the views that a driver asks for, and one compilation of a loop serves
    every layout. An output of another layout is written by way of a row-major one.
    """
    # NumPy's numbers warn where its arrays would be told not to
    with np.errstate(all="ignore"):
        targets = tuple(np.asarray(o, order="C") for o in out)
        driver(
            use,
            targets,
            *(np.asarray(x, order="C") if isinstance(x, np.ndarray) else x for x in inputs),
            **attrs,
        )
        for o, target in zip(out, targets, strict=True):
            if target is not o:
                o[...] = target


def flat(x: Array, shape: tuple[int, ...]) -> Array:
    """x, broadcast to the shape, as a list of elements."""
    return (x if x.shape == shape else np.broadcast_to(x, shape)).reshape(-1)


def matrix(x: Array) -> Array:
    """x with its leading axes joined into one."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def rows_of(x: Array | None) -> Array | None:
    """The same for an input that may be left out."""
    return None if x is None else matrix(x)


# Drivers of what follows from a row alone: (the row, its formula or loop, use, out, *inputs,
# **attributes). Formulas take the inputs, then the attributes in the row's order; loops take the
# outputs behind these.

MAPS: dict[tuple[int, int], Function] = {  # arrays and numbers that a formula takes -> its loop
    (1, 0): operations.map_one, (2, 0): operations.map_two, (3, 0): operations.map_three,
    (1, 1): operations.activate, (2, 1): operations.activate_backward, (1, 2): operations.clip,
}  # fmt: skip


def elements(op: Op, f: Function, use: Use, out: Out, *inputs: Array, **attrs: Any) -> None:
    """A formula of single numbers, broadcast; attributes as numbers of the arrays' dtype."""
    shape = out[0].shape
    given = [flat(x, shape) for x in inputs]
    arrays, number = len(given), given[-1].dtype.type
    numbers = f.__code__.co_argcount - arrays
    if op.attrs:
        given += [number(attrs[name]) for name in op.attrs]
    elif numbers:
        given.append(number(0))  # an activation without `alpha`: a layer's loop calls all alike
    use(MAPS[arrays, numbers])(use(f), *given, flat(out[0], shape))


def rows(op: Op, loop: Function, use: Use, out: Out, *inputs: Any, **attrs: Any) -> None:
    """A loop over the rows of matrices; None for inputs left out; outputs of rank 0 as they are."""
    left_out = [None] * (len(op.inputs) - len(inputs))
    outputs = (matrix(o) if o.ndim else o for o in out)
    use(loop)(*map(rows_of, inputs), *left_out, *outputs)


def whole(op: Op, loop: Function, use: Use, out: Out, *inputs: Any, **attrs: Any) -> None:
    """A loop that takes everything as it comes."""
    use(loop)(*inputs, *(attrs[name] for name in op.attrs), *out)


# Drivers of single operations: (use, out, *inputs, **attributes)


def matmul(use: Use, out: Out, a: Array, b: Array, *, transpose_a: bool, transpose_b: bool) -> None:
    """One product of matrices for each index of the leading axes."""
    if transpose_a:
        a = np.swapaxes(a, -1, -2).copy()
    if transpose_b:
        b = np.swapaxes(b, -1, -2).copy()
    (y,) = out
    leading = y.shape[:-2]
    a = np.broadcast_to(a, leading + a.shape[-2:]) if a.shape[:-2] != leading else a
    b = np.broadcast_to(b, leading + b.shape[-2:]) if b.shape[:-2] != leading else b
    for index in np.ndindex(leading):
        use(operations.matmul)(a[index], b[index], y[index])


def dense(
    use: Use,
    out: Out,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    activation: str,
    alpha: float,
) -> None:
    """The formula of the activation is called inside the loop."""
    f, number = use(getattr(scalar, activation)), weight.dtype.type
    use(operations.dense)(f, matrix(x), weight, bias, number(alpha), matrix(out[0]))


def dense_backward(
    use: Use,
    out: Out,
    gradient: Array,
    x: Array,
    weight: Array,
    y: Array | None = None,
    *,
    activation: str,
    alpha: float,
    bias: bool,
    input: bool,
) -> None:
    """Which gradients are made depends on the attributes; the loop gets None for the others."""
    f, number = use(getattr(scalar, activation + "_backward")), weight.dtype.type
    made = list(out[1:])
    bias_gradient = made.pop(0) if bias else None
    x_gradient = matrix(made.pop(0)) if input else None
    gradient = matrix(gradient)
    use(operations.dense_backward)(
        f, gradient, matrix(x), weight, rows_of(y), number(alpha), np.empty_like(gradient),
        out[0], bias_gradient, x_gradient,
    )  # fmt: skip


def reduction(
    loop: Function,
    use: Use,
    out: Out,
    x: Array,
    *,
    axis: int | tuple[int, ...] | None,
    keepdims: bool,
) -> None:
    """The kept axes first, the reduced ones last, each group joined into one."""
    if axis is None:
        axis = tuple(range(x.ndim))
    reduced = [a % x.ndim for a in ((axis,) if isinstance(axis, int) else axis)]
    kept = [a for a in range(x.ndim) if a not in reduced]
    count = math.prod(x.shape[a] for a in reduced)
    y = out[0].reshape(-1)
    use(loop)(np.transpose(x, (*kept, *reduced)).reshape(y.shape[0], count), y)


def transpose(use: Use, out: Out, x: Array, *, axes: tuple[int, ...]) -> None:
    """A copy out of the transposed view."""
    use(operations.copy)(np.transpose(x, axes), out[0])


def in_order(use: Use, out: Out, x: Array, **attrs: Any) -> None:
    """A copy element after element: of another shape or dtype."""
    use(operations.copy)(x.reshape(-1), out[0].reshape(-1))


def cast(use: Use, out: Out, x: Array, *, dtype: str) -> None:
    """A copy; a whole number beyond what a signed one holds wraps, as it does in an array."""
    wraps = x.dtype.kind == "u" and out[0].dtype.kind == "i"
    same = x.view(out[0].dtype) if wraps and x.itemsize == out[0].itemsize else x
    in_order(use, out, same)


def broadcast_to(use: Use, out: Out, x: Array, *, shape: tuple[int, ...]) -> None:
    """A copy out of the broadcast view."""
    use(operations.copy)(np.broadcast_to(x, shape), out[0])


def cut(
    starts: tuple[int, ...], stops: tuple[int, ...], steps: tuple[int, ...]
) -> tuple[slice, ...]:
    """The index of a slice, one triple per axis."""
    return tuple(slice(*triple) for triple in zip(starts, stops, steps, strict=True))


def take_slice(use: Use, out: Out, x: Array, **attrs: Any) -> None:
    """A copy out of the cut view."""
    use(operations.copy)(x[cut(**attrs)], out[0])


def unslice(use: Use, out: Out, x: Array, *, shape: tuple[int, ...], **attrs: Any) -> None:
    """Zeros, then a copy into the cut view."""
    use(operations.zeros)(out[0])
    use(operations.copy)(x, out[0][cut(**attrs)])


def concatenate(use: Use, out: Out, a: Array, b: Array, *, axis: int) -> None:
    """A copy into each part of the output."""
    along = np.moveaxis(out[0], axis, 0)
    length = a.shape[axis]
    use(operations.copy)(np.moveaxis(a, axis, 0), along[:length])
    use(operations.copy)(np.moveaxis(b, axis, 0), along[length:])


def gather_rows(use: Use, out: Out, x: Array, indices: Array) -> None:
    """Rows are all axes but the first, joined."""
    width = math.prod(x.shape[1:])
    y = out[0].reshape(len(indices), width)
    use(operations.gather_rows)(x.reshape(len(x), width), indices, y)


def scatter_rows(use: Use, out: Out, x: Array, indices: Array, *, rows: int) -> None:
    """Rows are all axes but the first, joined."""
    width = math.prod(x.shape[1:])
    y = out[0].reshape(rows, width)
    use(operations.scatter_rows)(x.reshape(len(x), width), indices, y)


def entropy(
    loop: Function, use: Use, out: Out, p: Array, targets: Array, weights: Array | None = None
) -> None:
    """A loss with a logarithm that is finite."""
    log = use(scalar.safe_log)
    use(loop)(log, matrix(p), matrix(targets), rows_of(weights), matrix(out[0]))


def cross_entropy(
    use: Use, out: Out, p: Array, labels: Array, weights: Array | None = None
) -> None:
    """With a logarithm that is finite."""
    entropy(training.cross_entropy, use, out, p, labels, weights)


def binary_cross_entropy(
    use: Use, out: Out, p: Array, targets: Array, weights: Array | None = None
) -> None:
    """With a logarithm that is finite."""
    entropy(training.binary_cross_entropy, use, out, p, targets, weights)


def dropout_mask(
    use: Use,
    out: Out,
    seed: int,
    counter: int,
    first: int | None = None,
    *,
    shape: tuple[int, ...],
    rate: float,
    stream: int,
    dtype: str,
) -> None:
    """One random word per element, then the comparison with the threshold."""
    mask = out[0].reshape(-1)
    skipped, within = divmod((first or 0) * math.prod(shape[1:]), 4)
    words = np.empty(within + mask.size, np.uint32)
    halves = philox.key(int(seed)), philox.key(int(counter))
    multiply = use(scalar.multiply_words)
    use(training.philox_words)(
        multiply, halves[0], stream & philox.WORD, halves[1], skipped, words
    )  # fmt: skip
    scale = mask.dtype.type(1.0 / (1.0 - rate))
    use(training.dropout_mask)(words[within:], philox.threshold(rate), scale, mask)


def clip_norm(use: Use, out: Out, gradient: Array, *, maximum: float) -> None:
    """All elements in a row, of whatever rank."""
    use(updates.clip_norm)(gradient.reshape(-1), maximum, out[0].reshape(-1))


def adam_update(
    use: Use, out: Out, *inputs: Any, beta1: float, beta2: float, epsilon: float
) -> None:
    """AdamW that decays no element."""
    use(updates.adam_update)(*inputs, beta1, beta2, epsilon, 0.0, 0, *out)
