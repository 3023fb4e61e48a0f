"""Writes layers.json: torch's norms and residual blocks in float64. The tests need no torch.

    python tests/golden/make_layers.py

Each network takes some steps of gradient descent on the squared error, on batches of different
sizes, and then predicts.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

RATE, BATCHES = 0.2, (6, 4, 2)  # rows of the batches, gone through once
# Layers by their class here and settings; those of a block are a list.
DENSE: tuple[Any, ...] = ("Dense", {"units": 5})
LAST: tuple[Any, ...] = ("Dense", {"units": 2})
CASES: dict[str, tuple[tuple[int, ...], list[Any]]] = {
    "layer norm": ((4,), [DENSE, ("LayerNorm", {}), LAST]),
    "layer norm, bare": (
        (4,), [DENSE, ("LayerNorm", {"epsilon": 1e-2, "scale": False, "shift": False}), LAST],
    ),
    "layer norm without shift": ((4,), [DENSE, ("LayerNorm", {"shift": False}), LAST]),
    "layer norm of matrices": ((2, 3), [("LayerNorm", {}), ("Flatten", {}), LAST]),
    "batch norm": ((4,), [DENSE, ("BatchNorm", {}), LAST]),
    "batch norm, bare": (
        (4,),
        [DENSE, ("BatchNorm", {"scale": False, "shift": False, "momentum": 0.4}), LAST],
    ),
    "batch norm of matrices": (
        (2, 3), [("BatchNorm", {"epsilon": 1e-3}), ("Flatten", {}), LAST],
    ),
    "an activation behind": (
        (4,), [DENSE, ("BatchNorm", {}), ("Activation", {"activation": "silu"}), LAST],
    ),
    "residual": (
        (4,),
        [
            DENSE,
            ("Residual", [("LayerNorm", {}), ("Dense", {"units": 7, "activation": "mish"}), DENSE]),
            LAST,
        ],
    ),
    "residual in residual": (
        (4,),
        [
            DENSE,
            ("Residual", [("BatchNorm", {}), ("Residual", [("BatchNorm", {}), DENSE])]),
            LAST,
        ],
    ),
}  # fmt: skip


class Block(nn.Module):
    """x + f(x)."""

    def __init__(self, inner: nn.Sequential) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        return x + self.inner(x)  # type: ignore[no-any-return]


class Columns(nn.Module):
    """A batch norm of every feature of a matrix, as of a row."""

    def __init__(self, norm: nn.BatchNorm1d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """The norm of flat rows."""
        return self.norm(x.flatten(1)).reshape(x.shape)  # type: ignore[no-any-return]


def build(layers: list[Any], shape: tuple[int, ...]) -> tuple[nn.Sequential, tuple[int, ...]]:
    """The same in torch, and the shape of a row behind it."""
    made: list[nn.Module] = []
    for kind, settings in layers:
        if kind == "Residual":
            made.append(Block(build(settings, shape)[0]))
        elif kind == "Dense":
            made.append(nn.Linear(shape[0], settings["units"]))
            shape = (settings["units"],)
            if "activation" in settings:
                made.append(nn.Mish())
        elif kind == "Activation":
            made.append(nn.SiLU())
        elif kind == "Flatten":
            made.append(nn.Flatten())
            shape = (math.prod(shape),)
        else:
            affine = settings.get("scale", True)
            epsilon, shift = settings.get("epsilon", 1e-5), settings.get("shift", True)
            if kind == "LayerNorm":
                made.append(
                    nn.LayerNorm(list(shape), epsilon, affine, bias=shift if affine else True)
                )
            else:
                share = settings.get("momentum", 0.1)
                made.append(Columns(nn.BatchNorm1d(math.prod(shape), epsilon, share, affine)))
    return nn.Sequential(*made), shape


def arrays(network: nn.Module, norms: list[nn.Module]) -> tuple[list[Any], list[Any]]:
    """Parameters in lamina's order and orientation, and running means and variances."""
    weights = [p.detach().numpy().T if p.ndim == 2 and linear else p.detach().numpy()
               for module in network.modules()
               for linear in [isinstance(module, nn.Linear)]
               for p in module.parameters(recurse=False)]  # fmt: skip
    running = [
        [norm.running_mean.tolist(), norm.running_var.tolist()]  # type: ignore[union-attr,operator]
        for norm in norms
    ]
    return [w.tolist() for w in weights], running


def main() -> None:
    """Computes and writes."""
    torch.set_default_dtype(torch.float64)
    found = {}
    for number, (name, (shape, layers)) in enumerate(CASES.items()):
        torch.manual_seed(number)
        rng = np.random.default_rng(number)
        network, _ = build(layers, shape)
        norms: list[nn.Module] = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d)]
        for module in network.modules():
            if isinstance(module, (nn.LayerNorm, nn.BatchNorm1d)):
                for parameter in module.parameters():
                    nn.init.normal_(parameter, 1.0, 0.3)
        rows = sum(BATCHES)
        x = rng.normal(size=(rows, *shape)) * 3.0 + 1.0
        y = rng.normal(size=(rows, 2))
        told: dict[str, Any] = {
            "layers": layers, "x": x.tolist(), "y": y.tolist(),
            "before": arrays(network, norms)[0], "losses": [],
        }  # fmt: skip
        optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
        first = 0
        for count in BATCHES:
            optimizer.zero_grad()
            part = slice(first, first + count)
            loss = nn.functional.mse_loss(network(torch.tensor(x[part])), torch.tensor(y[part]))
            loss.backward()
            optimizer.step()
            told["losses"].append(loss.item())
            first += count
        told["after"], told["running"] = arrays(network, norms)
        network.eval()
        told["prediction"] = network(torch.tensor(x)).tolist()
        found[name] = told
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(told)}" for name, told in found.items())
    Path(__file__).with_name("layers.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
