"""Callbacks: what may happen between the epochs of a training, and between its batches."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..backends.state import Control
from ..kernels import files
from ..kernels.errors import BadInput
from .checks import check_count, check_number
from .history import History
from .logs import append, listed
from .monitor import Monitor, check_monitor
from .session import means

if TYPE_CHECKING:
    from .model import Sequential


class Callback:
    """The protocol. Setting `model.stop_training = True` ends the training after this epoch.

    model: the one that trains. values: the epoch's numbers by their names in the history; a metric
    such as a confusion matrix is an array. history: what the whole fit measured.
    """

    def on_fit_begin(self, model: Sequential) -> None:
        """Before the first epoch of a fit."""

    def on_batch_end(self, model: Sequential, batch: int, values: Mapping[str, float]) -> None:
        """After a batch; batch counts from 1 in the epoch, values are that batch's own means.

        Only where a callback has this method are batches run one by one. `model.stop_training` ends
        the epoch with this batch.
        """

    def on_epoch_end(self, model: Sequential, epoch: int, values: Mapping[str, float]) -> None:
        """After an epoch and its validation; epoch counts from 1 over the model's life."""

    def on_fit_end(self, model: Sequential, history: History) -> None:
        """After the last epoch, unless the training raised."""


def check_callbacks(callbacks: object) -> tuple[Callback, ...]:
    """The callbacks of a fit. Raises: BadInput for anything but a sequence of Callback objects."""
    if not isinstance(callbacks, (list, tuple)):
        raise BadInput(f"callbacks is a list: callbacks=[{callbacks!r}]")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise BadInput(f"a callback is an object of lm.Callback, not {callback!r}")
    return tuple(callbacks)


def watch_batches(callbacks: Sequence[Callback]) -> tuple[Callback, ...]:
    """Those that have something to do after a batch."""
    nothing = Callback.on_batch_end
    return tuple(c for c in callbacks if getattr(c.on_batch_end, "__func__", None) is not nothing)


class Listeners:
    """The callbacks that are told of every batch."""

    def __init__(self, model: Sequential, callbacks: Sequence[Callback]) -> None:
        self.model, self.callbacks = model, callbacks
        self.batch = 0

    def begin(self) -> Listeners:
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


@dataclass
class EarlyStopping(Callback):
    """Ends the training when the monitored number has not improved for `patience` epochs.

    monitor: a name of the history; None is "val_loss", or "loss" without validation, which warns:
        the training loss falls while a model learns its rows by heart.
    patience: epochs without improvement, from 1.
    restore_best_weights: go back to the parameters of the best epoch at the end.
    mode: "max" where more is better, "min" where less is; "auto" knows the loss, the metrics of
        lamina and scikit-learn and other usual names, and `lm.metrics.whole(f, mode=...)`.
    min_delta: what is not better by more than this is no improvement. NaN never is one.
    start_epoch: the first epoch that counts, from 1 over the model's life.
    best, best_epoch: the best number so far, and its epoch (counted from 1); NaN and 0 before.
    Raises: BadInput, in training for a name that the history lacks, an array, or a name whose mode
        is not known.
    """

    monitor: str | None = None
    patience: int = 5
    restore_best_weights: bool = True
    mode: str = "auto"
    min_delta: float = 0.0
    start_epoch: int = 1
    best: float = field(default=float("nan"), init=False)
    best_epoch: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        check_count("EarlyStopping: patience", self.patience)
        check_monitor("EarlyStopping", self.mode, self.min_delta, self.start_epoch)

    def on_fit_begin(self, model: Sequential) -> None:
        """Forgets an earlier training."""
        self.best, self.best_epoch = float("nan"), 0
        self._watch = Monitor("EarlyStopping", self.monitor, self.mode, self.min_delta)
        self._watch.check(model.metrics)
        self._best: dict[str, np.ndarray] = {}
        self._waited, self._warned = 0, False

    def on_epoch_end(self, model: Sequential, epoch: int, values: Mapping[str, float]) -> None:
        """Compares, remembers the best, counts the others."""
        if self.monitor is None and "val_loss" not in values and not self._warned:
            self._warned = True
            warnings.warn(
                "EarlyStopping watches the training loss, which falls while a model learns its rows"
                ' by heart: give fit validation_data or validation_split, or say monitor="loss"',
                stacklevel=2,
            )
        if epoch < self.start_epoch:
            return
        if self._watch.improved(model.metrics, values):
            self.best, self.best_epoch, self._waited = self._watch.best, epoch, 0
            if self.restore_best_weights:
                self._best = {name: model.state.read(name) for name in ("parameters", "statistics")}
            return
        self._waited += 1
        if self._waited >= self.patience:
            model.stop_training = True

    def on_fit_end(self, model: Sequential, history: History) -> None:
        """Restores the best parameters, and the statistics that moved with them."""
        for name, flat in self._best.items():
            model.state.write(name, flat)


