"""NumPy kernels that write where they are told: `out=` instead of a new array for every step.

Only operations where that saves memory traffic or calls are here; the rest are the references.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from .. import vectorized
from ..op import Attrs, Kernel, Specs, kernels

Array = Any
Out = tuple[Any, ...]

UFUNCS: dict[str, Any] = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide,
    "power": np.power, "maximum": np.maximum, "minimum": np.minimum, "equal": np.equal,
    "not_equal": np.not_equal, "less": np.less, "less_equal": np.less_equal,
    "greater": np.greater, "greater_equal": np.greater_equal, "negative": np.negative,
    "exp": np.exp, "log": np.log, "log1p": np.log1p, "expm1": np.expm1, "sqrt": np.sqrt,
    "abs": np.abs, "sign": np.sign, "tanh": np.tanh,
}  # fmt: skip


def ufunc(name: str) -> Kernel:
    """A universal function of NumPy as a kernel."""
    function = UFUNCS[name]

    def run(out: Out, *inputs: Array) -> None:
        function(*inputs, out=out[0])

    return Kernel(name, run)


def no_empty_sum(specs: Specs, attrs: Attrs) -> bool:
    """A sum over every axis of something."""
    return specs[0].rank > 0


def sum(out: Out, x: Array, *, axis: Any, keepdims: bool) -> None:
    """The sum over the axes."""
    np.add.reduce(x, axis=axis, keepdims=keepdims, out=out[0])


# Elements of a product from which clearing them first costs more than a call; and of a gradient of
# weights, which both cores have read since: cleared, it is one core's alone again.
CLEARED, GRADIENT_CLEARED = 16_384, 131_072


def product(a: Array, b: Array, out: Array, cleared: int = CLEARED) -> None:
    """a b: small ones as a method of a matrix, which costs a third of a call of `np.matmul`.

    But it fills the output with zeros first: (1024, 256) (256, 256) takes 0.70 ms, with `np.matmul`
    0.67; (784, 128) (128, 512) 0.69 and 0.56. As gradients in a training, cleared, 784-128-10 takes
    0.90 to 0.99 of the time, 784-512-256-10 as long (2 cores of an EPYC 9004, 2026-11-28).
    """
    if a.ndim == 2 and b.ndim == 2 and out.size < cleared:
        a.dot(b, out)
    else:
        np.matmul(a, b, out=out)


def matmul(out: Out, a: Array, b: Array, *, transpose_a: bool, transpose_b: bool) -> None:
    """BLAS takes transposed views as they are."""
    a = np.swapaxes(a, -1, -2) if transpose_a else a
    b = np.swapaxes(b, -1, -2) if transpose_b else b
    product(a, b, out[0])


def gather_rows(out: Out, x: Array, indices: Array) -> None:
    """The rows at the indices, which come from an order that was made here: all are in range."""
    # mode="clip" writes straight into out; the default one goes through a buffer
    np.take(x, indices, axis=0, out=out[0], mode="clip")


def scatter_rows(out: Out, x: Array, indices: Array, *, rows: int) -> None:
    """The reference's product, or row after row where 0 times an infinite element would be NaN."""
    if np.isfinite(x).all():
        out[0][...] = vectorized.scatter_rows(np, x, indices, rows=rows)
        return
    out[0][...] = 0
    np.add.at(out[0], indices, x)


@lru_cache(maxsize=1024)
def number(value: float, dtype: Any) -> Array:
    """An array of rank 0: a float of Python costs as much again as a whole small call."""
    found = np.array(value, dtype)
    found.setflags(write=False)
    return found


@lru_cache(maxsize=16)
def zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    """Zeros that may only be read."""
    found = np.zeros(shape, dtype)
    found.setflags(write=False)
    return found


SMALL = 65_536  # elements up to which zeros are kept in that number


def relu(out: Out, x: Array) -> None:
    """max(x, 0), which keeps NaN: between two arrays NumPy takes a third of the time."""
    shape = x.shape if x.size <= SMALL else x.shape[-1:]
    np.maximum(x, zeros(shape, x.dtype), out=out[0])


def sigmoid(out: Out, x: Array) -> None:
    """1 or exp(-|x|), over 1 + exp(-|x|): nothing overflows, and small values keep their digits."""
    (y,) = out
    positive = x >= number(0.0, x.dtype)
    np.copysign(x, number(-1.0, x.dtype), out=y)  # -|x|
    np.exp(y, out=y)
    below = y + number(1.0, y.dtype)
    np.maximum(y, positive, out=y)  # 1 where x is positive; a masked copy would branch
    y /= below


