"""Whole training steps: forward, backward and Adam, on every backend that can run here.

    python -m lamina.benchmarks.training [--quick] [--json FILE]

Every backend's loss after ten steps is compared with float64 on NumPy before anything is timed. The
rounds of all backends are interleaved, so that a drift of the machine hits all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..backends.registry import BUILTIN, status
from ..core.layers import Dense, Layer
from ..core.model import Sequential


@dataclass(frozen=True)
class Network:
    """Sizes from input to output, and rows a batch; one output means logistic regression."""

    sizes: tuple[int, ...]
    batch: int

    @property
    def name(self) -> str:
        """`64-32-10, 32`."""
        return f"{'-'.join(map(str, self.sizes))}, {self.batch}"

    @property
    def work(self) -> float:
        """Multiplications of one forward pass."""
        pairs = zip(self.sizes, self.sizes[1:], strict=False)
        return float(self.batch * sum(a * b for a, b in pairs))


NETWORKS = (
    Network((2, 4, 1), 400),
    Network((64, 1), 256),
    Network((64, 32, 10), 32),
    Network((784, 128, 10), 64),
    Network((784, 512, 256, 10), 128),
    Network((54, 256, 256, 256, 7), 1024),
    Network((2048, 2048, 2048, 2048, 10), 1024),
)
CHECKED_STEPS = 10
LOOPS_LIMIT = 1e6  # above this work a step in plain loops takes seconds
AGREES = 2e-3  # relative, float32 after ten steps of Adam against float64


def model_for(network: Network, backend: str, dtype: str) -> Sequential:
    """The network with tanh in the two-class case of the course and ReLU elsewhere."""
    hidden = "tanh" if network.sizes[0] == 2 else "relu"
    layers: list[Layer] = [Dense(size, hidden) for size in network.sizes[1:-1]]
    outputs = network.sizes[-1]
    layers.append(Dense(outputs, "sigmoid" if outputs == 1 else "softmax"))
    loss = "binary_cross_entropy" if outputs == 1 else "cross_entropy"
    return Sequential(layers, loss, "adam", backend=backend, dtype=dtype, seed=0)


def data_for(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Four batches of normal numbers with random labels."""
    rng = np.random.default_rng(0)
    rows = 4 * network.batch
    x = rng.standard_normal((rows, network.sizes[0])).astype(np.float32)
    return x, rng.integers(0, max(network.sizes[-1], 2), rows)


def loss_after(network: Network, backend: str, dtype: str) -> float:
    """The loss of step number ten."""
    x, y = data_for(network)
    model = model_for(network, backend, dtype)
    batch = network.batch
    loss = 0.0
    for step in range(CHECKED_STEPS):
        part = slice(step % 4 * batch, (step % 4 + 1) * batch)
        loss = model.train_on_batch(x[part], y[part])["loss"]
    return loss


class Timed:
    """One backend on one network: a warm model, and the seconds a step of each round."""

    def __init__(self, network: Network, backend: str) -> None:
        self.network, self.backend = network, backend
        self.x, self.y = data_for(network)
        self.model = model_for(network, backend, "float32")
        start = time.perf_counter()
        self._fit(1)
        self.first_call = time.perf_counter() - start
        self.epochs = 1
        while (seconds := self._fit(self.epochs)) < 0.1 and self.epochs < 2000:
            self.epochs = max(self.epochs * 2, int(self.epochs * 0.1 / max(seconds, 1e-5)))
        self.rounds: list[float] = []

    def _fit(self, epochs: int) -> float:
        start = time.perf_counter()
        batch = self.network.batch
        self.model.fit(self.x, self.y, epochs, batch, shuffle=False, verbose=0)
        return time.perf_counter() - start

    def round(self) -> None:
        """Times one round."""
        self.rounds.append(self._fit(self.epochs) / (4 * self.epochs))


def measure(rounds: int, largest: float) -> list[dict[str, Any]]:
    """One row per network and backend."""
    usable = [name for name in BUILTIN if status(name).available]
    rows = []
    for network in NETWORKS:
        if network.work > largest:
            continue
        expected = loss_after(network, "numpy", "float64")
        timed = []
        for name in usable:
            if name == "loops" and network.work > LOOPS_LIMIT:
                continue
            got = loss_after(network, name, "float32")
            if abs(got - expected) > AGREES * abs(expected):
                raise SystemExit(f"{name} on {network.name}: loss {got}, expected {expected}")
            timed.append(Timed(network, name))
        for _ in range(rounds):
            for one in timed:
                one.round()
        for one in timed:
            micro = sorted(seconds * 1e6 for seconds in one.rounds)
            rows.append(
                {
                    "network": network.name, "backend": one.backend,
                    "median_us": statistics.median(micro), "low_us": micro[0],
                    "high_us": micro[-1], "rounds": rounds, "first_call_s": one.first_call,
                }
            )  # fmt: skip
            row = rows[-1]
            print(
                f"{row['network']:<34} {row['backend']:<6} {row['median_us']:>12,.1f} µs a step"
                f"  ({row['low_us']:,.1f} to {row['high_us']:,.1f})",
                flush=True,
            )
    return rows


def environment() -> dict[str, Any]:
    """The machine, as far as a figure depends on it."""
    devices = {s.name: asdict(s) for s in map(status, BUILTIN)}
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "backends": devices,
    }


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Times training steps on every backend.")
    parser.add_argument("--quick", action="store_true", help="small networks, three rounds")
    parser.add_argument("--json", type=Path, help="write the figures and the machine to this file")
    given = parser.parse_args(arguments)
    found = environment()
    rows = measure(rounds=3 if given.quick else 7, largest=1e7 if given.quick else float("inf"))
    if given.json:
        given.json.write_text(json.dumps({"environment": found, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
