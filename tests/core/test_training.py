"""What models do: the public contract of training, looking and predicting."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support

every_backend = pytest.mark.parametrize("backend", support.CPU)


# fit


@every_backend
def test_fit_learns_and_tells(backend: str) -> None:
    x, y = support.classes(45)
    model = support.classifier(backend)
    history = model.fit(x, y, epochs=8, batch_size=10, verbose=0)
    assert isinstance(history, lm.History)
    assert set(history.history) == {"loss", "accuracy"}
    assert [len(v) for v in history.history.values()] == [8, 8]
    assert history.epochs == list(range(1, 9))
    assert len(history.seconds) == 8
    assert history.history["loss"][-1] < 0.7 * history.history["loss"][0]
    assert all(type(v) is float for v in history.history["loss"])
    assert model.state.step == 8 * 5


def test_the_history_s_loss_is_the_running_mean_before_each_update() -> None:
    x, y = support.classes(25)
    stepped = support.classifier()
    before = [stepped.train_on_batch(x[i : i + 10], y[i : i + 10]) for i in (0, 10, 20)]
    for name in ("loss", "accuracy"):
        wanted = np.average([b[name] for b in before], weights=[10, 10, 5])
        found = support.classifier().fit(x, y, batch_size=10, shuffle=False, verbose=0)
        assert found.history[name][0] == pytest.approx(wanted, rel=1e-12)


@every_backend
def test_the_last_partial_batch_is_trained_on(backend: str) -> None:
    x, y = support.classes(25)
    whole, cut, stepped = (support.classifier(backend) for _ in range(3))
    whole.fit(x, y, batch_size=10, shuffle=False, verbose=0)
    cut.fit(x[:20], y[:20], batch_size=10, shuffle=False, verbose=0)
    assert (whole.state.step, cut.state.step) == (3, 2)
    cut.train_on_batch(x[20:], y[20:])
    assert all(
        np.allclose(a, b, rtol=0, atol=1e-12)
        for a, b in zip(whole.get_weights(), cut.get_weights(), strict=True)
    )
    stepped.fit(x[:20], y[:20], batch_size=10, shuffle=False, verbose=0)
    assert not support.same(whole.get_weights(), stepped.get_weights())


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_second_fit_goes_on(backend: str) -> None:
    x, y = support.classes(33)
    layers = [lm.Dense(8, activation="relu"), lm.Dropout(0.3), lm.Dense(3, activation="softmax")]
    once, twice = (support.classifier(backend, layers=layers) for _ in range(2))
    long = once.fit(x, y, epochs=6, batch_size=8, verbose=0)
    first = twice.fit(x, y, epochs=2, batch_size=8, verbose=0)
    second = twice.fit(x, y, epochs=4, batch_size=8, verbose=0)
    assert support.same(once.get_weights(), twice.get_weights())
    assert first.history["loss"] + second.history["loss"] == long.history["loss"]
    assert first is not second
    assert second.epochs == [3, 4, 5, 6]


def test_training_is_the_same_bits_each_time_and_another_seed_is_not() -> None:
    x, y = support.classes(33)
    for backend in ("numpy", "numba"):
        runs = [support.classifier(backend, seed=seed) for seed in (7, 7, 8)]
        for model in runs:
            model.fit(x, y, epochs=3, batch_size=8, verbose=0)
        weights = [m.get_weights() for m in runs]
        assert support.same(weights[0], weights[1])
        assert not support.same(weights[0], weights[2])


def test_the_history_does_not_depend_on_how_many_steps_a_run_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """How many fit into the polite time differs from machine to machine and from run to run."""
    from lamina.core import training

    x, y = support.classes(301)
    weights = np.random.default_rng(0).random(301)
    told = []
    for seconds in (0.0, 1e9):  # one step at a time; ever more
        monkeypatch.setattr(training, "POLITE_SECONDS", seconds)
        history = support.classifier().fit(
            x, y, epochs=5, batch_size=3, sample_weight=weights, verbose=0
        )
        told.append(history.history)
    assert told[0] == told[1]


def test_a_seed_is_drawn_and_kept() -> None:
    models = [support.classifier(seed=None).build(4) for _ in range(2)]
    assert models[0].seed != models[1].seed
    again = support.classifier(seed=models[0].seed).build(4)
    assert support.same(again.get_weights(), models[0].get_weights())


def test_shuffle_changes_the_order_each_epoch() -> None:
    x, y = support.classes(32)
    fixed = support.classifier(optimizer=lm.SGD(0.0)).fit(x, y, epochs=2, batch_size=4, verbose=0)
    assert fixed.history["loss"][0] == pytest.approx(fixed.history["loss"][1], rel=1e-12)
    still, mixed = support.classifier(), support.classifier()
    still.fit(x, y, epochs=1, batch_size=4, shuffle=False, verbose=0)
    mixed.fit(x, y, epochs=1, batch_size=4, verbose=0)
    assert not support.same(still.get_weights(), mixed.get_weights())
    from lamina.core.training import row_order

    orders = [row_order(7, epoch, 32) for epoch in range(3)]
    assert all(sorted(o) == list(range(32)) for o in orders)
    assert not np.array_equal(orders[0], orders[1])
    assert np.array_equal(orders[1], row_order(7, 1, 32))


def test_no_epochs_builds_and_trains_nothing() -> None:
    x, y = support.classes(16)
    model = support.classifier()
    history = model.fit(x, y, epochs=0, batch_size=8)
    assert history.history == {}
    assert support.same(model.get_weights(), support.classifier().build(4).get_weights())


def test_a_batch_larger_than_the_data_warns_and_works() -> None:
    x, y = support.classes(16)
    model = support.classifier()
    with pytest.warns(UserWarning, match="batch_size 32 is larger than the data: 16 rows") as found:
        model.fit(x, y, verbose=0)
    assert found[0].filename == __file__
    assert model.state.step == 1


# Validation


def test_validation_data() -> None:
    x, y = support.classes(40)
    model = support.classifier()
    held = (x[30:], y[30:])
    history = model.fit(x[:30], y[:30], epochs=3, batch_size=10, validation_data=held, verbose=0)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    after = model.evaluate(*held)
    assert history.history["val_loss"][-1] == pytest.approx(after["loss"], rel=1e-12)
    assert history.history["val_accuracy"][-1] == after["accuracy"]
    plain = support.classifier()
    plain.fit(x[:30], y[:30], epochs=3, batch_size=10, verbose=0)
    assert support.same(plain.get_weights(), model.get_weights())  # it only looked
    weights = np.zeros(10)
    weights[3] = 2.0
    weighed = support.classifier().fit(
        x[:30], y[:30], batch_size=10, validation_data=(*held, weights), verbose=0
    )
    single = support.classifier().fit(
        x[:30], y[:30], batch_size=10, validation_data=(x[33:34], y[33:34]), verbose=0
    )
    assert weighed.history["val_loss"] == pytest.approx(single.history["val_loss"], rel=1e-12)


def test_validation_split() -> None:
    x, y = support.classes(40)
    model = support.classifier()
    weights = np.ones(40)
    history = model.fit(
        x, y, epochs=2, batch_size=8, validation_split=0.25, sample_weight=weights, verbose=0
    )
    assert model.state.step == 2 * 4  # thirty rows are left
    assert len(history.history["val_loss"]) == 2
    from lamina.core.examples import split

    kept, held = split(7, 40, 0.25)
    assert sorted([*kept, *held]) == list(range(40))
    assert len(held) == 10
    by_hand = support.classifier()
    told = by_hand.fit(
        x[kept], y[kept], epochs=2, batch_size=8, validation_data=(x[held], y[held]), verbose=0
    )
    assert told.history["val_loss"] == pytest.approx(history.history["val_loss"], rel=1e-12)


# Weights of rows


@every_backend
def test_a_weight_of_zero_is_a_row_left_out(backend: str) -> None:
    x, y = support.classes(12)
    weights = np.ones(12)
    weights[[2, 7]] = 0.0
    keep = weights > 0
    weighed, absent = support.classifier(backend), support.classifier(backend)
    a = weighed.fit(x, y, epochs=5, batch_size=12, shuffle=False, sample_weight=weights, verbose=0)
    b = absent.fit(x[keep], y[keep], epochs=5, batch_size=10, shuffle=False, verbose=0)
    np.testing.assert_allclose(a.history["loss"], b.history["loss"], rtol=1e-11)
    np.testing.assert_allclose(a.history["accuracy"], b.history["accuracy"], rtol=1e-11)
    for one, other in zip(weighed.get_weights(), absent.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


@every_backend
def test_whole_weights_are_rows_repeated(backend: str) -> None:
    x, y = support.regression(10)
    counts = np.array([1, 3, 2, 1, 1, 2, 1, 4, 1, 2])

    def model() -> lm.Sequential:
        return lm.Sequential(
            [lm.Dense(5, activation="tanh"), lm.Dense(2)], loss="mean_squared_error",
            optimizer=lm.SGD(0.1, momentum=0.9), metrics=("mean_absolute_error",),
            backend=backend, dtype="float64", seed=1,
        )  # fmt: skip

    weighed, repeated = model(), model()
    rows = np.repeat(np.arange(10), counts)
    a = weighed.fit(x, y, epochs=5, batch_size=10, shuffle=False, sample_weight=counts, verbose=0)
    b = repeated.fit(x[rows], y[rows], epochs=5, batch_size=18, shuffle=False, verbose=0)
    for name in ("loss", "mean_absolute_error"):
        np.testing.assert_allclose(a.history[name], b.history[name], rtol=1e-11)
    for one, other in zip(weighed.get_weights(), repeated.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-11)
    assert weighed.evaluate(x, y, sample_weight=counts)["loss"] == pytest.approx(
        repeated.evaluate(x[rows], y[rows])["loss"], rel=1e-11
    )


def test_only_the_ratio_of_weights_counts() -> None:
    x, y = support.classes(12)
    weights = np.linspace(0.5, 2.0, 12)
    wanted = support.classifier().train_on_batch(x, y, sample_weight=weights)["loss"]
    for scale in (1e-6, 1e6, 1e-307, 1e307):
        found = support.classifier().train_on_batch(x, y, sample_weight=weights * scale)["loss"]
        assert found == pytest.approx(wanted, rel=1e-12)


@every_backend
def test_a_batch_without_weight_changes_nothing_under_plain_descent(backend: str) -> None:
    x, y = support.classes(12)
    weights = np.repeat([1.0, 0.0, 1.0], 4)
    model, other = (support.classifier(backend, optimizer=lm.SGD(0.1)) for _ in range(2))
    told = model.fit(x, y, batch_size=4, shuffle=False, sample_weight=weights, verbose=0)
    losses = [other.train_on_batch(x[i : i + 4], y[i : i + 4])["loss"] for i in (0, 8)]
    assert told.history["loss"][0] == pytest.approx(np.mean(losses), rel=1e-12)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def test_class_weight() -> None:
    x, y = support.classes(18)
    y[:9] = 0
    by_class = support.classifier().train_on_batch(x, y, class_weight={0: 0.5, 2: 3.0})
    rows = np.array([0.5, 1.0, 3.0])[y]
    assert by_class == support.classifier().train_on_batch(x, y, sample_weight=rows)
    balanced = support.classifier().train_on_batch(x, y, class_weight="balanced")
    counts = np.bincount(y)
    rows = (18 / (3 * counts))[y]
    assert balanced == support.classifier().train_on_batch(x, y, sample_weight=rows)
    assert balanced["loss"] != by_class["loss"]
    both = support.classifier().train_on_batch(
        x, y, sample_weight=np.arange(18.0), class_weight={1: 2}
    )
    product = np.arange(18.0) * np.array([1.0, 2.0, 1.0])[y]
    assert both == support.classifier().train_on_batch(x, y, sample_weight=product)


# train_on_batch, evaluate, predict


@every_backend
def test_train_on_batch_is_one_step(backend: str) -> None:
    x, y = support.classes(14)
    one, other = support.classifier(backend), support.classifier(backend)
    before = one.build(4).evaluate(x, y)
    told = one.train_on_batch(x, y)
    assert told == pytest.approx(before, rel=1e-12)
    other.fit(x, y, epochs=1, batch_size=14, shuffle=False, verbose=0)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)
    assert one.state.step == 1


@every_backend
def test_evaluate_is_the_mean_over_rows(backend: str) -> None:
    x, y = support.classes(30)
    model = support.classifier(backend).build(4)
    weights = model.get_weights()
    found = model.evaluate(x, y)
    assert set(found) == {"loss", "accuracy"}
    p = model.predict(x)
    assert found["loss"] == pytest.approx(-np.log(p[np.arange(30), y]).mean(), rel=1e-12)
    assert found["accuracy"] == pytest.approx((p.argmax(axis=1) == y).mean())
    assert support.same(model.get_weights(), weights)
    assert model.state.step == 0


def test_many_rows_are_predicted_and_evaluated_in_parts() -> None:
    x, y = support.classes(2500)
    model = support.classifier().build(4)
    p = model.predict(x)
    assert p.shape == (2500, 3)
    np.testing.assert_allclose(p[1700:1720], model.predict(x[1700:1720]), rtol=1e-12)
    wanted = -np.log(p[np.arange(2500), y]).mean()
    assert model.evaluate(x, y)["loss"] == pytest.approx(wanted, rel=1e-12)


@every_backend
def test_predict(backend: str) -> None:
    x, y = support.classes(20)
    model = support.classifier(backend)
    model.fit(x, y, epochs=20, batch_size=5, verbose=0)
    p = model.predict(x)
    assert (type(p), p.shape, p.dtype) == (np.ndarray, (20, 3), np.float64)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    w1, b1, w2, b2 = model.get_weights()
    z = np.maximum(x @ w1 + b1, 0.0) @ w2 + b2
    e = np.exp(z - z.max(axis=1, keepdims=True))
    np.testing.assert_allclose(p, e / e.sum(axis=1, keepdims=True), rtol=1e-10)
    np.testing.assert_allclose(model.predict(x[:1]), p[:1], rtol=1e-12)
    p[:] = 0.0  # what was given out is the caller's
    assert model.predict(x).max() > 0.3


def test_predict_classes() -> None:
    x, _ = support.classes(20)
    model = support.classifier().build(4)
    classes = model.predict_classes(x)
    assert (classes.shape, classes.dtype) == ((20,), np.int32)
    np.testing.assert_array_equal(classes, model.predict(x).argmax(axis=1))
    one = lm.Sequential(
        [lm.Dense(1, activation="sigmoid")], "binary_cross_entropy", backend="numpy"
    ).build(4)
    found = one.predict_classes(x)
    assert (found.shape, found.dtype) == ((20,), np.int32)
    np.testing.assert_array_equal(found, one.predict(x)[:, 0] >= 0.5)
    assert 0 < found.sum() < 20
    several = lm.Sequential(
        [lm.Dense(2, activation="sigmoid")], "binary_cross_entropy", backend="numpy"
    ).build(4)
    assert several.predict_classes(x).shape == (20, 2)
    linear = lm.Sequential([lm.Dense(1)], "mean_squared_error", backend="numpy").build(4)
    with pytest.raises(lm.BadInput, match="softmax or sigmoid"):
        linear.predict_classes(x)


# Weights


@every_backend
def test_get_and_set_weights(backend: str) -> None:
    model = support.classifier(backend, layers=[
        lm.Standardize(), lm.Dense(8, activation="relu"), lm.Dropout(0.5),
        lm.Dense(5, use_bias=False), lm.Dense(3, activation="softmax"),
    ]).build(4)  # fmt: skip
    weights = model.get_weights()  # no statistics among them
    assert [w.shape for w in weights] == [(4, 8), (1, 8), (8, 5), (5, 3), (1, 3)]
    assert {w.dtype.name for w in weights} == {"float64"}
    changed = [w + i for i, w in enumerate(weights)]
    model.set_weights([changed[0], changed[1][0], *(c.tolist() for c in changed[2:])])
    assert support.same(model.get_weights(), changed)
    weights[0][:] = 99.0
    assert support.same(model.get_weights(), changed)
    with pytest.raises(lm.ShapeError, match="got 4 arrays, the model has 5"):
        model.set_weights(changed[:4])
    with pytest.raises(lm.ShapeError, match=r"1\.weight has shape \(4, 8\), not \(8, 4\)"):
        model.set_weights([changed[0].T, *changed[1:]])
    with pytest.raises(lm.BadInput, match=r"4\.weight has NaN"):
        model.set_weights([w * 0 for w in changed[:3]] + [changed[3] * np.nan, changed[4]])
    assert support.same(model.get_weights(), changed)  # all or nothing


def test_set_weights_during_training_is_seen_by_it() -> None:
    x, y = support.classes(16)
    model, fresh = (
        support.classifier(optimizer=lm.SGD(0.1)),
        support.classifier(optimizer=lm.SGD(0.1)),
    )
    start = fresh.build(4).get_weights()
    model.fit(x, y, epochs=3, batch_size=8, shuffle=False, verbose=0)
    model.predict(x)
    model.set_weights(start)
    model.fit(x, y, epochs=1, batch_size=8, shuffle=False, verbose=0)
    fresh.fit(x, y, epochs=1, batch_size=8, shuffle=False, verbose=0)
    assert support.same(model.get_weights(), fresh.get_weights())
    np.testing.assert_array_equal(model.predict(x), fresh.predict(x))


@every_backend
def test_gradients(backend: str) -> None:
    x, y = support.classes(16)
    layers = [lm.Standardize(), lm.Dense(8, activation="tanh"), lm.Dense(3, activation="softmax")]
    model = support.classifier(backend, layers=layers, optimizer=lm.SGD(0.5)).build(4)
    before = model.get_weights()
    found = model.gradients(x, y)
    assert [sorted(layer) for layer in found] == [[], ["bias", "weight"], ["bias", "weight"]]
    assert support.same(model.get_weights(), before)
    flat = [found[i][name] for i in (1, 2) for name in ("weight", "bias")]
    for place, (which, at) in enumerate([(0, (2, 3)), (1, (0, 4)), (2, (5, 1)), (3, (0, 2))]):
        sides = []
        for sign in (1.0, -1.0):
            moved = [w.copy() for w in before]
            moved[which][at] += sign * 1e-6
            model.set_weights(moved)
            sides.append(model.evaluate(x, y)["loss"])
        assert flat[which][at] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5), place
    assert model.state.step == 0


# Devices


def test_models_on_different_backends_live_side_by_side() -> None:
    x, y = support.classes(20)
    models = [support.classifier(b) for b in support.CPU]
    for _ in range(3):  # in turn
        for model in models:
            model.fit(x, y, batch_size=10, verbose=0)
    assert [m.backend.name for m in models] == list(support.CPU)
    for model in models[1:]:
        np.testing.assert_allclose(model.predict(x), models[0].predict(x), rtol=1e-9)


def test_to_moves_in_place_with_the_optimizer_s_state() -> None:
    x, y = support.classes(20)
    stayed, moved = support.classifier("numpy"), support.classifier("numpy")
    for model in (stayed, moved):
        model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    p = moved.predict(x)
    assert moved.to("numba") is moved
    assert moved.backend.name == "numba"
    np.testing.assert_allclose(moved.predict(x), p, rtol=1e-12)
    stayed.fit(x, y, epochs=2, batch_size=8, verbose=0)
    moved.fit(x, y, epochs=1, batch_size=8, verbose=0)
    moved.to("loops").fit(x, y, epochs=1, batch_size=8, verbose=0)
    for a, b in zip(stayed.get_weights(), moved.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)
    assert moved.state.step == stayed.state.step == 12
    unbuilt = support.classifier("numpy").to("numba")
    assert unbuilt.build(4).backend.name == "numba"


# First weights


@pytest.mark.parametrize(
    ("settings", "deviation"),
    [
        ({"activation": "relu"}, np.sqrt(2 / 200)),
        ({"activation": "leaky_relu"}, np.sqrt(2 / 200)),
        ({"activation": "tanh"}, np.sqrt(2 / 500)),
        ({}, np.sqrt(2 / 500)),
        ({"activation": "relu", "kernel_initializer": "xavier"}, np.sqrt(2 / 500)),
        ({"kernel_initializer": "he"}, np.sqrt(2 / 200)),
        ({"kernel_initializer": "lecun"}, np.sqrt(1 / 200)),
        ({"kernel_initializer": "random_normal"}, 0.01),
        ({"kernel_initializer": lm.initializers.RandomNormal(0.5)}, 0.5),
        ({"kernel_initializer": "zeros"}, 0.0),
    ],
    ids=str,
)
def test_initializers(settings: dict[str, Any], deviation: float) -> None:
    model = lm.Sequential(
        [lm.Dense(300, **settings)], "mean_squared_error", backend="numpy", dtype="float64", seed=0
    )
    weight, bias = model.build(200).get_weights()
    assert weight.std() == pytest.approx(deviation, rel=0.02)
    assert abs(weight.mean()) <= deviation * 0.02
    assert not bias.any()
    assert len(np.unique(weight)) in (1, weight.size)  # each drawn by itself


def test_equal_layers_do_not_start_equal() -> None:
    layers = [lm.Dense(4, activation="tanh"), lm.Dense(4, activation="tanh"), lm.Dense(4)]
    model = lm.Sequential(layers, "mean_squared_error", backend="numpy", seed=0).build(4)
    first, second = model.get_weights()[0], model.get_weights()[2]
    assert not np.array_equal(first, second)


# Layers


def test_standardize_learns_once_and_is_saved(tmp_path: Path) -> None:
    x, y = support.classes(40)
    x = x * np.array([1.0, 100.0, 0.01, 0.0]) + np.array([5.0, -300.0, 0.0, 7.0])
    layers = [lm.Standardize(), lm.Dense(3, activation="softmax")]
    model = support.classifier(layers=layers)
    model.fit(x, y, batch_size=10, verbose=0)
    mean, scale = model.state.array("0.mean"), model.state.array("0.scale")
    np.testing.assert_allclose(mean[0], x.mean(axis=0), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(scale[0, :3], 1.0 / x.std(axis=0)[:3], rtol=1e-12)
    assert scale[0, 3] == 1.0  # a feature that never changes is only centred
    model.fit(x * 10.0 + 3.0, y, batch_size=10, verbose=0)
    model.train_on_batch(x * 2.0, y)
    assert support.same([mean, scale], [model.state.array("0.mean"), model.state.array("0.scale")])
    model.save(tmp_path / "m.safetensors")
    again = lm.load(tmp_path / "m.safetensors", backend="numpy")
    assert support.same([mean, scale], [again.state.array("0.mean"), again.state.array("0.scale")])
    again.fit(x * 10.0, y, batch_size=10, verbose=0)
    assert support.same([mean], [again.state.array("0.mean")])


def test_standardize_sees_the_training_rows_only_and_its_own_input() -> None:
    x, y = support.classes(40)
    x[30:] += 1000.0
    layers = [lm.Dense(5, activation="tanh"), lm.Standardize(), lm.Dense(3, activation="softmax")]
    model = support.classifier(layers=layers, optimizer=lm.SGD(0.0))
    model.fit(x[:30], y[:30], batch_size=10, validation_data=(x[30:], y[30:]), verbose=0)
    w, b = model.get_weights()[:2]
    inner = np.tanh(x[:30] @ w + b)
    np.testing.assert_allclose(model.state.array("1.mean")[0], inner.mean(axis=0), rtol=1e-10)
    held = support.classifier(layers=[lm.Standardize(), lm.Dense(3, activation="softmax")])
    held.fit(x, y, batch_size=10, validation_split=0.25, verbose=0)
    from lamina.core.examples import split

    kept = x[split(7, 40, 0.25)[0]]
    np.testing.assert_allclose(held.state.array("0.mean")[0], kept.mean(axis=0), rtol=1e-12)


@every_backend
def test_dropout_is_off_outside_training(backend: str) -> None:
    x, y = support.classes(30)
    layers = [lm.Dense(16, activation="relu"), lm.Dropout(0.5), lm.Dense(3, activation="softmax")]
    dropped = support.classifier(backend, layers=layers, optimizer=lm.SGD(0.0))
    plain = support.classifier(backend, layers=[layers[0], layers[2]]).build(4)
    losses = [dropped.train_on_batch(x, y)["loss"] for _ in range(3)]
    assert len(set(losses)) == 3  # another mask at every step
    plain.set_weights(dropped.get_weights())
    np.testing.assert_allclose(dropped.predict(x), plain.predict(x), rtol=1e-12)
    assert dropped.evaluate(x, y)["loss"] == pytest.approx(plain.evaluate(x, y)["loss"], rel=1e-12)


def test_dropout_keeps_the_mean() -> None:
    x = np.ones((2000, 4))
    layers = [lm.Dropout(0.25), lm.Dense(1, kernel_initializer="ones", use_bias=False)]
    model = lm.Sequential(
        layers, loss=lambda y, p: p, optimizer=lm.SGD(0.0), backend="numpy", dtype="float64", seed=3
    )
    assert model.train_on_batch(x, np.zeros(2000))["loss"] == pytest.approx(4.0, abs=0.1)
    assert model.evaluate(x, np.zeros(2000))["loss"] == pytest.approx(4.0, rel=1e-12)


def test_dropout_s_words_are_those_of_the_paper() -> None:
    """Known answers of Philox4x32-10 (Salmon et al. 2011, Random123's kat_vectors)."""
    from lamina.kernels import philox

    zeros = philox.words(np, 0, 0, 0, 4)
    assert [f"{w:08x}" for w in zeros] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]
    longer = philox.words(np, 0, 0, 0, 7)
    np.testing.assert_array_equal(longer[:4], zeros)
    others = [philox.words(np, *key, 4) for key in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (2**32, 0, 0))]
    assert len({tuple(map(int, o)) for o in (zeros, longer[3:], *others)}) == 6


