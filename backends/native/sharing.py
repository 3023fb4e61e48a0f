"""What a native program has in memory that the processes of a host share, where several train.

They add up their gradients there: one that is computed there need not be copied, nor need its sum,
which the update reads. In runs of many steps the parameters lie there as well, and each process
updates its part of them alone, the one whose sum it has just made. Between runs every process has
all in its own state, as if nobody else were there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...kernels.memory import Address, address
from ...kernels.numba.native import compiled
from ...kernels.spec import ITEMSIZE, length
from .. import guard
from ..device import Array
from ..parts import SPLIT_BYTES, Part
from ..program import Program, ValueId
from ..state import State
from .lowering import Lowering, bits
from .spans import Cut, moved, span
from .tasks import Shares
from .updates import IN_PARTS

GRADIENTS, PARAMETERS = "gradients", "parameters"
STEPS = 16  # of a run, from which on it pays to bring the state there, and back


class Sharing:
    """Where the flat gradient of a program on a state lies, its sum over all processes, the rest.

    given: where values lie that are to lie elsewhere, which this fills in. part: the elements that
    this process updates in the coming run, or None: all. held: memory for the parameters then, and
    for the optimizer's slots at its end, by segment: slots are in nobody else's way in a run, and
    memory of one's own has larger pages.
    """

    def __init__(self, program: Program, state: State, given: dict[ValueId, Array]) -> None:
        self.program, self.state, self.given = program, state, given
        self.flat = self.total = state.flats[GRADIENTS]
        self.part: Cut | None = None
        self.held: dict[str, np.ndarray] = {}
        self.begun = False
        able = all(one.op in IN_PARTS for one in program.update)
        size = len(self.flat) * ITEMSIZE[program.dtype]
        self.able = program.reduced and able and SPLIT_BYTES[0] <= size <= SPLIT_BYTES[1]

    def moved(self, part: Part | None) -> bool:
        """Makes ready for a run; whether what plans know lies elsewhere now. part: of the run."""
        if not self.program.reduced:
            return False
        before, parted = self._places(), self.part
        self._find(part)
        if before == self._places() and parted == self.part:
            return False
        self._place()
        return before != self._places()

    def _places(self) -> list[int]:
        return [address(one) for one in (self.flat, self.total, *self.held.values())]

    def _find(self, part: Part | None) -> None:
        """Finds the memory for a run."""
        mine, window, self.part = self.state.flats[GRADIENTS], None, None
        dtype, count = self.program.dtype, len(mine)
        if part is not None:
            window = part.reducer.window(dtype, count)
        self.flat, self.total = window or (mine, mine)
        if part is None or window is None or not self.able:
            self.held = {}
        elif part.lasting and len(part.table) >= STEPS:
            names = (PARAMETERS, *self.program.layout.slots)
            found = part.reducer.held(dtype, count, len(names))
            self.held = {} if found is None else dict(zip(names, found.segments, strict=True))
            self.part = None if found is None else found.part

    def _place(self) -> None:
        """Has values lie there; the update begins with the sum of the gradients."""
        self.given.clear()
        made = {out for one in self.program.update for out in one.outputs}
        elsewhere = {PARAMETERS: self.held[PARAMETERS]} if self.part is not None else {}
        if self.total is not self.state.flats[GRADIENTS]:
            elsewhere[GRADIENTS] = self.flat
        for value in self.program.values:
            place = self.program.memory.places.get(value.id)
            if place is not None and place.segment in elsewhere:
                flat = elsewhere[place.segment][place.offset : place.offset + length(value.spec)]
                self.given[value.id] = flat.reshape(value.spec.shape)
            elif value.kind == "flat" and value.source in elsewhere:
                if value.source != GRADIENTS:
                    self.given[value.id] = elsewhere[value.source]
                elif value.id not in made:
                    self.given[value.id] = self.total

    def keep(self) -> None:
        """Has the state know the sum."""
        if self.total is not self.state.flats[GRADIENTS]:
            self.state.flats[GRADIENTS][:] = self.total

    def begin(self) -> None:
        """Brings the state to where a run has it.

        All processes write the same parameters, and none changes one before all have come to the
        sum of the first step: so nobody waits here. Nor does one come here before all others have
        been through `end`: what they agree on after each run (`core/shared_rows.py`) is between.
        """
        self.begun = self.part is not None
        if self.begun:
            self.held[PARAMETERS][:] = self.state.flats[PARAMETERS]

    def end(self, control: Address) -> None:
        """Has the state be what a run came to; all processes come here after their last update.

        control: the address of the run's control record.
        """
        if not self.begun:
            return
        assert self.part is not None
        self.begun, mine = False, slice(*self.part)
        for name in self.program.layout.slots:
            self.held[name][mine] = self.state.flats[name][mine]
        record = np.array([control])
        compiled.run("await_updates", self.program.dtype, address(record))
        for name, flat in self.held.items():
            self.state.flats[name][:] = flat

    # Steps

    def before_update(self, low: Lowering) -> Iterator[Shares]:
        """Steps that sum the gradients of several processes, and look at what the update works on.

        Where it is split, each looks at its part, and all agree.
        """
        if self.program.reduced:
            size = low.bytes(len(self.flat))
            whole, total = span(address(self.flat), size), span(address(self.total), size)
            parted = int(self.part is not None)
            record = [low.memory.control, whole.start, len(self.flat), total.start, parted]
            yield low.first("all_reduce", record, [whole], [total])
        limit = bits(guard.largest_norm(self.program.dtype))
        flats = {**self.state.flats, GRADIENTS: self.total}
        if self.part is not None:
            flats[PARAMETERS] = self.held[PARAMETERS]
        for name in guard.normed(self.program):
            base = address(flats[name])
            for cuts in low.owned():
                row: Shares = []
                for share, (start, stop) in enumerate(cuts):
                    part = span(moved(base, low.bytes(start)), low.bytes(stop - start))
                    now, control = low.memory.now[share], low.memory.control
                    record = [now, control, part.start, stop - start, limit]
                    row.append(None if start == stop else low.task("guard", record, [part], []))
                yield row
        if self.part is not None:
            total = span(address(self.total), low.bytes(len(self.total)))
            yield low.first("agree", [low.memory.now[0], low.memory.control], [], [total])

    def after_update(self, low: Lowering) -> Iterator[Shares]:
        """A step that waits for the others' parts of an update that is split."""
        if self.part is not None:
            flat = self.held[PARAMETERS]
            whole = span(address(flat), low.bytes(len(flat)))
            yield low.first("await_updates", [low.memory.control], [], [whole])
