"""CuPy's RawModule and its kernels, which run on the CPU."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from lamina.kernels.cuda.launch import DTYPES
from lamina.kernels.cuda.sources import Entry, Parameter, entries

from . import compiling
from .memory import Array, check_freed, check_whole

FAULTS = {
    1: "a barrier or a shuffle that not all of its threads reach",
    2: "a shuffle from a lane outside of its mask",
    3: "a load or a store at an address that is not aligned",
    4: "a write outside of the memory that its threads share",
}
ORDERS = tuple(range(12))  # see engine.cpp: 2, 3, 6, 7, 10 and 11 are greedy, from 4 on shuffled
THREADS = 1024
SHARED = "extern __shared__ double2 shared_memory[];"


class State:
    """order: in which threads run. launches: the names of kernels that were launched."""

    order = 0
    launches: list[str] = []  # noqa: RUF012


def behind(value: Any) -> np.ndarray | None:
    """The elements of an array of the device, None of anything else."""
    return value if isinstance(value, Array) else None


class RawModule:
    """Sources, compiled by the machine's C++ compiler."""

    def __init__(
        self, *, code: str, options: Sequence[str] = (), backend: str = "nvrtc",
        name_expressions: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        assert backend == "nvrtc"
        assert "-std=c++17" in options
        real = next((o for o in options if o.startswith("-DREAL=")), "-DREAL=float")
        self.dtype = DTYPES[real.removeprefix("-DREAL=")]
        self.entries = {entry.name: entry for entry in entries(code)}
        compiling.engine()
        calls = "".join(_call(entry) for entry in self.entries.values())
        code = code.replace(SHARED, "double2* shared_memory = (double2*)shared_by_block();")
        text = f'#include "device.h"\n{code}\n{BOUNDS}{calls}'
        flags = [o for o in options if o.startswith("-D")]
        path = compiling.library(text, *flags, "-fvisibility=hidden", *compiling.alignment())
        self.library = ctypes.CDLL(str(path))

    def get_function(self, name: str) -> RawKernel:
        """A kernel, by its name."""
        return RawKernel(self.library, self.entries[name], self.dtype)


BOUNDS = """
extern "C" char __start_cu_shared[] __attribute__((visibility("hidden")));
extern "C" char __stop_cu_shared[] __attribute__((visibility("hidden")));
static __attribute__((used, section("cu_shared"))) char some_shared[16];
extern "C" void misaligned();
extern "C" void __ubsan_handle_type_mismatch_v1(void*, void*) { misaligned(); }
extern "C" int launch(const unsigned*, void (*)(void**), void**, unsigned, char*, long long);
"""


def _call(entry: Entry) -> str:
    """What calls a kernel with arguments that lie at addresses."""
    kinds = [f"{p.type}*" if p.pointer else p.type for p in entry.parameters]
    given = ", ".join(f"*({kind}*)a[{i}]" for i, kind in enumerate(kinds))
    return (
        f"static void call_{entry.name}(void** a) {{ {entry.name}({given}); }}\n"
        f'extern "C" EXPORTED int run_{entry.name}(const unsigned* sizes, void** a, unsigned order)'
        f" {{ return launch(sizes, call_{entry.name}, a, order, __start_cu_shared,"
        " __stop_cu_shared - __start_cu_shared); }\n"
    )


class RawKernel:
    """One kernel."""

    def __init__(self, library: ctypes.CDLL, entry: Entry, dtype: str) -> None:
        self.function = getattr(library, f"run_{entry.name}")
        self.entry, self.dtype = entry, dtype

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], *,
        shared_mem: int = 0,
    ) -> None:  # fmt: skip
        self.prepared(grid, block, args, shared_mem)()

    def prepared(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: Sequence[Any],
        shared_mem: int = 0,
    ) -> Callable[[], None]:
        """What does a launch, now or later, with the arguments as they are now.

        Like a graph it knows the addresses of arrays, and holds none of them.
        """
        name, taken = self.entry.name, self.entry.parameters
        assert len(args) == len(taken), f"{name} takes {taken}"
        assert 0 < np.prod(block) <= min(self.entry.threads, THREADS), f"{name}: {block} threads"
        assert min(grid) > 0, f"{name}: {grid} blocks"
        cells = [self._cell(p, arg) for p, arg in zip(taken, args, strict=True)]
        pointers = (ctypes.c_void_p * len(cells))(*(cell.ctypes.data for cell in cells))
        sizes = (ctypes.c_uint * 7)(*(*grid, 1, 1)[:3], *(*block, 1, 1)[:3], shared_mem)
        arrays = [weakref.ref(a) for a in args if isinstance(a, Array)]

        def run(held: Any = (cells, pointers, sizes)) -> None:
            State.launches.append(name)
            code = self.function(sizes, pointers, State.order)
            if code:
                raise RuntimeError(f"{name}: {FAULTS[code]}")
            living = [array() for array in arrays]
            check_whole(name, [a for a in living if a is not None])
            check_freed(name)

        return run

    def _cell(self, parameter: Parameter, value: Any) -> np.ndarray:
        """The bytes of an argument: a number, or an address."""
        wanted = self.dtype if parameter.type == "real" else DTYPES[parameter.type]
        told = f"{self.entry.name}: {parameter.name} is {wanted}{'*' * parameter.pointer}"
        elements = behind(value)
        if elements is not None:
            if not parameter.pointer or str(elements.dtype) != wanted:
                raise TypeError(f"{told}, not an array of {elements.dtype}")
            return np.array([elements.ctypes.data], dtype=np.uint64)
        if not isinstance(value, np.generic):
            raise TypeError(f"{told}, not {type(value).__name__}")
        if parameter.pointer and value != np.uint64(0):
            raise TypeError(f"{told}, not the number {value}")
        if not parameter.pointer and str(value.dtype) != wanted:
            raise TypeError(f"{told}, not {value.dtype}")
        return np.array([value])
