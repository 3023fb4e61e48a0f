"""Native runs: against the walker, short epochs, divergence, prediction."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends import threads
from lamina.backends.native import nests, regions
from lamina.backends.state import Control
from lamina.core import sources
from native_support import trained

OPTIMIZERS = (
    lm.SGD(0.1), lm.SGD(0.1, momentum=0.9), lm.SGD(0.1, momentum=0.9, nesterov=True),
    lm.RMSprop(1e-2), lm.Adam(1e-2, clip_norm=0.5), lm.AdamW(1e-2, weight_decay=0.1),
)  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize(("dtype", "near"), [("float64", 1e-11), ("float32", 3e-4)])
def test_a_native_run_is_the_walked_one(optimizer: Any, dtype: str, near: float) -> None:
    for weighted in (False, True):
        options = {"optimizer": optimizer, "weighted": weighted, "dtype": dtype}
        one, other = trained(**options), trained(walked=True, **options)
        for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=near, atol=near)
        assert one.history is not None
        assert other.history is not None
        for name, values in one.history.history.items():
            np.testing.assert_allclose(values, other.history.history[name], rtol=near)


EVERYWHERE = pytest.mark.parametrize("backend", ["loops", "numpy", "numba", "numba in shares"])


@EVERYWHERE
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("rows", [64, 70])
def test_short_epochs_in_one_run_are_the_same(
    backend: str, weighted: bool, shuffle: bool, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "numba in shares":
        support.decided(monkeypatch, split_seconds=0.0)
    monkeypatch.setattr(sources, "POLITE_SECONDS", 60.0)
    x, y = support.classes(rows)
    weights = np.random.default_rng(1).random(rows) if weighted else None
    together = []

    def fitted() -> lm.Sequential:
        model = support.classifier(backend.split()[0])
        options = {"shuffle": shuffle, "sample_weight": weights, "verbose": 0}
        model.fit(x, y, 20, 16, **options)
        session = model.session
        examples = session.examples(x, y, weights)
        block = examples.block(session.backend, session.dtype)
        with session.lease("train", 16, block) as binding:  # the one that was trained with
            assert binding.pace > 1
        passes = binding.passes

        def noted(control: Control, count: int) -> Any:
            together.append(count)
            return passes(control, count)

        monkeypatch.setattr(binding, "passes", noted)
        model.fit(x, y, 3, 16, **options)
        return model

    one = fitted()
    assert together == [3]
    monkeypatch.setattr(sources, "SHORT_PASS", 0)
    other = fitted()
    assert one.history is not None
    assert other.history is not None
    assert one.history.history == other.history.history
    assert one.history.epochs == other.history.epochs == list(range(21, 24))
    assert support.same(one.get_weights(), other.get_weights())


def started(
    backend: str, monkeypatch: pytest.MonkeyPatch, optimizer: Any, **dense: Any
) -> lm.Sequential:
    """A model of two layers for three features and two targets."""
    if backend == "numba in shares":
        support.decided(monkeypatch, split_seconds=0.0)
    model = lm.Sequential(
        [lm.Dense(4, **dense), lm.Dense(2, **dense)], "mean_squared_error", optimizer,
        backend=backend.split()[0], seed=0,
    )  # fmt: skip
    model.build(3)
    return model


def frozen(model: lm.Sequential) -> tuple[int, list[Any]]:
    """The step, and copies of parameters and slots."""
    state = model.state
    return state.step, [state.read(n) for n in ("parameters", *state.layout.slots)]


@EVERYWHERE
def test_a_loss_that_is_not_finite_stops_before_its_step(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = np.ones((32, 3)), np.zeros((32, 2))
    model = started(backend, monkeypatch, lm.Adam(1e11))
    with pytest.raises(lm.DivergenceError) as caught:
        model.fit(x, y, epochs=20, batch_size=32, verbose=0)
    # Adam moves each of the weights by 1e11, so the next squared difference is beyond float32
    assert "at step 2: the loss is not finite (first in layer 1)" in str(caught.value)
    assert (caught.value.step, caught.value.layer) == (1, 1)
    twin = started(backend, monkeypatch, lm.Adam(1e11))
    twin.train_on_batch(x, y)
    assert twin.state.step == model.state.step == 1
    for one, other in zip(frozen(twin)[1], frozen(model)[1], strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.isfinite(one).all()


@EVERYWHERE
def test_a_gradient_beyond_numbers_stops_before_its_step(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = np.full((32, 3), 1e30), np.ones((32, 2))
    model = started(backend, monkeypatch, lm.Adam(), kernel_initializer="zeros")
    model.set_weights([np.zeros((3, 4)), np.zeros((1, 4)), np.ones((4, 2)), np.zeros((1, 2))])
    before = frozen(model)
    with pytest.raises(lm.DivergenceError, match=r"the gradient .* \(first in layer 0"):
        model.fit(x, y, epochs=3, batch_size=32, verbose=0)
    with pytest.raises(lm.DivergenceError, match=r"at step 1: the gradient"):
        model.train_on_batch(x, y)
    assert support.same(before[1], frozen(model)[1])
    assert model.state.step == before[0]


@EVERYWHERE
@pytest.mark.parametrize("optimizer", [lm.SGD(1e37), lm.AdamW(1.0, weight_decay=1e3)])
def test_an_update_never_leaves_the_numbers(
    backend: str, optimizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(0).standard_normal((32, 3))
    x[:, 2] = 0.0  # weights that the loss does not see, so that only decay moves them
    model = started(backend, monkeypatch, optimizer)
    with pytest.raises(lm.DivergenceError):
        model.fit(x, x[:, :2], epochs=60, batch_size=8, verbose=0)
    assert all(np.isfinite(flat).all() for flat in frozen(model)[1])


def trained_on_huber(backend: str) -> lm.Sequential:
    """A model whose loss is a user's own."""

    def huber(y_true: Any, y_pred: Any) -> Any:
        error = abs(y_pred - y_true)
        return lm.ops.where(error < 1.0, 0.5 * error**2, error - 0.5)

    x = np.random.default_rng(0).standard_normal((40, 3))
    model = lm.Sequential(
        [lm.Dense(6, "tanh"), lm.Dense(1)], huber, "adam", backend=backend, dtype="float64", seed=1
    )
    model.fit(x, x @ [1.0, -2.0, 3.0], epochs=5, batch_size=16, verbose=0)
    return model


