"""NumPy by hand: what a good solution of the course's exercises looks like."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .by_hand_layers import Activation, Affine, Drop, Layer, hidden, sigmoid
from .by_hand_losses import LOSSES, softmax
from .peer import BETA1, BETA2, EPSILON, RATE, Inference, Peer, Task, Workload, one_of

Array = np.ndarray


def stack(task: Task, weights: list[Array], training: bool) -> list[Layer]:
    """The network's layers over its weights, first to last. Raises: BadInput."""
    network, left = task.network, iter(weights)
    layers: list[Layer] = []
    for number in range(len(network.sizes) - 2):
        layers += [Affine(next(left), next(left)), Activation(network.activation)]
        layers += hidden(network.layer, left, network.activation)
        if training and network.dropout:
            layers.append(Drop(network.dropout, number))
    layers.append(Affine(next(left), next(left)))
    layers[0].first = True
    return layers


class Training:
    """Forward, backward and Adam, vectorised, with updates in place.

    beta1: of Adam, so that a test can plant another.
    """

    machine = "CPU"

    def __init__(self, task: Task, beta1: float = BETA1) -> None:
        self.task, self.beta1 = task, beta1
        self.batches = task.batches
        loss = task.network.loss or "cross_entropy"
        self.loss = one_of(LOSSES, "loss", loss)
        self.reset()

    def reset(self) -> None:
        """Copies the initial weights."""
        self.weights = [w.copy() for w in self.task.weights]
        self.layers = stack(self.task, self.weights, training=True)
        self.means = [np.zeros_like(w) for w in self.weights]
        self.squares = [np.zeros_like(w) for w in self.weights]
        self.step = 0

    def train(self, x: Array, y: Array) -> float:
        """One step; returns the loss before it."""
        for layer in self.layers:
            x = layer.forward(x)
        loss, delta = self.loss(x, y)
        for layer in reversed(self.layers):
            delta = layer.backward(delta)
        self.update([g for layer in self.layers for g in layer.gradients()])
        return float(loss)

    def update(self, gradients: list[Array]) -> None:
        """Adam."""
        self.step += 1
        rate = RATE / (1.0 - self.beta1**self.step)
        scale = 1.0 / math.sqrt(1.0 - BETA2**self.step)
        for w, g, m, v in zip(self.weights, gradients, self.means, self.squares, strict=True):
            m *= self.beta1
            m += (1.0 - self.beta1) * g
            v *= BETA2
            g *= g
            g *= 1.0 - BETA2
            v += g
            denominator = np.sqrt(v)
            denominator *= scale
            denominator += EPSILON
            np.divide(m, denominator, out=denominator)
            denominator *= rate
            w -= denominator

    def perform(self, units: int) -> None:
        """Steps."""
        batches = self.batches
        for step in range(units):
            self.train(*batches[step % len(batches)])

    def answer(self) -> dict[str, Any]:
        """Ten steps."""
        losses, masks = [], []
        for batch in self.task.checked:
            losses.append(self.train(*batch))
            masks.append([layer.kept for layer in self.layers if isinstance(layer, Drop)])
        told: dict[str, Any] = {"losses": np.array(losses), "weights": self.weights}
        running = [np.ravel(kept) for layer in self.layers for kept in layer.running]
        if running:
            told["statistics"] = np.concatenate(running)
        if self.task.random:
            told["masks"] = np.array([np.concatenate(step, axis=1) for step in masks])
        return told

    def accuracy(self) -> float:
        """Not asked of it."""
        return float("nan")


class Predictions(Inference):
    """The forward pass."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.layers = stack(task, task.weights, training=False)
        self.last = {"linear": None, "sigmoid": sigmoid, "softmax": softmax}[task.network.last]

    def predict(self) -> Array:
        """The probabilities."""
        x = self.x
        for layer in self.layers:
            x = layer.forward(x)
        return x if self.last is None else self.last(x)


def workload(peer: Peer, task: Task) -> Workload:
    """The task in NumPy."""
    return Training(task) if task.mode == "training" else Predictions(task)
