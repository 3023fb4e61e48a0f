"""Optimizer updates in NumPy that write where they are told.

All arrays are flat and of one length: parameters, gradient and slots.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any

import numpy as np

from .. import momentum
from ..memory import aligned
from .operations import Array, Out, number

# Elements of an update worked on together: in the last cache, and few calls. Fewer, for a nearer
# one, do not pay: Adam on 535,818 takes 0.91 ms at once, 1.12 in 65,536 (EPYC 9004, 2026-11-28).
BLOCK = 300_000


_kept = threading.local()


def temporary(like: Array) -> Array:
    """Memory for what is worked on together, the thread's own: kept, it is in a cache already."""
    kept: dict[str, Array] = _kept.__dict__
    if like.dtype.char not in kept:
        kept[like.dtype.char] = aligned(2 * BLOCK, like.dtype.name)
    return kept[like.dtype.char]


def parts(*arrays: Array) -> Iterator[Sequence[Array]]:
    """Flat arrays of one length block by block, so that an update's passes stay in a cache."""
    size = arrays[0].size
    if size <= 2 * BLOCK:
        yield arrays
        return
    for start in range(0, size, BLOCK):
        yield [a[start : start + BLOCK] for a in arrays]


def in_blocks(update: Callable[..., None]) -> Callable[..., None]:
    """An update that goes over flat arrays, which come before its numbers, in `parts`."""

    @wraps(update)
    def run(out: Out, *inputs: Any, **attrs: Any) -> None:
        flat = [v for v in inputs if isinstance(v, np.ndarray) and v.ndim]
        numbers, made = inputs[len(flat) :], len(out)
        for some in parts(*out, *flat):
            update(tuple(some[:made]), *some[made:], *numbers, **attrs)

    return run


def sgd_update(out: Out, parameter: Array, gradient: Array, learning_rate: float) -> None:
    """p - rate g."""
    np.subtract(parameter, gradient * learning_rate, out=out[0])


@in_blocks
def momentum_update(
    out: Out,
    parameter: Array,
    gradient: Array,
    velocity: Array,
    learning_rate: float,
    *,
    momentum: float,
) -> None:
    """v = momentum v + g; p - rate v."""
    v = out[1]
    np.multiply(velocity, number(momentum, velocity.dtype), out=v)
    v += gradient
    np.subtract(parameter, v * learning_rate, out=out[0])


@in_blocks
def nesterov_update(
    out: Out,
    parameter: Array,
    gradient: Array,
    velocity: Array,
    learning_rate: float,
    *,
    momentum: float,
) -> None:
    """v = momentum v + g; p - rate (g + momentum v)."""
    v, factor = out[1], number(momentum, velocity.dtype)
    np.multiply(velocity, factor, out=v)
    v += gradient
    step = v * factor
    step += gradient
    step *= learning_rate
    np.subtract(parameter, step, out=out[0])


@in_blocks
def rmsprop_update(
    out: Out,
    parameter: Array,
    gradient: Array,
    square: Array,
    learning_rate: float,
    *,
    rho: float,
    epsilon: float,
) -> None:
    """s = rho s + (1 - rho) g^2; p - rate g / (sqrt(s) + epsilon)."""
    s, dtype = out[1], gradient.dtype
    scratch = gradient * number(1.0 - rho, dtype)
    scratch *= gradient
    np.multiply(square, number(rho, dtype), out=s)
    s += scratch
    np.sqrt(s, out=scratch)
    scratch += number(epsilon, dtype)
    np.divide(gradient, scratch, out=scratch)
    scratch *= learning_rate
    np.subtract(parameter, scratch, out=out[0])


def adam_update(
    out: Out,
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
) -> None:
    """Kingma and Ba 2015, with one temporary.

    Names at hand and outputs by position: on a small array a call costs more than its work. With
    the kept temporary that makes 0.92 to 0.96 of the time for 784-512-256-10, 0.9 for 64-32-10
    (EPYC 9004, 2026-11-28).
    """
    multiply, add, dtype = np.multiply, np.add, gradient.dtype
    # rate / (1 - beta1^t) m / (sqrt(s) / sqrt(1 - beta2^t) + epsilon), with one pass less
    correction = math.sqrt(1.0 - beta2**step)
    size = np.array(learning_rate / (1.0 - beta1**step) * correction, dtype)
    least = np.array(epsilon * correction, dtype)
    keep1, take1 = number(beta1, dtype), number(1.0 - beta1, dtype)
    keep2, take2 = number(beta2, dtype), number(1.0 - beta2, dtype)
    kept = temporary(gradient)
    arrays = (*out, parameter, gradient, mean, square)
    for p, m, s, p_before, g, m_before, s_before in parts(*arrays):
        scratch = kept[: g.size]
        multiply(g, take1, scratch)
        multiply(m_before, keep1, m)
        add(m, scratch, m)
        multiply(g, g, scratch)
        multiply(scratch, take2, scratch)
        multiply(s_before, keep2, s)
        add(s, scratch, s)
        np.sqrt(s, scratch)
        add(scratch, least, scratch)
        np.divide(m, scratch, scratch)
        multiply(scratch, size, scratch)
        np.subtract(p_before, scratch, p)


