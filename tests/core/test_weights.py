"""Weights: of rows and classes, in batches and in validation; and which rows validate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.core.examples import split
from lamina.core.standardization import moments

every_backend = pytest.mark.parametrize("backend", support.EVERY)


def still(loss: Any, layers: Any, **settings: Any) -> lm.Sequential:
    """A model that stays what it is."""
    return lm.Sequential(layers, loss, lm.SGD(0.0), **{"seed": 3, "dtype": "float64", **settings})


# Rows of weight zero, and the statistics of layers


@pytest.mark.parametrize("junk", [1e6, -1e30, 1e200, 0.0])
@every_backend
def test_a_row_of_weight_zero_does_not_move_standardize(backend: str, junk: float) -> None:
    x = np.array([[0.0], [1.0], [2.0], [3.0], [junk]])
    weights = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    found = []
    for rows in (5, 4):
        model = still("mean_squared_error", [lm.Standardize()], backend=backend)
        model.fit(
            x[:rows], x[:rows], epochs=0, batch_size=4, sample_weight=weights[:rows], verbose=0
        )
        found.append(model.predict(x[:4]))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


@pytest.mark.parametrize(
    "weights", [[3.0, 1.0, 0.0, 2.0], [0.1, 0.7, 0.0, 0.2], [5e300, 1e300, 0, 1e300]]
)
def test_weighted_statistics_are_the_formula(weights: list[float]) -> None:
    x, w = np.array([[1.0, -4.0], [2.0, 8.0], [1e9, np.pi], [5.0, 6.0]]), np.array(weights)
    model = still("mean_squared_error", [lm.Standardize()], backend="numpy")
    model.fit(x, x, epochs=0, batch_size=4, sample_weight=w, verbose=0)
    mean = (w[:, None] * x / w.sum()).sum(axis=0)
    variance = (w[:, None] / w.sum() * (x - mean) ** 2).sum(axis=0)
    np.testing.assert_allclose(model.predict(x), (x - mean) / np.sqrt(variance), rtol=1e-10)


def test_weighted_statistics_are_those_of_scikit_learn() -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(50, 3)) * [1.0, 1e5, 1e-9] + [0.0, 7.0, 1.0], rng.random(50)
    w[7] = 0.0
    scaler = preprocessing.StandardScaler().fit(x, sample_weight=w)
    mean, deviation = moments(x, w)
    np.testing.assert_allclose(mean[0], scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(deviation[0], scaler.scale_, rtol=1e-7)


def test_weights_count_in_a_memory_map_and_within_the_network(tmp_path: Path) -> None:
    x, y = support.classes(12)
    x[5] = 1e5
    weights = np.ones(12)
    weights[5] = 0.0
    mapped = np.memmap(tmp_path / "x.dat", dtype="float64", mode="w+", shape=x.shape)
    mapped[...] = x
    for layers in (
        [lm.Standardize(), lm.Dense(3, "softmax")],
        [lm.Dense(4, "tanh"), lm.Standardize(), lm.Dense(3, "softmax")],
    ):
        found = []
        for data, keep in ((x, slice(None)), (mapped, slice(None)), (x, weights > 0)):
            model = still("cross_entropy", layers, backend="numpy")
            model.fit(data[keep], y[keep], 0, 4, sample_weight=weights[keep], verbose=0)
            found.append(model.predict(x))
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_allclose(found[0], found[2], rtol=1e-9)


@dataclass(frozen=True)
class Largest(lm.Layer):
    """Statistics of one's own, from a `learn` that takes x alone."""

    def statistics(self, shape: tuple[int, ...]) -> Mapping[str, lm.Parameter]:
        return {"most": lm.Parameter((1, *shape), "ones")}

    def learn(self, x: np.ndarray) -> Mapping[str, np.ndarray]:  # type: ignore[override]
        return {"most": x.max(axis=0, keepdims=True)}

    def forward(self, x: Any, parameters: Any, context: Any) -> Any:
        return x / parameters["most"]


def test_a_layer_of_ones_own_sees_the_rows_that_count() -> None:
    x = np.array([[1.0], [4.0], [100.0]])
    model = still("mean_squared_error", [Largest()], backend="numpy")
    model.fit(x, x, 0, 3, sample_weight=[1, 1, 0], verbose=0)
    assert model.predict(x[:2]).ravel().tolist() == [0.25, 1.0]


# Batches that bring weights


