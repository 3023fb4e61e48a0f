"""Layers: first weights, statistics that are learnt, dropout, and those of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support

every_backend = pytest.mark.parametrize("backend", support.EVERY)


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

    kept = x[split(7, 40, 0.25, y)[0]]
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


@pytest.mark.slow
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


@pytest.mark.slow
@every_backend
def test_an_activation_of_one_s_own(backend: str) -> None:
    def swish(x: Any) -> Any:
        return x * lm.ops.sigmoid(x)

    x, y = support.classes(15)
    layers = [lm.Dense(6, activation=swish), lm.Dense(3, activation="softmax")]
    model = support.classifier(backend, layers=layers)
    assert lm.check_gradients(model, x, y).passed
