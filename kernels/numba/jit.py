"""How Numba compiles kernels and compiled loops: every option, once.

error_model="numpy"
    A division by zero gives infinity or NaN as IEEE says. With Python's model every division
    carries a branch that raises, and no loop with a division is vectorised.
nogil=True
    A kernel runs beside other Python threads.
the cache
    The machine code is kept on disk, see `cache.py`.
no fastmath
    "nnan" and "ninf" would let the compiler drop every test for NaN and infinity, "reassoc" would
    make sums depend on the width of the vector unit, and "contract" every a * b + c * d on whether
    an element is in a vector. Kernels say themselves where they want `instructions.fma`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from ..cache import disk_cache
from ..compilation import compiling

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}


def jit(function: F) -> F:
    """The function, compiled at its first call for the types of its arguments."""
    compiled = numba.njit(**OPTIONS)(function)
    compiled._cache = disk_cache(function)
    compile_now = compiled._compiler.compile  # what is called when nothing is on disk

    def told(*arguments: Any) -> Any:
        with compiling(function.__name__):
            return compile_now(*arguments)

    compiled._compiler.compile = told
    return cast(F, compiled)
