"""Layers for the columns of a table: what they compute, learn, train and refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest

BACKENDS = ("loops", "numpy", "numba")


def learned(layer: lm.Layer, x: Any, backend: str = "numpy", **more: Any) -> np.ndarray:
    """What a layer makes of x, once it has seen x."""
    x = np.asarray(x, float)
    model = lm.Sequential([layer], "mean_squared_error", backend=backend, **more)
    model.fit(x, np.zeros(x.shape), epochs=0, batch_size=len(x), verbose=0)
    return model.predict(x)


@pytest.mark.parametrize("backend", BACKENDS)
def test_robust_scaling_is_by_median_quartiles_and_a_smooth_clip(backend: str) -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(5, 3, 200), rng.exponential(9, 200), rng.normal(0, 1, 200)])
    x[0, 0] = 1e6
    found = learned(lm.RobustScale(), x, backend)
    z = (x - np.median(x, axis=0)) / (np.quantile(x, 0.75, axis=0) - np.quantile(x, 0.25, axis=0))
    np.testing.assert_allclose(found, z / np.sqrt(1 + (z / 3) ** 2), rtol=2e-5, atol=2e-6)
    assert found.max() <= 3.0


def test_columns_whose_quartiles_say_nothing() -> None:
    mostly, still = np.r_[np.zeros(18), 4.0, 4.0], np.full(20, 7.0)
    found = learned(lm.RobustScale(), np.column_stack([mostly, still]))
    z = mostly / 2.0  # half the range
    np.testing.assert_allclose(found[:, 0], z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-6)
    assert not found[:, 1].any()


def test_columns_that_are_not_scaled_pass_as_they_are() -> None:
    x = np.random.default_rng(1).normal(size=(30, 4)) * [9, 1, 100, 1000]
    found = learned(lm.RobustScale(2), x, dtype="float64")
    np.testing.assert_array_equal(found[:, 2:], x[:, 2:])
    assert np.abs(found[:, :2]).max() < 3.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_bins_say_how_far_a_column_is_through_them(backend: str) -> None:
    x = np.column_stack(
        [np.r_[0.0, 1.0, 2.0, 10.0, 18.0], np.r_[7.0, 7.0, 7.0, 7.0, 9.0], 1e9 * np.ones(5)]
    )
    model = lm.Sequential([lm.PiecewiseLinear(2, 2)], "mean_squared_error", backend=backend)
    model.fit(x, np.zeros((5, 7)), epochs=0, batch_size=5, verbose=0)
    found = model.predict([[1.0, 7.0, 3.0], [10.0, 8.0, 4.0], [-5.0, 99.0, 5.0]])
    first, second = [0.5, 1.0, 0.0], [0.0, 0.5, 0.0]  # edges 0, 2, 18
    np.testing.assert_allclose(found[:, 0], first)
    np.testing.assert_allclose(found[:, 2], second)
    np.testing.assert_allclose(found[:, 1], 0.0)  # from 7 to 7
    np.testing.assert_allclose(found[:, 3], [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(found[:, 4:], [[1, 7, 3], [10, 8, 4], [-5, 99, 5]])


def test_rows_without_weight_move_no_bin() -> None:
    x, weights = np.r_[np.arange(9.0), 1e9][:, None], np.r_[np.ones(9), 0.0]
    found = lm.PiecewiseLinear(bins=2).learn(x, weights)
    np.testing.assert_array_equal(found["low"], [[0.0, 4.0]])
    np.testing.assert_array_equal(found["scale"], [[0.25, 0.25]])


def test_seconds_since_1970_are_told_apart() -> None:
    x = 1.7e9 + np.arange(40.0)[:, None]
    found = learned(lm.RobustScale(), x)
    assert len(np.unique(found)) == 40


def test_rows_without_weight_teach_no_quartile() -> None:
    x, weights = np.r_[np.arange(9.0), 1e9][:, None], np.r_[np.ones(9), 0.0]
    found = lm.RobustScale().learn(x, weights)
    assert found["mean"][0, 0] == 4.0


def test_robust_scaling_learns_from_a_memory_map(tmp_path: Path) -> None:
    x = np.memmap(tmp_path / "x", "float32", "w+", shape=(50, 20))
    x[:] = np.random.default_rng(2).normal(size=x.shape)
    found, whole = lm.RobustScale().learn(x), lm.RobustScale().learn(np.array(x))
    np.testing.assert_array_equal(found["scale"], whole["scale"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_code_becomes_its_row(backend: str) -> None:
    model = lm.Sequential(
        [lm.Embedding((3, 5), 2)], "mean_squared_error", backend=backend, seed=0
    ).build(3)
    first, second = model.get_weights()
    assert (first.shape, second.shape) == ((3, 2), (5, 2))
    found = model.predict([[7.5, 2, 4], [-1.0, 0, 0], [0.0, 9, -3]])
    np.testing.assert_array_equal(found[0], np.r_[np.float32(7.5), first[2], second[4]])
    np.testing.assert_array_equal(found[1], np.r_[np.float32(-1.0), first[0], second[0]])
    np.testing.assert_array_equal(found[2], np.r_[np.float32(0.0), first[2], second[0]])


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_embedding_learns_what_each_word_means(backend: str) -> None:
    codes = np.repeat(np.arange(12), 5)
    means = np.random.default_rng(3).normal(size=12)
    model = lm.Sequential(
        [lm.Embedding((12,), 3), lm.Dense(1)], "mean_squared_error", lm.Adam(0.05),
        backend=backend, seed=1,
    )  # fmt: skip
    model.fit(codes[:, None], means[codes], epochs=60, batch_size=20, verbose=0)
    assert model.evaluate(codes[:, None], means[codes])["loss"] < 0.01


def test_gradients_of_embeddings_and_scales() -> None:
    model = lm.Sequential(
        [lm.Embedding((4,), 2), lm.FeatureScale(6.0), lm.Dense(2, "softmax")], "cross_entropy",
        backend="numpy", seed=2,
    ).build(3)  # fmt: skip
    x = np.column_stack([np.random.default_rng(4).normal(size=(6, 2)), np.arange(6) % 4])
    assert lm.check_gradients(model, x, np.arange(6) % 2).passed


def test_everything_is_native_on_numba() -> None:
    layers = [
        lm.RobustScale(2), lm.PiecewiseLinear(2), lm.Embedding((4,), 2), lm.FeatureScale(),
        lm.Dense(2, "softmax"),
    ]  # fmt: skip
    model = lm.Sequential(layers, "cross_entropy", backend="numba").build(3)
    assert "walked" not in str(lm.explain(model))


def test_a_clip_is_for_predictions_alone() -> None:
    model = lm.Sequential([lm.Dense(1), lm.Clip(-1, 2)], backend="numpy", loss="mse").build(1)
    model.set_weights([np.ones((1, 1)), np.zeros(1)])
    np.testing.assert_array_equal(model.predict([[-5.0], [0.5], [9.0]])[:, 0], [-1, 0.5, 2])
    found = model.gradients([[9.0]], [0.0])
    assert found[0]["weight"][0, 0] != 0.0


def test_they_come_back_from_a_file(tmp_path: Path) -> None:
    x = np.random.default_rng(5).normal(size=(40, 3)) * [1, 9, 0] + [1.7e9, 0, 1]
    inner = [lm.Embedding((3,), 2), lm.FeatureScale(2.0), lm.Dense(4, "selu"), lm.Dense(1)]
    front = [lm.RobustScale(2, 2.5), lm.PiecewiseLinear(1, 3)]
    layers = [*front, lm.Ensemble(inner, 2), lm.Clip(-9, 9)]
    model = lm.Sequential(layers, "mse", backend="numpy", seed=3)
    model.fit(x, x[:, 1], epochs=2, verbose=0)
    model.save(tmp_path / "m.safetensors")
    same = lm.load(tmp_path / "m.safetensors", "numpy")
    assert same.layers == model.layers
    np.testing.assert_array_equal(same.predict(x), model.predict(x))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: lm.RobustScale(limit=0), "limit must be above 0"),
        (lambda: lm.RobustScale(-1), "columns must be a whole number"),
        (lambda: lm.PiecewiseLinear(0), "columns must be a whole number"),
        (lambda: lm.PiecewiseLinear(bins=0), "bins must be a whole number"),
        (lambda: lm.Embedding(()), "rows needs the number of codes"),
        (lambda: lm.Embedding((0,)), "rows must be a whole number of at least 1"),
        (lambda: lm.Embedding((3,), 0), "size must be a whole number"),
        (lambda: lm.FeatureScale(-1), "rate must be a number"),
        (lambda: lm.Clip(2, 1), "low must not be above high"),
        (lambda: lm.Clip(0, float("nan")), "high must be a finite number"),
        (lambda: lm.Ensemble([], 2), "Ensemble needs at least one layer"),
        (lambda: lm.Ensemble(lm.Dense(1)), r"Ensemble takes a list: Ensemble\(\[Dense"),  # type: ignore[arg-type]
        (lambda: lm.Ensemble([lm.Dense(1)], 0), "members must be a whole number"),
    ],
)
def test_what_they_refuse(make: Any, told: str) -> None:
    with pytest.raises(lm.BadInput, match=told):
        make()


@pytest.mark.parametrize(
    ("layer", "features", "told"),
    [
        (lm.RobustScale(4), 3, "takes 4 columns of 3"),
        (lm.PiecewiseLinear(4), 3, "takes 4 columns of 3"),
        (lm.Embedding((2, 2)), 1, "2 categories, but its input 1 columns"),
        (lm.FeatureScale(), (2, 2), "put lm.Flatten"),
    ],
)
def test_shapes_that_do_not_fit(layer: lm.Layer, features: Any, told: str) -> None:
    with pytest.raises(lm.ShapeError, match=told):
        lm.Sequential([layer], "mse", backend="numpy").build(features)
