"""The same model, seed and data give the same numbers on every backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support

STEPS = 50


def _plain(**settings: Any) -> lm.Sequential:
    layers = [lm.Dense(8, activation="relu"), lm.Dense(3, activation="softmax")]
    return lm.Sequential(layers, loss="cross_entropy", optimizer=lm.Adam(1e-2), **settings)


def _dropout(**settings: Any) -> lm.Sequential:
    layers = [
        lm.Standardize(),
        lm.Dense(8, activation="leaky_relu", weight_decay=0.01),
        lm.Dropout(0.4),
        lm.Dense(3, activation="softmax"),
    ]
    optimizer = lm.AdamW(1e-2, weight_decay=0.02, clip_norm=0.5)
    return lm.Sequential(layers, loss="cross_entropy", optimizer=optimizer, **settings)


def _binary(**settings: Any) -> lm.Sequential:
    layers = [lm.Dense(6, activation="sigmoid"), lm.Dense(1, activation="sigmoid")]
    optimizer = lm.RMSprop(1e-2)
    return lm.Sequential(layers, loss="binary_cross_entropy", optimizer=optimizer, **settings)


def _regression(**settings: Any) -> lm.Sequential:
    layers = [lm.Dense(6, activation="tanh"), lm.Dense(2)]
    optimizer = lm.SGD(0.05, momentum=0.9)
    return lm.Sequential(layers, loss="mean_squared_error", optimizer=optimizer, **settings)


def _exotic(**settings: Any) -> lm.Sequential:
    """GELU is not fused, the layer and the loss are the test's own."""
    layers = [lm.Dense(6, activation="gelu"), support.Scale(0.5), lm.Dense(2, activation="elu")]
    optimizer = lm.SGD(0.05, momentum=0.9, nesterov=True)
    return lm.Sequential(layers, loss=support.huber, optimizer=optimizer, **settings)


# name: (the model, its data, rows, batch size)
VARIANTS: dict[str, tuple[Callable[..., lm.Sequential], Callable[..., Any], int, int]] = {
    "plain": (_plain, support.classes, 40, 8),
    "dropout": (_dropout, support.classes, 37, 8),  # the last batch has five rows
    "binary": (_binary, support.binary, 40, 8),
    "regression": (_regression, support.regression, 40, 8),
    "exotic": (_exotic, support.regression, 37, 8),
}


def _data(variant: str) -> tuple[lm.Sequential, Any]:
    _, data, rows, _ = VARIANTS[variant]
    x, y = data(rows)
    weights = None
    if variant == "dropout":
        weights = np.random.default_rng(3).random(rows) * 2.0
        weights[5] = 0.0
    return x, y, weights


def step_by_step(variant: str, backend: str, dtype: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """The loss of each of 50 steps, and the weights at the end."""
    make, _, rows, batch = VARIANTS[variant]
    x, y, weights = _data(variant)
    model = make(backend=backend, dtype=dtype, seed=11)
    if variant == "dropout":  # what Standardize knows comes from all rows
        model.fit(x, y, epochs=0, batch_size=batch, sample_weight=weights, verbose=0)
    losses: list[float] = []
    while len(losses) < STEPS:
        for start in range(0, rows, batch):
            part = slice(start, start + batch)
            share = None if weights is None else weights[part]
            losses.append(model.train_on_batch(x[part], y[part], sample_weight=share)["loss"])
    return np.array(losses[:STEPS]), model.get_weights()


def fitted(variant: str, backend: str, dtype: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """The loss of each of ten shuffled epochs of five batches, and the weights at the end."""
    make, _, _, batch = VARIANTS[variant]
    x, y, weights = _data(variant)
    model = make(backend=backend, dtype=dtype, seed=11)
    history = model.fit(x, y, epochs=10, batch_size=batch, sample_weight=weights, verbose=0)
    assert model.state.step == STEPS
    return np.array(history.history["loss"]), model.get_weights()


def agree(got: Any, wanted: Any, losses: float, weights: float) -> None:
    np.testing.assert_allclose(got[0], wanted[0], rtol=losses, atol=0)
    for a, b in zip(got[1], wanted[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=weights * max(1.0, np.abs(b).max()))


@pytest.mark.parametrize("run", [step_by_step, fitted])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("backend", ["loops", "numba"])
def test_float64(backend: str, variant: str, run: Any) -> None:
    wanted = run(variant, "numpy", "float64")
    assert np.isfinite(wanted[0]).all()
    assert wanted[0][-1] < wanted[0][0]  # it did learn
    agree(run(variant, backend, "float64"), wanted, losses=1e-10, weights=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("backend", support.EVERY)
def test_float32(backend: str, variant: str) -> None:
    got = step_by_step(variant, backend, "float32")
    assert {w.dtype.name for w in got[1]} == {"float32"}
    agree(got, step_by_step(variant, "numpy", "float64"), losses=1e-4, weights=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_initial_weights_are_the_same_bits(variant: str, dtype: str) -> None:
    make = VARIANTS[variant][0]
    models = [make(backend=b, dtype=dtype, seed=11).build(4) for b in support.CPU]
    first, *others = (m.get_weights() for m in models)
    assert all(support.same(first, other) for other in others)
    assert not support.same(
        first, make(dtype=dtype, seed=12, backend="numpy").build(4).get_weights()
    )


@pytest.mark.slow
@pytest.mark.cuda
@pytest.mark.parametrize("run", [step_by_step, fitted])
@pytest.mark.parametrize("variant", VARIANTS)
def test_cupy(variant: str, run: Any) -> None:
    agree(run(variant, "cupy", "float64"), run(variant, "numpy", "float64"), 1e-10, 1e-9)
    agree(run(variant, "cupy", "float32"), run(variant, "numpy", "float64"), 1e-4, 1e-4)


@pytest.mark.cuda
def test_cupy_initial_weights() -> None:
    models = [_dropout(backend=b, seed=11).build(4) for b in ("numpy", "cupy")]
    assert support.same(models[0].get_weights(), models[1].get_weights())
