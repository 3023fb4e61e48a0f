"""The training loop: epochs over a data block, in runs short enough to stay polite."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..backends.contract import Binding
from ..backends.state import Control, DataBlock
from ..kernels.errors import DivergenceError
from .callbacks import Callback
from .history import History, Silent

if TYPE_CHECKING:
    from .model import Sequential

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


@dataclass
class Task:
    """One call of `fit`, made ready."""

    model: Sequential
    binding: Binding
    block: DataBlock
    epochs: int
    batch: int
    shuffle: bool
    validation: tuple[Binding, DataBlock, int] | None
    callbacks: Sequence[Callback]
    reporter: Silent


def run_epoch(task: Task, control: Control) -> None:
    """One pass over the block; asks for as many steps a run as fit into the polite time."""
    model, rows = task.model, task.block.rows
    steps = 1
    while control.cursor < rows and not control.stop:
        left = -(-(rows - control.cursor) // control.batch)
        control.steps = min(steps, left)
        control.learning_rates = model.optimizer.rates(model.state.step, control.steps)
        start = time.perf_counter()
        task.binding.run(control)
        spent = time.perf_counter() - start
        if spent < POLITE_SECONDS / 2:
            steps *= 2
        elif spent > POLITE_SECONDS and steps > 1:
            steps //= 2
        task.reporter.batches(control.cursor, means(control))


def means(control: Control) -> dict[str, float]:
    """The weighted means of loss and metrics so far."""
    return {name: control.mean(name) for name in control.sums}


def evaluate(binding: Binding, block: DataBlock, batch: int) -> dict[str, float]:
    """Loss and metrics over a whole block."""
    control = Control(batch=batch, steps=-(-block.rows // batch))
    binding.run(control)
    return means(control)


def train(task: Task) -> History:
    """All epochs. Raises: DivergenceError."""
    history, state = History(), task.model.state
    model = task.model
    model.stop_training = False
    try:
        for callback in task.callbacks:
            callback.on_fit_begin(model)
        for _ in range(task.epochs):
            start = time.perf_counter()
            order = row_order(state.seed, state.epoch, task.block.rows) if task.shuffle else None
            task.block.reorder(order)
            control = Control(batch=task.batch)
            run_epoch(task, control)
            values = means(control)
            if control.stop:
                raise DivergenceError(
                    f"training diverged: the loss is {values['loss']} in epoch {state.epoch + 1}."
                    " Lower the learning rate, set clip_norm, or put lm.Standardize() first"
                )
            state.epoch += 1
            if task.validation is not None:
                found = evaluate(*task.validation)
                values.update({f"val_{name}": value for name, value in found.items()})
            seconds = time.perf_counter() - start
            history.add(state.epoch, seconds, values)
            task.reporter.epoch(state.epoch, seconds, values)
            for callback in task.callbacks:
                callback.on_epoch_end(model, state.epoch, values)
            if model.stop_training:
                break
        for callback in task.callbacks:
            callback.on_fit_end(model, history)
    finally:
        task.reporter.close()
    return history
