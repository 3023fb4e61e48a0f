"""Native runs: against the walker, over threads and forks, short epochs, divergence, prediction."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.__main__ import app
from lamina.backends import lowering_gradients, native, threads
from lamina.backends.lowering import Entry, Lowering, Memory, stretches
from lamina.backends.walker import Walker
from lamina.core import training
from typer.testing import CliRunner


@pytest.fixture
def many_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A setter of the number of threads, with every step worth a split."""
    monkeypatch.setattr(native, "SPLIT_SECONDS", 0.0)
    from lamina.backends import lowering

    monkeypatch.setattr(lowering, "SHARED_ELEMENTS", 0)
    before = list(threads._chosen)
    yield lambda count: threads._chosen.__setitem__(slice(None), [count])
    threads._chosen[:] = before


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which ways of computing a layer's gradients are taken, filled in as plans are made."""
    found: list[str] = []
    for name in ("of_own_batch", "columns_of_input"):
        method = getattr(lowering_gradients._Backward, name)

        def noted(*arguments: Any, name: str = name, method: Any = method) -> Any:
            found.append(name)
            return method(*arguments)

        monkeypatch.setattr(lowering_gradients._Backward, name, noted)
    return found


def layers() -> list[Any]:
    return [
        lm.Standardize(), lm.Dense(13, "tanh", weight_decay=0.01), lm.Dropout(0.3),
        lm.Dense(17, "relu"), lm.Dense(3, "softmax"),
    ]  # fmt: skip


def trained(walked: bool = False, dtype: str = "float64", **options: Any) -> lm.Sequential:
    x, y = support.classes(70)
    rule = options.pop("optimizer", lm.Adam(1e-2, clip_norm=1.0))
    model = lm.Sequential(
        layers(), "cross_entropy", rule, ("accuracy",), "numba", dtype=dtype, seed=4
    )
    if walked:
        model.backend.compile = lambda program: Walker(model.backend, program)  # type: ignore[method-assign]
    weights = np.linspace(0.5, 2.0, len(x)) if options.get("weighted") else None
    try:
        model.fit(x, y, epochs=4, batch_size=32, sample_weight=weights, verbose=0)
    finally:
        if walked:
            del model.backend.compile  # type: ignore[method-assign]
    return model


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


