"""Memory of a device that lies on the host, between canaries; what was freed stays NaN."""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

CANARY = 256  # bytes before and behind
WATCHED = 64  # blocks that were freed last
LARGE = 1 << 20  # bytes; larger ones are not looked at after each launch
_numbers = itertools.count()


def poison(kind: np.dtype[Any]) -> bytes:
    """Eight bytes that are NaN to who reads them, and others than those of the last allocation.

    The NaN is a signalling one: what comes of it in arithmetic has other bits, so a kernel that
    reads there and writes the result back is seen.
    """
    salt = next(_numbers) % 0xFFFF + 1
    if kind.itemsize == 8:
        return np.uint64(0x7FF4_A5A5_A5A5_0000 + salt).tobytes()
    return np.uint32(0x7FA5_0000 + salt).tobytes() * 2


class Block:
    """One allocation."""

    def __init__(self, size: int, kind: np.dtype[Any]) -> None:
        self.clean = poison(kind) * (-(-size // 8) + 3 * CANARY // 8)
        self.bytes = np.frombuffer(bytearray(self.clean), np.uint8)
        self.start = CANARY + -(self.bytes.ctypes.data + CANARY) % 256  # as CuPy's pool does
        self.size = size
        weakref.finalize(self, _free, self.bytes, self.clean)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        inside = self.bytes[self.start : self.start + self.size]
        return {**inside.__array_interface__, "data": (inside.ctypes.data, False)}

    def whole(self) -> bool:
        """Whether nobody wrote before or behind it."""
        start, stop = self.start, self.start + self.size
        before, behind = self.bytes[:start].tobytes(), self.bytes[stop:].tobytes()
        return self.clean[:start] == before and self.clean[stop:] == behind


FREED: deque[tuple[np.ndarray, bytes]] = deque(maxlen=WATCHED)


def _free(memory: np.ndarray, clean: bytes) -> None:
    memory[...] = np.frombuffer(clean, np.uint8)
    if memory.size < LARGE:
        FREED.append((memory, clean))


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
    block = Block(count * kind.itemsize, kind)
    return np.asarray(block).view(kind).reshape(shape).view(Array)


def check_whole(kernel: str, arrays: Sequence[Array]) -> None:
    """Raises where something wrote outside of an array's allocation."""
    if not all(a.block is None or a.block.whole() for a in arrays):
        raise RuntimeError(f"{kernel}: wrote outside of an array")


def check_freed(kernel: str) -> None:
    """Raises where something wrote into memory that was freed."""
    if not all(memory.tobytes() == clean for memory, clean in FREED):
        raise RuntimeError(f"{kernel}: wrote into memory that was freed")
