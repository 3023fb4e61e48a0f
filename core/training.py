"""The training loop: epochs over a data block, in runs short enough to stay polite."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.state import Control
from ..kernels.compilation import clock
from ..kernels.errors import BadInput, DivergenceError
from .callbacks import Callback
from .history import History, Silent

if TYPE_CHECKING:
    from .model import Sequential

SHORT_PASS = 64  # steps of an epoch up to which several epochs are worth one run
POLITE_SECONDS = 0.2  # how long a run may keep progress and Ctrl-C waiting
ORDER_STREAM = 0x0D7
SPLIT_STREAM = 0x59117


def row_order(seed: int, epoch: int, rows: int) -> np.ndarray:
    """The order of rows of one epoch: of seed and epoch alone, the same on every backend."""
    rng = np.random.default_rng([seed, ORDER_STREAM, epoch])
    return rng.permutation(rows).astype(np.int32)


def split(seed: int, rows: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and for validation, drawn by the seed."""
    held = min(max(round(rows * share), 1), rows - 1)
    order = np.random.default_rng([seed, SPLIT_STREAM]).permutation(rows)
    return np.sort(order[held:]), np.sort(order[:held])


class Rows:
    """Arrays with all rows: each epoch visits them in a new order, many steps in one run."""

    def __init__(self, model: Sequential, data: dict[str, Any], batch: int, shuffle: bool) -> None:
        self.model, self.batch, self.shuffle = model, batch, shuffle
        self.block = model._block(data)
        self.rows = self.block.rows
        self.binding = model._bound("train", batch, self.block, data["y"].shape[1])
        self.short = self.rows // batch <= SHORT_PASS and not self.rows % batch

    def several(self, left: int) -> tuple[list[dict[str, float]], Control]:
        """Up to `left` passes in one run, where the executor can and a pass is short.

        Returns the means of each, and the control block; an empty list: do it one by one.
        """
        model, state = self.model, self.model.state
        steps = self.rows // self.batch
        control = Control(batch=self.batch)
        count = min(self.binding.pace // steps, left) if self.short else 0
        if not count:
            return [], control
        order = None
        if self.shuffle:
            epochs = range(state.epoch, state.epoch + count)
            order = np.concatenate([row_order(state.seed, n, self.rows) for n in epochs])
        self.block.reorder(order)
        control.learning_rates = model.optimizer.rates(state.step, count * steps)
        start = time.perf_counter()
        found = self.binding.passes(control, count)
        if found is None:
            self.short = False  # and is not asked again
            return [], control
        self._adapt(count * steps, time.perf_counter() - start)
        return found, control

    def epoch(self, interrupt: Interrupt, reporter: Silent) -> Control:
        """One pass over the rows."""
        model, state = self.model, self.model.state
        order = row_order(state.seed, state.epoch, self.rows) if self.shuffle else None
        self.block.reorder(order)
        control = Control(batch=self.batch)
        while control.cursor < self.rows and not control.stop and not interrupt.asked:
            left = -(-(self.rows - control.cursor) // self.batch)
            control.steps = min(self.binding.pace, left)
            control.learning_rates = model.optimizer.rates(state.step, control.steps)
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


class Batches:
    """Batches that come one by one, from an iterable or from a function that returns one.

    Raises: BadInput for what cannot be iterated, or not as often as there are epochs.
    """

    def __init__(self, model: Sequential, source: Any, epochs: int) -> None:
        self.model, self.source = model, source
        self.rows = 0  # not known before they came
        if hasattr(source, "shape") or isinstance(source, (list, tuple)):
            raise BadInput("fit needs y: fit(x, y); only an iterable of batches goes without")
        if not callable(source) and not hasattr(source, "__iter__"):
            raise BadInput(f"fit takes arrays, or an iterable of batches, not {source!r}")
        if epochs > 1 and not callable(source) and iter(source) is source:
            raise BadInput(
                "an iterator ends after one epoch: pass a function that returns a new one for each"
            )

    def epoch(self, interrupt: Interrupt, reporter: Silent) -> Control:
        """One pass over the batches; each is checked when it comes."""
        model, control, seen = self.model, Control(batch=1), 0
        for batch in self.source() if callable(self.source) else self.source:
            if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
                raise BadInput("each batch must be (x, y) or (x, y, sample_weight)")
            data = model._data(*batch)
            if not model._learned:
                raise BadInput(
                    "layers such as Standardize learn from all rows at once: call"
                    " fit(x, y, epochs=0) on a sample of them first"
                )
            model.step(data, control)
            seen += len(data["x"])
            reporter.batches(seen, means(control))
            if control.stop or interrupt.asked:
                break
        if not seen:
            raise BadInput("the iterable has no batches")
        self.rows = seen
        return control


@dataclass
class Task:
    """One call of `fit`, made ready.

    held: the checked validation data, or None.
    """

    model: Sequential
    source: Rows | Batches
    epochs: int
    held: dict[str, Any] | None
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


def means(control: Control) -> dict[str, float]:
    """The weighted means of loss and metrics so far."""
    return {name: control.mean(name) for name in control.sums}


def train(task: Task) -> History:
    """All epochs.

    Raises: DivergenceError when a loss or a gradient is not finite, with the model as it was before
    that step; KeyboardInterrupt after Ctrl-C, with the model whole. Both leave the epochs so far in
    `model.history`.
    """
    model = task.model
    history = model.history = History()
    model.stop_training = False
    try:
        with Interrupt() as interrupt:
            for callback in task.callbacks:
                callback.on_fit_begin(model)
            while len(history.epochs) < task.epochs:
                if interrupt.asked or not _several_epochs(task, history):
                    _one_epoch(task, history, interrupt)
                if interrupt.asked:
                    raise KeyboardInterrupt(
                        f"stopped in epoch {model.state.epoch + 1}: the model keeps what it"
                        " learned, model.history has the epochs so far, and fit goes on from here"
                    )
                if model.stop_training:
                    break
            for callback in task.callbacks:
                callback.on_fit_end(model, history)
    finally:
        task.reporter.close()
    return history


def _several_epochs(task: Task, history: History) -> bool:
    """Short epochs that nobody watches, in one run; False where there are none."""
    source, left = task.source, task.epochs - len(history.epochs)
    watched = task.callbacks or task.held is not None or type(task.reporter) is not Silent
    if watched or not isinstance(source, Rows):
        return False
    start = clock()
    found, control = source.several(left)
    state = task.model.state
    seconds = (clock() - start) / max(len(found), 1)
    for values in found:
        state.epoch += 1
        history.add(state.epoch, seconds, values)
    if control.stop:
        raise diverged(task.model, control)
    return bool(found)


def _one_epoch(task: Task, history: History, interrupt: Interrupt) -> None:
    model = task.model
    start = clock()
    control = task.source.epoch(interrupt, task.reporter)
    state = model.state
    if interrupt.asked:
        return
    if control.stop:
        raise diverged(model, control)
    values = means(control)
    state.epoch += 1
    if task.held is not None:
        found = model.assess(task.held)
        values.update({f"val_{name}": value for name, value in found.items()})
    seconds = clock() - start
    history.add(state.epoch, seconds, values)
    task.reporter.epoch(state.epoch, seconds, values)
    for callback in task.callbacks:
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