def test_flatten() -> None:
    rng = np.random.default_rng(0)
    images, y = rng.standard_normal((12, 3, 2, 2)), np.arange(12) % 3
    flat = support.classifier(layers=[lm.Flatten(), lm.Dense(3, activation="softmax")])
    plain = support.classifier(layers=[lm.Flatten(), lm.Dense(3, activation="softmax")])
    flat.fit(images, y, epochs=2, batch_size=4, verbose=0)
    plain.fit(images.reshape(12, 12), y, epochs=2, batch_size=4, verbose=0)
    assert support.same(flat.get_weights(), plain.get_weights())
    with pytest.raises(lm.ShapeError, match=r"put lm.Flatten\(\) before it"):
        support.classifier(layers=[lm.Dense(3, activation="softmax")]).fit(images, y, batch_size=4)


@every_backend
def test_a_layer_and_a_loss_of_one_s_own(backend: str) -> None:
    x, y = support.regression(24)
    model = lm.Sequential(
        [lm.Dense(6, activation="tanh"), support.Scale(0.5), lm.Dense(2)], loss=support.huber,
        optimizer=lm.Adam(0.02), metrics=(support.huber, "mean_absolute_error"),
        backend=backend, dtype="float64", seed=2,
    )  # fmt: skip
    history = model.fit(x, y, epochs=15, batch_size=8, verbose=0)
    assert history.history["loss"][-1] < 0.7 * history.history["loss"][0]
    assert history.history["huber"] == pytest.approx(history.history["loss"], rel=1e-12)
    d = np.abs(model.predict(x) - y)
    wanted = np.where(d < 1.0, 0.5 * d * d, d - 0.5).mean()  # over rows and outputs
    assert model.evaluate(x, y)["loss"] == pytest.approx(wanted, rel=1e-12)
    assert model.get_weights()[2].shape == (1, 6)
    assert not np.allclose(model.get_weights()[2], 0.5)  # it was trained
    assert lm.check_gradients(model, x, y).passed


