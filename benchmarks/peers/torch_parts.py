"""Activations, layers and losses as PyTorch has them, or as its users write them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ..networks import Network
from ..spellings import DELTA, EPSILON, GAMMA, SMOOTHING
from .peer import one_of

ACTIVATIONS: dict[str, Any] = {
    "linear": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "softplus": nn.Softplus,
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "softmax": partial(nn.Softmax, dim=1),
    "log_softmax": partial(nn.LogSoftmax, dim=1),
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "selu": nn.SELU,
    "softsign": nn.Softsign,
    "hard_sigmoid": nn.Hardsigmoid,
    "hard_swish": nn.Hardswish,
}


class Residual(nn.Module):  # type: ignore[misc]
    """x + inner(x)."""

    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*inner)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (n, width) -> (n, width)."""
        found: torch.Tensor = x + self.inner(x)
        return found


def behind(network: Network, width: int, kind: torch.dtype) -> list[nn.Module]:
    """What stands behind a hidden layer of that width. Raises: BadInput."""
    activation = one_of(ACTIVATIONS, "activation", network.activation)
    running = network.layer == "batch_norm"  # by hand it keeps no statistics
    makers: dict[str, Callable[[], list[nn.Module]]] = {
        "layer_norm": lambda: [nn.LayerNorm(width, EPSILON, dtype=kind)],
        "batch_norm": lambda: [
            nn.BatchNorm1d(width, EPSILON, track_running_stats=running, dtype=kind)
        ],
        "residual": lambda: [Residual(nn.Linear(width, width, dtype=kind), activation())],
        "gated": lambda: [nn.Linear(width, 2 * width, dtype=kind), nn.GLU(dim=1)],
    }
    layers = one_of(makers, "layer", network.layer)() if network.layer else []
    return [*layers, nn.Dropout(network.dropout)] if network.dropout else list(layers)


# Losses: the mean, of z: (n, outputs), the last layer's sums, and y: (n,) numbers of classes,
# (n, 1) of zeros and ones, or numbers.


def smoothed(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy with a share of each target spread over both classes."""
    targets = y * (1.0 - SMOOTHING) + 0.5 * SMOOTHING
    return functional.binary_cross_entropy_with_logits(z, targets)


def focal(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Cross-entropy times (1 - probability of the class) ** GAMMA, as torchvision computes it."""
    if z.shape[1] == 1:
        loss = functional.binary_cross_entropy_with_logits(z, y, reduction="none")
        p = torch.sigmoid(z)
        right = p * y + (1.0 - p) * (1.0 - y)
    else:
        loss = functional.cross_entropy(z, y, reduction="none")
        right = torch.exp(-loss)
    return (loss * (1.0 - right) ** GAMMA).mean()


def gaussian(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """-log of a normal density less a constant: means, then logarithms of variances."""
    mean, log_variance = z.chunk(2, dim=1)
    return functional.gaussian_nll_loss(mean, y, log_variance.exp())


def loss_of(network: Network) -> Any:
    """The network's loss: (z, y) -> the mean. Raises: BadInput."""
    losses: dict[str, Any] = {
        "cross_entropy": nn.BCEWithLogitsLoss() if network.binary else nn.CrossEntropyLoss(),
        "label_smoothing": (
            smoothed if network.binary else nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
        ),
        "focal": focal,
        "mean_squared_error": nn.MSELoss(),
        "mean_absolute_error": nn.L1Loss(),
        "huber": nn.HuberLoss(delta=DELTA),
        "gaussian": gaussian,
    }
    return one_of(losses, "loss", network.loss or "cross_entropy")


def last(network: Network) -> nn.Module:
    """The last layer's activation, in prediction."""
    made: nn.Module = ACTIVATIONS[network.last]()
    return made
