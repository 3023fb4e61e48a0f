"""The vectorised way of computing every operation: one expression over whole arrays.

Each function takes the array namespace `xp` first (NumPy, CuPy, JAX, or any other that follows the
array API standard), so a backend that brings one is complete on its first day. In float64 on NumPy
these expressions are the oracle that every kernel is tested against. `loops.py` says the same with
explicit loops; the two files are meant to be read side by side.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

from . import philox

Array = Any

SQRT_HALF = math.sqrt(0.5)
INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
GELU_TANH = math.sqrt(2.0 / math.pi)
GELU_CUBIC = 0.044715
FAR = 40.0  # beyond it GELU's derivative is 0 or 1


def cast(xp: Any, x: Array, *, dtype: str) -> Array:
    """x as another dtype."""
    return xp.astype(x, getattr(xp, dtype))


def _swap_last(x: Array) -> Array:
    return x.T if x.ndim == 2 else x.mT


# Products


def matmul(
    xp: Any, a: Array, b: Array, *, transpose_a: bool = False, transpose_b: bool = False
) -> Array:
    """a @ b, either of them transposed in its last two axes first."""
    return (_swap_last(a) if transpose_a else a) @ (_swap_last(b) if transpose_b else b)


# Elementwise arithmetic


def add(xp: Any, a: Array, b: Array) -> Array:
    """a + b."""
    return a + b


def subtract(xp: Any, a: Array, b: Array) -> Array:
    """a - b."""
    return a - b


def multiply(xp: Any, a: Array, b: Array) -> Array:
    """a * b."""
    return a * b


def divide(xp: Any, a: Array, b: Array) -> Array:
    """a / b."""
    return a / b


def power(xp: Any, a: Array, b: Array) -> Array:
    """a ** b."""
    return a**b


def maximum(xp: Any, a: Array, b: Array) -> Array:
    """The larger of a and b."""
    return xp.maximum(a, b)


def minimum(xp: Any, a: Array, b: Array) -> Array:
    """The smaller of a and b."""
    return xp.minimum(a, b)


def negative(xp: Any, x: Array) -> Array:
    """-x."""
    return -x


def exp(xp: Any, x: Array) -> Array:
    """e ** x."""
    return xp.exp(x)


def log(xp: Any, x: Array) -> Array:
    """The natural logarithm."""
    return xp.log(x)


def log1p(xp: Any, x: Array) -> Array:
    """log(1 + x), accurate for small x."""
    return xp.log1p(x)


def expm1(xp: Any, x: Array) -> Array:
    """exp(x) - 1, accurate for small x."""
    return xp.expm1(x)


def sqrt(xp: Any, x: Array) -> Array:
    """The square root."""
    return xp.sqrt(x)


def absolute(xp: Any, x: Array) -> Array:
    """The absolute value."""
    return xp.abs(x)


def sign(xp: Any, x: Array) -> Array:
    """-1, 0 or 1."""
    return xp.sign(x)


def clip(xp: Any, x: Array, *, low: float, high: float) -> Array:
    """x, kept between low and high."""
    return xp.clip(x, low, high)


def equal(xp: Any, a: Array, b: Array) -> Array:
    """a == b."""
    return a == b


def not_equal(xp: Any, a: Array, b: Array) -> Array:
    """a != b."""
    return a != b


def less(xp: Any, a: Array, b: Array) -> Array:
    """a < b."""
    return a < b


def less_equal(xp: Any, a: Array, b: Array) -> Array:
    """a <= b."""
    return a <= b


def greater(xp: Any, a: Array, b: Array) -> Array:
    """a > b."""
    return a > b


def greater_equal(xp: Any, a: Array, b: Array) -> Array:
    """a >= b."""
    return a >= b


def where(xp: Any, condition: Array, a: Array, b: Array) -> Array:
    """a where the condition holds, b elsewhere."""
    return xp.where(condition, a, b)


def _ratio(x: Array, numerator: tuple[float, ...], denominator: tuple[float, ...]) -> Array:
    top, bottom = x * numerator[0], x * 1.0
    for a, b in zip(numerator[1:-1], denominator[:-1], strict=True):
        top, bottom = (top + a) * x, (bottom + b) * x
    return (top + numerator[-1]) / (bottom + denominator[-1])


# W. J. Cody, Rational Chebyshev approximations for the error function, Math. Comp. 23 (1969).
_ERF_SMALL = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2,
     3.20937758913846947e3),
    (2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)  # fmt: skip
_ERF_MIDDLE = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
     2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
     1.23033935479799725e3),
    (1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)  # fmt: skip


def erf(xp: Any, x: Array) -> Array:
    """The error function, by Cody's rational approximations (two intervals; beyond 6 it is 1)."""
    size = xp.abs(x)
    near = xp.minimum(size, xp.ones_like(size) * 0.5)
    small = near * _ratio(near * near, *_ERF_SMALL)
    far = xp.clip(size, 0.46875, 6.0)
    large = 1.0 - xp.exp(-far * far) * _ratio(far, *_ERF_MIDDLE)
    value = xp.where(size <= 0.46875, small, large)
    return xp.where(size == size, xp.sign(x) * value, x)


