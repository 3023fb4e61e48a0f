"""CUDA through CuPy: steps captured as CUDA graphs, over fused and generated kernels."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import distributions
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..kernels import thresholds
from ..kernels.errors import OutOfDeviceMemory
from ..kernels.op import Kernel
from .capturable import Capturable
from .contract import Backend, Executable, Obstacle
from .cuda_graphs import CudaGraphs
from .device import Array
from .nccl import Nccl
from .program import Program

INSTALL = 'pip install "cupy-cuda13x[ctk]" (or cupy-cuda12x[ctk], whichever your driver supports)'
DRIVER = "install the NVIDIA driver (nvidia-smi must list a GPU), or use backend='cpu'"
REINSTALL = f"pip install --force-reinstall {INSTALL.removeprefix('pip install ')}"


class CupyBackend(Backend):
    """One NVIDIA GPU.

    index: its number. graphs: whether steps are captured; else each is launched piece by piece,
    with the same numbers. persistent: whether, where steps are captured, the small ones of a run
    are one launch of one block instead, with the same numbers but for rounding. precision: what
    factors of products are rounded to, see `computing`.

    All work goes to one stream, which does not wait for others: a captured step and an upload
    beside it would race. One thread at a time asks it for something.
    """

    name = "cupy"
    least_flops = thresholds.GPU_FLOPS

    def __init__(self, index: int = 0, graphs: bool = True, persistent: bool = True) -> None:
        super().__init__(index)
        self.precision: str | None = None
        self._others: dict[str, CupyBackend] = {}  # by precision
        self._beside: dict[int, CupyBackend] = {}  # of other processes, by their number
        self._cupy = _import()
        self._device = self._cupy.cuda.Device(index)
        with self._device:
            self.stream = self._cupy.cuda.Stream(non_blocking=True)
        self._turn = threading.RLock()
        self._xp = Capturable(self._cupy, self.stream)
        self.graphs = CudaGraphs(self._cupy, self.stream, graphs)
        self.persistent = graphs and persistent

    @classmethod
    def obstacle(cls, index: int = 0) -> Obstacle | None:
        """No package, two of them, no driver, no such GPU, no compiler or no BLAS, and the fix."""
        found = cls._obstacle(index)
        if found is None:
            return None
        packages = _packages()
        if len(packages) > 1:
            twice = f"{len(packages)} CuPy packages lie over each other ({', '.join(packages)})"
            fix = f"pip uninstall -y {' '.join(packages)}, then {INSTALL}"
            return Obstacle(f"{found.reason}; {twice}", f"{fix}; then: {found.fix}")
        return found

    @classmethod
    def _obstacle(cls, index: int) -> Obstacle | None:
        if find_spec("cupy") is None:
            return Obstacle("CuPy is not installed", INSTALL)
        if not _driver():
            return Obstacle("CuPy is installed but there is no NVIDIA driver", DRIVER)
        try:
            cupy = _import()
            version = cupy.cuda.runtime.driverGetVersion()
        except Exception as error:
            return Obstacle(f"importing CuPy failed: {_first_line(error)}", REINSTALL)
        if version == 0:
            return Obstacle(
                f"CuPy {cupy.__version__} is installed but there is no NVIDIA driver", DRIVER
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
            backend = cls(index)
            with backend.active():
                square = cupy.arange(4, dtype=cupy.float32).reshape(2, 2)
                backend.xp.matmul(cupy.exp(square), square).sum().item()
        except Exception as error:
            return Obstacle(f"CuPy cannot run a kernel: {_first_line(error)}", INSTALL)
        return None

    @property
    def precisions(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those that the GPU has units for."""
        return ("tf32", "bfloat16") if int(self._device.compute_capability) >= 80 else ()

    def computing(self, precision: str) -> Backend:
        """See `Backend.computing`; device, stream and memory are the same."""
        if precision == self.precision:
            return self
        if precision not in self.precisions:
            return super().computing(precision)
        if precision not in self._others:
            other = object.__new__(type(self))
            other.__dict__.update(self.__dict__)
            other.__dict__.pop("_kernels", None)  # whose products are those of the first
            other.precision, other.persistent = precision, False
            other._xp = Capturable(self._cupy, self.stream, precision)
            self._others[precision] = other
        return self._others[precision]

    @property
    def place(self) -> str:
        """See `Backend.place`: its PCI bus id."""
        return str(self._device.pci_bus_id)

    def beside(self, number: int) -> CupyBackend:
        """See `Backend.beside`: numbers behind its own, modulo the GPUs there are."""
        index = (self.index + number) % self._cupy.cuda.runtime.getDeviceCount()
        if index == self.index:
            return self
        if index not in self._beside:
            other = type(self)(index, self.graphs.replaying, self.persistent)
            self._beside[index] = other
        other = self._beside[index]
        made = other if self.precision is None else other.computing(self.precision)
        assert isinstance(made, CupyBackend)
        return made

    def collectives(self) -> Nccl:
        """See `Backend.collectives`."""
        return Nccl(self, self.place)

    @property
    def xp(self) -> Any:
        """CuPy, as far as it can be captured."""
        return self._xp

    @cached_property
    def _kernels(self) -> Mapping[str, Kernel]:
        from ..kernels.cuda.table import cuda_kernels

        return cuda_kernels(self._product)

    def _product(
        self, a: Array, b: Array, out: Array, transpose_a: bool, transpose_b: bool
    ) -> None:
        self._xp.products.into(out, a.T if transpose_a else a, b.T if transpose_b else b)

    def kernels(self) -> Mapping[str, Kernel]:
        """Fused CUDA kernels; each source is compiled at its first use and kept on disk."""
        return self._kernels

    def compile(self, program: Program) -> Executable:
        """Makes a program ready: its steps are captured, its regions one generated kernel each."""
        from .fused_programs import FusedSteps

        return FusedSteps(self, program, self.graphs, self.persistent)

    @cached_property
    def shared_bytes(self) -> int:
        """The most memory that the threads of a block may share."""
        return int(self._device.attributes["MaxSharedMemoryPerBlockOptin"])

    def variants(self) -> Mapping[str, Mapping[str, Kernel]]:
        """The references, one thread for each element, and the fused kernels."""
        from ..kernels.cuda.naive import naive_kernels

        return {"vectorised": {}, "naive": naive_kernels(), "fused": self._kernels}

    @property
    def device(self) -> str:
        """The GPU's name and memory."""
        properties = self._cupy.cuda.runtime.getDeviceProperties(self.index)
        name = properties["name"].decode()
        return f"GPU {self.index}, {name}, {properties['totalGlobalMem'] / 2**30:.0f} GiB"

    def asarray(self, host: np.ndarray) -> Array:
        """Uploads a host array."""
        with self.active():
            return self._cupy.asarray(np.asarray(host, order="C"))

    def to_numpy(self, array: Array) -> np.ndarray:
        """Downloads an array, which waits for it."""
        with self.active():
            return np.asarray(self._cupy.asnumpy(array))

    def zeros(self, length: int, dtype: str) -> Array:
        """A flat array of zeros."""
        with self.active():
            return super().zeros(length, dtype)

    def assign(self, target: Array, source: Array) -> None:
        """Copies into memory that exists."""
        with self.active():
            target[...] = source

    def thresholds(self) -> tuple[str, list[tuple[str, str, str]]]:
        """From which work on "auto" takes it, and below which steps are captured by eights."""
        known = {
            "gpu_flops": thresholds.GPU_FLOPS, "unrolled_flops": thresholds.UNROLLED_FLOPS,
            "persistent_flops": thresholds.PERSISTENT_FLOPS,
        }  # fmt: skip
        told = [(name, thresholds.told(value), "default") for name, value in known.items()]
        return "estimates, which no GPU has measured", told

    @contextmanager
    def active(self) -> Iterator[None]:
        """Device and stream as the current ones, which CuPy keeps for each thread.

        Raises: OutOfDeviceMemory for what CuPy says of memory.
        """
        with self._turn, self._device, self.stream:
            try:
                yield
            except self._cupy.cuda.memory.OutOfMemoryError as error:
                wanted = re.search(r"allocating ([\d,]+) bytes", str(error))
                count = int(wanted.group(1).replace(",", "")) if wanted else 0
                free, total = self._cupy.cuda.runtime.memGetInfo()
                raise OutOfDeviceMemory(
                    f"GPU {self.index} has no room for {count:,} bytes more: {free:,} of"
                    f" {total:,} are free",
                    count, free,
                ) from error  # fmt: skip

    def synchronize(self) -> None:
        """Waits for its stream."""
        with self.active():
            self.stream.synchronize()


def _driver() -> bool:
    """Whether there may be a driver: where its library is not, CuPy need not be imported to say so.

    What has imported CuPy already asks that, which costs nothing more.
    """
    if "cupy" in sys.modules:
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _import() -> Any:
    with warnings.catch_warnings():  # two CuPy packages side by side warn at every import
        warnings.simplefilter("ignore")
        import cupy
    return cupy


def _packages() -> list[str]:
    """The installed packages that bring CuPy: more than one overwrite each other's files."""
    known = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x")
    return [name for name in known if next(iter(distributions(name=name)), None) is not None]


def _cuda(cupy: Any) -> str:
    version = cupy.cuda.runtime.runtimeGetVersion()
    return f"{version // 1000}.{version % 1000 // 10}"


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}".rstrip(": ")
