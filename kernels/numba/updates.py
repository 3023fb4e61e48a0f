"""Numba kernels over flat buffers: the optimizer updates, one pass each.

Scalars come in the buffers' dtype, or float32 arithmetic would be done in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .instructions import fma
from .jit import jit
from .losses import weighted_sum

Array = Any

SQUARE_LANES = 128  # sums kept apart: of fewer, each addition would wait for the one before


@jit
def squares_below(x: Array, limit: float) -> bool:
    """Whether the sum of squares is a number below `limit`; with NaN or infinity in x it is not.

    In the dtype of x, and so only good enough for a limit that nobody comes near by training.
    """
    if x.size < SQUARE_LANES:
        few = 0.0
        for i in range(x.size):
            few += x[i] * x[i]
        return few < limit
    sums = np.zeros(SQUARE_LANES, x.dtype)
    for start in range(0, x.size, SQUARE_LANES):
        part = x[start:]
        for lane in range(min(SQUARE_LANES, part.size)):
            sums[lane] += part[lane] * part[lane]
    half = SQUARE_LANES // 2
    while half:
        for lane in range(half):
            sums[lane] += sums[lane + half]
        half //= 2
    small: bool = sums[0] < limit
    return small


@jit
def sgd(p: Array, g: Array, rate: Any) -> None:
    """p - rate g, in place."""
    for i in range(p.size):
        p[i] = fma(-rate, g[i], p[i])


@jit
def momentum(p: Array, g: Array, v: Array, rate: Any, factor: Any, nesterov: bool) -> None:
    """v = factor v + g; p - rate v, or with Nesterov p - rate (g + factor v); in place."""
    if nesterov:
        for i in range(p.size):
            v[i] = fma(factor, v[i], g[i])
            p[i] = fma(-rate, fma(factor, v[i], g[i]), p[i])
    else:
        for i in range(p.size):
            v[i] = fma(factor, v[i], g[i])
            p[i] = fma(-rate, v[i], p[i])


@jit
def rmsprop(p: Array, g: Array, s: Array, rate: Any, rho: Any, rest: Any, epsilon: Any) -> None:
    """s = rho s + rest g^2; p - rate g / (sqrt(s) + epsilon); in place."""
    for i in range(p.size):
        s[i] = fma(rho, s[i], rest * g[i] * g[i])
        p[i] -= rate * g[i] / (np.sqrt(s[i]) + epsilon)


@jit
def adam(
    p: Array, g: Array, m: Array, s: Array, size: Any, root: Any, beta1: Any, rest1: Any,
    beta2: Any, rest2: Any, epsilon: Any,
) -> None:  # fmt: skip
    """m and s are the running means of g and g^2; p - size m / (sqrt(s) root + epsilon)."""
    for i in range(p.size):
        m[i] = fma(beta1, m[i], rest1 * g[i])
        s[i] = fma(beta2, s[i], rest2 * g[i] * g[i])
        p[i] -= size * m[i] / fma(np.sqrt(s[i]), root, epsilon)


@jit
def shrink(p: Array, factor: Any) -> None:
    """p times a factor, in place: the decoupled weight decay of AdamW."""
    for i in range(p.size):
        p[i] *= factor


@jit
def add_scaled(g: Array, p: Array, coefficient: Any) -> None:
    """g + coefficient p, in place."""
    for i in range(g.size):
        g[i] = fma(coefficient, p[i], g[i])


@jit
def sum_of_squares(g: Array) -> float:
    """In float64, whatever the dtype: millions of squares are summed one after the other."""
    return weighted_sum(g, g)


@jit
def scale_by(g: Array, factor: Any, out: Array) -> None:
    """g times a factor; out may be g."""
    for i in range(g.size):
        out[i] = g[i] * factor


@jit
def amsgrad(
    p: Array, g: Array, m: Array, s: Array, most: Array, size: Any, root: Any, beta1: Any,
    rest1: Any, beta2: Any, rest2: Any, epsilon: Any,
) -> None:  # fmt: skip
    """As `adam`, with the largest s so far, `most`, in the place of s."""
    for i in range(p.size):
        m[i] = fma(beta1, m[i], rest1 * g[i])
        s[i] = fma(beta2, s[i], rest2 * g[i] * g[i])
        most[i] = max(most[i], s[i])
        p[i] -= size * m[i] / fma(np.sqrt(most[i]), root, epsilon)


@jit
def nadam(
    p: Array, g: Array, m: Array, s: Array, now: Any, ahead: Any, root: Any, beta1: Any,
    rest1: Any, beta2: Any, rest2: Any, epsilon: Any,
) -> None:  # fmt: skip
    """As `adam`, with now g + ahead m in the place of size m."""
    for i in range(p.size):
        m[i] = fma(beta1, m[i], rest1 * g[i])
        s[i] = fma(beta2, s[i], rest2 * g[i] * g[i])
        p[i] -= fma(ahead, m[i], now * g[i]) / fma(np.sqrt(s[i]), root, epsilon)


@jit
def lion(
    p: Array, g: Array, m: Array, rate: Any, beta1: Any, rest1: Any, beta2: Any, rest2: Any
) -> None:
    """p - rate sign(beta1 m + rest1 g); m = beta2 m + rest2 g; in place."""
    zero = p.dtype.type(0)
    for i in range(p.size):
        direction = fma(beta1, m[i], rest1 * g[i])
        p[i] -= rate if direction > zero else (-rate if direction < zero else zero)
        m[i] = fma(beta2, m[i], rest2 * g[i])


@jit
def approach(x: Array, goal: Array, share: Any) -> None:
    """x + share (goal - x), in place."""
    for i in range(x.size):
        x[i] = fma(share, goal[i] - x[i], x[i])


@jit
def retract(p: Array, before: Array, factor: Any) -> None:
    """before + factor (p - before), in place of p."""
    for i in range(p.size):
        p[i] = fma(factor, p[i] - before[i], before[i])


@jit
def add(x: Array, out: Array) -> None:
    """Adds to numbers elsewhere."""
    for i in range(x.size):
        out[i] += x[i]


@jit
def copy(x: Array, out: Array) -> None:
    """The same numbers elsewhere."""
    for i in range(x.size):
        out[i] = x[i]
