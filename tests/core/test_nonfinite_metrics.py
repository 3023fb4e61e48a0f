"""Metrics that are not finite stop nothing; the loss and the gradient still do."""

from __future__ import annotations

from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from null_device import NullBackend

EVERYWHERE = pytest.mark.parametrize("backend", [*support.CPU, "recorded"])


def device(name: str) -> Any:
    return NullBackend() if name == "recorded" else name


def relative(y: Any, p: Any) -> Any:
    """Infinite where a target is 0, NaN where the prediction is too."""
    return abs((y - p) / y)


def logarithm(y: Any, p: Any) -> Any:
    return lm.ops.log(y)


def root(y: Any, p: Any) -> Any:
    return (y - 1.0) ** 0.5


BROKEN = pytest.mark.parametrize("metric", [relative, logarithm, root])


def line(backend: str, metric: Any, **options: Any) -> lm.Sequential:
    return lm.Sequential(
        [lm.Dense(1, kernel_initializer="ones")], "mean_squared_error", lm.SGD(1e-3), (metric,),
        backend=device(backend), dtype="float64", seed=0, **options,
    ).build(1)  # fmt: skip


@EVERYWHERE
@BROKEN
def test_evaluate_goes_on_to_the_last_row(backend: str, metric: Any) -> None:
    x, y = np.ones((3000, 1)), np.r_[np.zeros(1000), np.full(2000, 3.0)]
    found = line(backend, metric).evaluate(x, y)
    assert found["loss"] == pytest.approx(3.0)  # (1000 * 1 + 2000 * 4) / 3000
    assert not np.isfinite(found[metric.__name__])


@EVERYWHERE
def test_a_loss_that_is_not_finite_is_one_over_all_rows(backend: str) -> None:
    x = np.ones((3000, 1))
    x[5] = 1e200
    found = line(backend, "mean_absolute_error").evaluate(x, np.zeros(3000))
    assert found["loss"] == np.inf
    assert found["mean_absolute_error"] == pytest.approx(1e200 / 3000)


@pytest.mark.slow
@EVERYWHERE
@BROKEN
@pytest.mark.parametrize("verbose", [0, 1])  # several epochs in a run, and one
def test_training_goes_on(backend: str, metric: Any, verbose: int) -> None:
    x = np.arange(8.0)[:, None]
    models = [line(backend, m) for m in (metric, "mean_absolute_error")]
    told = [m.fit(x, x[:, 0] * 2, 6, 4, verbose=verbose).history for m in models]
    assert told[0]["loss"] == told[1]["loss"]
    assert support.same(*(m.get_weights() for m in models))
    assert not np.isfinite(told[0][metric.__name__]).any()
    step = models[0].train_on_batch(x, x[:, 0])
    assert np.isfinite(step["loss"])


@pytest.mark.slow
@EVERYWHERE
def test_the_loss_and_the_gradient_still_stop_a_training(backend: str) -> None:
    x = np.arange(8.0)[:, None]
    model = line(backend, relative)
    model.optimizer = lm.SGD(1e200)
    with pytest.raises(lm.DivergenceError):
        model.fit(x, x[:, 0] * 2, 9, 4, verbose=0)
    model = line(backend, relative)
    with pytest.raises(lm.DivergenceError, match="the loss is not finite"):
        model.train_on_batch(x * 1e200, x[:, 0])


def test_a_program_says_which_sum_is_watched() -> None:
    session = support.classifier().build(4).session
    watched = {kind: session.program(kind, 8).watched for kind in ("train", "gradients")}
    assert watched == {"train": ("loss",), "gradients": ("loss",)}
    assert session.program("evaluate", 8).watched == ()
