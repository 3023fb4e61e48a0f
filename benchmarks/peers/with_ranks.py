"""lamina on ranks of MPI: together on each batch, or each by itself beside the others.

The variant begins with "apart" where each rank trains alone, with "work alone" where it does so on
its share of the rows, and with "sums alone" where gradients are added up that no training makes:
these are what the model of `scaling/model.py` knows. It
begins with "sums in Python" where compiled steps call Python for each sum of gradients, and Python
calls MPI.
"""

from __future__ import annotations

import ctypes
import math
import os
import statistics
import time
from dataclasses import replace
from typing import Any

import numpy as np

from ...backends import mpi
from ...backends.parts import Held, own
from ...backends.threads import set_threads
from ...core.distributed import Distributed
from ...kernels.host import usable_cores
from ...kernels.memory import aligned
from ...kernels.numba.native import slots
from ...kernels.spec import ITEMSIZE
from ..scaling import reduction
from .peer import Peer, Task, Workload
from .with_lamina import Training

APART, WORK, SUMS, IN_PYTHON = "apart", "work alone", "sums alone", "sums in Python"
LONGEST, RESIDENT = 64, 8 << 20  # times the block, and bytes, of an epoch at most
AGREED = 100  # epochs' ends, to know what one takes
WORK_SECONDS = 0.1  # of steps, to know what one takes


