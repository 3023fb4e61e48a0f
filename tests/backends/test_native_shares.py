"""Native runs in shares: how work is cut, what each share waits for, and the same numbers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends import threads
from lamina.backends.native import executor, gradients
from lamina.backends.native.lowering import Lowering, Memory
from lamina.backends.native.tasks import Task, stretches
from lamina.backends.walker import Walker
from lamina.kernels.thresholds import NEVER
from native_support import trained


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which ways of computing a layer's gradients are taken, filled in as plans are made."""
    found: list[str] = []
    for name in ("of_own_batch", "columns_of_input"):
        method = getattr(gradients._Backward, name)

        def noted(*arguments: Any, name: str = name, method: Any = method) -> Any:
            found.append(name)
            return method(*arguments)

        monkeypatch.setattr(gradients._Backward, name, noted)
    return found


@pytest.mark.long
@pytest.mark.parametrize("count", [2, 3, 5])
def test_shares_change_nothing_but_rounding(count: int, many_threads: Any) -> None:
    alone = trained()
    many_threads(count)
    split = trained()
    explained = lm.explain(split)
    assert "shares" in explained
    for a, b in zip(alone.get_weights(), split.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.long
def test_fewer_threads_than_shares_give_the_same_bits(
    many_threads: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_threads(3)
    together = trained()
    monkeypatch.setattr(threads.crew, "busy", 2)  # somebody else has the other cores
    one_thread = trained()
    assert support.same(together.get_weights(), one_thread.get_weights())


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_long_batches_in_shares_agree_with_the_walker(
    many_threads: Any, ways: list[str], count: int
) -> None:
    many_threads(count)
    x, y = support.classes(600)
    ends = []
    for walked in (False, True):
        model = lm.Sequential(
            [lm.Dense(96, "relu"), lm.Dense(40, "tanh"), lm.Dense(3, "softmax")],
            "cross_entropy", lm.AdamW(1e-2, weight_decay=0.1), backend="numba", dtype="float64",
            seed=2,
        )  # fmt: skip
        if walked:
            monkey = pytest.MonkeyPatch()
            backend = model.backend
            monkey.setattr(backend, "compile", lambda program, b=backend: Walker(b, program))
        model.fit(x, y, epochs=3, batch_size=580, shuffle=False, verbose=0)  # and a rest of 20
        if walked:
            monkey.undo()
        ends.append(model)
    for a, b in zip(*(m.get_weights() for m in ends), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    assert "of_own_batch" in ways


@dataclass(frozen=True)
class Twice(lm.Layer):
    """A dense layer that is applied to its own output."""

    def parameters(self, shape: Any) -> dict[str, lm.Parameter]:
        return {
            "w": lm.Parameter((shape[-1], shape[-1]), "xavier"),
            "b": lm.Parameter((1, shape[-1]), "zeros"),
        }

    def forward(self, x: Any, parameters: Any, context: Any) -> Any:
        for _ in range(2):
            x = lm.ops.relu(lm.ops.matmul(x, parameters["w"]) + parameters["b"])
        return x


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3])
def test_gradients_that_are_summed_in_the_step_are_whole_there(
    many_threads: Any, ways: list[str], count: int
) -> None:
    many_threads(count)
    agree_after_steps([Twice(), lm.Dense(3, "softmax")], 30, 600)
    assert ways.count("of_own_batch") == (count > 1)  # the last layer's


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3])
def test_gradients_of_inputs_by_the_rows_of_weights(
    many_threads: Any, ways: list[str], count: int
) -> None:
    many_threads(count)
    hidden = [lm.Dense(300, "relu"), lm.Dense(210, "tanh"), lm.Dense(170, "relu")]
    agree_after_steps([*hidden, lm.Dense(3, "softmax")], 30, 48)
    assert "columns_of_input" in ways


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("blas", [True, False])
def test_products_by_blas_and_in_tiles(
    many_threads: Any, monkeypatch: pytest.MonkeyPatch, count: int, blas: bool
) -> None:
    many_threads(count)
    side = 0 if blas else NEVER
    support.decided(
        monkeypatch, forward_blas=side, input_blas=side, weight_blas=side, split_seconds=0.0
    )
    layers = [lm.Dense(40, "relu"), lm.Dense(33, "tanh"), lm.Dense(7), lm.Dense(3, "softmax")]
    text = agree_after_steps(layers, 30, 600)
    lines = [line for line in text.splitlines() if "dense" in line]
    assert len(lines) == 8
    if not blas:
        assert all("product_tiles" in line for line in lines), text
    assert all((" product " in f"{line} ") == blas for line in lines), text


