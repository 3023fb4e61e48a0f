"""A program run as it reads: what an executor's numbers are held against.

References on NumPy, one instruction after the other; nothing is planned, kept or overwritten, so
it shares no mistake with the executors. With a program, a state and data in float64 it is the
oracle of whole programs, as an operation's reference is that of a call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...kernels import ops
from ...kernels.spec import concrete_attrs
from .. import guard
from ..contract import Binding
from ..program import Instruction, Program
from ..state import Control, DataBlock, State


class Plain(Binding):
    """A program on a state and data of a device whose arrays are NumPy's.

    limit: what the norm of a gradient may not reach, for a learning rate up to 1; over a larger
        rate. None: that of the program's dtype.
    """

    def __init__(
        self, program: Program, state: State, block: DataBlock, limit: float | None = None
    ) -> None:
        self.program, self.state, self.block = program, state, block
        self.limit = guard.largest_norm(program.dtype) if limit is None else limit
        self.results: dict[str, np.ndarray] = {}

    def run(self, control: Control) -> None:
        """Runs up to `control.steps` batches; see `Binding.run`."""
        made: dict[str, list[np.ndarray]] = {name: [] for name in self.program.outputs}
        for number in range(control.steps):
            rows = self.rows(control)
            if not len(rows) or control.stop:
                break
            control.cursor += len(rows)
            with np.errstate(all="ignore"):
                env = self.step(control, number, rows)
            for name, id in self.program.outputs.items():
                made[name].append(np.array(env[id]))
            if control.stop:
                control.nonfinite_step = number
        for name, arrays in made.items():
            if arrays:
                stacked = name in self.program.stacked
                self.results[name] = np.concatenate(arrays) if stacked else arrays[-1]

    def step(self, control: Control, number: int, rows: np.ndarray) -> dict[int | None, Any]:
        """One batch; gives every value by id."""
        program = self.program
        weights = self.weights(rows)
        total = float(weights.sum())
        rate = 0.0 if control.learning_rates is None else float(control.learning_rates[number])
        env = self.values(rows, weights / (total or 1.0), rate)
        self.compute(program.forward, env)
        control.weight_sum += total if program.sums else 0.0
        for name, id in program.sums.items():
            control.sums[name] = control.sums.get(name, 0.0) + float(env[id]) * total
        if not all(math.isfinite(env[program.sums[name]]) for name in program.watched):
            control.stop = True
            control.nonfinite_instruction = _first_nonfinite(program.forward, env)
            control.nonfinite_layer = guard.layer_at(program.forward, control.nonfinite_instruction)
            return env
        self.compute(program.backward, env)
        self.keep_gradients(env)
        if program.update and self.may_update(control, rate):
            self.update(env)
        return env

    def rows(self, control: Control) -> np.ndarray:
        """The numbers of the rows of the batch at the cursor."""
        order = np.arange(self.block.rows) if self.block.order is None else self.block.order
        stop = min(control.cursor + control.batch, self.block.rows)
        return order[control.cursor : stop]

    def weights(self, rows: np.ndarray) -> np.ndarray:
        """The weight of each of these rows."""
        weights = self.block.weights
        return np.ones(len(rows)) if weights is None else np.asarray(weights, np.float64)[rows]

    def values(self, rows: np.ndarray, shares: np.ndarray, rate: float) -> dict[int | None, Any]:
        """What a step begins with: all values but those that it computes."""
        program, state = self.program, self.state
        controls = {
            "learning_rate": rate, "step": state.step + 1, "seed": state.seed,
            "counter": state.step,
        }  # fmt: skip
        env: dict[int | None, Any] = {None: None}
        for value in program.values:
            if value.kind == "constant":
                env[value.id] = program.constants[value.id]
            elif value.kind == "control":
                env[value.id] = controls[value.source]
            elif value.kind == "parameter":
                entry = program.layout[value.source]
                flat = state.flats[entry.segment][entry.offset : entry.offset + entry.size]
                env[value.id] = flat.reshape(entry.shape)
            elif value.kind == "flat":
                env[value.id] = state.flats[value.source]
        for name, id in program.columns.items():
            if name == "weights":
                env[id] = shares.reshape(-1, 1).astype(program.dtype)
            else:
                column = {**self.block.columns, **self.block.streamed}[name]
                env[id] = np.asarray(column[rows], dtype=program.values[id].spec.dtype)
        return env

    def compute(self, instructions: Sequence[Instruction], env: dict[int | None, Any]) -> None:
        """Computes every instruction by its reference."""
        rows = next((len(env[id]) for id in self.program.columns.values()), 1)
        for one in instructions:
            row = ops.get(one.op)
            attrs = row.complete(concrete_attrs(one.attrs, rows))
            made = row.reference(np, *(env[i] for i in one.inputs), **attrs)
            made = made if isinstance(made, tuple) else (made,)
            env.update(zip(one.outputs, made, strict=True))

    def keep_gradients(self, env: dict[int | None, Any]) -> None:
        """Puts gradients, and what moving statistics become, into their segments of the state."""
        for name, id in {**self.program.gradients, **self.program.observed}.items():
            entry = self.program.layout[name]
            segment = self.state.flats[entry.made]
            segment[entry.offset : entry.offset + entry.size] = env[id].reshape(-1)

    def may_update(self, control: Control, rate: float) -> bool:
        """Whether the update leaves finite numbers; else it asks for a stop."""
        limit = self.limit / max(rate, 1.0)
        for name in guard.normed(self.program):
            if not float(np.linalg.norm(self.state.flats[name].astype(np.float64))) < limit:
                control.stop = True
                control.nonfinite_layer = guard.layer_beyond(self.state, limit)
                return False
        return True

    def update(self, env: dict[int | None, Any]) -> None:
        """Takes the step."""
        program = self.program
        self.compute(program.update, env)
        for one in program.update:
            for id in one.outputs:
                self.state.flats[program.values[id].source][...] = env[id]
        self.state.step += 1

    def use(self, block: DataBlock) -> None:
        """Exchanges the data; see `Binding.use`."""
        self.block = block

    def read(self, name: str) -> np.ndarray:
        """An output of the last run."""
        return self.results[name]


def _first_nonfinite(instructions: Sequence[Instruction], env: dict[int | None, Any]) -> int:
    """The position of the first instruction that made a number that is not finite."""
    for position, one in enumerate(instructions):
        if not all(np.isfinite(env[id]).all() for id in one.outputs):
            return position
    return -1
