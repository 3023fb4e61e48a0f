"""As much of CuPy as kernels and expressions ask for, over NumPy; kernels run on the CPU."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from contextlib import contextmanager
from typing import Any

import numpy as np

from .memory import Array, allocated
from .modules import RawModule


def asarray(value: Any, dtype: Any = None) -> Array:
    """An array of the device as it is, anything else in new memory."""
    if isinstance(value, Array) and (dtype is None or value.dtype == np.dtype(dtype)):
        return value
    host = np.asarray(value, dtype=dtype)
    made = allocated(host.shape, host.dtype)
    made[...] = host
    return made


def ascontiguousarray(value: Array) -> Array:
    """Row-major, of the same rank."""
    made = allocated(value.shape, value.dtype)
    made[...] = value
    return made


def zeros(shape: Any, dtype: Any = float) -> Array:
    """New memory of zeros."""
    made = allocated(shape, dtype)
    made[...] = 0
    return made


def _wrapped(function: Any) -> Any:
    def call(*args: Any, **options: Any) -> Any:
        made = function(*args, **options)
        return np.asarray(made).view(Array) if isinstance(made, (np.ndarray, np.generic)) else made

    return call


class Namespace(types.ModuleType):
    """The module `cupy`."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if callable(found) and not isinstance(found, type) and name != "finfo":
            return _wrapped(found)
        return found


def module() -> Namespace:
    """A new one."""
    made = Namespace("cupy")
    made.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
    own = {
        "ndarray": Array, "RawModule": RawModule, "asarray": asarray, "zeros": zeros,
        "empty": lambda shape, dtype=float: allocated(shape, dtype),
        "ascontiguousarray": ascontiguousarray,
    }  # fmt: skip
    for name, value in own.items():
        setattr(made, name, value)
    return made


MODULE = module()


@contextmanager
def installed() -> Any:
    """While it lasts, `import cupy` gives this module."""
    before = sys.modules.get("cupy")
    sys.modules["cupy"] = MODULE
    try:
        yield MODULE
    finally:
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before
