"""A training step as it is recorded: what is asked of the device, and nothing of the host.

The numbers of the step come from the control block, its rows by an order on the device, and what
outlasts the step is written only while all was finite.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np

from .buffers import Plans
from .contract import Backend
from .control_block import COUNTERS, REALS, ControlBlock
from .device import Array
from .parts import DeviceSum
from .program import Program
from .state import Control, DataBlock, State
from .walker import Launch, WalkerBinding, WalkPlan

UNROLLED = 8  # steps in one capture where launches cost more than what they do


class Graphs(Protocol):
    """What a device brings to replay steps."""

    def pool(self) -> AbstractContextManager[Any]:
        """Where what a capture makes lies: arrays made within are there for as long as it is."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Records what `work` asks of the device, without doing it; gives what does it.

        A device that records nothing gives `work` itself.
        """

    def put(self, going: Array, target: Array, source: Array) -> None:
        """Copies into memory that exists, where the flag, (1,), is true when it runs."""


@dataclass(frozen=True)
class Capture:
    """Recorded steps: what replays them, the table with their outputs, and all that they touch."""

    replay: Callable[[], None]
    env: list[Any]
    holds: tuple[Any, ...]


@dataclass(frozen=True)
class Kind:
    """What one capture is for: rows of a batch, steps, where rows come from, whether they weigh.

    Of several processes also where in the batch the first row is, and the rows of the whole batch:
    0 where another process may see another kind, so that this one is not captured. For all must
    capture the same sum at once: libraries may agree then on how they do it.
    """

    rows: int
    count: int
    inside: bool
    weighted: bool
    first: int = 0
    whole: int = 0


@dataclass(frozen=True)
class Prepared:
    """What a step for a number of rows is made of.

    counters: (UNROLLED, 3), what is added to them by the steps before each of several. moved: by
    the number of steps what they add, (3,). done: for each launch the values that nobody reads
    after it, which lie nowhere that stays.
    """

    rows: int
    plan: WalkPlan
    counters: Array
    moved: dict[int, Array]
    done: dict[Launch, tuple[int, ...]]


class RecordedSteps(WalkerBinding):
    """Steps of a program as a device is asked for them, one after the other."""

    def __init__(
        self, backend: Backend, program: Program, state: State, block: DataBlock, graphs: Graphs
    ) -> None:
        super().__init__(backend, program, state, block)
        self.graphs, self.pool = graphs, graphs.pool()
        self.memory = self._control_block()
        self.prepared: Plans[int, Prepared] = Plans()
        self.stoppable = bool(program.update or program.watched)
        # The rows that the steps of a run visit, a line for each, and their shares of the weight.
        self.order: Array = None
        self.shares: Array = None
        # Of several processes: where in the batch this one's first row is, and what sums.
        self.first = 0
        self.sum: DeviceSum | None = None
        if program.reduced:
            (self.lost,) = (program.sums[name] for name in program.watched)
            self.buffers.given[self.lost] = self.backend.xp.reshape(state.with_loss[-1:], ())

    @property
    def weighs(self) -> bool:
        """Whether rows have shares of the weight of their batch, else all the same."""
        weighed = self.block.weights is not None or self.program.reduced
        return weighed and "weights" in self.program.columns

    def summing(self, control: Control) -> bool:
        """Whether what is recorded holds for a run; of several processes, whether devices sum."""
        found = control.part.reducer.on_device if control.part else None
        if found is not self.sum:
            self.forget()
            self.sum = found
            if found is not None:
                found.users.add(self)
        return found is not None or not self.program.reduced

    def forget(self) -> None:
        """Lets go of all that was recorded."""

    def _control_block(self) -> ControlBlock:
        return ControlBlock(self.backend, len(self.program.sums))

    def own(self) -> tuple[Any, ...]:
        """Memory beside the buffers that steps read and write."""
        return (self.memory,)

    def _prepare(self, rows: int) -> Prepared:
        plan, trained = self._plan(rows), int(bool(self.program.update))
        one = np.array([1, trained, trained], dtype=np.int64)
        before = self.backend.asarray(np.arange(UNROLLED)[:, None] * one)
        moved = {count: self.backend.asarray(count * one) for count in (1, UNROLLED)}
        return Prepared(rows, plan, before, moved, self._done(plan))

    def _done(self, plan: WalkPlan) -> dict[Launch, tuple[int, ...]]:
        kept = {*self.program.outputs.values(), *self.program.sums.values()}
        launches = list(chain.from_iterable(plan.stages.values()))
        left: set[int] = set()
        for launch in launches:
            out = launch.out or (None,) * len(launch.outputs)
            left.update(id for id, a in zip(launch.outputs, out, strict=True) if a is None)
        left -= kept
        found: dict[Launch, tuple[int, ...]] = {}
        for launch in reversed(launches):
            found[launch] = tuple(left.intersection((*launch.inputs, *launch.outputs)))
            left.difference_update(found[launch])
        return found

    def steps(self, ready: Prepared, inside: bool, count: int) -> None:
        """Asks for steps. inside: their rows are taken by the order on the device, all at once.

        count: 1 or UNROLLED.
        """
        xp, memory = self.backend.xp, self.memory
        counters = xp.reshape(memory.counters, (1, len(COUNTERS)))
        if count > 1:
            counters = counters + ready.counters
        at = counters[:, 0]
        numbers = xp.take(memory.table, at, axis=0)
        rows = self._gathered(ready, at, count) if inside else {}
        for number in range(count):
            line = slice(number, number + 1)
            for id, whole in rows.items():
                ready.plan.env[id] = whole[number * ready.rows : (number + 1) * ready.rows, ...]
            self._one(ready, numbers[line], counters[line])
        memory.counters += ready.moved[count]  # the last: steps read views of them

    def _gathered(self, ready: Prepared, at: Array, count: int) -> dict[int, Array]:
        """The rows of so many steps, by the value that they are for."""
        plan, xp, columns = ready.plan, self.backend.xp, self.program.columns

        def lines(whole: Array) -> Array:
            """Of a table with a line for each step, one under the other."""
            found = xp.take(whole, at, axis=0)[:, : ready.rows, ...]
            return xp.reshape(found, (count * ready.rows, *whole.shape[2:]))

        indices = lines(self.order)
        found: dict[int, Array] = {}
        for id, name, call, out in plan.gather:
            column = self.block.columns[name]
            if out is not None and count > 1:
                shape = (count * ready.rows, *column.shape[1:])
                out = (xp.empty(shape, dtype=column.dtype),)
            found[id] = call(out, column, indices)[0]
        if self.weighs:
            found[columns["weights"]] = lines(self.shares)
        elif "weights" in columns:
            plan.env[columns["weights"]] = plan.even
        return found

    def _one(self, ready: Prepared, row: Array, counters: Array) -> None:
        """A step. row: (1, columns) its numbers, counters: (1, 3) its counters."""
        plan, program, xp = ready.plan, self.program, self.backend.xp
        known = self._numbers(row, counters)
        for id, name in plan.control:
            plan.env[id] = known[name]
        self._compute(ready, "forward")
        self._compute(ready, "backward")
        self._sum(plan.env)
        if program.sums or self.stoppable:
            self._add_up(plan.env, xp.reshape(row[:, len(REALS) :], (-1,)))
        if program.update:
            self._look(known["squared_limit"])
            for launch in plan.stages["update"]:
                self._keep(launch, plan.env)

    def _numbers(self, row: Array, counters: Array) -> dict[str, Any]:
        """Those of a step by name, of rank 0 on the device; the seed is the state's for good."""
        known: dict[str, Any] = {"seed": self.state.seed, "first_row": self.first}
        for names, table in ((REALS, row), (COUNTERS, counters)):
            for at, name in enumerate(names):
                known[name] = self.backend.xp.reshape(table[:, at : at + 1], ())
        return known

    def _sum(self, env: list[Any]) -> None:
        """The reduction point: gradients and loss become those of all processes, in one sum.

        So what decides about the update is the same numbers in each: all stop at one step, without
        asking each other.
        """
        if self.sum is None:
            return
        place = self.buffers.given[self.lost]
        if env[self.lost] is not place:  # an expression made it elsewhere
            self.backend.assign(place, self.backend.xp.reshape(env[self.lost], ()))
            env[self.lost] = place
        self.sum.add(self.state.with_loss)

    def _compute(self, ready: Prepared, stage: str) -> None:
        env = ready.plan.env
        for launch in ready.plan.stages[stage]:
            self._walk([launch], env)
            for id in ready.done[launch]:
                env[id] = None

    def _keep(self, launch: Launch, env: list[Any]) -> None:
        """One launch of the update. A kernel that knows of the flag writes by itself."""
        inputs, call, going = [env[i] for i in launch.inputs], launch.call, self.memory.going
        assert launch.out is not None
        if call.writes and getattr(call.function, "guarded", False):
            call.function(launch.out, *inputs, going=going, **call.attrs)
        else:
            xp, scratch = self.backend.xp, None
            if call.writes:
                made = [xp.empty(s.shape, dtype=getattr(xp, s.dtype)) for s in call.outputs]
                scratch = tuple(made)
            for target, source in zip(launch.out, call(scratch, *inputs), strict=True):
                self.graphs.put(going, target, source)
        for id, target in zip(launch.outputs, launch.out, strict=True):
            env[id] = target

    def _add_up(self, env: list[Any], factors: Array) -> None:
        """Adds the step's values to the totals, and looks at those that must be finite."""
        xp, memory, fine = self.backend.xp, self.memory, None
        for at, (name, id) in enumerate(self.program.sums.items()):
            value = memory.values[at : at + 1]
            self.backend.assign(value, xp.reshape(env[id], (1,)))
            if name in self.program.watched:
                one = xp.isfinite(value)
                fine = one if fine is None else fine & one
        added = memory.values * factors
        memory.totals += xp.where(memory.going, added, memory.nothing)
        if fine is not None:
            memory.going &= fine

    def _look(self, limit: Array) -> None:
        """Looks at the norms before an update."""
        xp, memory = self.backend.xp, self.memory
        for name in self.normed:
            flat = self.state.flats[name]
            memory.going &= xp.reshape(xp.matmul(flat, flat), (1,)) < limit
