"""Norms: torch's numbers, running statistics, and what is done to models."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from norm_support import Doubled, norms

GOLDEN = json.loads((support.GOLDEN / "layers.json").read_text())
RATE, BATCHES = 0.2, (6, 4, 2)


def layers_of(told: list[Any]) -> list[lm.Layer]:
    """Layers of the golden file."""
    return [
        lm.Residual(layers_of(settings))
        if kind == "Residual"
        else getattr(lm, kind)(**settings)
        for kind, settings in told
    ]  # fmt: skip


def in_batches(model: lm.Sequential, x: np.ndarray, y: np.ndarray) -> list[float]:
    """The losses of the golden file's batches."""
    found, first = [], 0
    for count in BATCHES:
        part = slice(first, first + count)
        found.append(model.train_on_batch(x[part], y[part])["loss"])
        first += count
    return found


def running(model: lm.Sequential) -> np.ndarray:
    """All moving statistics."""
    layout = model.state.layout
    assert layout.length("observed")
    return model.state.read("statistics")[: layout.length("observed")]


@pytest.mark.slow
@pytest.mark.parametrize("backend", support.EVERY)
@pytest.mark.parametrize("name", GOLDEN)
def test_torchs_numbers(name: str, backend: str) -> None:
    case = GOLDEN[name]
    x, y = np.array(case["x"]), np.array(case["y"])
    model = lm.Sequential(
        layers_of(case["layers"]), "mean_squared_error", lm.SGD(RATE), backend=backend,
        dtype="float64",
    )  # fmt: skip
    model.build(x.shape[1:])
    arrays = zip(case["before"], model.get_weights(), strict=True)
    model.set_weights([np.reshape(w, own.shape) for w, own in arrays])
    np.testing.assert_allclose(in_batches(model, x, y), case["losses"], rtol=1e-9)
    for got, wanted in zip(model.get_weights(), case["after"], strict=True):
        np.testing.assert_allclose(got, np.reshape(wanted, got.shape), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(model.predict(x), case["prediction"], rtol=1e-9, atol=1e-10)
    if case["running"]:
        wanted = np.concatenate([np.ravel(each) for norm in case["running"] for each in norm])
        np.testing.assert_allclose(running(model), wanted, rtol=1e-9, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_every_backend_alike(weighted: bool) -> None:
    x, y = support.classes(37)
    weights = np.arange(37) % 4 if weighted else None
    found = []
    for backend in support.CPU:
        model = norms(backend)
        model.fit(x, y, epochs=3, batch_size=8, verbose=0, sample_weight=weights)
        found.append((model.predict(x), running(model), model.evaluate(x, y)["loss"]))
    for other in found[1:]:
        for got, wanted in zip(other, found[0], strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-11)


@pytest.mark.slow
def test_finite_differences() -> None:
    x, y = support.classes(9)
    model = norms()
    assert lm.check_gradients(model, x, y)
    model.fit(x, y, epochs=1, verbose=0, batch_size=9)
    before = running(model)
    assert lm.check_gradients(model, x, y, sample_weight=np.arange(9.0))
    assert np.array_equal(before, running(model))  # looking moves nothing
    model.gradients(x, y)
    model.evaluate(x, y)
    model.predict(x)
    assert np.array_equal(before, running(model))


@pytest.mark.slow
@pytest.mark.parametrize("backend", support.EVERY)
def test_a_row_of_weight_0_is_not_there(backend: str) -> None:
    x, y = support.classes(12)
    counted = np.arange(12) % 3 != 1
    layers = [lm.Dense(6), lm.BatchNorm(), lm.Residual([lm.BatchNorm()]), lm.Dense(3, "softmax")]
    one, other = norms(backend, layers=layers), norms(backend, layers=layers)
    for model, rows, weights in (
        (one, counted, None), (other, np.full(12, True), counted.astype(float)),
    ):  # fmt: skip
        model.fit(
            x[rows], y[rows], epochs=2, batch_size=int(rows.sum()), verbose=0, shuffle=False,
            sample_weight=weights,
        )  # fmt: skip
    np.testing.assert_allclose(running(one), running(other), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("backend", support.EVERY)
def test_a_row_alone_goes_by_the_running_statistics(backend: str) -> None:
    x, y = support.classes(9)
    layers = [lm.Dense(6), lm.BatchNorm(), lm.Dense(3, "softmax")]
    model = norms(backend, layers=layers)
    model.fit(x[:8], y[:8], epochs=2, batch_size=4, verbose=0)
    before = running(model)
    predicted = model.evaluate(x[8:], y[8:])["loss"]
    assert model.train_on_batch(x[8:], y[8:])["loss"] == pytest.approx(predicted, rel=1e-12)
    weights = np.eye(9)[3]  # one row counts, and it is one of nine
    model.train_on_batch(x, y, sample_weight=weights)
    assert np.array_equal(running(model), before)
    model.fit(x, y, epochs=1, batch_size=4, verbose=0)  # the last batch has one row
    assert np.isfinite(running(model)).all()
    assert not np.array_equal(running(model), before)
    with pytest.raises(lm.BadInput, match="batch_size=2 or more"):
        model.fit(x, y, batch_size=1, verbose=0)


@pytest.mark.parametrize("backend", support.EVERY)
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_is_not_taken_moves_nothing(backend: str, where: str) -> None:
    x, y = support.regression(8)
    layers = [lm.BatchNorm(), lm.Dense(2)]
    model = support.classifier(
        backend, layers=layers, loss="mean_squared_error", metrics=(), optimizer=lm.SGD(0.01)
    )
    model.fit(x, y, epochs=1, batch_size=4, verbose=0)
    before, weights, step = running(model), model.get_weights(), model.state.step
    far = y.copy()
    far[5] = 1e200 if where == "loss" else 6e153  # whose square is none, or still a number
    with pytest.raises(lm.DivergenceError):
        model.fit(x[4:], far[4:], epochs=1, batch_size=4, verbose=0)
    assert model.state.step == step
    assert np.array_equal(running(model), before)
    assert support.same(model.get_weights(), weights)


@pytest.mark.slow
def test_several_passes_in_one_run_move_them_as_one_by_one() -> None:
    x, y = support.classes(32)
    for backend in ("numpy", "numba"):
        one, other = norms(backend), norms(backend)
        one.fit(x, y, epochs=6, batch_size=8, verbose=0)
        for _ in range(6):
            other.fit(x, y, epochs=1, batch_size=8, verbose=0)
        assert np.array_equal(running(one), running(other))


def test_batches_joined_to_one_step_move_them_once() -> None:
    x, y = support.classes(16)
    layers = [lm.BatchNorm(momentum=0.25), lm.Dense(3, "softmax")]
    for weights in (None, np.repeat([1.0, 3.0], 8)):
        model = norms(layers=layers)
        model.fit(
            x, y, epochs=1, batch_size=8, accumulate=2, shuffle=False, verbose=0,
            sample_weight=weights,
        )  # fmt: skip
        assert model.state.step == 1
        shares = np.array([0.5, 0.5]) if weights is None else np.array([0.25, 0.75])
        parts = (x[:8], x[8:])
        mean = sum(s * part.mean(0) for s, part in zip(shares, parts, strict=True))
        spread = sum(s * part.var(0, ddof=1) for s, part in zip(shares, parts, strict=True))
        wanted = np.concatenate([0.25 * mean, 0.75 + 0.25 * spread])
        np.testing.assert_allclose(running(model), wanted, rtol=1e-12)


def test_every_group_of_batches_is_a_step_of_its_own() -> None:
    x, y = support.classes(40)  # five batches: two, two, and what is left
    layers = [lm.BatchNorm(momentum=0.25), lm.Dense(3, "softmax")]
    model = norms(layers=layers)
    model.fit(x, y, epochs=1, batch_size=8, accumulate=2, shuffle=False, verbose=0)
    assert model.state.step == 3
    wanted = np.concatenate([np.zeros(4), np.ones(4)])
    for group in ((0, 8), (16, 24), (32,)):
        parts = [x[first : first + 8] for first in group]
        mean = np.mean([part.mean(0) for part in parts], axis=0)
        spread = np.mean([part.var(0, ddof=1) for part in parts], axis=0)
        wanted = 0.75 * wanted + 0.25 * np.concatenate([mean, spread])
    np.testing.assert_allclose(running(model), wanted, rtol=1e-12)


def test_a_group_of_batches_that_fails_moves_nothing() -> None:
    x, y = support.regression(8)
    model = support.classifier(
        layers=[lm.BatchNorm(), lm.Dense(2)], loss="mean_squared_error", metrics=()
    )
    model.build(4)
    before, far = running(model), y.copy()
    far[6] = 1e200
    with pytest.raises(lm.DivergenceError):
        model.fit(x, far, epochs=1, batch_size=4, accumulate=2, shuffle=False, verbose=0)
    assert np.array_equal(running(model), before)


@pytest.mark.slow
def test_files_copies_and_pickles(tmp_path: Path) -> None:
    x, y = support.classes(24)
    model = norms()
    model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    with pytest.warns(UserWarning, match="Doubled"):
        model.save(tmp_path / "m.safetensors")
    custom = {"Doubled": Doubled}
    loaded = lm.load(tmp_path / "m.safetensors", backend="numpy", custom=custom)
    assert loaded.layers == model.layers
    others = [loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    for one in (model, *others):
        one.fit(x, y, epochs=2, batch_size=8, verbose=0)
    for one in others:
        assert support.same(one.get_weights(), model.get_weights())
        assert np.array_equal(running(one), running(model))
        assert np.array_equal(one.predict(x), model.predict(x))
    moved = copy.deepcopy(model).to("numba")
    np.testing.assert_allclose(moved.predict(x), model.predict(x), rtol=1e-12)
    with pytest.raises(lm.CheckpointError, match="Doubled"):
        lm.load(tmp_path / "m.safetensors", backend="numpy")


def test_early_stopping_brings_the_statistics_of_the_best_epoch_back() -> None:
    x, y = support.classes(24)
    model = norms(layers=[lm.BatchNorm(), lm.Dense(3, "softmax")], optimizer=lm.SGD(0.5))
    found: list[tuple[float, np.ndarray]] = []

    class Look(lm.Callback):
        def on_epoch_end(self, model: Any, epoch: int, values: Mapping[str, float]) -> None:
            found.append((values["val_loss"], running(model)))

    rng = np.random.default_rng(0)
    noise = rng.permutation(y)
    stop = lm.EarlyStopping(patience=4)
    model.fit(
        x, y, epochs=30, batch_size=8, verbose=0, validation_data=(x + 1.0, noise),
        callbacks=[Look(), stop],
    )  # fmt: skip
    best = min(found, key=lambda row: row[0])
    assert np.array_equal(running(model), best[1])


@pytest.mark.slow
def test_frozen_it_trains_by_the_running_statistics() -> None:
    x, y = support.classes(24)
    model = norms()
    model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    outer = model.state.array("1.mean")
    model.freeze(1)
    inner = model.state.array("3.3.0.mean")
    assert np.array_equal(model.state.array("1.mean"), outer)
    model.fit(x, y, epochs=1, batch_size=8, verbose=0)
    assert np.array_equal(model.state.array("1.mean"), outer)
    assert not np.array_equal(model.state.array("3.3.0.mean"), inner)
    model.freeze(3)
    assert not model.state.layout.length("observed")
    held = model.state.read("statistics").copy()
    loss = model.evaluate(x, y)["loss"]
    assert model.train_on_batch(x, y)["loss"] != pytest.approx(loss)  # dropout goes on
    assert np.array_equal(model.state.read("statistics"), held)
    model.unfreeze(1, "3.3.0.scale")
    model.fit(x, y, epochs=1, batch_size=8, verbose=0)
    assert not np.array_equal(model.state.array("1.mean"), outer)
    model.freeze()
    before = model.state.read("statistics")
    model.fit(x, y, epochs=1, batch_size=8, verbose=0)
    assert np.array_equal(model.state.read("statistics"), before)


def test_a_frozen_model_goes_on_from_its_file(tmp_path: Path) -> None:
    x, y = support.classes(24)
    layers = [lm.Dense(5), lm.BatchNorm(), lm.Dense(3, "softmax")]
    model = norms(layers=layers)
    model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    model.freeze(1)
    model.save(tmp_path / "m.safetensors")
    loaded = lm.load(tmp_path / "m.safetensors", backend="numpy")
    for one in (model, loaded):
        one.fit(x, y, epochs=1, batch_size=8, verbose=0)
    assert support.same(model.get_weights(), loaded.get_weights())
    assert not loaded.state.layout.length("observed")


@pytest.mark.slow
@pytest.mark.parametrize("backend", support.EVERY)
def test_without_a_parameter(backend: str) -> None:
    x, y = support.classes(24)
    bare = {"scale": False, "shift": False}
    model = norms(backend, layers=[lm.BatchNorm(**bare), lm.Dense(3, "softmax", trainable=False)])
    model.build(4)
    assert not model.state.layout.length("parameters")
    model.fit(x, y, epochs=1, batch_size=24, verbose=0)  # nothing but statistics to learn
    wanted = np.concatenate([0.1 * x.mean(0), 0.9 + 0.1 * x.var(0, ddof=1)])
    np.testing.assert_allclose(running(model), wanted, rtol=1e-12)
    still = norms(backend, layers=[lm.BatchNorm(**bare, trainable=False), lm.Dense(3, "softmax")])
    still.fit(x, y, epochs=1, batch_size=8, verbose=0)
    assert np.array_equal(still.state.read("statistics"), np.repeat([0.0, 1.0], 4))


@pytest.mark.parametrize("average", [lm.EMA(0.5), lm.SWA()])
def test_an_averaged_model_has_the_statistics_of_the_moment(average: Any) -> None:
    x, y = support.classes(24)
    model = norms(optimizer=lm.Adam(0.01, average=average))
    model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    other = model.averaged()
    assert np.array_equal(running(other), running(model))
    assert not support.same(other.get_weights(), model.get_weights())
    assert np.isfinite(other.predict(x)).all()


def test_a_standardize_in_front_and_batches_from_an_iterable() -> None:
    x, y = support.classes(32)
    layers = [lm.Standardize(), lm.Dense(5), lm.BatchNorm(), lm.Dense(3, "softmax")]
    one, other = norms(layers=layers), norms(layers=layers)
    one.fit(x, y, epochs=1, batch_size=8, shuffle=False, verbose=0)
    other.fit(x, y, epochs=0, verbose=0)
    np.testing.assert_allclose(other.state.array("0.mean")[0], x.mean(0), rtol=1e-12)
    other.fit(lambda: ((x[i : i + 8], y[i : i + 8]) for i in range(0, 32, 8)), verbose=0)
    assert np.array_equal(running(one), running(other))
    straight = norms(layers=[lm.BatchNorm(), lm.Dense(3, "softmax")])
    straight.train_on_batch(x, y)  # nothing has to be learned before


@pytest.mark.slow
def test_threads_that_evaluate_while_one_trains() -> None:
    x, y = support.classes(64)
    model = norms("numpy")
    model.fit(x, y, epochs=1, batch_size=8, verbose=0)
    wrong: list[Any] = []

    def look() -> None:
        for _ in range(20):
            p = model.predict(x)
            if not np.isfinite(p).all() or not np.allclose(p.sum(1), 1.0):
                wrong.append(p)
            model.evaluate(x, y)
            model.gradients(x, y)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    model.fit(x, y, epochs=10, batch_size=8, verbose=0)
    for thread in threads:
        thread.join(support.PATIENCE)
    assert not wrong
    alone = norms("numpy")
    alone.fit(x, y, epochs=1, batch_size=8, verbose=0)
    alone.fit(x, y, epochs=10, batch_size=8, verbose=0)
    assert np.array_equal(running(model), running(alone))  # who looks moves nothing


@pytest.mark.slow
def test_the_search_for_a_rate_leaves_them() -> None:
    x, y = support.classes(64)
    model = norms()
    model.fit(x, y, epochs=1, batch_size=8, verbose=0)
    before = running(model)
    lm.find_learning_rate(model, x, y)
    assert np.array_equal(running(model), before)


def test_lbfgs_is_refused_and_allowed_when_frozen() -> None:
    x, y = support.classes(24)
    layers = [lm.BatchNorm(), lm.Dense(3, "softmax")]
    with pytest.raises(lm.BadInput, match="freeze the layer"):
        norms(layers=layers, optimizer=lm.LBFGS()).fit(x, y, batch_size=24, verbose=0)
    model = norms(layers=layers, optimizer=lm.LBFGS()).build(4).freeze(0)
    model.fit(x, y, batch_size=24, verbose=0)
