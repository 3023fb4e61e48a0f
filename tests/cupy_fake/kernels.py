"""The fake's RawModule: CUDA C++ executed on the CPU (`cuda_host`), on the fake's memory.

The machine's C++ compiler compiles the sources; where there is none, asking for a kernel says so.
A launch is one node of a capture, and knows addresses alone. Each has another order of threads than
that before: replays and launches agree only where the order of threads is of no account.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Sequence
from typing import Any

from cuda_host import compiling, modules
from cuda_host.memory import Array

from . import machine
from .array import ndarray, values
from .machine import CUDARuntimeError, Race

loaded: set[tuple[int, RawKernel]] = set()  # by device: a capture must not load anything
orders = itertools.cycle(modules.ORDERS)
_turn = threading.Lock()  # blocks of threads are run for one kernel at a time


class RawModule:
    """`cupy.RawModule`."""

    def __init__(
        self, *, code: str | None = None, path: str | None = None, options: Sequence[str] = (),
        backend: str = "nvrtc", name_expressions: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        if code is None or path is not None or name_expressions is not None:
            raise NotImplementedError("the fake's modules are made from code, by names of C")
        reason = compiling.obstacle()
        if reason:
            raise CUDARuntimeError(f"the fake executes CUDA sources on the CPU: {reason}")
        with _turn:
            self._module = modules.RawModule(code=code, options=tuple(options), backend=backend)

    def get_function(self, name: str) -> RawKernel:
        found = RawKernel(self._module.get_function(name))
        found.load()
        return found


class RawKernel:
    """A kernel of a module (`cupy.RawKernel`)."""

    def __init__(self, inside: modules.RawKernel) -> None:
        self._inside, self.name = inside, inside.entry.name
        self._shared = machine.SHARED

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        if size > machine.SHARED_OPTIN:
            raise CUDARuntimeError(f"cudaErrorInvalidValue: {size} bytes of shared memory")
        self._shared = size

    def load(self) -> None:
        """On the current device, at its first use there."""
        key = (machine.device(), self)
        if key not in loaded and machine.capturing():
            raise CUDARuntimeError(f"[{self.name}] a kernel was loaded in a capture")
        loaded.add(key)

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], *,
        shared_mem: int = 0,
    ) -> None:  # fmt: skip
        if shared_mem > self._shared:
            raise CUDARuntimeError(
                f"[{self.name}] cudaErrorInvalidValue: {shared_mem} bytes of shared memory, of"
                f" {self._shared} that it asked for"
            )
        self.load()
        reads: list[Any] = []
        writes: list[Any] = []
        given: list[Any] = []
        for parameter, one in zip(self._inside.entry.parameters, args, strict=True):
            value = values(one, self.name, reads if parameter.constant else writes)
            given.append(value.view(Array) if isinstance(one, ndarray) else value)
        with _turn:
            ready = self._inside.prepared(grid, block, given, shared_mem)
        pieces = {id(piece): piece for piece in (*reads, *writes)}.values()
        chunks = [weakref.ref(piece.chunk) for piece in pieces]
        ends = [] if machine.capturing() else [piece.end() for piece in pieces]

        def work() -> None:
            with _turn:
                modules.State.order = next(orders)
                ready()
            for chunk in chunks:
                lies = chunk()
                if lies is not None:
                    lies.check(self.name)
            if not all(bool((end == 0xFF).all()) for end in ends):
                raise Race(f"[{self.name}] wrote outside an array")

        machine.do(self.name, work, reads, writes)