def batches(*each: tuple[float, Any]) -> Callable[[], Any]:
    """Batches of four rows with one target and perhaps weights."""
    z = np.zeros((4, 1))
    made = [(z, np.full(4, t)) if w is None else (z, np.full(4, t), w) for t, w in each]
    return lambda: iter(made)


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ([(1.0, None), (3.0, None)], 5.0),
        ([(1.0, None), (3.0, np.ones(4))], 5.0),
        ([(1.0, np.ones(4)), (3.0, np.full(4, 4.0))], 37 / 5),
        ([(1.0, np.full(4, 4.0)), (3.0, None)], 13 / 5),
        ([(1.0, [1, 0, 0, 0]), (3.0, [1, 2, 0, 0])], 28 / 4),
        ([(1.0, np.full(4, 1e308)), (3.0, np.full(4, 1e308))], 5.0),
        ([(1.0, np.full(4, 1e-300)), (3.0, np.full(4, 1e300))], 9.0),
        ([(1.0, np.full(4, 1e300)), (3.0, np.full(4, 1e-300))], 1.0),
    ],
)
@every_backend
def test_the_epochs_loss_is_the_mean_over_all_rows_of_all_batches(
    backend: str, given: Any, want: float
) -> None:
    layers = [lm.Dense(1, kernel_initializer="zeros")]
    model = still("mean_squared_error", layers, backend=backend, metrics=("mean_absolute_error",))
    history = model.fit(batches(*given), verbose=0).history
    assert history["loss"][0] == pytest.approx(want, rel=1e-12)
    assert history["mean_absolute_error"][0] == pytest.approx((want - 1) / 4 + 1, rel=1e-12)


# Weights of classes


@pytest.mark.parametrize("class_weight", [{1: 50.0}, {0: 0.0}, "balanced"])
@every_backend
def test_validation_is_never_class_weighted(backend: str, class_weight: Any) -> None:
    x = np.random.default_rng(0).normal(size=(200, 2))
    y = (x[:, 0] > 1).astype(int)
    held = split(3, 200, 0.25, y)[1]
    found = []
    for how in ({"validation_split": 0.25}, {"validation_data": (x[held], y[held])}):
        layers = [lm.Dense(1, "sigmoid", kernel_initializer="zeros")]
        model = still("binary_cross_entropy", layers, metrics=("accuracy",), backend=backend)
        history = model.fit(x, y, verbose=0, class_weight=class_weight, **how).history
        found.append([history["val_loss"][0], history["val_accuracy"][0]])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)
    assert found[0][1] == pytest.approx((y[held] == 1).mean())


def test_validation_keeps_the_weights_of_its_rows() -> None:
    x, y = support.classes(40)
    w = np.linspace(0.5, 3.0, 40)
    held = split(3, 40, 0.25, y)[1]
    model = still("cross_entropy", [lm.Dense(3, "softmax")], backend="numpy")
    told = model.fit(
        x, y, 1, 8, validation_split=0.25, sample_weight=w, class_weight={0: 9.0}, verbose=0
    )
    want = model.evaluate(x[held], y[held], sample_weight=w[held])["loss"]
    assert told.history["val_loss"][0] == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("class_weight", [{7: 5.0}, {0: 1.0, 2: 1.0}, {0.5: 2.0}, {-1: 1.0}])
def test_a_weight_for_no_class_is_refused(class_weight: Any) -> None:
    x = np.random.default_rng(0).normal(size=(20, 2))
    y = (x[:, 0] > 0).astype(int)
    model = still("binary_cross_entropy", [lm.Dense(1, "sigmoid")], backend="numpy")
    label = next(f"{k:g}" for k in class_weight if k not in (0, 1))
    with pytest.raises(lm.BadInput, match=f"class_weight has {label}, but the classes are 0, 1"):
        model.fit(x, y, class_weight=class_weight, batch_size=20, verbose=0)
    with pytest.raises(lm.BadInput, match=f"class_weight has {label}, but"):
        model.train_on_batch(x, y, class_weight=class_weight)


def test_a_batch_may_lack_a_class_that_has_a_weight() -> None:
    x, y = support.classes(12)
    first = y < 2
    model = support.classifier()
    told = model.train_on_batch(x[first], y[first], class_weight={0: 2.0, 2: 5.0})
    rows = np.array([2.0, 1.0])[y[first]]
    assert told == support.classifier().train_on_batch(x[first], y[first], sample_weight=rows)
    with pytest.raises(lm.BadInput, match="class_weight has 2, but the classes are 0, 1"):
        support.classifier().fit(x[first], y[first], class_weight={2: 5.0}, batch_size=4)


def test_at_batch_size_one_class_weights_cancel_but_in_the_history() -> None:
    x, y = support.classes(9)
    plain, weighed = support.classifier(), support.classifier()
    a = plain.fit(x, y, 2, 1, verbose=0).history["loss"]
    b = weighed.fit(x, y, 2, 1, class_weight={0: 8.0}, verbose=0).history["loss"]
    assert support.same(plain.get_weights(), weighed.get_weights())
    assert a != b


# Which rows validate


@pytest.mark.parametrize(
    ("counts", "share"),
    [((90, 10), 0.2), ((50, 30, 20), 0.25), ((997, 3), 0.3), ((6, 5, 4, 3, 2), 0.5), ((4, 4), 0.9)],
)
@pytest.mark.parametrize("seed", range(5))
def test_both_parts_have_every_class_in_proportion(
    counts: tuple[int, ...], share: float, seed: int
) -> None:
    labels = np.random.default_rng(9).permutation(np.repeat(np.arange(len(counts)), counts))
    kept, held = split(seed, len(labels), share, labels)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    inside = np.bincount(labels[held], minlength=len(counts))
    assert (inside >= 1).all()
    assert (np.bincount(labels[kept], minlength=len(counts)) >= 1).all()
    assert (np.abs(inside - np.array(counts) * share) <= 1.0 + 1e-9).all()
    again = split(seed, len(labels), share, labels)
    np.testing.assert_array_equal(held, again[1])
    assert seed == 0 or not np.array_equal(held, split(0, len(labels), share, labels)[1])


