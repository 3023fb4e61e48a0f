"""Callbacks that look at batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends.state import Control


class Batches(lm.Callback):
    def __init__(self, stop_at: int = 0) -> None:
        self.seen: list[Any] = []
        self.stop_at = stop_at

    def on_batch_end(self, model: Any, batch: int, values: Any) -> None:
        self.seen.append((model.state.epoch, batch, model.state.step, dict(values)))
        if model.state.step == self.stop_at:
            model.stop_training = True


@pytest.mark.parametrize("backend", support.EVERY)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["arrays", "batches"])
def test_a_hook_after_a_batch_changes_no_bit(backend: str, weighted: bool, kind: str) -> None:
    x, y = support.classes(42)
    weights = np.random.default_rng(1).uniform(0.1, 2.0, 42)

    def stream() -> Iterator[Any]:
        for start in range(0, 42, 8):
            rows = slice(start, start + 8)
            yield (x[rows], y[rows], weights[rows]) if weighted else (x[rows], y[rows])

    ends = []
    hook = Batches()
    for callbacks in ([], [hook]):
        model = support.classifier(backend)
        if kind == "batches":
            told = model.fit(stream, epochs=2, callbacks=callbacks, verbose=0)
        else:
            given = weights if weighted else None
            told = model.fit(x, y, 2, 8, sample_weight=given, callbacks=callbacks, verbose=0)
        ends.append((told.history, model.get_weights()))
    assert ends[0][0] == ends[1][0]
    assert support.same(ends[0][1], ends[1][1])
    assert [row[:3] for row in hook.seen] == [(n // 6, n % 6 + 1, n + 1) for n in range(12)]
    assert set(hook.seen[0][3]) == {"loss", "accuracy"}
    if not weighted:  # each batch's own means, of which the epoch's is the mean
        sizes = [8, 8, 8, 8, 8, 2]
        means = [row[3]["loss"] for row in hook.seen[:6]]
        assert np.average(means, weights=sizes) == pytest.approx(ends[1][0]["loss"][0])


@pytest.mark.parametrize("kind", ["arrays", "batches"])
def test_a_hook_may_end_the_training(kind: str) -> None:
    x, y = support.classes(40)
    model, hook = support.classifier(), Batches(stop_at=7)
    given: Any = (
        (x, y)
        if kind == "arrays"
        else (lambda: [(x[i : i + 8], y[i : i + 8]) for i in range(0, 40, 8)],)
    )
    options = {"batch_size": 8} if kind == "arrays" else {}
    told = model.fit(*given, epochs=5, callbacks=[hook], verbose=0, **options)
    assert told.epochs == [1, 2]
    assert model.state.step == len(hook.seen) == 7
    means = [row[3]["loss"] for row in hook.seen[5:]]
    assert told.history["loss"][1] == pytest.approx(np.mean(means))


def test_a_hook_sees_the_rate_that_it_sets() -> None:
    class Rate(lm.Callback):
        def on_batch_end(self, model: Any, batch: int, values: Any) -> None:
            model.optimizer = lm.SGD(0.0)

    x, y = support.classes(40)
    model, once = (
        support.classifier(optimizer=lm.SGD(0.1)),
        support.classifier(optimizer=lm.SGD(0.1)),
    )
    model.fit(x, y, 2, 8, shuffle=False, callbacks=[Rate()], verbose=0)
    once.train_on_batch(x[:8], y[:8])
    assert support.same(model.get_weights(), once.get_weights())


@pytest.mark.parametrize("at", [1, 3, 5])
def test_a_hook_may_move_the_model(at: int) -> None:
    class Move(lm.Callback):
        def on_batch_end(self, model: Any, batch: int, values: Any) -> None:
            if batch == at:
                model.to("loops")

    x, y = support.classes(40)
    model, still = support.classifier(), support.classifier()
    told = model.fit(x, y, 2, 8, callbacks=[Move()], verbose=0)
    wanted = still.fit(x, y, 2, 8, verbose=0)
    assert model.backend.name == "loops"
    assert model.state.step == 10
    assert told.history["loss"] == pytest.approx(wanted.history["loss"], rel=1e-4)
    for a, b in zip(model.get_weights(), still.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_a_hook_is_not_told_of_a_step_that_was_not_taken() -> None:
    x, y = support.regression(16)
    hook = Batches()
    model = lm.Sequential([lm.Dense(2)], "mean_squared_error", lm.SGD(1e30), backend="numpy")
    with pytest.raises(lm.DivergenceError) as caught:
        model.fit(x, y, 9, 4, callbacks=[hook], verbose=0)
    assert caught.value.step == model.state.step == len(hook.seen)


def test_only_who_looks_at_batches_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    from lamina.backends.walker import WalkerBinding

    runs: list[int] = []
    run = WalkerBinding.run

    def noted(self: WalkerBinding, control: Control) -> None:
        runs.append(control.steps)
        run(self, control)

    monkeypatch.setattr(WalkerBinding, "run", noted)
    x, y = support.classes(400)
    for callbacks, most in (([], 60), ([lm.Plateau()], 60), ([Batches()], 100)):
        runs.clear()
        model = support.classifier()
        model.fit(x, y, 4, 16, callbacks=callbacks, validation_data=(x, y), verbose=0)
        training = sum(runs) - 4
        assert training == 100
        assert (max(runs) == 1) == (most == 100)
