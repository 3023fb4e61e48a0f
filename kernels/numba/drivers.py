"""The table of Numba kernels: what leads each operation to its compiled function.

A driver brings arrays into the row-major matrices that the functions take, scalars into the arrays'
dtype, and attributes into numbers. It does no arithmetic.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import philox
from ..numpy.operations import scatter_rows
from ..op import Attrs, Kernel, Specs, kernels
from . import fused, updates

Array = Any
Out = tuple[Any, ...]


def rows(x: Array) -> Array:
    """A row-major matrix that can be written, the leading axes joined: a view where possible."""
    x = np.ascontiguousarray(x)
    if not x.flags.writeable:  # Numba would compile everything once more for read-only arrays
        x = x.copy()
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def given(x: Array | None, like: Array) -> Array:
    """An optional input; one of no rows stands for one that was left out."""
    return np.empty((0, 1), dtype=like.dtype) if x is None else rows(x)


def matrices(specs: Specs, attrs: Attrs) -> bool:
    """Whether all inputs are matrices of floats."""
    return all(s.rank == 2 and s.dtype.startswith("float") for s in specs)


def matmul(out: Out, a: Array, b: Array, *, transpose_a: bool, transpose_b: bool) -> None:
    """BLAS takes transposed views as they are."""
    a, b = rows(a), rows(b)
    fused.matmul(a.T if transpose_a else a, b.T if transpose_b else b, out[0])


def dense(
    out: Out, x: Array, weight: Array, bias: Array | None = None, *, activation: str, alpha: float
) -> None:
    """Product, bias and activation."""
    code, slope = fused.CODES[activation], weight.dtype.type(alpha)
    fused.dense(rows(x), rows(weight), given(bias, weight), code, slope, _matrix(out[0]))


def _matrix(out: Array) -> Array:
    """An output, which is row-major, with its leading axes joined: always a view."""
    return out if out.ndim == 2 else out.reshape(math.prod(out.shape[:-1]), out.shape[-1])


def dense_backward(
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
    """The outputs that are not asked for have no rows."""
    nothing = np.empty((0, 1), dtype=weight.dtype)
    gradient = rows(gradient)
    fused.dense_backward(
        gradient, rows(x), rows(weight), gradient if y is None else rows(y),
        fused.CODES["linear" if y is None else activation], weight.dtype.type(alpha),
        out[0], out[1] if bias else nothing, _matrix(out[-1]) if input else nothing,
    )  # fmt: skip


def activation(name: str) -> Kernel:
    """An activation alone: the fused function without a bias."""

    def run(out: Out, x: Array, *, alpha: float = 0.0) -> None:
        like = x.dtype.type
        x = np.ascontiguousarray(x).reshape(1, -1)
        fused.activate(x, given(None, x), fused.CODES[name], like(alpha), out[0].reshape(1, -1))

    return Kernel(name, run, floats)


def activation_backward(name: str) -> Kernel:
    """The derivative of an activation alone."""

    def run(out: Out, g: Array, y: Array, *, alpha: float = 0.0) -> None:
        like = g.dtype.type
        g, y = (np.ascontiguousarray(a).reshape(1, -1) for a in (g, y))
        fused.activate_backward(g, y, fused.CODES[name], like(alpha), out[0].reshape(1, -1))

    return Kernel(f"{name}_backward", run, floats)


def floats(specs: Specs, attrs: Attrs) -> bool:
    """Whether the first input is an array of floats that is not of rank 0."""
    return specs[0].rank > 0 and specs[0].dtype.startswith("float")


def softmax(out: Out, x: Array) -> None:
    """Along the last axis."""
    fused.softmax(rows(x), _matrix(out[0]))


def gather_rows(out: Out, x: Array, indices: Array) -> None:
    """Rows of matrices."""
    fused.gather_rows(rows(x), np.ascontiguousarray(indices), out[0])


def total_loss(function: Any) -> Any:
    """A fused loss: probabilities and one number."""

    def run(out: Out, z: Array, targets: Array, weights: Array | None = None) -> None:
        function(
            rows(z), rows(targets), given(weights, z), _matrix(out[0]), out[1].reshape(1)
        )  # fmt: skip

    return run


def row_loss(function: Any) -> Any:
    """A loss or its derivative with one output array."""

    def run(out: Out, p: Array, targets: Array, weights: Array | None = None) -> None:
        function(rows(p), rows(targets), given(weights, p), _matrix(out[0]))

    return run


def difference(factor: float) -> Any:
    """factor / k (p - t) times the row's weight."""

    def run(out: Out, p: Array, targets: Array, weights: Array | None = None) -> None:
        scale = p.dtype.type(factor / p.shape[-1])
        fused.scaled_difference(rows(p), rows(targets), given(weights, p), scale, _matrix(out[0]))

    return run


