"""The default executable: walks a program in Python, one instruction after the other.

It serves every device, writable or functional. Where memory can be written, kernels are bound to
their buffers once for each number of rows that occurs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from ..kernels.spec import Spec, concrete_attrs, length, spec_of
from . import guard
from .contract import Backend, Binding, Executable
from .device import Array
from .dispatch import Call, resolve
from .program import Instruction, Place, Program
from .state import Control, DataBlock, State

KEPT_ROW_COUNTS = 8  # a full batch, a last partial one, and a few sizes of predict


class Step:
    """One instruction, resolved: what to call, which values go in, where the results go."""

    __slots__ = ("bound", "call", "inputs", "instruction", "kernel", "out", "outputs", "pinned")

    def __init__(self, instruction: Instruction, call: Call) -> None:
        self.instruction = instruction
        self.call = call
        self.inputs = tuple(-1 if i is None else i for i in instruction.inputs)
        self.outputs = instruction.outputs
        self.out: tuple[Array, ...] | None = None
        self.pinned = False
        # Where it writes into memory that never changes: the call with its attributes and outputs;
        # and with its inputs, where those never change.
        self.kernel: Callable[..., Any] | None = None
        self.bound: Callable[[], Any] | None = None


class Plan:
    """The steps for one number of rows, and the table of values that they read and write."""

    def __init__(self, values: int) -> None:
        self.env: list[Any] = [None] * (values + 1)  # the last one is a left-out optional input
        self.segments: dict[str, list[Step]] = {"forward": [], "backward": [], "update": []}
        self.gather: list[tuple[int, str, Call, tuple[Array, ...] | None]] = []
        self.control: list[tuple[int, str]] = []  # values that are numbers of the step
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
        """(segment, operation, kernel or reference) for every instruction."""
        program, rows = self.program, self.program.capacity
        lines = []
        for segment, one in program.instructions():
            specs = [None if s is None else s.at(rows) for s in program.specs(one)]
            call = resolve(self.backend, one.op, specs, concrete_attrs(one.attrs, rows))
            how = f"{self.backend.name} kernel" if call.kernel else "vectorised reference"
            lines.append((segment, one.op, f"walked: {how}"))
        return lines


class WalkerBinding(Binding):
    """A walked program with its state, data and buffers."""

    def __init__(self, backend: Backend, program: Program, state: State, block: DataBlock) -> None:
        self.backend = backend
        self.program = program
        self.state = state
        self.block = block
        self.plans: dict[int, Plan] = {}
        self.results: dict[str, np.ndarray] = {}
        self.arenas: dict[str, Array] = {}
        self.watched, self.bound = guard.watched(program), guard.bound(program.dtype)
        if not backend.functional:
            self.arenas = {
                f"arena.{dtype}": backend.zeros(elements, dtype)
                for dtype, elements in program.plan.arenas.items()
            }

    # Preparing

    def _view(self, place: Place, spec: Spec) -> Array:
        """The memory at a place, as an array of that concrete spec."""
        if place.segment in self.arenas:
            flat = self.arenas[place.segment]
        else:
            flat = self.state.flats[place.segment]
        stop = place.offset + length(spec)
        return self.backend.xp.reshape(flat[place.offset : stop], spec.shape)

    def _plan(self, rows: int) -> Plan:
        program, backend = self.program, self.backend
        plan = Plan(len(program.values))
        specs = [v.spec.at(rows) for v in program.values]
        writable = not backend.functional
        for value in program.values:
            if value.kind == "constant":
                plan.env[value.id] = backend.asarray(program.constants[value.id])
            elif value.kind == "parameter" and writable:
                plan.env[value.id] = self._view(program.plan.places[value.id], specs[value.id])
            elif value.kind == "flat" and writable:
                plan.env[value.id] = self.state.flats[value.source]
        gradients = set(program.gradients.values())
        for segment, one in program.instructions():
            inputs = [None if i is None else specs[i] for i in one.inputs]
            step = Step(one, resolve(backend, one.op, inputs, concrete_attrs(one.attrs, rows)))
            flat = program.values[one.outputs[0]].kind == "flat"
            step.pinned = flat or bool(gradients.intersection(one.outputs))
            if writable and (step.call.writes or step.pinned):
                step.out = tuple(
                    plan.env[o] if flat else self._buffer(o, specs[o]) for o in one.outputs
                )
            plan.segments[segment].append(step)
        for name, id in program.columns.items():
            if name == "weights" or name in self.block.streamed:
                continue
            column = self.block.columns[name]
            order = Spec((rows,), "int32")
            call = resolve(backend, "gather_rows", [spec_of(column), order], {})
            out = (self._buffer(id, specs[id]),) if call.writes else None
            plan.gather.append((id, name, call, out))
        plan.control = [(v.id, v.source) for v in program.values if v.kind == "control"]
        if writable:
            self._prebind(plan)
        if "weights" in program.columns:
            weights = np.full((rows, 1), 1.0 / rows, dtype=program.dtype)
            plan.even = backend.asarray(weights)
        return plan

    def _prebind(self, plan: Plan) -> None:
        """Gives steps the arrays that are the same in every batch, once."""
        changing = set(self.program.columns.values())
        changing.update(id for id, _ in plan.control)
        steps = list(chain.from_iterable(plan.segments.values()))
        for step in steps:
            if step.out is not None and step.call.writes:
                for id, array in zip(step.outputs, step.out, strict=True):
                    plan.env[id] = array
            else:
                changing.update(step.outputs)
        for step in steps:
            if not step.call.writes:
                continue
            step.kernel = partial(step.call.function, step.out, **step.call.attrs)
            if not changing.intersection(step.inputs):
                step.bound = partial(step.kernel, *[plan.env[i] for i in step.inputs])

    def _buffer(self, id: int, spec: Spec) -> Array:
        place = self.program.plan.places.get(id)
        if place is None:  # the plan takes it for a view, but here a kernel computes it
            return self.backend.xp.reshape(self.backend.zeros(length(spec), spec.dtype), spec.shape)
        return self._view(place, spec)

    # Running

    def run(self, control: Control) -> None:
        """Runs up to `control.steps` batches; see `Binding.run`."""
        stacks: dict[str, list[np.ndarray]] = {name: [] for name in self.program.stacked}
        env: list[Any] = []
        # what is not finite is found in the sums and the gradient
        with self.backend.active(), np.errstate(all="ignore"):
            for number in range(control.steps):
                rows = min(control.batch, self.block.rows - control.cursor)
                if rows <= 0:
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
        if rows % batch or self.program.stacked:
            return None
        found: list[dict[str, float]] = []
        with self.backend.active(), np.errstate(all="ignore"):
            for number in range(count * rows // batch):
                self._step(control, number, batch)
                control.cursor += batch
                if control.stop:
                    control.nonfinite_step = number
                    break
                if control.cursor % rows == 0:
                    found.append({name: control.mean(name) for name in control.sums})
                    control.sums, control.weight_sum = {}, 0.0
                    if not ordered:
                        control.cursor = 0
        return found

    def _step(self, control: Control, number: int, rows: int) -> list[Any]:
        program, state = self.program, self.state
        plan = self.plans.get(rows)
        if plan is None:
            if len(self.plans) >= KEPT_ROW_COUNTS:
                self.plans.pop(next(iter(self.plans)))
            plan = self.plans[rows] = self._plan(rows)
        env = plan.env
        weight = self._load(plan, control, rows)
        for id, source in plan.control:
            env[id] = self._control(source, control, number)
        if self.backend.functional:
            for value in program.values:
                if value.kind == "parameter":
                    env[value.id] = self._view(program.plan.places[value.id], value.spec)
        self._walk(plan.segments["forward"], env)
        self._account(plan, control, weight)
        if control.stop:
            return env
        self._walk(plan.segments["backward"], env)
        if program.gradients:
            self._reduce(env)
        if program.update and self._guarded(control, number):
            self._walk(plan.segments["update"], env)
            if self.backend.functional:
                for step in plan.segments["update"]:
                    for id in step.outputs:
                        state.flats[program.values[id].source] = env[id]
            state.step += 1
        return env

    def _guarded(self, control: Control, number: int) -> bool:
        """Whether the update leaves finite numbers; else it asks for a stop. See `guard`."""
        limit = self.bound / max(self._control("learning_rate", control, number), 1.0)
        backend = self.backend
        for name in self.watched:
            flat = self.state.flats[name]
            if not float(backend.to_numpy(backend.xp.matmul(flat, flat))) < limit * limit:
                control.stop = True
                control.nonfinite_layer = guard.layer_beyond(self.state, limit)
                return False
        return True

    def _load(self, plan: Plan, control: Control, rows: int) -> float:
        """Puts the batch's rows and weights into the table; gives the sum of the weights."""
        block, start = self.block, control.cursor
        for name in block.streamed:
            plan.env[self.program.columns[name]] = block.read(name, start, rows)
        for id, name, call, out in plan.gather:
            column = block.columns[name]
            if block.device_order is None:
                plan.env[id] = column[start : start + rows, ...]
            else:
                indices = block.device_order[start : start + rows]
                plan.env[id] = call(out, column, indices)[0]
        total = float(rows)
        if "weights" in self.program.columns:
            batch = block.batch_weights(start, rows)
            total = total if batch is None else float(batch.sum(dtype=np.float64))
            if batch is None:
                shares = plan.even
            else:
                scaled = batch * (1.0 / total if total else 0.0)
                shares = self.backend.asarray(
                    scaled.reshape(-1, 1).astype(self.program.dtype, copy=False)
                )
            plan.env[self.program.columns["weights"]] = shares
        return total

    def _control(self, name: str, control: Control, number: int) -> float | int:
        if name == "learning_rate":
            assert control.learning_rates is not None
            return float(control.learning_rates[number])
        if name == "step":
            return self.state.step + 1
        return self.state.seed if name == "seed" else self.state.step

    def _walk(self, steps: list[Step], env: list[Any]) -> None:
        watch = self.watch
        for step in steps:
            if watch is None:
                if step.bound is not None:
                    step.bound()
                    continue
                if step.kernel is not None:
                    step.kernel(*[env[i] for i in step.inputs])
                    continue
            start = time.perf_counter() if watch else 0.0
            made = step.call(step.out, *[env[i] for i in step.inputs])
            if step.pinned and step.out is not None and not step.call.writes:
                for target, source in zip(step.out, made, strict=True):
                    self.backend.assign(target, source)
                made = step.out
            for id, array in zip(step.outputs, made, strict=True):
                env[id] = array
            if watch:
                self.backend.synchronize()
                watch(step.instruction, time.perf_counter() - start)

    def _reduce(self, env: list[Any]) -> None:
        """The reduction point: on a functional device the gradients are joined into one array."""
        program = self.program
        if not self.backend.functional:
            return  # they were written into the flat segment
        xp = self.backend.xp
        entries = [e for e in program.layout.entries if e.trainable]
        pieces = [xp.reshape(env[program.gradients[e.name]], (-1,)) for e in entries]
        self.state.flats["gradients"] = xp.concat(pieces)
        for value in program.values:
            if value.kind == "flat":
                env[value.id] = self.state.flats[value.source]

    def _account(self, plan: Plan, control: Control, weight: float) -> None:
        """Adds the batch's sums to the control block, in float64; asks for a stop.

        The layer is looked for at once, while what the forward pass made is still there.
        """
        for name, id in self.program.sums.items():
            value = float(self.backend.to_numpy(plan.env[id]))
            control.sums[name] = control.sums.get(name, 0.0) + value * weight
            control.stop = control.stop or not math.isfinite(value)
        if self.program.sums:
            control.weight_sum += weight
        if control.stop:
            for position, step in enumerate(plan.segments["forward"]):
                made = [self.backend.to_numpy(plan.env[id]) for id in step.outputs]
                if not all(np.isfinite(array).all() for array in made if array.dtype.kind == "f"):
                    control.nonfinite_instruction = position
                    control.nonfinite_layer = guard.layer_at(self.program.forward, position)
                    break

    def use(self, block: DataBlock) -> None:
        """Exchanges the data; see `Binding.use`."""
        self.block = block

    def read(self, name: str) -> np.ndarray:
        """An output of the last run."""
        return self.results[name]
