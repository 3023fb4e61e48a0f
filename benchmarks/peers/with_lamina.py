"""lamina itself, through `fit` and `predict` as its users call them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backends.contract import Backend
from ...backends.selection import get_backend
from ...core.layers import Dropout
from ...kernels.vectorized.training import dropout_mask
from ..networks import model_for
from .peer import CHECKED, PREPARED, Inference, Peer, Task, Workload


class Training:
    """Epochs of four batches over a resident block, without shuffling."""

    def __init__(self, task: Task, backend: str | Backend) -> None:
        self.task = task
        self.model = model_for(task.network, backend).build(task.network.sizes[0])
        self.initial = self.model.get_weights()
        self.statistics = self.model.state.read("statistics")

    def reset(self) -> None:
        """Writes the weights and statistics, and empties the optimizer's slots."""
        state = self.model.state
        state.write("statistics", self.statistics)
        for segment in self.model.optimizer.state():
            state.write(segment, np.zeros(state.layout.length(segment)))
        state.step = state.epoch = 0
        self.model.set_weights(self.initial)

    def perform(self, units: int) -> None:
        """Steps, a whole number of epochs."""
        x, y = self.task.block
        self._fit(x, y, units * self.task.network.batch // len(x))

    def _fit(self, x: np.ndarray, y: np.ndarray, epochs: int, shuffle: bool = False) -> list[float]:
        batch = self.task.network.batch
        history = self.model.fit(x, y, epochs, batch, shuffle=shuffle, verbose=0)
        return list(history.history["loss"])

    def answer(self) -> dict[str, Any]:
        """Ten steps, one call each."""
        losses = [self.model.train_on_batch(*batch)["loss"] for batch in self.task.checked]
        return self.told(losses)

    def told(self, losses: list[float]) -> dict[str, Any]:
        """The answer: losses, weights, running statistics and masks."""
        found = {"losses": np.array(losses), "weights": self.model.get_weights(), **self.masks()}
        running = self.model.state.read("statistics")
        return {**found, "statistics": running} if running.size else found

    def masks(self) -> dict[str, np.ndarray]:
        """The masks of the checked steps: seed, step and layer key them, on every backend."""
        if not self.task.random:
            return {}
        places = [n for n, layer in enumerate(self.model.layers) if isinstance(layer, Dropout)]
        widths = iter(self.task.network.sizes[1:-1] * CHECKED)
        found = [
            np.concatenate([self._mask(step, number, next(widths)) for number in places], axis=1)
            for step in range(CHECKED)
        ]
        return {"masks": np.array(found)}

    def _mask(self, step: int, layer: int, width: int) -> np.ndarray:
        network = self.task.network
        mask: np.ndarray = dropout_mask(
            np, self.model.seed, step, shape=(network.batch, width), rate=network.dropout,
            stream=layer, dtype=network.dtype,
        )  # fmt: skip
        return mask > 0.0

    def accuracy(self) -> float:
        """Of the test set."""
        x, y = self.task.test_set
        return float(np.mean(self.model.predict(x).argmax(axis=1) == y))


class Epochs(Training):
    """Whole passes over a data set, shuffled."""

    def perform(self, units: int) -> None:
        """Epochs."""
        self._fit(*self.task.training_set, units, shuffle=True)

    def answer(self) -> dict[str, Any]:
        """One pass over ten batches."""
        return self.told(self._fit(*self.task.checked_set, 1))


class Predictions(Inference):
    """`model.predict`."""

    def __init__(self, task: Task, backend: str) -> None:
        super().__init__(task)
        self.model = model_for(task.network, backend).build(task.network.sizes[0])

    def predict(self) -> np.ndarray:
        """The probabilities."""
        return self.model.predict(self.x)


class PreparedPredictions(Inference):
    """`model.prepare()`, for many small calls."""

    def __init__(self, task: Task, backend: str) -> None:
        super().__init__(task)
        model = model_for(task.network, backend).build(task.network.sizes[0])
        self.prepared = model.prepare()

    def predict(self) -> np.ndarray:
        """The probabilities."""
        return self.prepared(self.x)


def workload(peer: Peer, task: Task) -> Workload:
    """The task on the backend that the peer is named after."""
    kinds: dict[str, Any] = {"training": Training, "inference": Predictions, "epoch": Epochs}
    kind = PreparedPredictions if peer.variant == PREPARED else kinds[task.mode]
    made: Workload = kind(task, peer.name)
    made.machine = f"{get_backend(peer.name).device}, TF32 off"
    return made