@every_backend
def test_an_activation_of_one_s_own(backend: str) -> None:
    def swish(x: Any) -> Any:
        return x * lm.ops.sigmoid(x)

    x, y = support.classes(15)
    layers = [lm.Dense(6, activation=swish), lm.Dense(3, activation="softmax")]
    model = support.classifier(backend, layers=layers)
    assert lm.check_gradients(model, x, y).passed


# Looking


def test_check_gradients_passes_and_fails() -> None:
    x, y = support.classes(12)
    layers = [lm.Dense(5, activation="gelu"), lm.Dropout(0.3), lm.Dense(3, activation="softmax")]
    model = support.classifier(layers=layers, dtype="float32").build(4)
    before = model.get_weights()
    found = lm.check_gradients(model, x, y, sample_weight=np.arange(12.0))
    assert found.passed
    assert bool(found)
    assert set(found.errors) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert max(found.errors.values()) < 1e-6
    assert str(found).count("ok") == 4
    assert support.same(model.get_weights(), before)
    assert model.state.step == 0


def test_check_gradients_catches_a_wrong_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    from lamina.core.graph.gradients import RULES
    from lamina.core.graph.graph import make

    def wrong(node: Any, gradients: Any, needs: Any) -> list[Any]:
        return [make("gelu_backward", gradients[0], node.inputs[0]) * 1.01]

    monkeypatch.setitem(RULES, "gelu", wrong)
    x, y = support.classes(12)
    layers = [lm.Dense(5, activation="gelu"), lm.Dense(3, activation="softmax")]
    found = lm.check_gradients(support.classifier(layers=layers), x, y)
    assert not found
    assert "WRONG" in str(found)
    assert found.errors["0.weight"] > 1e-3
    assert found.errors["1.weight"] < 1e-6


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    model = support.classifier()
    assert "not built" in model.summary()
    text = model.build(4).summary()
    assert text in capsys.readouterr().out
    assert "67 parameters" in text  # 4 * 8 + 8 + 8 * 3 + 3
    for part in (
        "Dense",
        "(n, 8)",
        "40",
        "27",
        "cross_entropy",
        "Adam",
        "numpy",
        "float64",
        "seed 7",
    ):
        assert part in text


