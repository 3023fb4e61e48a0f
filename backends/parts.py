"""What a process does of each batch, where several train one model, and how gradients are summed.

Each process runs the same program on its rows of every batch. At the reduction point their
gradients become one sum, so that all guard, clip and take the same update.
"""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .device import Array, Device

SPLIT_BYTES = (1 << 16, 1 << 25)  # of a gradient, from and up to which it pays to split an update
COLUMNS = 3  # numbers of a step
TOTAL, SCALE, FIRST = range(COLUMNS)


class Recording(Protocol):
    """What keeps recorded steps, sums over processes among them."""

    def forget(self) -> None:
        """Lets go of all that was recorded."""


class DeviceSum(ABC):
    """Sums arrays of the processes' devices, as work of a stream, which may be recorded.

    users: who has recorded such sums.
    """

    def __init__(self) -> None:
        self.users: weakref.WeakSet[Recording] = weakref.WeakSet()

    @abstractmethod
    def add(self, flat: Array) -> None:
        """Has a flat array, (n,), become the sum of those of all processes, where it lies."""

    @abstractmethod
    def end(self) -> None:
        """Gives back what the sums need, in all processes; nothing that names it is there."""

    @abstractmethod
    def abort(self) -> None:
        """Ends it in this process alone, where another could not join."""

    def close(self) -> None:
        """Has recorded sums forgotten, and ends."""
        for one in list(self.users):
            one.forget()
        self.end()


class Collectives(Protocol):
    """What a device brings for sums over the devices of several processes.

    name: in words. place: which device this is; no two processes of a host have the same one.
    """

    name: str
    place: str

    def obstacle(self) -> str:
        """Why it cannot, and what mends it, in words; "" where it can."""

    def identity(self) -> bytes:
        """What the first process tells all, for them to find each other."""

    def join(self, identity: bytes, ranks: int, rank: int) -> DeviceSum:
        """Waits for all processes. identity: as the first one has it. rank: which one this is."""


class Reducer(ABC):
    """Sums arrays over the processes.

    ranks: how many there are. on_device: how their devices sum by themselves, or None. way: how
    devices sum, in words, "" where nothing is to be said.
    """

    ranks: int
    on_device: DeviceSum | None = None
    way = ""

    @abstractmethod
    def add(self, flat: np.ndarray) -> None:
        """Makes a contiguous array the sum of those of all processes, where it lies."""

    @abstractmethod
    def native(self, dtype: str) -> np.ndarray:
        """How compiled code does the same: what it calls and with what, (SUM_SLOTS,) int64.

        What stands in which slot is said in `kernels/numba/native/slots.py`. Handles are as MPI's C
        interface takes them. Where processes of this host meet in shared memory, the communicator
        is of one process of each host.
        """

    def window(self, dtype: str, count: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Memory that the processes of this host share: this one's piece, and that of the sum.

        Each is (count,) of the dtype; compiled code whose gradient lies there copies nothing. None
        where there is too little of it.
        """
        return None

    def held(self, dtype: str, count: int, number: int) -> Held | None:
        """Memory that the processes of this host share, for so many segments of a model's state.

        Each is (count,) of the dtype. None where there is too little of it.
        """
        return None


@dataclass(frozen=True)
class Held:
    """Segments that the processes of a host share, and the elements of each that are this one's."""

    segments: list[np.ndarray]
    part: tuple[int, int]


def own(count: int, rank: int, ranks: int) -> tuple[int, int]:
    """The elements [start, stop) of so many that one of the processes of a host adds up.

    Whole cache lines: `add_on_host` of `kernels/numba/native/steps_data.py` does so.

    >>> own(40, 0, 2), own(40, 1, 2), own(40, 2, 3)
    ((0, 32), (32, 40), (32, 40))
    """
    part = -(-count // (16 * ranks)) * 16
    return min(rank * part, count), min((rank + 1) * part, count)


@dataclass(frozen=True)
class Part:
    """One process's part of the batches of a run.

    table: (steps, 3) float64, of each step: the sum of the weights of the whole batch (TOTAL); what
        this process's weights are multiplied by (SCALE), 1 / TOTAL, or 0 where it has no row of the
        batch and runs one of another's; where in the batch its first row is (FIRST).
    sizes: (steps,), the rows of the whole batch, where two batches with as many are parted in the
        same way; else None, and each step is another.
    lasting: whether runs have as many steps as are over soon, and not always one.
    """

    table: np.ndarray
    reducer: Reducer
    sizes: np.ndarray | None = None
    lasting: bool = False

    def cut(self, start: int, stop: int) -> Part:
        """Of the steps [start, stop)."""
        sizes = None if self.sizes is None else self.sizes[start:stop]
        return Part(self.table[start:stop], self.reducer, sizes, self.lasting)

    def size(self, number: int) -> int:
        """The rows of the whole batch of a step; 0 where that says nothing of others."""
        return 0 if self.sizes is None else int(self.sizes[number])

    def alike(self, number: int, steps: int) -> int:
        """How many of so many steps, from one on, have as many rows as that one."""
        if self.sizes is None:
            return 1
        other = np.flatnonzero(self.sizes[number : number + steps] != self.sizes[number])
        return int(other[0]) if len(other) else steps


def summed(device: Device, flat: Array, reducer: Reducer, finite: bool) -> Array:
    """The sum of the gradients of all processes, where this one's lies if that can be written.

    finite: whether this one's loss is; else the sum is not.
    """
    if reducer.on_device is not None:
        if not finite:
            device.assign(flat[:1], device.asarray(np.full(1, np.nan, str(flat.dtype))))
        reducer.on_device.add(flat)
        return flat
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
