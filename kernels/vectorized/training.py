"""References of training: losses, dropout masks, optimizer updates, which work on flat buffers.

`loops/training.py` and `loops/updates.py` say the same with explicit loops.
"""

from __future__ import annotations

import math
from functools import cache
from numbers import Integral, Real
from typing import Any

import numpy as np

from .. import momentum, philox
from .activations import log_softmax
from .operations import Array, cast, pick

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
    """2 (p - t) / k, times the row's weight; p, t and the result: (n, k); weights: (n, 1)."""
    gradient = (2.0 / p.shape[-1]) * (p - targets)
    return gradient if weights is None else gradient * weights


# Losses together with the activation before them, in one pass


def softmax_cross_entropy(
    xp: Any, z: Array, labels: Array, weights: Array | None = None
) -> tuple[Array, Array]:
    """Softmax probabilities, and the weighted sum over rows of their cross-entropy.

    The loss is log(sum(exp(z))) - z[label], finite however saturated z is. z and the probabilities:
    (n, classes); labels, weights: (n, 1); the sum: ().
    """
    logp = log_softmax(xp, z)
    loss = -pick(xp, logp, labels)
    return xp.exp(logp), xp.sum(loss if weights is None else loss * weights)


def softmax_cross_entropy_backward(
    xp: Any, p: Array, labels: Array, weights: Array | None = None
) -> Array:
    """(p - one_hot(label)) times the row's weight, (n, classes): the gradient at z."""
    classes = xp.arange(p.shape[-1], dtype=labels.dtype)
    gradient = xp.where(labels == classes, p - 1.0, p)
    return gradient if weights is None else gradient * weights


def sigmoid_binary_cross_entropy(
    xp: Any, z: Array, targets: Array, weights: Array | None = None
) -> tuple[Array, Array]:
    """Sigmoid probabilities, and the weighted sum over rows of their binary cross-entropy.

    The loss is max(z, 0) - z t + log1p(exp(-|z|)), the mean over a row's outputs. z, targets and
    the probabilities: (n, k); weights: (n, 1); the sum: ().
    """
    small = xp.exp(-xp.abs(z))
    p = xp.where(z >= 0, xp.ones_like(z), small) / (1.0 + small)
    each = xp.maximum(z, xp.zeros_like(z)) - z * targets + xp.log1p(small)
    loss = xp.mean(each, axis=-1, keepdims=True)
    return p, xp.sum(loss if weights is None else loss * weights)


def sigmoid_binary_cross_entropy_backward(
    xp: Any, p: Array, targets: Array, weights: Array | None = None
) -> Array:
    """(p - t) / k times the row's weight: the gradient at the sigmoid's input, (n, k)."""
    gradient = (p - targets) / p.shape[-1]
    return gradient if weights is None else gradient * weights


def dropout_mask(
    xp: Any,
    seed: int,
    counter: int,
    first: int | None = None,
    *,
    shape: tuple[int, ...],
    rate: float,
    stream: int,
    dtype: str,
) -> Array:
    """Zeros with probability `rate`, 1 / (1 - rate) elsewhere (inverted dropout).

    seed, stream and counter (the training step) key the generator; element number i of the mask, in
    row-major order, is word i of its output. first: the row of a larger mask that this one begins
    with.
    """
    skipped = (first or 0) * math.prod(shape[1:])
    words = philox.words(xp, seed, stream, counter, math.prod(shape), skipped)
    keep = words >= xp.asarray(philox.threshold(rate), dtype=xp.uint32)
    return xp.reshape(cast(xp, keep, dtype=dtype) * (1.0 / (1.0 - rate)), shape)


# Optimizer updates over one flat buffer; learning_rate and step (from 1) are numbers of the host,
# or arrays of rank 0 on a device that reads them when it runs. The formulas are torch.optim's.


def like(xp: Any, number: Any, array: Array) -> Any:
    """A number that leaves the dtype of an array as it is."""
    return number if isinstance(number, Real) else xp.astype(number, array.dtype)


