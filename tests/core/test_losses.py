"""Losses: torch's values and derivatives, targets, last layers, weights, files, every backend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.core import losses

GOLDEN = json.loads((support.GOLDEN / "losses.json").read_text())
ACTIVATIONS = {"exp": lm.ops.exp}


class Given:
    """An initializer with the numbers of a layer's input: over rows of an identity they are it."""

    def __init__(self, z: Any) -> None:
        self.z = np.asarray(z)

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return self.z


def loss_of(told: Any) -> Any:
    """A loss of the golden file: a name, or a class with its settings."""
    return told if isinstance(told, str) else getattr(lm, told[0])(**told[1])


def model_of(case: dict[str, Any], backend: str, dtype: str = "float64") -> lm.Sequential:
    """A model whose weights' gradient is that of what stands before the last activation."""
    activation = ACTIVATIONS.get(case["activation"], case["activation"])
    z = np.array(case["z"])
    layer = lm.Dense(z.shape[1], activation, use_bias=False, kernel_initializer=Given(z))
    return lm.Sequential([layer], loss_of(case["loss"]), lm.SGD(0.1), backend=backend, dtype=dtype)


@pytest.mark.slow
@pytest.mark.parametrize("backend", support.EVERY)
@pytest.mark.parametrize("name", GOLDEN)
def test_torchs_numbers(name: str, backend: str) -> None:
    case = GOLDEN[name]
    x, y = np.eye(len(case["z"])), np.array(case["y"])
    for word, weights in (("even", None), ("weighted", case["weights"])):
        model, wanted = model_of(case, backend).build(len(x)), case[word]
        found = model.evaluate(x, y, sample_weight=weights)["loss"]
        np.testing.assert_allclose(found, wanted["loss"], rtol=1e-9, err_msg=word)
        before = model.get_weights()[0]
        model.train_on_batch(x, y, sample_weight=weights)
        gradient = (before - model.get_weights()[0]) / 0.1
        np.testing.assert_allclose(gradient, wanted["gradient"], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", GOLDEN)
def test_gradients_and_float32(name: str) -> None:
    case = GOLDEN[name]
    x, y = np.eye(len(case["z"])), np.array(case["y"])
    model = model_of(case, "numpy", "float32").build(len(x))
    found = model.evaluate(x, y)["loss"]
    np.testing.assert_allclose(found, case["even"]["loss"], rtol=2e-6)
    if np.abs(case["z"]).max() > 100.0:  # too steep, and too flat, for differences
        model.set_weights([np.clip(case["z"], -3.0, 3.0)])
    assert lm.check_gradients(model, x, y, sample_weight=case["weights"], tolerance=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("backend", support.EVERY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_saturated_rows_stay_finite(backend: str, dtype: str) -> None:
    far = np.array([[9e3, -9e3, 0.0], [-9e3, 9e3, 9e3], [-9e3, -9e3, -9e3]])
    labels, shares = np.array([1, 0, 2]), np.array([[0.0, 1.0, 0.5]] * 3)
    sure = np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [1.0, 0.0, 0.0]])
    counts = np.array([[3.0, 0.0, 2.0]] * 3)
    for loss, activation, y in (
        (lm.CrossEntropy(0.1), "softmax", labels), (lm.CrossEntropy(0.1), "softmax", sure),
        ("focal", "softmax", labels), (lm.Focal(0.5), "softmax", labels),
        (lm.Focal(0.5), "softmax", sure), ("kl_divergence", "softmax", sure),
        ("binary_focal", "sigmoid", shares), (lm.BinaryFocal(0.5), "sigmoid", shares),
        ("poisson", "softplus", counts), ("huber", "linear", counts),
    ):  # fmt: skip
        case = {"loss": "huber", "activation": activation, "z": far}
        settings = model_of(case, backend, dtype)
        model = lm.Sequential(settings.layers, loss, lm.SGD(0.01), backend=backend, dtype=dtype)
        before = model.build(3).evaluate(np.eye(3), y)["loss"]
        assert np.isfinite(before), loss
        model.fit(np.eye(3), y, epochs=2, batch_size=3, verbose=0)
        assert np.isfinite(model.get_weights()[0]).all(), loss


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["huber", lm.Quantile(0.2), "poisson", "hinge", "binary_focal"])
def test_every_backend_trains_alike(loss: Any) -> None:
    x, y = support.binary(37)
    found = []
    for backend in support.CPU:
        name = losses.get(loss)
        last = {"poisson": "softplus", "binary_focal": "sigmoid"}.get(name.name)
        model = support.classifier(
            backend, layers=[lm.Dense(6, "silu"), lm.Dense(1, last)], loss=loss, metrics=()
        )
        model.fit(x, y, epochs=4, batch_size=8, verbose=0, sample_weight=1.0 + np.arange(37) % 3)
        found.append(model.predict(x))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-9, atol=1e-11)


