"""Steps as machine code: each is compiled alone, when a program first uses it, and kept on disk.

A *piece* is a step for a dtype, or a loop that runs steps: `lead` or `serve`, for no dtype.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

from numba import types
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock

from ... import kept
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
_made: dict[Piece, kept.Kept] = {}
_KINDS = {
    "float32": types.float32, "float64": types.float64, "int32": types.int32, "int64": types.int64,
    "uint32": types.uint32, "bool": types.uint8,
}  # fmt: skip
LOOPS = {"lead": 5, "serve": 1}  # and their numbers of arguments


def _compile(piece: Piece) -> kept.Kept:
    name, dtype = piece
    kinds: Any = types
    if name in LOOPS:
        function, arguments = getattr(interpreter, name), (kinds.int64,) * LOOPS[name]
    else:
        function = STEPS[name]
        arguments = (kinds.CPointer(kinds.int64), kinds.CPointer(_KINDS[dtype]))
    options = {name: value for name, value in OPTIONS.items() if name != "nogil"}
    with compiling(named(piece)), global_compiler_lock:
        made: Any = CFunc(function, (arguments, types.void), locals={}, options=options)
        found = made._compile_uncached()
    return kept.write(_file(piece), found.library, found.fndesc.llvm_cfunc_wrapper_name)


def named(piece: Piece) -> str:
    """A piece in words."""
    return " ".join(piece).strip()


def _file(piece: Piece) -> str:
    """What a piece is kept under: no name of generated code, which is a digest, has a hyphen."""
    return "-".join(["step", *filter(None, piece)])


def load(piece: Piece) -> bool:
    """Whether a piece is ready, or can be taken from disk."""
    with _lock:
        if piece not in _made:
            found = kept.read(_file(piece))
            if found is None:
                return False
            _made[piece] = found
    return True


def make(piece: Piece) -> kept.Kept:
    """The piece, compiled where it is not on disk."""
    with _lock:
        if piece not in _made:
            _made[piece] = kept.read(_file(piece)) or _compile(piece)
    return _made[piece]


def keeps() -> bool:
    """Whether machine code is kept on disk here."""
    return kept.folder() is not None


@cache
def step(name: str, dtype: str) -> int:
    """The address of a step for arrays of a dtype."""
    return make((name, dtype)).address


def run(name: str, dtype: str, record: int) -> None:
    """One step by itself. record: its address."""
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)
    kind(step(name, dtype))(record, None)


def names() -> list[str]:
    """All steps."""
    return list(STEPS)


def leader() -> Callable[[int, int, int, int, int], None]:
    """`interpreter.lead`: runs a program, alone or with helpers. Releases the GIL."""
    function: Callable[[int, int, int, int, int], None] = _loop("lead")
    return function


def server() -> Callable[[int], None]:
    """`interpreter.serve`: what a helper does while it is awake. Releases the GIL."""
    function: Callable[[int], None] = _loop("serve")
    return function


def _loop(name: str) -> Any:
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * LOOPS[name])
    return kind(make((name, "")).address)


@cache
def _cython_blas() -> Any:
    """SciPy's module of BLAS, without the package that it is in, which takes far longer to import.

    What imports it later gets the same module.
    """
    name = "scipy.linalg.cython_blas"
    scipy = find_spec("scipy")
    places = [] if scipy is None else scipy.submodule_search_locations or []
    found = PathFinder.find_spec(name, [str(Path(place) / "linalg") for place in places])
    if name in sys.modules or os.name == "nt" or found is None or found.loader is None:
        return import_module(name)  # on Windows SciPy itself says where its libraries are
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


@cache
def blas(routine: str, dtype: str) -> int:
    """The address of a routine such as `gemm` in the BLAS that SciPy brings."""
    capsule = _cython_blas().__pyx_capi__[("s" if dtype == "float32" else "d") + routine]
    python: Any = ctypes.pythonapi
    python.PyCapsule_GetName.restype = ctypes.c_char_p
    python.PyCapsule_GetName.argtypes = [ctypes.py_object]
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    address: int = python.PyCapsule_GetPointer(capsule, python.PyCapsule_GetName(capsule))
    return address
