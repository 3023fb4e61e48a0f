"""Pictures: what is drawn, in which words and colours, and what is said where they cannot be."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.core import figures, layout

from .. import support

plt = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed")


@pytest.fixture(autouse=True)
def _no_screen() -> Iterator[None]:
    before = plt.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    plt.switch_backend(before)


@pytest.fixture(scope="module")
def trained() -> tuple[Any, Any, Any, Any]:
    x, y = support.binary(60, 2)
    model = lm.Sequential(
        [lm.Dense(4, "tanh"), lm.Dense(1, "sigmoid")], "binary_cross_entropy", lm.Adam(0.05),
        ("accuracy",), "numpy", seed=0,
    )  # fmt: skip
    history = model.fit(x, y, 5, validation_data=(x, y), verbose=0)
    return model, history, x, y


def words(axes: Any) -> set[str]:
    return {text.get_text() for text in axes.figure.findobj(plt.Text)}


def test_learning_curves_draw_the_history_s_numbers(trained: Any) -> None:
    _, history, _, _ = trained
    axes = lm.plot.learning_curves(history, "accuracy")
    training, validation = axes.lines
    assert list(training.get_ydata()) == history.history["accuracy"]
    assert list(validation.get_ydata()) == history.history["val_accuracy"]
    assert validation.get_linestyle() == "--"
    assert {"epoch", "accuracy", "training", "validation"} <= words(axes)
    several = lm.plot.learning_curves({"a": history, "b": history}, ax=plt.subplots()[1])
    assert [line.get_label() for line in several.lines] == [
        "a", "a, validation", "b", "b, validation",
    ]  # fmt: skip
    with pytest.raises(lm.UnknownName, match="accurracy"):
        lm.plot.learning_curves(history, "accurracy")


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_boundary_lies_where_the_model_changes_its_mind(outputs: int) -> None:
    class Model:
        def predict(self, x: np.ndarray) -> np.ndarray:
            one = (x[:, :1] > 0).astype(float)
            return one if outputs == 1 else np.hstack([one * 0.9, 0.5 + 0 * one, 0 * one])

    x = np.array([[-1.0, -1.0], [1.0, 1.0]])
    axes = lm.plot.decision_boundary(Model(), x, [0, 1])
    middle = [
        path.vertices[:, 0] for each in axes.collections for path in each.get_paths() if len(path)
    ]
    assert min(np.abs(xs).min() for xs in middle) < 0.02
    assert [line.get_label() for line in axes.lines] == ["0", "1"]
    with pytest.raises(lm.BadInput, match="two features"):
        lm.plot.decision_boundary(Model(), np.ones((3, 4)))


def test_activations_and_derivatives_are_those_of_the_field() -> None:
    left, right = lm.plot.activations(("tanh", "relu"))
    z = left.lines[0].get_xdata()
    np.testing.assert_allclose(left.lines[0].get_ydata(), np.tanh(z), atol=1e-12)
    np.testing.assert_allclose(right.lines[0].get_ydata(), 1 - np.tanh(z) ** 2, atol=1e-12)
    np.testing.assert_array_equal(right.lines[1].get_ydata(), (z > 0).astype(float))


@pytest.mark.slow
def test_a_graph_has_a_box_for_each_node_and_an_arrow_for_each_input() -> None:
    trace = lm.trace(lambda a, b, c: 3 * (a + b * c), 5.0, 3.0, 2.0, backend="numpy")
    axes = lm.plot.graph(trace)
    axes.figure.canvas.draw()
    found = words(axes)
    assert {"a", "b", "c", "v1 = b · c", "v2 = a + v1", "result = 3 · v2", "33", "9"} <= found
    arrows = [text for text in axes.texts if text.arrow_patch is not None]
    assert len(arrows) == 5


def test_nodes_of_a_graph_never_stand_in_each_other_s_place() -> None:
    def f(w: Any, x: Any, b: Any, y: Any) -> Any:
        a = lm.ops.sigmoid(w * x + b)
        return -(y * lm.ops.log(a) + (1 - y) * lm.ops.log(1 - a))

    nodes = layout.placed(lm.trace(f, 1.0, 2.0, 3.0, 1.0, backend="numpy"))
    for number, one in enumerate(nodes):
        assert all(other.depth < one.depth for other in one.inputs)
        for other in nodes[:number]:
            assert one.depth != other.depth or abs(one.row - other.row) > 0.999
    assert min(one.row for one in nodes) == 0.0


def test_weights_are_pictures_side_by_side() -> None:
    sheet = lm.plot.weights(np.arange(12.0).reshape(4, 3)).images[0].get_array()
    assert sheet.shape == (2, 3 * 2 + 2)
    np.testing.assert_allclose(sheet[:, :2].data, np.array([[0, 3], [6, 9]]) / 9.0)
    with pytest.raises(lm.BadInput, match="5 inputs are no picture of 2 x 2"):
        lm.plot.weights(np.ones((5, 3)))


def test_gradient_norms(trained: Any) -> None:
    model, _, x, y = trained
    gradients = model.gradients(x, y)
    axes = lm.plot.gradient_norms({"here": gradients, "there": gradients})
    norms = [np.linalg.norm(one["weight"]) for one in gradients]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), norms, rtol=1e-6)
    assert axes.get_yscale() == "log"


def test_pictures_of_predictions_are_scikit_learn_s(trained: Any) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    model, _, x, y = trained
    matrix = metrics.confusion_matrix(y.reshape(-1), model.predict_classes(x))
    assert {str(n) for n in matrix.ravel()} <= words(lm.plot.confusion_matrix(model, x, y))
    area = metrics.roc_auc_score(y.reshape(-1), model.predict(x).reshape(-1))
    assert f"model (AUC = {area:.2f})" in words(lm.plot.roc(model, x, y))
    assert "share of class 1" in words(lm.plot.calibration(model, x, y, bins=5))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*hasn't converged")
def test_estimators_are_asked_for_their_probabilities() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    x, y = support.binary(60, 2)
    y = y.reshape(-1).astype(int)
    settings: dict[str, Any] = {"max_iter": 3, "random_state": 0, "backend": "numpy"}
    names = np.array(["no", "yes"])[y]
    model = lm.MLPClassifier((4,), **settings).fit(x, y)
    named = lm.MLPClassifier((4,), **settings).fit(x, names)
    area = metrics.roc_auc_score(y, model.predict_proba(x)[:, 1])
    assert area != metrics.roc_auc_score(y, model.predict(x))
    assert f"model (AUC = {area:.2f})" in words(lm.plot.roc(model, x, y))
    assert f"model (AUC = {area:.2f})" in words(lm.plot.roc(named, x, y))
    assert {"yes", "no"} <= words(lm.plot.confusion_matrix(named, x, names))
    assert lm.plot.decision_boundary(named, x, y).collections
    assert lm.plot.weights(model, (1, 2)).images


def test_two_classes_are_asked_for() -> None:
    x, y = support.classes()
    model = support.classifier()
    model.fit(x, y, verbose=0)
    with pytest.raises(lm.BadInput, match="two classes, not of 3"):
        lm.plot.roc(model, x, y)


def cones(colour: str, missing: str) -> np.ndarray:
    """A colour as eyes see it that lack a kind of cone (Machado et al. 2009), in linear light."""
    seen = {
        "none": np.eye(3),
        "red": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                         [-0.003882, -0.048116, 1.051998]]),
        "green": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                           [-0.011820, 0.042940, 0.968881]]),
        "blue": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                          [0.004733, 0.691367, 0.303900]]),
    }[missing]  # fmt: skip
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.clip(seen @ parts**2.2, 0, 1)


def lab(linear: np.ndarray) -> np.ndarray:
    """CIE L*a*b*, D65."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722],
                       [0.0193, 0.1192, 0.9505]])  # fmt: skip
    f = np.cbrt(np.maximum(to_xyz @ linear / [0.9505, 1.0, 1.089], 1e-6))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


