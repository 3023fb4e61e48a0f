"""What a process does of each batch, where several train one model, and how gradients are summed.

Each process runs the same program on its rows of every batch. At the reduction point their
gradients become one sum, so that all guard, clip and take the same update.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from .device import Array, Device

COLUMNS = 3  # numbers of a step
TOTAL, SCALE, FIRST = range(COLUMNS)


class Reducer(ABC):
    """Sums arrays over the processes."""

    @abstractmethod
    def add(self, flat: np.ndarray) -> None:
        """Makes a contiguous array the sum of those of all processes, where it lies."""

    @abstractmethod
    def native(self, dtype: str) -> np.ndarray:
        """How compiled code does the same: what it calls and with what, (12,) int64.

        The address of `MPI_Allreduce`, then MPI_IN_PLACE and the handles of the datatype, the
        operation and the communicator, as MPI's C interface takes them, and the most bytes a call.
        Then where the processes of this host meet: the address of a barrier, or 0 where they share
        no memory; that of a piece of so many bytes for each, and one more; which of them this is,
        and how many there are; how many hosts there are; how often one looks at the barrier before
        it gives its core away. The communicator is then of one process of each host.
        """


@dataclass(frozen=True)
class Part:
    """One process's part of the batches of a run.

    table: (steps, 3) float64, of each step: the sum of the weights of the whole batch (TOTAL); what
        this process's weights are multiplied by (SCALE), 1 / TOTAL, or 0 where it has no row of the
        batch and runs one of another's; where in the batch its first row is (FIRST).
    """

    table: np.ndarray
    reducer: Reducer


def summed(device: Device, flat: Array, reducer: Reducer, finite: bool) -> Array:
    """The sum of the gradients of all processes, where this one's lies if that can be written.

    finite: whether this one's loss is; else the sum is not.
    """
    host = flat if isinstance(flat, np.ndarray) else np.array(device.to_numpy(flat))
    if not finite:
        host[:1] = np.nan
    reducer.add(host)
    if host is flat:
        return flat
    if device.functional:
        return device.asarray(host)
    device.assign(flat, device.asarray(host))
    return flat