@every_backend
def test_explain(backend: str) -> None:
    model = support.classifier(backend)
    with pytest.raises(lm.NotBuilt, match="explain needs a built model"):
        lm.explain(model)
    text = lm.explain(model.build(4))
    assert text.startswith(f"backend {backend} on CPU")
    assert f"chosen by: asked for {backend!r}" in text
    rows = [line.split() for line in text.splitlines()]
    ran = [(row[0], row[1]) for row in rows if row[0] in ("forward", "backward", "update")]
    assert [op for _, op in ran].count("dense") == 2
    for one in (
        ("forward", "softmax_cross_entropy"), ("backward", "softmax_cross_entropy_backward"),
        ("backward", "dense_backward"), ("update", "adam_update"),
    ):  # fmt: skip
        assert one in ran


@every_backend
def test_profile(backend: str) -> None:
    x, y = support.classes(16)
    model = support.classifier(backend)
    model.fit(x, y, batch_size=8, verbose=0)
    before, state = model.get_weights(), model.state.read("square")
    found = lm.profile(model, x, y, steps=3)
    assert support.same([*model.get_weights(), state], [*before, model.state.read("square")])
    assert (model.state.step, model.state.epoch) == (2, 1)
    ops = [row[1] for row in found.rows]
    assert ops.count("dense") == 2
    assert "adam_update" in ops
    assert all(row[2] > 0 for row in found.rows)
    assert found.seconds == pytest.approx(sum(row[2] for row in found.rows))
    assert backend in str(found)
    assert "GFLOP/s" in str(found)