@cache
def _given(*numbers: float) -> np.ndarray:
    """Numbers that a device is given once."""
    made = np.array(numbers)
    made.flags.writeable = False
    return made


def corrected(xp: Any, learning_rate: Any, beta1: float, beta2: float, step: Any) -> Any:
    """What Adam's mean is multiplied by, and the root of its square, at a step from 1.

    lr / (1 - beta1^step) and 1 / sqrt(1 - beta2^step), numbers or arrays of rank 0.
    """
    if isinstance(step, Integral):
        left = 1.0 - beta2 ** int(step)
        return learning_rate / (1.0 - beta1 ** int(step)), 1.0 / math.sqrt(left)
    numbers = (1.0 - xp.asarray(_given(beta1, beta2)) ** step) ** xp.asarray(_given(-1.0, -0.5))
    size, root = (xp.reshape(one, ()) for one in (numbers[0:1], numbers[1:2]))
    return learning_rate * size, root


def between(x: Array, start: int, stop: int) -> Array:
    """Elements [start, stop), as many as there are: namespaces need not take a longer slice."""
    size = x.shape[0]
    return x[min(start, size) : min(stop, size)]


def on_range(xp: Any, whole: Array, part: Array, start: int, stop: int) -> Array:
    """The flat array with `part`, (stop - start,), on [start, stop)."""
    parts = (between(whole, 0, start), part, between(whole, stop, whole.shape[0]))
    pieces = [one for one in parts if one.shape[0]]
    return xp.concat(pieces) if len(pieces) > 1 else pieces[0] if pieces else whole


def sgd_update(
    xp: Any, parameter: Array, gradient: Array, learning_rate: float
) -> tuple[Array, ...]:
    """p - lr g."""
    return (parameter - like(xp, learning_rate, parameter) * gradient,)


def momentum_update(
    xp: Any,
    parameter: Array,
    gradient: Array,
    velocity: Array,
    learning_rate: float,
    *,
    momentum: float,
) -> tuple[Array, ...]:
    """v = momentum v + g; p - lr v (Polyak 1964, as torch has it)."""
    velocity = momentum * velocity + gradient
    return parameter - like(xp, learning_rate, parameter) * velocity, velocity


def nesterov_update(
    xp: Any,
    parameter: Array,
    gradient: Array,
    velocity: Array,
    learning_rate: float,
    *,
    momentum: float,
) -> tuple[Array, ...]:
    """v = momentum v + g; p - lr (g + momentum v) (Sutskever et al. 2013, as torch has it)."""
    velocity = momentum * velocity + gradient
    rate = like(xp, learning_rate, parameter)
    return parameter - rate * (gradient + momentum * velocity), velocity


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
    """s = rho s + (1 - rho) g^2; p - lr g / (sqrt(s) + epsilon) (Tieleman and Hinton 2012)."""
    square = rho * square + (1.0 - rho) * gradient * gradient
    rate = like(xp, learning_rate, parameter)
    return parameter - rate * gradient / (xp.sqrt(square) + epsilon), square


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
    numbers = corrected(xp, learning_rate, beta1, beta2, step)
    size, root = (like(xp, one, parameter) for one in numbers)
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
    parameter = shrink(xp, parameter, learning_rate, weight_decay=weight_decay, decayed=decayed)
    return adam_update(
        xp, parameter, gradient, mean, square, learning_rate, step,
        beta1=beta1, beta2=beta2, epsilon=epsilon,
    )  # fmt: skip


def adagrad_update(
    xp: Any,
    parameter: Array,
    gradient: Array,
    square: Array,
    learning_rate: float,
    *,
    epsilon: float,
) -> tuple[Array, ...]:
    """s = s + g^2; p - lr g / (sqrt(s) + epsilon) (Duchi, Hazan and Singer 2011)."""
    square = square + gradient * gradient
    rate = like(xp, learning_rate, parameter)
    return parameter - rate * gradient / (xp.sqrt(square) + epsilon), square


