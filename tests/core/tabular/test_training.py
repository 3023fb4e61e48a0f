"""Training by the recipe: members on parts of the rows, one calibrated model."""

from __future__ import annotations

import _thread
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.backends import threads
from lamina.core.tabular import training
from lamina.core.tabular.columns import Columns
from lamina.core.tabular.members import Job, fit_all, within
from lamina.core.tabular.recipe import Recipe
from lamina.core.tabular.training import calibrated, train, warmed

SMALL = Recipe(hidden=(16, 16), members=3, epochs=16, batch_size=32)


def table(rows: int = 160, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Columns]:
    """Two numbers, two one-hot columns and a code; what they mean, with noise."""
    rng = np.random.default_rng(seed)
    numbers, kind, code = (
        rng.normal(size=(rows, 2)),
        rng.integers(0, 2, rows),
        rng.integers(1, 6, rows),
    )
    score = 2 * numbers[:, 0] + np.array([-1.5, 1.5])[kind] + (code - 3) + rng.normal(0, 0.2, rows)
    x = np.column_stack([100 + 50 * numbers, kind == 0, kind == 1, code])
    return x, score, Columns(2, 2, (6,))


@pytest.mark.slow
def test_classes(tmp_path: Path) -> None:
    x, score, columns = table()
    y = np.digitize(score, [-1, 1])
    trained = train(
        x, y, columns, "classification", 3, SMALL, metrics=("accuracy",), backend="numpy"
    )
    model = trained.model
    assert model.evaluate(x, y)["accuracy"] > 0.85
    assert model.output == "softmax"
    np.testing.assert_allclose(model.predict(x).sum(1), 1, atol=1e-5)
    model.save(tmp_path / "m.safetensors")
    same = lm.load(tmp_path / "m.safetensors", "numpy")
    np.testing.assert_array_equal(same.predict(x), model.predict(x))
    rows, said = trained.held_out(3, len(y))
    assert len(set(rows.tolist())) == len(rows) == 96  # three of five parts
    assert (said.argmax(1) == y[rows]).mean() > 0.7


@pytest.mark.slow
def test_numbers_stay_between_those_that_were_taught() -> None:
    x, score, columns = table()
    y = (score - score.mean()) / score.std()
    trained = train(x, y, columns, "regression", 1, SMALL, backend="numpy")
    assert trained.model.evaluate(x, y)["loss"] < 0.2
    far = x.copy()
    far[:, 0] += 1e6
    assert trained.model.predict(far).max() <= np.float32(y.max())
    assert trained.temperature == 1.0


@pytest.mark.slow
def test_the_model_is_the_mean_of_its_members() -> None:
    x, score, columns = table()
    trained = train(
        x, score > 0, columns, "classification", 2, SMALL, backend="numpy", dtype="float64"
    )
    rows = trained.members[0].held
    front = trained.model.session
    assert front.learned
    logits = 0.0
    scaling = [lm.RobustScale(2), lm.PiecewiseLinear(2, 8)]
    scaled = lm.Sequential(scaling, "mse", backend="numpy", dtype="float64")
    scaled.fit(x, np.zeros((len(x), 16 + x.shape[1])), epochs=0, verbose=0)
    for member in trained.members:
        p = member.model.predict(scaled.predict(x))
        np.testing.assert_allclose(p[member.held], member.predicted, rtol=1e-9)
        logits = logits + np.log(warmed(p, trained.temperature)) / 3
    want = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(trained.model.predict(x), want, rtol=1e-7)
    assert len(rows) == 32


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_the_same_twice(backend: str) -> None:
    x, score, columns = table(60)
    short = Recipe(hidden=(8,), members=2, epochs=3)
    first, again = (
        train(x, score > 0, columns, "classification", 2, short, backend=backend, seed=5)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.model.predict(x), again.model.predict(x))


def test_a_member_that_no_longer_gets_better_ends() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 3)), rng.integers(0, 2, 80)  # nothing to learn
    recipe = Recipe(hidden=(16,), members=2, epochs=60, patience=5, batch_size=16)
    trained = train(x, y, Columns(3), "classification", 2, recipe, backend="numpy")
    assert all(m.epochs < 60 for m in trained.members)
    assert all(m.epochs == m.best_epoch + 5 for m in trained.members)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_few_rows(rows: int) -> None:
    x, score, columns = table(rows)
    trained = train(x, score, columns, "regression", 1, SMALL, backend="numpy")
    assert np.isfinite(trained.model.predict(x)).all()
    assert len(trained.members) == min(rows, 3)


@pytest.mark.slow
def test_weights_of_rows_count() -> None:
    x, _, columns = table(100)
    y, weights = np.arange(100) % 2, np.where(np.arange(100) % 2, 9.0, 1.0)
    found = train(x, y, columns, "classification", 2, SMALL, backend="numpy", sample_weight=weights)
    assert found.model.predict(x)[:, 1].mean() > 0.75


