"""Captured steps: a walk that a device records once for a number of rows, and then replays.

What a device brings is `Graphs`: to record work without doing it, and to leave recorded work out
while a flag is set. The rest is here, for any device whose memory can be written. A replay does
what was recorded on the memory that was recorded: so nothing that changes from step to step may be
in a capture, and all that it names must stay where it is. `Reads` says what changes, and when it is
read; memory stays because the plan that owns the capture owns, or shares, the buffers too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from ..kernels.spec import Spec, length
from . import batching, guard
from .buffers import Plans, control_number, rate_of, signed
from .contract import Backend
from .device import Array
from .program import Program, ValueId
from .state import Control, DataBlock, State
from .walker import Walker, WalkerBinding, WalkPlan, examine

AT_LOSS, AT_GRADIENT = 1, 2  # what the flag says; 0: all was finite


class Graphs(Protocol):
    """What a device brings to replay steps."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Records what `work` asks of the device, without doing it; gives what does it."""

    def unless(self, flag: Array, work: Callable[[], None]) -> None:
        """While recording: `work`, which a replay leaves out where the flag, (1,), is not 0."""


@dataclass(frozen=True)
class Reads:
    """What a captured step reads anew at each replay, by value.

    inputs: batch columns. The host has them copied into buffers that stay, before the replay: so
        the cursor, the order, the data block and a memory map are no part of the capture.
    numbers: the step's numbers. The host writes them into the control block, before the replay;
        kernels read them from there, while it runs.
    The number of rows is in every launch: another one is another capture. All else is state, at
    addresses that stay: `State.write` writes into the memory that is there.
    """

    inputs: dict[ValueId, str]
    numbers: dict[ValueId, str]


def reads(program: Program) -> Reads:
    """What differs between two replays of a program's steps."""
    return Reads(
        {id: name for name, id in program.columns.items()},
        {value.id: value.source for value in program.values if value.kind == "control"},
    )


class ControlBlock:
    """Numbers on the device: those of the step, and what a run adds up and finds out.

    number: name -> a rank-0 array. flag: 0, AT_LOSS or AT_GRADIENT. taken: steps done. totals: one
    for each sum. The last three are of shape (1,).
    """

    REALS = ("learning_rate", "weight", "squared_limit")
    INTEGERS = ("step", "seed", "counter")

    def __init__(self, backend: Backend, sums: int) -> None:
        self.backend = backend
        self.reals = backend.zeros(len(self.REALS), "float64")
        self.integers = backend.zeros(len(self.INTEGERS), "int64")
        self.found = backend.zeros(2, "int64")
        self.flag, self.taken = self.found[0:1], self.found[1:2]
        self.sums = backend.zeros(max(sums, 1), "float64")
        self.totals = [self.sums[at : at + 1] for at in range(sums)]
        self.number = {
            name: backend.xp.reshape(memory[at : at + 1], ())
            for memory, names in ((self.reals, self.REALS), (self.integers, self.INTEGERS))
            for at, name in enumerate(names)
        }

    def begin(self, totals: list[float]) -> None:
        """Clears the flag and puts the sums so far in."""
        self._write(self.found, np.zeros(2, dtype=np.int64))
        self._write(self.sums, np.array(totals or [0.0]))

    def write(self, numbers: dict[str, float | int]) -> None:
        """Sets the numbers of the next replay."""
        words = [signed(int(numbers[name])) for name in self.INTEGERS]
        self._write(self.reals, np.array([numbers[name] for name in self.REALS], dtype=np.float64))
        self._write(self.integers, np.array(words, dtype=np.int64))

    def _write(self, target: Array, host: np.ndarray) -> None:
        self.backend.assign(target, self.backend.asarray(host))


@dataclass
class Capture:
    """A plan, its buffers of inputs, and what replays its step once it is recorded."""

    plan: WalkPlan
    inputs: dict[ValueId, Array]
    replay: Callable[[], None] | None = None


class Captured(Walker):
    """A program whose steps are captured."""

    def __init__(self, backend: Backend, program: Program, graphs: Graphs) -> None:
        super().__init__(backend, program)
        self.graphs = graphs

    def bind(self, state: State, block: DataBlock) -> WalkerBinding:
        """Ties the program to a state and to data; one that must look at indices is walked."""
        if self.program.computed:
            return super().bind(state, block)
        return CapturedBinding(self.backend, self.program, state, block, self.graphs)

    def explain(self) -> list[tuple[str, str, str]]:
        """(segment, operation, kernel or reference) for every instruction."""
        return [(s, op, how.replace("walked", "captured")) for s, op, how in super().explain()]


