"""A training that is cut short, by its numbers or by Ctrl-C, leaves a whole model."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support


def test_divergence_is_told() -> None:
    x, y = support.regression(16)
    model = lm.Sequential(
        [lm.Dense(8, activation="relu"), lm.Dense(2)], loss="mean_squared_error",
        optimizer=lm.SGD(1e6), backend="numpy", seed=0,
    )  # fmt: skip
    with pytest.raises(lm.DivergenceError, match=r"in epoch \d+.*Lower the learning rate"):
        model.fit(x, y, epochs=50, batch_size=8, verbose=0)


def test_divergence_gives_back_finite_parameters_and_the_history() -> None:
    x, y = support.regression(16)
    model = lm.Sequential(
        [lm.Dense(8, activation="relu"), lm.Dense(2)], loss="mean_squared_error",
        optimizer=lm.SGD(3.0), backend="numpy", seed=0,
    )  # fmt: skip
    with pytest.raises(lm.DivergenceError) as caught:
        model.fit(x, y, epochs=500, batch_size=4, verbose=0)
    error = caught.value
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert model.state.step == error.step
    assert error.layer == 0
    assert error.history is model.history
    model.optimizer = lm.SGD(1e-4)
    model.evaluate(x, y)


@dataclass(frozen=True)
class Rooted(lm.Layer):
    """A chain whose middle is not finite where an input is below 0."""

    def forward(self, x: Any, parameters: Any, context: Any) -> Any:
        return (lm.ops.sqrt(x) * 2.0 + x) / 3.0


@pytest.mark.parametrize("backend", support.EVERY)
@pytest.mark.parametrize("epochs", [1, 40])  # watched, and many at once
def test_what_is_not_finite_in_the_middle_of_a_chain_is_found(backend: str, epochs: int) -> None:
    """At the step where it happens, in a chain whose values in between are in no memory."""
    x = np.ones((24, 3))
    x[17, 1] = -1.0
    model = lm.Sequential(
        [lm.Dense(3, "tanh"), Rooted(), lm.Dense(2)], "mean_squared_error", lm.SGD(0.0),
        backend=backend, dtype="float64", seed=0,
    )  # fmt: skip
    model.build(3)
    weights = model.get_weights()
    weights[0] = np.eye(3)
    model.set_weights(weights)
    with pytest.raises(lm.DivergenceError) as caught:
        model.fit(x, np.zeros((24, 2)), epochs, batch_size=8, shuffle=False, verbose=0)
    assert (caught.value.layer, caught.value.step) == (1, 2)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupt_leaves_a_whole_model(default_interrupt: None) -> None:
    class After(lm.Callback):
        def on_epoch_end(self, model: Any, epoch: int, values: Any) -> None:
            if epoch == 3:
                os.kill(os.getpid(), signal.SIGINT)

    x, y = support.classes(40)
    model = support.classifier()
    with pytest.raises(KeyboardInterrupt, match="fit goes on from here"):
        model.fit(x, y, epochs=10_000, batch_size=8, verbose=0, callbacks=[After()])
    assert model.history is not None
    assert model.history.epochs == [1, 2, 3]
    assert model.state.epoch == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert len(model.fit(x, y, epochs=2, batch_size=8, verbose=0).epochs) == 2
