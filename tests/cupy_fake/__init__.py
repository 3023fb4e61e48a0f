"""A strict stand-in for CuPy on the CPU: what real CuPy refuses, it refuses as well.

It needs the real package (`cupy-cuda13x`; no driver and no CUDA libraries), whose names, signatures
and tables of types it reads, and NumPy, which computes. `installed()` puts it in CuPy's place for a
while; `python -m cupy_fake MODULE ...` runs a program with it.

It is strict about names and keywords; about conversions that nobody asked for, and host arrays in
kernels; about the current device and the current stream; about dtypes, by CuPy's own tables; about
what a capture may hold and what a graph may touch. float32 results lose their subnormal numbers,
transcendental functions are off by as much as the CUDA guide allows, sums go from the back, memory
that nobody wrote is NaN. It counts launches, copies and waits. It says nothing of speed, of real
compilers, or of races inside a kernel. Nothing that passes here has run on a GPU.
"""

from __future__ import annotations

import sys
import types
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import cupy as real
import numpy as np
from lamina.backends import cublas, registry

from . import array, functions, kernels, library, machine, memory, nccl
from .machine import CUDARuntimeError, Freed, Race, counts, log

__all__ = ["CUDARuntimeError", "Freed", "Race", "counts", "installed", "log", "module"]


class Namespace(types.ModuleType):
    """The module `cupy`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what looks through all modules finds the real one's inside
            return getattr(real, name)
        if hasattr(real, name):
            raise NotImplementedError(f"the fake lacks cupy.{name}: add it")
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")


def _properties(number: int) -> dict[str, Any]:
    return {"name": b"Fake GPU", "totalGlobalMem": 139 * 2**30, "major": 9, "minor": 0}


def _runtime() -> types.SimpleNamespace:
    return types.SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13000,
        getDeviceCount=lambda: machine.DEVICES,
        getDevice=machine.device,
        memGetInfo=memory.mem_info,
        deviceSynchronize=lambda: machine.Device().synchronize(),
        getDeviceProperties=_properties,
        streamCaptureModeGlobal=0,
        streamCaptureModeThreadLocal=1,
        streamCaptureModeRelaxed=2,
    )


@cache
def module() -> Any:
    """The module that takes CuPy's place."""
    made = Namespace("cupy")
    made.__spec__, made.__version__, made.__path__ = real.__spec__, real.__version__, []
    for name in dir(real):  # dtypes, constants, and what CuPy takes from NumPy itself
        value = getattr(real, name)
        if getattr(np, name, None) is value and not isinstance(value, types.ModuleType):
            setattr(made, name, value)
        elif type(value).__name__ == "ufunc" and hasattr(np, name):
            setattr(made, name, functions.Ufunc(name))
    for name in ("max", "min", "argmax"):
        setattr(made, name, functions.function(name, functions.reduction(getattr(np, name))))
    for name in ("mean", "prod", "any", "all", "take"):
        setattr(made, name, functions.function(name, getattr(np, name)))
    for name in ("zeros", "ones", "full", "arange"):
        setattr(made, name, functions.function(name, getattr(np, name), arrays=False))
    for name in ("zeros_like", "ones_like", "full_like"):
        setattr(made, name, functions.function(name, getattr(np, name)))
    for name in (
        "reshape", "broadcast_to", "permute_dims", "transpose", "expand_dims", "squeeze", "ravel",
        "swapaxes", "matrix_transpose",
    ):  # fmt: skip
        setattr(made, name, functions.viewing(name))
    for name in ("concat", "concatenate", "stack"):
        setattr(made, name, functions.joined(name, getattr(np, name)))
    made.ndarray = array.ndarray
    made.asarray = made.array = functions.asarray
    made.asnumpy, made.empty, made.where = functions.asnumpy, functions.empty, functions.where
    made.sum, made.matmul, made.copyto = functions.sum_, functions.matmul, functions.copyto
    made.take_along_axis = functions.take_along_axis
    made.clip = functions.function("clip", lambda a, a_min, a_max: np.clip(a, a_min, a_max))
    made.astype = functions.function("astype", lambda x, dtype, copy=True: np.array(x, dtype=dtype))
    made.ascontiguousarray = functions.function("ascontiguousarray", np.ascontiguousarray)
    made.RawModule, made.RawKernel = kernels.RawModule, kernels.RawKernel
    made.get_default_memory_pool = lambda: memory.default_pool
    made.cuda = types.SimpleNamespace(
        Device=machine.Device, Stream=machine.Stream, Event=machine.Event, Graph=machine.Graph,
        MemoryPool=memory.MemoryPool, MemoryPointer=memory.MemoryPointer,
        using_allocator=memory.using_allocator, get_current_stream=machine.stream,
        alloc=memory.alloc, get_elapsed_time=machine.elapsed,
        runtime=_runtime(), is_available=lambda: True, get_local_runtime_version=lambda: 13000,
        memory=types.SimpleNamespace(OutOfMemoryError=memory.OutOfMemoryError), nccl=nccl,
    )  # fmt: skip
    return made


array._made.append(weakref.ref(module()))


class Probes:
    """What probes found: of the fake's devices once for all tests, of the others as it was."""

    def __init__(self) -> None:
        self.known = registry._probed
        self.fake = cache(registry._probed.__wrapped__)

    def __call__(self, name: str, index: int) -> Any:
        return (self.fake if name == "cupy" else self.known)(name, index)

    def cache_clear(self) -> None:
        self.known.cache_clear()
        self.fake.cache_clear()


_probes = Probes()


@contextmanager
def installed() -> Iterator[Any]:
    """The fake in the place of CuPy, for lamina as well; gives the module."""
    before = {name: sys.modules.get(name) for name in ("cupy", "cupy.cuda", "cupy.cuda.nccl")}
    known, found = registry._probed, cublas.library
    _probes.known = known
    made = module()
    sys.modules |= {"cupy": made, "cupy.cuda": made.cuda, "cupy.cuda.nccl": nccl}
    registry._probed = _probes  # type: ignore[assignment]
    cublas.library = library.library
    registry.instance.cache_clear()
    kernels.loaded.clear()
    try:
        yield made
    finally:
        registry._probed, cublas.library = known, found
        registry.instance.cache_clear()
        for name, one in before.items():
            if one is None:
                del sys.modules[name]
            else:
                sys.modules[name] = one
