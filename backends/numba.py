"""Numba: fused kernels compiled for this CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.util import find_spec

import numpy as np

from ..kernels.memory import address
from ..kernels.op import Kernel
from . import threads
from .contract import Executable, Obstacle
from .host import HostBackend
from .program import Program
from .shared import shared


class NumbaBackend(HostBackend):
    """Fused kernels for the hot operations; the vectorised references for the others."""

    name = "numba"

    @classmethod
    def obstacle(cls, index: int = 0) -> Obstacle | None:
        """Numba, or SciPy whose BLAS it calls, may be missing or broken."""
        for package in ("numba", "scipy"):
            if find_spec(package) is None:
                return Obstacle(f"the package {package} is not installed", f"pip install {package}")
        try:
            import numba  # noqa: F401
        except Exception as error:  # a version of NumPy that it does not know, a broken wheel
            return Obstacle(f"importing numba failed: {error}", "pip install --upgrade numba numpy")
        return None

    def trial(self, x: np.ndarray) -> np.ndarray:
        """One step of native programs; Numba's functions would be loaded for nothing else."""
        from ..kernels.numba.native import compiled
        from ..kernels.numba.native.steps_elements import ARITHMETIC

        out, zeros = np.empty_like(x), np.zeros_like(x)
        places = address(x), address(zeros), address(out)
        record = np.array([ARITHMETIC.index("maximum"), x.size, *places])
        compiled.run("arithmetic", str(x.dtype), address(record))
        return out

    @cached_property
    def _kernels(self) -> Mapping[str, Kernel]:
        from ..kernels.numba.table import numba_kernels

        return {name: shared(kernel) for name, kernel in numba_kernels().items()}

    def kernels(self) -> Mapping[str, Kernel]:
        """The compiled kernels; each is compiled at its first call and cached on disk."""
        return self._kernels

    def variants(self) -> Mapping[str, Mapping[str, Kernel]]:
        """The explicit loops of `loops`, compiled, and the fused kernels."""
        from ..kernels.loops.table import compiled_loop_kernels

        return {"compiled loops": compiled_loop_kernels(), "fused": self._kernels}

    def warmup(self) -> Iterator[str]:
        """Every step of native programs, in both dtypes."""
        from ..kernels.numba.native import build

        pieces = build.warmup(self.dtypes, threads.count())
        return (" ".join(piece) for piece in pieces)

    def thresholds(self) -> tuple[str, list[tuple[str, str, str]]]:
        """Those of native programs; see `kernels/thresholds.py`."""
        from ..kernels import thresholds

        return thresholds.found().origin, thresholds.described()

    def compile(self, program: Program) -> Executable:
        """Makes a program ready for the native executor."""
        from .native.executor import Native

        return Native(self, program)
