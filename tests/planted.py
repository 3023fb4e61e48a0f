"""Executors with a planted fault, for the tests of the conformance kit."""

from __future__ import annotations

from typing import Any

import lamina as lm
import numpy as np
from lamina.backends.conformance import Plain


class Whole(Plain):
    """Offers all that an executor may: several passes in one run, and small calls."""

    def passes(self, control: lm.Control, count: int) -> list[dict[str, float]] | None:
        order, rows = self.block.order, self.block.rows
        found, steps, rates = [], -(-rows // control.batch), control.learning_rates
        assert rates is not None
        try:
            for number in range(count):
                if order is not None:
                    self.block.reorder(order[number * rows : (number + 1) * rows])
                one = lm.Control(control.batch, 0, steps, rates[number * steps :])
                self.run(one)
                if one.stop:
                    control.stop = True
                    control.nonfinite_step = number * steps + one.nonfinite_step
                    break
                found.append(self.means(one))
        finally:
            self.block.reorder(order)
        return found

    def means(self, control: lm.Control) -> dict[str, float]:
        return {name: control.mean(name) for name in control.sums}

    def apply(self, x: np.ndarray) -> np.ndarray | None:
        before = self.block
        self.block = lm.DataBlock(self.state.backend, {"x": x}, dtype=self.program.dtype)
        self.run(lm.Control(batch=len(x)))
        self.block = before
        return self.read("prediction")


class StaleRows(Whole):
    """The last partial batch goes on with rows that were in the buffer."""

    def step(self, control: lm.Control, number: int, rows: np.ndarray) -> Any:
        missing = control.batch - len(rows)
        return super().step(control, number, np.append(rows, np.arange(missing)))


class FullNormaliser(Whole):
    """The last partial batch is divided by the rows of a full one."""

    def values(self, rows: np.ndarray, shares: np.ndarray, rate: float) -> Any:
        return super().values(rows, shares * (len(rows) / self.program.capacity), rate)


class NoWeights(Whole):
    """All rows weigh the same."""

    def weights(self, rows: np.ndarray) -> np.ndarray:
        return np.ones(len(rows))


class LossUnguarded(Whole):
    """The step is taken although the loss was not finite."""

    def step(self, control: lm.Control, number: int, rows: np.ndarray) -> Any:
        env = super().step(control, number, rows)
        if control.stop and self.program.update:
            self.compute(self.program.backward, env)
            self.keep_gradients(env)
            self.update(env)
        return env


class MetricGuarded(Whole):
    """A metric that is not finite ends the training."""

    def step(self, control: lm.Control, number: int, rows: np.ndarray) -> Any:
        env = super().step(control, number, rows)
        control.stop = control.stop or not np.isfinite([*control.sums.values()]).all()
        return env


class EvaluationGuarded(Whole):
    """A loss that is not finite ends an evaluation."""

    def step(self, control: lm.Control, number: int, rows: np.ndarray) -> Any:
        env = super().step(control, number, rows)
        control.stop = control.stop or not np.isfinite(control.sums.get("loss", 0.0))
        return env


class GradientUnguarded(Whole):
    """The step is taken although the gradient was not finite."""

    def may_update(self, control: lm.Control, rate: float) -> bool:
        return True


class StepMiscounted(Whole):
    """The step that was not finite is counted from 1."""

    def run(self, control: lm.Control) -> None:
        super().run(control)
        control.nonfinite_step += control.stop


class LayerMistaken(Whole):
    """It blames the last instruction, whichever it was."""

    def run(self, control: lm.Control) -> None:
        super().run(control)
        if control.stop and control.nonfinite_instruction >= 0:
            control.nonfinite_instruction = len(self.program.forward) - 1


class StoppedForGood(Whole):
    """After a run that stopped none goes on."""

    stopped = False

    def run(self, control: lm.Control) -> None:
        control.stop = self.stopped
        super().run(control)
        self.stopped = control.stop


class OldBlock(Whole):
    """`use` keeps the data it had."""

    def use(self, block: lm.DataBlock) -> None:
        pass


class MaskRepeated(Whole):
    """The generator's counter was baked in."""

    def values(self, rows: np.ndarray, shares: np.ndarray, rate: float) -> Any:
        env = super().values(rows, shares, rate)
        counters = [v.id for v in self.program.values if v.source == "counter"]
        return {**env, **dict.fromkeys(counters, 0)}


class SeedHalved(Whole):
    """The upper half of the seed is lost."""

    def values(self, rows: np.ndarray, shares: np.ndarray, rate: float) -> Any:
        env = super().values(rows, shares, rate)
        seeds = [v.id for v in self.program.values if v.source == "seed"]
        return {**env, **dict.fromkeys(seeds, self.state.seed & 0xFFFFFFFF)}


class RateBakedIn(Whole):
    """Every step has the learning rate of the first."""

    first: float | None = None

    def values(self, rows: np.ndarray, shares: np.ndarray, rate: float) -> Any:
        self.first = rate if self.first is None else self.first
        return super().values(rows, shares, self.first)


class SumsOfAllPasses(Whole):
    """Sums go on from pass to pass."""

    def means(self, control: lm.Control) -> dict[str, float]:
        self.so_far = getattr(self, "so_far", None) or lm.Control(control.batch)
        for name, value in control.sums.items():
            self.so_far.sums[name] = self.so_far.sums.get(name, 0.0) + value
        self.so_far.weight_sum += control.weight_sum
        return super().means(self.so_far)


class OneOrderForAllPasses(Whole):
    """Each pass has the order of the first."""

    def rows(self, control: lm.Control) -> np.ndarray:
        self.order = getattr(self, "order", self.block.order)
        order = self.block.order
        self.block.order = None if order is None else self.order
        rows = super().rows(control)
        self.block.order = order
        return rows


class OrderIgnored(Whole):
    """Rows as they lie."""

    def rows(self, control: lm.Control) -> np.ndarray:
        return np.arange(control.cursor, min(control.cursor + control.batch, self.block.rows))


class OrderIgnoredOnDisk(Whole):
    """Rows of a memory map as they lie."""

    def values(self, rows: np.ndarray, shares: np.ndarray, rate: float) -> Any:
        env = super().values(rows, shares, rate)
        for name, column in self.block.streamed.items():
            start = (
                int(np.argmax(self.block.order == rows[0])) if self.block.order is not None else 0
            )
            env[self.program.columns[name]] = np.asarray(
                column[start : start + len(rows)], self.program.dtype
            )
        return env


class GradientOverwritten(Whole):
    """Of a sum of two gradients the second is left."""

    def compute(self, instructions: Any, env: Any) -> None:
        for one in instructions:
            super().compute([one], env)
            if instructions is self.program.backward and one.op == "add":
                env[one.outputs[0]] = env[one.inputs[1]]


class OldWeights(Whole):
    """Parameters were packed at the first call."""

    def values(self, rows: np.ndarray, shares: np.ndarray, rate: float) -> Any:
        env = super().values(rows, shares, rate)
        if self.program.name == "predict":
            ids = [v.id for v in self.program.values if v.kind == "parameter"]
            self.packed = getattr(self, "packed", {i: np.array(env[i]) for i in ids})
            env.update(self.packed)
        return env


class BufferGivenAway(Whole):
    """A small call returns the executor's own memory."""

    def apply(self, x: np.ndarray) -> np.ndarray | None:
        made = super().apply(x)
        self.memory = getattr(self, "memory", np.zeros((16, 3), self.program.dtype))
        self.memory[: len(x)] = made
        return self.memory[: len(x)]


class LastBatchOnly(Whole):
    """A stacked output holds one batch."""

    def read(self, name: str) -> np.ndarray:
        return super().read(name)[-16:]


class SumsOverwritten(Whole):
    """Sums are those of the last batch."""

    def step(self, control: lm.Control, number: int, rows: np.ndarray) -> Any:
        control.sums, control.weight_sum = {}, 0.0
        return super().step(control, number, rows)


class Made(lm.Executable):
    """A program for an executor that runs it plainly, with or without a fault."""

    kind: type[Plain] = Whole

    def __init__(self, program: lm.Program) -> None:
        self.program = program

    def bind(self, state: lm.State, block: lm.DataBlock) -> lm.Binding:
        return self.kind(self.program, state, block)

    def explain(self) -> list[tuple[str, str, str]]:
        return [(stage, one.op, "plainly") for stage, one in self.program.instructions()]


class OneState(Made):
    """Two models share one buffer: that of the first."""

    first: lm.State | None = None

    def bind(self, state: lm.State, block: lm.DataBlock) -> lm.Binding:
        self.first = self.first or state
        return Plain(self.program, self.first, block)


class OneResult(Made):
    """Two models share the memory of their results."""

    def bind(self, state: lm.State, block: lm.DataBlock) -> lm.Binding:
        made = Plain(self.program, state, block)
        self.results = made.results = getattr(self, "results", made.results)
        return made


class BlockForgotten(Made):
    """The data of the first binding is that of all."""

    first: lm.DataBlock | None = None

    def bind(self, state: lm.State, block: lm.DataBlock) -> lm.Binding:
        self.first = self.first or block
        return Plain(self.program, state, self.first)


class Silent(Made):
    """Explains nothing."""

    def explain(self) -> list[tuple[str, str, str]]:
        return []


def device(made: type[Made] | type[Plain]) -> lm.Backend:
    """NumPy, with an executor that runs programs in this way."""
    kind = made if issubclass(made, Made) else type(made.__name__, (Made,), {"kind": made})

    class Planted(type(lm.get_backend("numpy"))):  # type: ignore[misc]
        name = "planted"

        def compile(self, program: lm.Program) -> lm.Executable:
            return kind(program)

    return Planted()


class Uncompiled(type(lm.get_backend("numpy"))):  # type: ignore[misc]
    """Operations are right; no program can be made ready."""

    name = "uncompiled"

    def compile(self, program: lm.Program) -> lm.Executable:
        raise NotImplementedError("later")


# what is planted, a check that finds it, and words of what it says
FAULTS: list[tuple[type[Made] | type[Plain], str, str]] = [
    (StaleRows, "train, a last partial batch", "the sum of loss: off by"),
    (FullNormaliser, "train, a last partial batch", "the sum of loss: off by"),
    (NoWeights, "train, row weights", "control.weight_sum: off by"),
    (NoWeights, "evaluate", "the sum of accuracy: off by"),
    (NoWeights, "gradients", "state, gradients: off by"),
    (LossUnguarded, "train, a loss that is not finite", "state, parameters: off by nan"),
    (MetricGuarded, "a metric that is not finite", "control.stop is True instead of False"),
    (EvaluationGuarded, "a metric that is not finite", "in evaluation.*control.stop is True"),
    (GradientUnguarded, "train, a gradient that is not finite", "control.stop is False"),
    (StepMiscounted, "train, a gradient that is not finite", "nonfinite_step is 3 instead of 2"),
    (LayerMistaken, "train, a loss that is not finite", "nonfinite_instruction is"),
    (StoppedForGood, "train, a loss that is not finite", "after the stop, control.stop is True"),
    (OldBlock, "train, a second data block", "the sum of loss: off by"),
    (OldBlock, "predict", r"prediction has shape \(16, 3\) instead of \(3, 3\)"),
    (BlockForgotten, "train, two models on one device", "model 1, "),
    (OneState, "train, two models on one device", "model 0, state.step is"),
    (OneResult, "predict, two models on one device", "model 0 in the end, prediction: off by"),
    (MaskRepeated, "train, dropout", "in run 0, the sum of loss: off by"),
    (SeedHalved, "train, dropout", "the sum of loss: off by"),
    (RateBakedIn, "train, logistic regression", "state, parameters: off by"),
    (SumsOfAllPasses, "train, several passes in one run", "the mean of loss in pass 1: off by"),
    (OneOrderForAllPasses, "train, several passes in one run", "in pass 1: off by"),
    (OrderIgnored, "train, a regression", "the sum of loss: off by"),
    (OneOrderForAllPasses, "train, the order exchanged", "the sum of loss: off by"),
    (OrderIgnoredOnDisk, "train, a memory map", "the sum of loss: off by"),
    (GradientOverwritten, "gradients, a parameter used twice", "state, gradients: off by"),
    (OldWeights, "predict, from new weights", "prediction: off by"),
    (OldWeights, "predict, small calls", "the prediction of 7 rows: off by"),
    (BufferGivenAway, "predict, small calls", "an earlier prediction: off by"),
    (LastBatchOnly, "predict", r"prediction has shape \(16, 3\) instead of \(23, 3\)"),
    (SumsOverwritten, "evaluate", "control.weight_sum: off by"),
    (Silent, "explain", "it tells of"),
]
