"""Steps as machine code: each is compiled alone, when a program first uses it, and kept on disk.

A *piece* is a step for a dtype, or a loop that runs steps: `lead` or `serve`, for no dtype.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from numba import types
from numba.core.ccallback import CFunc
from numba.extending import get_cython_function_address

from ...cache import DiskCache, disk_cache
from ...compilation import compiling
from ..jit import OPTIONS
from . import (  # the steps register
    interpreter,
    steps_data,  # noqa: F401
    steps_elements,  # noqa: F401
    steps_indices,  # noqa: F401
    steps_products,  # noqa: F401
    steps_rows,  # noqa: F401
    steps_updates,  # noqa: F401
)
from .steps import STEPS

Piece = tuple[str, str]

_lock = threading.Lock()  # two threads that first use a step would both compile it
_made: dict[Piece, Any] = {}
_KINDS = {
    "float32": types.float32, "float64": types.float64, "int32": types.int32, "int64": types.int64,
    "uint32": types.uint32, "bool": types.uint8,
}  # fmt: skip
LOOPS = {"lead": 5, "serve": 1}  # and their numbers of arguments


class _NotKept(Exception):
    """There is no machine code on disk."""


def _refuse() -> None:
    raise _NotKept


def _function(piece: Piece) -> Any:
    """A piece that is neither loaded nor compiled yet."""
    name, dtype = piece
    kinds: Any = types
    if name in LOOPS:
        function, arguments = getattr(interpreter, name), (kinds.int64,) * LOOPS[name]
    else:
        function = STEPS[name]
        arguments = (kinds.CPointer(kinds.int64), kinds.CPointer(_KINDS[dtype]))
    options = {name: value for name, value in OPTIONS.items() if name != "nogil"}
    made: Any = CFunc(function, (arguments, types.void), locals={}, options=options)
    made._cache = disk_cache(function)
    compile_now = made._compile_uncached  # what is called when nothing is on disk

    def told() -> Any:
        with compiling(named(piece)):
            return compile_now()

    made._compile_uncached = told
    return made


def named(piece: Piece) -> str:
    """A piece in words."""
    return " ".join(piece).strip()


def load(piece: Piece) -> bool:
    """Whether a piece is ready, or can be taken from disk."""
    with _lock:
        if piece not in _made:
            made = _function(piece)
            made._compile_uncached = _refuse
            try:
                made.compile()
            except _NotKept:
                return False
            _made[piece] = made
    return True


def make(piece: Piece) -> Any:
    """The piece, compiled where it is not on disk."""
    with _lock:
        if piece not in _made:
            made = _function(piece)
            made.compile()
            _made[piece] = made
    return _made[piece]


def kept(piece: Piece) -> bool:
    """Whether machine code is kept on disk here."""
    return isinstance(_function(piece)._cache, DiskCache)


@cache
def step(name: str, dtype: str) -> int:
    """The address of a step for arrays of a dtype."""
    address: int = make((name, dtype)).address
    return address


def names() -> list[str]:
    """All steps."""
    return list(STEPS)


def leader() -> Callable[[int, int, int, int, int], None]:
    """`interpreter.lead`: runs a program, alone or with helpers. Releases the GIL."""
    function: Callable[[int, int, int, int, int], None] = make(("lead", "")).ctypes
    return function


def server() -> Callable[[int], None]:
    """`interpreter.serve`: what a helper does while it is awake. Releases the GIL."""
    function: Callable[[int], None] = make(("serve", "")).ctypes
    return function


@cache
def blas(routine: str, dtype: str) -> int:
    """The address of a routine such as `gemm` in the BLAS that SciPy brings."""
    letter = "s" if dtype == "float32" else "d"
    address: int = get_cython_function_address("scipy.linalg.cython_blas", letter + routine)
    return address