@pytest.mark.parametrize("count", [2, 3, 5])
def test_shares_change_nothing_but_rounding(count: int, many_threads: Any) -> None:
    alone = trained()
    many_threads(count)
    split = trained()
    explained = lm.explain(split)
    assert "shares" in explained
    for a, b in zip(alone.get_weights(), split.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_fewer_threads_than_shares_give_the_same_bits(
    many_threads: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_threads(3)
    together = trained()
    monkeypatch.setattr(threads.crew, "busy", 2)  # somebody else has the other cores
    one_thread = trained()
    assert support.same(together.get_weights(), one_thread.get_weights())


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


@pytest.mark.parametrize("count", [1, 2, 3])
def test_gradients_that_are_summed_in_the_step_are_whole_there(
    many_threads: Any, ways: list[str], count: int
) -> None:
    many_threads(count)
    agree_after_steps([Twice(), lm.Dense(3, "softmax")], 30, 600)
    assert ways.count("of_own_batch") == (count > 1)  # the last layer's


@pytest.mark.parametrize("count", [1, 2, 3])
def test_gradients_of_inputs_by_the_rows_of_weights(
    many_threads: Any, ways: list[str], count: int
) -> None:
    many_threads(count)
    hidden = [lm.Dense(300, "relu"), lm.Dense(210, "tanh"), lm.Dense(170, "relu")]
    agree_after_steps([*hidden, lm.Dense(3, "softmax")], 30, 48)
    assert "columns_of_input" in ways


@pytest.mark.parametrize("count", [1, 2, 3])
def test_products_by_blas(many_threads: Any, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    many_threads(count)
    asked = []

    def pays(*sizes: int) -> bool:
        asked.append(sizes)
        return True

    monkeypatch.setattr(lowering_gradients, "blas_pays", pays)
    agree_after_steps([lm.Dense(40, "relu"), lm.Dense(33, "tanh"), lm.Dense(3, "softmax")], 30, 600)
    assert asked


def agree_after_steps(layers: list[Any], columns: int, batch: int) -> None:
    """Trains on NumPy and here, which must come to the same weights."""
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


@pytest.mark.parametrize("shares", [1, 2, 3, 5])
def test_shares_own_every_parameter_once(shares: int) -> None:
    model = lm.Sequential(
        [lm.Dense(130, "relu", use_bias=False), lm.Dense(33, "tanh"), lm.Dense(1, "sigmoid")],
        "binary_cross_entropy", backend="numba",
    )  # fmt: skip
    model.build(70)
    program = model._program("train", 64, 1)
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
    def row(*ranges: tuple[list[Any], list[Any]]) -> list[Entry | None]:
        return [Entry("x", [], reads, writes) for reads, writes in ranges]

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


@pytest.mark.parametrize("shuffle", [False, True])
def test_short_epochs_in_one_run_are_the_same(
    shuffle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = support.classes(64)

    def fitted() -> lm.Sequential:
        model = support.classifier("numba")
        model.fit(x, y, epochs=23, batch_size=16, shuffle=shuffle, verbose=0)
        return model

    together = fitted()
    monkeypatch.setattr(training, "SHORT_PASS", 0)
    one_by_one = fitted()
    assert together.history is not None
    assert one_by_one.history is not None
    assert together.history.history == one_by_one.history.history
    assert together.history.epochs == one_by_one.history.epochs == list(range(1, 24))
    assert support.same(together.get_weights(), one_by_one.get_weights())


EVERYWHERE = pytest.mark.parametrize("backend", ["loops", "numpy", "numba", "numba in shares"])


def started(
    backend: str, monkeypatch: pytest.MonkeyPatch, optimizer: Any, **dense: Any
) -> lm.Sequential:
    """A model of two layers for three features and two targets."""
    if backend == "numba in shares":
        monkeypatch.setattr(native, "SPLIT_SECONDS", 0.0)
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


def test_an_operation_without_a_step_is_walked_between_native_ones() -> None:
    def huber(y_true: Any, y_pred: Any) -> Any:
        error = abs(y_pred - y_true)
        return lm.ops.where(error < 1.0, 0.5 * error**2, error - 0.5)

    x = np.random.default_rng(0).standard_normal((40, 3))
    y = x @ [1.0, -2.0, 3.0]
    ends = []
    for backend in ("numba", "numpy"):
        model = lm.Sequential(
            [lm.Dense(6, "tanh"), lm.Dense(1)], huber, "adam", backend=backend,
            dtype="float64", seed=1,
        )  # fmt: skip
        model.fit(x, y, epochs=5, batch_size=16, verbose=0)
        ends.append(model)
    text = lm.explain(ends[0])
    assert "walked: no native step" in text
    assert "native: product_tiles" in text
    for a, b in zip(*(m.get_weights() for m in ends), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


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


FORK = """
import os, sys, threading
import numpy as np
import lamina as lm
from lamina.backends import native, threads
native.SPLIT_SECONDS = 0.0
threads._chosen[:] = [2]
x = np.random.default_rng(0).standard_normal((640, 20)); y = (x[:, 0] > 0).astype(int)

def train(epochs):
    layers = [lm.Dense(64, "relu"), lm.Dense(2, "softmax")]
    model = lm.Sequential(layers, "cross_entropy", backend="numba", seed=0)
    model.fit(x, y, epochs=epochs, batch_size=64, verbose=0)
    return model.get_weights()

expected = train(3)
if sys.argv[1] == "busy":
    stop = threading.Thread(target=train, args=(4000,), daemon=True)
    stop.start()
    while not threads.crew.busy:
        pass
child = os.fork()
if child == 0:
    if sys.argv[1] == "unguarded":  # what the handler does is undone: the parent's threads are gone
        threads.crew.__dict__.update(saved)
    same = all((a == b).all() for a, b in zip(train(3), expected))
    idle = threads.crew.busy == 0
    helped = threads.crew.helpers and all(h.thread.is_alive() for h in threads.crew.helpers)
    os._exit(0 if same and idle and helped else 3)
_, status = os.waitpid(child, 0)
os._exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("parent", ["idle", "busy"])
def test_a_forked_child_trains_on(parent: str) -> None:
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, parent],
        timeout=100, check=False, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_without_the_guard_the_child_is_alone() -> None:
    script = FORK.replace(
        "child = os.fork()", "saved = dict(threads.crew.__dict__)\nchild = os.fork()"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, "unguarded"], timeout=100, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.returncode == 3


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
    assert binding._plan(70).ahead


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


def test_a_run_goes_on_without_helpers_that_do_not_come(
    many_threads: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_threads(2)
    together = trained()
    monkeypatch.setattr(threads.Helper, "ring", lambda self: None)
    monkeypatch.setattr(native, "PATIENCE", 100)
    time.sleep(0.05)  # by now they sleep
    alone = trained()
    assert support.same(together.get_weights(), alone.get_weights())


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


MEMORY = """
import resource, tracemalloc
import numpy as np
import lamina as lm
x = np.random.default_rng(0).standard_normal((3200, 8)); y = (x[:, 0] > 0).astype(int)
layers = [lm.Dense(16, "relu"), lm.Dense(2, "softmax")]
model = lm.Sequential(layers, "cross_entropy", backend="numba", seed=0)
model.fit(x, y, epochs=5, batch_size=32, verbose=0)
tracemalloc.start()
model.fit(x, y, epochs=5, batch_size=32, verbose=0)  # keeps its data and its history
first, _ = tracemalloc.get_traced_memory()
resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.fit(x, y, epochs=100, batch_size=32, verbose=0)
assert model.state.step == 11_000
last, _ = tracemalloc.get_traced_memory()
assert last - first < 100_000, last - first
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident < 4_000
"""


def test_ten_thousand_steps_keep_their_memory() -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", MEMORY], check=True, timeout=100, env=env)


CACHED = """
import sys
import lamina as lm
model = lm.Sequential([lm.Dense(2, "softmax")], "cross_entropy", backend="numba", seed=0)
model.fit([[0.0, 1.0], [1.0, 0.0]], [0, 1], epochs=2, batch_size=2, verbose=0)
print(sum(map(float, model.get_weights()[0].ravel())))
"""


def test_damaged_and_unwritable_caches(tmp_path: Path) -> None:
    def run(folder: Path) -> tuple[str, str]:
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(
            [sys.executable, "-W", "always::RuntimeWarning", "-c", CACHED], check=True, timeout=200,
            capture_output=True, text=True, env={**env, "LAMINA_CACHE_DIR": str(folder)},
        )  # fmt: skip
        return done.stdout, done.stderr

    cold, told = run(tmp_path)
    assert "compiling kernels" in told
    warm, told = run(tmp_path)
    assert warm == cold
    assert told == ""
    files = sorted(tmp_path.rglob("*.nbc"))
    assert files
    for number, file in enumerate(files):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 0xFF
        file.write_bytes(data if number % 2 else data[: len(data) // 2])
    for file in list(tmp_path.rglob("*.nbi"))[::3]:
        file.write_bytes(file.read_bytes()[:20])
    mended, told = run(tmp_path)
    assert mended == cold
    assert told.count("RuntimeWarning") == 1
    assert "damaged" in told
    again, told = run(tmp_path)
    assert (again, told) == (cold, "")
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    without, told = run(nowhere / "folder")
    assert without == cold
    assert told.count("RuntimeWarning") == 1


TANH = """
import numpy as np
from lamina.kernels import fused_cpu
x = np.ones(1)
out = np.empty(1)
fused_cpu.activate_flat(x, fused_cpu.TANH, 0.0, out)
print(out[0])
"""


def test_machine_code_is_made_anew_when_a_file_that_it_calls_changed(tmp_path: Path) -> None:
    source = Path(lm.__file__).parent
    package = tmp_path / "lamina"
    for part in ("kernels", "backends", "core"):
        shutil.copytree(source / part, package / part)
    shutil.copy(source / "__init__.py", package)
    env = {
        **os.environ, "LAMINA_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)]),
    }  # fmt: skip

    def printed() -> float:
        done = subprocess.run(
            [sys.executable, "-c", TANH], check=True, env=env, capture_output=True, text=True
        )
        return float(done.stdout)

    assert printed() == pytest.approx(np.tanh(1.0))
    assert list((tmp_path / "cache").rglob("*.nbc"))
    changed = package / "kernels" / "fast_math.py"
    text = changed.read_text()
    assert text.count("e / (e + one)") == 1
    changed.write_text(text.replace("e / (e + one)", "two * e / (e + one)"))
    assert printed() == pytest.approx(2.0 * np.tanh(1.0))


def test_warmup() -> None:
    done = CliRunner().invoke(app, ["warmup", "--backend", "numpy"])
    assert done.exit_code == 0
    assert "numpy: 0 pieces" in done.output
