"""Several threads and one model: nobody's run touches another's rows, and one thread trains."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends.state import State

BACKENDS = pytest.mark.parametrize("backend", ["numpy", "numba"])
SECONDS = 60.0  # after which threads hang


@pytest.fixture(autouse=True)
def _hurried() -> Iterator[None]:
    """Threads take turns far more often than they would."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def together(*works: Callable[[], Any]) -> list[Any]:
    """What each work gives or raises, all begun at once in threads of their own."""
    gate = threading.Barrier(len(works))

    def one(work: Callable[[], Any]) -> Any:
        gate.wait(SECONDS)
        try:
            return work()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return [each.result(SECONDS) for each in [pool.submit(one, work) for work in works]]


def elsewhere(work: Callable[[], Any]) -> Any:
    """What a work gives or raises in another thread, to who waits for it."""
    (found,) = together(work)
    return found


class During(lm.Callback):
    """Does something after each epoch, and keeps what came of it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.found: list[Any] = []

    def on_epoch_end(self, model: Any, epoch: int, values: Any) -> None:
        self.found.append(self.work())


@BACKENDS
def test_another_thread_may_look_but_not_train(backend: str, tmp_path: Path) -> None:
    x, y = support.classes(48)
    model = support.classifier(backend, optimizer=lm.SGD(0.0))
    model.fit(x, y, verbose=0)
    looks: list[Callable[[], Any]] = [
        lambda: model.evaluate(x[:31], y[:31]),
        lambda: model.predict(x[:31]).tolist(),
        lambda: [g.tolist() for layer in model.gradients(x[:31], y[:31]) for g in layer.values()],
        lambda: [w.tolist() for w in model.get_weights()],
        lambda: model.save(tmp_path / "m.safetensors"),
    ]
    wanted = [look() for look in looks]
    trains: list[Callable[[], Any]] = [
        lambda: model.fit(x, y, verbose=0),
        lambda: model.train_on_batch(x, y),
        lambda: model.to("loops"),
        lambda: model.set_rates({0: 0.5}),
        lambda: lm.find_learning_rate(model, x, y, steps=10),
        lambda: lm.profile(model, x, y),
    ]
    during = During(lambda: [elsewhere(work) for work in (*looks, *trains)])
    model.fit(x, y, 2, 16, callbacks=[during], verbose=0)
    for found in during.found:
        assert found[: len(looks)] == wanted
        for refused in found[len(looks) :]:
            assert isinstance(refused, lm.ModelBusy)
            assert "another thread is training this model" in str(refused)
    assert model.state.epoch == 3
    assert not isinstance(elsewhere(lambda: model.train_on_batch(x, y)), Exception)


@BACKENDS
def test_a_training_that_raised_leaves_the_model_free(backend: str) -> None:
    x, y = support.classes(16)
    model = support.classifier(backend)
    with pytest.raises(lm.ShapeError):
        model.fit(x, y[:3])
    assert isinstance(elsewhere(lambda: model.fit(x, y, batch_size=16, verbose=0)), lm.History)


@pytest.mark.slow
@BACKENDS
def test_three_threads_that_fit_are_one_after_the_other(backend: str) -> None:
    x, y = support.classes(320)
    model, plain = support.classifier(backend), support.classifier(backend)
    for _ in range(10):
        before = model.state.epoch if model.built else 0
        fits = [lambda: model.fit(x, y, 2, 16, verbose=0)] * 3
        found = together(*fits)
        refused = [f for f in found if isinstance(f, lm.ModelBusy)]
        done = [f for f in found if isinstance(f, lm.History)]
        assert done
        assert len(done) + len(refused) == 3
        assert model.state.epoch == before + 2 * len(done)
    plain.fit(x, y, model.state.epoch, 16, verbose=0)
    assert support.same(model.get_weights(), plain.get_weights())


@pytest.mark.long
@BACKENDS
def test_two_models_on_eight_threads(backend: str) -> None:
    sets = [support.classes(200 + 17 * n, seed=n) for n in range(4)]

    def made(rate: float) -> lm.Sequential:
        layers = [lm.Dense(24, "relu"), lm.Dropout(0.2), lm.Dense(3, "softmax")]
        return support.classifier(backend, layers=layers, optimizer=lm.SGD(rate)).build(4)

    def training(model: lm.Sequential) -> list[float]:
        class Between(lm.Callback):
            def on_epoch_end(self, model: Any, epoch: int, values: Any) -> None:
                model.train_on_batch(*sets[1])
                model.fit(*sets[2], batch_size=50, verbose=0)
                model.evaluate(*sets[3])
                model.predict(sets[3][0])

        fit = model.fit(*sets[0], epochs=12, batch_size=16, callbacks=[Between()], verbose=0)
        return fit.history["loss"]

    def looking(model: lm.Sequential, number: int) -> list[Any]:
        x, y = sets[number]
        found: list[Any] = []
        for _ in range(60):
            model.gradients(x, y)  # into the segment where training has its own
            found.append((model.evaluate(x, y), model.predict(x)))
        return found

    moving, still = made(0.1), made(0.0)
    alone = [made(0.1), made(0.0)]
    wanted = [training(model) for model in alone]
    expected = [looking(still, number)[-1] for number in range(1, 4)]
    got = together(
        lambda: training(moving), *(lambda n=n: looking(moving, n) for n in range(1, 4)),
        lambda: training(still), *(lambda n=n: looking(still, n) for n in range(1, 4)),
    )  # fmt: skip
    assert [got[0], got[4]] == wanted
    assert support.same(moving.get_weights(), alone[0].get_weights())
    for found, (values, p) in zip(got[5:], expected, strict=True):
        for one in found:
            assert one[0] == values
            np.testing.assert_array_equal(one[1], p)


@pytest.mark.slow
@BACKENDS
def test_gradients_of_four_threads_are_each_one_s_own(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [support.classes(30 + n, seed=n) for n in range(4)]
    model = support.classifier(backend).build(4)

    def gradients(number: int) -> list[np.ndarray]:
        return [g for layer in model.gradients(*sets[number]) for g in layer.values()]

    wanted, read = [gradients(number) for number in range(4)], State.read

    def slowly(state: State, segment: str) -> np.ndarray:
        time.sleep(0.001)  # in which another thread would write its own
        return read(state, segment)

    monkeypatch.setattr(State, "read", slowly)

    def often(number: int) -> bool:
        return all(support.same(gradients(number), wanted[number]) for _ in range(30))

    assert together(*(lambda n=n: often(n) for n in range(4))) == [True] * 4


@pytest.mark.long
def test_models_that_are_made_ready_by_many_threads_at_once() -> None:
    x, _ = support.classes(600)
    layers = [lm.Dense(64, "relu"), lm.Dense(64, "relu"), lm.Dense(3, "softmax")]
    wanted = support.classifier("numba", layers=layers).build(4).predict(x)
    for _ in range(20):
        model = support.classifier("numba", layers=layers).build(4)
        for p in together(*[lambda model=model: model.predict(x)] * 8):
            np.testing.assert_array_equal(p, wanted)


def test_weights_written_while_another_thread_predicts(monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = support.classes(64)
    layers = [lm.Dense(64, "relu"), lm.Dense(64, "relu"), lm.Dense(3, "softmax")]
    model = support.classifier("numba", layers=layers).build(4)
    model.predict(x)
    assign, seen = type(model.backend).assign, []

    def slowly(self: Any, target: Any, source: Any) -> None:
        seen.append(elsewhere(lambda: model.predict(x)))  # it may pack the old weights
        assign(self, target, source)

    other = support.classifier("numba", layers=layers, seed=1).build(4)
    monkeypatch.setattr(type(model.backend), "assign", slowly)
    model.set_weights(other.get_weights())
    assert len(seen) == 1
    assert model.state.packed
    np.testing.assert_array_equal(model.predict(x), other.predict(x))


@pytest.mark.slow
@BACKENDS
def test_six_threads_save_to_one_path(backend: str, tmp_path: Path) -> None:
    model = support.classifier(backend).build(4)
    path = tmp_path / "m.safetensors"

    def saves() -> None:
        for _ in range(30):
            model.save(path)

    assert together(*[saves] * 6) == [None] * 6
    assert support.same(lm.load(path, backend).get_weights(), model.get_weights())
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_that_waits_for_a_save_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    path = tmp_path / "m.safetensors"
    (tmp_path / f".{path.name}.{os.getpid()}.tmp").symlink_to(victim)
    umask = os.umask(0o027)
    try:
        support.classifier().build(4).save(path)
    finally:
        os.umask(umask)
    assert victim.read_text() == "untouched"
    assert path.stat().st_mode & 0o777 == 0o640


@BACKENDS
def test_a_fit_within_a_fit_ends_and_tells_nothing_but_its_own(backend: str) -> None:
    x, y = support.classes(32)
    inner: list[lm.History] = []

    class Within(lm.Callback):
        def on_epoch_end(self, model: Any, epoch: int, values: Any) -> None:
            model.stop_training = len(outer.found) == 3
            stop = During(lambda: setattr(model, "stop_training", not model.stop_training))
            inner.append(model.fit(x, y, 4, 16, callbacks=[stop], verbose=0))

    model = support.classifier(backend)
    outer = During(lambda: model.history)
    history = model.fit(x, y, 9, 16, callbacks=[outer, Within()], verbose=0)
    assert [len(h.epochs) for h in inner] == [1, 1, 1]
    assert len(history.epochs) == 3
    assert model.history is history
    assert all(found is history for found in outer.found)


@pytest.mark.parametrize(("first", "then"), [("numpy", "numba"), ("numba", "numpy")])
def test_a_callback_may_move_the_model(first: str, then: str) -> None:
    x, y = support.classes(48)
    model, plain = support.classifier(first), support.classifier("numpy")
    moving = During(lambda: model.to(then))
    told = model.fit(x, y, 3, 16, callbacks=[moving], verbose=0).history["loss"]
    wanted = plain.fit(x, y, 3, 16, verbose=0).history["loss"]
    assert model.backend.name == then
    assert model.state.step == 9
    np.testing.assert_allclose(told, wanted, rtol=1e-9)
    for a, b in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
