"""Metrics that are not means over rows: numbers from whole predictions, as scikit-learn's.

A metric on nodes (see `row_metrics.py`) gives one value a row and is computed within the program.
What has no value a row, such as F1 or the area under a curve, is a function of all targets and
predictions as arrays, and costs a pass of prediction over the rows.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np

from ..kernels.errors import BadInput, UnknownName, unknown
from . import losses, row_metrics
from .directions import Mode, direction
from .row_metrics import Metric
from .scores import PROBABILITIES, calibration_error, classes_of, top_k_accuracy

if TYPE_CHECKING:
    from .examples import Examples

Needs = Literal["classes", "probabilities", "values"]
Measure = Callable[..., Any]
PREFIX = "sklearn.metrics."

# scikit-learn's functions: what each needs. Another one is judged by the names of its inputs.
SCIKIT: dict[str, Needs] = {
    "accuracy_score": "classes", "balanced_accuracy_score": "classes",
    "cohen_kappa_score": "classes", "confusion_matrix": "classes", "f1_score": "classes",
    "fbeta_score": "classes", "hamming_loss": "classes", "jaccard_score": "classes",
    "matthews_corrcoef": "classes", "multilabel_confusion_matrix": "classes",
    "precision_score": "classes", "recall_score": "classes", "zero_one_loss": "classes",
    "average_precision_score": "probabilities", "brier_score_loss": "probabilities",
    "d2_brier_score": "probabilities", "d2_log_loss_score": "probabilities",
    "log_loss": "probabilities", "roc_auc_score": "probabilities",
    "top_k_accuracy_score": "probabilities",
    "d2_absolute_error_score": "values", "explained_variance_score": "values",
    "max_error": "values", "mean_absolute_error": "values",
    "mean_absolute_percentage_error": "values",
    "mean_gamma_deviance": "values", "mean_pinball_loss": "values",
    "mean_poisson_deviance": "values", "mean_squared_error": "values",
    "mean_squared_log_error": "values",
    "median_absolute_error": "values", "r2_score": "values",
    "root_mean_squared_error": "values", "root_mean_squared_log_error": "values",
}  # fmt: skip
NAMES = {
    "auc": "roc_auc_score", "average_precision": "average_precision_score",
    "balanced_accuracy": "balanced_accuracy_score", "brier_score": "brier_score_loss",
    "cohen_kappa": "cohen_kappa_score", "explained_variance": "explained_variance_score",
    "f1": "f1_score", "jaccard": "jaccard_score", "mape": "mean_absolute_percentage_error",
    "precision": "precision_score", "r2": "r2_score", "recall": "recall_score",
    "rmse": "root_mean_squared_error", "roc_auc": "roc_auc_score",
    "roc_auc_ovo": "roc_auc_score", "roc_auc_ovr": "roc_auc_score",
}  # fmt: skip
# A suffix says how the numbers of several classes become one: "f1_weighted".
AVERAGED = ("f1_score", "jaccard_score", "precision_score", "recall_score")
AVERAGES = ("macro", "micro", "weighted")
# These take the probabilities of two classes as two columns; the others that of class 1.
COLUMNS = ("d2_log_loss_score", "log_loss")
LABELLED = (*COLUMNS, "roc_auc_score", "top_k_accuracy_score")  # or a class without rows misleads
BEYOND = "fbeta_score"  # has a setting without a default, so it is no metric by name


OWN: dict[str, Measure] = {
    "calibration_error": calibration_error,
    "top_k_accuracy": top_k_accuracy,
}


@dataclass(frozen=True)
class Whole:
    """A metric as a function of whole predictions; `lm.metrics.whole` makes one of a function.

    name: in the history. needs: see `whole`. mode: "max" where more is better, "min" where less
    is, None where nobody said. call: the function, or None where it is scikit-learn's of the name
    `scikit`. named: whether it was asked for by a name, which brings settings that fit the network;
    options: those that the name itself says. word: what a file calls it.
    """

    name: str
    needs: Needs
    mode: Mode | None = None
    call: Measure | None = None
    scikit: str = ""
    named: bool = False
    options: tuple[tuple[str, Any], ...] = ()
    word: str = ""

    def check_installed(self) -> None:
        """Raises BadInput where scikit-learn is needed and lacking, with what mends it."""
        if self.call is None and find_spec("sklearn") is None:
            raise BadInput(
                f'the metric {self.name!r} is scikit-learn\'s: pip install "lamina[metrics]"'
            )

    @cached_property
    def _call(self) -> Measure:
        found = self.call or getattr(import_module("sklearn.metrics"), self.scikit)
        return cast("Measure", found)

    @cached_property
    def _takes(self) -> frozenset[str]:
        """The names of what the function takes and was not given yet."""
        given = self._call.keywords if isinstance(self._call, partial) else {}
        return frozenset(inspect.signature(self._call).parameters) - frozenset(given)

    def check(self, op: str) -> None:
        """Raises BadInput where predictions that end in the operation `op` do not fit."""
        if self.needs != "values" and op not in PROBABILITIES:
            raise BadInput(
                f"[{self.name}] needs {self.needs}, so the last layer must end in softmax or"
                " sigmoid"
            )

    def measure(self, examples: Examples, p: np.ndarray, op: str) -> Any:
        """The metric of predictions, a number or an array.

        p: (n, outputs), what `predict` gives for the examples; op: the operation that it ends in.
        Raises: BadInput where the metric is not defined for these rows, in the function's words.
        """
        y, outputs = self._targets(examples, op), p.shape[1]
        options = dict(self.options)
        several = outputs > (2 if op == "softmax" else 1)
        if self.named and self.scikit in AVERAGED:
            options = {"average": "macro" if several else "binary", **options}
        labelled = self.scikit in LABELLED or (self.named and self.scikit == "confusion_matrix")
        if labelled and "labels" in self._takes and (op == "softmax" or outputs == 1):
            options["labels"] = np.arange(max(outputs, 2))
        if examples.given_weights is not None and "sample_weight" in self._takes:
            options["sample_weight"] = examples.given_weights
        try:
            found = self._call(y, self._predictions(p, op), **options)
        except ValueError as error:
            raise BadInput(f"[{self.name}] {error}") from error
        return self._checked(found)

    def _targets(self, examples: Examples, op: str) -> np.ndarray:
        """(n,), or (n, outputs) where there are several: class numbers, or y as it was given."""
        y = examples.y
        if self.needs == "values":
            y = y if examples.given_y is None else examples.given_y
        elif op == "softmax" and y.shape[1] > 1:
            y = y.argmax(axis=1)
        elif self.needs == "classes" and op == "sigmoid":
            y = (y >= 0.5).astype(np.int32)  # as the metric "accuracy" counts
        elif y.dtype.kind == "f" and (y == np.floor(y)).all():
            y = y.astype(np.int32)
        return y.reshape(-1) if y.ndim == 1 or y.shape[1] == 1 else y

    def _predictions(self, p: np.ndarray, op: str) -> np.ndarray:
        if self.needs == "classes":
            return classes_of(p, op)
        if op == "softmax" and p.shape[1] == 2 and self.needs == "probabilities" and self.scikit:
            return p if self.scikit in COLUMNS else p[:, 1]
        return p[:, 0] if p.shape[1] == 1 else p

    def _checked(self, found: Any) -> Any:
        array = np.asarray(found) if not isinstance(found, (str, bytes, dict)) else np.array(None)
        if array.dtype.kind not in "biuf":
            raise BadInput(f"[{self.name}] must return a number or an array, not {found!r}")
        return float(array) if array.ndim == 0 else array


def whole(
    function: Measure,
    needs: Needs | None = None,
    mode: Mode | None = None,
    name: str | None = None,
) -> Whole:
    """A metric made of a function(y_true, y_pred) of arrays with all rows, for `metrics=`.

    scikit-learn's functions need no `whole`, unless to rename one or to say its mode.

    function: it returns a number or an array; where it takes `sample_weight`, the rows' go there.

    needs: what y_pred is: "classes", class numbers, (n,); "probabilities" or "values", what
        `predict` gives, (n, outputs), or (n,) of one output. y_true is alike: class numbers, or for
        "values" the targets as they were given. None is "values", or what is known of
        scikit-learn's functions.
    mode: "max" where more is better, "min" where less is, for callbacks that monitor it.
    name: in the history; None is the function's.
    Raises: BadInput, UnknownName.
    """
    if not callable(function):
        raise BadInput(f"whole takes a function metric(y_true, y_pred) of arrays, not {function!r}")
    if needs is not None and needs not in get_args(Needs):
        raise unknown("needs", needs, get_args(Needs))
    if mode is not None and mode not in get_args(Mode):
        raise unknown("mode", mode, get_args(Mode))
    target = function.func if isinstance(function, partial) else function
    title = getattr(target, "__name__", "metric")
    _check_signature(title, function)
    scikit = title if _of_scikit(target) else ""
    known = needs or (_needs_of(target) if scikit or _is_own(target) else "values")
    return Whole(name or title, known, mode or direction(title), function, scikit)


def get(choice: str | losses.Function | Metric | Whole) -> Metric | Whole:
    """The metric that a choice stands for.

    choice: a name, a function on nodes, a function of scikit-learn's or a `functools.partial` of
        one, what `whole` made, or a metric. Raises: UnknownName, BadInput.
    """
    if isinstance(choice, (Whole, Metric)):
        return choice
    if isinstance(choice, str):
        found = _by_name(choice)
        if found is not None:
            return found
        try:
            return row_metrics.get_metric(choice)
        except UnknownName:
            raise unknown("metric", choice, names()) from None
    target = choice.func if isinstance(choice, partial) else choice
    if type(target).__module__.startswith("sklearn."):
        raise BadInput(f"a metric is a function of (y_true, y_pred), not {choice!r}")
    if _of_scikit(target) or _is_own(target):
        found = whole(choice)
        if choice is target and found.scikit in SCIKIT:
            return Whole(found.name, found.needs, found.mode, scikit=found.scikit, word=PREFIX)
        return found
    return row_metrics.get_metric(choice)


def names() -> list[str]:
    """The names that `metrics=` takes."""
    own = ["calibration_error", "top_3_accuracy", "top_5_accuracy"]
    return sorted({*row_metrics.METRICS, *own, *NAMES, *SCIKIT} - {BEYOND})


def _by_name(name: str) -> Whole | None:
    """The metric from whole predictions of that name, or None."""
    if name in row_metrics.METRICS:
        return None
    if name == "calibration_error":
        return Whole(name, "probabilities", "min", calibration_error, word=name)
    if counted := re.fullmatch(r"top_([1-9]\d*)_accuracy", name):
        k = int(counted[1])
        return Whole(name, "probabilities", "max", top_k_accuracy, options=(("k", k),), word=name)
    if name.startswith(PREFIX) and (plain := name.removeprefix(PREFIX)) in SCIKIT:
        return Whole(plain, SCIKIT[plain], direction(plain), scikit=plain, word=PREFIX)
    base: str = name
    options: dict[str, Any] = {}
    for average in AVERAGES:
        short = name.removesuffix(f"_{average}")
        if short != name and NAMES.get(short, short) in AVERAGED:
            base, options = short, {"average": average}
    scikit = NAMES.get(base, base)
    if scikit not in SCIKIT or scikit == BEYOND:
        return None
    if scikit == "roc_auc_score":
        options["multi_class"] = "ovo" if name.endswith("ovo") else "ovr"
    if scikit in AVERAGED:
        options["zero_division"] = 0.0  # what it is without the word, which also warns
    given, needs, mode = tuple(options.items()), SCIKIT[scikit], direction(scikit)
    return Whole(name, needs, mode, scikit=scikit, named=True, options=given, word=name)


def _of_scikit(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).startswith("sklearn.")


def _is_own(function: Any) -> bool:
    return any(function is each for each in OWN.values())


def _check_signature(title: str, function: Measure) -> None:
    """Raises BadInput for a function that wants more than targets and predictions."""
    given = function.keywords if isinstance(function, partial) else {}
    try:
        inputs = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C
        return
    fixed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    wanted = [
        each.name for each in inputs
        if each.default is each.empty and each.kind not in fixed and each.name not in given
    ]  # fmt: skip
    if len(wanted) > 2:
        raise BadInput(
            f"[{title}] wants {', '.join(wanted[2:])} as well: use functools.partial({title},"
            f" {wanted[2]}=...)"
        )


def _needs_of(function: Measure) -> Needs:
    """What a function needs, by the table or by the name of its second input."""
    name = getattr(function, "__name__", "")
    if name in OWN:
        return "probabilities"
    if name in SCIKIT:
        return SCIKIT[name]
    inputs = list(inspect.signature(function).parameters)
    if len(inputs) > 1 and inputs[1] in ("y_score", "y_prob", "y_proba"):
        return "probabilities"
    return "classes" if "classification" in str(function.__module__) else "values"


# Of a model: what a file says, and what is computed where


def written(metric: Metric | Whole) -> Any:
    """In words of JSON, the name of the metric, or what `load` needs to make it of a function."""
    if isinstance(metric, Metric):
        from .layers import plain

        return plain(metric.function or metric.name)
    if metric.word == PREFIX:
        return PREFIX + metric.scikit
    if metric.word:
        return metric.word
    return {"function": metric.name, "needs": metric.needs, "mode": metric.mode}


def read(told: Any, custom: Callable[[str], Any]) -> Any:
    """What was told by `written`, for `metrics=`; custom gives the user's function of a name."""
    if not isinstance(told, dict):
        return told
    found = custom(told["function"])
    if "needs" not in told or isinstance(found, Whole):
        return found
    return whole(found, told["needs"], told["mode"], told["function"])


def of_rows(metrics: Sequence[Metric | Whole]) -> list[Metric]:
    """Those of the metrics that a program computes."""
    return [metric for metric in metrics if isinstance(metric, Metric)]


def of_all(metrics: Sequence[Metric | Whole]) -> list[Whole]:
    """Those of the metrics that are from whole predictions."""
    return [metric for metric in metrics if isinstance(metric, Whole)]


def add(
    wanted: Sequence[Whole],
    examples: Examples,
    values: dict[str, Any],
    p: np.ndarray,
    op: str,
    lenient: bool,
) -> None:
    """Puts metrics from whole predictions among the values.

    wanted: which. examples, p, op: see `Whole.measure`. values: by name.
    lenient: a metric that is not defined for these rows is NaN, with a warning, and ends nothing.
    Raises: BadInput.
    """
    for metric in wanted:
        try:
            values[metric.name] = metric.measure(examples, p, op)
        except BadInput as error:
            if not lenient:
                raise
            warnings.warn(f"{error}: it is NaN in the history", RuntimeWarning, stacklevel=2)
            values[metric.name] = float("nan")