CSS = (Path(figures.__file__).parent / "base.css").read_text()
SCHEMES = [dict(re.findall(r"--(\w+): (#\w{6})", text)) for text in CSS.split("@media")[:2]]


def test_a_page_s_light_colours_are_those_of_figures() -> None:
    for colour, variable in figures.VARIABLES.items():
        assert SCHEMES[0][variable] == colour


@pytest.mark.parametrize("scheme", SCHEMES, ids=["light", "dark"])
@pytest.mark.parametrize("missing", ["none", "red", "green", "blue"])
def test_colours_stay_apart_for_every_eye(missing: str, scheme: dict[str, str]) -> None:
    series = [scheme[figures.VARIABLES[colour]] for colour in figures.SERIES]
    seen = [lab(cones(colour, missing)) for colour in series]
    for number, one in enumerate(seen):
        for other in seen[:number]:
            assert np.linalg.norm(one - other) > 15.0, (series[number], missing)


@pytest.mark.slow
def test_the_svg_keeps_words_and_takes_the_page_s_colours() -> None:
    axes = figures.axes()
    axes.plot([0, 1], [0, 1])
    axes.set_title("标题 title")
    made = figures.svg(axes.figure, "x1")
    assert "标题 title" in made
    assert f"var(--f1, {figures.BLUE})" in made
    assert 'id="x1-' in made
    assert figures.svg(axes.figure, "x1") == made
    assert "http" not in made.replace("http://www.w3.org", "")


@pytest.mark.long
def test_objects_show_themselves(trained: Any) -> None:
    model, history, x, y = trained
    shown = model._repr_html_()
    assert shown.count("<tr>") == 3
    assert "17 parameters" in shown
    assert "<svg" in history._repr_html_()
    trace = lm.trace(lambda a, b: a * b, 2.0, 3.0, backend="numpy")
    assert "<svg" in trace._repr_html_()
    explained = lm.explain(model)
    assert explained._repr_html_().count("<tr>") == len(explained.rows)
    assert "µs" in lm.profile(model, x, y, 1)._repr_html_()
    assert not plt.get_fignums()


def test_without_matplotlib_tables_stay_and_pictures_say_what_mends_it(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = trained[1]
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    monkeypatch.setattr("lamina.core.notebook.find_spec", lambda name: None)
    assert "<table" in history._repr_html_()
    assert "<table" in lm.trace(lambda a: a * a, 2.0, backend="numpy")._repr_html_()
    with pytest.raises(lm.LaminaError, match=r'pip install "lamina\[plot\]"'):
        lm.plot.learning_curves(history)
