"""scikit-learn: MLPClassifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from ...kernels.errors import BadInput
from .peer import BETA1, BETA2, EPSILON, RATE, Inference, Peer, Task, Workload, one_of

ACTIVATIONS = {"linear": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}


def classifier(task: Task, shuffle: bool) -> Any:
    """A classifier with the initial weights and no optimizer yet. Raises: BadInput."""
    network = task.network
    for what in (network.layer, network.loss, f"dropout {network.dropout}"):
        if what not in ("", "dropout 0.0"):
            raise BadInput(f"MLPClassifier has no {what}")
    activation = one_of(ACTIVATIONS, "activation", network.activation)
    model = MLPClassifier(
        network.sizes[1:-1], activation=activation, solver="adam", alpha=0.0,
        batch_size=network.batch, learning_rate_init=RATE, beta_1=BETA1, beta_2=BETA2,
        epsilon=EPSILON, shuffle=shuffle, random_state=0,
    )  # fmt: skip
    x = np.zeros((network.batch, network.sizes[0]), network.dtype)
    classes = np.arange(max(network.sizes[-1], 2))
    model.partial_fit(x, np.zeros(len(x), np.int32), classes=classes)  # makes the arrays
    for i, w in enumerate(task.weights):
        if i % 2:
            model.intercepts_[i // 2][...] = w[0]
        else:
            model.coefs_[i // 2][...] = w
    del model._optimizer  # the next call makes a fresh one over the same arrays
    return model


class Epochs:
    """`partial_fit`, which is one shuffled pass."""

    machine = "CPU"

    def __init__(self, task: Task) -> None:
        self.task = task
        self.reset()

    def reset(self) -> None:
        """A new classifier."""
        self.model = classifier(self.task, shuffle=True)

    def perform(self, units: int) -> None:
        """Epochs."""
        for _ in range(units):
            self.model.partial_fit(*self.task.training_set)

    def answer(self) -> dict[str, Any]:
        """One pass over ten batches."""
        model = classifier(self.task, shuffle=False)
        model.partial_fit(*self.task.checked_set)
        pairs = zip(model.coefs_, model.intercepts_, strict=True)
        weights = [w if w.ndim == 2 else w[None, :] for pair in pairs for w in pair]
        return {"losses": np.array([model.loss_]), "weights": weights}

    def accuracy(self) -> float:
        """Of the test set."""
        x, y = self.task.test_set
        return float(self.model.score(x, y))


class Predictions(Inference):
    """`predict_proba`."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.model = classifier(task, shuffle=False)
        self.binary = task.network.binary

    def predict(self) -> np.ndarray:
        """The probabilities; of two classes it gives both."""
        p: np.ndarray = self.model.predict_proba(self.x)
        return p[:, 1:] if self.binary else p


def workload(peer: Peer, task: Task) -> Workload:
    """The task in scikit-learn."""
    return Predictions(task) if task.mode == "inference" else Epochs(task)