# Callbacks


class Recorder(lm.Callback):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_fit_begin(self, model: Any) -> None:
        self.seen.append("begin")

    def on_epoch_end(self, model: Any, epoch: int, values: Any) -> None:
        self.seen.append((epoch, sorted(values)))
        if epoch == 3:
            model.stop_training = True

    def on_fit_end(self, model: Any, history: Any) -> None:
        self.seen.append(("end", len(history.epochs)))


def test_callbacks() -> None:
    x, y = support.classes(16)
    recorder, model = Recorder(), support.classifier()
    model.fit(x, y, epochs=9, batch_size=8, callbacks=[recorder], verbose=0)
    names = ["accuracy", "loss"]
    assert recorder.seen == ["begin", (1, names), (2, names), (3, names), ("end", 3)]
    model.fit(x, y, epochs=2, batch_size=8, callbacks=(recorder,), verbose=0)
    assert recorder.seen[5:] == ["begin", (4, names), (5, names), ("end", 2)]


def misled() -> tuple[lm.Sequential, dict[str, Any]]:
    """A training whose validation loss only rises: the held-out labels are wrong."""
    x, y = support.classes(40)
    return support.classifier(optimizer=lm.SGD(0.2)), {
        "x": x, "y": y, "batch_size": 10, "validation_data": (x, (y + 1) % 3), "verbose": 0,
    }  # fmt: skip