def dropout_mask(
    out: Out,
    seed: int,
    counter: int,
    *,
    shape: tuple[int, ...],
    rate: float,
    stream: int,
    dtype: str,
) -> None:
    """The key, the counter and the bar as 32-bit words."""
    word = np.uint32
    (k0, k1), (low, high) = philox.key(int(seed)), philox.key(int(counter))
    scale = out[0].dtype.type(1.0 / (1.0 - rate))
    updates.dropout_mask(
        word(k0), word(k1), word(stream & philox.WORD), word(low), word(high),
        word(philox.threshold(rate)), scale, out[0].reshape(-1),
    )  # fmt: skip


def _into(out: Out, *inputs: Array) -> None:
    """Updates run in place: where an output is not its input's own memory it gets a copy first."""
    for target, source in zip(out, inputs, strict=True):
        if target is not source:
            np.copyto(target, source)


def _flat(x: Array) -> Array:
    return np.ascontiguousarray(x) if x.flags.writeable else np.array(x)


def sgd_update(out: Out, p: Array, g: Array, rate: float) -> None:
    """Plain gradient descent."""
    _into(out, p)
    updates.sgd(out[0], _flat(g), p.dtype.type(rate))


def momentum(nesterov: bool) -> Any:
    """Momentum, and Nesterov's variant."""

    def run(out: Out, p: Array, g: Array, v: Array, rate: float, *, momentum: float) -> None:
        _into(out, p, v)
        number = p.dtype.type
        updates.momentum(out[0], _flat(g), out[1], number(rate), number(momentum), nesterov)

    return run


def rmsprop_update(
    out: Out, p: Array, g: Array, s: Array, rate: float, *, rho: float, epsilon: float
) -> None:
    """RMSprop."""
    _into(out, p, s)
    number = p.dtype.type
    rest = number(1.0 - rho)
    updates.rmsprop(out[0], _flat(g), out[1], number(rate), number(rho), rest, number(epsilon))


def adam_update(
    out: Out,
    p: Array,
    g: Array,
    m: Array,
    s: Array,
    rate: float,
    step: int,
    *,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> None:
    """Adam; the bias corrections are computed here, in float64."""
    _into(out, p, m, s)
    number = p.dtype.type
    size, root = rate / (1.0 - beta1**step), 1.0 / math.sqrt(1.0 - beta2**step)
    updates.adam(
        out[0], _flat(g), out[1], out[2], number(size), number(root), number(beta1),
        number(1.0 - beta1), number(beta2), number(1.0 - beta2), number(epsilon),
    )  # fmt: skip


def adamw_update(
    out: Out,
    p: Array,
    g: Array,
    m: Array,
    s: Array,
    rate: float,
    step: int,
    *,
    weight_decay: float,
    decayed: int,
    **adam: float,
) -> None:
    """Adam after the weights, which come first, have shrunk."""
    _into(out, p, m, s)
    updates.shrink(out[0][:decayed], p.dtype.type(1.0 - rate * weight_decay))
    adam_update(out, out[0], g, out[1], out[2], rate, step, **adam)


def add_decay(out: Out, g: Array, p: Array, *, coefficient: float, start: int, stop: int) -> None:
    """The coefficient times the parameter, on a range."""
    _into(out, g)
    updates.add_scaled(out[0][start:stop], _flat(p)[start:stop], g.dtype.type(coefficient))


def numba_kernels() -> dict[str, Kernel]:
    """All Numba kernels, by operation; compiled at their first call."""
    rowwise = (
        ("mean_squared_error", row_loss(fused.mean_squared_error)),
        ("mean_squared_error_backward", difference(2.0)),
        ("softmax_cross_entropy", total_loss(fused.softmax_cross_entropy)),
        ("softmax_cross_entropy_backward", row_loss(fused.softmax_cross_entropy_backward)),
        ("sigmoid_binary_cross_entropy", total_loss(fused.sigmoid_binary_cross_entropy)),
        ("sigmoid_binary_cross_entropy_backward", difference(1.0)),
        ("dropout_mask", dropout_mask), ("sgd_update", sgd_update),
        ("momentum_update", momentum(False)), ("nesterov_update", momentum(True)),
        ("rmsprop_update", rmsprop_update), ("adam_update", adam_update),
        ("adamw_update", adamw_update), ("add_decay", add_decay), ("dense", dense),
        ("dense_backward", dense_backward), ("softmax", softmax), ("scatter_rows", scatter_rows),
    )  # fmt: skip
    names = [name for name in fused.CODES if name != "linear"]
    return kernels(
        Kernel("matmul", matmul, matrices),
        Kernel("gather_rows", gather_rows, lambda s, a: matrices(s[:1], a)),
        *(Kernel(name, function) for name, function in rowwise),
        *map(activation, names),
        *map(activation_backward, names),
    )
