"""Standardize: any unit, large means, and the same numbers by every way in."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support

every_backend = pytest.mark.parametrize("backend", support.EVERY)
SECONDS = 1_700_000_000 + np.arange(60)[:, None]


def standardized(x: Any, backend: str = "numpy", dtype: str = "float32") -> lm.Sequential:
    model = lm.Sequential([lm.Standardize()], "mean_squared_error", backend=backend, dtype=dtype)
    model.fit(x, np.zeros((len(x), x.shape[1])), epochs=0, batch_size=2, verbose=0)
    return model


def wanted(x: Any) -> Any:
    x = np.asarray(x, dtype=np.longdouble)
    return ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float64)


@pytest.mark.parametrize("unit", [1.0, 1e-13, 1e-30, 1e-50, 1e-200, 1e-300, 1e30, 1e37])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_backend
def test_units_do_not_matter(backend: str, dtype: str, unit: float) -> None:
    x = np.random.default_rng(0).normal(size=(30, 2)) + np.array([3.0, 0.0])
    found = standardized(x * unit, backend, dtype).predict(x * unit)
    tolerance = 2e-5 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(found, wanted(x), rtol=tolerance, atol=tolerance)


def test_small_units_in_the_models_own_dtype() -> None:
    x = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    for unit in (2.0**-100, 2.0**-120, 2.0**120):
        small = x * np.float32(unit)
        np.testing.assert_allclose(standardized(small).predict(small), wanted(small), atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e-40, 1e9 / 3, 1e30])
@pytest.mark.parametrize("rows", [3, 1000, 200_001])
def test_a_constant_is_only_centred(value: float, rows: int) -> None:
    x = np.full((rows, 1), value)
    found = standardized(x, dtype="float64").predict(np.array([[value], [value + 2.0]]))
    assert found[0, 0] == 0.0
    assert found[1, 0] == (value + 2.0) - value


def test_rounding_alone_is_no_deviation() -> None:
    x = np.where(np.arange(40)[:, None] % 2, 0.1 + 0.2, 0.3)
    assert np.abs(standardized(x, dtype="float64").predict(x)).max() < 1e-10
    x = 1e9 + 1e-3 * np.random.default_rng(0).normal(size=(1000, 1))
    found = standardized(x, dtype="float64").predict(x)
    np.testing.assert_allclose(found.std(), 1.0, rtol=1e-9)


@pytest.mark.parametrize(
    "x",
    [
        SECONDS,
        SECONDS * 1_000_000_000,
        SECONDS + 0.25,
        -1e7 + np.arange(60.0)[:, None] / 7,
        np.hstack([SECONDS, np.random.default_rng(0).normal(size=(60, 1))]),
        (16_777_216 + 2 * np.arange(60)).astype(np.float32)[:, None],
    ],
    ids=["seconds", "nanoseconds", "quarters", "metres", "beside others", "float32"],
)
@every_backend
def test_a_large_mean_hides_nothing(backend: str, x: np.ndarray) -> None:
    model = standardized(x, backend)
    np.testing.assert_allclose(model.predict(x), wanted(x), atol=2e-5)
    assert model.predict(x).dtype == np.float32


def network(backend: str, layers: Any = ()) -> lm.Sequential:
    body = [*layers, lm.Standardize(), lm.Dense(4, "tanh"), lm.Dense(1, "sigmoid")]
    return lm.Sequential(body, "binary_cross_entropy", lm.Adam(0.05), backend=backend, seed=1)


@pytest.mark.slow
@every_backend
def test_every_way_in_agrees(backend: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    x = np.hstack([SECONDS, np.random.default_rng(0).normal(size=(60, 1))])
    y = (np.arange(60) >= 30).astype(float)
    mapped = np.memmap(tmp_path / "x.dat", dtype="float64", mode="w+", shape=x.shape)
    mapped[...] = x
    model, streamed = network(backend), network(backend)
    told = model.fit(x, y, 20, 10, verbose=0, validation_data=(x, y)).history
    from_disk = streamed.fit(mapped, y, 20, 10, verbose=0, validation_data=(mapped, y)).history
    assert told == from_disk
    assert support.same(model.get_weights(), streamed.get_weights())
    assert told["val_loss"][-1] == model.evaluate(x, y)["loss"] == model.evaluate(mapped, y)["loss"]
    p = model.predict(x)
    assert ((p[:, 0] > 0.5) == (y > 0)).mean() > 0.9
    for same in (model.predict(mapped), model.prepare()(x), model.predict(x.tolist())):
        np.testing.assert_array_equal(p, same)
    np.testing.assert_allclose(np.vstack([model.predict(x[i : i + 1]) for i in range(60)]), p, 1e-5)
    path = tmp_path / "m.safetensors"
    model.save(path)
    again = lm.load(path, backend=backend)
    np.testing.assert_array_equal(again.predict(x), p)
    np.testing.assert_allclose(model.to("numpy").predict(x), p, rtol=1e-5)
    checked = lm.check_gradients(model, x, y)
    assert checked
    assert checked.errors["1.weight"] > 0  # the network is not saturated
    gone_on = [one.fit(x, y, 2, 10, verbose=0).history for one in (again, streamed)]
    assert gone_on[0] == gone_on[1]


@every_backend
def test_batches_that_come_one_by_one_agree(backend: str) -> None:
    y = (np.arange(60) >= 30).astype(float)
    whole, streamed = network(backend), network(backend)
    for model in (whole, streamed):
        model.fit(SECONDS, y, epochs=0, batch_size=20, verbose=0)
    whole.fit(SECONDS, y, 5, 20, shuffle=False, verbose=0)
    parts = [(SECONDS[i : i + 20], y[i : i + 20]) for i in (0, 20, 40)]
    streamed.fit(lambda: iter(parts), epochs=5, verbose=0)
    for a, b in zip(whole.get_weights(), streamed.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_images_are_flattened_first() -> None:
    x = np.stack([SECONDS + 0.0, -SECONDS * 3.0], axis=1).reshape(60, 2, 1)
    model = network("numpy", [lm.Flatten()])
    y = (np.arange(60) >= 30).astype(float)
    model.fit(x, y, 30, 10, validation_split=0.2, verbose=0)
    assert ((model.predict(x)[:, 0] > 0.5) == (y > 0)).mean() > 0.9


def test_float32_that_needs_nothing_has_nothing_done_to_it() -> None:
    x, y = support.classes(30)
    model = support.classifier(layers=[lm.Standardize(), lm.Dense(3, "softmax")], dtype="float32")
    model.fit(x.astype(np.float32), y, batch_size=10, verbose=0)
    assert model.session.shift is None


def test_a_prepared_prediction_still_refuses_what_it_does_not_take() -> None:
    prepared = standardized(SECONDS).prepare()
    with pytest.raises(lm.DtypeError, match="takes float32, not int64"):
        prepared(SECONDS)
    with pytest.raises(lm.ShapeError, match="built for rows of"):
        prepared(np.zeros((3, 2)))


def test_a_file_with_a_damaged_offset_is_refused(tmp_path: Path) -> None:
    from lamina.core.standardization import Shift

    model = standardized(SECONDS)
    for offset, factor in (([[np.nan]], [[1.0]]), ([[1.0, 2.0]], [[1.0]]), ([[1]], [[1]])):
        model.session.shift = Shift(np.array(offset), np.array(factor))
        model.save(tmp_path / "m.safetensors")
        with pytest.raises(lm.CheckpointError, match="must be finite float64"):
            lm.load(tmp_path / "m.safetensors")


@pytest.mark.parametrize("layers", [[], [lm.Flatten()], [lm.Dense(2, "tanh")]])
def test_a_single_batch_is_not_learned_from(layers: Any) -> None:
    x = np.array([[0.0], [10.0], [20.0]])
    model = lm.Sequential([*layers, lm.Standardize(), lm.Dense(1)], "mean_squared_error")
    with pytest.raises(lm.BadInput, match="epochs=0"):
        model.train_on_batch(x[:1], x[:1])
    with pytest.raises(lm.BadInput, match="epochs=0"):
        model.build(1).train_on_batch(x, x)
    model.fit(x, x, epochs=0, batch_size=3, verbose=0)
    model.train_on_batch(x[:1], x[:1])


@pytest.mark.parametrize("way", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@every_backend
def test_what_the_host_does_is_copied_pickled_and_moved(backend: str, way: Any) -> None:
    y = (np.arange(60) >= 30).astype(float)
    model = network(backend)
    model.fit(SECONDS, y, 3, 10, verbose=0)
    prepared, p = model.prepare(), model.predict(SECONDS)
    twin, shift = way(model), model.session.shift
    assert shift is not None
    assert not np.shares_memory(shift.offset, twin.session.shift.offset)
    assert not np.shares_memory(shift.factor, twin.session.shift.factor)
    np.testing.assert_array_equal(way(prepared)(SECONDS + 0.0), p)
    np.testing.assert_array_equal(twin.predict(SECONDS), p)
    gone_on = [one.fit(SECONDS, y, 2, 10, verbose=0).history for one in (model, twin)]
    assert gone_on[0] == gone_on[1]
    assert support.same(model.get_weights(), twin.get_weights())
    twin.session.shift.offset[...] = 0.0
    p = model.predict(SECONDS)
    other = "loops" if backend == "numpy" else "numpy"
    np.testing.assert_allclose(model.to(other).predict(SECONDS), p, rtol=1e-5)
    np.testing.assert_array_equal(prepared(SECONDS + 0.0), p)  # still where the model was


def test_a_file_whose_offset_stands_alone_is_refused(tmp_path: Path) -> None:
    from lamina.core.checkpoint import FACTOR, OFFSET, digest
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "m.safetensors"
    standardized(SECONDS).save(path)
    tensors = load_file(path)
    with safe_open(path, framework="numpy") as file:
        words = dict(file.metadata())

    def forged(told: str, **others: Any) -> None:
        found = {k: v for k, v in {**tensors, **others}.items() if v is not None}
        save_file(found, path, {**words, "model": told, "digest": digest(found, told)})

    told = words["model"]
    for lacking in (OFFSET, FACTOR):
        forged(told, **{lacking: None})
        with pytest.raises(lm.CheckpointError, match="must be finite float64"):
            lm.load(path)
    forged(told.replace('"learned": true', '"learned": false'))
    with pytest.raises(lm.CheckpointError, match="were not learned yet"):
        lm.load(path)
    forged(told)
    lm.load(path)


@dataclass(frozen=True)
class Failing(lm.Layer):
    """Learns nothing, loudly, the first time."""

    def statistics(self, shape: tuple[int, ...]) -> Any:
        return {"seen": lm.Parameter((1, *shape), "zeros")}

    def learn(self, x: np.ndarray, weights: np.ndarray | None = None) -> Any:
        if FAILS:
            raise ValueError(FAILS.pop())
        return {"seen": np.zeros((1, *x.shape[1:]))}

    def forward(self, x: Any, parameters: Any, context: Any) -> Any:
        return x


FAILS: list[str] = []


def test_a_fit_after_one_that_failed_learns_from_the_numbers_themselves() -> None:
    y = (np.arange(60) >= 30).astype(float)
    body = [lm.Standardize(), Failing(), lm.Dense(1, "sigmoid")]
    model = lm.Sequential(body, "binary_cross_entropy", backend="numpy", seed=1)
    FAILS.append("not now")
    with pytest.raises(ValueError, match="not now"):
        model.fit(SECONDS, y, verbose=0)
    model.fit(SECONDS, y, epochs=0, verbose=0)
    assert model.session.shift is not None
    assert abs(model.session.shift.offset[0, 0] - SECONDS.mean()) < 1e-3


def test_wrong_targets_build_nothing() -> None:
    model = network("numpy")
    with pytest.raises(lm.BadInput, match="targets must be in"):
        model.fit(np.zeros((4, 3)), np.full(4, 2.0), verbose=0)
    assert not model.built
    assert model.features is None
    model.fit(SECONDS, (np.arange(60) >= 30).astype(float), verbose=0)


@pytest.mark.long
def test_the_profile_of_a_new_model_learns_first() -> None:
    model = network("numpy")
    lm.profile(model, SECONDS, (np.arange(60) >= 30).astype(float), steps=1)
    assert model.session.learned
    assert model.state.step == 0


def test_the_first_columns_alone(tmp_path: Path) -> None:
    x = np.array([[1e9, 5.0, 1.0], [1e9 + 2, 7.0, 0.0], [1e9 + 4, 9.0, 0.0]])
    layers = [lm.Standardize(columns=2), lm.Dense(1)]
    model = lm.Sequential(layers, "mean_squared_error", backend="numpy", seed=0)
    model.fit(x, [1.0, 2.0, 3.0], batch_size=3, verbose=0)
    weight, bias = model.get_weights()
    scaled = np.c_[(x[:, :2] - x[:, :2].mean(0)) / x[:, :2].std(0), x[:, 2:]]
    np.testing.assert_allclose(model.predict(x), scaled @ weight + bias, rtol=1e-5)
    model.save(tmp_path / "m.safetensors")
    same = lm.load(tmp_path / "m.safetensors", backend="numpy")
    assert same.layers[0] == lm.Standardize(columns=2)
    np.testing.assert_array_equal(same.predict(x), model.predict(x))
    none = lm.Standardize(columns=0).learn(x)
    np.testing.assert_array_equal(none["mean"], np.zeros((1, 3)))
    np.testing.assert_array_equal(none["scale"], np.ones((1, 3)))
    with pytest.raises(lm.BadInput, match="Standardize: columns"):
        lm.Standardize(columns=-1)