class Alone(Distributed):
    """One rank, by the program of several: each row has a weight, and is found by its number.

    Where several would split an update, it does its part, in memory of its own.

    crowded: where ranks share a core, this one gives it away where it would add up. rank, of: which
        of how many on the host it stands for.
    """

    def __init__(self, crowded: bool, rank: int, of: int) -> None:
        from mpi4py import MPI

        super().__init__(MPI.COMM_SELF)
        self.crowded, self.stands, self.of = crowded, rank, of
        self.kept: dict[tuple[str, int, int], list[np.ndarray]] = {}

    def _memory(self, dtype: str, count: int, number: int) -> list[np.ndarray]:
        """So many arrays, the same each time."""
        key = (dtype, count, number)
        if key not in self.kept:
            self.kept[key] = [aligned(count, dtype) for _ in range(number)]
        return self.kept[key]

    def window(self, dtype: str, count: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The gradient is its sum."""
        if self.of == 1 or count * ITEMSIZE[dtype] > mpi.LARGEST:
            return None
        (flat,) = self._memory(dtype, count, 1)
        return flat, flat

    def held(self, dtype: str, count: int, number: int) -> Held | None:
        """Of these elements it updates its part."""
        return Held(self._memory(dtype, count, number + 1)[1:], own(count, self.stands, self.of))

    def add(self, flat: np.ndarray) -> None:
        """Nothing is to be added."""
        if self.crowded:
            os.sched_yield()

    def native(self, dtype: str) -> np.ndarray:
        """The same for compiled code."""
        return reduction.by_itself(self.crowded)


class Apart(Training):
    """Each rank trains alone, all at the same time.

    An epoch goes over the block many times where it is small, for the ranks agree after each on
    what comes next, which is no step.
    """

    def __init__(self, task: Task, peer: Peer) -> None:
        set_threads(peer.threads)
        super().__init__(task, peer.name)
        self.communicator: Any = None
        self.team: Distributed | None = None
        self.crowded = peer.ranks * peer.threads > usable_cores()
        if peer.ranks > 1:
            from mpi4py import MPI

            self.communicator = MPI.COMM_WORLD
        if peer.variant.startswith((APART, WORK, SUMS)):
            rank = self.communicator.rank if self.communicator is not None else 0
            self.team = Alone(self.crowded, rank, peer.ranks)
        self.machine = "CPU"
        x, y = task.block
        ranks = peer.ranks if self.team is not None else 1  # that go over so many bytes
        times = max(1, min(LONGEST, RESIDENT // (x.nbytes * ranks)))
        self.grain = times * task.grain
        self.epoch = np.tile(x, (times, 1)), np.tile(y, (times, *[1] * (y.ndim - 1)))

    def perform(self, units: int) -> None:
        """Steps, which begin at the same time on all ranks."""
        if self.communicator is not None:
            self.communicator.Barrier()
        self._fit(*self.epoch, units // self.grain)

    def _fit(self, x: np.ndarray, y: np.ndarray, epochs: int, shuffle: bool = False) -> list[float]:
        batch, team = self._size(), self.team
        history = self.model.fit(
            x, y, epochs, batch, shuffle=shuffle, verbose=0, distributed=team
        )  # fmt: skip
        self.stepping = math.fsum(history.seconds)
        return list(history.history["loss"])

    def _size(self) -> int:
        """The rows of a batch."""
        return self.task.network.batch

    def agreed(self, seconds: float) -> float:
        """The slowest rank's, of epochs alone: what a call of `fit` begins with is no step."""
        if self.communicator is None:
            return self.stepping
        return float(max(self.communicator.allgather(self.stepping)))


class Work(Apart):
    """What a rank does of each batch by itself: steps on its share of the rows."""

    def __init__(self, task: Task, peer: Peer) -> None:
        network = task.network
        self.share = math.ceil(network.batch / peer.ranks)
        super().__init__(replace(task, network=replace(network, batch=self.share)), peer)
        self.task = task  # whose answer is asked for

    def _size(self) -> int:
        return self.share


class Behind(Work):
    """The sum of a step's gradient, behind as much work as a rank has; a unit is one sum.

    And the step's share of what ranks agree on after each epoch.
    """

    def __init__(self, task: Task, peer: Peer) -> None:
        super().__init__(task, peer)
        network = task.network
        kind = reduction.Compiled if peer.name == "numba" else reduction.Sum
        size = network.parameters * ITEMSIZE[network.dtype]
        self.sum = kind(self.communicator, size, self._work(), self.crowded)
        self.sum.ready()
        self.together = Distributed(self.communicator)
        self.count, self.dtype = network.parameters, network.dtype

    def _work(self) -> float:
        """Seconds of a step of single ranks."""
        units, took = self.grain, 0.0
        while took < WORK_SECONDS:
            units *= 2
            super().perform(units)
            took = self.agreed(0.0)
        return took / units

    def perform(self, units: int) -> None:
        """So many times what one takes, of many."""
        assert self.team is not None
        agreed = self._agreeing(self.together) - self._agreeing(self.team)
        self.stepping = units * (self.sum.round() + max(agreed, 0.0) / self.grain)

    def _agreeing(self, team: Distributed) -> float:
        """Seconds an epoch that a team does what `core/shared_rows.py` asks of it.

        The median: where the system has two ranks on one core for a while, one takes milliseconds.
        """
        found = []
        for _ in range(AGREED):
            start = time.perf_counter()
            team.window(self.dtype, self.count)
            team.native(self.dtype)
            team.slowest(0.0)
            team.total({"loss": 0.0})
            found.append(time.perf_counter() - start)
        return statistics.median(found)


class InPython(Distributed):
    """Ranks whose compiled code calls Python for a sum."""

    def native(self, dtype: str) -> np.ndarray:
        """A function of Python in the place of MPI's, which gets all of a gradient at once."""
        number: Any = ctypes.c_float if dtype == "float32" else ctypes.c_double

        def call(send: int, place: int, count: int, *handles: int) -> int:
            self.add(np.ctypeslib.as_array((number * count).from_address(place)))
            return 0

        self.call = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int64] * 6)(call)
        address = ctypes.cast(self.call, ctypes.c_void_p).value or 0
        made = np.zeros(slots.SUM_SLOTS, np.int64)
        made[slots.CALL], made[slots.MOST_BYTES] = address, 1 << 62
        return made

    def window(self, dtype: str, count: int) -> None:
        """None: MPI has the gradient to add up where it lies."""


class Together(Apart):
    """Each rank has its share of the rows of every batch."""

    def __init__(self, task: Task, peer: Peer) -> None:
        super().__init__(task, peer)
        in_python = peer.variant.startswith(IN_PYTHON)
        self.team = (InPython if in_python else Distributed)(self.communicator)

    def answer(self) -> dict[str, Any]:
        """Ten steps, one call each."""
        return self.told([loss for batch in self.task.checked for loss in self._fit(*batch, 1)])


def workload(peer: Peer, task: Task) -> Workload:
    """The task on ranks; on a single one there is nobody to be together with."""
    if peer.variant.startswith(SUMS):
        return Behind(task, peer)
    if peer.variant.startswith(WORK):
        return Work(task, peer)
    alone = peer.ranks == 1 or peer.variant.startswith(APART)
    return Apart(task, peer) if alone else Together(task, peer)
