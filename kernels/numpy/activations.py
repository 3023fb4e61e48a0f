"""NumPy kernels of activations, their derivatives, and of the dense layer that ends in one."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from ..op import Attrs, Specs
from ..ops import OPS
from .operations import GRADIENT_CLEARED, Array, Out, number, ones, product, ufunc


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


def leaky_relu(out: Out, x: Array, *, alpha: float) -> None:
    """x above zero, alpha x below."""
    zero = number(0.0, x.dtype)
    below = np.minimum(x, zero)
    below *= number(alpha, x.dtype)
    np.maximum(x, zero, out=out[0])
    np.add(out[0], below, out=out[0])


def elu(out: Out, x: Array, *, alpha: float) -> None:
    """x above zero, alpha (exp(x) - 1) below: the one is 0 where the other is not."""
    zero = number(0.0, x.dtype)
    below = np.minimum(x, zero, out=np.empty_like(x))
    np.expm1(below, out=below)
    below *= number(alpha, x.dtype)
    np.maximum(x, zero, out=out[0])
    np.add(out[0], below, out=out[0])


def softplus(out: Out, x: Array) -> None:
    """max(x, 0) + log1p(exp(-|x|))."""
    small = np.copysign(x, number(-1.0, x.dtype), out=np.empty_like(x))  # -|x|
    np.exp(small, out=small)
    np.log1p(small, out=small)
    np.maximum(x, number(0.0, x.dtype), out=out[0])
    np.add(out[0], small, out=out[0])


def relu_backward(out: Out, gradient: Array, y: Array) -> None:
    """The gradient where the unit fired; an infinite one elsewhere becomes 0, not NaN."""
    # The bits as a whole number times 0 or 1: a product of reals would make NaN of infinity, and a
    # masked copy takes a branch for every element, ten times as long.
    word = np.int32 if gradient.dtype.itemsize == 4 else np.int64
    np.multiply(gradient.view(word), y > number(0.0, y.dtype), out=out[0].view(word))


def leaky_relu_backward(out: Out, gradient: Array, y: Array, *, alpha: float) -> None:
    """g, or alpha g where the unit did not fire."""
    fired = np.asarray(y > number(0.0, y.dtype))
    if 0.0 <= alpha <= 1.0:
        np.multiply(gradient, np.maximum(fired, number(alpha, gradient.dtype)), out=out[0])
    else:
        np.copyto(out[0], np.where(fired, gradient, alpha * gradient))


def tanh_backward(out: Out, gradient: Array, y: Array) -> None:
    """g (1 - y^2)."""
    slope = np.multiply(y, y, out=scratch(out[0], gradient))
    np.subtract(number(1.0, y.dtype), slope, out=slope)
    np.multiply(gradient, slope, out=out[0])


def sigmoid_backward(out: Out, gradient: Array, y: Array) -> None:
    """g y (1 - y)."""
    slope = number(1.0, y.dtype) - y
    slope *= y
    np.multiply(gradient, slope, out=out[0])


def elu_backward(out: Out, gradient: Array, y: Array, *, alpha: float) -> None:
    """g, or g (y + alpha) below zero."""
    one = number(1.0, y.dtype)
    if alpha == 1.0:
        slope = np.minimum(y, number(0.0, y.dtype))
        slope += one
    else:
        slope = np.where(y > number(0.0, y.dtype), one, y + number(alpha, y.dtype))
    np.multiply(gradient, slope, out=out[0])


def softplus_backward(out: Out, gradient: Array, y: Array) -> None:
    """-g (exp(-y) - 1)."""
    slope = np.negative(y, out=np.empty_like(y))
    np.expm1(slope, out=slope)
    np.negative(slope, out=slope)
    np.multiply(gradient, slope, out=out[0])


def scratch(out: Array, g: Array) -> Array:
    """Memory for the derivative: the output's own, unless the gradient lies there."""
    return np.empty_like(out) if np.may_share_memory(out, g) else out


FORWARD: dict[str, Callable[..., None]] = {
    "relu": relu, "leaky_relu": leaky_relu, "tanh": ufunc("tanh"), "sigmoid": sigmoid,
    "elu": elu, "softplus": softplus,
}  # fmt: skip
BACKWARD: dict[str, Callable[..., None]] = {
    "relu": relu_backward, "leaky_relu": leaky_relu_backward, "tanh": tanh_backward,
    "sigmoid": sigmoid_backward, "elu": elu_backward, "softplus": softplus_backward,
}  # fmt: skip


def parameters(activation: str, alpha: float) -> dict[str, float]:
    """What an activation takes beside arrays."""
    return {"alpha": alpha} if OPS[activation].attrs else {}


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


NARROW, TALL = 32, 64  # classes, up to which rows are too short for NumPy's maximum along them


def row_maxima(x: Array) -> Array:
    """The maximum along the last axis, which stays with length 1."""
    if not 1 < x.shape[-1] <= NARROW or x.size < TALL * x.shape[-1]:
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


def softmax_backward(out: Out, gradient: Array, y: Array) -> None:
    """y (g - sum(g y)), with one temporary."""
    rest = gradient * y
    np.subtract(gradient, row_sums(rest), out=rest)
    np.multiply(y, rest, out=out[0])


def log_softmax(out: Out, x: Array) -> None:
    """x without its maximum and the logarithm of the sum, along the last axis."""
    (y,) = out
    np.subtract(x, row_maxima(x), out=y)
    y -= np.log(row_sums(np.exp(y)))


def log_softmax_backward(out: Out, gradient: Array, y: Array) -> None:
    """g - exp(y) sum(g), with one temporary."""
    share = np.exp(y)
    share *= row_sums(gradient)
    np.subtract(gradient, share, out=out[0])
