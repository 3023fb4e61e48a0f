"""Which source of batches a fit trains from, and the two that have steps of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..backends import batching
from ..backends.contract import Binding
from ..backends.state import Control, DataBlock
from ..kernels.errors import BadInput
from .examples import Examples
from .graph.planner import Update, plan
from .history import Silent
from .optimizers import LBFGS
from .session import Kind, Session, means
from .training import ArraySource, Interrupt, StreamSource, row_order

SUM = "accumulated"  # the flat segment that gradients are added up in


def of_arrays(
    session: Session, examples: Examples, batch: int, shuffle: bool, accumulate: int
) -> ArraySource:
    """The source for arrays with all rows. Raises: BadInput for settings that go not together."""
    if isinstance(session.optimizer, LBFGS):
        if accumulate > 1:
            raise BadInput("LBFGS takes all rows for each step: fit without accumulate")
        return FullBatch(session, examples, batch, shuffle)
    if accumulate > 1:
        return AccumulatedArrays(session, examples, batch, shuffle, accumulate)
    return ArraySource(session, examples, batch, shuffle)


def of_stream(session: Session, stream: Any, epochs: int, accumulate: int) -> StreamSource:
    """The source for batches that come one by one. Raises: BadInput."""
    if isinstance(session.optimizer, LBFGS):
        raise BadInput("LBFGS works on all rows at once: fit(x, y) with arrays")
    if accumulate > 1:
        return AccumulatedStream(session, stream, epochs, accumulate)
    return StreamSource(session, stream, epochs)


class Accumulator:
    """Gradients of several batches, joined to one step: their mean, weighted as their rows are.

    Three small programs work on the state's flat segments, on the device: one adds a batch's
    gradient to the sum, one divides the sum, one is the optimizer's update.
    """

    def __init__(self, session: Session, size: int) -> None:
        self.session, self.size = session, size
        self.state = state = session.state
        length = state.layout.length("parameters")
        state.flats[SUM] = state.backend.zeros(length, session.dtype)
        self.zeros = np.zeros(length)
        rate = "learning_rate"  # the rule p - rate g adds g, times anything
        self.add = self._bound([Update("sgd_update", (SUM, "gradients", rate), (SUM,))])
        self.divide = self._bound([Update("sgd_update", ("gradients", SUM, rate), ("gradients",))])
        self.update = self._bound(session.optimizer.updates(state.layout))
        self.batches, self.weight = 0, 0.0

    def _bound(self, updates: Sequence[Update]) -> Binding:
        state = self.state
        program = plan(
            "update", dtype=state.dtype, capacity=1, layout=state.layout, updates=updates
        )
        return state.backend.compile(program).bind(state, DataBlock(state.backend, {}))

    def batch(self, binding: Binding, control: Control) -> None:
        """Adds the gradient of the next batch of a binding, and steps when the group is whole."""
        state, before = self.state, control.weight_sum
        step, control.steps = state.step, 1
        state.step = step * self.size + self.batches  # what keys dropout: another for each batch
        try:
            binding.run(control)
        finally:
            state.step = step
        if control.stop:
            return
        weight = control.weight_sum - before
        if self.batches == 0:
            state.write(SUM, self.zeros)
        self._run(self.add, -weight, control)
        state.step = step
        self.batches, self.weight = self.batches + 1, self.weight + weight
        if self.batches == self.size:
            self.finish(control)

    def finish(self, control: Control) -> None:
        """Steps with what there is, if there is something and nothing went wrong."""
        if not self.batches or control.stop:
            return
        state = self.state
        step, weight = state.step, self.weight
        self.batches, self.weight = 0, 0.0
        state.write("gradients", self.zeros)
        self._run(self.divide, -1.0 / weight if weight else 0.0, control)
        state.step = step
        if not control.stop:
            self._run(self.update, float(self.session.optimizer.rates(step, 1)[0]), control)

    def _run(self, binding: Binding, rate: float, control: Control) -> None:
        """One of the three programs; hands on what it says of a gradient that is not finite."""
        own = Control(batch=1, learning_rates=np.array([rate]))
        binding.run(own)
        if own.stop:
            control.stop, control.nonfinite_layer = True, own.nonfinite_layer


class AccumulatedArrays(ArraySource):
    """Arrays, several batches a step."""

    kind: ClassVar[Kind] = "gradients"

    def __init__(
        self, session: Session, examples: Examples, batch: int, shuffle: bool, accumulate: int
    ) -> None:
        super().__init__(session, examples, batch, shuffle)
        self.short = False  # epochs come one by one
        self.accumulator = Accumulator(session, accumulate)

    def epoch(self, interrupt: Interrupt, reporter: Silent) -> Control:
        """One pass over the rows."""
        state = self.session.state
        order = row_order(state.seed, state.epoch, self.rows) if self.shuffle else None
        self.block.reorder(order)
        control = Control(batch=self.batch)
        while control.cursor < self.rows and not control.stop and not interrupt.asked:
            self.accumulator.batch(self.binding, control)
            reporter.batches(control.cursor, means(control))
        if not interrupt.asked:
            self.accumulator.finish(control)
        return control


class AccumulatedStream(StreamSource):
    """Batches from an iterable, several a step."""

    def __init__(self, session: Session, stream: Any, epochs: int, accumulate: int) -> None:
        super().__init__(session, stream, epochs)
        self.accumulate = accumulate
        self.accumulator: Accumulator | None = None

    def step(self, examples: Examples, control: Control) -> None:
        """Adds a batch's gradient."""
        session, rows = self.session, examples.rows
        if self.accumulator is None:
            session.settle(rows)
            self.accumulator = Accumulator(session, self.accumulate)
        block = examples.block(session.backend, session.dtype)
        control.batch, control.cursor = rows, 0
        capacity = batching.whole(rows)
        with session.lease("gradients", capacity, block, examples.outputs) as binding:
            self.accumulator.batch(binding, control)

    def finish(self, control: Control) -> None:
        """The last step of the epoch, of what is left."""
        if self.accumulator is not None:
            self.accumulator.finish(control)


