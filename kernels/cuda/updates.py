"""Optimizer updates and what else is done to flat segments: one launch each.

The learning rate and the step may be numbers of the host or arrays of rank 0 on the device. Every
function takes `going`, a flag on the device of shape (1,): where that is false when the kernel
runs, nothing is written. `guarded` on a function says that it does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from .. import momentum as momenta
from .arrays import Array, Out, dtype_of, line
from .launch import flat, launch, number
from .reductions import parts_of

Run = TypeVar("Run", bound=Callable[..., None])


def guarded(function: Run) -> Run:
    """A function that takes `going`, marked so."""
    function.guarded = True  # type: ignore[attr-defined]
    return function


def _through(
    kernel: str, out: Out, inputs: tuple[Array, ...], going: Array | None, *rest: Any
) -> None:
    """A kernel from flat arrays to flat arrays of one length."""
    target = out[0]
    if target.size:
        launch(
            kernel, dtype_of(target), *flat(target.size), *map(line, inputs), *out, target.size,
            *rest, going,
        )  # fmt: skip


@guarded
def sgd_update(
    out: Out, parameter: Array, gradient: Array, learning_rate: Any, *, going: Array | None = None
) -> None:
    """Plain gradient descent."""
    _through("sgd", out, (parameter, gradient), going, *number(learning_rate))


def momentum_update(nesterov: bool) -> Any:
    """Momentum, and Nesterov's variant."""

    @guarded
    def run(
        out: Out, parameter: Array, gradient: Array, velocity: Array, learning_rate: Any, *,
        momentum: float, going: Array | None = None,
    ) -> None:  # fmt: skip
        inputs = (parameter, gradient, velocity)
        _through("momentum", out, inputs, going, *number(learning_rate), momentum, nesterov)

    return run


@guarded
def rmsprop_update(
    out: Out, parameter: Array, gradient: Array, square: Array, learning_rate: Any, *,
    rho: float, epsilon: float, going: Array | None = None,
) -> None:  # fmt: skip
    """RMSprop."""
    inputs = (parameter, gradient, square)
    _through("rmsprop", out, inputs, going, *number(learning_rate), rho, 1.0 - rho, epsilon)


@guarded
def adagrad_update(
    out: Out, parameter: Array, gradient: Array, square: Array, learning_rate: Any, *,
    epsilon: float, going: Array | None = None,
) -> None:  # fmt: skip
    """Adagrad: RMSprop that keeps and adds all."""
    inputs = (parameter, gradient, square)
    _through("rmsprop", out, inputs, going, *number(learning_rate), 1.0, 1.0, epsilon)


@guarded
def adam_update(
    out: Out, parameter: Array, gradient: Array, mean: Array, square: Array,
    learning_rate: Any, step: Any, *, beta1: float, beta2: float, epsilon: float,
    weight_decay: float = 0.0, decayed: int = 0, going: Array | None = None,
) -> None:  # fmt: skip
    """Adam, and AdamW."""
    _through(
        "adam", out, (parameter, gradient, mean, square), going, *number(learning_rate),
        *number(step), beta1, beta2, epsilon, weight_decay, decayed,
    )  # fmt: skip


@guarded
def amsgrad_update(
    out: Out, parameter: Array, gradient: Array, mean: Array, square: Array, largest: Array,
    learning_rate: Any, step: Any, *, beta1: float, beta2: float, epsilon: float,
    going: Array | None = None,
) -> None:  # fmt: skip
    """Adam by the largest mean square."""
    _through(
        "amsgrad", out, (parameter, gradient, mean, square, largest), going, *number(learning_rate),
        *number(step), beta1, beta2, epsilon,
    )  # fmt: skip


@guarded
def nadam_update(
    out: Out, parameter: Array, gradient: Array, mean: Array, square: Array,
    learning_rate: Any, step: Any, *, beta1: float, beta2: float, epsilon: float,
    momentum_decay: float, going: Array | None = None,
) -> None:  # fmt: skip
    """NAdam; its momentum is a product over the steps so far, up to where nothing changes it."""
    known = len(momenta.products(beta1, momentum_decay))
    _through(
        "nadam", out, (parameter, gradient, mean, square), going, *number(learning_rate),
        *number(step), beta1, beta2, epsilon, momentum_decay, known,
    )  # fmt: skip


@guarded
def lion_update(
    out: Out, parameter: Array, gradient: Array, mean: Array, learning_rate: Any, *,
    beta1: float, beta2: float, going: Array | None = None,
) -> None:  # fmt: skip
    """Lion."""
    _through("lion", out, (parameter, gradient, mean), going, *number(learning_rate), beta1, beta2)


@guarded
def shrink(
    out: Out,
    parameter: Array,
    learning_rate: Any,
    *,
    weight_decay: float,
    decayed: int,
    going: Array | None = None,
) -> None:
    """Decay beside the gradient."""
    _through("shrink", out, (parameter,), going, *number(learning_rate), weight_decay, decayed)


@guarded
def average_update(
    out: Out,
    average: Array,
    parameter: Array,
    step: Any,
    *,
    decay: float,
    start: int,
    every: int,
    going: Array | None = None,
) -> None:
    """Towards the parameters, by the share of the step."""
    _through("average", out, (average, parameter), going, *number(step), decay, start, every)


@guarded
def rescale(
    out: Out,
    parameter: Array,
    before: Array,
    *,
    factor: float,
    start: int,
    stop: int,
    going: Array | None = None,
) -> None:
    """A part of the step that was taken, in a range."""
    _through("retract", out, (parameter, before), going, factor, start, stop)


@guarded
def add_decay(
    out: Out,
    gradient: Array,
    parameter: Array,
    *,
    coefficient: float,
    start: int,
    stop: int,
    going: Array | None = None,
) -> None:
    """The derivative of an L2 penalty, in a range."""
    _through("add_scaled", out, (gradient, parameter), going, coefficient, start, stop)


@guarded
def keep(out: Out, parameter: Array, *, going: Array | None = None) -> None:
    """A copy."""
    _through("exchange_first", out, (parameter, parameter), going, parameter.size)


@guarded
def assign(out: Out, statistics: Array, observed: Array, *, going: Array | None = None) -> None:
    """The first statistics anew."""
    _through("exchange_first", out, (observed, statistics), going, observed.size)


@guarded
def clip_norm(out: Out, gradient: Array, *, maximum: float, going: Array | None = None) -> None:
    """Two launches: parts of the squared norm, then the gradient times a number."""
    if not gradient.size:
        return
    gradient = line(gradient)
    squares = parts_of("square_parts", gradient)
    launch(
        "shorten", dtype_of(gradient), *flat(gradient.size), gradient, squares, out[0],
        gradient.size, squares.size, maximum, going,
    )  # fmt: skip