def test_names_and_objects() -> None:
    assert losses.get("mae").name == "mean_absolute_error"
    assert losses.get("huber") == lm.Huber() == losses.get(lm.Huber(1.0))
    assert losses.get("kullback_leibler_divergence").name == "kl_divergence"
    assert "loss=Huber(delta=0.5)" in repr(lm.Sequential([lm.Dense(1)], lm.Huber(0.5)))
    assert "loss='huber'" in repr(lm.Sequential([lm.Dense(1)], lm.Huber()))
    model = lm.Sequential([lm.Dense(1)], lm.Quantile(0.9)).build(2)
    assert "loss Quantile(quantile=0.9)" in model.summary()
    with pytest.raises(lm.BadInput, match=r"loss=lm\.Huber\(\)"):
        lm.Sequential([lm.Dense(1)], lm.Huber)  # type: ignore[arg-type]
    with pytest.raises(lm.UnknownName, match="did you mean 'huber'"):
        lm.Sequential([lm.Dense(1)], "hubert")


@pytest.mark.parametrize(
    "make",
    [
        lambda: lm.Huber(0.0), lambda: lm.Huber(np.inf), lambda: lm.Quantile(0.0),
        lambda: lm.Quantile(1.0), lambda: lm.Focal(-1.0), lambda: lm.BinaryFocal(alpha=1.5),
        lambda: lm.BinaryFocal(gamma=np.nan), lambda: lm.CrossEntropy(1.0),
        lambda: lm.CrossEntropy("0.1"),
    ],
)  # fmt: skip
def test_settings(make: Any) -> None:
    with pytest.raises(lm.BadInput):
        make()


@pytest.mark.parametrize(
    ("loss", "last", "says"),
    [
        ("focal", lm.Dense(3), 'give it activation="softmax"'),
        ("focal", lm.Dense(1, "sigmoid"), 'or the model loss="binary_focal"'),
        ("binary_focal", lm.Dense(3, "softmax"), 'or the model loss="focal"'),
        (lm.CrossEntropy(0.1), lm.Dense(3, "sigmoid"), 'give it activation="softmax"'),
        ("kl_divergence", lm.Dense(3, "sigmoid"), "probabilities from softmax"),
        ("kl_divergence", lm.Dense(1, "softmax"), "softmax over one output"),
        ("poisson", lm.Dense(1), 'rates from softplus or exp, .* activation="softplus"'),
        ("hinge", lm.Dense(1, "sigmoid"), "leave its activation away"),
    ],
)
def test_a_last_layer_that_does_not_fit(loss: Any, last: lm.Dense, says: str) -> None:
    with pytest.raises(lm.BadInput, match=says):
        lm.Sequential([last], loss).build(4)