# Reductions


def sum(xp: Any, x: Array, *, axis: tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
    """The sum over the axes (all of them when axis is None)."""
    return xp.sum(x, axis=axis, keepdims=keepdims)


def mean(
    xp: Any, x: Array, *, axis: tuple[int, ...] | None = None, keepdims: bool = False
) -> Array:
    """The arithmetic mean over the axes."""
    return xp.mean(x, axis=axis, keepdims=keepdims)


def max(xp: Any, x: Array, *, axis: tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
    """The largest element over the axes."""
    return xp.max(x, axis=axis, keepdims=keepdims)


def argmax(xp: Any, x: Array, *, axis: int = -1, keepdims: bool = False) -> Array:
    """The position of the largest element along one axis, the first one of several."""
    return cast(xp, xp.argmax(x, axis=axis, keepdims=keepdims), dtype="int32")


# Shapes


def transpose(xp: Any, x: Array, *, axes: tuple[int, ...]) -> Array:
    """x with its axes in another order."""
    return xp.permute_dims(x, axes)


def reshape(xp: Any, x: Array, *, shape: tuple[int, ...]) -> Array:
    """The same elements in another shape."""
    return xp.reshape(x, shape)


def broadcast_to(xp: Any, x: Array, *, shape: tuple[int, ...]) -> Array:
    """x repeated along axes of length one, or along new leading axes."""
    return xp.broadcast_to(x, shape)


def slice(
    xp: Any, x: Array, *, starts: tuple[int, ...], stops: tuple[int, ...], steps: tuple[int, ...]
) -> Array:
    """x[start:stop:step, ...], one triple per axis."""
    triples = zip(starts, stops, steps, strict=True)
    return x[tuple(builtins.slice(*triple) for triple in triples)]


def unslice(
    xp: Any,
    x: Array,
    *,
    shape: tuple[int, ...],
    starts: tuple[int, ...],
    stops: tuple[int, ...],
    steps: tuple[int, ...],
) -> Array:
    """Zeros of that shape with x written into the slice: the derivative of `slice`."""
    for axis, (start, stop, step) in enumerate(zip(starts, stops, steps, strict=True)):
        if (start, stop, step) == (0, shape[axis], 1):
            continue
        length = x.shape[axis]
        at = xp.arange(shape[axis])
        inside = (at >= start) & (at < stop) & ((at - start) % step == 0)
        if length == 0:
            return xp.zeros(shape, dtype=x.dtype)
        source = xp.clip((at - start) // step, 0, length - 1)
        along = tuple(-1 if a == axis else 1 for a in range(x.ndim))
        x = xp.take(x, source, axis=axis)
        x = xp.where(xp.reshape(inside, along), x, xp.zeros_like(x))
    return x


def concatenate(xp: Any, a: Array, b: Array, *, axis: int = 0) -> Array:
    """a followed by b along one axis."""
    return xp.concat((a, b), axis=axis)


def gather_rows(xp: Any, x: Array, indices: Array) -> Array:
    """x[indices]: the rows at the indices, in their order."""
    return xp.take(x, indices, axis=0)


def scatter_rows(xp: Any, x: Array, indices: Array, *, rows: int) -> Array:
    """Zeros with `rows` rows, x's rows added at the indices: the derivative of `gather_rows`."""
    places = xp.reshape(xp.arange(rows, dtype=indices.dtype), (rows, 1))
    hits = xp.astype(places == xp.reshape(indices, (1, -1)), x.dtype)
    width = math.prod(x.shape[1:])
    return xp.reshape(hits @ xp.reshape(x, (x.shape[0], width)), (rows, *x.shape[1:]))


def pick(xp: Any, x: Array, labels: Array) -> Array:
    """x[i, labels[i]] for every row i; labels: (n, 1) integers; the result is (n, 1)."""
    return xp.take_along_axis(x, labels, axis=-1)


def one_hot(xp: Any, labels: Array, *, classes: int, dtype: str) -> Array:
    """(n, classes) zeros with a one at each row's label; labels: (n, 1) integers."""
    return cast(xp, labels == xp.arange(classes, dtype=labels.dtype), dtype=dtype)


# Activations, each followed by its derivative times the gradient that comes from above. The
# derivative is written with the output y where it can be: then the input need not be kept.


def sigmoid(xp: Any, x: Array) -> Array:
    """1 / (1 + exp(-x)), through exp(-|x|) so that it cannot overflow."""
    small = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, xp.ones_like(x), small) / (1.0 + small)


def sigmoid_backward(xp: Any, gradient: Array, y: Array) -> Array:
    """gradient * y (1 - y)."""
    return gradient * y * (1.0 - y)


def tanh(xp: Any, x: Array) -> Array:
    """The hyperbolic tangent."""
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
    """x above zero, alpha x below."""
    return xp.where(x > 0, x, alpha * x)


def leaky_relu_backward(xp: Any, gradient: Array, y: Array, *, alpha: float) -> Array:
    """gradient * (1 or alpha); alpha is positive, so y has the sign of x."""
    return xp.where(y > 0, gradient, alpha * gradient)


def elu(xp: Any, x: Array, *, alpha: float) -> Array:
    """x above zero, alpha (exp(x) - 1) below."""
    return xp.where(x > 0, x, alpha * xp.expm1(xp.minimum(x, xp.zeros_like(x))))


def elu_backward(xp: Any, gradient: Array, y: Array, *, alpha: float) -> Array:
    """gradient * (1 or y + alpha)."""
    return xp.where(y > 0, gradient, gradient * (y + alpha))


def softplus(xp: Any, x: Array) -> Array:
    """log(1 + exp(x)) as max(x, 0) + log1p(exp(-|x|))."""
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
    """The tanh form of GELU."""
    return 0.5 * x * (1.0 + xp.tanh(GELU_TANH * (x + GELU_CUBIC * x * x * x)))


def gelu_tanh_backward(xp: Any, gradient: Array, x: Array) -> Array:
    """The gradient times the derivative of the tanh form."""
    x = xp.clip(x, -FAR, FAR)  # an infinite one times 1 - t^2 = 0 would be NaN
    t = xp.tanh(GELU_TANH * (x + GELU_CUBIC * x * x * x))
    inner = GELU_TANH * (1.0 + 3.0 * GELU_CUBIC * x * x)
    return gradient * (0.5 * (1.0 + t + x * (1.0 - t * t) * inner))


def softmax(xp: Any, x: Array) -> Array:
    """exp(x) / sum(exp(x)) along the last axis, the row's maximum taken off first."""
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def softmax_backward(xp: Any, gradient: Array, y: Array) -> Array:
    """y * (gradient - sum(gradient * y))."""
    return y * (gradient - xp.sum(gradient * y, axis=-1, keepdims=True))


def log_softmax(xp: Any, x: Array) -> Array:
    """log(softmax(x)) along the last axis, without the detour through exp and back."""
    shifted = x - xp.max(x, axis=-1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def log_softmax_backward(xp: Any, gradient: Array, y: Array) -> Array:
    """gradient - softmax * sum(gradient)."""
    return gradient - xp.exp(y) * xp.sum(gradient, axis=-1, keepdims=True)


# Losses: one value a row, times the row's weight where weights are given.


def cross_entropy(xp: Any, p: Array, labels: Array, weights: Array | None = None) -> Array:
    """-log p[label]; p: (n, classes) probabilities; labels: (n, 1) integers; result (n, 1).

    A probability below the smallest normal number counts as that number, so the loss is finite.
    """
    floor = float(xp.finfo(p.dtype).smallest_normal)
    loss = -xp.log(xp.clip(pick(xp, p, labels), floor, 1.0))
    return loss if weights is None else loss * weights


def binary_cross_entropy(xp: Any, p: Array, targets: Array, weights: Array | None = None) -> Array:
    """-t log p - (1 - t) log(1 - p), the mean over a row's outputs; p, t: (n, k); result (n, 1)."""
    floor = float(xp.finfo(p.dtype).smallest_normal)
    yes, no = xp.log(xp.clip(p, floor, 1.0)), xp.log(xp.clip(1.0 - p, floor, 1.0))
    loss = xp.mean(-targets * yes - (1.0 - targets) * no, axis=-1, keepdims=True)
    return loss if weights is None else loss * weights


def mean_squared_error(xp: Any, p: Array, targets: Array, weights: Array | None = None) -> Array:
    """(p - t)^2, the mean over a row's outputs (no one half); p, t: (n, k); result (n, 1)."""
    loss = xp.mean((p - targets) ** 2, axis=-1, keepdims=True)
    return loss if weights is None else loss * weights


def mean_squared_error_backward(
    xp: Any, p: Array, targets: Array, weights: Array | None = None
) -> Array:
    """2 (p - t) / k, times the row's weight."""
    gradient = (2.0 / p.shape[-1]) * (p - targets)
    return gradient if weights is None else gradient * weights


# Fused rows: several of the above in one pass


def activate(xp: Any, x: Array, activation: str, alpha: float) -> Array:
    """The activation of that name."""
    if activation == "linear":
        return x
    function = globals()[activation]
    if activation in ("leaky_relu", "elu"):
        return function(xp, x, alpha=alpha)
    return function(xp, x)


def activate_backward(xp: Any, gradient: Array, y: Array, activation: str, alpha: float) -> Array:
    """The gradient before the activation, from the one behind it and the output y."""
    if activation == "linear":
        return gradient
    function = globals()[activation + "_backward"]
    if activation in ("leaky_relu", "elu"):
        return function(xp, gradient, y, alpha=alpha)
    return function(xp, gradient, y)


def dense(
    xp: Any, x: Array, weight: Array, bias: Array | None = None, *, activation: str, alpha: float
) -> Array:
    """activation(x @ weight + bias); x: (n, n_in), weight: (n_in, n_out), bias: (1, n_out)."""
    z = x @ weight
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
    result = [flat_x.T @ flat_g]
    if bias:
        result.append(xp.reshape(xp.sum(g, axis=leading), (1, g.shape[-1])))
    if input:
        result.append(g @ weight.T)
    return tuple(result)


def softmax_cross_entropy(
    xp: Any, z: Array, labels: Array, weights: Array | None = None
) -> tuple[Array, Array]:
    """Softmax probabilities, and the weighted sum over rows of their cross-entropy.

    The loss is log(sum(exp(z))) - z[label], finite however saturated z is.
    """
    logp = log_softmax(xp, z)
    loss = -pick(xp, logp, labels)
    return xp.exp(logp), xp.sum(loss if weights is None else loss * weights)


def softmax_cross_entropy_backward(
    xp: Any, p: Array, labels: Array, weights: Array | None = None
) -> Array:
    """(p - one_hot(label)) times the row's weight: the gradient at the softmax's input."""
    classes = xp.arange(p.shape[-1], dtype=labels.dtype)
    gradient = xp.where(labels == classes, p - 1.0, p)
    return gradient if weights is None else gradient * weights


def sigmoid_binary_cross_entropy(
    xp: Any, z: Array, targets: Array, weights: Array | None = None
) -> tuple[Array, Array]:
    """Sigmoid probabilities, and the weighted sum over rows of their binary cross-entropy.

    The loss is max(z, 0) - z t + log1p(exp(-|z|)), the mean over a row's outputs.
    """
    small = xp.exp(-xp.abs(z))
    p = xp.where(z >= 0, xp.ones_like(z), small) / (1.0 + small)
    each = xp.maximum(z, xp.zeros_like(z)) - z * targets + xp.log1p(small)
    loss = xp.mean(each, axis=-1, keepdims=True)
    return p, xp.sum(loss if weights is None else loss * weights)


def sigmoid_binary_cross_entropy_backward(
    xp: Any, p: Array, targets: Array, weights: Array | None = None
) -> Array:
    """(p - t) / k times the row's weight: the gradient at the sigmoid's input."""
    gradient = (p - targets) / p.shape[-1]
    return gradient if weights is None else gradient * weights


def dropout_mask(
    xp: Any,
    seed: int,
    counter: int,
    *,
    shape: tuple[int, ...],
    rate: float,
    stream: int,
    dtype: str,
) -> Array:
    """Zeros with probability `rate`, 1 / (1 - rate) elsewhere (inverted dropout).

    seed, stream and counter (the training step) key the generator; element number i of the mask, in
    row-major order, is word i of its output.
    """
    words = philox.words(xp, seed, stream, counter, math.prod(shape))
    keep = words >= xp.asarray(philox.threshold(rate), dtype=xp.uint32)
    return xp.reshape(cast(xp, keep, dtype=dtype) * (1.0 / (1.0 - rate)), shape)


# Optimizer updates over one flat buffer; learning_rate and step (from 1) are host numbers. The
# formulas are those of torch.optim.


def sgd_update(
    xp: Any, parameter: Array, gradient: Array, learning_rate: float
) -> tuple[Array, ...]:
    """p - lr g."""
    return (parameter - learning_rate * gradient,)


def momentum_update(
    xp: Any,
    parameter: Array,
    gradient: Array,
    velocity: Array,
    learning_rate: float,
    *,
    momentum: float,
) -> tuple[Array, ...]:
    """v = momentum v + g; p - lr v."""
    velocity = momentum * velocity + gradient
    return parameter - learning_rate * velocity, velocity


def nesterov_update(
    xp: Any,
    parameter: Array,
    gradient: Array,
    velocity: Array,
    learning_rate: float,
    *,
    momentum: float,
) -> tuple[Array, ...]:
    """v = momentum v + g; p - lr (g + momentum v)."""
    velocity = momentum * velocity + gradient
    return parameter - learning_rate * (gradient + momentum * velocity), velocity


def rmsprop_update(
    xp: Any,
    parameter: Array,
    gradient: Array,
    square: Array,
    learning_rate: float,
    *,
    rho: float,
    epsilon: float,
) -> tuple[Array, ...]:
    """s = rho s + (1 - rho) g^2; p - lr g / (sqrt(s) + epsilon)."""
    square = rho * square + (1.0 - rho) * gradient * gradient
    return parameter - learning_rate * gradient / (xp.sqrt(square) + epsilon), square


def adam_update(
    xp: Any,
    parameter: Array,
    gradient: Array,
    mean: Array,
    square: Array,
    learning_rate: float,
    step: int,
    *,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> tuple[Array, ...]:
    """Kingma and Ba 2015, algorithm 1, with the bias corrections of step number `step`."""
    mean = beta1 * mean + (1.0 - beta1) * gradient
    square = beta2 * square + (1.0 - beta2) * gradient * gradient
    size = learning_rate / (1.0 - beta1**step)
    root = 1.0 / math.sqrt(1.0 - beta2**step)
    return parameter - size * mean / (xp.sqrt(square) * root + epsilon), mean, square


def adamw_update(
    xp: Any,
    parameter: Array,
    gradient: Array,
    mean: Array,
    square: Array,
    learning_rate: float,
    step: int,
    *,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    decayed: int,
) -> tuple[Array, ...]:
    """Adam after p (1 - lr weight_decay) on the first `decayed` elements (Loshchilov, Hutter 2019).

    The planner lays parameters that decay (weights, not biases) before the others.
    """
    first = xp.arange(parameter.shape[0]) < decayed
    parameter = xp.where(first, parameter * (1.0 - learning_rate * weight_decay), parameter)
    return adam_update(
        xp, parameter, gradient, mean, square, learning_rate, step,
        beta1=beta1, beta2=beta2, epsilon=epsilon,
    )  # fmt: skip


def clip_norm(xp: Any, gradient: Array, *, maximum: float) -> Array:
    """The gradient, shortened so that its Euclidean norm is at most `maximum` (as torch does)."""
    norm = xp.sqrt(xp.sum(gradient * gradient))
    return gradient * xp.clip(maximum / (norm + 1e-6), 0.0, 1.0)


def add_decay(
    xp: Any, gradient: Array, parameter: Array, *, coefficient: float, start: int, stop: int
) -> Array:
    """gradient + coefficient * parameter on [start, stop): the derivative of an L2 penalty."""
    at = xp.arange(gradient.shape[0])
    inside = (at >= start) & (at < stop)
    return xp.where(inside, gradient + coefficient * parameter, gradient)
