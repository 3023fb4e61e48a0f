"""Arrays on disk, for what memory is too small for."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

SHARE, MOST = 0.25, 1.5e9  # of what memory is free, and bytes: that a table may take
UNTOLD = 1 << 32  # bytes that are taken for free where the system does not say


def free_memory() -> int:
    """Bytes that are free on this machine now."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows; macOS; a container that forbids it
        return UNTOLD


def room() -> float:
    """Bytes that a table may take in memory."""
    return min(free_memory() * SHARE, MOST)


def spilled(rows: int, columns: int) -> np.ndarray:
    """A (rows, columns) float64 array in a file, which goes when the array goes.

    The file has no name any more when this returns: it stays on disk while it is mapped, and
    however the process ends, nothing is left. TMPDIR says where.
    """
    if not rows:
        return np.empty((0, columns))
    file, name = tempfile.mkstemp(prefix="lamina-", suffix=".features")
    os.close(file)
    try:
        return np.memmap(name, np.float64, "w+", shape=(rows, columns))
    finally:
        Path(name).unlink()
