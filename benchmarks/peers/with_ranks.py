"""lamina on ranks of MPI: together on each batch, or each by itself beside the others.

The variant begins with "apart" where each rank trains alone: what such ranks take is what the model
of `scaling/model.py` knows of the work. It begins with "sums in Python" where compiled steps call
Python for each sum of gradients, and Python calls MPI.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np

from ...backends.threads import set_threads
from ...core.distributed import Distributed
from ...kernels.numba.native import slots
from .peer import Peer, Task, Workload
from .with_lamina import Training

APART, IN_PYTHON = "apart", "sums in Python"
LONGEST, RESIDENT = 64, 8 << 20  # times the block, and bytes, of an epoch at most


class Apart(Training):
    """Each rank trains alone, all at the same time.

    An epoch goes over the block many times where it is small, for the ranks agree after each on
    what comes next, which is no step.
    """

    def __init__(self, task: Task, peer: Peer) -> None:
        set_threads(peer.threads)
        super().__init__(task, peer.name)
        self.communicator: Any = None
        if peer.ranks > 1:
            from mpi4py import MPI

            self.communicator = MPI.COMM_WORLD
        self.machine = "CPU"
        self.team: Distributed | None = None
        x, y = task.block
        times = max(1, min(LONGEST, RESIDENT // x.nbytes))
        self.grain = times * task.grain
        self.epoch = np.tile(x, (times, 1)), np.tile(y, (times, *[1] * (y.ndim - 1)))

    def perform(self, units: int) -> None:
        """Steps, which begin at the same time on all ranks."""
        if self.communicator is not None:
            self.communicator.Barrier()
        self._fit(*self.epoch, units // self.grain)

    def _fit(self, x: np.ndarray, y: np.ndarray, epochs: int, shuffle: bool = False) -> list[float]:
        batch, team = self.task.network.batch, self.team
        history = self.model.fit(
            x, y, epochs, batch, shuffle=shuffle, verbose=0, distributed=team
        )  # fmt: skip
        self.stepping = math.fsum(history.seconds)
        return list(history.history["loss"])

    def agreed(self, seconds: float) -> float:
        """The slowest rank's, of epochs alone: what a call of `fit` begins with is no step."""
        if self.communicator is None:
            return self.stepping
        return float(max(self.communicator.allgather(self.stepping)))


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
    alone = peer.ranks == 1 or peer.variant.startswith(APART)
    return Apart(task, peer) if alone else Together(task, peer)
