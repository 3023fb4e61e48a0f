"""Vectorised NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from ..kernels.op import Kernel
from .blocked import Blocked
from .contract import Executable
from .host import HostBackend
from .program import Program


class NumpyBackend(HostBackend):
    """The vectorised references, and kernels that write into planned memory where that pays."""

    name = "numpy"

    @cached_property
    def _kernels(self) -> Mapping[str, Kernel]:
        from ..kernels.numpy.table import numpy_kernels

        return numpy_kernels()

    def kernels(self) -> Mapping[str, Kernel]:
        """Kernels that write with `out=`."""
        return self._kernels

    def compile(self, program: Program) -> Executable:
        """Walks it; regions larger than a cache go over memory once."""
        return Blocked(self, program)

    def variants(self) -> Mapping[str, Mapping[str, Kernel]]:
        """The references, and the kernels that write with `out=`."""
        return {"vectorised": {}, "bound": self._kernels}
