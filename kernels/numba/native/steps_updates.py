"""Steps of the optimizers, on flat segments in place."""

from __future__ import annotations

import numpy as np

from .. import updates
from .machine import doubles, integers, line, real
from .slots import RATE, STEP, Like, Record
from .steps import step


@step
def sgd(a: Record, like: Like) -> None:
    """0 p, 1 g, 2 how many, 3 now."""
    rate = line(a[0], 1, like).dtype.type(doubles(a[3])[RATE])
    updates.sgd(line(a[0], a[2], like), line(a[1], a[2], like), rate)


@step
def momentum(a: Record, like: Like) -> None:
    """0 p, 1 g, 2 how many, 3 now, 4 v, 5 factor, 6 Nesterov."""
    p = line(a[0], a[2], like)
    updates.momentum(
        p, line(a[1], a[2], like), line(a[4], a[2], like), p.dtype.type(doubles(a[3])[RATE]),
        real(a[5], like), a[6] != 0,
    )  # fmt: skip


@step
def rmsprop(a: Record, like: Like) -> None:
    """0 p, 1 g, 2 how many, 3 now, 4 s, 5 rho, 6 1 - rho, 7 epsilon."""
    p = line(a[0], a[2], like)
    updates.rmsprop(
        p, line(a[1], a[2], like), line(a[4], a[2], like), p.dtype.type(doubles(a[3])[RATE]),
        real(a[5], like), real(a[6], like), real(a[7], like),
    )  # fmt: skip


@step
def adam(a: Record, like: Like) -> None:
    """0 p, 1 g, 2 how many, 3 now, 4 m, 5 s, 6 beta1, 7 1 - beta1, 8 beta2, 9 1 - beta2,
    10 epsilon, 11 not read, 12 how many of the first decay, 13 beta1, beta2, decay (float64).
    """
    p = line(a[0], a[2], like)
    rate, step = doubles(a[3])[RATE], integers(a[3])[STEP]
    wide = doubles(a[13])  # the betas in float64, for the corrections
    size = p.dtype.type(rate / (1.0 - wide[0] ** step))
    root = p.dtype.type(1.0 / np.sqrt(1.0 - wide[1] ** step))
    if a[12] > 0:
        updates.shrink(line(a[0], a[12], like), p.dtype.type(1.0 - rate * wide[2]))
    updates.adam(
        p, line(a[1], a[2], like), line(a[4], a[2], like), line(a[5], a[2], like), size, root,
        real(a[6], like), real(a[7], like), real(a[8], like), real(a[9], like), real(a[10], like),
    )  # fmt: skip


@step
def squares(a: Record, like: Like) -> None:
    """The sum of squares in float64. 0 x, 1 how many, 2 out (float64)."""
    doubles(a[2])[0] = updates.sum_of_squares(line(a[0], a[1], like))


@step
def clip(a: Record, like: Like) -> None:
    """0 g, 1 how many, 2 the shares' sums of squares, 3 how many of them, 4 maximum."""
    found = 0.0
    for i in range(a[3]):
        found += doubles(a[2])[i]
    g = line(a[0], a[1], like)
    ratio = np.float64(real(a[4], like)) / (np.sqrt(found) + 1e-6)
    updates.scale_by(g, g.dtype.type(1.0 if ratio > 1.0 else ratio), g)


@step
def add_decay(a: Record, like: Like) -> None:
    """0 g, 1 p, 2 how many, 3 coefficient."""
    updates.add_scaled(line(a[0], a[2], like), line(a[1], a[2], like), real(a[3], like))
