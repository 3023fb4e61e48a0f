"""Where a fit's batches come from: arrays with all rows, or an iterable."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from ..backends import batching
from ..backends.state import Control
from ..kernels.errors import BadInput
from .callbacks import Listeners
from .examples import Examples
from .history import Reporter
from .interrupt import Interrupt
from .session import Kind, Session, means

SHORT_PASS = 64  # steps of an epoch up to which several epochs are worth one run
POLITE_SECONDS = 0.2  # how long a run may keep progress and Ctrl-C waiting
ORDER_STREAM = 0x0D7


def row_order(seed: int, epoch: int, rows: int) -> np.ndarray:
    """The order of rows of one epoch: of seed and epoch alone, the same on every backend."""
    key: Any = [seed, ORDER_STREAM, epoch]
    # NumPy makes of the list these numbers, in a third of a short epoch's time.
    if max(seed, epoch) < 2**32:
        key = np.array(key, np.uint32)
    rng = np.random.default_rng(key)
    return rng.permutation(rows).astype(np.int32)


class ArraySource:
    """Arrays with all rows: each epoch visits them in a new order, many steps in one run."""

    kind: ClassVar[Kind] = "train"  # of the program that it runs

    def __init__(self, session: Session, examples: Examples, batch: int, shuffle: bool) -> None:
        self.session, self.batch, self.shuffle = session, batch, shuffle
        self.examples, self.rows = examples, examples.rows
        self.bind()

    def bind(self) -> None:
        """Takes a binding of its own, on the device where the model is."""
        session, examples, batch = self.session, self.examples, self.batch
        self.state = session.state
        self.block = examples.block(session.backend, session.dtype, session.casts)
        self.lease = session.lease(self.kind, batch, self.block, examples.outputs)
        self.binding = self.lease.binding
        self.short = self.kind == "train" and batching.count(self.rows, batch) <= SHORT_PASS

    def follow(self) -> None:
        """Binds anew where a callback moved the model, or froze some of it."""
        if self.session.state is not self.state:
            self.bind()

    def orders(self, count: int) -> np.ndarray | None:
        """The rows' orders of the next `count` epochs, one behind the other; None: as they came."""
        if not self.shuffle:
            return None
        seed, first = self.state.seed, self.state.epoch
        found = [row_order(seed, epoch, self.rows) for epoch in range(first, first + count)]
        return found[0] if count == 1 else np.concatenate(found)

    def order(self) -> None:
        """Sets the rows' order of this epoch."""
        self.block.reorder(self.orders(1))

    def several(self, left: int) -> tuple[list[dict[str, float]], Control]:
        """Up to `left` passes in one run, where the executor can and a pass is short.

        Returns the means of each, and the run's `Control`; an empty list: do it one by one.
        """
        session, state = self.session, self.state
        steps = batching.count(self.rows, self.batch)
        control = Control(batch=self.batch)
        count = min(self.binding.pace // steps, left) if self.short else 0
        if not count:
            return [], control
        self.block.reorder(self.orders(count))
        control.learning_rates = session.optimizer.rates(state.step, count * steps)
        start = time.perf_counter()
        with state.turn:
            found = self.binding.passes(control, count)
        if found is None:
            self.short = False  # and is not asked again
            return [], control
        self._adapt(count * steps, time.perf_counter() - start)
        return found, control

    def epoch(self, interrupt: Interrupt, reporter: Reporter, told: Listeners | None) -> Control:
        """One pass over the rows; batch by batch where somebody is told of each."""
        self.follow()
        self.order()
        if told is not None:
            return self.singly(interrupt, reporter, told)
        session, state, control = self.session, self.state, Control(batch=self.batch)
        while control.cursor < self.rows and not control.stop and not interrupt.asked:
            left = batching.count(self.rows, self.batch, control.cursor)
            control.steps = min(self.binding.pace, left)
            control.learning_rates = session.optimizer.rates(state.step, control.steps)
            start = time.perf_counter()
            with state.turn:
                self.binding.run(control)
            self._adapt(control.steps, time.perf_counter() - start)
            reporter.batches(control.cursor, means(control))
        return control

    def singly(self, interrupt: Interrupt, reporter: Reporter, told: Listeners | None) -> Control:
        """The rest of an epoch batch by batch."""
        account = Account(self.batch)
        whole = account.whole
        while whole.cursor < self.rows and not whole.stop and not interrupt.asked:
            one = Control(self.batch, whole.cursor)
            self.step(one)
            account.add(one)
            reporter.batches(whole.cursor, means(whole))
            if told is not None:
                if told.ends(one):
                    break
                if self.session.state is not self.state:
                    self.follow()
                    self.order()
        return whole

    def step(self, control: Control) -> None:
        """What is done with a batch."""
        state = self.state
        control.learning_rates = self.session.optimizer.rates(state.step, 1)
        with state.turn:
            self.binding.run(control)

    def _adapt(self, steps: int, seconds: float) -> None:
        """Lets the next run have more steps after a short one, fewer after one too long."""
        binding = self.binding
        if seconds > POLITE_SECONDS:
            binding.pace = max(binding.pace // 2, 1)
        elif seconds < POLITE_SECONDS / 2 and steps > binding.pace // 2:
            binding.pace *= 2

    def close(self) -> None:
        """Gives the binding back."""
        self.lease.close()


class Account:
    """An epoch that is run one batch at a time, told as one longer run.

    whole: its `Control`, with sums in one unit, 2 ** exponent of the weights given.
    """

    def __init__(self, batch: int = 1) -> None:
        self.whole = Control(batch=batch)
        self.exponent: int | None = None

    def add(self, one: Control, exponent: int = 0) -> None:
        """Adds a batch, whose weights times 2 ** exponent are those given."""
        whole = self.whole
        if self.exponent is None:
            self.exponent = exponent
        if exponent > self.exponent:  # the larger unit: no sum of weights leaves the range
            less = self.exponent - exponent
            whole.sums = {name: math.ldexp(value, less) for name, value in whole.sums.items()}
            whole.weight_sum, self.exponent = math.ldexp(whole.weight_sum, less), exponent
        less = exponent - self.exponent
        for name, value in one.sums.items():
            whole.sums[name] = whole.sums.get(name, 0.0) + math.ldexp(value, less)
        whole.weight_sum += math.ldexp(one.weight_sum, less)
        whole.cursor, whole.stop, whole.nonfinite_step = one.cursor, one.stop, one.nonfinite_step
        whole.nonfinite_instruction = one.nonfinite_instruction
        whole.nonfinite_layer = one.nonfinite_layer


class StreamSource:
    """Batches that come one by one, from an iterable or from a function that returns one.

    steps: batches an epoch, or None for all that there are; then what is begun is gone on with in
    the next epoch, and begun anew where it ends.
    Raises: BadInput for what cannot be iterated, or not as often as there are epochs.
    """

    def __init__(self, session: Session, stream: Any, epochs: int, steps: int | None) -> None:
        self.session, self.stream, self.steps = session, stream, steps
        self.going: Iterator[Any] | None = None
        self.rows = 0  # not known before they came
        if hasattr(stream, "shape") or isinstance(stream, (list, tuple)):
            raise BadInput("fit needs y: fit(x, y); only an iterable of batches goes without")
        if not callable(stream) and not hasattr(stream, "__iter__"):
            raise BadInput(f"fit takes arrays, or an iterable of batches, not {stream!r}")
        self.once = not callable(stream) and iter(stream) is stream
        if epochs > 1 and self.once and steps is None:
            raise BadInput(
                "an iterator ends after one epoch: pass a function that returns a new one for each,"
                " or say how many batches of it are an epoch, steps_per_epoch=..."
            )

    def begun(self) -> Iterator[Any]:
        """The batches from the first on."""
        found = self.stream() if callable(self.stream) else self.stream
        if not (hasattr(found, "__iter__") or hasattr(found, "__getitem__")):
            raise BadInput(f"fit's function must return an iterable of batches, not {found!r}")
        return iter(found)

    def batches(self) -> Iterator[Any]:
        """The batches of an epoch."""
        if self.steps is None:
            yield from self.begun()
            return
        self.going = self.going or self.begun()
        for taken in range(self.steps):
            batch = next(self.going, None)
            if batch is None and not self.once:
                self.going = self.begun()
                batch = next(self.going, None)
            if batch is None:
                raise BadInput(
                    f"the batches ended after {taken} of the {self.steps} of an epoch: lower"
                    " steps_per_epoch or epochs, or pass a function that returns them anew"
                )
            yield batch

    def epoch(self, interrupt: Interrupt, reporter: Reporter, told: Listeners | None) -> Control:
        """One pass over the batches; each is checked when it comes."""
        account, seen = Account(), 0
        for batch in self.batches():
            examples, one = self.checked(batch), Control(batch=1)
            self.step(examples, one)
            account.add(one, examples.exponent)
            seen += examples.rows
            reporter.batches(seen, means(account.whole))
            if told is not None and told.ends(one):
                break
            if one.stop or interrupt.asked:
                break
        if not seen:
            raise BadInput("the iterable has no batches")
        self.rows = seen
        if not interrupt.asked:
            self.finish(account.whole)
        return account.whole

    def checked(self, batch: Any) -> Examples:
        """A batch as examples. Raises: BadInput, ShapeError, DtypeError."""
        if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
            raise BadInput("each batch must be (x, y) or (x, y, sample_weight)")
        examples = self.session.examples(*batch)
        self.session.check_learned()
        return examples

    def step(self, examples: Examples, control: Control) -> None:
        """What is done with a batch."""
        self.session.step(examples, control)

    def finish(self, control: Control) -> None:
        """What is done after the last batch of an epoch, whose sums `control` has."""

    def close(self) -> None:
        """Nothing is held between two batches."""
