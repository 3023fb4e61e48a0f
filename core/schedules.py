"""Learning-rate schedules: functions of the step number, which counts optimizer updates from 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..kernels.errors import BadInput
from .checks import check_count, check_number


@dataclass(frozen=True)
class Step:
    """initial * factor ** (step // every): a staircase.

    initial: the first rate, from 0. every: steps on a stair. factor: in [0, 1]. Raises: BadInput.
    """

    initial: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        check_number("schedules.Step: initial", self.initial, 0.0, math.inf, open_high=True)
        check_count("schedules.Step: every", self.every)
        check_number("schedules.Step: factor", self.factor, 0.0, 1.0, open_high=False)

    def __call__(self, step: int) -> float:
        """The learning rate of a step."""
        return float(self.initial * self.factor ** (step // self.every))


@dataclass(frozen=True)
class Exponential:
    """initial * factor ** (step / every): the staircase without its steps.

    initial: the first rate, from 0. every: steps after which the rate has been multiplied once by
    `factor`, in [0, 1]. Raises: BadInput.
    """

    initial: float
    every: int
    factor: float = 0.96

    def __post_init__(self) -> None:
        check_number("schedules.Exponential: initial", self.initial, 0.0, math.inf, open_high=True)
        check_count("schedules.Exponential: every", self.every)
        check_number("schedules.Exponential: factor", self.factor, 0.0, 1.0, open_high=False)

    def __call__(self, step: int) -> float:
        """The learning rate of a step."""
        return float(self.initial * self.factor ** (step / self.every))


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from `initial` down to `final` over `steps`, then `final`.

    final + (initial - final) * (1 + cos(pi * step / steps)) / 2 (Loshchilov and Hutter 2017); both
    rates are from 0. Raises: BadInput.

    >>> [round(Cosine(1.0, 4)(step), 3) for step in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    initial: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        check_number("schedules.Cosine: initial", self.initial, 0.0, math.inf, open_high=True)
        check_number("schedules.Cosine: final", self.final, 0.0, math.inf, open_high=True)
        check_count("schedules.Cosine: steps", self.steps)

    def __call__(self, step: int) -> float:
        """The learning rate of a step."""
        share = min(step / self.steps, 1.0)
        rest = 0.5 * (1.0 + math.cos(math.pi * share))
        return float(self.final + (self.initial - self.final) * rest)


@dataclass(frozen=True)
class WarmUp:
    """A straight line up to `after` over `steps`, then `after`: a number or another schedule.

    after * (step + 1) / steps (Goyal et al. 2017). A schedule in `after` counts its steps from the
    line's end. Raises: BadInput.

    >>> [WarmUp(4, 0.8)(step) for step in range(5)]
    [0.2, 0.4, 0.6000000000000001, 0.8, 0.8]
    """

    steps: int
    after: float | Callable[[int], float]

    def __post_init__(self) -> None:
        check_count("schedules.WarmUp: steps", self.steps)
        if not callable(self.after):
            check_number("schedules.WarmUp: after", self.after, 0.0, math.inf, open_high=True)

    def __call__(self, step: int) -> float:
        """The learning rate of a step; the schedule behind starts when the line ends."""
        if step < self.steps:
            top = self.after(0) if callable(self.after) else self.after
            return float(top * (step + 1) / self.steps)
        return float(self.after(step - self.steps) if callable(self.after) else self.after)


@dataclass(frozen=True)
class CosineRestarts:
    """Half cosines from `initial` down to `final`, one after the other, each from the top.

    The first takes `steps`, each next one `factor` times as many; within one,
    final + (initial - final) * (1 + cos(pi * step / its steps)) / 2 (SGDR, Loshchilov and Hutter
    2017; torch's CosineAnnealingWarmRestarts). Both rates are from 0, factor is a whole number
    from 1. Raises: BadInput.

    >>> [round(CosineRestarts(1.0, 2, factor=2)(step), 3) for step in range(7)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    initial: float
    steps: int
    factor: int = 1
    final: float = 0.0

    def __post_init__(self) -> None:
        name = "schedules.CosineRestarts"
        check_number(f"{name}: initial", self.initial, 0.0, math.inf, open_high=True)
        check_number(f"{name}: final", self.final, 0.0, math.inf, open_high=True)
        check_count(f"{name}: steps", self.steps)
        check_count(f"{name}: factor", self.factor)

    def __call__(self, step: int) -> float:
        """The learning rate of a step."""
        length = self.steps
        if self.factor == 1:
            step %= length
        while step >= length:
            step, length = step - length, length * self.factor
        rest = 0.5 * (1.0 + math.cos(math.pi * step / length))
        return float(self.final + (self.initial - self.final) * rest)


@dataclass(frozen=True)
class OneCycle:
    """Up to `highest` and far down again, once over `steps`, then what it ended at.

    Half a cosine from highest / start up to highest, with its top at step rise * steps - 1; then
    one down to highest / start / end at the last step (Smith and Topin 2019; torch's OneCycleLR).

    highest: from 0. steps: of the whole training, from 2. rise: the share of steps before the top,
    in [0, 1]. start, end: what `highest` and the first rate are divided by, from 1.
    Raises: BadInput.

    >>> [round(OneCycle(1.0, 10, rise=0.4)(step), 3) for step in (0, 3, 6, 9, 50)]
    [0.04, 1.0, 0.5, 0.0, 0.0]
    """

    highest: float
    steps: int
    rise: float = 0.3
    start: float = 25.0
    end: float = 1e4

    def __post_init__(self) -> None:
        check_number("schedules.OneCycle: highest", self.highest, 0.0, math.inf, open_high=True)
        check_count("schedules.OneCycle: steps", self.steps, least=2)
        check_number("schedules.OneCycle: rise", self.rise, 0.0, 1.0, open_high=False)
        check_number("schedules.OneCycle: start", self.start, 1.0, math.inf, open_high=True)
        check_number("schedules.OneCycle: end", self.end, 1.0, math.inf, open_high=True)

    def __call__(self, step: int) -> float:
        """The learning rate of a step."""
        first, last = self.highest / self.start, self.highest / self.start / self.end
        top, stop = self.rise * self.steps - 1.0, self.steps - 1.0
        if step <= top:
            share, low, high = step / top if top else 1.0, first, self.highest
        else:
            share, low, high = min((step - top) / (stop - top), 1.0), self.highest, last
        return float(high + (low - high) * 0.5 * (1.0 + math.cos(math.pi * share)))


@dataclass(frozen=True)
class CosineLogarithmic:
    """Cosine waves from 0 up to `highest` and down again, each twice as long as the one before.

    highest * (1 - cos(2 pi log2(1 + (2 ** cycles - 1) * step / steps))) / 2, then 0 (coslog4 of
    RealMLP: Holzmüller, Grinsztajn and Steinwart 2024).

    highest: from 0. steps: of the whole training. cycles: how many waves, from 1.
    Raises: BadInput.

    >>> [round(CosineLogarithmic(1.0, 30)(step), 3) for step in (0, 1, 2, 4, 6, 14, 22, 30)]
    [0.0, 0.93, 0.0, 0.93, 0.0, 0.0, 0.93, 0.0]
    """

    highest: float
    steps: int
    cycles: int = 4

    def __post_init__(self) -> None:
        name = "schedules.CosineLogarithmic"
        check_number(f"{name}: highest", self.highest, 0.0, math.inf, open_high=True)
        check_count(f"{name}: steps", self.steps)
        check_count(f"{name}: cycles", self.cycles)
        if self.cycles > 50:
            raise BadInput(f"{name}: cycles must be at most 50, not {self.cycles}")

    def __call__(self, step: int) -> float:
        """The learning rate of a step."""
        share = min(step / self.steps, 1.0)
        waves = math.log2(1.0 + (2.0**self.cycles - 1.0) * share)
        return float(self.highest * 0.5 * (1.0 - math.cos(2.0 * math.pi * waves)))


BUILTIN = {
    c.__name__: c
    for c in (Step, Exponential, Cosine, CosineRestarts, CosineLogarithmic, OneCycle, WarmUp)
}


def check(rate: object) -> float:
    """A schedule's `rate`. Raises: BadInput unless it is a finite number from 0."""
    try:
        found = float(rate)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if isinstance(rate, (str, bytes)) or not (math.isfinite(found) and found >= 0):
        raise BadInput(f"a schedule gave the learning rate {rate!r}: it must be finite and from 0")
    return found
