"""Writes losses.json: torch's losses and their derivatives in float64. The tests need no torch.

    python tests/golden/make_losses.py

Every loss is a mean over rows, even or weighted, of what it is for a row: the mean over outputs, or
the sum over classes. The derivative is that by what stands before the last activation. Some rows
are saturated.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

ROWS = 8
Formula = Callable[[Tensor, Tensor], Tensor]  # (z, y) -> (rows,) or (rows, outputs)


def softplus(z: Tensor) -> Tensor:
    """Without torch's straight line above 20."""
    return F.softplus(z, threshold=1000.0)


def focal(gamma: float) -> Formula:
    """-(1 - p) ** gamma log p of the row's class."""

    def run(z: Tensor, y: Tensor) -> Tensor:
        logs = F.log_softmax(z, dim=1)
        values = -((-torch.expm1(logs)) ** gamma) * logs
        return (values * y).sum(1) if y.ndim == 2 else values.gather(1, y[:, None])[:, 0]

    return run


def binary_focal(gamma: float, alpha: float | None) -> Formula:
    """torchvision.ops.sigmoid_focal_loss without its reduction."""

    def run(z: Tensor, y: Tensor) -> Tensor:
        p = torch.sigmoid(z)
        entropy = F.binary_cross_entropy_with_logits(z, y, reduction="none")
        loss = entropy * (1.0 - (p * y + (1.0 - p) * (1.0 - y))) ** gamma
        return loss if alpha is None else loss * (alpha * y + (1.0 - alpha) * (1.0 - y))

    return run


def pinball(quantile: float) -> Formula:
    """quantile * e or (quantile - 1) * e."""
    return lambda z, y: torch.maximum(quantile * (y - z), (quantile - 1.0) * (y - z))


def entropy(**settings: Any) -> Formula:
    """Cross-entropy; rows of probabilities or class numbers."""
    return lambda z, y: F.cross_entropy(z, y, reduction="none", **settings)


def hinge(z: Tensor, y: Tensor) -> Tensor:
    """max(0, 1 - t z), t being -1 or 1."""
    return torch.clamp(1.0 - torch.where(y > 0, 1.0, -1.0) * z, min=0.0)


# case: lamina's name or class with its settings, the last activation, the targets, torch's formula
CASES: dict[str, tuple[Any, str, str, Formula]] = {
    "mean_absolute_error": (
        "mean_absolute_error", "linear", "numbers", lambda z, y: F.l1_loss(z, y, reduction="none"),
    ),
    "huber": (
        "huber", "linear", "numbers", lambda z, y: F.huber_loss(z, y, reduction="none"),
    ),
    "huber 0.3": (
        ["Huber", {"delta": 0.3}], "linear", "numbers",
        lambda z, y: F.huber_loss(z, y, delta=0.3, reduction="none"),
    ),
    "huber of tanh": (
        ["Huber", {"delta": 2.0}], "tanh", "numbers",
        lambda z, y: F.huber_loss(torch.tanh(z), y, delta=2.0, reduction="none"),
    ),
    "quantile": ("quantile", "linear", "numbers", pinball(0.5)),
    "quantile 0.9": (["Quantile", {"quantile": 0.9}], "linear", "numbers", pinball(0.9)),
    "hinge of signs": ("hinge", "linear", "signs", hinge),
    "hinge of 0 and 1": ("hinge", "linear", "bits", hinge),
    "poisson after softplus": (
        "poisson", "softplus", "counts",
        lambda z, y: F.poisson_nll_loss(
            softplus(z), y, log_input=False, eps=0.0, reduction="none"
        ),
    ),
    "poisson after exp": (
        "poisson", "exp", "counts",
        lambda z, y: F.poisson_nll_loss(z, y, log_input=True, reduction="none"),
    ),
    "kl_divergence": (
        "kl_divergence", "softmax", "probabilities",
        lambda z, y: F.kl_div(F.log_softmax(z, dim=1), y, reduction="none").sum(1),
    ),
    "cross_entropy": ("cross_entropy", "softmax", "labels", entropy()),
    "label smoothing": (
        ["CrossEntropy", {"label_smoothing": 0.1}], "softmax", "labels",
        entropy(label_smoothing=0.1),
    ),
    "label smoothing of probabilities": (
        ["CrossEntropy", {"label_smoothing": 0.3}], "softmax", "probabilities",
        entropy(label_smoothing=0.3),
    ),
    "focal": ("focal", "softmax", "labels", focal(2.0)),
    "focal 1.5": (["Focal", {"gamma": 1.5}], "softmax", "labels", focal(1.5)),
    "focal 0": (["Focal", {"gamma": 0.0}], "softmax", "labels", focal(0.0)),
    "focal of probabilities": (["Focal", {"gamma": 1.0}], "softmax", "probabilities", focal(1.0)),
    "binary_focal": ("binary_focal", "sigmoid", "bits", binary_focal(2.0, 0.25)),
    "binary_focal 1.5": (
        ["BinaryFocal", {"gamma": 1.5, "alpha": None}], "sigmoid", "shares",
        binary_focal(1.5, None),
    ),
}  # fmt: skip


def targets(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """y of a kind."""
    if kind == "labels":
        return rng.integers(0, shape[1], shape[0])
    if kind == "counts":
        return rng.poisson(2.0, shape).astype(float)
    if kind == "probabilities":
        drawn = rng.gamma(1.0, size=shape)
        drawn[0] = np.eye(shape[1])[1]
        drawn[1, 0] = 0.0
        return drawn / drawn.sum(axis=1, keepdims=True)
    if kind in ("bits", "signs"):
        bits = rng.integers(0, 2, shape).astype(float)
        return bits if kind == "bits" else 2.0 * bits - 1.0
    return rng.uniform(size=shape) if kind == "shares" else rng.normal(size=shape)


def main() -> None:
    """Computes and writes."""
    found = {}
    for number, (name, (loss, activation, kind, formula)) in enumerate(CASES.items()):
        rng = np.random.default_rng(number)
        shape = (ROWS, 3)
        z = rng.normal(size=shape) * 2.0
        if activation in ("softmax", "sigmoid"):
            z[2] = [700.0, -700.0, 30.0]
            z[3] = [-30.0, 700.0, -700.0]
        elif activation in ("softplus", "exp"):
            z[2] = [-30.0, 5.0, -3.0]
        y, weights = targets(kind, shape, rng), rng.uniform(0.1, 2.0, ROWS)
        weights[5] = 0.0
        told = {
            "loss": loss, "activation": activation, "z": z.tolist(), "y": y.tolist(),
            "weights": weights.tolist(),
        }  # fmt: skip
        for word, given in (("even", np.ones(ROWS)), ("weighted", weights)):
            leaf = torch.tensor(z, requires_grad=True)
            rows = formula(leaf, torch.tensor(y))
            rows = rows.mean(dim=1) if rows.ndim == 2 else rows
            shares = torch.tensor(given / given.sum())
            value = (rows * shares).sum()
            value.backward()
            assert leaf.grad is not None
            told[word] = {"loss": value.item(), "gradient": leaf.grad.tolist()}
        found[name] = told
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(told)}" for name, told in found.items())
    Path(__file__).with_name("losses.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
