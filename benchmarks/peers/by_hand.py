"""NumPy by hand: what a good solution of the course's exercises looks like."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .peer import BETA1, BETA2, CHECKED, EPSILON, RATE, Inference, Peer, Task, Workload

Array = np.ndarray
# Each activation, and the derivative as a function of its value.
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Any]]] = {
    "linear": (lambda z: z, lambda a: 1.0),
    "sigmoid": (lambda z: 1.0 / (1.0 + np.exp(-z)), lambda a: a * (1.0 - a)),
    "tanh": (np.tanh, lambda a: 1.0 - a * a),
    "relu": (lambda z: np.maximum(z, 0.0), lambda a: a > 0.0),
    "leaky_relu": (lambda z: np.maximum(z, 0.01 * z), lambda a: np.where(a > 0.0, 1.0, 0.01)),
    "elu": (lambda z: np.where(z > 0.0, z, np.expm1(z)), lambda a: np.where(a > 0.0, 1.0, a + 1.0)),
    "softplus": (lambda z: np.logaddexp(z, 0.0), lambda a: -np.expm1(-a)),
}


def forward(x: Array, weights: list[Array], activation: str) -> list[Array]:
    """The input and every layer's output; the last is a probability or a row of them."""
    act, _ = ACTIVATIONS[activation]
    outputs = [x]
    for i in range(0, len(weights), 2):
        z = outputs[-1] @ weights[i]
        z += weights[i + 1]
        if i < len(weights) - 2:
            outputs.append(act(z))
        elif z.shape[1] == 1:
            outputs.append(1.0 / (1.0 + np.exp(-z)))
        else:
            z -= z.max(axis=1, keepdims=True)
            np.exp(z, out=z)
            z /= z.sum(axis=1, keepdims=True)
            outputs.append(z)
    return outputs


class Training:
    """Forward, backward and Adam, vectorised, with updates in place.

    beta1: of Adam, so that a test can plant another.
    """

    def __init__(self, task: Task, beta1: float = BETA1) -> None:
        self.task, self.beta1 = task, beta1
        self.batches = task.batches
        self.numbers = np.arange(task.network.batch)
        self.reset()

    def reset(self) -> None:
        """Copies the initial weights."""
        self.weights = [w.copy() for w in self.task.weights]
        self.means = [np.zeros_like(w) for w in self.weights]
        self.squares = [np.zeros_like(w) for w in self.weights]
        self.step = 0

    def train(self, x: Array, y: Array) -> float:
        """One step; returns the loss before it."""
        activation = self.task.network.activation
        outputs = forward(x, self.weights, activation)
        p = outputs[-1]
        if p.shape[1] == 1:
            targets = y[:, None]
            loss = -np.log(np.where(targets, p, 1.0 - p)).mean()
            delta = (p - targets.astype(p.dtype)) / p.dtype.type(len(x))
        else:
            loss = -np.log(p[self.numbers, y]).mean()
            delta = p
            delta[self.numbers, y] -= 1.0
            delta /= len(x)
        gradients = [delta] * len(self.weights)
        _, slope = ACTIVATIONS[activation]
        for i in range(len(self.weights) - 2, -1, -2):
            a = outputs[i // 2]
            gradients[i] = a.T @ delta
            gradients[i + 1] = delta.sum(axis=0, keepdims=True)
            if i:
                delta = delta @ self.weights[i].T
                delta *= slope(a)
        self.update(gradients)
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
        n = len(self.batches)
        losses = [self.train(*self.batches[step % n]) for step in range(CHECKED)]
        return {"losses": np.array(losses), "weights": self.weights}

    def accuracy(self) -> float:
        """Not asked of it."""
        return float("nan")


class Predictions(Inference):
    """The forward pass."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.weights, self.activation = task.weights, task.network.activation

    def predict(self) -> Array:
        """The probabilities."""
        return forward(self.x, self.weights, self.activation)[-1]


def workload(peer: Peer, task: Task) -> Workload:
    """The task in NumPy."""
    return Training(task) if task.mode == "training" else Predictions(task)
