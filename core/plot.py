"""Pictures of models, trainings and graphs, by matplotlib (`pip install "lamina[plot]"`).

Each function draws into the axes it is given, or into those of a new figure, and returns them, so
that a title, a limit or another curve can be added. `style()` is how they look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kernels.errors import BadInput, LaminaError
from . import drawing, figures
from .graph.autodiff import Trace, trace, value_and_grad
from .graph.functions import ops
from .history import History
from .model import Sequential

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_IMAGES = 64


def style() -> dict[str, Any]:
    """Matplotlib's settings for every figure here: `plt.style.use(lm.plot.style())`.

    The colours stay apart for eyes that lack one kind of cone, and lines differ in their dashes.
    """
    return figures.style()


def learning_curves(
    history: History | Mapping[str, History], metric: str = "loss", ax: Axes | None = None
) -> Axes:
    """A number of each epoch, and beside it, dashed, that of the validation data.

    history: what `fit` returned, or several by name. metric: "loss", or a metric that was watched.
    ax: the axes to draw into. Raises: UnknownName for a metric that none of them has.
    """
    several = history if isinstance(history, Mapping) else {"": history}
    return drawing.curves(several, metric, ax)


def decision_boundary(
    model: Any, x: Any, y: Any = None, ax: Axes | None = None, steps: int = 150
) -> Axes:
    """The plane of two features in the colours of the classes that a model predicts there.

    model: one with `predict`, of one output (a probability), several, or class numbers; an
        estimator is asked for its `predict_proba`.
    x: (n, 2) points, which give the picture its size. y: their (n,) classes, drawn as marks.
    ax: the axes to draw into. steps: points of the grid along each side.
    Raises: BadInput where there are not two features.
    """
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != 2:
        raise BadInput(f"decision_boundary draws two features, not x of shape {x.shape}")
    ax = figures.axes(ax)
    low, high = x.min(axis=0), x.max(axis=0)
    low, high = low - 0.06 * (high - low), high + 0.06 * (high - low)
    across, up = (np.linspace(low[i], high[i], steps) for i in range(2))
    grid = np.stack(np.meshgrid(across, up), axis=-1)
    found = _said(model, grid.reshape(-1, 2))
    if found.ndim == 2 and found.shape[1] > 1:
        found = found.argmax(axis=1)
    found = found.reshape(steps, steps).astype(np.float64)
    if found.min() < 0.0 or found.max() > 1.0:  # class numbers of more than two
        many = int(found.max()) + 1
        colours = [figures.SERIES[i % len(figures.SERIES)] for i in range(many)]
        ax.contourf(across, up, found, np.arange(many + 1) - 0.5, colors=colours, alpha=0.25)
    else:
        for level in (0.5, 0.25, 0.1):  # one veil over the other: the surer, the deeper
            for colour, span in (
                (figures.BLUE, (-0.01, level)),
                (figures.ORANGE, (1.0 - level, 1.01)),
            ):
                ax.contourf(across, up, found, span, colors=[colour], alpha=0.14)
        if found.min() < 0.5 < found.max():
            ax.contour(across, up, found, [0.5], colors=[figures.INK], linewidths=1.1)
    if y is not None:
        y = np.asarray(y).reshape(-1)
        for number, label in enumerate(np.unique(y)):
            own = x[y == label]
            ax.plot(
                own[:, 0], own[:, 1], "o^sDvP"[number % 6], linestyle="", markersize=2.6,
                color=figures.SERIES[number % len(figures.SERIES)], label=str(label),
            )  # fmt: skip
    ax.set(xlabel="x1", ylabel="x2", xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    ax.grid(False)
    return ax


def activations(
    names: Sequence[str] = ("sigmoid", "tanh", "relu", "leaky_relu"),
    span: float = 4.0,
    axes: Sequence[Axes] | None = None,
) -> Sequence[Axes]:
    """Activations, and beside them their derivatives, as lamina computes both.

    names: of operations in `lm.ops` on single numbers. span: from -span to span.
    axes: two to draw into. Raises: UnknownName.
    """
    size = (figures.WIDTH, 2.6)
    left, right = axes if axes is not None else figures.axes(None, ncols=2, figsize=size)
    z = np.linspace(-span, span, 401)
    for name in names:
        apply = getattr(ops, name)
        slope = value_and_grad(lambda x, f=apply: f(x).sum(), backend="numpy")(z)[1]
        made = trace(apply, z, backend="numpy")
        left.plot(z, made.values[made.result], label=name)
        right.plot(z, slope, label=name)
    left.set(xlabel="z", ylabel="a = g(z)", title="activation")
    right.set(xlabel="z", ylabel="g'(z)", title="derivative")
    left.legend()
    return left, right


def graph(traced: Trace, ax: Axes | None = None) -> Axes:
    """A computation graph, each node with its value (blue) and the result's derivative (orange).

    It runs from left to right, or downwards where it is deep.

    traced: what `lm.trace` returned. ax: the axes to draw into.
    """
    return drawing.graph(traced, ax)


def weights(
    model: Any, shape: tuple[int, int] | None = None, columns: int = 8, ax: Axes | None = None
) -> Axes:
    """The weights into each unit of a first layer as a picture: blue below zero, red above.

    model: a model, an estimator, or the first weight (n_in, n_out). shape: of a picture, (height,
    width); the square that fits if None. columns: pictures in a row; 64 are drawn at most. ax: to
    draw into.
    Raises: BadInput where the shape does not fit.
    """
    if hasattr(model, "to_sequential"):
        model = model.to_sequential()
    weight = np.asarray(model.get_weights()[0] if isinstance(model, Sequential) else model)
    side = round(weight.shape[0] ** 0.5)
    height, width = shape or (side, side)
    if weight.ndim != 2 or height * width != weight.shape[0]:
        raise BadInput(
            f"weights: {weight.shape[0]} inputs are no picture of {height} x {width}: give shape="
        )
    images = weight.T[:MOST_IMAGES].reshape(-1, height, width)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for number, image in enumerate(images):
        top, left = number // columns * (height + 1), number % columns * (width + 1)
        limit = np.abs(image).max() or 1.0
        sheet[top : top + height, left : left + width] = image / limit
    ax = figures.axes(ax, figsize=(figures.WIDTH, figures.WIDTH * rows / columns + 0.25))
    ax.imshow(sheet, cmap="RdBu_r", vmin=-1.0, vmax=1.0, interpolation="nearest")
    ax.axis("off")
    return ax


def gradient_norms(
    gradients: Sequence[Mapping[str, np.ndarray]] | Mapping[str, Any], ax: Axes | None = None
) -> Axes:
    """The norm of the cost's gradient for the weight of each layer, on a logarithmic axis.

    gradients: what `model.gradients(x, y)` returned, or several such by name. ax: to draw into.
    """
    several = gradients if isinstance(gradients, Mapping) else {"": gradients}
    ax = figures.axes(ax)
    for number, (name, layers) in enumerate(several.items()):
        norms = [float(np.linalg.norm(one["weight"])) for one in layers if "weight" in one]
        mark = "o^sDvP"[number % 6]
        ax.plot(range(1, len(norms) + 1), norms, marker=mark, markersize=4, label=name)
    ax.set(xlabel="layer", ylabel="norm of dJ/dW", yscale="log")
    ax.xaxis.get_major_locator().set_params(integer=True)
    if len(several) > 1:
        ax.legend()
    return ax


def _displays() -> Any:
    """scikit-learn's metrics. Raises: LaminaError where it is not installed."""
    try:
        import sklearn.calibration
        import sklearn.metrics
    except ImportError:
        raise LaminaError(
            'this picture is scikit-learn\'s: pip install "lamina[metrics]"'
        ) from None
    return sklearn


