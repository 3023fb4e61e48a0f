"""Writes optimizers.json: 50 steps of torch's optimizers in float64. Needs torch; the tests do not.

    python tests/golden/make_optimizers.py

The network is 3-4-2 with tanh, trained on all twelve rows at once. Where weights decay, biases do
not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

STEPS = 50
RULES: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any], str, dict[str, Any]]] = {
    # name: torch's class and settings, lamina's class and settings
    "sgd": (torch.optim.SGD, {"lr": 0.1}, "SGD", {"learning_rate": 0.1}),
    "momentum": (
        torch.optim.SGD, {"lr": 0.05, "momentum": 0.9},
        "SGD", {"learning_rate": 0.05, "momentum": 0.9},
    ),
    "nesterov": (
        torch.optim.SGD, {"lr": 0.05, "momentum": 0.8, "nesterov": True},
        "SGD", {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True},
    ),
    "rmsprop": (
        torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.95, "eps": 1e-7},
        "RMSprop", {"learning_rate": 0.01, "rho": 0.95, "epsilon": 1e-7},
    ),
    "adam": (
        torch.optim.Adam, {"lr": 0.02, "betas": (0.8, 0.99), "eps": 1e-6},
        "Adam", {"learning_rate": 0.02, "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-6},
    ),
    "adamw": (
        torch.optim.AdamW, {"lr": 0.02, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.3},
        "AdamW", {"learning_rate": 0.02, "weight_decay": 0.3},
    ),
    "adagrad": (
        torch.optim.Adagrad, {"lr": 0.2, "eps": 1e-9},
        "Adagrad", {"learning_rate": 0.2, "epsilon": 1e-9},
    ),
    "nadam": (
        torch.optim.NAdam, {"lr": 0.02, "betas": (0.8, 0.99), "momentum_decay": 0.05},
        "NAdam", {"learning_rate": 0.02, "beta1": 0.8, "beta2": 0.99, "momentum_decay": 0.05},
    ),
    "amsgrad": (
        torch.optim.Adam, {"lr": 0.05, "betas": (0.8, 0.9), "amsgrad": True},
        "Adam", {"learning_rate": 0.05, "beta1": 0.8, "beta2": 0.9, "amsgrad": True},
    ),
    "amsgradw": (
        torch.optim.AdamW,
        {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.3, "amsgrad": True},
        "AdamW",
        {"learning_rate": 0.05, "beta1": 0.8, "beta2": 0.9, "weight_decay": 0.3, "amsgrad": True},
    ),
}  # fmt: skip
CLIPPED = 0.3  # below the first gradients' norms, above the last ones'
DECAY = 0.05
RATES = (0.1, 1.0, 2.5, 0.0)  # of W1, b1, W2, b2
AVERAGES: dict[str, tuple[Any, dict[str, Any]]] = {  # torch's function, lamina's settings
    "SWA": (torch.optim.swa_utils.get_swa_avg_fn(), {"start": 10, "every": 4}),
    "EMA": (torch.optim.swa_utils.get_ema_avg_fn(0.8), {"decay": 0.8, "start": 3}),
}


def data() -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Twelve rows, their classes, and the first weights: W1 (3, 4), b1, W2 (4, 2), b2."""
    rng = np.random.default_rng(20)
    x = rng.standard_normal((12, 3))
    y = (x[:, 0] + 0.5 * x[:, 1] > 0).astype(int)
    shapes = [(3, 4), (1, 4), (4, 2), (1, 2)]
    return x, y, [rng.standard_normal(shape) * 0.7 for shape in shapes]


def trained(
    name: str,
    clip: float | None,
    decay: float,
    rates: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0),
    average: str = "",
) -> dict[str, Any]:
    """The losses before each of the 50 steps, and the weights behind the last.

    rates: factors on the learning rate of each array. average: of the weights, kept beside them.
    """
    kind, settings, ours, our_settings = RULES[name]
    x, y, first = data()
    features, labels = torch.tensor(x), torch.tensor(y)
    arrays = [torch.tensor(w, requires_grad=True) for w in first]
    w1, b1, w2, b2 = arrays
    own_decay = settings.get("weight_decay", 0.0)
    groups = [
        {
            "params": [array], **settings, "lr": settings["lr"] * rate,
            "weight_decay": (own_decay or decay) if len(array) > 1 else 0.0,
        }
        for array, rate in zip(arrays, rates, strict=True)
    ]  # fmt: skip
    optimizer = kind(groups)
    rule, kept = AVERAGES.get(average, (None, {}))
    averages, taken = [a.detach().clone() for a in arrays], 0
    losses, norms = [], []
    for number in range(1, STEPS + 1):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(torch.tanh(features @ w1 + b1) @ w2 + b2, labels)
        loss.backward()
        norms.append(float(torch.linalg.vector_norm(torch.cat([a.grad.flatten() for a in arrays]))))
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(arrays, clip)
        optimizer.step()
        losses.append(loss.item())
        past = number - kept.get("start", 0)
        if rule is not None and past > 0 and past % kept.get("every", 1) == 0:
            for at, array in enumerate(arrays):
                now = array.detach()
                averages[at] = rule(averages[at], now, taken) if taken else now.clone()
            taken += 1
    assert clip is None or max(norms) > clip > min(norms), (name, max(norms), min(norms))
    return {
        "optimizer": ours,
        "settings": our_settings | ({} if clip is None else {"clip_norm": clip}),
        "weight_decay": decay,
        "losses": losses,
        "weights": [a.detach().numpy().tolist() for a in arrays],
        "rates": list(rates),
        "average": [average, kept] if average else None,
        "averages": [a.numpy().tolist() for a in averages] if average else None,
    }


def scheduled() -> dict[str, list[float]]:
    """The rates of 50 steps."""
    found = {}
    for name, kind, settings in (
        ("OneCycle", torch.optim.lr_scheduler.OneCycleLR, {"max_lr": 0.3, "total_steps": 50}),
        (
            "CosineRestarts", torch.optim.lr_scheduler.CosineAnnealingWarmRestarts,
            {"T_0": 6, "T_mult": 2, "eta_min": 0.01},
        ),
    ):  # fmt: skip
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
        schedule = kind(optimizer, **settings)
        found[name] = []
        for _ in range(STEPS):
            found[name].append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            schedule.step()
    return found


def main() -> None:
    """Writes the file beside this script."""
    x, y, first = data()
    cases = {name: trained(name, None, 0.0) for name in RULES}
    cases |= {f"{name}-clipped": trained(name, CLIPPED, 0.0) for name in RULES}
    cases["sgd-decayed"] = trained("sgd", None, DECAY)
    cases["momentum-decayed-clipped"] = trained("momentum", CLIPPED, DECAY)
    cases["adam-decayed"] = trained("adam", None, DECAY)
    cases["sgd-rates-decayed"] = trained("sgd", None, DECAY, RATES)
    cases |= {f"{name}-rates": trained(name, None, 0.0, RATES) for name in RULES if name != "sgd"}
    cases |= {f"adam-{name}": trained("adam", None, 0.0, average=name) for name in AVERAGES}
    golden = {
        "torch": torch.__version__,
        "x": x.tolist(),
        "y": y.tolist(),
        "weights": [w.tolist() for w in first],
        "cases": cases,
        "schedules": scheduled(),
    }
    text = json.dumps(golden, indent=None, separators=(",", ":")).replace('},"', '},\n"')
    Path(__file__).with_name("optimizers.json").write_text(text + "\n")


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    main()
