"""The control block of captured steps: what changes from step to step, on the device.

The host writes it before a run. Each step takes its row of the tables by the number that the step
before it has counted up, so nothing of a step is a number of the host.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .device import Array, Device

STEPS = 4096  # rows of the tables: steps that go without another upload
REALS = ("learning_rate", "squared_limit")  # float64, before the weight of each sum and a 1
COUNTERS = ("number", "step", "counter")  # int64, each of the step to come


class ControlBlock:
    """Numbers on the device: those of the steps, and what a run adds up and finds out.

    totals: (n + 1,), the sums in float64 and the number of steps that were begun. values: (n + 1,),
    the step's own, the last one 1. table: (STEPS, 2 + n + 1), the numbers of each step: `REALS`,
    then what each value is multiplied by. counters: (3,) by `COUNTERS`. going: (1,), whether all
    was finite so far; steps that begin later change nothing.
    """

    def __init__(self, backend: Device, sums: int) -> None:
        self.backend, xp, self.count = backend, backend.xp, sums + 1
        self.columns = len(REALS) + self.count
        self.reals = backend.zeros(self.count + STEPS * self.columns, "float64")
        self.totals = self.reals[: self.count]
        self.table = xp.reshape(self.reals[self.count :], (STEPS, self.columns))
        self.values = backend.asarray(np.ones(self.count))
        self.nothing = backend.zeros(self.count, "float64")
        self.counters = backend.zeros(len(COUNTERS), "int64")
        self.number = self.counters[0:1]
        self.zero = backend.zeros(1, "int64")
        self.going = backend.zeros(1, "bool")
        self.yes = backend.asarray(np.ones(1, dtype=np.bool_))

    def begin(self, sums: Sequence[float], numbers: np.ndarray, step: int) -> None:
        """Before a run. sums: so far. numbers: (steps, columns), the rows. step: the state's."""
        host = np.concatenate([np.array([*sums, 0.0]), numbers.reshape(-1)])
        self._write(self.reals, host)
        self._write(self.counters, np.array([0, step + 1, step], dtype=np.int64))
        self.backend.assign(self.going, self.yes)

    def go_on(self, numbers: np.ndarray) -> None:
        """Within a run of more steps than the table has rows: the next ones."""
        self._write(self.reals[self.count :], numbers.reshape(-1))
        self.backend.assign(self.number, self.zero)

    def put_aside(self, target: Array) -> None:
        """Between two passes: the totals go to memory of that shape, and are 0 again."""
        self.backend.assign(target, self.totals)
        self.backend.assign(self.totals, self.nothing)

    def _write(self, target: Array, host: np.ndarray) -> None:
        self.backend.assign(target[: len(host)], self.backend.asarray(host))
