"""An ensemble is the mean of networks, each with weights of its own."""

from __future__ import annotations

import lamina as lm
import numpy as np
import pytest


@pytest.mark.parametrize("backend", ["loops", "numpy", "numba"])
def test_an_ensemble_is_the_mean_of_its_members(backend: str) -> None:
    layers = [lm.Dense(5, "selu"), lm.Dense(2)]
    model = lm.Sequential(
        [lm.Ensemble(layers, 3), lm.Activation("softmax")], "cross_entropy", backend=backend, seed=0
    ).build(4)
    weights, x = model.get_weights(), np.random.default_rng(0).normal(size=(7, 4))
    assert model.session.names[4] == "0.1.0.weight"
    assert not np.array_equal(weights[0], weights[4])
    logits = []
    for number in range(3):
        one = lm.Sequential(layers, "mse", backend=backend).build(4)
        one.set_weights(weights[4 * number : 4 * number + 4])
        logits.append(one.predict(x))
    z = np.exp(np.mean(logits, axis=0))
    np.testing.assert_allclose(model.predict(x), z / z.sum(1, keepdims=True), rtol=1e-5)


def test_it_trains_as_a_whole() -> None:
    x, y, *_ = lm.datasets.load("moons")
    model = lm.Sequential(
        [lm.Ensemble([lm.Dense(8, "tanh"), lm.Dense(2)], 2), lm.Activation("softmax")],
        "cross_entropy", lm.Adam(0.03), ("accuracy",), backend="numpy", seed=0,
    )  # fmt: skip
    model.fit(x, y, epochs=40, verbose=0)
    assert model.evaluate(x, y)["accuracy"] > 0.9


def test_a_layer_that_learns_from_all_rows_stands_before() -> None:
    with pytest.raises(lm.BadInput, match=r"\[Ensemble\] Standardize\(\) learns from all rows"):
        lm.Sequential([lm.Ensemble([lm.Standardize()], 2)], "mse", backend="numpy").build(2)
