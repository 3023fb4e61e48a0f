"""Programs on a GPU: what runs their steps, a captured graph or one block for many of them."""

from __future__ import annotations

from .captured import Captured
from .contract import Backend
from .fused import FusedBinding, FusedRegions
from .fused_steps import FusedStepsBinding, Ready
from .persistent import kernel, loaded
from .program import Program
from .recorded import Graphs
from .state import DataBlock, State
from .walker import WalkerBinding


class FusedSteps(FusedRegions, Captured):
    """A program whose steps are captured, and whose regions are generated kernels.

    persistent: whether small steps are done by one block, many in a launch.
    """

    binding = FusedStepsBinding
    persistent = False

    def __init__(
        self, backend: Backend, program: Program, graphs: Graphs, persistent: bool = False
    ) -> None:
        self._ready: dict[tuple[int, bool], Ready | None] = {}
        super().__init__(backend, program, graphs)
        self.persistent = persistent

    def bind(self, state: State, block: DataBlock) -> WalkerBinding:
        """Ties the program to a state and to data."""
        if self.walked:
            return FusedBinding(self.backend, self.program, state, block)
        made = super().bind(state, block)
        assert isinstance(made, FusedStepsBinding)
        made.persistent = self.whole
        return made

    def whole(self, rows: int, weighted: bool) -> Ready | None:
        """The kernel that does steps of so many rows by one block, if there is one worth it.

        weighted: whether rows have weights.
        """
        key = rows, weighted
        if self.persistent and key not in self._ready:
            self._ready[key] = loaded(self.backend, self.program, rows, weighted)
        return self._ready.get(key)

    def explain(self) -> list[tuple[str, str, str]]:
        """(stage, operation, kernel or reference) for every instruction."""
        lines, program = super().explain(), self.program
        if self.walked or not self.persistent:
            return lines
        if kernel(self.backend, program, program.capacity, False) is None:
            return lines
        return [(s, op, how.replace("captured", "persistent")) for s, op, how in lines]