def agree_after_steps(layers: list[Any], columns: int, batch: int) -> str:
    """Trains on NumPy and here, which must come to the same weights; how it is run here."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2 * batch, columns)), rng.integers(0, 3, 2 * batch)
    ends = []
    for backend in ("numpy", "numba"):
        model = lm.Sequential(
            layers, "cross_entropy", lm.SGD(0.1), backend=backend, dtype="float64", seed=1
        )
        model.fit(x, y, epochs=3, batch_size=batch, shuffle=False, verbose=0)
        ends.append(model.get_weights())
    for found, expected in zip(*ends, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    return lm.explain(model)


@pytest.mark.parametrize("shares", [1, 2, 3, 5])
def test_shares_own_every_parameter_once(shares: int) -> None:
    model = lm.Sequential(
        [lm.Dense(130, "relu", use_bias=False), lm.Dense(33, "tanh"), lm.Dense(1, "sigmoid")],
        "binary_cross_entropy", backend="numba",
    )  # fmt: skip
    model.build(70)
    program = model.session.program("train", 64)
    low = Lowering(
        program, Memory({}, {}, 0, [], lambda size: 0, lambda w: 0, lambda name: 0), 64, shares
    )
    owners = np.zeros(program.layout.length("parameters"), dtype=int)
    for cuts in low.owned():
        assert len(cuts) == shares
        for start, stop in cuts:
            owners[start:stop] += 1
    assert (owners == 1).all()


def test_shares_wait_where_one_touches_what_another_wrote() -> None:
    def row(*ranges: tuple[list[Any], list[Any]]) -> list[Task | None]:
        return [Task("x", [], reads, writes) for reads, writes in ranges]

    write = row(([], [(0, 10)]), ([], [(10, 20)]))
    own = row(([(0, 10)], [(100, 110)]), ([(10, 20)], [(110, 120)]))
    whole = row(([(0, 20)], [(200, 210)]), ([(0, 20)], [(210, 220)]))
    again = row(([], [(0, 10)]), ([], [(10, 20)]))
    assert [len(s) for s in stretches([write, own, whole, again], 2)] == [2, 1, 1]
    rng = np.random.default_rng(0)
    for _ in range(200):
        rows = []
        for _ in range(12):
            spans = rng.integers(0, 40, (3, 2, 2))
            rows.append(
                row(*(([(a, a + 1 + b % 5)], [(c, c + 1 + d % 5)]) for (a, b), (c, d) in spans))
            )
        for stretch in stretches(rows, 3):
            for at, later in enumerate(stretch):
                for earlier in stretch[:at]:
                    assert not clash(earlier, later)
        assert [r for s in stretches(rows, 3) for r in s] == rows


def clash(earlier: Any, later: Any) -> bool:
    """Whether one share of the later row touches what another share touched, one writing."""

    def meet(some: Any, others: Any) -> bool:
        return any(max(a, c) < min(b, d) for a, b in some for c, d in others)

    return any(
        meet(one.writes, other.writes) or meet(one.reads, other.writes)
        or meet(one.writes, other.reads)
        for i, one in enumerate(earlier)
        for j, other in enumerate(later)
        if i != j
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [2, 3])
def test_few_rows_share_out_the_weights(many_threads: Any, count: int, dtype: str) -> None:
    many_threads(count)
    x = np.random.default_rng(0).standard_normal((40, 300)).astype(dtype)
    layers = [lm.Dense(270, "relu"), lm.Dense(200, "tanh", use_bias=False), lm.Dense(3, "softmax")]
    model = lm.Sequential(layers, "cross_entropy", dtype=dtype, backend="numba", seed=0)
    model.build(300)
    prepared = model.prepare()
    twin = lm.Sequential(layers, "cross_entropy", dtype=dtype, backend="numpy", seed=0)
    twin.build(300)
    for rows in (1, 3, 16, 17, 40):
        expected = twin.predict(x[:rows])
        np.testing.assert_allclose(prepared(x[:rows]), expected, rtol=2e-5, atol=1e-7)
    binding = prepared.free[1, False][0]
    plan: Any = binding._plan(1)  # type: ignore[attr-defined]
    first = plan.lowered[0][0]
    assert sum(entry is not None for entry in first) == count  # one row, and yet all work


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_training_shares_read_the_weights_that_they_updated(many_threads: Any, count: int) -> None:
    many_threads(count)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 520)).astype("float32"), rng.integers(0, 3, 64)
    layers = [lm.Dense(140, "relu"), lm.Dense(3, "softmax")]
    model, twin = (
        lm.Sequential(layers, "cross_entropy", "adam", backend=backend, seed=0)
        for backend in ("numba", "numpy")
    )
    for one in (model, twin):
        one.fit(x, y, epochs=3, batch_size=32, shuffle=False, verbose=0)
    for found, expected in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    assert "join" in str(lm.explain(model))


@dataclass(frozen=True)
class Scaled(lm.Layer):
    """A dense layer whose weight is computed in every step."""

    units: int

    def parameters(self, shape: Any) -> dict[str, lm.Parameter]:
        return {
            "w": lm.Parameter((shape[-1], self.units), "xavier"),
            "s": lm.Parameter((1, self.units), "ones"),
            "b": lm.Parameter((1, self.units), "zeros"),
        }

    def forward(self, x: Any, parameters: Any, context: Any) -> Any:
        product = lm.ops.matmul(x, parameters["w"] * parameters["s"])
        return lm.ops.relu(product + parameters["b"])


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_weights_that_a_step_computes_are_those_of_the_step(many_threads: Any, count: int) -> None:
    many_threads(count)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((96, 90)), rng.integers(0, 5, 96)
    layers = [lm.Dense(64, "tanh"), Scaled(150), lm.Dense(5, "softmax")]
    model, twin = (
        lm.Sequential(
            layers, "cross_entropy", lm.SGD(0.1), dtype="float64", backend=backend, seed=0
        ).build(90)
        for backend in ("numba", "numpy")
    )
    np.testing.assert_allclose(model.predict(x), twin.predict(x), rtol=1e-9)
    for one in (model, twin):
        one.fit(x, y, epochs=5, batch_size=32, shuffle=False, verbose=0)
    for found, expected in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(model.predict(x), twin.predict(x), rtol=1e-8)


@pytest.mark.slow
def test_a_run_goes_on_without_helpers_that_do_not_come(
    many_threads: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_threads(2)
    together = trained()
    monkeypatch.setattr(threads.Helper, "ring", lambda self: None)
    monkeypatch.setattr(executor, "PATIENCE", 100)
    time.sleep(0.05)  # by now they sleep
    alone = trained()
    assert support.same(together.get_weights(), alone.get_weights())
