"""Callbacks that monitor a number, that look at batches, and logs whose columns change."""

from __future__ import annotations

import csv
import itertools
import json
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends.state import Control
from lamina.core.monitor import Monitor

NAN, INF = math.nan, math.inf


def brier_score(y: Any, p: Any) -> Any:
    return (y - p) ** 2


def f1(y: Any, p: Any) -> Any:
    return 1.0 - (y - p) ** 2


def mae(y: Any, p: Any) -> Any:
    return abs(y - p)


def r2(y: Any, p: Any) -> Any:
    return -((y - p) ** 2)


def score_of_mine(y: Any, p: Any) -> Any:
    return 1.0 - (y - p) ** 2


def logistic(*metrics: Any, **options: Any) -> lm.Sequential:
    return lm.Sequential(
        [lm.Dense(1, "sigmoid")], "binary_cross_entropy", lm.Adam(0.05), metrics, backend="numpy",
        seed=0, **options,
    )  # fmt: skip


def fed(callback: lm.Callback, numbers: list[float], name: str = "val_loss") -> lm.Sequential:
    """A model whose callback saw these numbers, one an epoch, until it stopped."""
    model = logistic("accuracy").build(2)
    model.optimizer = lm.SGD(0.1)
    callback.on_fit_begin(model)
    for epoch, number in enumerate(numbers, 1):
        if not model.stop_training:
            callback.on_epoch_end(model, epoch, {"loss": 1.0, name: number})
    return model


# Which way is better


@pytest.mark.parametrize("metric", [brier_score, f1, mae, r2])
def test_a_known_name_says_its_direction(metric: Any) -> None:
    x, y = support.binary(64)
    stop = lm.EarlyStopping(monitor=metric.__name__, patience=3)
    model = logistic(metric)
    values = model.fit(x, y, epochs=30, callbacks=[stop], verbose=0).history[metric.__name__]
    best = np.argmin(values) if metric in (brier_score, mae) else np.argmax(values)
    assert stop.best_epoch == 1 + best == 30


@pytest.mark.parametrize(
    "make",
    [
        lambda **o: lm.EarlyStopping(**o),
        lambda **o: lm.Plateau(**o),
        lambda **o: lm.Checkpoint("never", save_best_only=True, **o),
    ],
)
def test_an_unknown_direction_is_asked_for(make: Callable[..., Any], tmp_path: Path) -> None:
    x, y = support.binary(64)
    model = logistic(score_of_mine)
    model.optimizer = lm.SGD(0.1)
    for name in ("score_of_mine", "val_score_of_mine"):
        with pytest.raises(lm.BadInput, match=rf"more of '{name}' better, or less\? Say mode="):
            model.fit(x, y, validation_data=(x, y), verbose=0, callbacks=[make(monitor=name)])
        assert model.state.step == 0  # before the training, not after its first epoch
    for wrong, says in (
        ({"mode": "up"}, "mode 'up'.*valid: auto, min, max"),
        ({"min_delta": -1.0}, "min_delta must be"),
        ({"min_delta": NAN}, "min_delta must be"),
        ({"start_epoch": 0}, "start_epoch must be"),
    ):
        with pytest.raises((lm.BadInput, lm.UnknownName), match=says):
            make(**wrong)


def test_mode_comes_before_the_name() -> None:
    stop = lm.EarlyStopping("val_accuracy", mode="min")
    fed(stop, [0.5, 0.4, 0.6], "val_accuracy")
    assert (stop.best, stop.best_epoch) == (0.4, 2)
    stop = lm.EarlyStopping("odd", mode="max")
    fed(stop, [0.5, 0.4, 0.6], "odd")
    assert (stop.best, stop.best_epoch) == (0.6, 3)
    with pytest.raises(lm.BadInput, match="more of 'odd'"):
        fed(lm.EarlyStopping("odd"), [0.5], "odd")


# What is no number, and what is no improvement


@pytest.mark.parametrize(
    ("numbers", "best_epoch", "stopped"),
    [
        ([NAN, 0.5, 0.4, 0.3], 4, False),
        ([NAN, NAN, NAN], 0, True),
        ([INF, 0.5, NAN, 0.3], 4, False),
        ([0.5, NAN, NAN], 1, True),
        ([0.5, 0.6, 0.4, 0.5, 0.4], 3, True),
    ],
)
def test_nan_is_never_the_best(numbers: list[float], best_epoch: int, stopped: bool) -> None:
    stop, plateau = lm.EarlyStopping(patience=2), lm.Plateau(patience=2)
    model = fed(stop, numbers)
    assert (stop.best_epoch, model.stop_training) == (best_epoch, stopped)
    assert (fed(plateau, numbers).optimizer.learning_rate != 0.1) == stopped
    before = model.get_weights()
    stop.on_fit_end(model, lm.History())
    assert support.same(before, model.get_weights())
    watch = Monitor("test", "val_f1", "auto", 0.0)
    found = [watch.improved((), {"val_f1": -number}) for number in numbers]
    assert max((at for at, better in enumerate(found, 1) if better), default=0) == best_epoch


