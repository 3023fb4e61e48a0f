"""Honest timing: calibrated rounds, interleaved, with the garbage collector waiting."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

ROUND_SECONDS = 0.02  # a round shorter than this measures the clock and the scheduler


def nothing() -> None:
    """Synchronises a device that has no queue."""


@dataclass
class Contender:
    """One way of doing a piece of work.

    label: whatever the caller knows it by. perform: does `units` units of work per call.
    synchronize: waits until the device is done. seconds: one number a unit, for each round.
    """

    label: Any
    perform: Callable[[], object]
    synchronize: Callable[[], None] = nothing
    units: int = 1
    repeats: int = 1
    first_call: float = 0.0
    seconds: list[float] = field(default_factory=list)

    def warm(self, round_seconds: float = ROUND_SECONDS) -> None:
        """The first call, timed by itself, and as many more as it takes to size a round."""
        self.first_call = self._time(1)
        seconds = self._time(1)
        while seconds * 2.0 < round_seconds:
            wanted = round_seconds / max(seconds / self.repeats, 1e-9)
            self.repeats = max(2 * self.repeats, min(int(wanted), 100 * self.repeats))
            seconds = self._time(self.repeats)

    def _time(self, repeats: int) -> float:
        perform = self.perform
        self.synchronize()
        start = time.perf_counter()
        for _ in range(repeats):
            perform()
        self.synchronize()
        return time.perf_counter() - start

    def round(self) -> float:
        """One round; returns how long it took altogether."""
        took = self._time(self.repeats)
        self.seconds.append(took / (self.repeats * self.units))
        return took


def interleave(
    contenders: Sequence[Contender],
    rounds: int = 7,
    *,
    least: int = 3,
    seconds: float = float("inf"),
) -> None:
    """Rounds of all contenders in turn, so that a drift of the machine hits all of them.

    The order is rotated from round to round, or one would always run in its neighbour's wake.
    Ends after `rounds`, or, with at least `least` rounds, when `seconds` are over.
    """
    start = time.perf_counter()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number in range(rounds):
            if number >= least and time.perf_counter() - start > seconds:
                break
            for contender in _rotated(contenders, number):
                contender.round()
    finally:
        if collecting:
            gc.enable()


def _rotated(contenders: Sequence[Contender], number: int) -> Iterable[Contender]:
    at = number % max(len(contenders), 1)
    return (*contenders[at:], *contenders[:at])
