"""Callbacks that monitor a number."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.core.monitor import Monitor

NAN, INF = math.nan, math.inf


def brier_score(y: Any, p: Any) -> Any:
    return (y - p) ** 2


def f1(y: Any, p: Any) -> Any:
    return 1.0 - (y - p) ** 2


def mae(y: Any, p: Any) -> Any:
    return abs(y - p)


def r2(y: Any, p: Any) -> Any:
    return -((y - p) ** 2)


def score_of_mine(y: Any, p: Any) -> Any:
    return 1.0 - (y - p) ** 2


def logistic(*metrics: Any, **options: Any) -> lm.Sequential:
    return lm.Sequential(
        [lm.Dense(1, "sigmoid")], "binary_cross_entropy", lm.Adam(0.05), metrics, backend="numpy",
        seed=0, **options,
    )  # fmt: skip


def fed(callback: lm.Callback, numbers: list[float], name: str = "val_loss") -> lm.Sequential:
    """A model whose callback saw these numbers, one an epoch, until it stopped."""
    model = logistic("accuracy").build(2)
    model.optimizer = lm.SGD(0.1)
    callback.on_fit_begin(model)
    for epoch, number in enumerate(numbers, 1):
        if not model.stop_training:
            callback.on_epoch_end(model, epoch, {"loss": 1.0, name: number})
    return model


# Which way is better


@pytest.mark.parametrize("metric", [brier_score, f1, mae, r2])
def test_a_known_name_says_its_direction(metric: Any) -> None:
    x, y = support.binary(64)
    stop = lm.EarlyStopping(monitor=metric.__name__, patience=3)
    model = logistic(metric)
    values = model.fit(x, y, epochs=30, callbacks=[stop], verbose=0).history[metric.__name__]
    best = np.argmin(values) if metric in (brier_score, mae) else np.argmax(values)
    assert stop.best_epoch == 1 + best == 30


@pytest.mark.parametrize(
    "make",
    [
        lambda **o: lm.EarlyStopping(**o),
        lambda **o: lm.Plateau(**o),
        lambda **o: lm.Checkpoint("never", save_best_only=True, **o),
    ],
)
def test_an_unknown_direction_is_asked_for(make: Callable[..., Any], tmp_path: Path) -> None:
    x, y = support.binary(64)
    model = logistic(score_of_mine)
    model.optimizer = lm.SGD(0.1)
    for name in ("score_of_mine", "val_score_of_mine"):
        with pytest.raises(lm.BadInput, match=rf"more of '{name}' better, or less\? Say mode="):
            model.fit(x, y, validation_data=(x, y), verbose=0, callbacks=[make(monitor=name)])
        assert model.state.step == 0  # before the training, not after its first epoch
    for wrong, says in (
        ({"mode": "up"}, "mode 'up'.*valid: auto, min, max"),
        ({"min_delta": -1.0}, "min_delta must be"),
        ({"min_delta": NAN}, "min_delta must be"),
        ({"start_epoch": 0}, "start_epoch must be"),
    ):
        with pytest.raises((lm.BadInput, lm.UnknownName), match=says):
            make(**wrong)


def test_mode_comes_before_the_name() -> None:
    stop = lm.EarlyStopping("val_accuracy", mode="min")
    fed(stop, [0.5, 0.4, 0.6], "val_accuracy")
    assert (stop.best, stop.best_epoch) == (0.4, 2)
    stop = lm.EarlyStopping("odd", mode="max")
    fed(stop, [0.5, 0.4, 0.6], "odd")
    assert (stop.best, stop.best_epoch) == (0.6, 3)
    with pytest.raises(lm.BadInput, match="more of 'odd'"):
        fed(lm.EarlyStopping("odd"), [0.5], "odd")


# What is no number, and what is no improvement


@pytest.mark.parametrize(
    ("numbers", "best_epoch", "stopped"),
    [
        ([NAN, 0.5, 0.4, 0.3], 4, False),
        ([NAN, NAN, NAN], 0, True),
        ([INF, 0.5, NAN, 0.3], 4, False),
        ([0.5, NAN, NAN], 1, True),
        ([0.5, 0.6, 0.4, 0.5, 0.4], 3, True),
    ],
)
def test_nan_is_never_the_best(numbers: list[float], best_epoch: int, stopped: bool) -> None:
    stop, plateau = lm.EarlyStopping(patience=2), lm.Plateau(patience=2)
    model = fed(stop, numbers)
    assert (stop.best_epoch, model.stop_training) == (best_epoch, stopped)
    assert (fed(plateau, numbers).optimizer.learning_rate != 0.1) == stopped
    before = model.get_weights()
    stop.on_fit_end(model, lm.History())
    assert support.same(before, model.get_weights())
    watch = Monitor("test", "val_f1", "auto", 0.0)
    found = [watch.improved((), {"val_f1": -number}) for number in numbers]
    assert max((at for at, better in enumerate(found, 1) if better), default=0) == best_epoch


def test_min_delta() -> None:
    numbers = [1.0, 0.95, 0.92, 0.85, 0.85]
    for delta, best_epoch in ((0.0, 4), (0.1, 4), (0.2, 1)):
        stop = lm.EarlyStopping(patience=9, min_delta=delta)
        fed(stop, numbers)
        assert stop.best_epoch == best_epoch
        stop = lm.EarlyStopping("f1", patience=9, min_delta=delta)
        fed(stop, [-n for n in numbers], "f1")
        assert stop.best_epoch == best_epoch
    assert fed(lm.Plateau(patience=3, min_delta=0.5), numbers).optimizer.learning_rate == 0.05
    assert fed(lm.Plateau(patience=3), numbers).optimizer.learning_rate == 0.1


def test_start_epoch() -> None:
    numbers = [0.1, 0.2, 0.9, 0.8, 0.85, 0.85]
    stop = lm.EarlyStopping(patience=2, start_epoch=3)
    assert fed(stop, numbers).stop_training
    assert (stop.best, stop.best_epoch) == (0.8, 4)
    assert fed(lm.EarlyStopping(patience=2), numbers).stop_training
    assert fed(lm.Plateau(patience=2, start_epoch=3), numbers).optimizer.learning_rate == 0.05
    assert fed(lm.Plateau(patience=2, start_epoch=5), numbers).optimizer.learning_rate == 0.1


def test_early_stopping_warns_of_the_training_loss_alone() -> None:
    x, y = support.binary(40)
    with pytest.warns(UserWarning, match="give fit validation_data or validation_split") as told:
        logistic().fit(x, y, epochs=3, callbacks=[lm.EarlyStopping()], verbose=0)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logistic().fit(x, y, epochs=3, callbacks=[lm.EarlyStopping("loss")], verbose=0)
        data = {"validation_data": (x, y), "verbose": 0}
        logistic().fit(x, y, epochs=3, callbacks=[lm.EarlyStopping()], **data)
        logistic().fit(x, y, epochs=3, callbacks=[lm.Plateau()], verbose=0)


# Checkpoints of the best


def test_save_best_only(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    saved = []

    class Model:
        metrics = ()
        stop_training = False

        def save(self, path: Path) -> None:
            saved.append(epoch)

    numbers = [NAN, 0.5, 0.6, 0.4, 0.45, 0.39, 0.2]
    for options, wanted in (
        ({}, [2, 4, 6, 7]),
        ({"every": 2}, [2, 4, 6]),
        ({"min_delta": 0.05}, [2, 4, 7]),
        ({"start_epoch": 5}, [5, 6, 7]),
        ({"mode": "max"}, [2, 3]),
    ):
        saved.clear()
        keep = lm.Checkpoint(path, save_best_only=True, **options)  # type: ignore[arg-type]
        for epoch, number in enumerate(numbers, 1):
            keep.on_epoch_end(Model(), epoch, {"loss": 0.0, "val_loss": number})  # type: ignore[arg-type]
        assert saved == wanted
    with pytest.raises(lm.BadInput, match="save_best_only=True"):
        lm.Checkpoint(path, monitor="loss")


def test_the_best_model_is_in_the_file(tmp_path: Path) -> None:
    x, y = support.binary(60)
    model = logistic("accuracy")
    model.optimizer = lm.SGD(2.0)
    name = "val_accuracy"
    path = tmp_path / "best.safetensors"
    keep = lm.Checkpoint(path, save_best_only=True, monitor=name)
    held = (x[40:], y[40:])
    told = model.fit(x[:40], y[:40], 12, 8, held, callbacks=[keep], verbose=0).history[name]
    kept = lm.load(path, backend="numpy")
    assert kept.state.epoch == 1 + int(np.argmax(told))
    assert kept.evaluate(*held)["accuracy"] == max(told)
