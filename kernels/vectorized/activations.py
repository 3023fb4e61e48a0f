"""References of activations, and of the dense layer that ends in one.

Each activation is followed by its derivative times the gradient that comes from above. The
derivative is written with the output y where it can be: then the input need not be kept.
`loops/scalar.py` says the same for single numbers, `loops/operations.py` for rows and layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .operations import Array, erf

SQRT_HALF = math.sqrt(0.5)
INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
GELU_TANH = math.sqrt(2.0 / math.pi)
GELU_CUBIC = 0.044715
FAR = 40.0  # beyond it GELU's derivative is 0 or 1
NOTHING = 1e3  # exp(-NOTHING) is 0 in every dtype
SELU_SCALE = 1.0507009873554804934193349852946
SELU_FLOOR = SELU_SCALE * 1.6732632423543772848170429916717  # minus it is where SELU ends


def sigmoid(xp: Any, x: Array) -> Array:
    """1 / (1 + exp(-x)), through exp(-|x|) so that it cannot overflow."""
    small = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, xp.ones_like(x), small) / (1.0 + small)


def sigmoid_backward(xp: Any, gradient: Array, y: Array) -> Array:
    """gradient * y (1 - y)."""
    return gradient * y * (1.0 - y)


def tanh(xp: Any, x: Array) -> Array:
    """The hyperbolic tangent, between -1 and 1."""
    return xp.tanh(x)


def tanh_backward(xp: Any, gradient: Array, y: Array) -> Array:
    """gradient * (1 - y^2)."""
    return gradient * (1.0 - y * y)


def relu(xp: Any, x: Array) -> Array:
    """max(x, 0); NaN stays NaN."""
    return xp.where(x <= 0, xp.zeros_like(x), x)


def relu_backward(xp: Any, gradient: Array, y: Array) -> Array:
    """The gradient where the unit fired, zero elsewhere."""
    return xp.where(y > 0, gradient, xp.zeros_like(gradient))


def leaky_relu(xp: Any, x: Array, *, alpha: float) -> Array:
    """x above zero, alpha x below (Maas, Hannun and Ng 2013)."""
    return xp.where(x > 0, x, alpha * x)


def leaky_relu_backward(xp: Any, gradient: Array, y: Array, *, alpha: float) -> Array:
    """gradient * (1 or alpha); alpha is positive, so y has the sign of x."""
    return xp.where(y > 0, gradient, alpha * gradient)


def elu(xp: Any, x: Array, *, alpha: float) -> Array:
    """x above zero, alpha (exp(x) - 1) below (Clevert, Unterthiner and Hochreiter 2016)."""
    return xp.where(x > 0, x, alpha * xp.expm1(xp.minimum(x, xp.zeros_like(x))))


def elu_backward(xp: Any, gradient: Array, y: Array, *, alpha: float) -> Array:
    """gradient * (1 or y + alpha)."""
    return xp.where(y > 0, gradient, gradient * (y + alpha))


def softplus(xp: Any, x: Array) -> Array:
    """log(1 + exp(x)) as max(x, 0) + log1p(exp(-|x|)) (Dugas et al. 2001)."""
    return xp.maximum(x, xp.zeros_like(x)) + xp.log1p(xp.exp(-xp.abs(x)))


def softplus_backward(xp: Any, gradient: Array, y: Array) -> Array:
    """gradient * (1 - exp(-y)), which is the sigmoid of x."""
    return -gradient * xp.expm1(-y)


def gelu(xp: Any, x: Array) -> Array:
    """x Phi(x) with the normal distribution function (Hendrycks and Gimpel 2016)."""
    return 0.5 * x * (1.0 + erf(xp, SQRT_HALF * x))


def gelu_backward(xp: Any, gradient: Array, x: Array) -> Array:
    """gradient * (Phi(x) + x phi(x))."""
    phi = INV_SQRT_2PI * xp.exp(-0.5 * x * x)
    near = xp.clip(x, -FAR, FAR)  # an infinite x times phi = 0 would be NaN
    return gradient * (0.5 * (1.0 + erf(xp, SQRT_HALF * x)) + near * phi)


def gelu_tanh(xp: Any, x: Array) -> Array:
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, GELU's tanh form (as above)."""
    return 0.5 * x * (1.0 + xp.tanh(GELU_TANH * (x + GELU_CUBIC * x * x * x)))


