"""CPU execution of CUDA sources behind the cupy backend: whole programs, parity, stops, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from cuda_host.fixtures import cuda  # noqa: F401
from cuda_host.modules import State


def network(backend: Any, **changes: Any) -> lm.Sequential:
    """Layers of several warps, dropout, decay and clipping."""
    layers = [
        lm.Dense(37, activation="relu", weight_decay=0.01), lm.Dropout(0.2),
        lm.Dense(70, activation="tanh"), lm.Dense(3, activation="softmax"),
    ]  # fmt: skip
    optimizer = changes.pop("optimizer", lm.AdamW(0.01, clip_norm=1.0))
    return support.classifier(backend, layers=layers, optimizer=optimizer, **changes)


@pytest.mark.slow
def test_the_conformance_kit(cuda: Any) -> None:  # noqa: F811
    State.order = 7  # shuffled, the last thread first, and greedy
    found = [str(failure) for _, failures in lm.check_backend(cuda) for failure in failures]
    assert found == []
    assert len(set(State.launches)) >= 35


def test_every_kind_of_layer_as_on_numpy(cuda: Any) -> None:  # noqa: F811
    State.order = 3
    found, right = (support.everything(backend, inspected=False) for backend in (cuda, "numpy"))
    for one, other in zip(found, right, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_training_has_the_same_bits_in_every_order(cuda: Any, dtype: str) -> None:  # noqa: F811
    x, y = support.classes(101, features=5)
    seen = []
    for order in (0, 3, 6, 11):
        State.order = order
        model = network(cuda, dtype=dtype)
        history = model.fit(x, y, epochs=2, batch_size=40, verbose=0)
        seen.append([*model.get_weights(), np.array(history.history["loss"])])
    assert all(support.same(seen[0], other) for other in seen[1:])
    right = network("numpy", dtype=dtype)
    right.fit(x, y, epochs=2, batch_size=40, verbose=0)
    for one, other in zip(seen[0], right.get_weights(), strict=False):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-5 if dtype == "float32" else 1e-12)


OPTIMIZERS = {
    "SGD": lm.SGD(0.1), "momentum": lm.SGD(0.1, momentum=0.9),
    "Nesterov": lm.SGD(0.1, momentum=0.9, nesterov=True), "RMSprop": lm.RMSprop(0.01),
    "Adagrad": lm.Adagrad(0.05), "Adam": lm.Adam(0.01), "AMSGrad": lm.Adam(0.01, amsgrad=True),
    "NAdam": lm.NAdam(0.01), "Lion": lm.Lion(0.003),
    "averaged": lm.Adam(0.01, average=lm.EMA(0.9)),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_as_on_numpy(cuda: Any, name: str) -> None:  # noqa: F811
    x, y = support.classes(60, features=5)
    made = []
    for backend in (cuda, "numpy"):
        model = network(backend, optimizer=OPTIMIZERS[name])
        model.fit(x, y, epochs=2, batch_size=25, verbose=0)
        made.append(model.get_weights())
    for one, other in zip(*made, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


def test_a_step_that_diverges_is_not_taken(cuda: Any) -> None:  # noqa: F811
    """At numpy's step, in numpy's words."""
    x, y = support.regression(40)
    told = []
    for backend in (cuda, "numpy"):
        model = lm.Sequential(
            [lm.Dense(40, activation="relu"), lm.Dense(2)], loss="mean_squared_error",
            optimizer=lm.SGD(1e3), backend=backend, seed=1, dtype="float64",
        )  # fmt: skip
        with pytest.raises(lm.DivergenceError) as caught:
            model.fit(x, y, epochs=200, batch_size=10, verbose=0)
        told.append(str(caught.value))
        assert all(np.isfinite(w).all() for w in model.get_weights())
    assert told[0] == told[1]


def test_a_file_goes_on_where_it_ended(cuda: Any, tmp_path: Path) -> None:  # noqa: F811
    x, y = support.classes(60, features=5)
    whole, first = network(cuda), network(cuda)
    whole.fit(x, y, epochs=3, batch_size=25, verbose=0)
    first.fit(x, y, epochs=2, batch_size=25, verbose=0)
    first.save(tmp_path / "model.safetensors")
    later = lm.load(tmp_path / "model.safetensors", backend=cuda)
    later.fit(x, y, epochs=1, batch_size=25, verbose=0)
    assert support.same(whole.get_weights(), later.get_weights())


def test_the_fused_kernels_are_what_runs(cuda: Any) -> None:  # noqa: F811
    """A step of digits, launch by launch."""
    model = lm.Sequential(
        [lm.Dense(64, activation="relu"), lm.Dense(10, activation="softmax")],
        loss="cross_entropy", optimizer=lm.Adam(1e-3), backend=cuda, seed=0,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    x, y = rng.random((32, 64)), rng.integers(0, 10, 32)
    model.fit(x, y, epochs=1, batch_size=32, verbose=0)
    State.launches.clear()
    model.fit(x, y, epochs=1, batch_size=32, verbose=0)
    assert sorted(State.launches) == sorted([
        "gather_words", "gather_words", "bias_activation", "bias_activation",
        "softmax_cross_entropy_rows", "label_gradient", "activation_bias_gradient",
        "activation_bias_gradient", "adam",
    ])  # fmt: skip
