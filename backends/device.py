"""A device: where arrays live, and which kernels work on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ..kernels.op import Kernel

Array = Any


class Device(ABC):
    """Arrays on a device, and the kernels that work on them.

    name: what users write in `backend=`.
    functional: arrays cannot be written; every operation returns new ones.
    dtypes: the floating dtypes it computes in.
    index: the device's number, from 0, where a machine has several.
    precisions: what it can round the factors of products to, "tf32" or "bfloat16".
    least_flops: the work of a training step, in floating-point operations, from which "auto" takes
        it; below, starting work costs more than doing it.
    """

    name: str = ""
    functional: bool = False
    dtypes: tuple[str, ...] = ("float32", "float64")
    precisions: tuple[str, ...] = ()
    least_flops: float = 0.0

    def __init__(self, index: int = 0) -> None:
        self.index = index

    @property
    @abstractmethod
    def xp(self) -> Any:
        """The array namespace, which follows the array API standard."""

    @property
    def device(self) -> str:
        """The device in words."""
        return "CPU"

    def kernels(self) -> Mapping[str, Kernel]:
        """The kernels that override references, by operation."""
        return {}

    def asarray(self, host: np.ndarray) -> Array:
        """A copy of a host array on the device."""
        return self.xp.asarray(host)

    def borrow(self, host: np.ndarray) -> Array:
        """A host array that is read during one call: itself, where the device can read it."""
        return self.asarray(host)

    def to_numpy(self, array: Array) -> np.ndarray:
        """A host copy of a device array; waits for it."""
        return np.array(array)

    def zeros(self, length: int, dtype: str) -> Array:
        """A flat array of `length` zeros of that dtype, (length,)."""
        return self.xp.zeros((length,), dtype=getattr(self.xp, dtype))

    def assign(self, target: Array, source: Array) -> None:
        """Copies `source` into the memory of `target`, of one shape (not on functional devices)."""
        target[...] = source

    def synchronize(self) -> None:
        """Waits until all work is done."""
        return None

    def active(self) -> AbstractContextManager[Any]:
        """A context in which work goes to this device, for libraries with a current device."""
        return nullcontext()