def test_early_stopping_restores_the_best() -> None:
    model, data = misled()
    once, _ = misled()
    once.fit(**data, epochs=1)
    stop = lm.EarlyStopping(patience=3)
    history = model.fit(**data, epochs=50, callbacks=[stop])
    values = history.history["val_loss"]
    assert len(values) == 4  # the first is the best, three are waited for
    assert min(values) == values[0] == stop.best
    assert stop.best_epoch == 1
    assert support.same(model.get_weights(), once.get_weights())
    model, data = misled()
    model.fit(
        **data, epochs=50, callbacks=[lm.EarlyStopping(patience=2, restore_best_weights=False)]
    )
    longer, _ = misled()
    longer.fit(**data, epochs=3)
    assert support.same(model.get_weights(), longer.get_weights())


def test_early_stopping_monitors_what_it_is_told() -> None:
    model, data = misled()
    stop = lm.EarlyStopping(monitor="loss", patience=2)
    assert len(model.fit(**data, epochs=8, callbacks=[stop]).epochs) == 8  # the loss falls
    model, data = misled()
    stop = lm.EarlyStopping(monitor="val_accuracy", patience=2)
    history = model.fit(**data, epochs=30, callbacks=[stop])
    assert stop.best == max(history.history["val_accuracy"])  # more is better
    model, data = misled()
    with pytest.raises(lm.BadInput, match="no 'val_f1' in the history; it has loss, accuracy"):
        model.fit(**data, callbacks=[lm.EarlyStopping(monitor="val_f1")])
    x, y = support.classes(16)
    still = support.classifier(optimizer=lm.SGD(0.0))
    history = still.fit(
        x,
        y,
        epochs=9,
        batch_size=16,
        shuffle=False,
        callbacks=[lm.EarlyStopping(patience=2)],
        verbose=0,
    )
    assert len(history.epochs) == 3  # without validation it watches the loss


