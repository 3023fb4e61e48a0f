"""One step, evaluation, prediction, weights given and taken, models on several devices."""

from __future__ import annotations

import lamina as lm
import numpy as np
import pytest
import support

every_backend = pytest.mark.parametrize("backend", support.EVERY)


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
