"""Logistic regression in five steps, from two loops in Python to one call (course 2.8 and 2.9).

Each step does the same: one step of gradient descent on the cost
J(w, b) = -1/m sum_i [y_i log a_i + (1 - y_i) log(1 - a_i)], a_i = sigmoid(w x_i + b).
x: (m, n); y: (m,), zeros and ones; w: (n,). The functions are written to be read side by side.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..backends.registry import status
from ..backends.selection import get_backend
from ..core.layers import Dense
from ..core.model import Sequential
from ..core.optimizers import SGD
from .result import Row
from .timing import Contender

RATE = 0.1
EXAMPLES, FEATURES = 1000, 64
CHECKED_STEPS = 5
AGREES = 1e-4  # float32 against float64 after the steps
STEPS = (
    "1 loops over examples and features",
    "2 loop over examples",
    "3 vectorised",
    "4 fused",
    "5 captured",
)


def loops_over_both(
    x: list[list[float]], y: list[float], w: list[float], b: float
) -> tuple[float, list[float], float]:
    """One step with a loop over the examples, and in it loops over the features."""
    m, n = len(x), len(w)
    cost, dw, db = 0.0, [0.0] * n, 0.0
    for i in range(m):
        z = b
        for j in range(n):
            z += w[j] * x[i][j]
        a = 1.0 / (1.0 + math.exp(-z))
        cost += -(y[i] * math.log(a) + (1.0 - y[i]) * math.log(1.0 - a))
        dz = a - y[i]
        for j in range(n):
            dw[j] += x[i][j] * dz
        db += dz
    return cost / m, [w[j] - RATE * dw[j] / m for j in range(n)], b - RATE * db / m


def loop_over_examples(
    x: np.ndarray, y: np.ndarray, w: np.ndarray, b: float
) -> tuple[float, np.ndarray, float]:
    """The loops over the features became vector operations; the one over the examples is left."""
    m = len(x)
    cost, dw, db = 0.0, np.zeros_like(w), 0.0
    for i in range(m):
        z = np.dot(w, x[i]) + b
        a = 1.0 / (1.0 + np.exp(-z))
        cost += -(y[i] * np.log(a) + (1.0 - y[i]) * np.log(1.0 - a))
        dz = a - y[i]
        dw += x[i] * dz
        db += dz
    return cost / m, w - RATE * dw / m, b - RATE * db / m


def vectorised(
    x: np.ndarray, y: np.ndarray, w: np.ndarray, b: float
) -> tuple[float, np.ndarray, float]:
    """No loop: all examples at once."""
    m = len(x)
    z = x @ w + b
    a = 1.0 / (1.0 + np.exp(-z))
    cost = -np.mean(y * np.log(a) + (1.0 - y) * np.log(1.0 - a))
    dz = a - y
    return cost, w - RATE * (x.T @ dz) / m, b - RATE * np.sum(dz) / m


class Whole:
    """Fused, and on a GPU captured: a model on a backend, many steps in one call."""

    def __init__(self, x: np.ndarray, y: np.ndarray, backend: str) -> None:
        self.x, self.y = x, y
        self.model = Sequential(
            [Dense(1, "sigmoid", kernel_initializer="zeros")], "binary_cross_entropy",
            SGD(RATE), backend=get_backend(backend), dtype=str(x.dtype), seed=0,
        )  # fmt: skip

    def __call__(self, steps: int) -> float:
        """That many steps on all examples; returns the last cost."""
        history = self.model.fit(self.x, self.y, steps, len(self.x), shuffle=False, verbose=0)
        return history.history["loss"][-1]


Stepper = Callable[[Any, Any, Any, float], tuple[float, Any, float]]


class ByHand:
    """One of the written-out steps, repeated."""

    def __init__(self, step: Stepper, x: Any, y: Any, w: Any) -> None:
        self.step, self.x, self.y, self.start = step, x, y, w

    def __call__(self, steps: int) -> float:
        """That many steps from the start; returns the last cost.

        Each call starts anew: after thousands of steps log(1 - a) would be that of zero.
        """
        cost, self.w, self.b = 0.0, self.start, 0.0
        for _ in range(steps):
            cost, self.w, self.b = self.step(self.x, self.y, self.w, self.b)
        return float(cost)


def data(examples: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping clouds: x (m, n) float64, y (m,)."""
    rng = np.random.default_rng(0)
    y = (rng.random(examples) < 0.5).astype(np.float64)
    x = rng.standard_normal((examples, features)) + 0.2 * (2.0 * y[:, None] - 1.0)
    return x, y


def makers(x: np.ndarray, y: np.ndarray) -> dict[str, Callable[[], Any]]:
    """How each step is set up."""
    w, x32, y32 = np.zeros(x.shape[1]), x.astype(np.float32), y.astype(np.float32)
    names = iter(STEPS)
    return {
        next(names): lambda: ByHand(loops_over_both, x.tolist(), y.tolist(), w.tolist()),
        next(names): lambda: ByHand(loop_over_examples, x32, y32, w.astype(np.float32)),
        next(names): lambda: ByHand(vectorised, x32, y32, w.astype(np.float32)),
        next(names): lambda: Whole(x32, y32, "numba"),
        next(names): lambda: Whole(x32, y32, "cupy"),
    }


DEVICE = {
    STEPS[0]: "loops",
    STEPS[1]: "numpy",
    STEPS[2]: "numpy",
    STEPS[3]: "numba",
    STEPS[4]: "cupy",
}


def prepare(
    examples: int = EXAMPLES, features: int = FEATURES
) -> list[tuple[Row, Contender | None]]:
    """The five steps, checked: the cost after a few steps is that of float64 NumPy."""
    x, y = data(examples, features)
    expected = ByHand(vectorised, x, y, np.zeros(features))(CHECKED_STEPS)
    found: list[tuple[Row, Contender | None]] = []
    # two products of 2 m n, and the passes over x that they make
    work = {"flops": 4.0 * examples * features, "bytes": 2.0 * 4.0 * examples * features}
    for name, make in makers(x, y).items():
        backend = DEVICE[name]
        row = Row(
            "story", f"logistic regression, {examples} x {features}", backend, name,
            size=examples, unit="step", **work,  # type: ignore[arg-type]
        )  # fmt: skip
        state = status(backend)
        if not state.available:
            found.append((replace(row, status="skipped", reason=state.reason), None))
            continue
        one = make()
        start = time.perf_counter()
        got = one(CHECKED_STEPS)
        first = time.perf_counter() - start
        error = abs(got - expected)
        row = replace(row, first_call=first, error=error, allowed=AGREES * expected)
        if not error <= AGREES * expected:
            reason = f"the cost after {CHECKED_STEPS} steps is {got}, not {expected}"
            found.append((replace(row, status="wrong", reason=reason), None))
            continue
        units = 1 if isinstance(one, ByHand) else 200
        synchronize = get_backend(backend).synchronize
        found.append((row, Contender(row, _several(one, units), synchronize, units)))
    return found


def _several(one: Any, units: int) -> Callable[[], object]:
    return lambda: one(units)