def test_checkpoint_callback(tmp_path: Path) -> None:
    x, y = support.classes(16)
    path = tmp_path / "m.safetensors"
    model = support.classifier()
    model.fit(x, y, epochs=5, batch_size=8, callbacks=[lm.Checkpoint(path, every=2)], verbose=0)
    kept = lm.load(path, backend="numpy")
    assert (kept.state.epoch, kept.state.step) == (4, 8)
    kept.fit(x, y, epochs=1, batch_size=8, verbose=0)
    assert support.same(kept.get_weights(), model.get_weights())
    with pytest.raises(lm.BadInput, match="every must be a whole number"):
        lm.Checkpoint(path, every=0)


def test_divergence_is_told() -> None:
    x, y = support.regression(16)
    model = lm.Sequential(
        [lm.Dense(8, activation="relu"), lm.Dense(2)], loss="mean_squared_error",
        optimizer=lm.SGD(1e6), backend="numpy", seed=0,
    )  # fmt: skip
    with pytest.raises(lm.DivergenceError, match=r"in epoch \d+.*Lower the learning rate"):
        model.fit(x, y, epochs=50, batch_size=8, verbose=0)


# What is printed


def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = support.classes(16)
    support.classifier().fit(x, y, epochs=3, batch_size=8)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for number, line in enumerate(lines, 1):
        assert line.startswith(f"epoch {number}/3  loss ")
        assert "accuracy" in line
        assert line.endswith("examples/s")
        assert "\x1b" not in line
    support.classifier().fit(x, y, epochs=200, batch_size=8)
    lines = capsys.readouterr().out.splitlines()
    assert 10 <= len(lines) <= 25
    assert lines[-1].startswith("epoch 200/200")
    support.classifier().fit(x, y, epochs=2, batch_size=8, validation_split=0.25)
    assert "val_loss" in capsys.readouterr().out
    for quiet in (0, False):
        support.classifier().fit(x, y, epochs=3, batch_size=8, verbose=quiet)
        assert capsys.readouterr() == ("", "")


