"""Captured steps of fused kernels and generated ones."""

from __future__ import annotations

from .captured import Captured, CapturedBinding
from .fused import FusedBinding, FusedRegions
from .state import DataBlock, State
from .walker import WalkerBinding


class FusedStepsBinding(FusedBinding, CapturedBinding):
    """Captures, with generated kernels."""


class FusedSteps(FusedRegions, Captured):
    """A program whose steps are captured, and whose regions are generated kernels."""

    binding = FusedStepsBinding

    def bind(self, state: State, block: DataBlock) -> WalkerBinding:
        """Ties the program to a state and to data; one that must look at indices is walked."""
        if self.program.computed:
            return FusedBinding(self.backend, self.program, state, block)
        return super().bind(state, block)
