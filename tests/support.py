"""Small data sets and models that several test files use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.kernels import thresholds

CPU = ("loops", "numpy", "numba")
EVERY = (*CPU, pytest.param("cupy", marks=pytest.mark.cuda))  # on a GPU, or on CuPy's fake
GOLDEN = Path(__file__).parent / "golden"
PATIENCE = 600.0  # seconds after which another process hangs, however busy the machine is


def classes(rows: int = 40, features: int = 4, count: int = 3, seed: int = 0) -> tuple[Any, Any]:
    """Clouds that a small network can tell apart: x (rows, features), y (rows,) class numbers."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((count, features)) * 2.0
    y = np.arange(rows) % count
    return centres[y] + rng.standard_normal((rows, features)), y


def binary(rows: int = 40, features: int = 4, seed: int = 0) -> tuple[Any, Any]:
    """Two clouds: y (rows, 1) of 0.0 and 1.0."""
    x, y = classes(rows, features, 2, seed)
    return x, y.reshape(-1, 1).astype(np.float64)


def regression(
    rows: int = 40, features: int = 4, outputs: int = 2, seed: int = 0
) -> tuple[Any, Any]:
    """A smooth function with noise: y (rows, outputs)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, features))
    y = np.sin(x @ rng.standard_normal((features, outputs)))
    return x, y + 0.1 * rng.standard_normal((rows, outputs))


def classifier(backend: Any = "numpy", **changes: Any) -> lm.Sequential:
    """4-8-3 in float64 with a fixed seed."""
    settings: dict[str, Any] = {
        "loss": "cross_entropy", "optimizer": lm.Adam(0.01), "metrics": ("accuracy",),
        "backend": backend, "dtype": "float64", "seed": 7,
    }  # fmt: skip
    layers = changes.pop("layers", None)
    settings.update(changes)
    if layers is None:
        layers = [lm.Dense(8, activation="relu"), lm.Dense(3, activation="softmax")]
    return lm.Sequential(layers, **settings)


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    """Whether two lists of arrays are equal bit for bit."""
    return len(a) == len(b) and all(
        x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
        for x, y in zip(a, b, strict=True)
    )


def decided(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> thresholds.Thresholds:
    """Has thresholds in force that differ from the defaults in these, until the test is over."""
    made = replace(thresholds.defaults(), **changes)
    monkeypatch.setattr(thresholds, "_current", [thresholds.Found(made, frozenset(), "given")])
    return made


def run_python(code: str, *arguments: object, cwd: Path | None = None, **environment: str) -> str:
    """Standard output of a new Python process that runs the code; fails when the process does."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        capture_output=True, text=True, timeout=PATIENCE, cwd=cwd, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Scale(lm.Layer):
    """A layer of one's own: each feature times a trained number."""

    start: float = 1.0

    def parameters(self, shape: tuple[int, ...]) -> dict[str, lm.Parameter]:
        return {"scale": lm.Parameter((1, shape[-1]), lm.initializers.Constant(self.start))}

    def forward(self, x: Any, parameters: Any, context: Any) -> Any:
        return x * parameters["scale"]


def huber(y: Any, p: Any) -> Any:
    """A loss of one's own: quadratic near zero, linear further out; (n, outputs)."""
    d = p - y
    return lm.ops.where(abs(d) < 1.0, 0.5 * d * d, abs(d) - 0.5)


def same_by_parts(compute: Callable[[slice], list[Any]], size: int, part: int = 5) -> None:
    """Asserts that elements computed a few at a time have the bits of all computed together."""
    whole = compute(slice(0, size))
    for start in range(0, size, part):
        for some, all_of_them in zip(compute(slice(start, start + part)), whole, strict=True):
            np.testing.assert_array_equal(some, all_of_them[start : start + part])


def variety(backend: Any) -> tuple[lm.Sequential, Any, Any]:
    """Every kind of layer; the loss is fused, the GELU is not."""
    layers = [
        lm.Flatten(), lm.Standardize(), lm.Dense(6, activation="gelu", weight_decay=0.01),
        Scale(0.5), lm.Dropout(0.3), lm.Dense(5, activation="tanh", use_bias=False),
        lm.Dense(3, activation="softmax"),
    ]  # fmt: skip
    model = classifier(backend, layers=layers, optimizer=lm.AdamW(0.01, clip_norm=1.0))
    x, y = classes(23)
    return model, x.reshape(23, 2, 2), y


def everything(backend: Any, inspected: bool = True) -> list[Any]:
    """All that a model does with its device, as numbers of the host."""
    model, x, y = variety(backend)
    weights = np.linspace(0.1, 2.0, 23)
    history = model.fit(
        x, y, epochs=3, batch_size=5, sample_weight=weights, validation_split=0.2, verbose=0,
        callbacks=[lm.EarlyStopping(patience=9)],
    )  # fmt: skip
    told = [*history.history["loss"], *history.history["val_loss"]]
    told += [model.train_on_batch(x[:7], y[:7])["loss"], *model.evaluate(x, y).values()]
    gradients = [g for layer in model.gradients(x, y) for g in layer.values()]
    model.set_weights(model.get_weights())
    assert model.built
    if inspected:
        lm.explain(model)
        lm.profile(model, x, y, steps=1)
        assert lm.check_gradients(model, x[:6], y[:6], samples=3).passed
    numbers = [
        np.array(told),
        model.predict(x),
        model.predict_classes(x),
        *gradients,
        *model.get_weights(),
    ]
    moved = model.to("numpy").predict(x)
    back = model.to(backend).predict(x)
    return [*numbers, moved, back]
