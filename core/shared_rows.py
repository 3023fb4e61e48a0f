"""Where a fit's batches come from when several processes share each batch's rows."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import ClassVar

import numpy as np

from ..backends.parts import COLUMNS, FIRST, SCALE, TOTAL, Part
from ..backends.state import Control
from ..kernels.errors import BadInput
from .callbacks import Listeners
from .distributed import Distributed, check_shared, refuse_accumulation, share
from .examples import Examples
from .history import Reporter
from .interrupt import Interrupt
from .optimizers import LBFGS
from .session import Kind, Session, means
from .sources import SHORT_PASS, ArraySource, row_order
from .team import Team


def shared(
    session: Session, examples: Examples, batch: int, shuffle: bool, accumulate: int, team: Team
) -> ArraySource:
    """The source for arrays, of whose batches each process takes a part. Raises: BadInput."""
    assert isinstance(team, Distributed)
    if isinstance(session.optimizer, LBFGS):
        raise BadInput("LBFGS works in one process: fit without distributed, or use Adam")
    refuse_accumulation(accumulate)
    return SharedArrays(session, examples, batch, shuffle, team)


class SharedArrays(ArraySource):
    """Arrays that each process has, and of whose batches each takes a part.

    A process that has no row of a batch runs one of another's, without weight: so all take the same
    steps. batch, own_rows: what this process takes of a batch, and of all of them; whole_batch,
    rows: what there is.
    """

    kind: ClassVar[Kind] = "shared"

    def __init__(
        self, session: Session, examples: Examples, batch: int, shuffle: bool, team: Distributed
    ) -> None:
        self.team, self.whole_batch = team, batch
        check_shared(session)
        self.full, self.last = divmod(examples.rows, batch)
        self.steps = self.full + (self.last > 0)
        own, rest = (max(self._own(rows)[1], 1) for rows in (batch, self.last))
        self.own_rows = self.full * own + (rest if self.last else 0)
        super().__init__(session, examples, own, shuffle)

    def bind(self) -> None:
        """Takes a binding of its own, on the device where the model is."""
        super().bind()
        self.placed: Part | None = None  # of an order that the next epochs have as well
        self.block.rows = self.own_rows
        self.binding.pace = 1  # in all processes
        self.short = self.steps <= SHORT_PASS

    def _own(self, rows: int) -> tuple[int, int]:
        """The first row that this process takes of a batch, and how many."""
        start, stop = share(rows, self.team.rank, self.team.ranks)
        return start, stop - start

    def parts(self, count: int) -> Part:
        """Sets the order of this process's rows of the next epochs; what it needs of each step."""
        if self.placed is not None and len(self.placed.table) == count * self.steps:
            return self.placed
        found = [self._one(self.state.epoch + number) for number in range(count)]
        self.block.reorder(np.concatenate([order for order, _ in found]))
        sizes = np.full(self.steps, self.whole_batch)
        sizes[self.full :] = self.last
        table = np.concatenate([table for _, table in found])
        part = Part(table, self.team, np.tile(sizes, count), lasting=True)
        self.placed = None if self.shuffle else part
        return part

    def _one(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The order of an epoch's rows, and the table of its steps."""
        rows, batch, full = self.rows, self.whole_batch, self.full
        order = np.arange(rows, dtype=np.int32)
        if self.shuffle:
            order = row_order(self.state.seed, epoch, rows)
        table, taken = np.zeros((self.steps, COLUMNS)), []
        weights = self.block.weights
        for steps, size in ((slice(0, full), batch), (slice(full, None), self.last)):
            if not size:
                continue
            found = order[: full * batch] if steps.start == 0 else order[full * batch :]
            lines = found.reshape(-1, size)
            first, own = self._own(size)
            begin = min(first, size - 1)  # of the row that is run without weight, where own is 0
            taken.append(lines[:, begin : begin + max(own, 1)].reshape(-1))
            table[steps, TOTAL] = size if weights is None else weights[lines].sum(axis=1)
            table[steps, FIRST] = first
            with np.errstate(divide="ignore"):
                scale = 1.0 / table[steps, TOTAL]
            table[steps, SCALE] = np.where(np.isfinite(scale), scale, 0.0) if own else 0.0
        return np.concatenate(taken), table

    def several(self, left: int) -> tuple[list[dict[str, float]], Control]:
        """Up to `left` passes in one run; see `ArraySource.several`."""
        session, state, control = self.session, self.state, Control(batch=self.batch)
        count = min(self.binding.pace // self.steps, left) if self.short else 0
        if not count:
            return [], control
        control.part = self.parts(count)
        control.learning_rates = session.optimizer.rates(state.step, count * self.steps)
        start = time.perf_counter()
        with state.turn:
            found = self.binding.passes(control, count)
        if found is None:
            self.short = False
            return [], control
        self._adapt(count * self.steps, self.team.slowest(time.perf_counter() - start))
        self.team.blame(control)
        return [self.team.total(one) for one in found], control

    def epoch(self, interrupt: Interrupt, reporter: Reporter, told: Listeners | None) -> Control:
        """One pass over the rows."""
        part, control, done = self.parts(1), Control(batch=self.batch), 0
        state, team = self.state, self.team
        sums: dict[str, float] = {}
        while done < self.steps and not control.stop and not interrupt.asked:
            steps = 1 if told is not None else min(self.binding.pace, self.steps - done)
            run = Control(self.batch, control.cursor, steps)
            run.part = replace(part.cut(done, done + steps), lasting=told is None)
            run.learning_rates = self.session.optimizer.rates(state.step, steps)
            start = time.perf_counter()
            with state.turn:
                self.binding.run(run)
            self._adapt(steps, team.slowest(time.perf_counter() - start))
            control.cursor, control.stop = run.cursor, run.stop
            for name, value in team.total(run.sums).items():
                sums[name] = sums.get(name, 0.0) + value
            control.weight_sum += run.weight_sum
            control.sums = sums
            done += steps
            if run.stop:
                control.nonfinite_instruction = run.nonfinite_instruction
                control.nonfinite_layer = run.nonfinite_layer
                control.nonfinite_step = run.nonfinite_step
            reporter.batches(min(done * self.whole_batch, self.rows), means(control))
            if told is not None and told.ends(run):
                break
        team.blame(control)
        return control