def test_min_delta() -> None:
    numbers = [1.0, 0.95, 0.92, 0.85, 0.85]
    for delta, best_epoch in ((0.0, 4), (0.1, 4), (0.2, 1)):
        stop = lm.EarlyStopping(patience=9, min_delta=delta)
        fed(stop, numbers)
        assert stop.best_epoch == best_epoch
        stop = lm.EarlyStopping("f1", patience=9, min_delta=delta)
        fed(stop, [-n for n in numbers], "f1")
        assert stop.best_epoch == best_epoch
    assert fed(lm.Plateau(patience=3, min_delta=0.5), numbers).optimizer.learning_rate == 0.05
    assert fed(lm.Plateau(patience=3), numbers).optimizer.learning_rate == 0.1


def test_start_epoch() -> None:
    numbers = [0.1, 0.2, 0.9, 0.8, 0.85, 0.85]
    stop = lm.EarlyStopping(patience=2, start_epoch=3)
    assert fed(stop, numbers).stop_training
    assert (stop.best, stop.best_epoch) == (0.8, 4)
    assert fed(lm.EarlyStopping(patience=2), numbers).stop_training
    assert fed(lm.Plateau(patience=2, start_epoch=3), numbers).optimizer.learning_rate == 0.05
    assert fed(lm.Plateau(patience=2, start_epoch=5), numbers).optimizer.learning_rate == 0.1


def test_early_stopping_warns_of_the_training_loss_alone() -> None:
    x, y = support.binary(40)
    with pytest.warns(UserWarning, match="give fit validation_data or validation_split") as told:
        logistic().fit(x, y, epochs=3, callbacks=[lm.EarlyStopping()], verbose=0)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logistic().fit(x, y, epochs=3, callbacks=[lm.EarlyStopping("loss")], verbose=0)
        data = {"validation_data": (x, y), "verbose": 0}
        logistic().fit(x, y, epochs=3, callbacks=[lm.EarlyStopping()], **data)
        logistic().fit(x, y, epochs=3, callbacks=[lm.Plateau()], verbose=0)


# Checkpoints of the best


