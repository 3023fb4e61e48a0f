"""The explicit loops compiled as they are, without any rewriting for speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

from ..cache import disk_cache


def compiled(function: Callable[..., Any]) -> Any:
    """A loop or a formula, compiled at its first call for the types of its arguments."""
    # NumPy's error model: a division by zero is inf, as it is in Python on NumPy's numbers.
    made = numba.njit(error_model="numpy", nogil=True)(function)
    made._cache = disk_cache(function)
    return made