def test_a_progress_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    x, y = support.classes(16)
    support.classifier().fit(x, y, epochs=3, batch_size=8)
    text = terminal.getvalue()
    assert "epoch 3/3" in text
    assert "loss" in text
    assert "examples/s" in text


# Interrupted, diverged, streamed


def test_divergence_gives_back_finite_parameters_and_the_history() -> None:
    x, y = support.regression(16)
    model = lm.Sequential(
        [lm.Dense(8, activation="relu"), lm.Dense(2)], loss="mean_squared_error",
        optimizer=lm.SGD(3.0), backend="numpy", seed=0,
    )  # fmt: skip
    with pytest.raises(lm.DivergenceError) as caught:
        model.fit(x, y, epochs=500, batch_size=4, verbose=0)
    error = caught.value
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert model.state.step == error.step
    assert error.layer == 0
    assert error.history is model.history
    model.optimizer = lm.SGD(1e-4)
    model.evaluate(x, y)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupt_leaves_a_whole_model() -> None:
    import os
    import signal

    class After(lm.Callback):
        def on_epoch_end(self, model: Any, epoch: int, values: Any) -> None:
            if epoch == 3:
                os.kill(os.getpid(), signal.SIGINT)

    x, y = support.classes(40)
    model = support.classifier()
    with pytest.raises(KeyboardInterrupt, match="fit goes on from here"):
        model.fit(x, y, epochs=10_000, batch_size=8, verbose=0, callbacks=[After()])
    assert model.history is not None
    assert model.history.epochs == [1, 2, 3]
    assert model.state.epoch == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert len(model.fit(x, y, epochs=2, batch_size=8, verbose=0).epochs) == 2


@every_backend
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_a_memory_map_trains_like_the_array(backend: str, dtype: str, tmp_path: Path) -> None:
    x, y = support.classes(30)
    x = np.round(x * 20 + 100) if dtype == "uint8" else x
    mapped = np.memmap(tmp_path / "x.dat", dtype=dtype, mode="w+", shape=x.shape)
    mapped[...] = x
    array = np.array(mapped)
    layers = [lm.Standardize(), lm.Dense(6, "relu"), lm.Dropout(0.2), lm.Dense(3, "softmax")]
    models = [
        lm.Sequential(layers, "cross_entropy", backend=backend, seed=3, metrics=("accuracy",))
        for _ in range(2)
    ]
    told = [
        model.fit(data, y, epochs=2, batch_size=8, verbose=0).history
        for model, data in zip(models, (array, mapped), strict=True)
    ]
    assert told[0] == told[1]
    assert support.same(*(model.get_weights() for model in models))
    np.testing.assert_array_equal(models[0].predict(array), models[0].predict(mapped))
    assert models[0].evaluate(array, y) == models[0].evaluate(mapped, y)
    with pytest.raises(lm.BadInput, match="validation_split would copy"):
        models[0].fit(mapped, y, validation_split=0.2, verbose=0)
    if dtype != "uint8":
        mapped[17, 1] = np.nan
        with pytest.raises(lm.BadInput, match="x has NaN at row 17, column 1"):
            models[0].fit(mapped, y, verbose=0)


@every_backend
def test_batches_that_come_one_by_one(backend: str) -> None:
    x, y = support.classes(25)

    def batches() -> Any:
        for start in (0, 10, 20):
            yield x[start : start + 10], y[start : start + 10]

    whole, streamed = support.classifier(backend), support.classifier(backend)
    wanted = whole.fit(x, y, epochs=3, batch_size=10, shuffle=False, verbose=0)
    told = streamed.fit(batches, epochs=3, verbose=0, validation_data=(x, y))
    assert told.history["loss"] == pytest.approx(wanted.history["loss"], rel=1e-12)
    assert set(told.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    for a, b in zip(whole.get_weights(), streamed.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    assert len(support.classifier(backend).fit(batches(), verbose=0).epochs) == 1


def test_batches_that_do_not_work() -> None:
    x, y = support.classes(10)
    model = support.classifier()
    for source, epochs, says in (
        (iter([(x, y)]), 2, "an iterator ends after one epoch"),
        (x, 1, "fit needs y"),
        (3, 1, "an iterable of batches"),
        (lambda: [], 1, "has no batches"),
        (lambda: [x], 1, "each batch must be"),
    ):
        with pytest.raises(lm.BadInput, match=says):
            model.fit(source, epochs=epochs, verbose=0)
    standard = lm.Sequential([lm.Standardize(), lm.Dense(3, "softmax")], "cross_entropy")
    with pytest.raises(lm.BadInput, match="epochs=0"):
        standard.fit(lambda: [(x, y)], verbose=0)
    standard.fit(x, y, epochs=0, batch_size=10, verbose=0)
    standard.fit(lambda: [(x, y)], verbose=0)
