"""PyTorch: eager with fused Adam, and with model and loss compiled."""

from __future__ import annotations

import shutil
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from ...kernels.errors import BadInput
from .peer import BETA1, BETA2, CHECKED, EPSILON, RATE, Inference, Peer, Task, Workload

ACTIVATIONS: dict[str, Any] = {
    "linear": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "softplus": nn.Softplus,
}


def model_of(task: Task) -> nn.Sequential:
    """The network, up to the last layer's sums."""
    network = task.network
    kind = getattr(torch, network.dtype)
    layers: list[nn.Module] = []
    for a, b in zip(network.sizes, network.sizes[1:], strict=False):
        layers += [nn.Linear(a, b, dtype=kind), ACTIVATIONS[network.activation]()]
    return nn.Sequential(*layers[:-1])


def load(model: nn.Module, weights: list[np.ndarray]) -> None:
    """Writes the weights in place; torch keeps a weight as (n_out, n_in)."""
    with torch.no_grad():
        for parameter, w in zip(model.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(w.T if parameter.ndim == 2 else w[0]))


class Training:
    """The loop of a training script, over tensors in memory.

    compiled: whether model and loss go through `torch.compile`.
    """

    def __init__(self, task: Task, compiled: bool = False) -> None:
        self.task, self.model = task, model_of(task)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), RATE, (BETA1, BETA2), EPSILON, fused=True
        )
        self.loss = nn.BCEWithLogitsLoss() if task.network.binary else nn.CrossEntropyLoss()
        self.cost: Any = self._cost
        if compiled:
            torch._dynamo.reset()
            self.cost = torch.compile(self._cost, dynamic=False)
        self.reset()

    def _cost(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.loss(self.model(x), y)
        return found

    @cached_property
    def batches(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The block, batch by batch."""
        return [self.tensors(x, y) for x, y in self.task.batches]

    def tensors(self, x: np.ndarray, y: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows and labels as the loss wants them."""
        y = y[:, None].astype(x.dtype) if self.task.network.binary else y.astype(np.int64)
        return torch.from_numpy(x), torch.from_numpy(y)

    def reset(self) -> None:
        """Writes the weights and empties Adam's moments."""
        load(self.model, self.task.weights)
        for slots in self.optimizer.state.values():
            for tensor in slots.values():
                tensor.zero_()
        self.optimizer.zero_grad()

    def step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """One step; returns the loss before it."""
        loss: torch.Tensor = self.cost(x, y)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def perform(self, units: int) -> None:
        """Steps."""
        batches = self.batches
        for number in range(units):
            self.step(*batches[number % len(batches)])

    def answer(self) -> dict[str, Any]:
        """Ten steps."""
        n = len(self.batches)
        losses = [float(self.step(*self.batches[i % n]).detach()) for i in range(CHECKED)]
        return {"losses": np.array(losses), "weights": self.weights()}

    def weights(self) -> list[np.ndarray]:
        """In lamina's layout."""
        found = [p.detach().numpy() for p in self.model.parameters()]
        return [w.T if w.ndim == 2 else w[None, :] for w in found]

    def accuracy(self) -> float:
        """Of the test set."""
        x, y = self.task.test_set
        with torch.inference_mode():
            found = self.model(torch.from_numpy(x)).argmax(dim=1).numpy()
        return float(np.mean(found == y))


class Epochs(Training):
    """Whole passes over tensors in memory, in a random order; no DataLoader, which costs more."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.x, self.y = self.tensors(*task.training_set)

    def perform(self, units: int) -> None:
        """Epochs."""
        for _ in range(units):
            total = torch.zeros((), dtype=self.x.dtype)
            for rows in torch.randperm(len(self.x)).split(self.task.network.batch):
                total += len(rows) * self.step(self.x[rows], self.y[rows]).detach()
            float(total)  # an epoch's mean loss is what a script prints

    def answer(self) -> dict[str, Any]:
        """One pass over ten batches."""
        x, y = self.tensors(*self.task.checked_set)
        size = self.task.network.batch
        pairs = zip(x.split(size), y.split(size), strict=True)
        losses = [float(self.step(*pair).detach()) * len(pair[0]) for pair in pairs]
        return {"losses": np.array([sum(losses) / len(x)]), "weights": self.weights()}


class Predictions(Inference):
    """The model with its last activation, from NumPy to NumPy."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        model = model_of(task)
        load(model, task.weights)
        last = nn.Sigmoid() if task.network.binary else nn.Softmax(dim=1)
        self.model = nn.Sequential(*model, last).eval()

    def predict(self) -> np.ndarray:
        """The probabilities."""
        with torch.inference_mode():
            found: np.ndarray = self.model(torch.from_numpy(self.x)).numpy()
        return found


def workload(peer: Peer, task: Task) -> Workload:
    """The task in PyTorch. Raises: BadInput where torch.compile has no compiler."""
    if task.mode == "inference":
        return Predictions(task)
    if task.mode == "epoch":
        return Epochs(task)
    compiled = peer.variant == "compile"
    if compiled and not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        raise BadInput("torch.compile needs a C++ compiler, such as g++")
    return Training(task, compiled)
