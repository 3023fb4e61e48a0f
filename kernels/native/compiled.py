"""Steps as machine code: each is compiled alone, when a program first uses it, and kept on disk."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from numba import types
from numba.core.ccallback import CFunc
from numba.extending import get_cython_function_address

from ..cache import disk_cache
from ..jit import OPTIONS
from . import interpreter, steps_data, steps_elements, steps_products, steps_rows, steps_updates

_lock = threading.Lock()  # two threads that first use a step would both compile it
_REALS = {"float32": types.float32, "float64": types.float64}


def _compile(function: Callable[..., None], arguments: tuple[Any, ...]) -> Any:
    options = {name: value for name, value in OPTIONS.items() if name != "nogil"}
    made: Any = CFunc(function, (arguments, types.void), locals={}, options=options)
    made._cache = disk_cache(function)
    made.compile()
    return made


@cache
def _steps() -> dict[str, Callable[..., None]]:
    """The functions of the modules of steps that take a record and a dtype."""
    return {
        name: function
        for module in (steps_data, steps_products, steps_rows, steps_elements, steps_updates)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if list(inspect.signature(function).parameters) == ["a", "like"]
    }


@cache
def _step(name: str, dtype: str) -> Any:
    kinds: Any = types
    arguments = (kinds.CPointer(kinds.int64), kinds.CPointer(_REALS[dtype]))
    with _lock:
        return _compile(_steps()[name], arguments)


def step(name: str, dtype: str) -> int:
    """The address of a step for arrays of a dtype."""
    address: int = _step(name, dtype).address
    return address


def names() -> list[str]:
    """All steps."""
    return list(_steps())


def warmup(dtypes: Iterable[str]) -> Iterator[str]:
    """Compiles the loops and every step."""
    leader()
    yield "loop"
    server()
    yield "loop of helpers"
    for dtype in dtypes:
        for name in names():
            step(name, dtype)
            yield f"{name}, {dtype}"


@cache
def _loop(name: str, arguments: int) -> Any:
    with _lock:
        return _compile(getattr(interpreter, name), (types.int64,) * arguments)


def leader() -> Callable[[int, int, int, int, int], None]:
    """`interpreter.lead`: runs a program, alone or with helpers. Releases the GIL."""
    function: Callable[[int, int, int, int, int], None] = _loop("lead", 5).ctypes
    return function


def server() -> Callable[[int], None]:
    """`interpreter.serve`: what a helper does while it is awake. Releases the GIL."""
    function: Callable[[int], None] = _loop("serve", 1).ctypes
    return function


@cache
def blas(routine: str, dtype: str) -> int:
    """The address of `gemm` or `gemv` in the BLAS that SciPy brings."""
    letter = "s" if dtype == "float32" else "d"
    address: int = get_cython_function_address("scipy.linalg.cython_blas", letter + routine)
    return address
