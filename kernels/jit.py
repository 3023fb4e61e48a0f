"""How Numba compiles the kernels: every option, once.

error_model="numpy"
    A division by zero gives infinity or NaN as IEEE says. With Python's model every division
    carries a branch that raises, and no loop with a division is vectorised.
nogil=True
    A kernel runs beside other Python threads.
cache=True
    The machine code is kept on disk, next to the module or in Numba's cache folder, or in
    LAMINA_CACHE_DIR where that is set. Where nothing can be written, kernels are compiled anew in
    each process. A function is compiled anew when its own file changed, not when a function that it
    calls in another file did: after such an edit remove `kernels/__pycache__`.
fastmath={"contract"}
    a * b + c may become one fused instruction, which rounds once instead of twice. Nothing else:
    "nnan" and "ninf" would let the compiler drop every test for NaN and infinity, and "reassoc"
    would make sums depend on the width of the vector unit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

if os.environ.get("LAMINA_CACHE_DIR"):
    settings: Any = numba.config
    settings.CACHE_DIR = os.environ["LAMINA_CACHE_DIR"]


def jit(function: F) -> F:
    """The function, compiled at its first call for the types of its arguments."""
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True, "fastmath": {"contract"}}
    try:
        return cast(F, numba.njit(cache=True, **options)(function))
    except RuntimeError:  # no folder that can be written: "cannot cache function"
        return cast(F, numba.njit(**options)(function))
