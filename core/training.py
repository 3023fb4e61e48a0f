"""The training loop: epochs over a data block, in runs short enough to stay polite."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends import batching
from ..backends.state import Control
from ..kernels.compilation import clock
from ..kernels.errors import BadInput, DivergenceError
from . import metrics
from .callbacks import Callback, watch_batches
from .examples import Examples
from .examples import split as split  # of the rows that `fit` is given
from .history import History, Silent, numbers
from .interrupt import Interrupt
from .session import Session, means

if TYPE_CHECKING:
    from .model import Sequential

SHORT_PASS = 64  # steps of an epoch up to which several epochs are worth one run
POLITE_SECONDS = 0.2  # how long a run may keep progress and Ctrl-C waiting
ORDER_STREAM = 0x0D7


def row_order(seed: int, epoch: int, rows: int) -> np.ndarray:
    """The order of rows of one epoch: of seed and epoch alone, the same on every backend."""
    rng = np.random.default_rng([seed, ORDER_STREAM, epoch])
    return rng.permutation(rows).astype(np.int32)


class ArraySource:
    """Arrays with all rows: each epoch visits them in a new order, many steps in one run."""

    def __init__(self, session: Session, examples: Examples, batch: int, shuffle: bool) -> None:
        self.session, self.batch, self.shuffle = session, batch, shuffle
        self.examples, self.rows = examples, examples.rows
        self._bind()

    def _bind(self) -> None:
        """Takes a binding of its own, on the device where the model is."""
        session, examples, batch = self.session, self.examples, self.batch
        self.state = session.state
        self.block = examples.block(session.backend, session.dtype, session.casts)
        self.lease = session.lease("train", batch, self.block, examples.outputs)
        self.binding = self.lease.binding
        self.short = batching.even(self.rows, batch) and self.rows // batch <= SHORT_PASS

    def several(self, left: int) -> tuple[list[dict[str, float]], Control]:
        """Up to `left` passes in one run, where the executor can and a pass is short.

        Returns the means of each, and the control block; an empty list: do it one by one.
        """
        session, state = self.session, self.state
        steps = batching.full(self.rows, self.batch)
        control = Control(batch=self.batch)
        count = min(self.binding.pace // steps, left) if self.short else 0
        if not count:
            return [], control
        order = None
        if self.shuffle:
            epochs = range(state.epoch, state.epoch + count)
            orders = [row_order(state.seed, n, self.rows) for n in epochs]
            order = orders[0] if count == 1 else np.concatenate(orders)
        self.block.reorder(order)
        control.learning_rates = session.optimizer.rates(state.step, count * steps)
        start = time.perf_counter()
        with state.turn:
            found = self.binding.passes(control, count)
        if found is None:
            self.short = False  # and is not asked again
            return [], control
        self._adapt(count * steps, time.perf_counter() - start)
        return found, control

    def epoch(self, interrupt: Interrupt, reporter: Silent, told: Told | None) -> Control:
        """One pass over the rows; batch by batch where somebody is told of each."""
        session = self.session
        if session.state is not self.state:  # a callback moved the model
            self._bind()
        state = self.state
        order = row_order(state.seed, state.epoch, self.rows) if self.shuffle else None
        self.block.reorder(order)
        account = Account(self.batch)
        control = account.whole
        while control.cursor < self.rows and not control.stop and not interrupt.asked:
            if told is not None:
                one = Control(self.batch, control.cursor)
                one.learning_rates = session.optimizer.rates(state.step, 1)
                with state.turn:
                    self.binding.run(one)
                account.add(one)
                reporter.batches(control.cursor, means(control))
                if told.ends(one):
                    break
                if session.state is not state:
                    self._bind()
                    self.block.reorder(order)
                    state = self.state
                continue
            left = batching.count(self.rows, self.batch, control.cursor)
            control.steps = min(self.binding.pace, left)
            control.learning_rates = session.optimizer.rates(state.step, control.steps)
            start = time.perf_counter()
            with state.turn:
                self.binding.run(control)
            self._adapt(control.steps, time.perf_counter() - start)
            reporter.batches(control.cursor, means(control))
        return control

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

    whole: its control block, with sums in one unit, 2 ** exponent of the weights given.
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


class Told:
    """Who is told of every batch."""

    def __init__(self, model: Sequential, callbacks: Sequence[Callback]) -> None:
        self.model, self.callbacks = model, callbacks
        self.batch = 0

    def begin(self) -> Told:
        """Counts the batches of the next epoch."""
        self.batch = 0
        return self

    def ends(self, one: Control) -> bool:
        """Tells of a batch; returns whether a callback ended the epoch here."""
        self.batch += 1
        if not one.stop:
            for callback in self.callbacks:
                callback.on_batch_end(self.model, self.batch, means(one))
        return self.model.stop_training


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
        return iter(self.stream() if callable(self.stream) else self.stream)

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

    def epoch(self, interrupt: Interrupt, reporter: Silent, told: Told | None) -> Control:
        """One pass over the batches; each is checked when it comes."""
        session, account, seen = self.session, Account(), 0
        for batch in self.batches():
            if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
                raise BadInput("each batch must be (x, y) or (x, y, sample_weight)")
            examples = session.examples(*batch)
            session.check_learned()
            one = Control(batch=1)
            session.step(examples, one)
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
        return account.whole

    def close(self) -> None:
        """Nothing is held between two batches."""


@dataclass
class Fit:
    """One call of `fit`, made ready.

    held: the validation examples, or None.
    """

    model: Sequential
    source: ArraySource | StreamSource
    epochs: int
    held: Examples | None
    callbacks: Sequence[Callback]
    reporter: Silent


def train(fit: Fit) -> History:
    """All epochs.

    Raises: DivergenceError when a loss or a gradient is not finite, with the model as it was before
    that step; KeyboardInterrupt after Ctrl-C, with the model whole. Both leave the epochs so far in
    `model.history`.
    """
    model = fit.model
    training, outer = model.session.training, (model.history, model.stop_training)
    history = model.history = History()
    model.stop_training = False
    for metric in metrics.of_all(model.metrics):
        metric.check_installed()
    hooked = watch_batches(fit.callbacks)
    told = Told(model, hooked) if hooked else None
    training.fits += 1
    try:
        with Interrupt() as interrupt:
            for callback in fit.callbacks:
                callback.on_fit_begin(model)
            while len(history.epochs) < fit.epochs:
                if interrupt.asked or not _several_epochs(fit, history):
                    _one_epoch(fit, history, interrupt, told and told.begin())
                if interrupt.asked:
                    raise KeyboardInterrupt(
                        f"stopped in epoch {model.state.epoch + 1}: the model keeps what it"
                        " learned, model.history has the epochs so far, and fit goes on from here"
                    )
                if model.stop_training:
                    break
            for callback in fit.callbacks:
                callback.on_fit_end(model, history)
    finally:
        fit.source.close()
        fit.reporter.close()
        training.fits -= 1
        if training.fits:  # this one was in a callback of another, whose these are
            model.history, model.stop_training = outer
    return history


def _several_epochs(fit: Fit, history: History) -> bool:
    """Short epochs that nobody watches, in one run; False where there are none."""
    source, left = fit.source, fit.epochs - len(history.epochs)
    watched = fit.callbacks or fit.held is not None or type(fit.reporter) is not Silent
    if watched or metrics.of_all(fit.model.metrics) or not isinstance(source, ArraySource):
        return False
    start = clock()
    found, control = source.several(left)
    state = fit.model.state
    seconds = (clock() - start) / max(len(found), 1)
    for values in found:
        state.epoch += 1
        history.add(state.epoch, seconds, values)
    if control.stop:
        raise diverged(fit.model, control)
    return bool(found)


def _one_epoch(fit: Fit, history: History, interrupt: Interrupt, told: Told | None) -> None:
    model = fit.model
    start = clock()
    control = fit.source.epoch(interrupt, fit.reporter, told)
    state = model.state
    if interrupt.asked:
        return
    if control.stop:
        raise diverged(model, control)
    values = means(control)
    state.epoch += 1
    if isinstance(fit.source, ArraySource):
        values = measured(model, fit.source.examples, values, lenient=True)
    if fit.held is not None:
        found = measured(model, fit.held, model.session.evaluate(fit.held), lenient=True)
        values.update({f"val_{name}": value for name, value in found.items()})
    seconds = clock() - start
    history.add(state.epoch, seconds, values)
    fit.reporter.epoch(state.epoch, seconds, numbers(values))
    for callback in fit.callbacks:
        callback.on_epoch_end(model, state.epoch, values)


def measured(
    model: Sequential, examples: Examples, values: dict[str, Any], lenient: bool = False
) -> dict[str, Any]:
    """The values with the metrics from whole predictions, in the order that was asked for.

    values: what programs computed. lenient: see `metrics.add`. One prediction of the examples is
    what it costs, where there are such metrics. Raises: BadInput.
    """
    wanted = metrics.of_all(model.metrics)
    if not wanted:
        return values
    for metric in wanted:
        metric.check_installed()
    p = model.prepare().run(examples.x)
    metrics.add(wanted, examples, values, p, model.output, lenient)
    return {name: values[name] for name in ("loss", *(m.name for m in model.metrics))}


def diverged(model: Sequential, control: Control) -> DivergenceError:
    """What to raise after a run that stopped."""
    state = model.state
    what = "the loss is not finite"
    if control.nonfinite_instruction < 0:
        what = "the gradient is not finite, or too large to square"
    layer = int(control.nonfinite_layer) if control.nonfinite_layer else None
    where = "" if layer is None else f" (first in layer {layer})"
    return DivergenceError(
        f"training diverged in epoch {state.epoch + 1}, at step {state.step + 1}:"
        f" {what}{where}. That step was not taken: the model has the parameters of step"
        f" {state.step}. Lower the learning rate, set clip_norm, or put lm.Standardize() first",
        step=state.step,
        layer=layer,
        history=model.history,
    )
