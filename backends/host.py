"""What the backends on NumPy arrays have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.host import processor
from ..kernels.memory import aligned
from .contract import Backend


class HostBackend(Backend):
    """A backend whose arrays are NumPy's."""

    @property
    def xp(self) -> Any:
        """NumPy."""
        return np

    @property
    def device(self) -> str:
        """The processor."""
        return f"CPU, {processor()}"

    def asarray(self, host: np.ndarray) -> np.ndarray:
        """A contiguous array of its own, so that no later change of the caller's reaches it."""
        return np.array(host, order="C")

    def borrow(self, host: np.ndarray) -> np.ndarray:
        """The array itself, or a row-major copy."""
        return np.ascontiguousarray(host)

    def zeros(self, length: int, dtype: str) -> np.ndarray:
        """A flat array of zeros."""
        return aligned(length, dtype)

    def assign(self, target: np.ndarray, source: np.ndarray) -> None:
        """Copies into memory that exists."""
        np.copyto(target, source)
