"""The explicit loops of optimizer updates over flat buffers.

Each `new` array may be the buffer that it renews: an element is read before it is written.
"""

from __future__ import annotations

import math

import numpy as np

from .operations import Array


def sgd_update(
    parameter: Array, gradient: Array, learning_rate: float, new_parameter: Array
) -> None:
    """p - lr g."""
    rate = parameter.dtype.type(learning_rate)
    for i in range(parameter.shape[0]):
        new_parameter[i] = parameter[i] - rate * gradient[i]


def momentum_update(
    parameter: Array,
    gradient: Array,
    velocity: Array,
    learning_rate: float,
    momentum: float,
    new_parameter: Array,
    new_velocity: Array,
) -> None:
    """v = momentum v + g; p - lr v."""
    number = parameter.dtype.type
    rate, keep = number(learning_rate), number(momentum)
    for i in range(parameter.shape[0]):
        v = keep * velocity[i] + gradient[i]
        new_parameter[i] = parameter[i] - rate * v
        new_velocity[i] = v


def nesterov_update(
    parameter: Array,
    gradient: Array,
    velocity: Array,
    learning_rate: float,
    momentum: float,
    new_parameter: Array,
    new_velocity: Array,
) -> None:
    """v = momentum v + g; p - lr (g + momentum v)."""
    number = parameter.dtype.type
    rate, keep = number(learning_rate), number(momentum)
    for i in range(parameter.shape[0]):
        g = gradient[i]
        v = keep * velocity[i] + g
        new_parameter[i] = parameter[i] - rate * (g + keep * v)
        new_velocity[i] = v


def rmsprop_update(
    parameter: Array,
    gradient: Array,
    square: Array,
    learning_rate: float,
    rho: float,
    epsilon: float,
    new_parameter: Array,
    new_square: Array,
) -> None:
    """s = rho s + (1 - rho) g^2; p - lr g / (sqrt(s) + epsilon)."""
    number = parameter.dtype.type
    rate, keep, take, tiny = number(learning_rate), number(rho), number(1.0 - rho), number(epsilon)
    for i in range(parameter.shape[0]):
        g = gradient[i]
        s = keep * square[i] + take * g * g
        new_parameter[i] = parameter[i] - rate * g / (np.sqrt(s) + tiny)
        new_square[i] = s


def adam_update(
    parameter: Array,
    gradient: Array,
    mean: Array,
    square: Array,
    learning_rate: float,
    step: int,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    decayed: int,
    new_parameter: Array,
    new_mean: Array,
    new_square: Array,
) -> None:
    """Adam with the bias corrections of step number `step`; AdamW where elements are decayed.

    The first `decayed` elements are multiplied by 1 - lr weight_decay before anything else.
    """
    number = parameter.dtype.type
    keep1, take1 = number(beta1), number(1.0 - beta1)
    keep2, take2 = number(beta2), number(1.0 - beta2)
    size = number(learning_rate / (1.0 - beta1**step))
    root = number(1.0 / math.sqrt(1.0 - beta2**step))
    tiny, shrink = number(epsilon), number(1.0 - learning_rate * weight_decay)
    for i in range(parameter.shape[0]):
        g = gradient[i]
        m = keep1 * mean[i] + take1 * g
        s = keep2 * square[i] + take2 * g * g
        p = parameter[i]
        if i < decayed:
            p *= shrink
        new_parameter[i] = p - size * m / (np.sqrt(s) * root + tiny)
        new_mean[i] = m
        new_square[i] = s


def adagrad_update(
    parameter: Array,
    gradient: Array,
    square: Array,
    learning_rate: float,
    epsilon: float,
    new_parameter: Array,
    new_square: Array,
) -> None:
    """s = s + g^2; p - lr g / (sqrt(s) + epsilon)."""
    number = parameter.dtype.type
    rate, tiny = number(learning_rate), number(epsilon)
    for i in range(parameter.shape[0]):
        g = gradient[i]
        s = square[i] + g * g
        new_parameter[i] = parameter[i] - rate * g / (np.sqrt(s) + tiny)
        new_square[i] = s


def amsgrad_update(
    parameter: Array,
    gradient: Array,
    mean: Array,
    square: Array,
    largest: Array,
    learning_rate: float,
    step: int,
    beta1: float,
    beta2: float,
    epsilon: float,
    new_parameter: Array,
    new_mean: Array,
    new_square: Array,
    new_largest: Array,
) -> None:
    """Adam that divides by the largest mean square so far."""
    number = parameter.dtype.type
    keep1, take1 = number(beta1), number(1.0 - beta1)
    keep2, take2 = number(beta2), number(1.0 - beta2)
    size = number(learning_rate / (1.0 - beta1**step))
    root, tiny = number(1.0 / math.sqrt(1.0 - beta2**step)), number(epsilon)
    for i in range(parameter.shape[0]):
        g = gradient[i]
        m = keep1 * mean[i] + take1 * g
        s = keep2 * square[i] + take2 * g * g
        most = largest[i]
        if s > most:
            most = s
        new_parameter[i] = parameter[i] - size * m / (np.sqrt(most) * root + tiny)
        new_mean[i] = m
        new_square[i] = s
        new_largest[i] = most


