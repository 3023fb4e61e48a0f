"""Fashion-MNIST, 256-128-100 with ReLU: the dense network of the data set's README, 0.8833 there.

    python benchmarks/maintenance/fashion_mnist.py [--backend numba] [--epochs 12]

Trains three seeds with Adam on a cosine schedule, batches of 128, and prints every epoch's seconds,
each seed's test accuracy and their mean.
"""

from __future__ import annotations

import argparse
import statistics

from lamina.core import schedules
from lamina.core.data import datasets
from lamina.core.layers import Dense
from lamina.core.model import Sequential
from lamina.core.optimizers import Adam

PUBLISHED = 0.8833  # README of the data set (Xiao, Rasul, Vollgraf 2017), MLP 256-128-100
BATCH = 128


def accuracy(data: datasets.Dataset, backend: str, epochs: int, seed: int) -> float:
    """The test accuracy of one training; prints each epoch's seconds."""
    steps = epochs * -(-len(data.x_train) // BATCH)
    model = Sequential(
        [*(Dense(size, "relu") for size in (256, 128, 100)), Dense(10, "softmax")],
        "cross_entropy",
        Adam(schedules.Cosine(1e-3, max(steps, 1))),
        ("accuracy",),
        backend,
        seed=seed,
    )
    history = model.fit(data.x_train, data.y_train, epochs, BATCH, verbose=0)
    found = model.evaluate(data.x_test, data.y_test)["accuracy"]
    seconds = " ".join(f"{s:.2f}" for s in history.seconds)
    print(
        f"{model.backend.name}, seed {seed}: {found:.4f}; seconds per epoch {seconds}", flush=True
    )
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Fashion-MNIST, 256-128-100, three seeds.")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--epochs", type=int, default=12)
    given = parser.parse_args()
    data = datasets.load("fashion-mnist")
    mean = statistics.mean(accuracy(data, given.backend, given.epochs, s) for s in range(3))
    print(f"mean of three seeds {mean:.4f}, published {PUBLISHED}")


if __name__ == "__main__":
    main()