def _said(model: Any, x: Any) -> np.ndarray:
    """What a model says of rows: an estimator's probabilities, of two classes the second's."""
    if not hasattr(model, "predict_proba"):
        return np.asarray(model.predict(x))
    found = np.asarray(model.predict_proba(x))
    return found[:, 1:] if found.shape[1] == 2 else found


def _likely(model: Any, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """The labels, and the probability of class 1. Raises: BadInput for more than two classes."""
    found = _said(model, x)
    if found.ndim == 2 and found.shape[1] == 2:
        found = found[:, 1]
    if found.ndim == 2 and found.shape[1] > 2:
        raise BadInput(f"this picture is of two classes, not of {found.shape[1]}")
    return np.asarray(y).reshape(-1), found.reshape(-1)


def confusion_matrix(
    model: Any, x: Any, y: Any, class_names: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """How many rows of each class (down) were taken for which class (across).

    model: one with `predict_classes`, or an estimator. x: (n, features). y: (n,) classes.
    class_names: in the order of the numbers. ax: the axes to draw into.
    scikit-learn's ConfusionMatrixDisplay. Raises: LaminaError without scikit-learn.
    """
    metrics = _displays().metrics
    ax = figures.axes(ax, figsize=(figures.WIDTH, figures.WIDTH * 0.88))
    labels = range(len(class_names)) if class_names is not None else None
    predict = getattr(model, "predict_classes", model.predict)
    metrics.ConfusionMatrixDisplay.from_predictions(
        np.asarray(y).reshape(-1), predict(x), labels=labels, colorbar=False,
        display_labels=class_names, ax=ax, cmap="Blues", text_kw={"fontsize": 8},
    )  # fmt: skip
    ax.set(xlabel="predicted", ylabel="true")
    ax.grid(False)
    return ax


def roc(model: Any, x: Any, y: Any, ax: Axes | None = None) -> Axes:
    """The share of class 1 that is found against the false alarms, for every threshold.

    model: as in `decision_boundary`, of two classes. x: (n, features). y: (n,) of 0 and 1. ax: to
    draw into. scikit-learn's RocCurveDisplay. Raises: BadInput; LaminaError without scikit-learn.
    """
    metrics, ax = _displays().metrics, figures.axes(ax)
    metrics.RocCurveDisplay.from_predictions(
        *_likely(model, x, y), plot_chance_level=True, ax=ax, name="model",
        chance_level_kw={"label": "chance", "color": figures.SOFT},
    )  # fmt: skip
    ax.set(xlabel="false positive rate", ylabel="true positive rate")
    return ax


def calibration(model: Any, x: Any, y: Any, bins: int = 10, ax: Axes | None = None) -> Axes:
    """How often class 1 was right, against the probability that the model gave it.

    model: as in `decision_boundary`, of two classes. x: (n, features). y: (n,) of 0 and 1. bins: of
    the probability. ax: to draw into. scikit-learn's CalibrationDisplay.
    Raises: BadInput; LaminaError without scikit-learn.
    """
    display, ax = _displays().calibration.CalibrationDisplay, figures.axes(ax)
    shown = display.from_predictions(*_likely(model, x, y), n_bins=bins, ax=ax, name="model")
    for line in ax.lines:
        if line is not shown.line_:  # black is lost on a dark page
            line.set_color(figures.SOFT)
    ax.legend(loc="upper left")
    ax.set(xlabel="predicted probability", ylabel="share of class 1")
    return ax
