"""Where a native program's gradient lies: in the state, or where other processes find it.

Processes of a host that train together add up their gradients in memory that they share. A gradient
that is computed there need not be copied, nor need its sum, which the update reads.
"""

from __future__ import annotations

from ...kernels.memory import address
from ...kernels.spec import length
from ..device import Array
from ..parts import Part
from ..program import Program, ValueId
from ..state import State

SEGMENT = "gradients"


class Gradients:
    """Where the flat gradient of a program on a state lies, and its sum over all processes.

    given: where values lie that are to lie elsewhere, which this fills in.
    """

    def __init__(self, program: Program, state: State, given: dict[ValueId, Array]) -> None:
        self.program, self.state, self.given = program, state, given
        self.flat = self.total = state.flats[SEGMENT]

    def moved(self, part: Part | None) -> bool:
        """Makes ready for a run; whether gradients lie elsewhere now. part: of the run."""
        if not self.program.reduced:
            return False
        own, window = self.state.flats[SEGMENT], None
        if part is not None:
            window = part.reducer.window(self.program.dtype, len(own))
        flat, total = window or (own, own)
        before = address(self.flat), address(self.total)
        if (address(flat), address(total)) == before:
            return False
        self.flat, self.total = flat, total
        self.given.clear()
        if window is not None:
            self._place()
        return True

    def _place(self) -> None:
        """Has all values of the gradient lie there; the update begins with their sum."""
        made = {out for one in self.program.update for out in one.outputs}
        for value in self.program.values:
            place = self.program.memory.places.get(value.id)
            if place is not None and place.segment == SEGMENT:
                stop = place.offset + length(value.spec)
                self.given[value.id] = self.flat[place.offset : stop].reshape(value.spec.shape)
            elif value.kind == "flat" and value.source == SEGMENT and value.id not in made:
                self.given[value.id] = self.total

    def keep(self) -> None:
        """Has the state know the sum."""
        if self.total is not self.state.flats[SEGMENT]:
            self.state.flats[SEGMENT][:] = self.total
