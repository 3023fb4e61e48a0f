"""NumPy kernels that write where they are told: `out=` instead of a new array for every step.

Only operations where that saves memory traffic or calls are here; the rest are the references.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .op import Attrs, Kernel, Specs, kernels

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


CLEARED = 16_384  # elements of a product from which clearing them first costs more than a call


def product(a: Array, b: Array, out: Array) -> None:
    """a b: small ones as a method of a matrix, which costs a third of a call of `np.matmul`.

    But it fills the output with zeros first: (1024, 256) (256, 256) takes 0.70 ms, with `np.matmul`
    0.67; (784, 128) (128, 512) 0.69 and 0.56, though not where another core has just read the
    output, as an update does (2 cores of an EPYC 9004, 2026-11-28).
    """
    if a.ndim == 2 and b.ndim == 2 and out.size < CLEARED:
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
    product(x.T, g, out[0])
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


BLOCK = 65_536  # elements of an update worked on together: in a cache, and few enough calls


def blocks(size: int) -> list[slice]:
    """Parts of a flat array of that size."""
    if size <= 2 * BLOCK:
        return [slice(size)]
    return [slice(start, start + BLOCK) for start in range(0, size, BLOCK)]


_kept = threading.local()


def scratch(dtype: Any) -> Array:
    """Memory for what is worked on together, the thread's own: kept, it is in a cache already.

    With that and without a lookup or a view too many, Adam takes 0.92 to 0.96 of its time for
    784-512-256-10 (EPYC 9004, 2026-11-28).
    """
    rooms: dict[Any, Array] = _kept.__dict__
    if dtype.char not in rooms:
        rooms[dtype.char] = np.empty(2 * BLOCK, dtype)
    return rooms[dtype.char]


def in_blocks(update: Any) -> Any:
    """An update that goes over flat arrays block by block, so that its passes stay in a cache."""

    def run(out: Out, *inputs: Any, **attrs: Any) -> None:
        for part in blocks(inputs[0].size):
            some = [v[part] if isinstance(v, np.ndarray) and v.ndim else v for v in inputs]
            update(tuple([o[part] for o in out]), *some, **attrs)

    return run


def sgd_update(out: Out, p: Array, g: Array, rate: float) -> None:
    """p - rate g."""
    np.subtract(p, g * rate, out=out[0])


def momentum_update(
    out: Out, p: Array, g: Array, v: Array, rate: float, *, momentum: float
) -> None:
    """v = momentum v + g; p - rate v."""
    velocity = out[1]
    np.multiply(v, number(momentum, v.dtype), out=velocity)
    velocity += g
    np.subtract(p, velocity * rate, out=out[0])


def nesterov_update(
    out: Out, p: Array, g: Array, v: Array, rate: float, *, momentum: float
) -> None:
    """v = momentum v + g; p - rate (g + momentum v)."""
    velocity = out[1]
    np.multiply(v, number(momentum, v.dtype), out=velocity)
    velocity += g
    step = velocity * number(momentum, v.dtype)
    step += g
    step *= rate
    np.subtract(p, step, out=out[0])


def rmsprop_update(
    out: Out, p: Array, g: Array, s: Array, rate: float, *, rho: float, epsilon: float
) -> None:
    """s = rho s + (1 - rho) g^2; p - rate g / (sqrt(s) + epsilon)."""
    square = out[1]
    scratch = g * number(1.0 - rho, g.dtype)
    scratch *= g
    np.multiply(s, number(rho, s.dtype), out=square)
    square += scratch
    np.sqrt(square, out=scratch)
    scratch += number(epsilon, s.dtype)
    np.divide(g, scratch, out=scratch)
    scratch *= rate
    np.subtract(p, scratch, out=out[0])


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
    """Kingma and Ba 2015, with one temporary."""
    # rate / (1 - beta1^t) m / (sqrt(s) / sqrt(1 - beta2^t) + epsilon), with one pass less
    dtype, correction = g.dtype, math.sqrt(1.0 - beta2**step)
    size = np.array(rate / (1.0 - beta1**step) * correction, dtype)
    least = np.array(epsilon * correction, dtype)
    rates = [number(c, dtype) for c in (beta1, 1.0 - beta1, beta2, 1.0 - beta2)]
    room, arrays = scratch(dtype), (*out, p, g, m, s)
    if g.size <= 2 * BLOCK:
        adam_passes(arrays, room[: g.size], size, least, rates)
        return
    for part in blocks(g.size):
        some = [a[part] for a in arrays]
        adam_passes(some, room[: some[0].size], size, least, rates)


def adam_passes(
    arrays: Sequence[Array], scratch: Array, size: Array, least: Array, rates: list[Array]
) -> None:
    """Adam on what fits a cache; numbers are arrays of rank 0.

    With names at hand and outputs by position: on a small array a call costs more than its work.
    """
    parameter, mean, square, p, g, m, s = arrays
    beta1, rest1, beta2, rest2 = rates
    multiply, add = np.multiply, np.add
    multiply(g, rest1, scratch)
    multiply(m, beta1, mean)
    add(mean, scratch, mean)
    multiply(g, g, scratch)
    multiply(scratch, rest2, scratch)
    multiply(s, beta2, square)
    add(square, scratch, square)
    np.sqrt(square, scratch)
    add(scratch, least, scratch)
    np.divide(mean, scratch, scratch)
    multiply(scratch, size, scratch)
    np.subtract(p, scratch, parameter)


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
    if out[0] is not p:
        np.copyto(out[0], p)
    out[0][:decayed] *= 1.0 - rate * weight_decay
    adam_update(out, out[0], g, m, s, rate, step, **adam)


def add_decay(out: Out, g: Array, p: Array, *, coefficient: float, start: int, stop: int) -> None:
    """The coefficient times the parameter, on a range."""
    if out[0] is not g:
        np.copyto(out[0], g)
    out[0][start:stop] += p[start:stop] * coefficient


def numpy_kernels() -> dict[str, Kernel]:
    """All kernels of this module, by operation."""
    plain: dict[str, Callable[..., None]] = {
        "matmul": matmul, "gather_rows": gather_rows, "relu": relu, "sigmoid": sigmoid,
        "softmax": softmax, "relu_backward": relu_backward, "tanh_backward": tanh_backward,
        "sigmoid_backward": sigmoid_backward, "softmax_cross_entropy": softmax_cross_entropy,
        "softmax_cross_entropy_backward": softmax_cross_entropy_backward,
        "sigmoid_binary_cross_entropy": sigmoid_binary_cross_entropy, "sgd_update": sgd_update,
        "momentum_update": in_blocks(momentum_update),
        "nesterov_update": in_blocks(nesterov_update),
        "rmsprop_update": in_blocks(rmsprop_update), "adam_update": adam_update,
        "adamw_update": adamw_update, "leaky_relu": leaky_relu,
        "leaky_relu_backward": leaky_relu_backward, "add_decay": add_decay,
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
