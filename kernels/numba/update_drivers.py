"""What leads the optimizer updates to their compiled functions, which work in place.

Where an output is not its input's own memory it gets a copy first.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import momentum as shares
from . import updates
from .drivers import Array, Out, line


def _into(out: Out, *inputs: Array) -> None:
    for target, source in zip(out, inputs, strict=True):
        if target is not source:
            np.copyto(target, source)


def _flat(x: Array) -> Array:
    return np.ascontiguousarray(x) if x.flags.writeable else np.array(x)


def sgd_update(out: Out, parameter: Array, gradient: Array, learning_rate: float) -> None:
    """Plain gradient descent."""
    _into(out, parameter)
    updates.sgd(out[0], _flat(gradient), parameter.dtype.type(learning_rate))


def momentum_update(nesterov: bool) -> Any:
    """Momentum, and Nesterov's variant."""

    def run(
        out: Out,
        parameter: Array,
        gradient: Array,
        velocity: Array,
        learning_rate: float,
        *,
        momentum: float,
    ) -> None:
        _into(out, parameter, velocity)
        number = parameter.dtype.type
        updates.momentum(
            out[0], _flat(gradient), out[1], number(learning_rate), number(momentum), nesterov
        )  # fmt: skip

    return run


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
    """RMSprop."""
    _into(out, parameter, square)
    number = parameter.dtype.type
    updates.rmsprop(
        out[0], _flat(gradient), out[1], number(learning_rate), number(rho), number(1.0 - rho),
        number(epsilon),
    )  # fmt: skip


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
    """Adam; the bias corrections are computed here, in float64."""
    _into(out, parameter, mean, square)
    number = parameter.dtype.type
    size, root = learning_rate / (1.0 - beta1**step), 1.0 / math.sqrt(1.0 - beta2**step)
    updates.adam(
        out[0], _flat(gradient), out[1], out[2], number(size), number(root), number(beta1),
        number(1.0 - beta1), number(beta2), number(1.0 - beta2), number(epsilon),
    )  # fmt: skip


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
    _into(out, parameter, mean, square)
    updates.shrink(out[0][:decayed], parameter.dtype.type(1.0 - learning_rate * weight_decay))
    adam_update(out, out[0], gradient, out[1], out[2], learning_rate, step, **adam)


def clip_norm(out: Out, gradient: Array, *, maximum: float) -> None:
    """The gradient, shortened so that its norm is at most `maximum`; a NaN spreads over it."""
    gradient = line(gradient)
    ratio = maximum / (math.sqrt(updates.sum_of_squares(gradient)) + 1e-6)
    # written so that a NaN goes through, as it does through the reference's clip
    factor = 1.0 if ratio > 1.0 else ratio
    updates.scale_by(gradient, gradient.dtype.type(factor), out[0].reshape(-1))


def add_decay(
    out: Out, gradient: Array, parameter: Array, *, coefficient: float, start: int, stop: int
) -> None:
    """The coefficient times the parameter, on a range."""
    _into(out, gradient)
    updates.add_scaled(
        out[0][start:stop], _flat(parameter)[start:stop], gradient.dtype.type(coefficient)
    )  # fmt: skip


def adagrad_update(
    out: Out,
    parameter: Array,
    gradient: Array,
    square: Array,
    learning_rate: float,
    *,
    epsilon: float,
) -> None:
    """RMSprop that keeps and adds everything."""
    _into(out, parameter, square)
    number = parameter.dtype.type
    updates.rmsprop(
        out[0], _flat(gradient), out[1], number(learning_rate), number(1.0), number(1.0),
        number(epsilon),
    )  # fmt: skip


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
    """AMSGrad; the bias corrections are computed here, in float64."""
    _into(out, parameter, mean, square, largest)
    number = parameter.dtype.type
    size, root = learning_rate / (1.0 - beta1**step), 1.0 / math.sqrt(1.0 - beta2**step)
    updates.amsgrad(
        out[0], _flat(gradient), out[1], out[2], out[3], number(size), number(root),
        number(beta1), number(1.0 - beta1), number(beta2), number(1.0 - beta2), number(epsilon),
    )  # fmt: skip


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
    """NAdam; its momentum and the bias correction are computed here, in float64."""
    _into(out, parameter, mean, square)
    number = parameter.dtype.type
    now, ahead = shares.shares(int(step), beta1, momentum_decay)
    updates.nadam(
        out[0], _flat(gradient), out[1], out[2], number(learning_rate * now),
        number(learning_rate * ahead), number(1.0 / math.sqrt(1.0 - beta2**step)),
        number(beta1), number(1.0 - beta1), number(beta2), number(1.0 - beta2), number(epsilon),
    )  # fmt: skip


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
    """Lion."""
    _into(out, parameter, mean)
    number = parameter.dtype.type
    updates.lion(
        out[0], _flat(gradient), out[1], number(learning_rate), number(beta1),
        number(1.0 - beta1), number(beta2), number(1.0 - beta2),
    )  # fmt: skip


def shrink(
    out: Out, parameter: Array, learning_rate: float, *, weight_decay: float, decayed: int
) -> None:
    """The weights, which come first, times one factor."""
    _into(out, parameter)
    updates.shrink(out[0][:decayed], parameter.dtype.type(1.0 - learning_rate * weight_decay))


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
    _into(out, average)
    share = shares.average_share(int(step), decay, start, every)
    if share:
        updates.approach(out[0], _flat(parameter), average.dtype.type(share))


def rescale(
    out: Out, parameter: Array, before: Array, *, factor: float, start: int, stop: int
) -> None:
    """Back towards what was before, on a range."""
    _into(out, parameter)
    updates.retract(
        out[0][start:stop], _flat(before)[start:stop], parameter.dtype.type(factor)
    )  # fmt: skip
