"""`MLPClassifier`: scikit-learn's, on lamina's networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from ...backends.selection import Choice
from ...kernels.errors import BadInput
from ..callbacks import Callback
from .perceptron import OWN, Perceptron, check_stochastic
from .scikit import (
    ClassifierMixin,
    LabelBinarizer,
    available_if,
    column_or_1d,
    compute_sample_weight,
    constraints,
    type_of_target,
    unique_labels,
    validate_data,
)


class MLPClassifier(ClassifierMixin, Perceptron):  # type: ignore[misc]
    """scikit-learn's `MLPClassifier`, trained by lamina's native programs on any backend.

    Names, defaults, attributes and numbers are scikit-learn's: the same `random_state` gives the
    same first weights, order of rows and held-out rows, and so the same `coefs_` to rounding.
    Losses are summed over outputs; the penalty, alpha / 2 times the sum of squared weights, is
    divided by the sum of the batch's row weights. One thing differs: where scikit-learn keeps a
    probability from 0 before it tells the loss, lamina tells that of the exact logarithm.

    hidden_layer_sizes: neurons of each hidden layer. activation: of the hidden layers, "identity",
        "logistic", "tanh" or "relu".
    solver: "adam", "sgd", or "lbfgs" (by SciPy, over all rows at once).
    alpha: strength of the L2 penalty, from 0. batch_size: rows a step; "auto" is min(200, n).
    learning_rate: of "sgd" alone: "constant"; "invscaling", learning_rate_init / t ** power_t with
        t the rows seen; "adaptive", divided by 5 when nothing has improved. learning_rate_init: the
        first one.
    max_iter: epochs, or iterations of lbfgs, at most. max_fun: evaluations of lbfgs, at most.
    shuffle: take the rows in another order every epoch. random_state: what draws.
    tol, n_iter_no_change: training ends when the loss, or the score of held-out rows, has not
        improved by `tol` for more than so many epochs.
    verbose: print a line an epoch. warm_start: `fit` goes on from the weights that there are.
    momentum, nesterovs_momentum: of "sgd". beta_1, beta_2, epsilon: of "adam".
    early_stopping: hold out a validation_fraction of the rows, of two classes in proportion; keep
        the weights of the best score.
    backend: see `lm.get_backend`. dtype: what is computed in, "float32" or "float64"; "auto" is
        float32 for such X, else float64, as in scikit-learn. precision: see `lm.Sequential`.
    dropout: rate behind each hidden layer, in [0, 1), with masks drawn by `random_state`; not for
        lbfgs.
    class_weight: a dict of label -> factor, "balanced", or a list of dicts for several labels a
        row; it multiplies `sample_weight` in training, not in the score of held-out rows.
    callbacks: `lm.Callback` objects, told of the network after each epoch; `validation_score` is
        among the values with early stopping. Not for lbfgs.

    classes_: labels. coefs_, intercepts_: weights (n_in, n_out) and (n_out,) by layer; predictions
    follow what they hold. loss_, best_loss_, loss_curve_, validation_scores_,
    best_validation_score_, n_iter_, t_, n_layers_, n_outputs_, out_activation_, n_features_in_,
    feature_names_in_: as in scikit-learn.

    A fitted one pickles with its network; where the backend cannot run, it comes back on the one
    that "auto" takes, with a warning.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = constraints(*OWN, "class_weight")

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        backend: Choice = "auto",
        dtype: str = "auto",
        dropout: float = 0.0,
        class_weight: Mapping[Any, float] | str | None = None,
        callbacks: Sequence[Callback] | None = None,
        precision: str | None = None,
    ) -> None:
        self._keep(locals())

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPClassifier:
        """Trains on all rows; returns the estimator.

        X: (n, features), dense or sparse, of which a batch at a time is made dense.
        y: (n,) labels, or (n, labels) of 0 and 1. sample_weight: (n,).
        Raises: BadInput, also where training leaves the finite numbers.
        """
        self._fit(X, y, sample_weight, incremental=False)
        return self

    @available_if(check_stochastic)  # type: ignore[untyped-decorator]
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> MLPClassifier:
        """One epoch over these rows, going on from the last; returns the estimator.

        X, y, sample_weight: as in `fit`. classes: all labels that there will be; for the first
            call. Raises: BadInput.
        """
        if self.class_weight == "balanced":
            raise BadInput(
                "class_weight 'balanced' is not supported for partial_fit, which does not see all"
                " rows: use sklearn.utils.class_weight.compute_class_weight('balanced', ...) on"
                " all labels, and pass its dict"
            )
        if self._begun(classes):
            self._label_binarizer = LabelBinarizer()
            several = type_of_target(y).startswith("multilabel")
            self._label_binarizer.fit(y if several else classes)
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def _begun(self, classes: Any) -> bool:
        """Whether this is the first `partial_fit`, whose classes are then known."""
        known = getattr(self, "classes_", None)
        if known is None and classes is None:
            raise BadInput("classes must be passed on the first call to partial_fit.")
        if classes is None:
            return False
        if known is None:
            self.classes_ = unique_labels(classes)
            return True
        if not np.array_equal(known, unique_labels(classes)):
            raise BadInput(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was:"
                f" {known!r}"
            )
        return False

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest label of each row, (n,), or (n, labels) of 0 and 1. X: (n, features)."""
        return self._labels(self._output(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities, (n, classes) in the order of `classes_`. X: (n, features)."""
        output = self._output(X)
        if self.n_outputs_ > 1:
            return output
        return np.hstack([1.0 - output, output])

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithm of `predict_proba`, (n, classes). X: (n, features)."""
        p = self.predict_proba(X)
        logarithms: np.ndarray = np.log(p, out=p)
        return logarithms

    def _labels(self, output: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._label_binarizer.inverse_transform(
            output.ravel() if self.n_outputs_ == 1 else output
        )
        return found

    @property
    def _several(self) -> bool:
        """Whether a row may have several labels."""
        return bool(self._label_binarizer.y_type_.startswith("multilabel"))

    def _targets(self, X: Any, y: Any, first: bool, incremental: bool) -> tuple[Any, np.ndarray]:
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=self._float(),
            reset=first,
        )  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_classes(unique_labels(y))
        if self._several:
            return X, np.asarray(self._label_binarizer.transform(y), bool)
        numbers = np.searchsorted(self.classes_, y).reshape(-1, 1)
        return X, numbers.astype(bool if len(self.classes_) < 3 else np.int32)

    def _check_classes(self, classes: np.ndarray) -> None:
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise BadInput(
                    "warm_start can only be used where `y` has the same classes as in the previous"
                    f" call to fit. Previously got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise BadInput(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}."
                f" 'y' has {classes}."
            )

    def _outputs(self) -> tuple[int, str]:
        count = len(self.classes_)
        if self._label_binarizer.y_type_ == "multiclass" and count > 2:
            return count, "softmax"
        return count if self._several else 1, "logistic"

    def _class_weights(self, y: Any) -> np.ndarray | None:
        if self.class_weight is None:
            return None
        found: np.ndarray = compute_sample_weight(self.class_weight, y)
        return found

    def _strata(self, y: np.ndarray) -> np.ndarray | None:
        return y if self.n_outputs_ == 1 else None

    def _score_of(self, output: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
        """Accuracy."""
        if self.out_activation_ == "softmax":
            right = output.argmax(axis=1) == y[:, 0]
        else:
            right = ((output > 0.5) == y).all(axis=1)
        return float(np.average(right, weights=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
