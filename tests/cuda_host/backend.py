"""A device of the CPU whose kernels are CUDA sources: the table and the walker that a GPU has."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import lamina as lm
import numpy as np
from lamina.backends.contract import Executable
from lamina.backends.fused import FusedBinding, FusedRegions
from lamina.backends.program import Program
from lamina.backends.state import DataBlock, State
from lamina.backends.walker import WalkerBinding
from lamina.kernels.cuda.table import cuda_kernels
from lamina.kernels.op import Kernel

from . import cupy_on_host


class FusedWalker(FusedRegions):
    """A walked program whose regions are generated kernels: steps that are not captured."""

    def bind(self, state: State, block: DataBlock) -> WalkerBinding:
        return FusedBinding(self.backend, self.program, state, block)


class HostCuda(lm.Backend):
    """Used while `cupy_on_host` is installed."""

    name = "cuda on the host"

    @property
    def xp(self) -> Any:
        return cupy_on_host.MODULE

    @cached_property
    def _kernels(self) -> Mapping[str, Kernel]:
        return cuda_kernels()

    def kernels(self) -> Mapping[str, Kernel]:
        return self._kernels

    def asarray(self, host: np.ndarray) -> Any:
        return cupy_on_host.asarray(np.asarray(host, order="C"))

    def to_numpy(self, array: Any) -> np.ndarray:
        return np.array(array, subok=False)

    def compile(self, program: Program) -> Executable:
        return FusedWalker(self, program)
