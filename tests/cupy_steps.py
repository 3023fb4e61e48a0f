"""Trainings of the cupy backend, for tests that look into what it captures."""

from __future__ import annotations

from typing import Any

import lamina as lm
import numpy as np
from lamina.backends.state import Control


def dense(*sizes: int) -> list[Any]:
    hidden = [lm.Dense(size, "relu") for size in sizes[:-1]]
    return [*hidden, lm.Dense(sizes[-1], "softmax")]


def training(layers: list[Any], features: int, batch: int, steps: int = 24, **more: Any) -> Any:
    """A binding that trains on its own rows, and has run for some steps; and its model."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch * steps, features)).astype("float32")
    y = rng.integers(0, 10, batch * steps)
    settings = {"loss": "cross_entropy", "optimizer": lm.Adam(1e-3), "metrics": ("accuracy",)}
    model = lm.Sequential(layers, seed=0, **{"backend": "cupy", **settings, **more})
    model.build(features)
    examples = model.session.examples(x, y)
    block = examples.block(model.backend, "float32")
    binding = model.session.lease("train", batch, block).binding
    again(binding, batch, steps)
    return binding, model


def again(binding: Any, batch: int, steps: int) -> Control:
    control = Control(batch, steps=steps, learning_rates=np.full(steps, 1e-3))
    binding.run(control)
    return control


def nodes(binding: Any) -> dict[int, float]:
    """Launches a step, by the number of steps in a graph."""
    made = {kind.count: capture.replay.__self__ for kind, capture in binding.captures.items()}
    return {count: len(graph.nodes) / count for count, graph in made.items()}
