"""Indices that a step computes, on the numba backend: looked at natively, before they are used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends.native.executor import NativeBinding
from lamina.backends.state import Control
from lamina.core import sources

FAR = [-1, 5, 10**8, -(10**8)]  # out of range of five rows; the last two are foreign memory
threads = pytest.mark.parametrize("count", [1, 2])


@dataclass(frozen=True)
class Embedding(lm.Layer):
    """Rows of a table, by numbers that are computed from the first column."""

    def parameters(self, shape: tuple[int, ...]) -> dict[str, lm.Parameter]:
        return {"table": lm.Parameter((5, 4), "random_normal")}

    def forward(self, x: Any, parameters: Any, context: Any) -> Any:
        numbers = lm.ops.cast(x[:, 0:1] - 1.0, "int32")
        rows = lm.ops.gather_rows(parameters["table"], numbers.reshape(-1))
        hot = lm.ops.one_hot(numbers, classes=5, dtype=x.dtype)
        return lm.ops.concatenate([rows * lm.ops.pick(hot + 1.0, numbers), x], axis=1)


def made(backend: str = "numba") -> lm.Sequential:
    layers = [Embedding(), lm.Dense(6, "tanh"), lm.Dense(2)]
    return lm.Sequential(
        layers, "mean_squared_error", lm.Adam(0.01), backend=backend, dtype="float64", seed=3
    ).build(3)


def data(rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, 3))
    x[:, 0] = rng.integers(1, 6, rows)
    return x, rng.standard_normal((rows, 2))


def told(value: int, row: int) -> str:
    return rf"\[gather_rows\] indices has {value} at row {row}, but x has 5 rows"


@threads
def test_nothing_is_walked_and_the_numbers_are_numpy_s(many_threads: Any, count: int) -> None:
    many_threads(count)
    x, y = data()
    one, other = made(), made("numpy")
    assert "walked" not in lm.explain(one)
    for model in (one, other):
        model.fit(x, y, epochs=3, batch_size=16, verbose=0)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(one.predict(x), other.predict(x), rtol=1e-9)
    assert one.evaluate(x, y)["loss"] == pytest.approx(other.evaluate(x, y)["loss"], rel=1e-9)


@threads
@pytest.mark.parametrize("bad", FAR)
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_run_stops_before_the_step_of_a_bad_index(
    many_threads: Any, count: int, bad: int, shuffle: bool
) -> None:
    many_threads(count)
    x, y = data(64)
    x[41, 0] = bad + 1
    ends = []
    for backend in ("numba", "numpy"):
        model = made(backend)
        with pytest.raises(lm.BadInput, match=told(bad, 41)):
            model.fit(x, y, epochs=3, batch_size=8, shuffle=shuffle, verbose=0)
        ends.append((model.state.step, model.get_weights()))
    assert ends[0][0] == ends[1][0]
    if not shuffle:
        assert ends[0][0] == 5  # batches before that of row 41
    for a, b in zip(ends[0][1], ends[1][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@threads
@pytest.mark.parametrize("bad", FAR)
def test_every_program_looks(many_threads: Any, count: int, bad: int) -> None:
    many_threads(count)
    x, y = data(70)
    ill = np.array(x)
    ill[33, 0], ill[50, 0] = bad + 1, 77.0
    model = made()
    prepared = model.prepare()
    before = model.get_weights()
    for call in (
        lambda: model.predict(ill),
        lambda: model.evaluate(ill, y),
        lambda: model.train_on_batch(ill, y),
        lambda: model.gradients(ill, y),
        lambda: prepared(ill),
        lambda: prepared(ill[33:34]),
        lambda: lm.profile(model, ill, y, steps=1),
    ):
        row = 33 if call.__code__.co_consts.count(34) == 0 else 0
        with pytest.raises(lm.BadInput, match=told(bad, row)):
            call()
    assert support.same(model.get_weights(), before)
    assert model.state.step == 0
    np.testing.assert_array_equal(prepared(x), model.predict(x))  # what was told is forgotten
    model.fit(x, y, epochs=2, verbose=0)


@threads
def test_a_later_pass_of_one_run_is_told_with_its_row(
    many_threads: Any, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that leaves its range as the parameters move."""
    many_threads(count)
    monkeypatch.setattr(sources, "POLITE_SECONDS", 60.0)

    def loss(y: Any, p: Any) -> Any:
        places = lm.ops.cast(p.reshape(-1) * 0.5, "int32")
        return lm.ops.gather_rows(np.zeros((3, 1)), places) - p

    x, y = np.ones((32, 1)), np.zeros((32, 1))
    x[29] = 2.0
    steps = []
    together: list[int] = []
    passes = NativeBinding.passes

    def noted(self: NativeBinding, control: Control, count: int) -> Any:
        together.append(count)
        return passes(self, control, count)

    monkeypatch.setattr(NativeBinding, "passes", noted)
    for backend in ("numba", "numpy"):
        model = lm.Sequential(
            [lm.Dense(1, use_bias=False, kernel_initializer="zeros")], loss, lm.SGD(0.05),
            backend=backend, dtype="float64", seed=0,
        )  # fmt: skip
        model.fit(x, y, epochs=1, batch_size=8, shuffle=False, verbose=0)
        with pytest.raises(lm.BadInput, match="indices has 3 at row 29, but x has 3 rows"):
            model.fit(x, y, epochs=200, batch_size=8, shuffle=False, verbose=0)
        steps.append(model.state.step)
    assert steps[0] == steps[1] > 8
    assert max(together) > 1
