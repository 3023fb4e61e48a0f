"""CUDA through CuPy: fused kernels, and vectorised expressions for what has none."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..kernels.op import Kernel
from .contract import Backend, Executable, Obstacle
from .device import Array
from .program import Program

INSTALL = 'pip install "cupy-cuda13x[ctk]" (or cupy-cuda12x[ctk], whichever your driver supports)'


class CupyBackend(Backend):
    """One NVIDIA GPU."""

    name = "cupy"

    def __init__(self, index: int = 0) -> None:
        super().__init__(index)
        self._xp = _import()
        self._device = self._xp.cuda.Device(index)

    @classmethod
    def obstacle(cls, index: int = 0) -> Obstacle | None:
        """No package, no driver, no such GPU, no compiler or no BLAS: each with its own fix."""
        if find_spec("cupy") is None:
            return Obstacle("CuPy is not installed", INSTALL)
        try:
            cupy = _import()
            version = cupy.cuda.runtime.driverGetVersion()
        except Exception as error:
            return Obstacle(f"importing CuPy failed: {_first_line(error)}", INSTALL)
        if version == 0:
            return Obstacle(
                f"CuPy {cupy.__version__} is installed but there is no NVIDIA driver",
                "install the NVIDIA driver (nvidia-smi must list a GPU), or use backend='cpu'",
            )
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except Exception as error:
            return Obstacle(
                f"the CUDA runtime does not start: {_first_line(error)}",
                f"install a driver as new as CuPy's CUDA {_cuda(cupy)}, or another CuPy: {INSTALL}",
            )
        if index >= count:
            return Obstacle(f"there is no GPU number {index}: {count} found", "use cuda:0")
        try:  # NVRTC and cuBLAS are looked for only when they are first needed
            with cupy.cuda.Device(index):
                square = cupy.arange(4, dtype=cupy.float32).reshape(2, 2)
                (cupy.exp(square) @ square).sum().item()
        except Exception as error:
            return Obstacle(f"CuPy cannot run a kernel: {_first_line(error)}", INSTALL)
        return None

    @property
    def xp(self) -> Any:
        """CuPy."""
        return self._xp

    @cached_property
    def _kernels(self) -> Mapping[str, Kernel]:
        from ..kernels.cuda.table import cuda_kernels

        return cuda_kernels()

    def kernels(self) -> Mapping[str, Kernel]:
        """Fused CUDA kernels; each source is compiled at its first use and kept on disk."""
        return self._kernels

    def compile(self, program: Program) -> Executable:
        """Walks it; regions are one generated kernel each."""
        from .fused import FusedWalker

        return FusedWalker(self, program)

    def variants(self) -> Mapping[str, Mapping[str, Kernel]]:
        """The references, one thread for each element, and the fused kernels."""
        from ..kernels.cuda.naive import naive_kernels

        return {"vectorised": {}, "naive": naive_kernels(), "fused": self._kernels}

    @property
    def device(self) -> str:
        """The GPU's name and memory."""
        properties = self._xp.cuda.runtime.getDeviceProperties(self.index)
        name = properties["name"].decode()
        return f"GPU {self.index}, {name}, {properties['totalGlobalMem'] / 2**30:.0f} GiB"

    def asarray(self, host: np.ndarray) -> Array:
        """Uploads a host array."""
        with self._device:
            return self._xp.asarray(np.asarray(host, order="C"))

    def to_numpy(self, array: Array) -> np.ndarray:
        """Downloads an array, which waits for it."""
        with self._device:
            return np.asarray(self._xp.asnumpy(array))

    def zeros(self, length: int, dtype: str) -> Array:
        """A flat array of zeros."""
        with self._device:
            return super().zeros(length, dtype)

    def assign(self, target: Array, source: Array) -> None:
        """Copies into memory that exists."""
        with self._device:
            target[...] = source

    def active(self) -> AbstractContextManager[Any]:
        """The device as the current one, which CuPy keeps for each thread."""
        device: AbstractContextManager[Any] = self._device
        return device

    def synchronize(self) -> None:
        """Waits for the current stream."""
        with self._device:
            self._xp.cuda.get_current_stream().synchronize()


def _import() -> Any:
    with warnings.catch_warnings():  # two CuPy packages side by side warn at every import
        warnings.simplefilter("ignore")
        import cupy
    return cupy


def _cuda(cupy: Any) -> str:
    version = cupy.cuda.runtime.runtimeGetVersion()
    return f"{version // 1000}.{version % 1000 // 10}"


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}".rstrip(": ")
