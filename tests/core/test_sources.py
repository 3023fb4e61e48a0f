"""Gradients of several batches in one step, L-BFGS over all rows, and the search for a rate."""

from __future__ import annotations

import warnings
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from scipy.optimize import minimize

every_backend = pytest.mark.parametrize("backend", support.EVERY)


@pytest.mark.slow
@every_backend
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "optimizer",
    [lm.Adam(0.01, clip_norm=0.3), lm.SGD(lm.schedules.Step(0.3, 2), average=lm.SWA())],
    ids=["adam", "sgd"],
)
def test_accumulated_batches_are_one(backend: str, weighted: bool, optimizer: Any) -> None:
    """47 rows: groups of 3 batches of 4 are batches of 12, and the last group has 11 rows."""
    x, y = support.classes(47)
    weights = np.linspace(0.0, 2.0, 47) if weighted else None
    models = [
        support.classifier(backend, optimizer=optimizer, dtype="float64", seed=5) for _ in range(2)
    ]
    told = [
        model.fit(x, y, 3, batch, sample_weight=weights, verbose=0, accumulate=group).history
        for model, batch, group in zip(models, (12, 4), (1, 3), strict=True)
    ]
    np.testing.assert_allclose(told[0]["loss"], told[1]["loss"], rtol=1e-10)
    assert models[0].state.step == models[1].state.step == 12
    for segment in ("parameters", *models[0].state.layout.slots):
        a, b = (model.state.read(segment) for model in models)
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@every_backend
def test_accumulated_streams_are_one(backend: str) -> None:
    x, y = support.classes(30)
    models = [support.classifier(backend, dtype="float64", seed=5) for _ in range(2)]
    parts = [slice(0, 3), slice(3, 10), slice(10, 17), slice(17, 25), slice(25, 30)]
    models[0].fit(lambda: ((x[p], y[p]) for p in parts), epochs=2, verbose=0, accumulate=2)
    whole = [slice(0, 10), slice(10, 25), slice(25, 30)]
    models[1].fit(lambda: ((x[p], y[p]) for p in whole), epochs=2, verbose=0)
    assert models[0].state.step == models[1].state.step == 6
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@every_backend
def test_accumulation_stops_where_a_gradient_is_not_finite(backend: str) -> None:
    x, y = support.regression(12)
    x[9] = 1e30
    model = lm.Sequential([lm.Dense(2)], "mean_squared_error", "sgd", backend=backend, seed=0)
    with pytest.raises(lm.DivergenceError, match="the parameters of step 2"):
        model.fit(x, y, batch_size=2, shuffle=False, verbose=0, accumulate=2)
    assert np.isfinite(model.get_weights()[0]).all()
    assert model.state.step == 2  # rows 8 and 9 are of the third group


def test_masks_differ_from_batch_to_batch_of_a_group() -> None:
    """The same rows twice in a group would else have one mask, and be one batch."""
    x, y = support.classes(8)
    layers = [lm.Dense(20, "relu"), lm.Dropout(0.5), lm.Dense(3, "softmax")]
    models = [support.classifier(layers=layers, optimizer="sgd", seed=5) for _ in range(2)]
    models[0].fit(iter([(x, y), (x, y)]), verbose=0, accumulate=2)
    models[1].fit(iter([(x, y)]), verbose=0)
    assert not support.same(*(model.get_weights() for model in models))


class Told(lm.Callback):
    """Keeps what it is told of batches and epochs, and does something more."""

    def __init__(self, more: Any = None) -> None:
        self.batches: list[Any] = []
        self.epochs: list[Any] = []
        self.more = more

    def on_batch_end(self, model: Any, batch: int, values: Any) -> None:
        self.batches.append((batch, model.state.step, values["loss"]))
        if self.more is not None:
            self.more(model, batch)

    def on_epoch_end(self, model: Any, epoch: int, values: Any) -> None:
        self.epochs.append(dict(values))


@every_backend
def test_accumulation_is_told_of_every_batch(backend: str) -> None:
    """11 batches of 4 or fewer rows are groups of 3, 3, 3 and 2; metrics are of whole epochs."""
    x, y = support.classes(43)
    told, models = Told(), []
    for callbacks in ((told,), ()):
        model = support.classifier(backend, metrics=("accuracy", "f1"))
        model.fit(x, y, 2, 4, callbacks=callbacks, verbose=0, accumulate=3)
        models.append(model)
    assert support.same(*(model.get_weights() for model in models))
    assert models[0].history.history == models[1].history.history
    assert [batch for batch, _, _ in told.batches] == [*range(1, 12)] * 2
    assert [step for _, step, _ in told.batches[:11]] == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert models[0].state.step == 8
    assert told.epochs[-1]["f1"] == models[0].evaluate(x, y)["f1"]
    assert np.average([v for _, _, v in told.batches[:11]], weights=[4] * 10 + [3]) == (
        pytest.approx(told.epochs[0]["loss"], rel=1e-12)
    )


