"""Vectorised NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from ..kernels.op import Kernel
from .host import HostBackend


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

    def variants(self) -> Mapping[str, Mapping[str, Kernel]]:
        """The references, and the kernels that write with `out=`."""
        return {"vectorised": {}, "bound": self._kernels}
