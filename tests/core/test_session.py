"""What serves a model: bindings with one owner each, and a session that is whole or as before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.core.examples import Examples

BACKENDS = pytest.mark.parametrize("backend", ["numpy", "numba"])


def block(model: lm.Sequential, x: Any, y: Any) -> Any:
    session = model.session
    examples = session.examples(x, y)
    return examples.block(session.backend, session.dtype)


@BACKENDS
def test_a_binding_has_one_owner(backend: str) -> None:
    x, y = support.classes(16)
    model = support.classifier(backend).build(4)
    session, data = model.session, block(model, x, y)
    with session.lease("evaluate", 16, data) as one:
        with session.lease("evaluate", 16, data) as other:
            assert other is not one
        with session.lease("evaluate", 16, data) as again:
            assert again is other
        with session.lease("gradients", 16, data) as gradients:
            assert gradients not in (one, other)
    with session.lease("evaluate", 16, data) as again:
        assert again is one  # the last that was given back


def test_a_lease_of_another_device_is_not_lent_again() -> None:
    x, y = support.classes(16)
    model = support.classifier("numba").build(4)
    kept = model.session.lease("evaluate", 16, block(model, x, y))
    model.to("numpy")
    kept.close()
    before = model.evaluate(x, y)
    with model.session.lease("evaluate", 16, block(model, x, y)) as binding:
        assert binding is not kept.binding
    model.to("numba")
    assert model.evaluate(x, y)["loss"] == pytest.approx(before["loss"], rel=1e-5)


@pytest.mark.slow
@BACKENDS
def test_evaluation_from_many_threads(backend: str) -> None:
    model = support.classifier(backend).build(4)
    sets = [support.classes(1500 + n, seed=n) for n in range(8)]
    expected = [model.evaluate(x, y) for x, y in sets]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda pair: model.evaluate(*pair), sets * 20)
        for got, want in zip(found, expected * 20, strict=True):
            assert got == want


@BACKENDS
def test_a_fit_within_a_fit_is_one_after_the_other(backend: str) -> None:
    x, y = support.classes(48)
    other = support.classes(48, seed=1)

    class Between(lm.Callback):
        def on_epoch_end(self, model: Any, epoch: int, values: Any) -> None:
            model.fit(*other, batch_size=16, verbose=0)

    nested, plain = (support.classifier(backend) for _ in range(2))
    nested.fit(x, y, 3, 16, callbacks=[Between()], verbose=0)
    for _ in range(3):
        plain.fit(x, y, 1, 16, verbose=0)
        plain.fit(*other, batch_size=16, verbose=0)
    assert nested.state.epoch == plain.state.epoch == 6
    assert support.same(nested.get_weights(), plain.get_weights())


@BACKENDS
def test_a_training_that_diverged_gives_its_binding_back(backend: str) -> None:
    x, y = np.ones((16, 2)), np.ones((16, 1))
    model = lm.Sequential([lm.Dense(1)], "mean_squared_error", backend=backend, seed=0)
    model.fit(x, y, batch_size=16, verbose=0)
    with model.session.lease("train", 16, block(model, x, y)) as before:
        pass
    with pytest.raises(lm.DivergenceError):  # its square is out of range
        model.fit(x, 1e30 * y, batch_size=16, verbose=0)
    with model.session.lease("train", 16, block(model, x, y)) as after:
        assert after is before


def test_a_build_that_fails_leaves_nothing() -> None:
    class Frame:
        columns = ("a", "b")

        def __getitem__(self, name: str) -> Any:
            raise KeyError(name)

        def __array__(self, *args: Any, **kwargs: Any) -> Any:
            return np.ones((3, 2))

    tried = []

    def wrong_at_first(shape: tuple[int, ...], rng: Any) -> Any:
        tried.append(shape)
        return np.zeros(shape if len(tried) > 1 else (1,))

    layers = [lm.Dense(3, activation="softmax", kernel_initializer=wrong_at_first)]
    model = support.classifier(layers=layers)
    with pytest.raises(lm.ShapeError, match="gave shape"):
        model.fit(Frame(), [0, 1, 2], verbose=0)
    assert not model.built
    assert (model.features, model.columns) == (None, None)
    model.fit(np.ones((3, 4)), [0, 1, 2], batch_size=3, verbose=0)
    assert (model.features, model.columns) == ((4,), None)


def test_a_prepared_prediction_keeps_its_device() -> None:
    x, y = support.classes(20)
    model = support.classifier("numba")
    model.fit(x, y, batch_size=20, verbose=0)
    x = np.asarray(x, dtype=model.dtype)
    before, wanted = model.prepare(), model.predict(x)
    assert model.prepare() is before
    model.to("numpy")
    assert model.prepare() is not before
    np.testing.assert_array_equal(before(x), wanted)
    np.testing.assert_allclose(model.predict(x), wanted, rtol=1e-5)


def test_what_the_session_keeps_is_the_model_s() -> None:
    model = support.classifier("numpy").build(4)
    model.optimizer = lm.SGD(0.25)
    assert model.session.optimizer is model.optimizer
    assert model.session.optimizer.rates(0, 1) == [0.25]
    assert model.session.layers is model.layers
    assert model.features == model.session.features == (4,)


def test_parts_of_examples() -> None:
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6).reshape(6, 1)
    whole = Examples(x, y, np.arange(6.0))
    assert (whole.rows, whole.outputs) == (6, 1)
    kept, held = whole.split(seed=3, share=0.5)
    assert sorted([*kept.y[:, 0], *held.y[:, 0]]) == list(range(6))
    for part in (kept, held):
        np.testing.assert_array_equal(part.x[:, 0], 2.0 * part.y[:, 0])
        np.testing.assert_array_equal(part.weights, part.y[:, 0])
    assert Examples(x, y).part(np.array([1])).weights is None