def test_a_loss_of_ones_own_runs_in_native_code() -> None:
    model = trained_on_huber("numba")
    assert "walked" not in lm.explain(model)
    other = trained_on_huber("numpy")
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("columns", [512, 2048, 4096])
def test_large_results_of_wide_rows(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few rows of such a width are a block."""
    monkeypatch.setattr(regions, "LARGE", 0)
    x = np.random.default_rng(0).standard_normal((5, columns))

    def predicted(backend: str) -> Any:
        layers = [lm.LayerNorm(), lm.Activation("softmax")]
        model = lm.Sequential(layers, loss="cross_entropy", backend=backend, dtype="float64")
        return model.build(columns).predict(x)

    np.testing.assert_allclose(predicted("numba"), predicted("numpy"), rtol=1e-12)


def test_an_operation_without_a_step_is_walked_between_native_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = trained_on_huber("numba").get_weights()
    monkeypatch.setattr(regions, "possible", lambda *_: False)
    lower = nests.lower
    monkeypatch.setattr(
        nests, "lower", lambda low, one: None if one.op == "where" else lower(low, one)
    )
    model = trained_on_huber("numba")
    text = lm.explain(model)
    assert "walked: no native step" in text
    assert "native: product_tiles" in text
    for a, b in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_two_models_in_two_threads(many_threads: Any) -> None:
    from threadpoolctl import threadpool_info

    many_threads(2)
    expected = trained().get_weights()
    before = [pool["num_threads"] for pool in threadpool_info()]
    found: list[Any] = [None] * 4

    def work(number: int) -> None:
        found[number] = trained().get_weights()

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    for weights in found:
        assert support.same(weights, expected)
    assert [pool["num_threads"] for pool in threadpool_info()] == before
    assert (threads.crew.busy, threads.crew.runs) == (0, 0)
    assert len(threads.crew.free) == len(threads.crew.helpers)


@pytest.mark.parametrize("backend", support.CPU)
def test_prepared_prediction(backend: str) -> None:
    x, y = support.classes(40)
    model = support.classifier(backend)
    with pytest.raises(lm.NotBuilt):
        model.prepare()
    model.fit(x, y, verbose=0)
    x = np.asarray(x, dtype=model.dtype)
    prepared = model.prepare()
    for rows in (1, 2, 40):
        np.testing.assert_array_equal(prepared(x[:rows]), model.predict(x[:rows]))
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(prepared(x), model.predict(x))
    with pytest.raises(lm.DtypeError, match="prepared"):
        prepared(x.astype(np.int64))
    with pytest.raises(lm.ShapeError, match="rows of"):
        prepared(x[:, :1])
    with pytest.raises(lm.ShapeError, match="row-major"):
        prepared(np.asfortranarray(x))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_prediction_prepares_follows_the_weights(
    many_threads: Any, count: int, dtype: str
) -> None:
    many_threads(count)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((70, 90)).astype(dtype), rng.integers(0, 5, 70)
    layers = [lm.Dense(150, "relu"), lm.Dense(131, "tanh"), lm.Dense(5, "softmax")]
    model, twin = (
        lm.Sequential(layers, "cross_entropy", dtype=dtype, backend=backend, seed=0).build(90)
        for backend in ("numba", "numpy")
    )
    prepared = model.prepare()

    def same() -> None:
        twin.set_weights(model.get_weights())
        for rows in (70, 33, 70):
            np.testing.assert_allclose(
                prepared(x[:rows]), twin.predict(x[:rows]), rtol=1e-4, atol=1e-6
            )
        assert model.evaluate(x, y)["loss"] == pytest.approx(twin.evaluate(x, y)["loss"], rel=1e-4)

    same()
    model.fit(x, y, epochs=2, validation_data=(x, y), verbose=0)
    same()
    model.set_weights([0.5 * w for w in model.get_weights()])
    same()
    model.train_on_batch(x, y)
    same()
    binding: Any = prepared.free[128, False][0]
    assert binding._plan(70).prepares


def test_prediction_from_many_threads() -> None:
    x, y = support.classes(200)
    model = support.classifier("numba")
    model.fit(x, y, verbose=0)
    parts = [np.ascontiguousarray(x[n : n + 1 + n % 7], dtype=model.dtype) for n in range(150)]
    expected = [model.predict(part) for part in parts]
    prepared = model.prepare()
    with ThreadPoolExecutor(8) as pool:
        for call in (prepared, model.predict):
            for got, want in zip(pool.map(call, parts * 4), expected * 4, strict=True):
                np.testing.assert_array_equal(got, want)


@dataclass(frozen=True)
class Highest(lm.Layer):
    """Numbers of rows, whose reshape the backward pass reads, and nobody what it is made from."""

    def forward(self, x: Any, parameters: Any, context: Any) -> Any:
        most = lm.ops.max(x, axis=(1,), keepdims=True) + 1.0
        return lm.ops.erf(lm.ops.reshape(most, shape=(x.shape[0], 1, 1)))


def test_a_reshape_is_in_memory_though_what_it_is_made_from_is_not() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 3)), rng.standard_normal((9, 2))
    found = []
    for backend in ("numpy", "numba"):
        model = lm.Sequential(
            [lm.Dense(2, "tanh"), Highest(), lm.Flatten(), lm.Dense(2)], "mean_squared_error",
            backend=backend, dtype="float64", seed=1,
        )  # fmt: skip
        found.append(model.gradients(x, y)[0])
    for name, gradient in found[0].items():
        np.testing.assert_allclose(found[1][name], gradient, rtol=1e-12, atol=1e-14)
