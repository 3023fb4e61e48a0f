"""How many CPU threads the numerical libraries use."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any

from ..kernels.errors import BadInput

_limit: list[Any] = []  # the limiter must stay alive, or the limit goes with it


def set_threads(count: int) -> None:
    """Limits BLAS and OpenMP pools, and Numba's threads, to `count` (a whole number from 1).

    Raises: BadInput.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise BadInput(f"set_threads takes a whole number from 1, not {count!r}")
    from threadpoolctl import threadpool_limits

    _limit[:] = [threadpool_limits(count)]
    if "numba" in sys.modules:
        numba: Any = sys.modules["numba"]
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))


@cache
def _apply(value: str) -> None:
    if not value.isdigit() or int(value) < 1:
        raise BadInput(f"LAMINA_THREADS must be a whole number from 1, not {value!r}")
    set_threads(int(value))


def apply_environment() -> None:
    """Applies LAMINA_THREADS, once for each value of it."""
    value = os.environ.get("LAMINA_THREADS")
    if value:
        _apply(value)
