"""The table of loop kernels: what leads each operation to its explicit loops.

A driver arranges views, chooses the formula for an activation's name and calls the loop; it does no
arithmetic on arrays. Compiled, the same loops are the "compiled loops".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from .. import philox
from ..op import Kernel
from ..ops import ACTIVATIONS, OPS
from . import operations, scalar, training

Array = Any
Out = tuple[Any, ...]
Function = Callable[..., Any]
Use = Callable[[Function], Function]  # a loop or formula -> the one to call in its place


def identity(function: Function) -> Function:
    """The function itself: loops that stay Python."""
    return function


def loop_kernels(compile: Callable[[Any], Any] = identity) -> dict[str, Kernel]:
    """A kernel for every operation of the table, made of explicit loops.

    compile: applied once to each loop and formula, when it is first needed.
    """
    use = cache(compile)
    return {name: Kernel(name, partial(run, use, DRIVERS[name])) for name in OPS}


def compiled_loop_kernels() -> dict[str, Kernel]:
    """The same loops, compiled for this processor without any rewriting for speed."""
    import numba

    from ..cache import disk_cache

    def compiled(function: Any) -> Any:
        # NumPy's error model: a division by zero is inf, as it is in Python on NumPy's numbers.
        made = numba.njit(error_model="numpy", nogil=True)(function)
        made._cache = disk_cache(function)
        return made

    return loop_kernels(compiled)


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


# Drivers: (use, out, *inputs, **attributes)


def one(f: Function, use: Use, out: Out, x: Array) -> None:
    """A formula of one number."""
    use(operations.map_one)(use(f), flat(x, out[0].shape), flat(out[0], out[0].shape))


def two(f: Function, use: Use, out: Out, a: Array, b: Array) -> None:
    """A formula of two numbers, broadcast."""
    shape = out[0].shape
    use(operations.map_two)(use(f), flat(a, shape), flat(b, shape), flat(out[0], shape))


def where(use: Use, out: Out, condition: Array, a: Array, b: Array) -> None:
    """A choice between two numbers, broadcast."""
    shape = out[0].shape
    each = [flat(x, shape) for x in (condition, a, b)]
    use(operations.map_three)(use(scalar.where), *each, flat(out[0], shape))


def clip(use: Use, out: Out, x: Array, *, low: float, high: float) -> None:
    """The bounds as numbers of the array's dtype."""
    number, shape = x.dtype.type, x.shape
    bounds = number(low), number(high)
    use(operations.clip)(use(scalar.clip), flat(x, shape), *bounds, flat(out[0], shape))


def activation(f: Function, use: Use, out: Out, x: Array, *, alpha: float = 0.0) -> None:
    """An activation of single numbers."""
    shape, number = x.shape, x.dtype.type
    use(operations.activate)(use(f), flat(x, shape), number(alpha), flat(out[0], shape))


def activation_backward(
    f: Function, use: Use, out: Out, gradient: Array, y: Array, *, alpha: float = 0.0
) -> None:
    """The derivative of an activation of single numbers."""
    shape, number = y.shape, y.dtype.type
    each = flat(gradient, shape), flat(y, shape)
    use(operations.activate_backward)(use(f), *each, number(alpha), flat(out[0], shape))


def rowwise(loop: Function, use: Use, out: Out, *inputs: Array) -> None:
    """A loop over the rows of matrices."""
    use(loop)(*(matrix(x) for x in inputs), matrix(out[0]))


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


def one_hot(use: Use, out: Out, labels: Array, *, classes: int, dtype: str) -> None:
    """The number of classes and the dtype are those of the output."""
    use(operations.one_hot)(matrix(labels), matrix(out[0]))


def row_loss(
    loop: Function, use: Use, out: Out, p: Array, targets: Array, weights: Array | None = None
) -> None:
    """A loss with one output."""
    use(loop)(matrix(p), matrix(targets), rows_of(weights), matrix(out[0]))


def entropy(
    loop: Function, use: Use, out: Out, p: Array, targets: Array, weights: Array | None = None
) -> None:
    """A loss with a logarithm that is finite."""
    log = use(scalar.safe_log)
    use(loop)(log, matrix(p), matrix(targets), rows_of(weights), matrix(out[0]))


