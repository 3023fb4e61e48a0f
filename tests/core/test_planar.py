"""The planar flower of the course: published costs, from the weights that it started with."""

from __future__ import annotations

import lamina as lm
import numpy as np
import pytest

COSTS = (0.693048, 0.288083, 0.254385, 0.233864, 0.226792, 0.222644, 0.219731, 0.217504)


def flower() -> tuple[np.ndarray, np.ndarray]:
    """400 points on a flower of four petals; x (400, 2), y (400, 1)."""
    random = np.random.RandomState(1)
    rows, petals, length = 200, 2, 4
    x, y = np.zeros((2 * rows, petals)), np.zeros((2 * rows, 1))
    for j in range(2):
        part = slice(rows * j, rows * (j + 1))
        t = np.linspace(j * 3.12, (j + 1) * 3.12, rows) + random.randn(rows) * 0.2
        r = length * np.sin(4 * t) + random.randn(rows) * 0.2
        x[part] = np.stack([r * np.sin(t), r * np.cos(t)], axis=1)
        y[part] = j
    return x, y


def course_model(backend: str, units: int = 4) -> lm.Sequential:
    """2-4-1 with tanh and sigmoid, and the course's weights (its orientation is the transpose)."""
    random = np.random.RandomState(2)
    w1 = random.randn(units, 2) * 0.01
    w2 = random.randn(1, units) * 0.01
    model = lm.Sequential(
        [lm.Dense(units, activation="tanh"), lm.Dense(1, activation="sigmoid")],
        loss="binary_cross_entropy",
        optimizer=lm.SGD(1.2),
        metrics=("accuracy",),
        backend=backend,
        dtype="float64",
        seed=0,
    ).build(2)
    model.set_weights([w1.T, np.zeros(units), w2.T, np.zeros(1)])
    return model


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_all_published_costs(backend: str) -> None:
    x, y = flower()
    model = course_model(backend)
    history = model.fit(x, y, epochs=7001, batch_size=400, shuffle=False, verbose=0)
    costs = history.history["loss"][::1000]  # taken before the update of that number
    assert [f"{c:.6f}" for c in costs] == [f"{c:.6f}" for c in COSTS]
    assert model.evaluate(x, y)["accuracy"] == pytest.approx(0.9, abs=0.01)


@pytest.mark.long
def test_first_costs_on_loops() -> None:
    x, y = flower()
    history = course_model("loops").fit(x, y, epochs=1001, batch_size=400, shuffle=False, verbose=0)
    costs = history.history["loss"][::1000]
    assert [f"{c:.6f}" for c in costs] == [f"{c:.6f}" for c in COSTS[:2]]


def test_the_embedded_flower_is_the_course_s() -> None:
    x, y = flower()
    data = lm.datasets.load("planar")
    np.testing.assert_allclose(data.x_train, x, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(np.reshape(data.y_train, (-1, 1)), y)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("units", "accuracy"), [(1, 67.5), (2, 67.25), (3, 90.75), (4, 90.5), (5, 91.25)]
)
def test_published_accuracy_by_hidden_units(units: int, accuracy: float) -> None:
    x, y = flower()
    model = course_model("numpy", units)
    model.fit(x, y, epochs=5000, batch_size=400, shuffle=False, verbose=0)
    found = 100.0 * np.mean(model.predict_classes(x) == y[:, 0])
    assert found == pytest.approx(accuracy, abs=0.3)