def adamw_update(
    out: Out,
    parameter: Array,
    gradient: Array,
    mean: Array,
    square: Array,
    learning_rate: float,
    step: int,
    *,
    weight_decay: float,
    decayed: int,
    **adam: float,
) -> None:
    """Adam after the weights, which come first, have shrunk."""
    if out[0] is not parameter:
        np.copyto(out[0], parameter)
    out[0][:decayed] *= 1.0 - learning_rate * weight_decay
    adam_update(out, out[0], gradient, mean, square, learning_rate, step, **adam)


@in_blocks
def adagrad_update(
    out: Out,
    parameter: Array,
    gradient: Array,
    square: Array,
    learning_rate: float,
    *,
    epsilon: float,
) -> None:
    """s = s + g^2; p - rate g / (sqrt(s) + epsilon)."""
    scratch = gradient * gradient
    np.add(square, scratch, out=out[1])
    np.sqrt(out[1], out=scratch)
    scratch += number(epsilon, gradient.dtype)
    np.divide(gradient, scratch, out=scratch)
    scratch *= learning_rate
    np.subtract(parameter, scratch, out=out[0])


def _means(
    out: Out, gradient: Array, mean: Array, square: Array, beta1: float, beta2: float
) -> Array:
    """The running means of the gradient and of its square, into `out`; gives free memory."""
    (m, s), dtype = out, gradient.dtype
    scratch = gradient * number(1.0 - beta1, dtype)
    np.multiply(mean, number(beta1, dtype), out=m)
    m += scratch
    np.multiply(gradient, gradient, out=scratch)
    scratch *= number(1.0 - beta2, dtype)
    np.multiply(square, number(beta2, dtype), out=s)
    s += scratch
    return scratch


@in_blocks
def amsgrad_update(
    out: Out,
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
) -> None:
    """Adam that divides by the largest mean square so far."""
    scratch = _means(out[1:3], gradient, mean, square, beta1, beta2)
    np.maximum(largest, out[2], out=out[3])
    np.sqrt(out[3], out=scratch)
    scratch *= 1.0 / math.sqrt(1.0 - beta2**step)
    scratch += number(epsilon, gradient.dtype)
    np.divide(out[1], scratch, out=scratch)
    scratch *= learning_rate / (1.0 - beta1**step)
    np.subtract(parameter, scratch, out=out[0])


@in_blocks
def nadam_update(
    out: Out,
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
) -> None:
    """Adam with Nesterov's look ahead."""
    scratch = _means(out[1:3], gradient, mean, square, beta1, beta2)
    now, ahead = momentum.shares(int(step), beta1, momentum_decay)
    np.sqrt(out[2], out=scratch)
    scratch *= 1.0 / math.sqrt(1.0 - beta2**step)
    scratch += number(epsilon, gradient.dtype)
    moved = out[1] * number(learning_rate * ahead, gradient.dtype)
    moved += gradient * number(learning_rate * now, gradient.dtype)
    moved /= scratch
    np.subtract(parameter, moved, out=out[0])


@in_blocks
def lion_update(
    out: Out,
    parameter: Array,
    gradient: Array,
    mean: Array,
    learning_rate: float,
    *,
    beta1: float,
    beta2: float,
) -> None:
    """p - rate sign(beta1 m + (1 - beta1) g); m = beta2 m + (1 - beta2) g."""
    dtype = gradient.dtype
    scratch = mean * number(beta1, dtype)
    scratch += gradient * number(1.0 - beta1, dtype)
    np.sign(scratch, out=scratch)
    scratch *= learning_rate
    np.subtract(parameter, scratch, out=out[0])
    np.multiply(gradient, number(1.0 - beta2, dtype), out=scratch)
    np.multiply(mean, number(beta2, dtype), out=out[1])
    out[1][...] += scratch


def shrink(
    out: Out, parameter: Array, learning_rate: float, *, weight_decay: float, decayed: int
) -> None:
    """The weights, which come first, times one factor."""
    if out[0] is not parameter:
        np.copyto(out[0], parameter)
    out[0][:decayed] *= 1.0 - learning_rate * weight_decay


def average_update(
    out: Out,
    average: Array,
    parameter: Array,
    step: int,
    *,
    decay: float,
    start: int,
    every: int,
) -> None:
    """Towards the parameters, at the steps that count."""
    if out[0] is not average:
        np.copyto(out[0], average)
    share = momentum.average_share(int(step), decay, start, every)
    if share:
        difference = parameter - average
        difference *= share
        np.add(average, difference, out=out[0])


def keep(out: Out, parameter: Array) -> None:
    """The parameters once more."""
    np.copyto(out[0], parameter)


def assign(out: Out, statistics: Array, observed: Array) -> None:
    """A copy over the first elements."""
    count = len(observed)
    if out[0] is not statistics:
        np.copyto(out[0][count:], statistics[count:])
    np.copyto(out[0][:count], observed)


def rescale(
    out: Out, parameter: Array, before: Array, *, factor: float, start: int, stop: int
) -> None:
    """Back towards what was before, on a range."""
    if out[0] is not parameter:
        np.copyto(out[0], parameter)
    part, old = out[0][start:stop], before[start:stop]
    part -= old
    part *= factor
    part += old


def add_decay(
    out: Out, gradient: Array, parameter: Array, *, coefficient: float, start: int, stop: int
) -> None:
    """The coefficient times the parameter, on a range."""
    if out[0] is not gradient:
        np.copyto(out[0], gradient)
    out[0][start:stop] += parameter[start:stop] * coefficient
