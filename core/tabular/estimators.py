"""`lm.TabularClassifier` and `lm.TabularRegressor`: what `lamina train` does to a table, in Python.

scikit-learn's protocol: settings in the constructor, `fit(X, y)`, `predict`, `score`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np

from ...backends.selection import Choice
from ...kernels.errors import BadInput
from ..data import datasets
from ..data.frames import is_frame, series_of
from ..data.tables import standard
from ..estimators.scikit import (
    BaseEstimator,
    ClassifierMixin,
    RegressorMixin,
    check_is_fitted,
    check_random_state,
    row_weights,
)
from ..model import Sequential
from .columns import Columns
from .recipe import EMBED_FROM, Recipe
from .training import Trained, train

TARGET = "target"  # the name of a target that has none


class Tabular(BaseEstimator):  # type: ignore[misc]
    """What both estimators share. What is None or "auto" is decided by the task and the rows.

    hidden: sizes of the hidden layers, or of the one. activation: theirs. dropout: behind each, in
        [0, 1). members: networks of the ensemble. epochs: passes over the rows at most. patience:
        epochs without a better loss on the rows held out after which a member ends. batch_size:
        rows a step, about. learning_rate: the highest of the schedule. loss: that training lowers.
    time: seconds that training may take, about. types: what columns are, as in
        `lm.datasets.load`. backend, dtype: as in `lm.Sequential`. random_state: keys all draws.

    model_: the trained `lm.Sequential`: `model_.save(path)` writes what `lamina predict` reads.
    trained_: how its members were trained. n_features_in_, feature_names_in_: as in scikit-learn.
    """

    task = "classification"
    model_: Sequential
    trained_: Trained

    def __init__(
        self,
        hidden: int | Sequence[int] | None = None,
        activation: str = "auto",
        dropout: float | None = None,
        members: int | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        loss: str = "auto",
        time: float | None = None,
        types: Mapping[str, str] | None = None,
        backend: Choice = "auto",
        dtype: str = "float32",
        random_state: Any = None,
    ) -> None:
        self.hidden, self.activation, self.dropout = hidden, activation, dropout
        self.members, self.epochs, self.patience = members, epochs, patience
        self.batch_size, self.learning_rate, self.loss = batch_size, learning_rate, loss
        self.time, self.types, self.backend, self.dtype = time, types, backend, dtype
        self.random_state = random_state

    def _recipe(self) -> Recipe:
        names = (
            "activation", "dropout", "members", "epochs", "patience", "batch_size",
            "learning_rate", "loss", "time",
        )  # fmt: skip
        hidden = self.hidden
        if hidden is not None:
            hidden = tuple(hidden) if hasattr(hidden, "__iter__") else (hidden,)
        return Recipe(hidden, **{name: getattr(self, name) for name in names})

    def _fit(self, X: Any, y: np.ndarray, told: Any, name: str, weights: Any) -> Self:
        """Trains on targets as the network takes them.

        told: what the label column says, a cell for each row: (n,). name: of the target.
        """
        recipe, known, label = self._recipe(), named(X), name
        while label in known:
            label += " (target)"
        if known and (rows := len(next(iter(known.values())))) != len(y):
            raise BadInput(f"X has {rows} rows, but y {len(y)}")
        data = datasets.load(
            {**known, label: told}, 0.0, label=label, task=self.task, types=self.types,
            embed_from=EMBED_FROM,
        )  # fmt: skip
        assert data.encoding is not None
        rng = check_random_state(self.random_state)
        share = None if weights is None else row_weights(weights, data.x_train)
        self.trained_ = train(
            data.x_train, y, Columns.of(data.encoding), self.task,
            max(len(data.encoding.classes), 1), recipe, backend=self.backend,
            dtype=self.dtype, seed=int(rng.randint(2**31 - 1)), sample_weight=share,
        )  # fmt: skip
        self.model_ = self.trained_.model
        self.model_.encoding = data.encoding
        self.n_features_in_ = len(known)
        if is_frame(X):
            self.feature_names_in_ = np.array(list(known), dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self

    def to_sequential(self) -> Sequential:
        """The trained ensemble, an `lm.Sequential` that takes tables. Raises: NotFittedError."""
        check_is_fitted(self, "model_")
        return self.model_

    def _outputs(self, X: Any) -> np.ndarray:
        """The network's outputs for rows, (n, outputs). Raises: BadInput for other columns."""
        check_is_fitted(self, "model_")
        assert self.model_.encoding is not None
        return self.model_.predict(self.model_.encoding.features(self._columns(X)))

    def _columns(self, X: Any) -> dict[str, Any]:
        """The columns by the names that they had in `fit`; by place, where only one had names."""
        known, now, then = named(X), is_frame(X), hasattr(self, "feature_names_in_")
        if now and then:
            return known
        kind = type(self).__name__
        if len(known) != self.n_features_in_:
            raise BadInput(
                f"X has {len(known)} features, but {kind} is expecting {self.n_features_in_}"
                " features as input"
            )
        if now != then:
            has = "has feature names, but" if now else "does not have valid feature names, but"
            fitted = "without" if now else "with"
            told = f"X {has} {kind} was fitted {fitted} feature names"
            warnings.warn(told, stacklevel=4)
        assert self.model_.encoding is not None
        names = (column.name for column in self.model_.encoding.columns)
        return dict(zip(names, known.values(), strict=True))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        one = tags.input_tags
        one.allow_nan = one.string = one.categorical = True
        return tags