@lru_cache(maxsize=16)
def ones(count: int, dtype: Any) -> Array:
    """A row of ones: a product with it is a sum by BLAS, faster and closer than `np.add.reduce`."""
    row = np.ones((1, count), dtype)
    row.setflags(write=False)
    return row


NARROW, ROWS = 32, 64  # classes, up to which rows are too short for NumPy's maximum along them


def row_maxima(x: Array) -> Array:
    """The maximum along the last axis, which stays with length 1."""
    if not 1 < x.shape[-1] <= NARROW or x.size < ROWS * x.shape[-1]:
        return np.maximum.reduce(x, axis=-1, keepdims=True)
    columns = np.ascontiguousarray(x.reshape(-1, x.shape[-1]).T)
    return np.maximum.reduce(columns, axis=0).reshape((*x.shape[:-1], 1))


def row_sums(x: Array) -> Array:
    """The sum along the last axis, which stays with length 1."""
    return x.dot(ones(x.shape[-1], x.dtype).T)


def softmax(out: Out, x: Array) -> None:
    """Along the last axis, in the output's memory."""
    (y,) = out
    np.subtract(x, row_maxima(x), out=y)
    np.exp(y, out=y)
    y /= row_sums(y)


def room(out: Array, g: Array) -> Array:
    """Memory for the derivative: the output's own, unless the gradient lies there."""
    return np.empty_like(out) if np.may_share_memory(out, g) else out


def relu_backward(out: Out, g: Array, y: Array) -> None:
    """The gradient where the unit fired; an infinite one elsewhere becomes 0, not NaN."""
    # The bits as a whole number times 0 or 1: a product of reals would make NaN of infinity, and a
    # masked copy takes a branch for every element, ten times as long.
    word = np.int32 if g.dtype.itemsize == 4 else np.int64
    np.multiply(g.view(word), y > number(0.0, y.dtype), out=out[0].view(word))


def leaky_relu(out: Out, x: Array, *, alpha: float) -> None:
    """x above zero, alpha x below."""
    zero = number(0.0, x.dtype)
    below = np.minimum(x, zero)
    below *= number(alpha, x.dtype)
    np.maximum(x, zero, out=out[0])
    np.add(out[0], below, out=out[0])


def leaky_relu_backward(out: Out, g: Array, y: Array, *, alpha: float) -> None:
    """g, or alpha g where the unit did not fire."""
    fired = np.asarray(y > number(0.0, y.dtype))
    if 0.0 <= alpha <= 1.0:
        np.multiply(g, np.maximum(fired, number(alpha, g.dtype)), out=out[0])
    else:
        np.copyto(out[0], np.where(fired, g, alpha * g))


def tanh_backward(out: Out, g: Array, y: Array) -> None:
    """g (1 - y^2)."""
    slope = np.multiply(y, y, out=room(out[0], g))
    np.subtract(number(1.0, y.dtype), slope, out=slope)
    np.multiply(g, slope, out=out[0])


def sigmoid_backward(out: Out, g: Array, y: Array) -> None:
    """g y (1 - y)."""
    slope = number(1.0, y.dtype) - y
    slope *= y
    np.multiply(g, slope, out=out[0])


def tanh(out: Out, x: Array) -> None:
    """The hyperbolic tangent."""
    np.tanh(x, out=out[0])


FORWARD: dict[str, Callable[..., None]] = {
    "relu": relu, "leaky_relu": leaky_relu, "tanh": tanh, "sigmoid": sigmoid,
}  # fmt: skip
BACKWARD: dict[str, Callable[..., None]] = {
    "relu": relu_backward, "leaky_relu": leaky_relu_backward, "tanh": tanh_backward,
    "sigmoid": sigmoid_backward,
}  # fmt: skip


def parameters(activation: str, alpha: float) -> dict[str, float]:
    """What an activation takes beside arrays."""
    return {"alpha": alpha} if activation == "leaky_relu" else {}


def fusable(specs: Specs, attrs: Attrs) -> bool:
    """Whether a layer's activation is one that is written here in place."""
    return attrs["activation"] == "linear" or attrs["activation"] in FORWARD