@pytest.mark.parametrize("seed", range(20))
def test_a_draw_in_proportion_stays_as_it_is(seed: int) -> None:
    labels = np.arange(60) % 2
    plain = split(seed, 60, 0.2)[1]
    there = labels[plain].sum()
    found = split(seed, 60, 0.2, labels)[1]
    assert (np.array_equal(found, plain)) == (there == 6)
    assert len(np.intersect1d(found, plain)) == 12 - abs(6 - there)


def test_a_class_too_small_stays_in_training() -> None:
    labels = np.array([0] * 50 + [1] * 47 + [2, 3, 3])
    for seed in range(30):
        kept, held = split(seed, 100, 0.2, labels)
        assert sorted(labels[kept])[-3:] == [2, 3, 3]
        assert len(held) == 20


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "cross_entropy"])
def test_a_validation_of_one_class_is_refused(loss: str) -> None:
    x, y = np.random.default_rng(0).normal(size=(10, 2)), np.array([1, 1] + [0] * 8)
    last = lm.Dense(1, "sigmoid") if loss.startswith("binary") else lm.Dense(2, "softmax")
    with pytest.raises(lm.BadInput, match="holds out 2 of 10 rows, all of one class"):
        still(loss, [last]).fit(x, y, validation_split=0.2, batch_size=4, verbose=0)
    still(loss, [last]).fit(x, y, validation_split=0.3, batch_size=4, verbose=0)


def test_targets_that_are_no_classes_are_split_as_drawn() -> None:
    x, _ = support.classes(40)
    held = split(3, 40, 0.25)[1]
    soft = np.linspace(0.0, 1.0, 40)
    for loss, layer, y in (
        ("mean_squared_error", lm.Dense(1), np.arange(40) % 2),
        ("binary_cross_entropy", lm.Dense(1, "sigmoid"), soft),
        ("cross_entropy", lm.Dense(2, "softmax"), np.stack([soft, 1.0 - soft], axis=1)),
    ):
        model = still(loss, [layer], backend="numpy")
        told = model.fit(x, y, 1, 8, validation_split=0.25, verbose=0).history["val_loss"][0]
        assert told == pytest.approx(model.evaluate(x[held], y[held])["loss"], rel=1e-12)


class Noted(lm.Callback):
    """Is told of every batch."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_batch_end(self, model: lm.Sequential, batch: int, values: Mapping[str, float]) -> None:
        self.losses.append(values["loss"])


@every_backend
def test_being_told_of_batches_changes_no_weighted_loss(backend: str) -> None:
    x, y = support.classes(20)
    weights = np.repeat([1e-6, 3.0, 1e9, 0.5], 5)

    def parts() -> Any:
        for start in range(0, 20, 5):
            rows = slice(start, start + 5)
            yield x[rows], y[rows], weights[rows]

    plain, told, noted = (*(support.classifier(backend) for _ in range(2)), Noted())
    wanted = plain.fit(parts, epochs=2, steps_per_epoch=4, verbose=0).history
    found = told.fit(parts, epochs=2, steps_per_epoch=4, callbacks=[noted], verbose=0).history
    assert found == wanted
    assert len(noted.losses) == 8
    for at, loss in enumerate(wanted["loss"]):
        mean = np.average(noted.losses[4 * at : 4 * at + 4], weights=[1e-6, 3.0, 1e9, 0.5])
        np.testing.assert_allclose(loss, mean, rtol=1e-6)


def _weighed(y: Any, p: Any, sample_weight: Any = None) -> float:
    return float(np.average(np.square(y - p), weights=sample_weight))


def test_metrics_from_whole_predictions_have_the_weights_and_the_rows_given() -> None:
    seconds = 1_700_000_000 + np.arange(40)[:, None]
    y = np.arange(40) % 2 + 0.0
    weights = np.arange(40) + 1.0
    model = lm.Sequential(
        [lm.Standardize(), lm.Dense(1, "sigmoid")], "binary_cross_entropy",
        metrics=(lm.metrics.whole(_weighed, needs="probabilities"),), backend="numpy", seed=1,
    )  # fmt: skip
    told = model.fit(
        seconds, y, 2, 8, validation_split=0.25, sample_weight=weights, class_weight={1: 9.0},
        verbose=0,
    ).history  # fmt: skip
    for name, rows in zip(("_weighed", "val__weighed"), split(1, 40, 0.25, y), strict=True):
        wanted = _weighed(y[rows], model.predict(seconds[rows])[:, 0], weights[rows])
        np.testing.assert_allclose(told[name][-1], wanted, rtol=1e-6)
