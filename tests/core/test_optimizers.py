"""Fifty steps of every optimizer against torch's numbers (see tests/golden/make_optimizers.py)."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.kernels import momentum

NAMES = (
    "sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "adagrad", "nadam", "amsgrad",
    "amsgradw",
)  # fmt: skip
ARRAYS = ("0.weight", "0.bias", "1.weight", "1.bias")


@cache
def golden() -> dict[str, Any]:
    return json.loads((support.GOLDEN / "optimizers.json").read_text())


def run(case: dict[str, Any], backend: str) -> tuple[np.ndarray, lm.Sequential]:
    decay, settings = case["weight_decay"], dict(case["settings"])
    if case["average"]:
        name, kept = case["average"]
        settings["average"] = getattr(lm, name)(**kept)
    model = lm.Sequential(
        [
            lm.Dense(4, activation="tanh", weight_decay=decay),
            lm.Dense(2, activation="softmax", weight_decay=decay),
        ],
        loss="cross_entropy", optimizer=getattr(lm, case["optimizer"])(**settings),
        backend=backend, dtype="float64", seed=0,
    ).build(3)  # fmt: skip
    model.set_weights([np.array(w) for w in golden()["weights"]])
    if set(case["rates"]) != {1.0}:
        model.set_rates(dict(zip(ARRAYS, case["rates"], strict=True)))
    steps = len(case["losses"])
    x, y = np.array(golden()["x"]), np.array(golden()["y"])
    history = model.fit(x, y, epochs=steps, batch_size=len(x), shuffle=False, verbose=0)
    return np.array(history.history["loss"]), model


def test_the_file_has_every_rule_plain_and_clipped() -> None:
    cases = golden()["cases"]
    assert {*NAMES, *(f"{n}-clipped" for n in NAMES), "sgd-decayed"} <= set(cases)
    assert {*(f"{n}-rates" for n in NAMES[1:]), "adam-SWA", "adam-EMA"} <= set(cases)
    assert all(len(case["losses"]) == 50 for case in cases.values())


@pytest.mark.parametrize("backend", support.EVERY)
@pytest.mark.parametrize("name", golden()["cases"])
def test_fifty_steps(name: str, backend: str) -> None:
    case = golden()["cases"][name]
    losses, model = run(case, backend)
    np.testing.assert_allclose(losses, case["losses"], rtol=1e-9, atol=0)
    for got, wanted in zip(model.get_weights(), case["weights"], strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-10)
    if case["averages"]:
        for got, wanted in zip(model.averaged().get_weights(), case["averages"], strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    "schedule",
    [lm.schedules.OneCycle(0.3, 50), lm.schedules.CosineRestarts(0.3, 6, 2, 0.01)],
    ids=lambda schedule: type(schedule).__name__,
)
def test_a_schedule_s_fifty_rates(schedule: Any) -> None:
    wanted = golden()["schedules"][type(schedule).__name__]
    np.testing.assert_allclose([schedule(step) for step in range(50)], wanted, rtol=1e-12)


def test_schedules_at_their_ends() -> None:
    cycle = lm.schedules.OneCycle(1.0, 10, rise=0.1, start=10.0, end=100.0)  # the top is step 0
    assert cycle(0) == 1.0
    assert cycle(9) == cycle(1000) == pytest.approx(0.001)
    assert lm.schedules.OneCycle(1.0, 10, rise=1.0)(9) == 1.0
    assert lm.schedules.CosineRestarts(1.0, 5)(10**9) == 1.0
    for bad in (
        lambda: lm.schedules.OneCycle(1.0, 1), lambda: lm.schedules.OneCycle(1.0, 10, rise=1.5),
        lambda: lm.schedules.CosineRestarts(1.0, 5, factor=0),
        lambda: lm.schedules.CosineRestarts(1.0, 0),
    ):  # fmt: skip
        with pytest.raises(lm.BadInput, match="must be"):
            bad()


@pytest.mark.parametrize("backend", support.EVERY)
def test_lion_is_what_its_paper_says(backend: str) -> None:
    x, y = support.classes(12)
    optimizer = lm.Lion(0.01, 0.8, 0.9, weight_decay=0.3)
    model = support.classifier(backend, optimizer=optimizer, dtype="float64").build(4)
    weights, means = model.get_weights(), [np.zeros_like(w) for w in model.get_weights()]
    for _ in range(20):
        gradients = [g for layer in model.gradients(x, y) for g in layer.values()]
        for at, g in enumerate(gradients):
            decay = 0.3 if len(weights[at]) > 1 else 0.0
            direction = np.sign(0.8 * means[at] + 0.2 * g)
            weights[at] = weights[at] * (1.0 - 0.01 * decay) - 0.01 * direction
            means[at] = 0.9 * means[at] + 0.1 * g
        model.train_on_batch(x, y)
        for got, wanted in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-14)


NEW = {
    "adagrad": lm.Adagrad(0.1), "nadam": lm.NAdam(0.01), "amsgrad": lm.Adam(0.01, amsgrad=True),
    "amsgradw": lm.AdamW(0.01, weight_decay=0.1, amsgrad=True), "lion": lm.Lion(weight_decay=0.1),
    "ema": lm.SGD(0.1, average=lm.EMA(0.9)), "swa": lm.Adam(average=lm.SWA(start=3, every=2)),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NEW)
def test_new_updates_are_native(name: str, dtype: str) -> None:
    model = support.classifier("numba", optimizer=NEW[name], dtype=dtype).build(4)
    model.set_rates({0: 0.5})
    text = lm.explain(model)
    assert "walked" not in text
    assert "rescale" in text


def test_nadam_s_momentum_far_into_a_training() -> None:
    """The products come from a table, and behind its end from a power."""
    for beta1, decay in ((0.9, 0.004), (0.999, 1.0), (0.5, 0.0), (0.0, 0.004)):
        product, shown = 1.0, (1, 2, 50, 900, 901, 1500, 4000)
        for step in range(1, max(shown) + 1):
            now = beta1 * (1.0 - 0.5 * 0.96 ** (step * decay))
            ahead = beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1) * decay))
            product *= now
            if step in shown:
                wanted = (1.0 - now) / (1.0 - product), ahead / (1.0 - product * ahead)
                np.testing.assert_allclose(momentum.shares(step, beta1, decay), wanted, rtol=1e-12)
        assert len(momentum.products(beta1, decay)) < 3000


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: lm.Adam(average=0.9), "average is an lm.EMA or lm.SWA"),
        (lambda: lm.EMA(1.0), "EMA: decay must be a number in"),
        (lambda: lm.EMA(0.0), "EMA: decay must be above 0"),
        (lambda: lm.SWA(start=-1), "SWA: start must be a whole number of at least 0"),
        (lambda: lm.SWA(every=0), "SWA: every must be"),
        (lambda: lm.NAdam(momentum_decay=-1.0), "NAdam: momentum_decay must be"),
        (lambda: lm.Lion(beta1=1.0), "Lion: beta1 must be"),
        (lambda: lm.LBFGS(iterations=0), "LBFGS: iterations must be"),
        (lambda: lm.Dense(3, rate=-1.0), "Dense: rate must be"),
    ],
)  # fmt: skip
def test_bad_settings(make: Any, says: str) -> None:
    with pytest.raises(lm.BadInput, match=says):
        make()


def test_a_schedule_gives_each_step_its_rate() -> None:
    x, y = support.classes(8)
    seen: list[int] = []

    def rate(step: int) -> float:
        seen.append(step)
        return 0.5 / (1 + step)

    scheduled = support.classifier(optimizer=lm.SGD(rate)).build(4)
    by_hand = scheduled.get_weights()
    for step in range(4):
        gradients = [g for layer in scheduled.gradients(x, y) for g in layer.values()]
        by_hand = [w - 0.5 / (1 + step) * g for w, g in zip(by_hand, gradients, strict=True)]
        scheduled.train_on_batch(x, y)
    assert seen == [0, 1, 2, 3]
    for got, wanted in zip(scheduled.get_weights(), by_hand, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-14)


def test_a_schedule_counts_steps_over_epochs_and_fits() -> None:
    x, y = support.classes(10)
    scheduled = support.classifier(optimizer=lm.SGD(lambda step: 0.3 / (1 + step)))
    by_hand = support.classifier(optimizer=lm.SGD(0.3)).build(4)
    for epochs in (2, 1):
        scheduled.fit(x, y, epochs=epochs, batch_size=4, shuffle=False, verbose=0)
    weights, step = by_hand.get_weights(), 0
    for _ in range(3):
        for part in (slice(0, 4), slice(4, 8), slice(8, 10)):
            layers = by_hand.gradients(x[part], y[part])
            gradients = [g for layer in layers for g in layer.values()]
            rate = 0.3 / (1 + step)
            weights = [w - rate * g for w, g in zip(weights, gradients, strict=True)]
            by_hand.set_weights(weights)
            step += 1
    for got, wanted in zip(scheduled.get_weights(), weights, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-14)
