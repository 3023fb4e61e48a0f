"""The default executable: walks a program in Python, one instruction after the other.

It serves every device, writable or functional. Where memory can be written, kernels are bound to
their buffers once for each number of rows that occurs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, repeat
from typing import Any

import numpy as np

from ..kernels.bounds import OutOfRange
from ..kernels.spec import Spec, concrete_attrs, spec_of
from . import batching, bounds, guard
from .buffers import Buffers, Plans, control_number, even_weights, first_row, rate_of
from .contract import Backend, Binding, Executable
from .device import Array
from .dispatch import Call, resolve
from .parts import SCALE, TOTAL, summed
from .program import Instruction, Program, ValueId
from .state import Control, DataBlock, State


class Launch:
    """One instruction, resolved: what to call, which values go in, where the results go.

    out: the memory that the results go to; None where the call makes new arrays, of all results or
        of single ones. pinned: they must go there, whether or not the call can write. bound: where
        it writes into memory that never changes: the call with its attributes and outputs. fixed:
        that with its inputs too, where those never change. parts: the launches that it joins.
    """

    __slots__ = (
        "bound", "call", "fixed", "inputs", "instruction", "out", "outputs", "parts", "pinned",
    )  # fmt: skip

    def __init__(self, instruction: Instruction, call: Call) -> None:
        self.instruction = instruction
        self.call = call
        self.inputs = tuple(-1 if i is None else i for i in instruction.inputs)
        self.outputs = instruction.outputs
        self.out: tuple[Array | None, ...] | None = None
        self.pinned = False
        self.parts: Sequence[Launch] = ()
        self.bound: Callable[..., Any] | None = None
        self.fixed: Callable[[], Any] | None = None


class WalkPlan:
    """The launches for one number of rows, and the table of values that they read and write."""

    def __init__(self, values: int) -> None:
        self.env: list[Any] = [None] * (values + 1)  # the last one is a left-out optional input
        self.stages: dict[str, list[Launch]] = {"forward": [], "backward": [], "update": []}
        self.gather: list[tuple[ValueId, str, Call, tuple[Array, ...] | None]] = []
        self.control: list[tuple[ValueId, str]] = []  # values that are numbers of the step
        self.even: Array = None  # the weights when all rows weigh the same


class Walker(Executable):
    """A program walked in Python."""

    def __init__(self, backend: Backend, program: Program) -> None:
        self.backend = backend
        self.program = program
        self.explain()  # resolves every instruction, so that a misfit shows at compile time

    def bind(self, state: State, block: DataBlock) -> WalkerBinding:
        """Ties the program to a state and to data."""
        return WalkerBinding(self.backend, self.program, state, block)

    def explain(self) -> list[tuple[str, str, str]]:
        """(stage, operation, kernel or reference) for every instruction."""
        program, rows = self.program, self.program.capacity
        lines = []
        for stage, one in program.instructions():
            specs = [None if s is None else s.at(rows) for s in program.specs(one)]
            call = resolve(self.backend, one.op, specs, concrete_attrs(one.attrs, rows))
            how = f"{self.backend.name} kernel" if call.by_kernel else "vectorised reference"
            lines.append((stage, one.op, f"walked: {how}"))
        return lines


class WalkerBinding(Binding):
    """A walked program with its state, data and buffers."""

    def __init__(self, backend: Backend, program: Program, state: State, block: DataBlock) -> None:
        self.backend = backend
        self.program = program
        self.state = state
        self.use(block)
        self.plans: Plans[int, WalkPlan] = Plans()
        self.results: dict[str, np.ndarray] = {}
        self.buffers = Buffers(backend, program, state)
        self.normed = guard.normed(program)

    # Preparing

    def _plan(self, rows: int) -> WalkPlan:
        program, backend, buffers = self.program, self.backend, self.buffers
        plan = WalkPlan(len(program.values))
        specs = [v.spec.at(rows) for v in program.values]
        writable = not backend.functional
        for value in program.values:
            if value.kind == "constant" or (writable and value.kind in ("parameter", "flat")):
                plan.env[value.id] = buffers.array(value.id, rows)
        gradients = {*program.gradients.values(), *program.observed.values()}
        for position, (stage, one) in enumerate(program.instructions()):
            inputs = [None if i is None else specs[i] for i in one.inputs]
            attrs, trusted = concrete_attrs(one.attrs, rows), position not in program.computed
            call = resolve(backend, one.op, inputs, attrs, trusted=trusted)
            launch = Launch(one, call)
            flat = program.values[one.outputs[0]].kind == "flat"
            launch.pinned = flat or bool(gradients.intersection(one.outputs))
            if writable and (call.writes or launch.pinned):
                launch.out = tuple(
                    buffers.array(o, rows) if call.writes or flat or o in gradients else None
                    for o in one.outputs
                )
            plan.stages[stage].append(launch)
        self._joined(plan, rows)
        for name, id in program.columns.items():
            if name == "weights" or name in self.block.streamed:
                continue
            column = self.block.columns[name]
            order = Spec((rows,), "int32")
            call = resolve(backend, "gather_rows", [spec_of(column), order], {}, trusted=True)
            out = (buffers.array(id, rows),) if call.writes else None
            plan.gather.append((id, name, call, out))
        plan.control = [(v.id, v.source) for v in program.values if v.kind == "control"]
        if writable:
            self._prebind(plan)
        if "weights" in program.columns:
            plan.even = backend.asarray(even_weights(rows, program.dtype))
        return plan

    def _joined(self, plan: WalkPlan, rows: int) -> None:
        """Where launches are joined to fewer, before they are given their arrays."""

    def _prebind(self, plan: WalkPlan) -> None:
        """Gives launches the arrays that are the same in every batch, once."""
        changing: set[int] = set(self.program.columns.values())
        changing.update(id for id, _ in plan.control)
        joined = list(chain.from_iterable(plan.stages.values()))
        launches = [part for launch in joined for part in (launch, *launch.parts)]
        for launch in launches:
            for id, array in zip(launch.outputs, launch.out or repeat(None), strict=False):
                if array is None:
                    changing.add(id)
                else:
                    plan.env[id] = array
        for launch in launches:
            if not launch.call.writes:
                continue
            launch.bound = partial(launch.call.function, launch.out, **launch.call.attrs)
            if not changing.intersection(launch.inputs):
                launch.fixed = partial(launch.bound, *[plan.env[i] for i in launch.inputs])

    # Running

    def run(self, control: Control) -> None:
        """Runs up to `control.steps` batches; see `Binding.run`."""
        stacks: dict[str, list[np.ndarray]] = {name: [] for name in self.program.stacked}
        env: list[Any] = []
        with self.backend.active(), np.errstate(all="ignore"):  # sums and gradient are looked at
            for number in range(control.steps):
                rows = batching.size(self.block.rows, control.batch, control.cursor)
                if not rows:
                    break
                env = self._step(control, number, rows)
                for name in self.program.stacked:
                    stacks[name].append(self.backend.to_numpy(env[self.program.outputs[name]]))
                control.cursor += rows
                if control.stop:
                    control.nonfinite_step = number
                    break
            for name, id in self.program.outputs.items():
                if name in stacks:
                    if stacks[name]:
                        self.results[name] = np.concatenate(stacks[name])
                elif env:
                    self.results[name] = self.backend.to_numpy(env[id])

    def passes(self, control: Control, count: int) -> list[dict[str, float]] | None:
        """See `Binding.passes`: batch after batch, with nothing but the means between passes."""
        rows, batch, ordered = self.block.rows, control.batch, self.block.order is not None
        if self.program.stacked:
            return None
        found: list[dict[str, float]] = []
        with self.backend.active(), np.errstate(all="ignore"):
            for number in range(count * batching.count(rows, batch)):
                size = batching.size(rows, batch, control.cursor % rows)
                self._step(control, number, size)
                control.cursor += size
                if control.stop:
                    control.nonfinite_step = number
                    break
                if control.cursor % rows == 0:
                    found.append({name: control.mean(name) for name in control.sums})
                    control.sums, control.weight_sum = {}, 0.0
                    if not ordered:
                        control.cursor = 0
        return found

    def examine(self, control: Control, number: int, rows: int, together: bool = False) -> None:
        """Walks a step without taking it, and says in `control` where it is first not finite.

        For who learns only after a run that one of its steps was not: the state is that before the
        step, and `control.cursor` its first row. together: all processes do.
        """
        with self.backend.active(), np.errstate(all="ignore"):
            self._step(control, number, rows, False, together)

    def _step(
        self, control: Control, number: int, rows: int, taken: bool = True, together: bool = True
    ) -> list[Any]:
        """One batch: forward, backward, the sum over processes, the update; gives the values.

        taken: False computes all but the update. together: whether the other processes do so too.
        """
        program, state, rate = self.program, self.state, rate_of(control, number)
        plan, weight = self._filled(control, number, rows, rate)
        env = plan.env
        reducer = control.part.reducer if control.part and program.reduced and together else None
        try:
            self._walk(plan.stages["forward"], env)
            finite = self._account(plan, control, weight)
            if not finite:
                alone = WalkerBinding(self.backend, program, state, self.block)
                guard.stop_at_loss(control, program, alone.first_nonfinite(control, number, rows))
                control.stop = reducer is None  # else the gradient tells the others
                if control.stop:
                    return env
            self._walk(plan.stages["backward"], env)
        except OutOfRange as error:
            raise bounds.in_data(error, self.block, control.cursor, rows) from None
        if program.gradients or program.update or program.observed:
            self._flatten(env)
        if reducer is not None:  # the reduction point
            own = state.flats["gradients"]
            state.flats["gradients"] = summed(self.backend, own, reducer, finite)
        if program.update and self._guarded(control, rate) and taken:
            self._walk(plan.stages["update"], env)
            if self.backend.functional:
                for launch in plan.stages["update"]:
                    for id in launch.outputs:
                        state.flats[program.values[id].source] = env[id]
            state.step += 1
        return env

    def _filled(
        self, control: Control, number: int, rows: int, rate: float
    ) -> tuple[WalkPlan, float]:
        """The plan of a step with all that its forward pass reads; the sum of the weights."""
        plan = self.plans.get(rows) or self.plans.keep(rows, partial(self._plan, rows))
        weight, first = self._load(plan, control, rows, number), first_row(control, number)
        for id, source in plan.control:
            plan.env[id] = control_number(source, self.state, rate, first)
        if self.backend.functional:
            for value in self.program.values:
                if value.kind == "parameter":
                    plan.env[value.id] = self.buffers.array(value.id, rows)
        return plan, weight

    def first_nonfinite(self, control: Control, number: int, rows: int) -> int:
        """Which forward instruction first makes what is not finite; the last one if none does.

        Each is looked at before the next one runs, which may write where an earlier one wrote.
        """
        plan, _ = self._filled(control, number, rows, rate_of(control, number))
        for position, launch in enumerate(plan.stages["forward"]):
            self._walk([launch], plan.env)
            made = [self.backend.to_numpy(plan.env[id]) for id in launch.outputs]
            if not all(np.isfinite(array).all() for array in made if array.dtype.kind == "f"):
                return position
        return len(self.program.forward) - 1

    def _guarded(self, control: Control, rate: float) -> bool:
        """Whether the update leaves finite numbers; else it asks for a stop. See `guard`."""
        limit, backend = guard.limit(self.program.dtype, rate), self.backend
        for name in self.normed:
            flat = self.state.flats[name]
            if not float(backend.to_numpy(backend.xp.matmul(flat, flat))) < limit * limit:
                control.stop = True
                if control.nonfinite_instruction < 0:  # else it was the loss
                    guard.stop_at_gradient(control, self.state, rate)
                return False
        return True

    def _load(self, plan: WalkPlan, control: Control, rows: int, number: int) -> float:
        """Puts the batch's rows and weights into the table; gives the sum of the weights."""
        start, id = control.cursor, self.program.columns.get("weights")
        self._columns(plan, start, rows)
        if id is None:
            return float(rows)
        total, shares = self._shares(control, number, start, rows)
        plan.env[id] = plan.even if shares is None else self.backend.asarray(shares)
        return total

    def _columns(self, plan: WalkPlan, start: int, rows: int) -> None:
        """Puts the rows [start, start + rows) of the order into the table."""
        block = self.block
        for name in block.streamed:
            plan.env[self.program.columns[name]] = block.read(name, start, rows)
        for id, name, call, out in plan.gather:
            column = block.columns[name]
            if block.device_order is None:
                plan.env[id] = column[start : start + rows, ...]
            else:
                indices = block.device_order[start : start + rows]
                plan.env[id] = call(out, column, indices)[0]

    def _shares(self, control: Control, number: int, start: int, rows: int) -> tuple[float, Array]:
        """The sum of a batch's weights, and the share of each of these rows, (rows, 1).

        None where all rows weigh the same, and are all there are.
        """
        batch, part = self.block.batch_weights(start, rows), control.part
        if part is not None:
            total, scale = (float(part.table[number, at]) for at in (TOTAL, SCALE))
            scaled = np.full(rows, scale) if batch is None else batch * scale
        elif batch is None:
            return float(rows), None
        else:
            total = float(batch.sum(dtype=np.float64))
            scaled = batch * (1.0 / total if total else 0.0)
        return total, scaled.reshape(-1, 1).astype(self.program.dtype, copy=False)

    def _walk(self, launches: list[Launch], env: list[Any]) -> None:
        watch = self.watch
        for launch in launches:
            if watch is None:
                if launch.fixed is not None:
                    launch.fixed()
                    continue
                if launch.bound is not None:
                    launch.bound(*[env[i] for i in launch.inputs])
                    continue
            start = time.perf_counter() if watch else 0.0
            made = launch.call(launch.out, *[env[i] for i in launch.inputs])
            if launch.pinned and launch.out is not None and not launch.call.writes:
                pairs = list(zip(launch.out, made, strict=True))
                for target, source in pairs:
                    if target is not None:
                        self.backend.assign(target, source)
                made = tuple(new if target is None else target for target, new in pairs)
            for id, array in zip(launch.outputs, made, strict=True):
                env[id] = array
            if watch:
                self.backend.synchronize()
                watch(launch.instruction, time.perf_counter() - start)

    def _flatten(self, env: list[Any]) -> None:
        """On a functional device, joins what was made of each array into the flat segments."""
        program = self.program
        if not self.backend.functional:
            return  # they were written into the flat segment
        xp = self.backend.xp
        for segment, made in (("gradients", program.gradients), ("observed", program.observed)):
            entries = [e for e in program.layout.of_segment(segment) if e.name in made]
            if entries:
                pieces = [xp.reshape(env[made[e.name]], (-1,)) for e in entries]
                self.state.flats[segment] = xp.concat(pieces)
        for value in program.values:
            if value.kind == "flat":
                env[value.id] = self.state.flats[value.source]

    def _account(self, plan: WalkPlan, control: Control, weight: float) -> bool:
        """Adds the batch's sums to `control`, in float64; whether the loss is finite."""
        finite = True
        for name, id in self.program.sums.items():
            value = float(self.backend.to_numpy(plan.env[id]))
            control.sums[name] = control.sums.get(name, 0.0) + value * weight
            if name in self.program.watched and not math.isfinite(value):
                finite = False
        if self.program.sums:
            control.weight_sum += weight
        return finite

    def use(self, block: DataBlock) -> None:
        """Exchanges the data; see `Binding.use`."""
        bounds.check(self.program, block)
        self.block = block

    def read(self, name: str) -> np.ndarray:
        """An output of the last run."""
        return self.results[name]