class TabularClassifier(ClassifierMixin, Tabular):  # type: ignore[misc]
    """The recipe of `lamina train` for tables with classes, as an estimator of scikit-learn.

    An ensemble of networks, each stopped by rows of its own held out, calibrated (see README).
    Settings: hidden, activation, dropout, members, epochs, patience, batch_size, learning_rate,
    loss ("cross_entropy" or "focal"), time, types, backend, dtype and random_state.

    After `fit`: classes_, model_ (an `lm.Sequential` that `save` writes for `lamina predict`),
    trained_, n_features_in_, and feature_names_in_ of a data frame.
    """

    classes_: np.ndarray

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains.

        X: a data frame of any library, a dictionary of lists, or an array (n, features); words,
            dates and missing cells are taken as in `lamina train`. y: (n,) labels of any kind.
        sample_weight: (n,) from 0. Raises: BadInput.
        """
        classes, codes = classes_of(column(y))
        digits = len(str(len(classes)))
        told = [f"class {code:0{digits}}" for code in codes]  # in the order of the classes
        self._fit(X, codes.astype(np.int64), told, target_name(y), sample_weight)
        assert self.model_.encoding is not None
        names = tuple(str(one) for one in classes)
        self.model_.encoding = replace(self.model_.encoding, classes=names)
        self.classes_ = classes
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, (n, classes), in the order of `classes_`.

        X: as in `fit`; columns of a data frame in any order.
        """
        return np.asarray(self._outputs(X), np.float64)

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each row, (n,). X: as in `fit`."""
        chosen = self._outputs(X).argmax(axis=1)
        return np.asarray(self.classes_[chosen])


class TabularRegressor(RegressorMixin, Tabular):  # type: ignore[misc]
    """The recipe of `lamina train` for tables with numbers to predict, as scikit-learn's estimator.

    The target is standardized inside; predictions are in its own units, and stay between the least
    and the largest that was taught. Settings: those of `lm.TabularClassifier`, but loss is
    "mean_squared_error", "mean_absolute_error", "huber" or "quantile".

    After `fit`: model_ (an `lm.Sequential` that `save` writes for `lamina predict`), trained_,
    n_features_in_, and feature_names_in_ of a data frame.
    """

    task = "regression"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains.

        X: as in `lm.TabularClassifier`. y: (n,) finite numbers. sample_weight: (n,) from 0.
        Raises: BadInput.
        """
        targets = numbers_of(column(y))
        mean, scale = standard("y", targets)
        return self._fit(X, (targets - mean) / scale, targets, target_name(y), sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """The target of each row in its own units, (n,) float64. X: as in `fit`."""
        found = self._outputs(X)[:, 0]
        assert self.model_.encoding is not None
        return self.model_.encoding.units(found)


def named(X: Any) -> dict[str, Any]:
    """The columns of a data frame or an array by name; those of an array are x0, x1, ...

    Raises: BadInput for what has no rows and columns.
    """
    if is_frame(X):
        names = list(X) if isinstance(X, Mapping) else list(getattr(X, "column_names", X.columns))
        return {str(name): X[name] for name in names}
    if hasattr(X, "tocsr"):
        raise BadInput("X is a sparse matrix: pass X.toarray()")
    array = np.asarray(X)
    if array.ndim != 2:
        raise BadInput(f"X must have rows and columns, (n, features), not {array.ndim} axes")
    return {f"x{number}": array[:, number] for number in range(array.shape[1])}


def column(y: Any) -> np.ndarray:
    """Targets as one axis. Raises: BadInput."""
    found = np.asarray(y)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1 or not len(found):
        raise BadInput(f"y must be a column of targets, (n,), not of shape {found.shape}")
    return found


def classes_of(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes in order, and the number of each row's, (n,). Raises: BadInput."""
    known = series_of(labels, "y").known
    if not known.all():
        raise BadInput(f"y has no label in row {int(np.argmin(known))}: leave the row out")
    if labels.dtype.kind == "f" and (odd := labels != np.floor(labels)).any():
        raise BadInput(
            f"y holds numbers with fractions, such as {labels[int(np.argmax(odd))]:g}, which are no"
            " classes: lm.TabularRegressor learns numbers, and y.astype(str) makes them names"
        )
    try:
        classes, codes = np.unique(labels, return_inverse=True)
    except TypeError:
        raise BadInput(
            "y holds labels of kinds that have no order, such as numbers and words: y.astype(str)"
            " makes all of them words"
        ) from None
    if len(classes) < 2:
        only = classes.tolist()[0]
        raise BadInput(f"y has one class only, {only!r}: there is nothing to learn")
    return classes, codes


def numbers_of(targets: np.ndarray) -> np.ndarray:
    """Targets of a regression, (n,) finite float64. Raises: BadInput."""
    try:
        found = targets.astype(np.float64) if targets.dtype.kind not in "cMm" else None
    except (TypeError, ValueError):
        found = None
    if found is None:
        raise BadInput(
            f"y holds {series_of(targets, 'y').kind}s, such as {targets.tolist()[0]!r}, where"
            " numbers are to be learned: lm.TabularClassifier learns names"
        )
    if not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(found)))
        raise BadInput(f"y holds NaN or infinity, first in row {row}")
    return found


def target_name(y: Any) -> str:
    """What the target is called, where it has a name."""
    name = getattr(y, "name", None)
    return name if isinstance(name, str) and name else TARGET
