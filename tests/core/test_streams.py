"""Data that is not in memory: maps of files, and batches that come one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support

every_backend = pytest.mark.parametrize("backend", support.EVERY)


@pytest.mark.slow
@every_backend
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_a_memory_map_trains_like_the_array(backend: str, dtype: str, tmp_path: Path) -> None:
    x, y = support.classes(30)
    x = np.round(x * 20 + 100) if dtype == "uint8" else x
    mapped = np.memmap(tmp_path / "x.dat", dtype=dtype, mode="w+", shape=x.shape)
    mapped[...] = x
    array = np.array(mapped)
    layers = [lm.Standardize(), lm.Dense(6, "relu"), lm.Dropout(0.2), lm.Dense(3, "softmax")]
    models = [
        lm.Sequential(layers, "cross_entropy", backend=backend, seed=3, metrics=("accuracy",))
        for _ in range(2)
    ]
    told = [
        model.fit(data, y, epochs=2, batch_size=8, verbose=0).history
        for model, data in zip(models, (array, mapped), strict=True)
    ]
    assert told[0] == told[1]
    assert support.same(*(model.get_weights() for model in models))
    np.testing.assert_array_equal(models[0].predict(array), models[0].predict(mapped))
    assert models[0].evaluate(array, y) == models[0].evaluate(mapped, y)
    with pytest.raises(lm.BadInput, match="validation_split would copy"):
        models[0].fit(mapped, y, validation_split=0.2, verbose=0)
    if dtype != "uint8":
        mapped[17, 1] = np.nan
        with pytest.raises(lm.BadInput, match="x has NaN at row 17, column 1"):
            models[0].fit(mapped, y, verbose=0)


@pytest.mark.slow
@every_backend
def test_batches_that_come_one_by_one(backend: str) -> None:
    x, y = support.classes(25)

    def batches() -> Any:
        for start in (0, 10, 20):
            yield x[start : start + 10], y[start : start + 10]

    whole, streamed = support.classifier(backend), support.classifier(backend)
    wanted = whole.fit(x, y, epochs=3, batch_size=10, shuffle=False, verbose=0)
    told = streamed.fit(batches, epochs=3, verbose=0, validation_data=(x, y))
    assert told.history["loss"] == pytest.approx(wanted.history["loss"], rel=1e-12)
    assert set(told.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    for a, b in zip(whole.get_weights(), streamed.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    assert len(support.classifier(backend).fit(batches(), verbose=0).epochs) == 1


def test_batches_that_do_not_work() -> None:
    x, y = support.classes(10)
    model = support.classifier()
    for source, epochs, says in (
        (iter([(x, y)]), 2, "an iterator ends after one epoch"),
        (x, 1, "fit needs y"),
        (3, 1, "an iterable of batches"),
        (lambda: [], 1, "has no batches"),
        (lambda: [x], 1, "each batch must be"),
    ):
        with pytest.raises(lm.BadInput, match=says):
            model.fit(source, epochs=epochs, verbose=0)
    standard = lm.Sequential([lm.Standardize(), lm.Dense(3, "softmax")], "cross_entropy")
    with pytest.raises(lm.BadInput, match="epochs=0"):
        standard.fit(lambda: [(x, y)], verbose=0)
    standard.fit(x, y, epochs=0, batch_size=10, verbose=0)
    standard.fit(lambda: [(x, y)], verbose=0)
