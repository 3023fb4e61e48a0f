"""Gradients of several batches, joined to one step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count
from typing import Any, ClassVar

import numpy as np

from ..backends import batching
from ..backends.contract import Binding
from ..backends.state import Control, DataBlock
from .callbacks import Listeners
from .examples import Examples
from .graph.planner import plan
from .graph.update import Update
from .history import Reporter
from .interrupt import Interrupt
from .programs import moves
from .session import Kind, Session
from .sources import ArraySource, StreamSource


class Accumulator:
    """Gradients of several batches, joined to one step: their mean, weighted as their rows are.

    Three small programs work on the state's flat segments, on the device: one adds a batch's
    gradient to the sum, one divides the sum, one is the optimizer's update. The sum has a segment
    of its own, so that a fit in a callback of another adds to another. What moving statistics
    become is a mean in the same way, taken on the host: they are few.
    """

    def __init__(self, session: Session, size: int) -> None:
        self.session, self.size = session, size
        self.state = state = session.state
        length = state.layout.length("parameters")
        self.zeros = np.zeros(length)
        names = (f"accumulated/{number}" for number in count())
        self.sum = next(name for name in names if name not in state.flats)
        state.flats[self.sum] = state.backend.zeros(length, session.dtype)
        rate = "learning_rate"  # the rule p - rate g adds g, times anything
        self.add = self._bound(
            [Update("sgd_update", (self.sum, "gradients", rate), (self.sum,), {})]
        )
        self.divide = self._bound(
            [Update("sgd_update", ("gradients", self.sum, rate), ("gradients",), {})]
        )
        self.update = self._bound([*session.optimizer.updates(state.layout), *moves(state.layout)])
        self.observed: np.ndarray | None = None  # their weighted sum
        self.batches, self.weight, self.exponent = 0, 0.0, 0

    def _bound(self, updates: Sequence[Update]) -> Binding:
        state, backend = self.state, self.session.backend
        program = plan(
            "update", dtype=state.dtype, capacity=1, layout=state.layout, updates=updates
        )
        return backend.compile(program).bind(state, DataBlock(backend, {}))

    def batch(self, binding: Binding, control: Control, exponent: int = 0) -> None:
        """Adds the gradient of a binding's next batch, and steps when the group is whole.

        control: of this batch alone, whose weights times 2 ** exponent are those given.
        """
        state = self.state
        with state.turn:  # another thread's gradient would lie in the same segment
            step = state.step
            # what keys dropout: another for each batch
            state.step = step * self.size + self.batches
            try:
                binding.run(control)
            finally:
                state.step = step
            if control.stop:
                return
            if self.batches == 0:
                state.write(self.sum, self.zeros)
                self.weight, self.exponent, self.observed = 0.0, exponent, None
            if exponent > self.exponent:  # the larger unit: no sum of weights leaves the range
                less = self.exponent - exponent
                state.write(self.sum, np.ldexp(state.read(self.sum), less))
                self.weight, self.exponent = math.ldexp(self.weight, less), exponent
                if self.observed is not None:
                    self.observed = np.ldexp(self.observed, less)
            weight = math.ldexp(control.weight_sum, exponent - self.exponent)
            self._run(self.add, -weight, control)
            if "observed" in state.flats:
                part = weight * state.read("observed").astype(np.float64)
                self.observed = part if self.observed is None else self.observed + part
            self.batches, self.weight = self.batches + 1, self.weight + weight
            if self.batches == self.size:
                self.finish(control)

    def finish(self, control: Control) -> None:
        """Steps with what there is, if there is something and nothing went wrong."""
        if not self.batches or control.stop:
            return
        state, weight = self.state, self.weight
        self.batches = 0
        with state.turn:
            state.write("gradients", self.zeros)
            self._run(self.divide, -1.0 / weight if weight else 0.0, control)
            if self.observed is not None and weight:
                state.write("observed", self.observed / weight)
            if not control.stop:
                rates = self.session.optimizer.rates(state.step, 1)
                self._run(self.update, float(rates[0]), control, counts=True)

    def _run(self, binding: Binding, rate: float, control: Control, counts: bool = False) -> None:
        """One of the three programs; hands on what it says of a gradient that is not finite.

        counts: whether it is a step of training.
        """
        before, own = self.state.step, Control(batch=1, learning_rates=np.array([rate]))
        binding.run(own)
        if own.stop:
            control.stop, control.nonfinite_layer = True, own.nonfinite_layer
        if not counts:
            self.state.step = before

    def close(self) -> None:
        """Gives the sum's memory back."""
        self.state.flats.pop(self.sum, None)


class AccumulatedArrays(ArraySource):
    """Arrays, several batches a step."""

    kind: ClassVar[Kind] = "gradients"

    def __init__(
        self, session: Session, examples: Examples, batch: int, shuffle: bool, accumulate: int
    ) -> None:
        self.accumulate = accumulate
        self.accumulator: Accumulator | None = None
        super().__init__(session, examples, batch, shuffle)

    def bind(self) -> None:
        """Takes binding and memory of its own, on the device where the model is."""
        super().bind()
        if self.accumulator is not None:
            self.accumulator.close()
        self.accumulator = Accumulator(self.session, self.accumulate)

    def epoch(self, interrupt: Interrupt, reporter: Reporter, told: Listeners | None) -> Control:
        """One pass over the rows; the last step takes what is left."""
        self.follow()
        self.order()
        control = self.singly(interrupt, reporter, told)
        if self.accumulator is not None and not interrupt.asked:
            self.accumulator.finish(control)
        return control

    def step(self, control: Control) -> None:
        """Adds a batch's gradient."""
        assert self.accumulator is not None
        self.accumulator.batch(self.binding, control)

    def close(self) -> None:
        """Gives binding and memory back."""
        super().close()
        if self.accumulator is not None:
            self.accumulator.close()


class AccumulatedStream(StreamSource):
    """Batches from an iterable, several a step."""

    def __init__(
        self, session: Session, stream: Any, epochs: int, steps: int | None, accumulate: int
    ) -> None:
        super().__init__(session, stream, epochs, steps)
        self.accumulate = accumulate
        self.accumulator: Accumulator | None = None

    def step(self, examples: Examples, control: Control) -> None:
        """Adds a batch's gradient."""
        session, rows = self.session, examples.rows
        session.settle(rows)
        if self.accumulator is None or self.accumulator.state is not session.state:
            self.close()
            self.accumulator = Accumulator(session, self.accumulate)
        block = examples.block(session.backend, session.dtype, session.casts)
        control.batch, control.cursor = rows, 0
        capacity = batching.whole(rows)
        with session.lease("gradients", capacity, block, examples.outputs) as binding:
            self.accumulator.batch(binding, control, examples.exponent)

    def finish(self, control: Control) -> None:
        """The last step of the epoch, of what is left."""
        if self.accumulator is not None:
            self.accumulator.finish(control)

    def close(self) -> None:
        """Gives memory back."""
        if self.accumulator is not None:
            self.accumulator.close()
