"""PyTorch: eager with fused Adam, and with model and loss compiled."""

from __future__ import annotations

import shutil
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ...kernels.errors import BadInput
from .peer import BETA1, BETA2, EPSILON, RATE, Inference, Peer, Task, Workload, one_of
from .torch_parts import ACTIVATIONS, behind, last, loss_of


def model_of(task: Task) -> nn.Sequential:
    """The network, up to the last layer's sums. Raises: BadInput."""
    network = task.network
    kind = getattr(torch, network.dtype)
    activation = one_of(ACTIVATIONS, "activation", network.activation)
    layers: list[nn.Module] = []
    for a, b in zip(network.sizes[:-2], network.sizes[1:-1], strict=True):
        layers += [nn.Linear(a, b, dtype=kind), activation(), *behind(network, b, kind)]
    return nn.Sequential(*layers, nn.Linear(*network.sizes[-2:], dtype=kind))


def load(model: nn.Module, weights: list[np.ndarray]) -> None:
    """Writes the weights in place; torch keeps a weight as (n_out, n_in)."""
    with torch.no_grad():
        for parameter, w in zip(model.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(w.T if parameter.ndim == 2 else w[0]))


def placed(device: str) -> str:
    """The device in words; float32 is float32 on it, and no TF32."""
    torch.backends.cuda.matmul.allow_tf32 = False
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return f"{name}, TF32 off"


def finish(device: str) -> None:
    """Waits until the device is done."""
    if device == "cuda":
        torch.cuda.synchronize()


class Training:
    """The loop of a training script, over tensors in memory.

    compiled: whether model and loss go through `torch.compile`. device: "cpu" or "cuda".
    """

    def __init__(self, task: Task, compiled: bool = False, device: str = "cpu") -> None:
        self.device, self.machine = device, placed(device)
        self.task, self.model = task, model_of(task).to(device)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), RATE, (BETA1, BETA2), EPSILON, fused=True
        )
        self.norms = [m for m in self.model if isinstance(m, nn.BatchNorm1d)]
        self.loss = loss_of(task.network)
        self.cost: Any = self._cost
        self.draw: Any = self._draw
        if compiled:
            torch._dynamo.reset()
            self.cost = torch.compile(self._cost, dynamic=False)
            self.draw = torch.compile(self._draw, dynamic=False)
        self.reset()

    def _cost(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.loss(self.model(x), y)
        return found

    def _draw(self) -> list[torch.Tensor]:
        """What dropout keeps in a step that begins with the generator as it is."""
        network = self.task.network
        kind = getattr(torch, network.dtype)
        widths, more = network.sizes[1:-1], {"dtype": kind, "device": self.device}
        ones = [torch.ones(network.batch, width, **more) for width in widths]
        return [functional.dropout(each, network.dropout) > 0.0 for each in ones]

    @cached_property
    def batches(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The block, batch by batch."""
        return [self.tensors(x, y) for x, y in self.task.batches]

    def tensors(self, x: np.ndarray, y: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows and labels as the loss wants them."""
        if not self.task.network.numbers:
            y = y[:, None].astype(x.dtype) if self.task.network.binary else y.astype(np.int64)
        return torch.from_numpy(x).to(self.device), torch.from_numpy(y).to(self.device)

    def reset(self) -> None:
        """Writes the weights and empties Adam's moments."""
        load(self.model, self.task.weights)
        for module in self.norms:
            module.reset_running_stats()
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
        finish(self.device)

    def answer(self) -> dict[str, Any]:
        """Ten steps."""
        losses, masks = [], []
        for number, batch in enumerate(self.task.checked):
            if self.task.random:
                torch.manual_seed(number)
                masks.append(np.concatenate([kept.cpu().numpy() for kept in self.draw()], axis=1))
                torch.manual_seed(number)
            losses.append(float(self.step(*self.tensors(*batch)).detach()))
        told: dict[str, Any] = {"losses": np.array(losses), "weights": self.weights()}
        kept = [each for m in self.norms for each in (m.running_mean, m.running_var)]
        if kept and kept[0] is not None:
            told["statistics"] = torch.cat(kept).cpu().numpy()
        return {**told, "masks": np.array(masks)} if masks else told

    def weights(self) -> list[np.ndarray]:
        """In lamina's layout."""
        found = [p.detach().cpu().numpy() for p in self.model.parameters()]
        return [w.T if w.ndim == 2 else w[None, :] for w in found]

    def accuracy(self) -> float:
        """Of the test set."""
        x, y = self.task.test_set
        self.model.eval()
        with torch.inference_mode():
            rows = torch.from_numpy(x).to(self.device)
            found = self.model(rows).argmax(dim=1).cpu().numpy()
        self.model.train()
        return float(np.mean(found == y))


class Epochs(Training):
    """Whole passes over tensors in memory, in a random order; no DataLoader, which costs more."""

    def __init__(self, task: Task, device: str = "cpu") -> None:
        super().__init__(task, device=device)
        self.x, self.y = self.tensors(*task.training_set)

    def perform(self, units: int) -> None:
        """Epochs."""
        for _ in range(units):
            total = torch.zeros((), dtype=self.x.dtype, device=self.device)
            for rows in torch.randperm(len(self.x), device=self.device).split(
                self.task.network.batch
            ):
                total += len(rows) * self.step(self.x[rows], self.y[rows]).detach()
            float(total)  # an epoch's mean loss is what a script prints

    def answer(self) -> dict[str, Any]:
        """One pass over ten batches."""
        told = super().answer()
        return {**told, "losses": np.array([np.mean(told["losses"])])}


class Predictions(Inference):
    """The model with its last activation, from NumPy to NumPy."""

    def __init__(self, task: Task, device: str) -> None:
        super().__init__(task)
        self.device, self.machine = device, placed(device)
        model = model_of(task)
        load(model, task.weights)
        self.model = nn.Sequential(*model, last(task.network)).eval().to(device)

    def predict(self) -> np.ndarray:
        """The probabilities."""
        with torch.inference_mode():
            rows = torch.from_numpy(self.x).to(self.device)
            found: np.ndarray = self.model(rows).cpu().numpy()
        return found


def workload(peer: Peer, task: Task) -> Workload:
    """The task in PyTorch. Raises: BadInput where torch.compile has no compiler."""
    if task.mode == "inference":
        return Predictions(task, peer.device)
    if task.mode == "epoch":
        return Epochs(task, peer.device)
    compiled = peer.variant == "compile"
    if compiled and not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        raise BadInput("torch.compile needs a C++ compiler, such as g++")
    return Training(task, compiled, peer.device)