@dataclass
class Plateau(Callback):
    """Multiplies the learning rate by `factor` after `patience` epochs without improvement.

    monitor, mode, min_delta, start_epoch: as in EarlyStopping. factor: in [0, 1). The rate does not
    fall below `minimum`. It belongs to the model's optimizer, so it is saved with the model; a
    schedule in its place is refused. Raises: BadInput.
    """

    monitor: str | None = None
    patience: int = 3
    factor: float = 0.5
    minimum: float = 0.0
    mode: str = "auto"
    min_delta: float = 0.0
    start_epoch: int = 1

    def __post_init__(self) -> None:
        check_count("Plateau: patience", self.patience)
        check_number("Plateau: factor", self.factor, 0.0, 1.0, open_high=True)
        check_number("Plateau: minimum", self.minimum, 0.0, math.inf, open_high=True)
        check_monitor("Plateau", self.mode, self.min_delta, self.start_epoch)

    def on_fit_begin(self, model: Sequential) -> None:
        """Forgets an earlier training."""
        if callable(model.optimizer.learning_rate):
            raise BadInput("Plateau needs a number as learning rate, not a schedule")
        self._watch = Monitor("Plateau", self.monitor, self.mode, self.min_delta)
        self._watch.check(model.metrics)
        self._waited = 0

    def on_epoch_end(self, model: Sequential, epoch: int, values: Mapping[str, float]) -> None:
        """Compares, counts, and lowers the rate when it is due."""
        if epoch < self.start_epoch:
            return
        if self._watch.improved(model.metrics, values):
            self._waited = 0
            return
        self._waited += 1
        rate = model.optimizer.learning_rate
        if self._waited >= self.patience and not callable(rate):
            lower = max(rate * self.factor, self.minimum)
            model.optimizer = replace(model.optimizer, learning_rate=lower)
            self._waited = 0


@dataclass
class LogFile(Callback):
    """Appends a line per epoch to a file: `.csv` with a header, or `.jsonl` with JSON objects.

    Each line is on disk before training goes on, so a log survives whatever ends the training.
    Its columns: epoch (counted from 1), step (optimizer updates so far), and the history's names.
    Where a training has columns that the file lacks, the header gets them and the lines before are
    empty there. An array, such as a confusion matrix, is written as JSON.

    path: where to write; what is there is kept. Raises: BadInput for another suffix.
    """

    path: str | os.PathLike[str]

    def __post_init__(self) -> None:
        if Path(self.path).suffix not in (".csv", ".jsonl"):
            raise BadInput(f"LogFile writes .csv or .jsonl, not {os.fspath(self.path)!r}")

    def on_epoch_end(self, model: Sequential, epoch: int, values: Mapping[str, float]) -> None:
        """Writes the epoch's line."""
        self.write({"epoch": epoch, "step": model.state.step, **values})

    def write(self, row: Mapping[str, float]) -> None:
        """Appends a line. row: its values by column."""
        path = Path(self.path)
        if path.suffix == ".csv":
            append(
                path,
                {
                    name: json.dumps(value, default=listed) if hasattr(value, "shape") else value
                    for name, value in row.items()
                },
            )
            return
        with files.append(path) as file:
            file.write(json.dumps(row, default=listed) + "\n")


@dataclass
class Checkpoint(Callback):
    """Saves the model to a file every so many epochs; the last good file is never lost.

    path: of the safetensors file. every: epochs from one saving to the next, from 1.
    save_best_only: only where the monitored number is better than at all savings of this object.
    monitor, mode, min_delta, start_epoch: as in EarlyStopping.
    Raises: BadInput; OSError when the disk refuses.
    """

    path: str | os.PathLike[str]
    every: int = 1
    save_best_only: bool = False
    monitor: str | None = None
    mode: str = "auto"
    min_delta: float = 0.0
    start_epoch: int = 1

    def __post_init__(self) -> None:
        check_count("Checkpoint: every", self.every)
        check_monitor("Checkpoint", self.mode, self.min_delta, self.start_epoch)
        if self.monitor is not None and not self.save_best_only:
            raise BadInput("Checkpoint: monitor is for save_best_only=True")
        self._watch = Monitor("Checkpoint", self.monitor, self.mode, self.min_delta)

    def on_fit_begin(self, model: Sequential) -> None:
        """Looks whether it is known which way the monitored number is better."""
        if self.save_best_only:
            self._watch.check(model.metrics)

    def on_epoch_end(self, model: Sequential, epoch: int, values: Mapping[str, float]) -> None:
        """Saves when it is due."""
        if epoch % self.every or epoch < self.start_epoch:
            return
        if not self.save_best_only or self._watch.improved(model.metrics, values):
            model.save(Path(self.path))