def dense(
    out: Out, x: Array, weight: Array, bias: Array | None = None, *, activation: str, alpha: float
) -> None:
    """Product, bias and activation, all in the output's memory."""
    (y,) = out
    product(x, weight, y)
    if bias is not None:
        y += bias
    if activation != "linear":
        FORWARD[activation](out, y, **parameters(activation, alpha))


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
    """One temporary for the gradient before the activation; none for a linear layer."""
    g = gradient
    if y is not None and activation != "linear":
        g = np.empty_like(gradient)
        BACKWARD[activation]((g,), gradient, y, **parameters(activation, alpha))
    if input:
        product(g, weight.T, out[-1])
    if g.ndim > 2:
        rows = math.prod(g.shape[:-1])
        g, x = g.reshape(rows, g.shape[-1]), x.reshape(rows, x.shape[-1])
    product(x.T, g, out[0], GRADIENT_CLEARED)
    if bias:
        product(ones(g.shape[0], g.dtype), g, out[1])


@lru_cache(maxsize=16)
def row_starts(rows: int, columns: int) -> Array:
    """Where each row begins in a flat matrix."""
    return np.arange(0, rows * columns, columns)


def label_places(labels: Array, columns: int) -> Array:
    """Where each row's label stands in a flat matrix."""
    return row_starts(labels.size, columns) + labels.reshape(-1)


def softmax_cross_entropy(out: Out, z: Array, labels: Array, weights: Array | None = None) -> None:
    """Probabilities, and the weighted sum of log(sum(exp(z))) - z[label]."""
    p, loss = out
    np.subtract(z, row_maxima(z), out=p)
    at_label = p.reshape(-1).take(label_places(labels, p.shape[-1])).reshape(labels.shape)
    np.exp(p, out=p)
    total = row_sums(p)
    p /= total
    each = np.log(total, out=total)
    each -= at_label
    if weights is not None:
        each *= weights
    np.add.reduce(each, axis=None, out=loss)


def softmax_cross_entropy_backward(
    out: Out, p: Array, labels: Array, weights: Array | None = None
) -> None:
    """p - 1 at the label, times the row's weight."""
    (g,) = out
    np.copyto(g, p)
    g.reshape(-1)[label_places(labels, g.shape[-1])] -= 1.0
    if weights is not None:
        g *= weights


def sigmoid_binary_cross_entropy(
    out: Out, z: Array, targets: Array, weights: Array | None = None
) -> None:
    """Probabilities, and the weighted sum of max(z, 0) - z t + log1p(exp(-|z|))."""
    p, loss = out
    positive = (z >= number(0.0, z.dtype)).astype(z.dtype)
    each = positive - targets
    each *= z
    small = np.copysign(z, number(-1.0, z.dtype))  # -|z|
    np.exp(small, out=small)
    each += np.log1p(small)
    np.maximum(small, positive, out=p)
    small += number(1.0, small.dtype)
    p /= small
    rows = each if each.shape[-1] == 1 else each.mean(axis=-1, keepdims=True)
    if weights is not None:
        rows *= weights
    np.add.reduce(rows, axis=None, out=loss)


def difference(name: str, factor: float) -> Kernel:
    """factor / k (p - t) times the row's weight: the derivative of two losses."""

    def run(out: Out, p: Array, targets: Array, weights: Array | None = None) -> None:
        (g,) = out
        np.subtract(p, targets, out=g)
        scale = factor / p.shape[-1]
        if scale != 1.0:
            g *= number(scale, g.dtype)
        if weights is not None:
            g *= weights

    return Kernel(name, run)


def out_kernels() -> dict[str, Kernel]:
    """All kernels of this module, by operation."""
    plain: dict[str, Callable[..., None]] = {
        "matmul": matmul, "gather_rows": gather_rows, "relu": relu, "sigmoid": sigmoid,
        "softmax": softmax, "relu_backward": relu_backward, "tanh_backward": tanh_backward,
        "sigmoid_backward": sigmoid_backward, "softmax_cross_entropy": softmax_cross_entropy,
        "softmax_cross_entropy_backward": softmax_cross_entropy_backward,
        "sigmoid_binary_cross_entropy": sigmoid_binary_cross_entropy, "leaky_relu": leaky_relu,
        "leaky_relu_backward": leaky_relu_backward, "scatter_rows": scatter_rows,
    }  # fmt: skip
    return kernels(
        *map(ufunc, UFUNCS),
        *(Kernel(name, function) for name, function in plain.items()),
        Kernel("sum", sum, no_empty_sum),
        Kernel("dense", dense, fusable),
        Kernel("dense_backward", dense_backward, fusable),
        difference("mean_squared_error_backward", 2.0),
        difference("sigmoid_binary_cross_entropy_backward", 1.0),
    )
