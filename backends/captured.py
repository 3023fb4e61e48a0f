"""Captured steps: a whole step that a device records once for a number of rows, and then replays.

What a device brings is `Graphs`: to record work without doing it, and to write only while a flag on
the device says so. The rest is here and in `recorded`, for any device whose memory can be written.
A replay does what was recorded on the memory that was recorded: so nothing that changes from step
to step may be in a capture, and all that it names must stay where it is. What changes lies in the
control block, and what a capture names, it holds.

The first step of its kind, or the first eight, are asked for launch by launch: that compiles and
loads what a capture must not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..kernels import thresholds
from ..kernels.errors import OutOfDeviceMemory
from ..kernels.spec import ITEMSIZE, Spec, length
from . import batching, guard
from .buffers import Plans, first_row
from .contract import Backend
from .control_block import REALS, STEPS
from .device import Array
from .examination import examine
from .measured import step_flops
from .program import Program
from .recorded import UNROLLED, Capture, Graphs, Kind, Prepared, RecordedSteps
from .state import Control, DataBlock, State
from .walker import Walker, WalkerBinding, WalkPlan

# There is memory for the rows of so many steps of a run, at least, but for no more rows than that.
LINES, SOME_ROWS = 64, 1 << 18


class Captured(Walker):
    """A program whose steps are captured.

    binding: the class of its bindings; one that joins launches as well derives from both.
    """

    binding: type[CapturedBinding]

    def __init__(self, backend: Backend, program: Program, graphs: Graphs) -> None:
        super().__init__(backend, program)
        self.graphs = graphs

    @property
    def walked(self) -> bool:
        """Whether steps are not captured: indices are looked at."""
        return bool(self.program.computed)

    def bind(self, state: State, block: DataBlock) -> WalkerBinding:
        """Ties the program to a state and to data."""
        if self.walked:
            return super().bind(state, block)
        return self.binding(self.backend, self.program, state, block, self.graphs)

    def explain(self) -> list[tuple[str, str, str]]:
        """(stage, operation, kernel or reference) for every instruction."""
        word = "walked" if self.walked else "captured"
        return [(s, op, how.replace("walked", word)) for s, op, how in super().explain()]


class CapturedBinding(RecordedSteps):
    """Captures for the numbers of rows that occur, over one set of buffers."""

    def __init__(
        self, backend: Backend, program: Program, state: State, block: DataBlock, graphs: Graphs
    ) -> None:
        self.captures: Plans[Kind, Capture] = Plans()
        self.warm: set[Kind] = set()  # kinds of which a step was asked for, launch by launch
        self.runs = 0  # over this data block
        super().__init__(backend, program, state, block, graphs)

    def use(self, block: DataBlock) -> None:
        """Exchanges the data; see `Binding.use`. What was captured with the other is forgotten."""
        super().use(block)
        self.runs = 0
        self._forget()

    def _forget(self) -> None:
        """Lets go of captures that take their rows from the data or by the order."""
        for kind in [kind for kind in self.captures if kind.inside]:
            del self.captures[kind]

    def forget(self) -> None:
        """See `RecordedSteps.forget`; a sum is asked for launch by launch first, as kernels are."""
        self.captures.clear()
        self.warm.clear()

    # Running

    def run(self, control: Control) -> None:
        """Runs up to `control.steps` batches, and waits for the device once; see `Binding.run`."""
        if self.watch is not None or not self.summing(control):
            super().run(control)
            return
        total, batch, begin = self.block.rows, control.batch, control.cursor
        steps = min(control.steps, batching.count(total, batch, begin))
        if steps <= 0:
            return
        weights: list[float] = []
        env: list[Any] = []
        with self.backend.active(), np.errstate(all="ignore"):
            stacks = self._stacks(min(steps * batch, total - begin))
            for first in range(0, steps, STEPS):
                part = min(STEPS, steps - first)
                weights += self._begin(control, first, part)
                env = self._go(control, first, part, stacks, begin)
            totals = self.backend.to_numpy(self.memory.totals)
            taken = self._taken(steps, totals[-1])
            self._tell(control, totals)
            for name, id in self.program.outputs.items():
                self.results[name] = self.backend.to_numpy(stacks.get(name, env[id]))
        for weight in weights[: taken + 1] if self.program.sums else ():
            control.weight_sum += weight
        if taken < steps:
            self._stop(control, taken, begin + taken * batch)

    def passes(self, control: Control, count: int) -> list[dict[str, float]] | None:
        """See `Binding.passes`: the totals of each are put aside on the device."""
        if not self.summing(control):
            return super().passes(control, count)
        rows, batch, program = self.block.rows, control.batch, self.program
        each, shared = rows // batch, control.part
        if rows % batch or program.stacked or self.watch or each > STEPS:
            return None
        if shared is not None and shared.alike(0, count * each) < count * each:
            return None  # in all processes, of which some have as many rows of the last batch
        ordered, together = self.block.order is not None, STEPS // each
        weights: list[float] = []
        with self.backend.active(), np.errstate(all="ignore"):
            flat = self.backend.zeros(count * self.memory.count, "float64")
            sums = self.backend.xp.reshape(flat, (count, self.memory.count))
            for first in range(0, count, together):
                part = min(together, count - first)
                weights += self._begin(control, first * each, part * each)
                for number in range(first, first + part):
                    self._go(control, number * each, each, {}, 0)
                    self.memory.put_aside(sums[number])
                    control.cursor = control.cursor if ordered else 0
            told = self.backend.to_numpy(sums)
            taken = self._taken(count * each, told[:, -1].sum())
        found: list[dict[str, float]] = []
        for number in range(min(taken // each + 1, count)):
            control.sums, control.weight_sum = {}, 0.0
            self._tell(control, told[number])
            for weight in weights[number * each : min((number + 1) * each, taken + 1)]:
                control.weight_sum += weight
            if taken >= (number + 1) * each:
                found.append({name: control.mean(name) for name in program.sums})
                control.sums, control.weight_sum = {}, 0.0
        if taken < count * each:
            self._stop(control, taken, (taken if ordered else taken % each) * batch)
        return found

    def _begin(self, control: Control, first: int, steps: int) -> list[float]:
        """Writes what the steps from number `first` on will read; gives the weight of each."""
        block, batch, memory = self.block, control.batch, self.memory
        numbers, end = np.ones((steps, memory.columns)), self._end()
        rates, largest = control.learning_rates, guard.largest_norm(self.program.dtype)
        numbers[:, 0] = 0.0 if rates is None else rates[first : first + steps]
        numbers[:, 1] = (largest / np.maximum(numbers[:, 0], 1.0)) ** 2
        cursors = control.cursor + batch * np.arange(steps)
        cursors = cursors if block.order is not None else cursors % end
        rows = np.minimum(batch, end - cursors)
        weights, shares = rows.astype(np.float64), None
        if self.weighs:
            shares = np.zeros((steps, batch, 1), self.program.dtype)
            for at, (cursor, size) in enumerate(zip(cursors.tolist(), rows.tolist(), strict=True)):
                weights[at], shares[at, :size] = self._shares(control, first + at, cursor, size)
        numbers[:, len(REALS) : -1] = weights[:, None]
        most = batch
        if control.part is not None:  # the loss is that of all processes already
            if control.part.sizes is not None:
                most = int(control.part.sizes.max())
            for at, name in enumerate(self.program.sums):
                if name in self.program.watched:
                    numbers[:, len(REALS) + at] /= control.part.reducer.ranks
        lines = steps, batch
        if self._resident():
            self._place("order", self._visited(control.cursor, steps * batch), lines, most)
        if shares is not None:
            self._place("shares", self.backend.asarray(shares.reshape(-1, 1)), lines, most)
        if first:
            memory.go_on(numbers)
        else:
            sums = [control.sums.get(name, 0.0) for name in self.program.sums]
            memory.begin(sums, numbers, self.state.step)
        self.runs += 1
        return list(weights.tolist())

    def _resident(self) -> bool:
        """Whether steps can take their rows by themselves."""
        return bool(self.program.update and self.block.columns) and not self.block.streamed

    def _end(self) -> int:
        """The rows of all passes."""
        return self.block.rows if self.block.order is None else len(self.block.order)

    def _visited(self, begin: int, count: int) -> Array:
        """The numbers of up to `count` rows from a cursor on."""
        xp, order = self.backend.xp, self.block.device_order
        if order is not None:
            return order[begin : begin + count]
        return (xp.arange(begin, begin + count, dtype=xp.int32)) % self.block.rows

    def _place(self, name: str, source: Array, size: tuple[int, int], most: int) -> None:
        """Copies what steps read, a line each, to memory that stays while it is large enough.

        size: steps and rows of each. most: the rows of a step of all processes.
        """
        known, xp, (steps, batch) = getattr(self, name), self.backend.xp, size
        if known is None or known.shape[0] < steps or known.shape[1] != batch:
            few = max(min(LINES, SOME_ROWS // most), steps)  # runs get longer and longer
            lines = min(batching.whole(few), STEPS)
            flat = self.backend.zeros(lines * batch, str(source.dtype))
            known = xp.reshape(flat, (lines, batch, *source.shape[1:]))
            setattr(self, name, known)
            self._forget()
        flat = xp.reshape(known, (-1, *source.shape[1:]))
        self.backend.assign(flat[: source.shape[0]], source)

    def _go(
        self, control: Control, number: int, steps: int, stacks: dict[str, Array], begin: int
    ) -> list[Any]:
        """Asks for steps, from that number on; gives the table of values of the last one."""
        rows = batching.size(self._end(), control.batch, control.cursor)
        inside = self._resident() and self._inside(rows, steps)
        env: list[Any] = []
        with self._whole(control):
            env = self._asked(control, number, steps, stacks, begin, inside)
        return env

    @contextmanager
    def _whole(self, control: Control) -> Iterator[None]:
        """Whatever ends a run, the state knows of the steps that were taken, and memory is freed.

        Raises: OutOfDeviceMemory with the batch size that would fit.
        """
        try:
            with self.backend.active():  # which says what its library's errors mean
                yield
        except BaseException as error:
            with suppress(Exception):  # the first error says what is wrong
                counters = self.backend.to_numpy(self.memory.counters)
                self.state.step = int(counters[1]) - 1 if self.program.update else self.state.step
            self.captures.clear()
            self.warm.clear()
            self.prepared.clear()
            step, self.pool = getattr(self.pool, "bytes", 0), self.graphs.pool()
            if isinstance(error, OutOfDeviceMemory):
                raise self._too_large(error, control.batch, error.free + step) from error
            raise

    def _too_large(self, error: OutOfDeviceMemory, batch: int, free: int) -> OutOfDeviceMemory:
        """The error with what a row of a step takes. free: bytes without what the step took."""
        kinds, row = ("batch", "temporary"), 0
        for value in self.program.values:
            if value.kind in kinds and value.spec.symbolic:
                row += length(value.spec.at(1)) * ITEMSIZE[value.spec.dtype]
        fits = min(free // max(row, 1), batch - 1)
        way = f"batch_size={fits} would fit" if fits else "a smaller network might fit"
        return OutOfDeviceMemory(
            f"{error}. A step of {batch} rows takes up to {batch * row:,} bytes, {row:,} a row:"
            f" {way}",
            error.wanted, error.free,
        )  # fmt: skip

    def _asked(
        self, control: Control, number: int, steps: int, stacks: dict[str, Array], begin: int,
        inside: bool,
    ) -> list[Any]:  # fmt: skip
        env: list[Any] = []
        while steps:
            rows = batching.size(self._end(), control.batch, control.cursor)
            full = min(batching.full(self._end(), control.batch, control.cursor), steps)
            done = self._many(rows, full) if inside and not stacks else 0
            if done:
                control.cursor += rows * done
                steps -= done
                continue
            kind, most, part = Kind(rows, 1, inside, self.weighs), rows, control.part
            if part is not None:
                full, whole = part.alike(number, steps), part.size(number)
                kind = replace(kind, first=first_row(control, number), whole=whole)
                most = -(-whole // part.reducer.ranks)  # of any process
            if inside and full >= UNROLLED and self._small(most):
                kind = replace(kind, count=UNROLLED)
            env = self._ask(control, number, kind)
            for name, stack in stacks.items():
                place = control.cursor - begin
                self.backend.assign(stack[place : place + rows], env[self.program.outputs[name]])
            control.cursor += rows * kind.count
            steps, number = steps - kind.count, number + kind.count
        return env

    def _inside(self, rows: int, steps: int) -> bool:
        """Whether steps are to take their rows by themselves: not the only one over its data."""
        return self.runs > 1 or steps > 1

    def _many(self, rows: int, steps: int) -> int:
        """How many of so many full batches were asked for at once; by default none."""
        return 0

    def _small(self, rows: int) -> bool:
        """Whether launches cost more than what they do."""
        parameters = self.state.layout.length("parameters")
        return step_flops(rows, parameters) < thresholds.UNROLLED_FLOPS

    def _ask(self, control: Control, number: int, kind: Kind) -> list[Any]:
        """Has the device do steps of a kind; gives the table of values with their outputs."""
        rows = kind.rows
        ready = self.prepared.get(rows) or self.prepared.keep(rows, partial(self._prepare, rows))
        self.first = kind.first
        if not kind.inside:
            self._load_inputs(ready.plan, control, number, rows)
        if kind not in self.warm or (self.program.reduced and not kind.whole):
            with self.pool:
                self.steps(ready, kind.inside, kind.count)
            self.warm.add(kind)
            return ready.plan.env
        capture = self.captures.get(kind)
        if capture is None:
            capture = self.captures.keep(kind, partial(self._capture, ready, kind))
        capture.replay()
        return capture.env

    def _load_inputs(self, plan: WalkPlan, control: Control, number: int, rows: int) -> None:
        """Copies a batch to memory that stays, before the step."""
        columns = self.program.columns
        self._load(plan, control, rows, number)
        for id in columns.values():
            target = self.buffers.apart(id, rows)
            self.backend.assign(target, plan.env[id])
            plan.env[id] = target

    def _capture(self, ready: Prepared, kind: Kind) -> Capture:
        work = partial(self.steps, ready, kind.inside, kind.count)
        with self.pool:
            replay = self.graphs.capture(work)
        env, outputs = ready.plan.env, self.program.outputs.values()
        if replay is not work:  # another recording puts its own arrays into the table
            env = [one if id in outputs else None for id, one in enumerate(env)]
        holds = (
            ready, self.pool, self.own(), self.buffers, self.order, self.shares, self.sum,
            dict(self.block.columns) if kind.inside else {}, dict(self.state.flats), self.backend,
        )  # fmt: skip
        return Capture(replay, env, holds)

    def _stacks(self, rows: int) -> dict[str, Array]:
        """Memory on the device for the stacked outputs of a run."""
        found = {}
        for name in self.program.stacked:
            spec = self.program.values[self.program.outputs[name]].spec.at(1)
            whole = Spec((rows, *spec.shape[1:]), spec.dtype)
            flat = self.backend.zeros(length(whole), whole.dtype)
            found[name] = self.backend.xp.reshape(flat, whole.shape)
        return found

    # What came of it

    def _taken(self, steps: int, begun: float) -> int:
        """How many of a run's steps were taken. A stop leaves one that was begun, and is not."""
        taken = steps
        if self.stoppable and not self.backend.to_numpy(self.memory.going)[0]:
            taken = int(begun) - 1
        if self.program.update:
            self.state.step += taken
        return taken

    def _tell(self, control: Control, totals: np.ndarray) -> None:
        for name, one in zip(self.program.sums, totals, strict=False):
            control.sums[name] = float(one)

    def _stop(self, control: Control, number: int, cursor: int) -> None:
        """Finds what was not finite by walking the step that was not taken."""
        at_loss = not all(np.isfinite(control.sums[name]) for name in self.program.watched)
        rows = batching.size(self._end(), control.batch, cursor)
        walk = WalkerBinding(self.backend, self.program, self.state, self.block)
        examine(walk, control, number, cursor, rows, at_loss, self.program.reduced)
        control.cursor = cursor + rows


Captured.binding = CapturedBinding