@every_backend
def test_epochs_of_a_stream_s_batches_accumulate(backend: str) -> None:
    """steps_per_epoch counts batches; the rows are those of an endless iterable, in turn."""
    x, y = support.classes(24)

    def endless(rows: int) -> Any:
        while True:
            for start in range(0, 24, rows):
                yield x[start : start + rows], y[start : start + rows]

    told = Told()
    models = [support.classifier(backend, metrics=("accuracy", "f1")) for _ in range(2)]
    models[0].fit(
        endless(4), epochs=2, steps_per_epoch=6, accumulate=2, verbose=0, callbacks=[told],
        validation_data=(x, y),
    )  # fmt: skip
    models[1].fit(endless(8), epochs=2, steps_per_epoch=3, verbose=0, validation_data=(x, y))
    assert models[0].state.step == models[1].state.step == 6
    assert [batch for batch, _, _ in told.batches] == [*range(1, 7)] * 2
    assert told.epochs[-1]["val_f1"] == models[0].evaluate(x, y)["f1"]
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_of_any_size_accumulate(scale: float, dtype: str) -> None:
    """A batch's weights are told apart from those of another: here one batch hardly counts."""
    x, y = support.classes(16)
    weights = np.linspace(0.5, 1.5, 16)
    weights[:8] *= scale
    models = [support.classifier(optimizer="sgd", dtype=dtype) for _ in range(2)]
    parts = [slice(0, 8), slice(8, 16)]
    models[0].fit(iter([(x[p], y[p], weights[p]) for p in parts]), verbose=0, accumulate=2)
    models[1].fit(iter([(x, y, weights)]), verbose=0)
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5 if dtype == "float32" else 1e-10, atol=1e-6)


@pytest.mark.slow
@every_backend
def test_accumulations_within_each_other_do_not_mix(backend: str) -> None:
    """What a callback accumulates is another sum; here it puts all else back as it was."""
    x, y = support.classes(16)

    def within(model: Any, batch: int) -> None:
        kept, counters = model.get_weights(), (model.state.step, model.state.epoch)
        model.fit(x[::-1], y[::-1], 1, 4, verbose=0, accumulate=2)
        model.set_weights(kept)
        model.state.step, model.state.epoch = counters

    models = []
    for more in (None, within):
        model = support.classifier(backend, optimizer="sgd")
        model.fit(x, y, 2, 4, verbose=0, accumulate=3, callbacks=[Told(more)])
        assert not any(name.startswith("accumulated") for name in model.state.flats)
        models.append(model.get_weights())
    assert support.same(*models)


@every_backend
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_callback_may_freeze_within_a_fit(backend: str, accumulate: int) -> None:
    x, y = support.classes(20)
    kept: list[Any] = []

    def freezing(model: Any, batch: int) -> None:
        if batch == 2 and not kept:
            kept.extend(model.freeze(0).get_weights())

    model = support.classifier(backend)
    model.fit(x, y, 3, 5, verbose=0, callbacks=[Told(freezing)], accumulate=accumulate)
    assert support.same(model.get_weights()[:2], kept[:2])
    assert not support.same(model.get_weights()[2:], kept[2:])
    assert model.state.epoch == 3
    assert model.state.step == 12 // accumulate


@pytest.mark.slow
@every_backend
def test_lbfgs_is_told_of_and_measured(backend: str) -> None:
    x, y = support.classes(30)
    told = Told()
    layers = [lm.Standardize(), lm.Dense(3, "softmax")]
    model = support.classifier(backend, layers=layers, optimizer="lbfgs", metrics=("f1",))
    model.fit(x, y, 2, 8, verbose=0, callbacks=[told], validation_data=(x, y))
    assert [batch for batch, _, _ in told.batches] == [1, 1]
    assert told.epochs[-1]["val_loss"] < told.epochs[0]["loss"]
    assert told.epochs[-1]["f1"] == told.epochs[-1]["val_f1"]


