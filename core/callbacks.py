"""Callbacks: what may happen between the epochs of a training."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..kernels.errors import BadInput
from ..kernels.files import append
from .checks import check_count, check_number
from .history import History

if TYPE_CHECKING:
    from .model import Sequential


class Callback:
    """The protocol. Setting `model.stop_training = True` ends the training after this epoch.

    model: the one that trains. values: the epoch's numbers by their names in the history.
    history: what the whole fit measured.
    """

    def on_fit_begin(self, model: Sequential) -> None:
        """Before the first epoch of a fit."""

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


def monitored(who: str, name: str | None, values: Mapping[str, float]) -> tuple[str, float]:
    """The name and number to watch; None is "val_loss", or "loss" without validation.

    Raises: BadInput for a name that the history lacks.
    """
    name = name or ("val_loss" if "val_loss" in values else "loss")
    if name not in values:
        raise BadInput(f"{who}: no {name!r} in the history; it has {', '.join(values)}")
    return name, values[name]


def improves(name: str, value: float, best: float) -> bool:
    """Whether a number is better: accuracies and scores rise, losses and errors fall."""
    rising = "accuracy" in name or name.endswith(("score", "r2"))
    return value > best if rising else value < best


@dataclass
class EarlyStopping(Callback):
    """Ends the training when the monitored number has not improved for `patience` epochs.

    monitor: a name of the history; None is "val_loss", or "loss" without validation. Accuracies
        and scores are to rise, other numbers to fall.
    patience: epochs without improvement, from 1.
    restore_best_weights: go back to the parameters of the best epoch at the end.
    best, best_epoch: the best number so far, and its epoch (counted from 1).
    Raises: BadInput, in training for a name that the history lacks.
    """

    monitor: str | None = None
    patience: int = 5
    restore_best_weights: bool = True
    best: float = field(default=float("nan"), init=False)
    best_epoch: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        check_count("EarlyStopping: patience", self.patience)

    def on_fit_begin(self, model: Sequential) -> None:
        """Forgets an earlier training."""
        self.best, self.best_epoch = float("nan"), 0
        self._parameters: np.ndarray | None = None
        self._waited = 0

    def on_epoch_end(self, model: Sequential, epoch: int, values: Mapping[str, float]) -> None:
        """Compares, remembers the best, counts the others."""
        name, value = monitored("EarlyStopping", self.monitor, values)
        if self.best_epoch == 0 or improves(name, value, self.best):
            self.best, self.best_epoch, self._waited = value, epoch, 0
            if self.restore_best_weights:
                self._parameters = model.state.read("parameters")
            return
        self._waited += 1
        if self._waited >= self.patience:
            model.stop_training = True

    def on_fit_end(self, model: Sequential, history: History) -> None:
        """Restores the best parameters."""
        if self._parameters is not None:
            model.state.write("parameters", self._parameters)


@dataclass
class Plateau(Callback):
    """Multiplies the learning rate by `factor` after `patience` epochs without improvement.

    monitor: as in EarlyStopping. factor: in [0, 1). The rate does not fall below `minimum`. It
    belongs to the model's optimizer, so it is saved with the model; a schedule in its place is
    refused. Raises: BadInput.
    """

    monitor: str | None = None
    patience: int = 3
    factor: float = 0.5
    minimum: float = 0.0

    def __post_init__(self) -> None:
        check_count("Plateau: patience", self.patience)
        check_number("Plateau: factor", self.factor, 0.0, 1.0, open_high=True)
        check_number("Plateau: minimum", self.minimum, 0.0, math.inf, open_high=True)

    def on_fit_begin(self, model: Sequential) -> None:
        """Forgets an earlier training."""
        if callable(model.optimizer.learning_rate):
            raise BadInput("Plateau needs a number as learning rate, not a schedule")
        self._best: float | None = None
        self._waited = 0

    def on_epoch_end(self, model: Sequential, epoch: int, values: Mapping[str, float]) -> None:
        """Compares, counts, and lowers the rate when it is due."""
        name, value = monitored("Plateau", self.monitor, values)
        if self._best is None or improves(name, value, self._best):
            self._best, self._waited = value, 0
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

    path: where to write; what is there is kept. Raises: BadInput for another suffix.
    """

    path: str | os.PathLike[str]

    def __post_init__(self) -> None:
        if Path(self.path).suffix not in (".csv", ".jsonl"):
            raise BadInput(f"LogFile writes .csv or .jsonl, not {os.fspath(self.path)!r}")

    def on_epoch_end(self, model: Sequential, epoch: int, values: Mapping[str, float]) -> None:
        """Writes the epoch's line."""
        path, row = Path(self.path), {"epoch": epoch, "step": model.state.step, **values}
        with append(path) as file:
            if path.suffix == ".jsonl":
                file.write(json.dumps(row) + "\n")
                return
            writer = csv.DictWriter(file, fieldnames=list(row))
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)


@dataclass
class Checkpoint(Callback):
    """Saves the model to a file every so many epochs; the last good file is never lost.

    path: of the safetensors file. every: epochs from one saving to the next, from 1.
    Raises: BadInput; OSError when the disk refuses.
    """

    path: str | os.PathLike[str]
    every: int = 1

    def __post_init__(self) -> None:
        check_count("Checkpoint: every", self.every)

    def on_epoch_end(self, model: Sequential, epoch: int, values: Mapping[str, float]) -> None:
        """Saves when it is due."""
        if epoch % self.every == 0:
            model.save(Path(self.path))