def test_save_best_only(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    saved = []

    class Model:
        metrics = ()
        stop_training = False

        def save(self, path: Path) -> None:
            saved.append(epoch)

    numbers = [NAN, 0.5, 0.6, 0.4, 0.45, 0.39, 0.2]
    for options, wanted in (
        ({}, [2, 4, 6, 7]),
        ({"every": 2}, [2, 4, 6]),
        ({"min_delta": 0.05}, [2, 4, 7]),
        ({"start_epoch": 5}, [5, 6, 7]),
        ({"mode": "max"}, [2, 3]),
    ):
        saved.clear()
        keep = lm.Checkpoint(path, save_best_only=True, **options)  # type: ignore[arg-type]
        for epoch, number in enumerate(numbers, 1):
            keep.on_epoch_end(Model(), epoch, {"loss": 0.0, "val_loss": number})  # type: ignore[arg-type]
        assert saved == wanted
    with pytest.raises(lm.BadInput, match="save_best_only=True"):
        lm.Checkpoint(path, monitor="loss")


def test_the_best_model_is_in_the_file(tmp_path: Path) -> None:
    x, y = support.binary(60)
    model = logistic("accuracy")
    model.optimizer = lm.SGD(2.0)
    name = "val_accuracy"
    path = tmp_path / "best.safetensors"
    keep = lm.Checkpoint(path, save_best_only=True, monitor=name)
    held = (x[40:], y[40:])
    told = model.fit(x[:40], y[:40], 12, 8, held, callbacks=[keep], verbose=0).history[name]
    kept = lm.load(path, backend="numpy")
    assert kept.state.epoch == 1 + int(np.argmax(told))
    assert kept.evaluate(*held)["accuracy"] == max(told)


# After a batch


class Batches(lm.Callback):
    def __init__(self, stop_at: int = 0) -> None:
        self.seen: list[Any] = []
        self.stop_at = stop_at

    def on_batch_end(self, model: Any, batch: int, values: Any) -> None:
        self.seen.append((model.state.epoch, batch, model.state.step, dict(values)))
        if model.state.step == self.stop_at:
            model.stop_training = True


@pytest.mark.parametrize("backend", support.CPU)
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


# Endless batches


def endless(x: Any, y: Any) -> Iterator[Any]:
    for start in itertools.cycle(range(0, 40, 10)):
        yield x[start : start + 10], y[start : start + 10]


def test_steps_per_epoch() -> None:
    x, y = support.classes(40)
    whole = support.classifier()
    wanted = whole.fit(lambda: itertools.islice(endless(x, y), 3), verbose=0)
    rest = [(x[30:], y[30:]), (x[:10], y[:10]), (x[10:20], y[10:20])]
    wanted_rest = whole.fit(lambda: rest, verbose=0)
    four = [(x[i : i + 10], y[i : i + 10]) for i in range(0, 40, 10)]

    class Anew:
        def __iter__(self) -> Iterator[Any]:
            return iter(four)

    for source in (endless(x, y), lambda: endless(x, y), Anew(), lambda: four):
        model = support.classifier()
        told = model.fit(source, epochs=2, steps_per_epoch=3, verbose=0)
        assert told.history["loss"] == wanted.history["loss"] + wanted_rest.history["loss"]
        assert support.same(model.get_weights(), whole.get_weights())
        assert model.state.step == 6


def test_steps_per_epoch_that_do_not_work() -> None:
    x, y = support.classes(40)
    model = support.classifier()
    with pytest.raises(lm.BadInput, match="for an iterable of batches, not for arrays"):
        model.fit(x, y, steps_per_epoch=3, verbose=0)
    for wrong in (0, -1, 2.5):
        with pytest.raises(lm.BadInput, match="steps_per_epoch must be a whole number"):
            model.fit(endless(x, y), steps_per_epoch=wrong, verbose=0)  # type: ignore[arg-type]
    with pytest.raises(lm.BadInput, match="ended after 1 of the 3 of an epoch"):
        model.fit(itertools.islice(endless(x, y), 4), epochs=2, steps_per_epoch=3, verbose=0)
    assert model.history is not None
    assert model.history.epochs == [1]
    with pytest.raises(lm.BadInput, match="say how many batches of it are an epoch"):
        model.fit(endless(x, y), epochs=2, verbose=0)
    with pytest.raises(lm.BadInput, match="ended after 0 of the 3"):
        model.fit(lambda: [], steps_per_epoch=3, verbose=0)


# Logs


def logged(path: Path, *metrics: str, **options: Any) -> dict[str, list[float]]:
    x, y = support.binary(20)
    told = logistic(*metrics).fit(
        x, y, batch_size=20, callbacks=[lm.LogFile(path)], verbose=0, **options
    )
    return told.history


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_log_goes_on_with_other_columns(tmp_path: Path) -> None:
    path, (x, y) = tmp_path / "l.csv", support.binary(20)
    first = logged(path, "accuracy")
    second = logged(path, validation_data=(x, y))  # another column, and one less
    third = logged(path, "mean_squared_error", "accuracy")
    fourth = logged(path)  # only fewer
    found = rows(path)
    columns = ["epoch", "step", "loss", "accuracy", "val_loss", "mean_squared_error"]
    assert all(list(row) == columns for row in found)
    for row, history in zip(found, (first, second, third, fourth), strict=True):
        for name in columns[2:]:
            assert row[name] == (str(history[name][0]) if name in history else "")
    assert [path.name for path in tmp_path.iterdir()] == ["l.csv"]


def test_a_log_with_more_columns_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.touch()
    path.chmod(0o640)
    logged(path, "accuracy")
    logged(path, "mean_squared_error")
    assert len(rows(path)) == 2
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_log_that_broke_off_goes_on_in_a_line_of_its_own(tmp_path: Path) -> None:
    for metrics in ((), ("mean_squared_error",)):
        path = tmp_path / f"{len(metrics)}.csv"
        logged(path, "accuracy")
        whole = path.read_bytes()
        path.write_bytes(whole.rstrip()[:-3])  # the last number is cut, and the end of the line
        logged(path, "accuracy", *metrics)
        assert [row["epoch"] for row in rows(path)] == ["1", "1"]
        path.write_bytes(b"")
        logged(path)
        assert list(rows(path)[0]) == ["epoch", "step", "loss"]


def test_lines_of_json_need_no_header(tmp_path: Path) -> None:
    path, (x, y) = tmp_path / "l.jsonl", support.binary(20)
    logged(path, "accuracy")
    told = logged(path, validation_data=(x, y))
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert list(found[0]) == ["epoch", "step", "loss", "accuracy"]
    assert found[1]["val_loss"] == told["val_loss"][0]