def gelu_tanh_backward(xp: Any, gradient: Array, x: Array) -> Array:
    """gradient * (1 + t + x (1 - t^2) u') / 2, t being tanh(u), u as in `gelu_tanh`."""
    x = xp.clip(x, -FAR, FAR)  # an infinite one times 1 - t^2 = 0 would be NaN
    t = xp.tanh(GELU_TANH * (x + GELU_CUBIC * x * x * x))
    inner = GELU_TANH * (1.0 + 3.0 * GELU_CUBIC * x * x)
    return gradient * (0.5 * (1.0 + t + x * (1.0 - t * t) * inner))


def silu(xp: Any, x: Array) -> Array:
    """x sigmoid(x) (Hendrycks and Gimpel 2016; also known as Swish)."""
    return x * sigmoid(xp, x)


def silu_backward(xp: Any, gradient: Array, x: Array) -> Array:
    """gradient * s (1 + x (1 - s)), s being sigmoid(x)."""
    x = xp.clip(x, -NOTHING, NOTHING)  # an infinite one times s (1 - s) = 0 would be NaN
    s = sigmoid(xp, x)
    return gradient * (s * (1.0 + x * (1.0 - s)))


def _mish_gate(xp: Any, x: Array) -> tuple[Array, Array, Array, Array]:
    """u = exp(-|x|), x >= 0, and tanh(softplus(x)) as a numerator and a denominator of u."""
    u = xp.exp(-xp.abs(x))
    positive = x >= 0
    numerator = xp.where(positive, 1.0 + 2.0 * u, u * (u + 2.0))
    return (
        u,
        positive,
        numerator,
        numerator + xp.where(positive, 2.0 * u * u, 2.0 * xp.ones_like(u)),
    )


def mish(xp: Any, x: Array) -> Array:
    """x tanh(softplus(x)) (Misra 2019), with one exponential that cannot overflow."""
    _, _, numerator, denominator = _mish_gate(xp, x)
    return x * (numerator / denominator)


def mish_backward(xp: Any, gradient: Array, x: Array) -> Array:
    """gradient * (t + x (1 - t^2) sigmoid(x)), t being tanh(softplus(x))."""
    x = xp.clip(x, -NOTHING, NOTHING)  # an infinite one times 1 - t^2 = 0 would be NaN
    u, positive, numerator, denominator = _mish_gate(xp, x)
    slope = 4.0 * u * (1.0 + u) * xp.where(positive, u, xp.ones_like(u))
    return gradient * (numerator / denominator + x * slope / (denominator * denominator))


def selu(xp: Any, x: Array) -> Array:
    """scale * x above zero, scale * alpha (exp(x) - 1) below (Klambauer et al. 2017)."""
    below = SELU_FLOOR * xp.expm1(xp.minimum(x, xp.zeros_like(x)))
    return xp.where(x > 0, SELU_SCALE * x, below)


def selu_backward(xp: Any, gradient: Array, y: Array) -> Array:
    """gradient * (scale or y + scale * alpha)."""
    return xp.where(y > 0, SELU_SCALE * gradient, gradient * (y + SELU_FLOOR))


def hard_sigmoid(xp: Any, x: Array) -> Array:
    """x / 6 + 1 / 2, kept between 0 and 1 (Howard et al. 2019)."""
    return xp.clip((x + 3.0) / 6.0, 0.0, 1.0)


def hard_sigmoid_backward(xp: Any, gradient: Array, y: Array) -> Array:
    """gradient / 6 between the bounds, zero at them and beyond."""
    return xp.where((y > 0) & (y < 1), gradient / 6.0, xp.zeros_like(gradient))


