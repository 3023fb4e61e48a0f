"""The vectorised way of computing every operation: one expression over whole arrays.

Each function takes the array namespace `xp` first (NumPy, CuPy, JAX, or any other that follows the
array API standard), so a backend that brings one is complete on its first day. In float64 on NumPy
these expressions are the oracle that every kernel is tested against.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import activations, operations, training

MODULES = (operations, activations, training)


def reference(name: str) -> Callable[..., Any]:
    """The expression of that name. Raises: LookupError."""
    for module in MODULES:
        found: Callable[..., Any] | None = vars(module).get(name)
        if found is not None:
            return found
    raise LookupError(f"no reference is called {name!r}")
