"""As much of CuPy as its backend asks for, over NumPy, with kernels that run on the CPU."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from contextlib import contextmanager, nullcontext
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


class Device:
    """The one device."""

    def __init__(self, device: int = 0) -> None:
        self.id = device

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *details: object) -> None:
        return None


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
    runtime = types.SimpleNamespace(
        driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13000, getDeviceCount=lambda: 1,
        getDeviceProperties=lambda index: {"name": b"CPU as CUDA", "totalGlobalMem": 1 << 30},
    )  # fmt: skip
    stream = types.SimpleNamespace(synchronize=lambda: None)
    own = {
        "ndarray": Array, "RawModule": RawModule, "asarray": asarray, "zeros": zeros,
        "empty": lambda shape, dtype=float: allocated(shape, dtype),
        "ascontiguousarray": ascontiguousarray,
        "asnumpy": lambda array: np.array(array, subok=False),
        "__version__": "14.0.0", "errstate": nullcontext,
        "cuda": types.SimpleNamespace(
            Device=Device, runtime=runtime, get_current_stream=lambda: stream
        ),
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