@pytest.mark.slow
@every_backend
@pytest.mark.parametrize("batch", [7, 40])
def test_lbfgs_finds_what_scipy_finds(backend: str, batch: int) -> None:
    """Logistic regression with decay and weights: convex, so that the minimum is one."""
    x, y = support.binary(40)
    weights = np.linspace(0.1, 1.0, 40)
    model = lm.Sequential(
        [lm.Dense(1, "sigmoid", weight_decay=0.1)], "binary_cross_entropy",
        lm.LBFGS(iterations=30, tolerance=1e-10), backend=backend, dtype="float64", seed=0,
    )  # fmt: skip

    def cost(flat: np.ndarray) -> float:
        z = x @ flat[:4] + flat[4]
        losses = np.logaddexp(0.0, z) - y.reshape(-1) * z
        return float(np.average(losses, weights=weights) + 0.05 * flat[:4] @ flat[:4])

    history = model.fit(x, y, epochs=2, batch_size=batch, sample_weight=weights, verbose=0)
    wanted = minimize(cost, np.zeros(5), method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose(model.state.read("parameters"), wanted, rtol=1e-4, atol=1e-6)
    losses = history.history["loss"]
    assert losses[1] < losses[0]
    assert 0 < model.state.step <= 60


def test_lbfgs_beats_a_thousand_steps_of_descent() -> None:
    x, y = support.classes(60)
    told = []
    for optimizer, epochs in ((lm.LBFGS(), 5), (lm.SGD(0.1), 100)):
        model = support.classifier(optimizer=optimizer)
        model.fit(x, y, epochs=epochs, batch_size=60, verbose=0)
        told.append(model.evaluate(x, y)["loss"])
    assert told[0] < told[1]


def test_lbfgs_says_what_it_is_not_for() -> None:
    x, y = support.classes(20)
    model = support.classifier(optimizer="lbfgs")
    with pytest.raises(lm.BadInput, match="all rows at once"):
        model.train_on_batch(x, y)
    with pytest.raises(lm.BadInput, match="all rows at once"):
        model.fit(iter([(x, y)]), verbose=0)
    with pytest.raises(lm.BadInput, match="without accumulate"):
        model.fit(x, y, batch_size=4, accumulate=2, verbose=0)
    with pytest.raises(lm.BadInput, match="all rows at once"):
        lm.find_learning_rate(model, x, y)
    assert "walked" not in lm.explain(support.classifier("numba", optimizer="lbfgs").build(4))
    model.set_rates({0: 0.5})
    with pytest.raises(lm.BadInput, match="one step for all weights"):
        model.fit(x, y, batch_size=4, verbose=0)


def test_arrays_that_are_never_written_accumulate_too() -> None:
    strict = pytest.importorskip("array_api_strict")

    class Strict(lm.Backend):
        name = "strict"
        functional = True

        @property
        def xp(self) -> Any:
            return strict

    x, y = support.classes(25)
    optimizer = lm.AdamW(0.01, amsgrad=True, average=lm.EMA(0.9))
    told = []
    for backend in (Strict(), "numpy"):
        model = support.classifier(backend, optimizer=optimizer).build(4).set_rates({0: 0.5})
        model.fit(x, y, epochs=2, batch_size=4, verbose=0, accumulate=3)
        told.append([*model.get_weights(), *model.averaged().get_weights()])
    for a, b in zip(*told, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_accumulate_is_a_count() -> None:
    x, y = support.classes(20)
    with pytest.raises(lm.BadInput, match="fit: accumulate must be"):
        support.classifier().fit(x, y, accumulate=0)


@pytest.mark.slow
@every_backend
def test_a_rate_is_found_and_the_model_put_back(backend: str) -> None:
    x, y = support.classes(200)
    layers = [lm.Standardize(), lm.Dense(8, "tanh"), lm.Dense(3, "softmax")]
    model = support.classifier(backend, layers=layers, optimizer=lm.Adam(average=lm.EMA()))
    found = lm.find_learning_rate(model, x, y, steps=60)
    assert 1e-4 < found.suggestion < 3.0
    assert len(found.rates) == len(found.losses) == len(found.smoothed) <= 60
    assert f"suggestion: {found.suggestion:.2e}" in str(found)
    fresh = support.classifier(backend, layers=layers, optimizer=lm.Adam(average=lm.EMA()))
    for each in (model, fresh):
        each.fit(x, y, epochs=1, verbose=0)
    again = lm.find_learning_rate(model, x, y, steps=60)
    assert again.losses[0] < found.losses[0]
    for segment in ("parameters", "statistics", *model.state.layout.slots):
        assert support.same([model.state.read(segment)], [fresh.state.read(segment)])
    assert (model.state.step, model.state.epoch) == (fresh.state.step, fresh.state.epoch)


def test_a_search_ends_where_the_loss_blows_up() -> None:
    x, y = support.regression(40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = lm.Sequential(
            [lm.Dense(30, "relu"), lm.Dense(2)], "mean_squared_error", "sgd", backend="numpy",
            seed=0,
        )  # fmt: skip
        found = lm.find_learning_rate(model, x, y, highest=1e4, steps=50, batch_size=100)
    assert len(found.rates) < 50
    with pytest.raises(lm.BadInput, match="lowest must be"):
        lm.find_learning_rate(model, x, y, lowest=0.0)
    with pytest.raises(lm.BadInput, match="begin with a smaller rate"):
        lm.find_learning_rate(model, x * 1e30, y)


def test_a_search_leaves_no_statistics() -> None:
    """What Standardize learned for it is forgotten, and what it knew before comes back."""
    x, y = support.classes(40)
    layers = [lm.Standardize(), lm.Dense(3, "softmax")]
    model = support.classifier(layers=layers)
    lm.find_learning_rate(model, x * 100.0, y, steps=20)
    with pytest.raises(lm.BadInput, match="learn from all rows at once"):
        model.train_on_batch(x, y)
    fresh = support.classifier(layers=layers)
    told = [each.fit(x, y, verbose=0).history for each in (model, fresh)]
    assert told[0] == told[1]
    lm.find_learning_rate(model, x * 100.0, y, steps=20)
    assert model.evaluate(x, y) == fresh.evaluate(x, y)