def amsgrad_update(
    xp: Any,
    parameter: Array,
    gradient: Array,
    mean: Array,
    square: Array,
    largest: Array,
    learning_rate: float,
    step: int,
    *,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> tuple[Array, ...]:
    """Adam that divides by the largest mean square so far (Reddi, Kale and Kumar 2018)."""
    mean = beta1 * mean + (1.0 - beta1) * gradient
    square = beta2 * square + (1.0 - beta2) * gradient * gradient
    largest = xp.maximum(largest, square)
    numbers = corrected(xp, learning_rate, beta1, beta2, step)
    size, root = (like(xp, one, parameter) for one in numbers)
    return parameter - size * mean / (xp.sqrt(largest) * root + epsilon), mean, square, largest


def nadam_update(
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
    momentum_decay: float,
) -> tuple[Array, ...]:
    """Dozat 2016: Adam with Nesterov's look ahead; see `momentum.shares` for its momentum."""
    mean = beta1 * mean + (1.0 - beta1) * gradient
    square = beta2 * square + (1.0 - beta2) * gradient * gradient
    now, ahead = momentum.shares_at(xp, step, beta1, momentum_decay)
    _, root = corrected(xp, learning_rate, beta1, beta2, step)
    now, ahead = (like(xp, learning_rate * one, parameter) for one in (now, ahead))
    moved = now * gradient + ahead * mean
    return parameter - moved / (xp.sqrt(square) * like(xp, root, parameter) + epsilon), mean, square


def lion_update(
    xp: Any,
    parameter: Array,
    gradient: Array,
    mean: Array,
    learning_rate: float,
    *,
    beta1: float,
    beta2: float,
) -> tuple[Array, ...]:
    """p - lr sign(beta1 m + (1 - beta1) g); m = beta2 m + (1 - beta2) g (Chen et al. 2023)."""
    direction = xp.sign(beta1 * mean + (1.0 - beta1) * gradient)
    rate = like(xp, learning_rate, parameter)
    return parameter - rate * direction, beta2 * mean + (1.0 - beta2) * gradient


def shrink(
    xp: Any, parameter: Array, learning_rate: float, *, weight_decay: float, decayed: int
) -> Array:
    """p (1 - lr weight_decay) on the first `decayed` elements: decay beside the gradient."""
    left = like(xp, 1.0 - learning_rate * weight_decay, parameter)
    return on_range(xp, parameter, between(parameter, 0, decayed) * left, 0, decayed)


def average_update(
    xp: Any, average: Array, parameter: Array, step: int, *, decay: float, start: int, every: int
) -> Array:
    """average + share (p - average); see `momentum.average_share`."""
    share = momentum.average_share_at(xp, step, decay, start, every)
    return average + like(xp, share, parameter) * (parameter - average)


def keep(xp: Any, parameter: Array) -> Array:
    """The parameters once more, for who will change them."""
    return parameter * 1.0


def rescale(
    xp: Any, parameter: Array, before: Array, *, factor: float, start: int, stop: int
) -> Array:
    """before + factor (p - before) on [start, stop): a step at another learning rate."""
    old, new = between(before, start, stop), between(parameter, start, stop)
    return on_range(xp, parameter, old + factor * (new - old), start, stop)


def assign(xp: Any, statistics: Array, observed: Array) -> Array:
    """The statistics, the first of them replaced by those that a step has observed."""
    return xp.concat([observed, statistics[observed.shape[0] :]])


def clip_norm(xp: Any, gradient: Array, *, maximum: float) -> Array:
    """The gradient, shortened so that its Euclidean norm is at most `maximum` (as torch does)."""
    norm = xp.sqrt(xp.sum(gradient * gradient))
    return gradient * xp.clip(maximum / (norm + 1e-6), 0.0, 1.0)


def add_decay(
    xp: Any, gradient: Array, parameter: Array, *, coefficient: float, start: int, stop: int
) -> Array:
    """gradient + coefficient * parameter on [start, stop): the derivative of an L2 penalty."""
    part = between(gradient, start, stop) + coefficient * between(parameter, start, stop)
    return on_range(xp, gradient, part, start, stop)
