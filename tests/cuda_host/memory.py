"""Memory of a device that lies on the host, between canaries; what was freed stays NaN."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

CANARY = 256  # bytes of 0xff, which is NaN, before and behind
POISON = 0xFF
WATCHED = 64  # blocks that were freed last


class Block:
    """One allocation."""

    def __init__(self, size: int) -> None:
        self.bytes = np.full(size + 3 * CANARY, POISON, np.uint8)
        self.start = CANARY + -(self.bytes.ctypes.data + CANARY) % 256  # as CuPy's pool does
        self.size = size
        freed = self.bytes
        weakref.finalize(self, _free, freed)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        inside = self.bytes[self.start : self.start + self.size]
        return {**inside.__array_interface__, "data": (inside.ctypes.data, False)}

    def whole(self) -> bool:
        """Whether nobody wrote before or behind it."""
        before, behind = self.bytes[: self.start], self.bytes[self.start + self.size :]
        return bool((before == POISON).all() and (behind == POISON).all())


FREED: deque[np.ndarray] = deque(maxlen=WATCHED)


def _free(memory: np.ndarray) -> None:
    memory.fill(POISON)
    FREED.append(memory)


class Array(np.ndarray):
    """An array of the device: NumPy's, over a block where the device allocated it."""

    def __array_wrap__(self, made: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return np.asarray(made).view(Array)

    @property
    def block(self) -> Block | None:
        """The allocation that it lies in."""
        found: Any = self
        while isinstance(found, np.ndarray):
            found = found.base
        return found if isinstance(found, Block) else None


def allocated(shape: Any, dtype: Any) -> Array:
    """New memory, which is NaN."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    kind = np.dtype(dtype)
    count = int(np.prod(shape))
    block = Block(count * kind.itemsize)
    return np.asarray(block).view(kind).reshape(shape).view(Array)


def check_whole(kernel: str, arrays: Sequence[Array]) -> None:
    """Raises where something wrote outside of an array's allocation."""
    if not all(a.block is None or a.block.whole() for a in arrays):
        raise RuntimeError(f"{kernel}: wrote outside of an array")


def check_freed(kernel: str) -> None:
    """Raises where something wrote into memory that was freed."""
    if not all((memory == POISON).all() for memory in FREED):
        raise RuntimeError(f"{kernel}: wrote into memory that was freed")
