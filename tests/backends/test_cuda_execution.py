"""CPU execution of CUDA sources: whole programs, parity with numpy, stops, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from cuda_host.fixtures import cuda  # noqa: F401
from cuda_host.modules import State
from norm_support import own_norm


def network(backend: Any, **changes: Any) -> lm.Sequential:
    """Layers of several warps, dropout, decay and clipping."""
    layers = [
        lm.Dense(37, activation="relu", weight_decay=0.01), lm.Dropout(0.2),
        lm.Dense(70, activation="tanh"), lm.Dense(3, activation="softmax"),
    ]  # fmt: skip
    optimizer = changes.pop("optimizer", lm.AdamW(0.01, clip_norm=1.0))
    return support.classifier(backend, layers=layers, optimizer=optimizer, **changes)


@pytest.mark.slow
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


@pytest.mark.parametrize(
    "name", ["Adam", *(pytest.param(n, marks=pytest.mark.slow) for n in OPTIMIZERS if n != "Adam")]
)
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


@pytest.mark.slow
def test_a_file_goes_on_where_it_ended(cuda: Any, tmp_path: Path) -> None:  # noqa: F811
    x, y = support.classes(60, features=5)
    whole, first = network(cuda), network(cuda)
    whole.fit(x, y, epochs=3, batch_size=25, verbose=0)
    first.fit(x, y, epochs=2, batch_size=25, verbose=0)
    first.save(tmp_path / "model.safetensors")
    later = lm.load(tmp_path / "model.safetensors", backend=cuda)
    later.fit(x, y, epochs=1, batch_size=25, verbose=0)
    assert support.same(whole.get_weights(), later.get_weights())


def launched(device: Any, layers: list[Any], loss: Any, out: int) -> list[str]:
    """The launches of one step of training, with a batch of digits."""
    model = lm.Sequential(
        layers, loss=loss, optimizer=lm.Adam(1e-3), backend=device, seed=0,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    x = rng.random((32, 64))
    y = rng.integers(0, out, 32) if loss == "cross_entropy" else rng.random((32, out))
    for _ in range(2):
        State.launches.clear()
        model.fit(x, y, epochs=1, batch_size=32, verbose=0)
    return list(State.launches)


def test_a_step_of_digits_launch_by_launch(cuda: Any) -> None:  # noqa: F811
    """Beside these there are five products, and what looks at the loss and the gradient."""
    layers = [lm.Dense(64, activation="relu"), lm.Dense(10, activation="softmax")]
    assert launched(cuda, layers, "cross_entropy", 10) == [
        "gather_words", "gather_words", "bias_activation",
        "softmax_cross_entropy_rows", "activation_bias_gradient", "activation_bias_gradient",
        "adam",
    ]  # fmt: skip


def test_a_squared_error_is_one_launch(cuda: Any) -> None:  # noqa: F811
    layers = [lm.Dense(64, activation="relu"), lm.Dense(10)]
    assert launched(cuda, layers, "mean_squared_error", 10) == [
        "gather_words", "gather_words", "bias_activation", "bias_activation",
        "squared_error_all", "activation_bias_gradient", "activation_bias_gradient", "adam",
    ]  # fmt: skip


@pytest.mark.long
def test_a_layer_norm_and_a_loss_of_one_s_own_are_a_few_launches(
    cuda: Any,  # noqa: F811
) -> None:
    plain = launched(cuda, [lm.Dense(64, "relu"), lm.Dense(10)], "mean_squared_error", 10)
    for norm in (lm.LayerNorm(), lm.Activation(own_norm)):
        layers = [lm.Dense(64, "relu"), norm, lm.Dense(10)]
        more = launched(cuda, layers, support.huber, 10)
        assert len(more) <= len(plain) + 6, more


@pytest.mark.parametrize("order", [3, 6, 11])
@pytest.mark.long
def test_generated_kernels_train_as_numpy_does(cuda: Any, order: int) -> None:  # noqa: F811
    """Norms, a layer and a loss of one's own; the same bits in each order."""
    x, y = support.regression(70, features=5, outputs=3)
    made = []
    for backend, way in ((cuda, order), (cuda, 0), ("numpy", 0)):
        State.order = way
        layers = [
            lm.Dense(37, "gelu"), lm.LayerNorm(), support.Scale(), lm.BatchNorm(),
            lm.Activation(own_norm), lm.Dense(3),
        ]  # fmt: skip
        model = lm.Sequential(
            layers, loss=support.huber, backend=backend, seed=0, dtype="float64",
            metrics=("mean_absolute_error",),
        )  # fmt: skip
        model.fit(x, y, epochs=2, batch_size=30, verbose=0)
        made.append([*model.get_weights(), model.predict(x)])
    assert support.same(made[0], made[1])
    for one, other in zip(made[0], made[2], strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)


@pytest.mark.long
def test_while_it_is_watched_instructions_go_one_by_one(cuda: Any) -> None:  # noqa: F811
    """The profile names each; the numbers are the same."""
    x, y = support.classes(60, features=5)
    model = network(cuda)
    model.fit(x, y, epochs=1, batch_size=30, verbose=0)
    before = model.get_weights()
    rows = str(lm.profile(model, x, y, steps=2))
    assert "softmax_cross_entropy_backward" in rows
    assert support.same(before, model.get_weights())
    assert "in a generated CUDA kernel" in str(lm.explain(model))