class CapturedBinding(WalkerBinding):
    """Captures for the numbers of rows that occur, over one set of buffers."""

    def __init__(
        self, backend: Backend, program: Program, state: State, block: DataBlock, graphs: Graphs
    ) -> None:
        super().__init__(backend, program, state, block)
        self.graphs = graphs
        self.reads = reads(program)
        self.memory = ControlBlock(backend, len(program.sums))
        self.captures: Plans[int, Capture] = Plans()

    def _capture(self, rows: int) -> Capture:
        plan = self._plan(rows)
        inputs = {id: self.buffers.array(id, rows) for id in self.reads.inputs}
        for id, array in inputs.items():
            plan.env[id] = array
        for id, name in self.reads.numbers.items():
            plan.env[id] = self.memory.number[name]
        return Capture(plan, inputs)

    # Recording

    def _record(self, plan: WalkPlan) -> None:
        """One step: each part is left out when one before it was not finite."""
        graphs, flag = self.graphs, self.memory.flag
        graphs.unless(flag, partial(self._forward, plan))
        if self.program.update:
            graphs.unless(flag, partial(self._backward, plan))
        graphs.unless(flag, partial(self._finish, plan))

    def _forward(self, plan: WalkPlan) -> None:
        xp, memory = self.backend.xp, self.memory
        self._walk(plan.segments["forward"], plan.env)
        finite: Any = None
        for total, (name, id) in zip(memory.totals, self.program.sums.items(), strict=True):
            value = xp.reshape(xp.astype(plan.env[id], xp.float64), (1,))
            self.backend.assign(total, total + value * memory.number["weight"])
            if name in self.program.watched:
                fine = xp.isfinite(value)
                finite = fine if finite is None else finite & fine
        if finite is not None:
            self._raise_flag(finite, AT_LOSS)
        if not self.program.update:
            self._walk(plan.segments["backward"], plan.env)

    def _backward(self, plan: WalkPlan) -> None:
        xp, limit = self.backend.xp, self.memory.number["squared_limit"]
        self._walk(plan.segments["backward"], plan.env)
        finite: Any = None
        for name in self.watched:
            flat = self.state.flats[name]
            fine = xp.reshape(xp.matmul(flat, flat), (1,)) < limit
            finite = fine if finite is None else finite & fine
        self._raise_flag(finite, AT_GRADIENT)

    def _raise_flag(self, finite: Array, where: int) -> None:
        xp = self.backend.xp
        self.backend.assign(self.memory.flag, xp.astype(~finite, xp.int64) * where)

    def _finish(self, plan: WalkPlan) -> None:
        self._walk(plan.segments["update"], plan.env)
        self.backend.assign(self.memory.taken, self.memory.taken + 1)

    # Running

    def run(self, control: Control) -> None:
        """Runs up to `control.steps` batches, and waits for the device once; see `Binding.run`."""
        program, backend, total = self.program, self.backend, self.block.rows
        steps = min(control.steps, batching.count(total, control.batch, control.cursor))
        if steps <= 0:
            return
        begin = control.cursor
        stacks = self._stacks(min(steps * control.batch, total - begin))
        weights: list[float] = []
        with backend.active(), np.errstate(all="ignore"):
            self.memory.begin([control.sums.get(name, 0.0) for name in program.sums])
            for number in range(steps):
                rows = batching.size(total, control.batch, control.cursor)
                plan = self._replay(control, number, rows, weights)
                for name, stack in stacks.items():
                    first = control.cursor - begin
                    backend.assign(stack[first : first + rows], plan.env[program.outputs[name]])
                control.cursor += rows
            flag, taken = (int(n) for n in backend.to_numpy(self.memory.found))
            for name, one in zip(program.sums, backend.to_numpy(self.memory.sums), strict=False):
                control.sums[name] = float(one)
            for name, id in program.outputs.items():
                self.results[name] = backend.to_numpy(stacks.get(name, plan.env[id]))
        if program.update:
            self.state.step += taken
        if program.sums:
            for weight in weights[: taken + 1]:
                control.weight_sum += weight
        if flag:
            self._stop(control, taken, begin + taken * control.batch, flag)

    def passes(self, control: Control, count: int) -> list[dict[str, float]] | None:
        """None: passes are runs, one after the other."""
        return None

    def _replay(self, control: Control, number: int, rows: int, weights: list[float]) -> WalkPlan:
        """Has the device do one step: inputs, numbers, then what was recorded."""
        capture = self.captures.get(rows)
        if capture is None:
            capture = self.captures.keep(rows, partial(self._capture, rows))
        plan, rate = capture.plan, rate_of(control, number)
        weights.append(self._load(plan, control, rows))
        for id, target in capture.inputs.items():
            self.backend.assign(target, plan.env[id])
            plan.env[id] = target
        limit = guard.limit(self.program.dtype, rate)
        numbers = {"weight": weights[-1], "squared_limit": limit * limit}
        done = number if self.program.update else 0
        for name in ("learning_rate", *ControlBlock.INTEGERS):
            told = control_number(name, self.state, rate)
            numbers[name] = told + done if name in ("step", "counter") else told
        self.memory.write(numbers)
        if capture.replay is None:
            capture.replay = self.graphs.capture(partial(self._record, plan))
        capture.replay()
        return plan

    def _stacks(self, rows: int) -> dict[str, Array]:
        """Memory on the device for the stacked outputs of a run."""
        found = {}
        for name in self.program.stacked:
            spec = self.program.values[self.program.outputs[name]].spec.at(1)
            whole = Spec((rows, *spec.shape[1:]), spec.dtype)
            flat = self.backend.zeros(length(whole), whole.dtype)
            found[name] = self.backend.xp.reshape(flat, whole.shape)
        return found

    def _stop(self, control: Control, number: int, cursor: int, flag: int) -> None:
        """Finds what was not finite by walking the step that was not taken."""
        rows = batching.size(self.block.rows, control.batch, cursor)
        walk = WalkerBinding(self.backend, self.program, self.state, self.block)
        examine(walk, control, number, cursor, rows, flag == AT_LOSS)
        control.cursor = cursor + rows