def nadam_update(
    parameter: Array,
    gradient: Array,
    mean: Array,
    square: Array,
    learning_rate: float,
    step: int,
    beta1: float,
    beta2: float,
    epsilon: float,
    momentum_decay: float,
    new_parameter: Array,
    new_mean: Array,
    new_square: Array,
) -> None:
    """Adam with Nesterov's look ahead; the momentum of step t is beta1 (1 - 0.96^(t decay) / 2)."""
    number = parameter.dtype.type
    keep1, take1 = number(beta1), number(1.0 - beta1)
    keep2, take2 = number(beta2), number(1.0 - beta2)
    momentum = beta1 * (1.0 - 0.5 * 0.96 ** (step * momentum_decay))
    product = 1.0
    for t in range(1, step + 1):
        product *= beta1 * (1.0 - 0.5 * 0.96 ** (t * momentum_decay))
        if product < 1e-18:  # nothing beside one
            break
    ahead = beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1) * momentum_decay))
    now = number(learning_rate * (1.0 - momentum) / (1.0 - product))
    later = number(learning_rate * ahead / (1.0 - product * ahead))
    root, tiny = number(1.0 / math.sqrt(1.0 - beta2**step)), number(epsilon)
    for i in range(parameter.shape[0]):
        g = gradient[i]
        m = keep1 * mean[i] + take1 * g
        s = keep2 * square[i] + take2 * g * g
        new_parameter[i] = parameter[i] - (now * g + later * m) / (np.sqrt(s) * root + tiny)
        new_mean[i] = m
        new_square[i] = s


def lion_update(
    parameter: Array,
    gradient: Array,
    mean: Array,
    learning_rate: float,
    beta1: float,
    beta2: float,
    new_parameter: Array,
    new_mean: Array,
) -> None:
    """p - lr sign(beta1 m + (1 - beta1) g); m = beta2 m + (1 - beta2) g."""
    number = parameter.dtype.type
    rate, zero = number(learning_rate), number(0)
    keep1, take1 = number(beta1), number(1.0 - beta1)
    keep2, take2 = number(beta2), number(1.0 - beta2)
    for i in range(parameter.shape[0]):
        g, m, p = gradient[i], mean[i], parameter[i]
        direction = keep1 * m + take1 * g
        if direction > zero:
            p -= rate
        elif direction < zero:
            p += rate
        new_parameter[i] = p
        new_mean[i] = keep2 * m + take2 * g


def shrink(
    parameter: Array,
    learning_rate: float,
    weight_decay: float,
    decayed: int,
    new_parameter: Array,
) -> None:
    """p (1 - lr weight_decay) on the first `decayed` elements."""
    factor = parameter.dtype.type(1.0 - learning_rate * weight_decay)
    for i in range(parameter.shape[0]):
        p = parameter[i]
        if i < decayed:
            p *= factor
        new_parameter[i] = p


def average_update(
    average: Array,
    parameter: Array,
    step: int,
    decay: float,
    start: int,
    every: int,
    new_average: Array,
) -> None:
    """The average goes on towards the parameters at every `every`-th step after `start`.

    The first ones are taken as they are; then `decay` is kept of it, or all weigh the same.
    """
    past, share = step - start, 0.0
    if past > 0 and past % every == 0:
        taken = past // every
        share = 1.0 - decay if decay > 0.0 and taken > 1 else 1.0 / taken
    part = parameter.dtype.type(share)
    for i in range(average.shape[0]):
        new_average[i] = average[i] + part * (parameter[i] - average[i])


def keep(parameter: Array, out: Array) -> None:
    """The parameters once more."""
    for i in range(parameter.shape[0]):
        out[i] = parameter[i]


def rescale(
    parameter: Array, before: Array, factor: float, start: int, stop: int, out: Array
) -> None:
    """before + factor (p - before) on [start, stop)."""
    scale = parameter.dtype.type(factor)
    for i in range(parameter.shape[0]):
        value = parameter[i]
        if start <= i < stop:
            value = before[i] + scale * (value - before[i])
        out[i] = value


def assign(statistics: Array, observed: Array, out: Array) -> None:
    """The statistics, the first of them replaced by those that a step has observed."""
    for i in range(statistics.shape[0]):
        out[i] = observed[i] if i < observed.shape[0] else statistics[i]


def clip_norm(gradient: Array, maximum: float, out: Array) -> None:
    """The gradient, shortened so that its Euclidean norm is at most `maximum`."""
    number = gradient.dtype.type
    total, zero, one = number(0), number(0), number(1)
    for i in range(gradient.shape[0]):
        total += gradient[i] * gradient[i]
    factor = number(maximum) / (np.sqrt(total) + number(1e-6))
    if factor > one:
        factor = one
    elif factor < zero:
        factor = zero
    for i in range(gradient.shape[0]):
        out[i] = gradient[i] * factor


def add_decay(
    gradient: Array, parameter: Array, coefficient: float, start: int, stop: int, out: Array
) -> None:
    """gradient + coefficient * parameter on [start, stop): the derivative of an L2 penalty."""
    scale = gradient.dtype.type(coefficient)
    for i in range(gradient.shape[0]):
        value = gradient[i]
        if start <= i < stop:
            value += scale * parameter[i]
        out[i] = value
