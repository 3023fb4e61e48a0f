"""The training loop: epochs over a data block, in runs short enough to stay polite."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..backends import batching
from ..backends.state import Control
from ..kernels.compilation import clock
from ..kernels.errors import BadInput, DivergenceError
from .callbacks import Callback
from .examples import Examples
from .examples import split as split  # of the rows that `fit` is given
from .history import History, Silent
from .session import Kind, Session, means

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

    kind: ClassVar[Kind] = "train"  # of the program that it runs

    def __init__(self, session: Session, examples: Examples, batch: int, shuffle: bool) -> None:
        self.session, self.batch, self.shuffle = session, batch, shuffle
        self.rows = examples.rows
        self.block = examples.block(session.backend, session.dtype)
        self.lease = session.lease(self.kind, batch, self.block, examples.outputs)
        self.binding = self.lease.binding
        self.short = batching.even(self.rows, batch) and self.rows // batch <= SHORT_PASS

    def several(self, left: int) -> tuple[list[dict[str, float]], Control]:
        """Up to `left` passes in one run, where the executor can and a pass is short.

        Returns the means of each, and the control block; an empty list: do it one by one.
        """
        session, state = self.session, self.session.state
        steps = batching.full(self.rows, self.batch)
        control = Control(batch=self.batch)
        count = min(self.binding.pace // steps, left) if self.short else 0
        if not count:
            return [], control
        order = None
        if self.shuffle:
            epochs = range(state.epoch, state.epoch + count)
            order = np.concatenate([row_order(state.seed, n, self.rows) for n in epochs])
        self.block.reorder(order)
        control.learning_rates = session.optimizer.rates(state.step, count * steps)
        start = time.perf_counter()
        found = self.binding.passes(control, count)
        if found is None:
            self.short = False  # and is not asked again
            return [], control
        self._adapt(count * steps, time.perf_counter() - start)
        return found, control

    def epoch(self, interrupt: Interrupt, reporter: Silent) -> Control:
        """One pass over the rows."""
        session, state = self.session, self.session.state
        order = row_order(state.seed, state.epoch, self.rows) if self.shuffle else None
        self.block.reorder(order)
        control = Control(batch=self.batch)
        while control.cursor < self.rows and not control.stop and not interrupt.asked:
            left = batching.count(self.rows, self.batch, control.cursor)
            control.steps = min(self.binding.pace, left)
            control.learning_rates = session.optimizer.rates(state.step, control.steps)
            start = time.perf_counter()
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


class StreamSource:
    """Batches that come one by one, from an iterable or from a function that returns one.

    Raises: BadInput for what cannot be iterated, or not as often as there are epochs.
    """

    def __init__(self, session: Session, stream: Any, epochs: int) -> None:
        self.session, self.stream = session, stream
        self.rows = 0  # not known before they came
        if hasattr(stream, "shape") or isinstance(stream, (list, tuple)):
            raise BadInput("fit needs y: fit(x, y); only an iterable of batches goes without")
        if not callable(stream) and not hasattr(stream, "__iter__"):
            raise BadInput(f"fit takes arrays, or an iterable of batches, not {stream!r}")
        if epochs > 1 and not callable(stream) and iter(stream) is stream:
            raise BadInput(
                "an iterator ends after one epoch: pass a function that returns a new one for each"
            )

    def epoch(self, interrupt: Interrupt, reporter: Silent) -> Control:
        """One pass over the batches; each is checked when it comes."""
        session, control, seen = self.session, Control(batch=1), 0
        for batch in self.stream() if callable(self.stream) else self.stream:
            if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
                raise BadInput("each batch must be (x, y) or (x, y, sample_weight)")
            examples = session.examples(*batch)
            if not session.learned:
                raise BadInput(
                    "layers such as Standardize learn from all rows at once: call"
                    " fit(x, y, epochs=0) on a sample of them first"
                )
            self.step(examples, control)
            seen += examples.rows
            reporter.batches(seen, means(control))
            if control.stop or interrupt.asked:
                break
        if not seen:
            raise BadInput("the iterable has no batches")
        self.rows = seen
        if not control.stop and not interrupt.asked:
            self.finish(control)
        return control

    def step(self, examples: Examples, control: Control) -> None:
        """What is done with a batch."""
        self.session.step(examples, control)

    def finish(self, control: Control) -> None:
        """What is done after the last batch of an epoch."""

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


class Interrupt:
    """Lets Ctrl-C end a training between two runs, when the state is whole, not within one.

    Only the main thread can do that; elsewhere, and where the program handles the signal itself,
    nothing is changed. A second Ctrl-C interrupts at once.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Interrupt:
        mine = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        self.installed = mine and threading.current_thread() is threading.main_thread()
        if self.installed:
            signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            signal.default_int_handler(number, frame)
        self.asked = True

    def __exit__(self, *details: object) -> None:
        if self.installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def train(fit: Fit) -> History:
    """All epochs.

    Raises: DivergenceError when a loss or a gradient is not finite, with the model as it was before
    that step; KeyboardInterrupt after Ctrl-C, with the model whole. Both leave the epochs so far in
    `model.history`.
    """
    model = fit.model
    history = model.history = History()
    model.stop_training = False
    try:
        with Interrupt() as interrupt:
            for callback in fit.callbacks:
                callback.on_fit_begin(model)
            while len(history.epochs) < fit.epochs:
                if interrupt.asked or not _several_epochs(fit, history):
                    _one_epoch(fit, history, interrupt)
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
    return history


def _several_epochs(fit: Fit, history: History) -> bool:
    """Short epochs that nobody watches, in one run; False where there are none."""
    source, left = fit.source, fit.epochs - len(history.epochs)
    watched = fit.callbacks or fit.held is not None or type(fit.reporter) is not Silent
    if watched or not isinstance(source, ArraySource):
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


def _one_epoch(fit: Fit, history: History, interrupt: Interrupt) -> None:
    model = fit.model
    start = clock()
    control = fit.source.epoch(interrupt, fit.reporter)
    state = model.state
    if interrupt.asked:
        return
    if control.stop:
        raise diverged(model, control)
    values = means(control)
    state.epoch += 1
    if fit.held is not None:
        found = model.session.evaluate(fit.held)
        values.update({f"val_{name}": value for name, value in found.items()})
    seconds = clock() - start
    history.add(state.epoch, seconds, values)
    fit.reporter.epoch(state.epoch, seconds, values)
    for callback in fit.callbacks:
        callback.on_epoch_end(model, state.epoch, values)


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