@pytest.mark.parametrize(
    ("loss", "activation", "y", "says"),
    [
        ("poisson", "softplus", [[-1.0]], r"\[poisson\] targets must be counts"),
        ("hinge", None, [[2.0]], r"\[hinge\] targets must be -1 and 1, or 0 and 1"),
        ("hinge", None, [[0.0], [-1.0]], "-1 among zeros at row 1"),
        ("binary_focal", "sigmoid", [[1.5]], r"\[binary_focal\] targets must be in \[0, 1\]"),
        ("kl_divergence", "softmax", [[0.5, 0.2]], r"\[kl_divergence\] rows of y must be"),
        ("kl_divergence", "softmax", [[1]], "2 columns: for class numbers use"),
        ("focal", "softmax", [[3]], r"\[focal\] y has label 3"),
        ("huber", None, [[1.0, 2.0]], r"\[huber\] y has shape"),
    ],
)
def test_targets_that_do_not_fit(loss: str, activation: str | None, y: Any, says: str) -> None:
    units = 2 if activation == "softmax" else 1
    model = lm.Sequential([lm.Dense(units, activation)], loss, backend="numpy")
    with pytest.raises((lm.BadInput, lm.ShapeError), match=says):
        model.fit(np.ones((len(y), 2)), y, verbose=0)


def test_class_weights() -> None:
    x, y = support.binary(20)
    for loss, last, labels in (
        ("hinge", None, 2 * y - 1), ("binary_focal", "sigmoid", y),
    ):  # fmt: skip
        low = float(labels.min())
        weights, models = np.where(labels.ravel() == low, 3.0, 1.0), []
        for settings in ({"class_weight": {low: 3.0}}, {"sample_weight": weights}):
            model = support.classifier(layers=[lm.Dense(1, last)], loss=loss, metrics=())
            models.append(model)
            model.fit(x, labels, epochs=2, batch_size=7, verbose=0, **settings)
        np.testing.assert_allclose(models[0].predict(x), models[1].predict(x), rtol=1e-12)
    with pytest.raises(lm.BadInput, match=r"\[hinge\] every label is 1"):
        support.classifier(layers=[lm.Dense(1)], loss="hinge", metrics=()).fit(x, y * 0 + 1)


@pytest.mark.parametrize(
    "loss", ["mean_absolute_error", "huber", lm.Huber(0.25), lm.Quantile(0.75)]
)
def test_files(loss: Any, tmp_path: Path) -> None:
    x, y = support.regression(20)
    model = support.classifier(layers=[lm.Dense(2)], loss=loss, metrics=())
    model.fit(x, y, epochs=1, batch_size=8, verbose=0)
    model.save(tmp_path / "m.safetensors")
    again = lm.load(tmp_path / "m.safetensors", backend="numpy")
    assert again.loss == model.loss
    for one in (model, again):
        one.fit(x, y, epochs=2, batch_size=8, verbose=0)
    assert support.same(model.get_weights(), again.get_weights())


def test_a_plain_name_is_written_as_one(tmp_path: Path) -> None:
    from lamina.core.checkpoint import description

    model = lm.Sequential([lm.Dense(2, "softmax")], lm.CrossEntropy()).build(2)
    assert description(model)["loss"] == "cross_entropy"
    model = lm.Sequential([lm.Dense(2, "softmax")], lm.CrossEntropy(0.1)).build(2)
    assert description(model)["loss"] == {"class": "CrossEntropy", "label_smoothing": 0.1}


def test_a_quantile_is_where_it_says() -> None:
    y = np.random.default_rng(0).normal(size=(400, 1))
    model = lm.Sequential([lm.Dense(1)], lm.Quantile(0.9), lm.Adam(0.05), backend="numpy", seed=0)
    model.fit(np.zeros((400, 1)), y, epochs=120, batch_size=400, verbose=0)
    assert (y < model.predict([[0.0]])).mean() == pytest.approx(0.9, abs=0.02)


def test_an_own_function_of_a_known_name() -> None:
    def huber(y: Any, p: Any) -> Any:
        return (p - y) ** 2

    model = lm.Sequential([lm.Dense(1)], huber)
    assert model.loss.told() == "huber"
    assert "loss='huber'" in repr(model)
