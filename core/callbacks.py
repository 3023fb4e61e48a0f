"""Callbacks: what may happen between the epochs of a training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..kernels.errors import BadInput
from .history import History
from .layers import check_count

if TYPE_CHECKING:
    from .model import Sequential


class Callback:
    """The protocol. Setting `model.stop_training = True` ends the training after this epoch."""

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


def worse_is_lower(name: str) -> bool:
    """Whether a larger number is the better one: accuracies and scores, not losses and errors."""
    return "accuracy" in name or name.endswith(("score", "r2"))


@dataclass
class EarlyStopping(Callback):
    """Ends the training when the monitored number has not improved for `patience` epochs.

    monitor: a name of the history; None is "val_loss", or "loss" without validation.
    restore_best_weights: go back to the parameters of the best epoch at the end.
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
        name = self.monitor or ("val_loss" if "val_loss" in values else "loss")
        if name not in values:
            raise BadInput(f"EarlyStopping: no {name!r} in the history; it has {', '.join(values)}")
        value = values[name]
        better = value > self.best if worse_is_lower(name) else value < self.best
        if better or self.best_epoch == 0:
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
class Checkpoint(Callback):
    """Saves the model to a file every so many epochs; the last good file is never lost."""

    path: str | os.PathLike[str]
    every: int = 1

    def __post_init__(self) -> None:
        check_count("Checkpoint: every", self.every)

    def on_epoch_end(self, model: Sequential, epoch: int, values: Mapping[str, float]) -> None:
        """Saves when it is due."""
        if epoch % self.every == 0:
            model.save(Path(self.path))