def hard_swish(xp: Any, x: Array) -> Array:
    """x hard_sigmoid(x) (Howard et al. 2019)."""
    return x * hard_sigmoid(xp, x)


def hard_swish_backward(xp: Any, gradient: Array, x: Array) -> Array:
    """gradient * (0, x / 3 + 1 / 2 between -3 and 3, or 1)."""
    middle = gradient * (x / 3.0 + 0.5)
    return xp.where(x <= -3, xp.zeros_like(gradient), xp.where(x < 3, middle, gradient))


def softsign(xp: Any, x: Array) -> Array:
    """x / (1 + |x|), between -1 and 1 (Glorot and Bengio 2010)."""
    return x / (1.0 + xp.abs(x))


def softsign_backward(xp: Any, gradient: Array, y: Array) -> Array:
    """gradient * (1 - |y|)^2."""
    rest = 1.0 - xp.abs(y)
    return gradient * rest * rest


def softmax(xp: Any, x: Array) -> Array:
    """exp(x) / sum(exp(x)) along the last axis, the row's maximum taken off first."""
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def softmax_backward(xp: Any, gradient: Array, y: Array) -> Array:
    """y * (gradient - sum(gradient * y)), the sum along the last axis."""
    return y * (gradient - xp.sum(gradient * y, axis=-1, keepdims=True))


def log_softmax(xp: Any, x: Array) -> Array:
    """log(softmax(x)) along the last axis, without the detour through exp and back."""
    shifted = x - xp.max(x, axis=-1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def log_softmax_backward(xp: Any, gradient: Array, y: Array) -> Array:
    """gradient - exp(y) * sum(gradient), the sum along the last axis."""
    return gradient - xp.exp(y) * xp.sum(gradient, axis=-1, keepdims=True)


# The dense layer: product, bias and activation


def activate(xp: Any, x: Array, activation: str, alpha: float) -> Array:
    """The activation of that name."""
    if activation == "linear":
        return x
    return _applied(globals()[activation], alpha, xp, x)


def activate_backward(xp: Any, gradient: Array, y: Array, activation: str, alpha: float) -> Array:
    """The gradient before the activation, from the one behind it and the output y."""
    if activation == "linear":
        return gradient
    return _applied(globals()[activation + "_backward"], alpha, xp, gradient, y)


def _applied(function: Callable[..., Array], alpha: float, *arguments: Any) -> Array:
    """A formula of this module; `alpha`, the only attribute that one has, where it takes it."""
    if function.__code__.co_kwonlyargcount:
        return function(*arguments, alpha=alpha)
    return function(*arguments)


def dense(
    xp: Any, x: Array, weight: Array, bias: Array | None = None, *, activation: str, alpha: float
) -> Array:
    """activation(x @ weight + bias); x: (n, n_in), weight: (n_in, n_out), bias: (1, n_out)."""
    z = xp.matmul(x, weight)
    return activate(xp, z if bias is None else z + bias, activation, alpha)


def dense_backward(
    xp: Any,
    gradient: Array,
    x: Array,
    weight: Array,
    y: Array | None = None,
    *,
    activation: str,
    alpha: float,
    bias: bool,
    input: bool,
) -> tuple[Array, ...]:
    """Gradients of weight, of the bias if it has one, of x if it is needed.

    gradient: (n, n_out) that of the output; y: the output, needed unless the activation is linear.
    """
    g = gradient if y is None else activate_backward(xp, gradient, y, activation, alpha)
    leading = tuple(range(g.ndim - 1))
    flat_g = xp.reshape(g, (-1, g.shape[-1])) if g.ndim != 2 else g
    flat_x = xp.reshape(x, (-1, x.shape[-1])) if x.ndim != 2 else x
    result = [xp.matmul(flat_x.T, flat_g)]
    if bias:
        result.append(xp.reshape(xp.sum(g, axis=leading), (1, g.shape[-1])))
    if input:
        result.append(xp.matmul(g, weight.T))
    return tuple(result)
