"""Fifty steps of every optimizer against torch's numbers (see tests/golden/make_optimizers.py)."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support

NAMES = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")


@cache
def golden() -> dict[str, Any]:
    return json.loads((support.GOLDEN / "optimizers.json").read_text())


def run(case: dict[str, Any], backend: str) -> tuple[np.ndarray, list[np.ndarray]]:
    decay = case["weight_decay"]
    model = lm.Sequential(
        [
            lm.Dense(4, activation="tanh", weight_decay=decay),
            lm.Dense(2, activation="softmax", weight_decay=decay),
        ],
        loss="cross_entropy", optimizer=getattr(lm, case["optimizer"])(**case["settings"]),
        backend=backend, dtype="float64", seed=0,
    ).build(3)  # fmt: skip
    model.set_weights([np.array(w) for w in golden()["weights"]])
    steps = len(case["losses"])
    x, y = np.array(golden()["x"]), np.array(golden()["y"])
    history = model.fit(x, y, epochs=steps, batch_size=len(x), shuffle=False, verbose=0)
    return np.array(history.history["loss"]), model.get_weights()


def test_the_file_has_every_rule_plain_and_clipped() -> None:
    cases = golden()["cases"]
    assert {*NAMES, *(f"{n}-clipped" for n in NAMES), "sgd-decayed"} <= set(cases)
    assert all(len(case["losses"]) == 50 for case in cases.values())


@pytest.mark.parametrize("backend", support.CPU)
@pytest.mark.parametrize("name", golden()["cases"])
def test_fifty_steps(name: str, backend: str) -> None:
    case = golden()["cases"][name]
    losses, weights = run(case, backend)
    np.testing.assert_allclose(losses, case["losses"], rtol=1e-9, atol=0)
    for got, wanted in zip(weights, case["weights"], strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-10)


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
