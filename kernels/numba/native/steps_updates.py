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
    10 epsilon, 11 how many of the first decay, 12 beta1, beta2, decay (float64).
    """
    p = line(a[0], a[2], like)
    rate, step = doubles(a[3])[RATE], integers(a[3])[STEP]
    wide = doubles(a[12])  # the betas in float64, for the corrections
    size = p.dtype.type(rate / (1.0 - wide[0] ** step))
    root = p.dtype.type(1.0 / np.sqrt(1.0 - wide[1] ** step))
    if a[11] > 0:
        updates.shrink(line(a[0], a[11], like), p.dtype.type(1.0 - rate * wide[2]))
    updates.adam(
        p, line(a[1], a[2], like), line(a[4], a[2], like), line(a[5], a[2], like), size, root,
        real(a[6], like), real(a[7], like), real(a[8], like), real(a[9], like), real(a[10], like),
    )  # fmt: skip


@step
def amsgrad(a: Record, like: Like) -> None:
    """0 p, 1 g, 2 how many, 3 now, 4 m, 5 s, 6 beta1, 7 1 - beta1, 8 beta2, 9 1 - beta2,
    10 epsilon, 11 the betas in float64, 12 largest s.
    """
    p = line(a[0], a[2], like)
    rate, step, wide = doubles(a[3])[RATE], integers(a[3])[STEP], doubles(a[11])
    size = p.dtype.type(rate / (1.0 - wide[0] ** step))
    root = p.dtype.type(1.0 / np.sqrt(1.0 - wide[1] ** step))
    updates.amsgrad(
        p, line(a[1], a[2], like), line(a[4], a[2], like), line(a[5], a[2], like),
        line(a[12], a[2], like), size, root, real(a[6], like), real(a[7], like),
        real(a[8], like), real(a[9], like), real(a[10], like),
    )  # fmt: skip


@step
def nadam(a: Record, like: Like) -> None:
    """0 p, 1 g, 2 how many, 3 now, 4 m, 5 s, 6 beta1, 7 1 - beta1, 8 beta2, 9 1 - beta2,
    10 epsilon, 11 the betas and 0.96 ** decay in float64, 12 products of momenta, 13 how many.
    """
    p = line(a[0], a[2], like)
    rate, step, wide = doubles(a[3])[RATE], integers(a[3])[STEP], doubles(a[11])
    now = wide[0] * (1.0 - 0.5 * wide[2] ** step)
    ahead = wide[0] * (1.0 - 0.5 * wide[2] ** (step + 1))
    place = min(step, a[13])
    product = doubles(a[12])[place - 1] * wide[0] ** (step - place)
    updates.nadam(
        p, line(a[1], a[2], like), line(a[4], a[2], like), line(a[5], a[2], like),
        p.dtype.type(rate * (1.0 - now) / (1.0 - product)),
        p.dtype.type(rate * ahead / (1.0 - product * ahead)),
        p.dtype.type(1.0 / np.sqrt(1.0 - wide[1] ** step)), real(a[6], like), real(a[7], like),
        real(a[8], like), real(a[9], like), real(a[10], like),
    )  # fmt: skip


@step
def lion(a: Record, like: Like) -> None:
    """0 p, 1 g, 2 how many, 3 now, 4 m, 5 beta1, 6 1 - beta1, 7 beta2, 8 1 - beta2."""
    p = line(a[0], a[2], like)
    updates.lion(
        p, line(a[1], a[2], like), line(a[4], a[2], like), p.dtype.type(doubles(a[3])[RATE]),
        real(a[5], like), real(a[6], like), real(a[7], like), real(a[8], like),
    )  # fmt: skip


@step
def shrink(a: Record, like: Like) -> None:
    """0 p, 1 how many, 2 now, 3 weight decay in float64."""
    p = line(a[0], a[1], like)
    updates.shrink(p, p.dtype.type(1.0 - doubles(a[2])[RATE] * doubles(a[3])[0]))


@step
def average(a: Record, like: Like) -> None:
    """0 average, 1 p, 2 how many, 3 now, 4 decay in float64, 5 start, 6 every."""
    past = integers(a[3])[STEP] - a[5]
    if past <= 0 or past % a[6] != 0:
        return
    taken, decay = past // a[6], doubles(a[4])[0]
    share = 1.0 - decay if decay > 0.0 and taken > 1 else 1.0 / taken
    x = line(a[0], a[2], like)
    updates.approach(x, line(a[1], a[2], like), x.dtype.type(share))


@step
def keep(a: Record, like: Like) -> None:
    """0 x, 1 out, 2 how many."""
    updates.copy(line(a[0], a[2], like), line(a[1], a[2], like))


@step
def rescale(a: Record, like: Like) -> None:
    """0 p, 1 before, 2 how many, 3 factor."""
    updates.retract(line(a[0], a[2], like), line(a[1], a[2], like), real(a[3], like))


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
