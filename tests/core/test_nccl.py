"""Gradients summed by NCCL in captured steps: two ranks are two threads, each on a fake device.

Nothing here ran on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.backends.cupy import CupyBackend
from team_support import right, together

cupy_fake = pytest.importorskip("cupy_fake", reason="CuPy's package is not installed")
ROWS, FEATURES, CLASSES = 61, 6, 3


@pytest.fixture(autouse=True)
def device() -> Iterator[Any]:
    """The backend on the fake's first device."""
    with cupy_fake.installed():
        cupy_fake.nccl.abandoned.clear()
        yield lm.get_backend("cupy")
        assert not cupy_fake.nccl.abandoned


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, FEATURES)) * 3.0 + 1.0
    return x, rng.integers(0, CLASSES, ROWS), rng.uniform(0.0, 2.0, ROWS)


def network(backend: Any = "cupy", **settings: Any) -> lm.Sequential:
    layers = [
        lm.Dense(7, "tanh", weight_decay=1e-2), lm.Dropout(0.3), lm.Dense(5), lm.Dropout(0.2),
        lm.Dense(CLASSES, "softmax"),
    ]  # fmt: skip
    settings = {
        "optimizer": lm.AdamW(1e-2, weight_decay=0.1, clip_norm=0.2), "metrics": ("accuracy",),
        "dtype": "float64", "seed": 5, **settings,
    }  # fmt: skip
    return lm.Sequential(layers, "cross_entropy", backend=backend, **settings)


def told(model: lm.Sequential, history: lm.History) -> dict[str, np.ndarray]:
    found = {name: np.array(values) for name, values in history.history.items()}
    return {**found, "weights": np.concatenate([w.ravel() for w in model.get_weights()])}


def near(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray], by: float = 1e-9) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=by, atol=by, err_msg=name)


@pytest.mark.parametrize(("ranks", "batch"), [(1, 16), (2, 16), (2, 17), (2, 3)])
def test_ranks_come_to_what_one_process_comes_to(ranks: int, batch: int) -> None:
    """Over 50 steps and more: dropout, row weights, decay, clipping, a partial batch."""
    x, y, w = data()
    epochs = -(-50 // -(-ROWS // batch))
    settings: dict[str, Any] = {
        "epochs": epochs, "batch_size": batch, "sample_weight": w, "verbose": 0,
    }  # fmt: skip

    def work(team: Any) -> Any:
        model = network()
        found = told(model, model.fit(x, y, **settings, distributed=team))
        return found, model.backend.index, str(lm.explain(model)).splitlines()[2]

    one = network("numpy")
    wanted = told(one, one.fit(x, y, **settings))
    before = cupy_fake.counts["graphs"]
    every = right(together(ranks, work))
    assert cupy_fake.counts["graphs"] > before
    for rank, (found, index, said) in enumerate(every):
        near(found, wanted)
        assert index == rank
        assert said.endswith("gradients summed by NCCL")
        np.testing.assert_array_equal(found["weights"], every[0][0]["weights"])
