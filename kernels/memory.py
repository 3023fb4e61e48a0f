"""Memory that native code reads and writes through addresses."""

from __future__ import annotations

import numpy as np


def address(array: np.ndarray) -> int:
    """Where an array's memory begins."""
    place: int = array.__array_interface__["data"][0]
    return place


def aligned(elements: int, dtype: str) -> np.ndarray:
    """Zeros that start at a cache line."""
    item = np.dtype(dtype).itemsize
    raw = np.zeros(elements * item + 64, dtype=np.uint8)
    offset = -address(raw) % 64
    return raw[offset : offset + elements * item].view(dtype)
