"""What leads each operation to its compiled function.

A driver brings arrays into the row-major matrices that the functions take, scalars into the arrays'
dtype, and attributes into numbers. It does no arithmetic.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import philox, thresholds
from ..op import Attrs, Op, Specs
from . import activations, dropout, losses
from . import dense as layer

Array = Any
Out = tuple[Any, ...]


def matrix(x: Array) -> Array:
    """A row-major matrix that can be written, the leading axes joined: a view where possible."""
    x = np.ascontiguousarray(x)
    if not x.flags.writeable:  # Numba would compile everything once more for read-only arrays
        x = x.copy()
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def given(x: Array | None, like: Array) -> Array:
    """An optional input; one of no rows stands for one that was left out."""
    return np.empty((0, 1), dtype=like.dtype) if x is None else matrix(x)


def result(out: Array) -> Array:
    """An output, which is row-major, with its leading axes joined: always a view."""
    return out if out.ndim == 2 else out.reshape(math.prod(out.shape[:-1]), out.shape[-1])


def line(x: Array) -> Array:
    """All elements in a row-major row that can be written."""
    x = np.ascontiguousarray(x)
    return (x if x.flags.writeable else x.copy()).reshape(-1)


# What kernels take


def matrices(specs: Specs, attrs: Attrs) -> bool:
    """Whether all inputs are matrices of floats."""
    return all(s.rank == 2 and s.dtype.startswith("float") for s in specs)


def first_matrix(specs: Specs, attrs: Attrs) -> bool:
    """Whether the first input is a matrix of floats."""
    return matrices(specs[:1], attrs)


def floats(specs: Specs, attrs: Attrs) -> bool:
    """Whether the inputs are arrays of floats of one shape that is not of rank 0."""
    first = specs[0]
    alike = all(s.shape == first.shape and s.dtype == first.dtype for s in specs)
    return alike and first.rank > 0 and first.dtype.startswith("float")


def known_activation(specs: Specs, attrs: Attrs) -> bool:
    """Whether a layer ends in an activation that has a number."""
    return attrs["activation"] in activations.CODES


# Whole kinds of operations


def elementwise(op: Op, loop: Any) -> Any:
    """Elements in, elements out; attributes as numbers of the arrays' dtype."""
    names = tuple(op.attrs)

    def run(out: Out, *inputs: Array, **attrs: float) -> None:
        number = inputs[0].dtype.type
        loop(*map(line, inputs), *(number(attrs[n]) for n in names), out[0].reshape(-1))

    def plain(out: Out, *inputs: Array) -> None:
        loop(*map(line, inputs), out[0].reshape(-1))

    return run if names else plain


def activation(code: int) -> Any:
    """An activation alone: the fused function without a bias."""

    def run(out: Out, x: Array, *, alpha: float = 0.0) -> None:
        like = x.dtype.type
        x = np.ascontiguousarray(x).reshape(1, -1)
        activations.activate(
            x, given(None, x), code, like(alpha), out[0].reshape(1, -1),
            thresholds.current().streams,
        )  # fmt: skip

    return run


def activation_backward(code: int) -> Any:
    """The derivative of an activation alone."""

    def run(out: Out, gradient: Array, y: Array, *, alpha: float = 0.0) -> None:
        like = gradient.dtype.type
        g, y = (np.ascontiguousarray(a).reshape(1, -1) for a in (gradient, y))
        activations.activate_backward(
            g, y, code, like(alpha), out[0].reshape(1, -1), thresholds.current().streams
        )  # fmt: skip

    return run


def rowwise(function: Any) -> Any:
    """Matrices in, one matrix out."""

    def run(out: Out, *inputs: Array) -> None:
        function(*map(matrix, inputs), result(out[0]))

    return run


def loss(function: Any) -> Any:
    """A loss or its derivative with one output array; weights may be left out."""

    def run(out: Out, *inputs: Array) -> None:
        p, targets, weights = (*inputs, None)[:3]
        function(matrix(p), matrix(targets), given(weights, p), result(out[0]))

    return run


def floored_loss(function: Any) -> Any:
    """A loss of probabilities, kept from zero by the smallest normal number."""

    def run(out: Out, *inputs: Array) -> None:
        p, targets, weights = (*inputs, None)[:3]
        floor = np.finfo(p.dtype).smallest_normal
        function(matrix(p), matrix(targets), given(weights, p), floor, result(out[0]))

    return run


def total_loss(function: Any) -> Any:
    """A loss with the activation before it: probabilities and one number."""

    def run(out: Out, *inputs: Array) -> None:
        z, targets, weights = (*inputs, None)[:3]
        function(
            matrix(z), matrix(targets), given(weights, z), result(out[0]), out[1].reshape(1)
        )  # fmt: skip

    return run


def difference(factor: float) -> Any:
    """factor / k (p - t) times the row's weight: the derivative of two losses."""

    def run(out: Out, p: Array, targets: Array, weights: Array | None = None) -> None:
        scale = p.dtype.type(factor / p.shape[-1])
        losses.scaled_difference(
            matrix(p), matrix(targets), given(weights, p), scale, result(out[0])
        )  # fmt: skip

    return run


# Single operations


def matmul(out: Out, a: Array, b: Array, *, transpose_a: bool, transpose_b: bool) -> None:
    """BLAS takes transposed views as they are."""
    a, b = matrix(a), matrix(b)
    layer.matmul(a.T if transpose_a else a, b.T if transpose_b else b, out[0])


def dense(
    out: Out, x: Array, weight: Array, bias: Array | None = None, *, activation: str, alpha: float
) -> None:
    """Product, bias and activation."""
    code, slope = activations.CODES[activation], weight.dtype.type(alpha)
    layer.dense(
        matrix(x), matrix(weight), given(bias, weight), code, slope, result(out[0]),
        thresholds.current().streams,
    )  # fmt: skip


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
    gradient = matrix(gradient)
    layer.dense_backward(
        gradient, matrix(x), matrix(weight), gradient if y is None else matrix(y),
        activations.CODES["linear" if y is None else activation], weight.dtype.type(alpha),
        out[0], out[1] if bias else nothing, result(out[-1]) if input else nothing,
        thresholds.current().streams,
    )  # fmt: skip


def gather_rows(function: Any) -> Any:
    """Rows of matrices by their numbers."""

    def run(out: Out, x: Array, indices: Array) -> None:
        function(matrix(x), np.ascontiguousarray(indices), out[0])

    return run


def dropout_mask(
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
    """The key, the counter and the threshold as 32-bit words."""
    word = np.uint32
    (k0, k1), (low, high) = philox.key(int(seed)), philox.key(int(counter))
    scale = out[0].dtype.type(1.0 / (1.0 - rate))
    dropout.dropout_words(
        word(k0), word(k1), word(stream & philox.WORD), word(low), word(high),
        word(philox.threshold(rate)), scale, (first or 0) * math.prod(shape[1:]),
        out[0].reshape(-1),
    )  # fmt: skip