def test_of_very_many_rows_some_are_learned_from_without_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Scales are learned from some; a warning would be an error here."""
    monkeypatch.setattr(training, "MOST_ROWS", 50)
    x, score, columns = table(200)
    trained = train(x, score, columns, "regression", 1, SMALL, backend="numpy")
    assert len(trained.members) == SMALL.members


@pytest.mark.long
def test_a_memory_map_is_not_copied(tmp_path: Path) -> None:
    x, score, columns = table(200)
    file = np.memmap(tmp_path / "x", "float32", "w+", shape=x.shape)
    file[:] = x
    y = (score - score.mean()) / score.std()
    trained = train(file, y, columns, "regression", 1, SMALL, backend="numpy")
    assert trained.model.evaluate(x, y)["loss"] < 0.3
    first, second = trained.members[0].model.layers[:2]
    assert isinstance(first, lm.RobustScale)
    assert isinstance(second, lm.PiecewiseLinear)


@pytest.mark.long
def test_what_grows_too_large_is_scaled_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    x, score, columns = table(200)
    y = (score - score.mean()) / score.std()
    monkeypatch.setattr(training, "MOST_SCALED", 200 * 21 - 1)  # 16 bins and 5 columns
    trained = train(x, y, columns, "regression", 1, SMALL, backend="numpy")
    assert isinstance(trained.members[0].model.layers[1], lm.PiecewiseLinear)
    assert trained.model.evaluate(x, y)["loss"] < 0.3


@pytest.mark.long
def test_a_step_of_one_column_is_learned() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(600, 1))
    y = np.sin(25 * x[:, 0])
    short = Recipe(hidden=(32,), members=2, epochs=40, batch_size=64)
    losses = []
    for bins in (0, 16):
        recipe = replace(short, bins=bins)
        trained = train(x, y, Columns(1), "regression", 1, recipe, backend="numpy")
        losses.append(trained.model.evaluate(x, y)["loss"])
    assert losses[1] < 0.1 < losses[0]


@pytest.mark.long
def test_temperature_lowers_the_loss_of_rows_held_out() -> None:
    x, score, columns = table(300)
    y = (score + np.random.default_rng(1).normal(0, 2, 300) > 0).astype(int)
    trained = train(x, y, columns, "classification", 2, SMALL, backend="numpy")
    found = calibrated(trained.members, y)
    assert found == trained.temperature

    def loss(temperature: float) -> float:
        each = [
            np.log(warmed(m.predicted, temperature)[np.arange(len(m.held)), y[m.held]])
            for m in trained.members
        ]
        return -float(np.concatenate(each).mean())

    assert loss(found) <= min(loss(found * 1.05), loss(found / 1.05), loss(1.0)) + 1e-6


def job(recipe: Recipe, rows: int = 200) -> Job:
    x, score, columns = table(rows)
    return Job(
        x, score, None, columns, recipe.fitted(rows, "regression"), 1, "regression",
        lm.get_backend("numpy"), "float32", 0,
    )  # fmt: skip


def test_a_budget_of_time_shortens_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from lamina.core.tabular import members

    monkeypatch.setattr(members, "_workers", lambda job: 1)
    ticks = iter(float(n) for n in range(10_000))
    monkeypatch.setattr(members, "clock", lambda: next(ticks))
    whole = job(Recipe(hidden=(4,), members=8, epochs=128))
    # A measured epoch is 2 ticks long: one to train, one to evaluate, as many rows as there are.
    enough, short, tiny = (within(replace(whole, deadline=end)) for end in (9e3, 1e3, 400.0))
    assert enough.recipe == whole.recipe
    assert (short.recipe.members, short.recipe.epochs) == (8, 55)
    assert tiny.recipe.members is not None
    assert tiny.recipe.members < 8
    assert not tiny.hurried


def test_the_clock_ends_what_takes_too_long() -> None:
    recipe = Recipe(hidden=(8,), members=2, epochs=10**5, patience=10**5, time=0.5)
    x, score, columns = table()
    start = time.monotonic()
    trained = train(x, score, columns, "regression", 1, recipe, backend="numpy")
    assert time.monotonic() - start < 60
    assert trained.notes
    assert np.isfinite(trained.model.predict(x)).all()


@pytest.mark.slow
@pytest.mark.usefixtures("default_interrupt")
def test_interrupted_it_gives_the_best_so_far() -> None:
    recipe = Recipe(hidden=(8,), members=2, epochs=10**5, patience=10**5)
    x, score, columns = table()
    seen = threading.Event()

    def told(done: int, most: int) -> None:
        if done == 5 and not seen.is_set():
            seen.set()
            _thread.interrupt_main()

    trained = train(x, score, columns, "regression", 1, recipe, backend="numpy", told=told)
    assert trained.stopped
    assert trained.members
    assert np.isfinite(trained.model.predict(x)).all()


def test_a_rate_that_is_too_high_is_lowered() -> None:
    x, score, columns = table()
    recipe = Recipe(hidden=(8,), activation="relu", members=1, epochs=4, learning_rate=1e18)
    with pytest.raises(lm.DivergenceError):
        train(x, score, columns, "regression", 1, recipe, backend="numpy")


def test_runs_of_one_thread_take_one_core() -> None:
    before = threads.count()
    with threads.single():
        assert threads.count() == 1
        found: list[Any] = []
        other = threading.Thread(target=lambda: found.append(threads.count()))
        other.start()
        other.join()
    assert found == [before]
    assert threads.count() == before


def test_an_error_of_a_member_ends_the_others() -> None:
    broken = job(Recipe(hidden=(4,), members=3, epochs=3))

    def told(done: int, most: int) -> None:
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        fit_all(broken, told)
    assert broken.stop.is_set()
