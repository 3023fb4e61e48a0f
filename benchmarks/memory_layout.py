"""Memory laid out anew in every run.

Where arrays and the stack happen to lie can move a kernel of microseconds by a third, and it is the
same in each process that does the same: a change of a path's length then looks like a change of the
code (Mytkowicz, Diwan, Hauswirth and Sweeney, ASPLOS 2009). So runs draw their layout, and what it
does is part of the spread from run to run, where it belongs.
"""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np

_kept: list[Any] = []  # blocks that lie between those of the benchmark


def scatter() -> None:
    """Moves what is allocated next by a random number of bytes; between any two contenders."""
    _kept.extend(np.empty(1 + secrets.randbelow(size), np.uint8) for size in (256, 4096, 65536))


def padding() -> str:
    """A value for an environment variable that moves the stack of a process to come."""
    return "x" * secrets.randbelow(4096)
