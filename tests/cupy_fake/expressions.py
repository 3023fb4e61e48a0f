"""The cupy backend without CUDA kernels of its own: reference expressions, in captured steps."""

from __future__ import annotations

from collections.abc import Mapping

from lamina.backends.captured import Captured
from lamina.backends.contract import Executable
from lamina.backends.cupy import CupyBackend
from lamina.backends.program import Program
from lamina.kernels.op import Kernel


class Expressions(CupyBackend):
    """What is left where no operation has a kernel. Made while the fake is installed."""

    def kernels(self) -> Mapping[str, Kernel]:
        return {}

    def compile(self, program: Program) -> Executable:
        return Captured(self, program, self.graphs)