def total_loss(
    loop: Function, use: Use, out: Out, z: Array, targets: Array, weights: Array | None = None
) -> None:
    """Probabilities, and one number for all rows."""
    use(loop)(matrix(z), matrix(targets), rows_of(weights), matrix(out[0]), out[1])


def dropout_mask(
    use: Use,
    out: Out,
    seed: int,
    counter: int,
    *,
    shape: tuple[int, ...],
    rate: float,
    stream: int,
    dtype: str,
) -> None:
    """One random word per element, then the comparison with the threshold."""
    mask = out[0].reshape(-1)
    words = np.empty(mask.shape, np.uint32)
    halves = philox.key(int(seed)), philox.key(int(counter))
    multiply = use(scalar.multiply_words)
    use(training.philox_words)(multiply, halves[0], stream & philox.WORD, halves[1], words)
    scale = mask.dtype.type(1.0 / (1.0 - rate))
    use(training.dropout_mask)(words, philox.threshold(rate), scale, mask)


def update(op: str, loop: Function, use: Use, out: Out, *inputs: Any, **attrs: Any) -> None:
    """The loop takes the inputs, the attributes in the order of the op's row, the outputs."""
    use(loop)(*inputs, *(attrs[name] for name in OPS[op].attrs), *out)


def adam_update(use: Use, out: Out, *inputs: Any, **attrs: Any) -> None:
    """AdamW that decays no element."""
    loop = training.adam_update
    update("adamw_update", loop, use, out, *inputs, **attrs, weight_decay=0.0, decayed=0)


def _drivers() -> dict[str, Function]:
    table: dict[str, Function] = {
        "matmul": matmul, "where": where, "clip": clip, "abs": partial(one, scalar.absolute),
        "transpose": transpose, "reshape": in_order, "broadcast_to": broadcast_to,
        "slice": take_slice, "unslice": unslice, "concatenate": concatenate, "cast": in_order,
        "gather_rows": gather_rows, "scatter_rows": scatter_rows,
        "pick": partial(rowwise, operations.pick), "one_hot": one_hot,
        "dense": dense, "dense_backward": dense_backward, "dropout_mask": dropout_mask,
        "adam_update": adam_update,
        "adamw_update": partial(update, "adamw_update", training.adam_update),
    }  # fmt: skip
    for name in ("negative", "exp", "log", "log1p", "expm1", "sqrt", "sign", "erf"):
        table[name] = partial(one, getattr(scalar, name))
    pairs = (
        "add", "subtract", "multiply", "divide", "power", "maximum", "minimum",
        "equal", "not_equal", "less", "less_equal", "greater", "greater_equal",
    )  # fmt: skip
    for name in pairs:
        table[name] = partial(two, getattr(scalar, name))
    for name in ("sum", "mean", "max", "argmax"):
        table[name] = partial(reduction, getattr(operations, name + "_rows"))
    for name in ACTIVATIONS:
        if name in ("softmax", "log_softmax"):
            table[name] = partial(rowwise, getattr(operations, name))
            table[name + "_backward"] = partial(rowwise, getattr(operations, name + "_backward"))
        else:
            table[name] = partial(activation, getattr(scalar, name))
            table[name + "_backward"] = partial(
                activation_backward, getattr(scalar, name + "_backward")
            )
    losses = (
        (entropy, ("cross_entropy", "binary_cross_entropy")),
        (row_loss, ("mean_squared_error", "mean_squared_error_backward")),
        (total_loss, ("softmax_cross_entropy", "sigmoid_binary_cross_entropy")),
        (row_loss, ("softmax_cross_entropy_backward", "sigmoid_binary_cross_entropy_backward")),
    )
    for driver, names in losses:
        for name in names:
            table[name] = partial(driver, getattr(training, name))
    updates = ("sgd_update", "momentum_update", "nesterov_update", "rmsprop_update")
    for name in (*updates, "clip_norm", "add_decay"):
        table[name] = partial(update, name, getattr(training, name))
    return table


DRIVERS = _drivers()