class FullBatch(ArraySource):
    """Arrays, minimised over all rows by SciPy's L-BFGS-B."""

    kind: ClassVar[Kind] = "gradients"

    def __init__(self, session: Session, examples: Examples, batch: int, shuffle: bool) -> None:
        if session.state.layout.rescaled:
            raise BadInput("LBFGS has one step for all weights: a rate is 0 (frozen) or 1")
        super().__init__(session, examples, batch, shuffle)
        self.short = False  # epochs come one by one

    def epoch(self, interrupt: Interrupt, reporter: Silent) -> Control:
        """One minimisation. What the control block says is of the weights before it."""
        from scipy.optimize import minimize

        settings, state = self.session.optimizer, self.session.state
        assert isinstance(settings, LBFGS)
        self.block.reorder(None)
        start = state.read("parameters")
        known = [self._cost(start)]  # which SciPy asks for first
        first = last = known[0][0]

        def cost(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal last
            last, value, gradient = known.pop() if known else self._cost(parameters)
            if last.stop:
                raise FloatingPointError
            return value, gradient

        def between(parameters: np.ndarray) -> None:
            if interrupt.asked:
                raise StopIteration

        if first.stop:
            return first
        options = {
            "maxiter": settings.iterations, "maxcor": settings.history, "ftol": 0.0,
            "gtol": settings.tolerance, "maxfun": 25 * settings.iterations,
        }  # fmt: skip
        try:
            found = minimize(
                cost, start.astype(np.float64), jac=True, method="L-BFGS-B", callback=between,
                options=options,
            )  # fmt: skip
        except FloatingPointError:
            state.write("parameters", start)
            return last
        state.write("parameters", found.x)
        state.step += int(found.nit)
        reporter.batches(self.rows, means(first))
        return first

    def _cost(self, parameters: np.ndarray) -> tuple[Control, float, np.ndarray]:
        """What a pass over the rows says, the cost and its gradient, (n,) float64."""
        state, control = self.session.state, Control(batch=self.batch)
        state.write("parameters", parameters)
        gradient = np.zeros(len(parameters))
        while control.cursor < self.rows and not control.stop:
            before = control.weight_sum
            self.binding.run(control)
            gradient += (control.weight_sum - before) * state.read("gradients").astype(np.float64)
        gradient /= control.weight_sum or 1.0
        value = control.mean("loss")
        for entry in state.layout.entries:
            if entry.trainable and entry.decay:
                place = slice(entry.offset, entry.offset + entry.size)
                weights = parameters[place].astype(np.float64)
                gradient[place] += entry.decay * weights
                value += 0.5 * entry.decay * float(weights @ weights)
        if not (control.stop or np.isfinite(gradient).all()):
            control.stop = True
        return control, value, gradient
