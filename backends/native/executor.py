"""The native executor of the CPU: a program as a list of compiled steps, run without Python.

One call runs many batches: load, forward, loss, backward, update, sums, over as many threads as the
work is worth. What has no step would be walked between native stretches; `explain` says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...kernels.bounds import OutOfRange
from ...kernels.memory import Address, address, aligned
from ...kernels.numba.native import compiled, interpreter, slots
from .. import batching, bounds, guard, parts, threads
from ..buffers import Plans, control_number, rate_of, signed
from ..contract import Backend, Binding, Executable
from ..examination import examine
from ..program import Program, Region, ValueId
from ..state import Control, DataBlock, State
from ..threads import crew
from ..walker import WalkerBinding
from . import ahead, looks
from .estimates import estimate
from .spans import ByteCount, moved
from .tables import NativePlan, Stretch, Tables, Walked
from .traces import means_of, tell

COPIED = 8192  # elements of an input that are copied sooner than found
# Looks after a helper that sleeps, some ten nanoseconds each; one prediction would be over by then.
PATIENCE, HURRY = 1_000_000, 5_000
NOTHING = nullcontext()


class Native(Executable):
    """A program for the native executor."""

    def __init__(self, backend: Backend, program: Program) -> None:
        self.backend = backend
        self.program = program

    def bind(self, state: State, block: DataBlock) -> NativeBinding:
        """Ties the program to a state and to data."""
        return NativeBinding(self.backend, self.program, state, block)

    def _planned(self) -> NativePlan:
        state = State(self.backend, self.program.layout, self.program.dtype, 0)
        return NativeBinding(self.backend, self.program, state, None)._plan(self.program.capacity)

    def regions(self) -> tuple[Region, ...]:
        """The regions that run as one piece of generated code."""
        return self._planned().together

    def explain(self) -> list[tuple[str, str, str]]:
        """(stage, operation, how it is run) for every instruction."""
        return self._planned().told(self.program)


@dataclass(frozen=True, slots=True)
class ShortCut:
    """What predicting so many rows takes: a plan of one part, and memory for rows and result.

    copy: where a small input is copied to, which takes less time than asking where it lies.
    """

    plan: NativePlan
    table: Address
    shares: int
    copy: np.ndarray | None
    source: Address
    result: np.ndarray
    target: Address


class NativeBinding(Binding):
    """A native program with its state, data and buffers."""

    def __init__(
        self, backend: Backend, program: Program, state: State, block: DataBlock | None
    ) -> None:
        self.backend, self.program, self.state = backend, program, state
        self.weights: np.ndarray | None = None
        self.plans: Plans[tuple[int, int, bool, bool], NativePlan] = Plans()
        self.results: dict[str, np.ndarray] = {}
        self.control = aligned(slots.CONTROL_SLOTS, "int64")
        self.numbers = self.control.view(np.float64)
        self.control_address = address(self.control)
        self.tables = Tables(backend, program, state, self.control_address)
        self.fields: Any = memoryview(self.control.data)  # sets a slot in half the time
        self.short_cuts: Plans[int, ShortCut] = Plans()
        self.columns = self.tables.columns
        self.estimates: dict[int, float] = {}  # rows -> seconds of a batch
        self.pointed: dict[int, np.ndarray] = {}  # rows that a column points to
        self.reduction: np.ndarray | None = None  # what the control record has the address of
        if block is not None:
            self.use(block)

    # Preparing

    @cached_property
    def lead(self) -> Callable[[int, int, int, int, int], None]:
        """The loop that runs a plan."""
        return compiled.leader()

    def use(self, block: DataBlock) -> None:
        """Exchanges the data; see `Binding.use`."""
        bounds.check(self.program, block)
        self.block = block
        weights = block.weights
        self.weights = None
        if weights is None and self.program.reduced:  # a share of a row of the whole batch
            weights = np.ones(block.rows)
        if weights is not None:
            self.weights = np.ascontiguousarray(weights, dtype=np.float64).reshape(-1)
        control = self.control
        control[slots.ROW_WEIGHTS] = 0 if self.weights is None else address(self.weights)
        for number, name in enumerate(self.columns):
            if name not in block.streamed:
                control[slots.COLUMNS + 2 * number] = address(block.columns[name])

    def _shares(self, rows: int) -> int:
        """How many shares the work is worth: all threads, or one."""
        most = threads.count()
        if most == 1:
            return 1
        if rows not in self.estimates:
            self.estimates[rows] = estimate(self.program, rows)
        return most if self.estimates[rows] >= self.tables.thresholds.split_seconds else 1

    def _plan(self, rows: int) -> NativePlan:
        split = self.tables.sharing.part is not None
        key = (rows, self._shares(rows), self.weights is not None, split)
        plan = self.plans.get(key)
        if plan is None:
            shares, weighted = key[1:3]
            plan = self.plans.keep(key, lambda: self.tables.plan(rows, weighted, shares))
        return plan

    # Running

    def run(self, control: Control) -> None:
        """Runs up to `control.steps` batches; see `Binding.run`."""
        if self.tables.sharing.moved(control.part):
            self.plans.clear()
        total, batch = self.block.rows, control.batch
        left = min(control.steps, batching.count(total, batch, control.cursor))
        if left <= 0:
            return
        results, done = self._results(control, left), 0
        self.tables.sharing.begin()
        while left and not control.stop:
            rows = batching.size(total, batch, control.cursor)
            number = min(left, batching.full(total, batch, control.cursor) or 1)
            done = self._batches(control, self._plan(rows), rows, number, done)
            left -= number
        self.tables.sharing.end(self.control_address)
        for name, id in self.program.outputs.items():
            if name in results:
                self.results[name] = results[name]
            else:
                self.results[name] = np.array(self._plan(rows).arrays[id])

    def apply(self, x: np.ndarray) -> np.ndarray | None:
        """See `Binding.apply`: one native call."""
        rows = len(x)
        ready = self.short_cuts.get(rows)
        if ready is None:
            ready = self._short_cut(x)
            if ready is None:
                return None
        copy, fields = ready.copy, self.fields
        if copy is None:
            fields[slots.COLUMNS] = address(x)
        else:
            copy[...] = x
            fields[slots.COLUMNS] = ready.source
        fields[slots.COLUMNS + 1] = 0
        fields[slots.RESULTS] = ready.target
        fields[slots.BATCHES], fields[slots.CURSOR], fields[slots.ROWS] = 1, 0, rows
        if ready.plan.prepares:
            self._prepared(ready.plan)
        if ready.shares == 1:
            self.lead(self.control_address, ready.table, 0, 0, 0)
        else:
            self._lead(ready.plan, ready.table, HURRY)
        return ready.result.copy()

    def _short_cut(self, x: np.ndarray) -> ShortCut | None:
        rows = len(x)
        program = self.program
        if not rows or self.columns != ["x"] or len(program.stacked) != 1:
            return None
        if program.bounds or program.computed:  # those must be looked at, which `run` does
            return None
        plan = self._plan(rows)
        part = plan.parts[0]
        if plan.blas or len(plan.parts) > 1 or isinstance(part, Walked):
            return None
        (id,) = (self.program.outputs[name] for name in self.program.stacked)
        spec: Any = self.program.values[id].spec.at(rows)
        copy = np.empty_like(x) if x.size <= COPIED else None
        source = Address(0) if copy is None else address(copy)
        result = np.empty(spec.shape, spec.dtype)
        made = ShortCut(plan, part.address, plan.shares, copy, source, result, address(result))
        return self.short_cuts.keep(rows, lambda: made)

    def _prepared(self, plan: NativePlan) -> None:
        """Says whether what a plan prepares is still that of the parameters."""
        version = self.state.version
        self.fields[slots.READY] = int(plan.version == version)
        plan.version = version

    def _lead(self, plan: NativePlan, table: Address, patience: int) -> None:
        """One native call on a core for each share, or on as many as are free."""
        taken = crew.take(plan.shares)
        try:
            for slot, helper in enumerate(taken):
                plan.mailboxes[slot] = helper.address
            mailboxes = plan.mailboxes_address
            self.lead(self.control_address, table, mailboxes, len(taken), patience)
        finally:
            crew.give(taken)

    def passes(self, control: Control, count: int) -> list[dict[str, float]] | None:
        """See `Binding.passes`: one native call, or two a pass with a smaller last batch."""
        if self.tables.sharing.moved(control.part):
            self.plans.clear()
        rows, batch = self.block.rows, control.batch
        full, rest = batching.cut(rows, batch)
        pieces = [(size, number) for size, number in ((batch, full), (rest, 1)) if size * number]
        if self.block.streamed or not self.program.sums:
            return None
        plans = {size: self._plan(size) for size, _ in pieces}
        if not all(plan.alone for plan in plans.values()):
            return None
        pieces = pieces * count if rest else [(batch, full * count)]
        steps_a_pass, width = batching.count(rows, batch), len(self.program.sums) + 1
        trace, done = np.zeros((count * steps_a_pass, width)), 0
        self.tables.sharing.begin()
        self.control[slots.TOTAL] = rows if self.block.order is None and not rest else 0
        try:
            for size, number in pieces:
                if self.block.order is None and control.cursor >= rows:
                    control.cursor = 0
                self.control[slots.TRACE] = address(trace) + 8 * width * done
                done = self._batches(control, plans[size], size, number, done)
                if control.stop:
                    break
        finally:
            self.control[slots.TRACE] = self.control[slots.TOTAL] = 0
        self.tables.sharing.end(self.control_address)
        return means_of(trace, steps_a_pass, done // steps_a_pass, list(self.program.sums))

    def _results(self, control: Control, batches: int) -> dict[str, np.ndarray]:
        """Memory for the stacked outputs of a run."""
        found = {}
        for number, name in enumerate(self.program.stacked):
            spec: Any = self.program.values[self.program.outputs[name]].spec.at(1)
            count = min(batches * control.batch, self.block.rows - control.cursor)
            found[name] = np.empty((count, *spec.shape[1:]), dtype=spec.dtype)
            before = ByteCount(-control.cursor * (found[name].nbytes // max(count, 1)))
            self.control[slots.RESULTS + number] = moved(address(found[name]), before)
        return found

    def _batches(
        self, control: Control, plan: NativePlan, rows: int, number: int, done: int
    ) -> int:
        """Batches of one size; returns the number of steps that the run has done."""
        c, f = self.control, self.numbers
        order = self.block.device_order
        place = 0 if order is None else address(order)
        for at in range(len(self.columns)):
            c[slots.COLUMNS + 2 * at + 1] = place
        c[slots.ORDER] = place
        c[slots.ROWS], c[slots.STOP], c[slots.SEED] = rows, 0, signed(self.state.seed)
        f[slots.WEIGHT], f[slots.WEIGHT_SUM] = rows, control.weight_sum
        names = list(self.program.sums)
        for at, name in enumerate(names):
            f[slots.SUMS + at] = control.sums.get(name, 0.0)
        rates = control.learning_rates
        if rates is not None:
            rates = np.ascontiguousarray(rates, dtype=np.float64)
        part = control.part
        c[slots.LOST] = c[slots.FAULT] = c[slots.PARTS] = 0
        if part is not None:
            table, self.reduction = part.table, part.reducer.native(self.program.dtype)
            c[slots.REDUCTION] = address(self.reduction)
        whole = plan.alone and not self.block.streamed
        pieces = [number] if whole else [1] * number
        block, cursor, read = self.block, control.cursor, None
        if block.streamed:
            read = ahead.batches(block, self.columns, cursor, rows, len(pieces))
        quiet = NOTHING if whole else np.errstate(all="ignore")  # native code warns of nothing
        with crew.blas() if plan.blas else NOTHING, quiet:
            for count in pieces:
                c[slots.BATCHES], c[slots.CURSOR] = count, control.cursor
                c[slots.EARLY] = c[slots.LATE] = 0
                c[slots.FIRST_STEP] = self.state.step
                c[slots.RATES] = 0 if rates is None else address(rates) + 8 * done
                c[slots.PARTS] = 0 if part is None else address(table) + 8 * parts.COLUMNS * done
                if read is not None:
                    for at, array in next(read):
                        self._point(at, array, control.cursor)
                try:
                    self._parts(plan, rate_of(control, done))
                except OutOfRange as error:
                    raise bounds.in_data(error, self.block, control.cursor, rows) from None
                outside = looks.outside(c)
                failed = bool(c[slots.STOP]) and not outside
                finished = int(c[slots.FAILED]) if failed else outside - 1 if outside else count
                if self.program.update:
                    self.state.step += finished
                control.cursor += rows * (finished + failed)
                done += finished
                if outside:
                    wrong = looks.found(self.program, plan.looks, rows, plan.shares)
                    raise bounds.in_data(wrong, self.block, control.cursor, rows)
                if failed:
                    control.stop, control.nonfinite_step = True, done
                    break
        control.weight_sum = float(f[slots.WEIGHT_SUM])
        for at, name in enumerate(names):
            control.sums[name] = float(f[slots.SUMS + at])
        if control.stop:
            self.tables.sharing.end(self.control_address)
            if c[slots.FAULT]:
                raise RuntimeError(f"MPI_Allreduce failed with the code {c[slots.FAULT]}")
            if c[slots.STOP] % 2 == 0 and not c[slots.LOST]:  # the gradient, not the loss
                self.tables.sharing.keep()
                guard.stop_at_gradient(control, self.state, rate_of(control, done))
            else:  # the memory of values in between holds others by now
                walk = WalkerBinding(self.backend, self.program, self.state, self.block)
                cursor, every = control.cursor - rows, self.block.rows
                first = cursor % every if self.block.order is None else cursor
                examine(walk, control, done, first, rows, at_loss=True)
        return done

    def _parts(self, plan: NativePlan, rate: float) -> None:
        """One call of every part."""
        for part in plan.parts:
            if isinstance(part, Walked):
                self._walk(plan, part, rate)
                continue
            ticks = np.zeros(len(part.tasks) or 1, dtype=np.int64) if self.watch else None
            begun = time.perf_counter()
            part.table[interpreter.TICKS] = 0 if ticks is None else address(ticks)
            if plan.prepares:
                self._prepared(plan)
            self._lead(plan, part.address, PATIENCE)
            if ticks is not None:
                self._tell(part, ticks, time.perf_counter() - begun)
            if self.control[slots.STOP] or looks.outside(self.control):
                return

    def _tell(self, part: Stretch, ticks: np.ndarray, seconds: float) -> None:
        """Tells the watcher what each instruction took."""
        if self.watch:
            tell(self.watch, self.program, part, ticks, seconds)

    def _walk(self, plan: NativePlan, part: Walked, rate: float) -> None:
        one = part.instruction
        inputs = [None if i is None else self._input(plan, i, rate) for i in one.inputs]
        out = tuple(plan.arrays[o] for o in one.outputs)
        begun = time.perf_counter()
        made = part.call(out if part.call.writes else None, *inputs)
        if self.watch:
            self.watch(one, time.perf_counter() - begun)
        if not part.call.writes:
            for target, source in zip(out, made, strict=True):
                np.copyto(target, source)

    def _input(self, plan: NativePlan, id: ValueId, rate: float) -> Any:
        value = self.program.values[id]
        if value.kind == "control":
            return control_number(value.source, self.state, rate)
        return plan.arrays[id]

    def _point(self, at: int, array: np.ndarray, cursor: int) -> None:
        """Makes a column of rows that are there in the order of the run already."""
        before = ByteCount(-cursor * (array.nbytes // max(len(array), 1)))
        self.control[slots.COLUMNS + 2 * at] = moved(address(array), before)
        self.control[slots.COLUMNS + 2 * at + 1] = 0
        self.pointed[at] = array

    def read(self, name: str) -> np.ndarray:
        """An output of the last run."""
        return self.results[name]
