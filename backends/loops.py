"""Plain Python loops: the baseline of the course and of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from ..kernels.op import Kernel
from .host import HostBackend


class LoopsBackend(HostBackend):
    """Every operation as explicit loops over elements, in the interpreter."""

    name = "loops"

    @cached_property
    def _kernels(self) -> Mapping[str, Kernel]:
        from ..kernels.loops.table import loop_kernels

        return loop_kernels()

    def kernels(self) -> Mapping[str, Kernel]:
        """The explicit loops: one for every operation."""
        return self._kernels

    def variants(self) -> Mapping[str, Mapping[str, Kernel]]:
        """Only one."""
        return {"loops": self._kernels}
