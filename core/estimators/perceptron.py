"""What both estimators share: settings, checked data, the network, and the two kinds of solver."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier as Original
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..examples import Examples
from ..model import Sequential
from ..optimizers import Optimizer
from .costs import Cost
from .networks import Arrays, Description, arrays, flat, predicted, rows_of
from .newton import FullCost, minimized
from .rules import LATE, SGD, Adam
from .scikit import row_weights, validate_data
from .stochastic import DrawnRows, Epochs

STOCHASTIC = ("sgd", "adam")
DTYPES = ("auto", "float32", "float64")


class Perceptron(BaseEstimator):  # type: ignore[misc]
    """The common part; the settings are those of `lm.MLPClassifier`."""

    _parameter_constraints = {
        **Original._parameter_constraints,
        "backend": "no_validation",  # lamina's own words name what there is
        "dtype": "no_validation",
        "dropout": "no_validation",
        "callbacks": "no_validation",
        "precision": "no_validation",
    }

    hidden_layer_sizes: Any
    coefs_: Arrays
    intercepts_: Arrays

    # What the two differ in

    @abstractmethod
    def _targets(self, X: Any, y: Any, first: bool, incremental: bool) -> tuple[Any, np.ndarray]:
        """X checked, and targets as the network takes them, (n, outputs) or (n, 1) classes."""

    @abstractmethod
    def _outputs(self) -> tuple[int, str]:
        """The number of outputs, and the last activation."""

    @abstractmethod
    def _cost(self, weighted: bool, alpha: float) -> Cost:
        """What is trained."""

    @abstractmethod
    def _score_of(self, output: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
        """The score of the network's output, (n, outputs), for targets as `_targets` gives them."""

    def _class_weights(self, y: Any, incremental: bool) -> np.ndarray | None:
        """A weight for each row, by its class."""
        return None

    def _strata(self, y: np.ndarray) -> np.ndarray | None:
        """What early stopping keeps in proportion, or None."""
        return None

    # Fitting

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> Any:
        self._validate_params()
        self._check_settings()
        hidden = self._hidden()
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        given = y
        X, y = self._targets(X, y, first, incremental)
        weights = None if sample_weight is None else row_weights(sample_weight, X)
        shares = self._class_weights(given, incremental)
        random = check_random_state(self.random_state)
        self.n_outputs_, self.out_activation_ = self._outputs()
        if first:
            self._initialize((X.shape[1], *hidden, self.n_outputs_), X.dtype, random)
        if self.solver in STOCHASTIC:
            self._fit_stochastic(X, y, weights, shares, random, incremental)
        else:
            self._fit_lbfgs(X, y, _product(weights, shares))
        if not all(np.isfinite(array).all() for array in (*self.coefs_, *self.intercepts_)):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large"
                " values and need to be preprocessed."
            )
        return self

    def _check_settings(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {self.dtype!r}")

    def _hidden(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        found = [int(size) for size in sizes] if hasattr(sizes, "__iter__") else [int(sizes)]
        if any(size <= 0 for size in found):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {found}.")
        return found

    def _float(self) -> Any:
        """The dtypes that X may keep: what it is else cast to comes first."""
        return (np.float64, np.float32) if self.dtype == "auto" else np.dtype(self.dtype)

    def _initialize(self, sizes: Sequence[int], dtype: Any, random: Any) -> None:
        """First weights, drawn as scikit-learn draws them (Glorot and Bengio 2010)."""
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(sizes)
        self.coefs_, self.intercepts_ = [], []
        factor = 2.0 if self.activation == "logistic" else 6.0
        for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
            bound = np.sqrt(factor / (n_in + n_out))
            self.coefs_.append(random.uniform(-bound, bound, (n_in, n_out)).astype(dtype))
            self.intercepts_.append(random.uniform(-bound, bound, n_out).astype(dtype))
        if self.solver in STOCHASTIC:
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            stopping = self.early_stopping
            self.validation_scores_: list[float] | None = [] if stopping else None
            self.best_validation_score_ = -np.inf if stopping else None
            self.best_loss_ = None if stopping else np.inf

    def _description(self, random: Any = None) -> Description:
        sizes = (self.coefs_[0].shape[0], *(w.shape[1] for w in self.coefs_))
        seed = int(random.randint(2**31)) if self.dropout and random is not None else 0
        return Description(
            sizes, self.activation, self.out_activation_, self.dropout, self.coefs_[0].dtype.name,
            self.backend, self.precision, seed,
        )  # fmt: skip

    def _optimizer(self) -> Optimizer:
        rate = float(self.learning_rate_init)
        if self.solver == "adam":
            return Adam(rate, self.beta_1, self.beta_2, self.epsilon)
        return SGD(rate, self.momentum, bool(self.nesterovs_momentum and self.momentum > 0))

    def _network(self, cost: Cost, incremental: bool, random: Any) -> Sequential:
        """The network with these weights: that of the last `partial_fit`, or a fresh one."""
        known = getattr(self, "_model", None)
        if incremental and known is not None and getattr(self, "_goes_on", False):
            self._fill(known)
            known.session.lower(cost)
            return known  # type: ignore[no-any-return]
        made = self._description(random).made(
            cost, self._optimizer(), self.coefs_, self.intercepts_
        )
        if self.solver == "adam":
            made.state.step = LATE
        self._model, self._goes_on = made, self.solver in STOCHASTIC
        return made  # type: ignore[no-any-return]

    def _take(self, model: Sequential) -> None:
        """Makes the network's weights the estimator's."""
        packed = model.state.read("parameters")
        sizes = (self.coefs_[0].shape[0], *(w.shape[1] for w in self.coefs_))
        self.coefs_, self.intercepts_ = arrays(packed, sizes)

    def _fill(self, model: Sequential) -> None:
        """Makes the estimator's weights the network's, where somebody has changed them."""
        packed = flat(self.coefs_, self.intercepts_)
        if not np.array_equal(packed, model.state.read("parameters"), equal_nan=True):
            model.state.write("parameters", packed)

    def _fit_stochastic(
        self,
        X: Any,
        y: np.ndarray,
        weights: np.ndarray | None,
        shares: np.ndarray | None,
        random: Any,
        incremental: bool,
    ) -> None:
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        held = None
        if self.early_stopping:
            kept, out = train_test_split(
                np.arange(X.shape[0]), random_state=random, test_size=self.validation_fraction,
                stratify=self._strata(y),
            )  # fmt: skip
            if len(out) < 2:
                raise ValueError(
                    "The validation set is too small. Increase 'validation_fraction' or the size of"
                    " your dataset."
                )
            held = X[out], y[out], None if weights is None else weights[out]
            X, y = X[kept], y[kept]
            weights, shares = (None if one is None else one[kept] for one in (weights, shares))
        n = X.shape[0]
        batch = self._batch(n)
        each = _product(weights, shares)
        model = self._network(self._cost(each is not None, float(self.alpha)), incremental, random)
        if each is not None:
            y = np.column_stack([y, each])
        y = np.ascontiguousarray(y, "int32" if y.dtype.kind == "i" else model.dtype)
        examples = Examples(rows_of(X, model.dtype), y)
        model.session.settle(batch)
        source = DrawnRows(model.session, examples, batch, random if self.shuffle else None)
        score = None
        if held is not None:
            rows = rows_of(held[0], model.dtype)

            def score() -> float:
                return self._judged(predicted(model, rows), *held[1:])

        try:
            Epochs(self, model, source, score, incremental).run()
        finally:
            self._take(model)

    def _judged(self, output: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
        return self._score_of(output, y, weights) if np.isfinite(output).all() else float("nan")

    def _batch(self, n: int) -> int:
        if self.batch_size == "auto":
            return min(200, n)
        if self.batch_size > n:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be"
                " clipped",
                stacklevel=5,
            )
        return int(np.clip(self.batch_size, 1, n))

    def _fit_lbfgs(self, X: Any, y: np.ndarray, weights: np.ndarray | None) -> None:
        model = self._network(self._cost(False, 0.0), False, None)
        y = np.ascontiguousarray(y, "int32" if y.dtype.kind == "i" else model.dtype)
        if weights is not None:
            weights = np.ascontiguousarray(weights, np.float64)
        examples = Examples(rows_of(X, model.dtype), y, weights)
        model.session.settle(X.shape[0])
        matrices = sum(w.size for w in self.coefs_)
        minimized(self, FullCost(model, examples, float(self.alpha), matrices))
        self._take(model)

    # Predicting

    def _output(self, X: Any) -> np.ndarray:
        """The network's output for rows of the user's, (n, outputs)."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False, dtype=self._float())
        model = getattr(self, "_model", None)
        if model is None:
            model = self._description().made(
                self._cost(False, 0.0), self._optimizer(), self.coefs_, self.intercepts_
            )
        self._fill(model)
        return predicted(model, rows_of(X, model.dtype))

    def _check_solver(self) -> bool:
        if self.solver not in STOCHASTIC:
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers."
                f" {self.solver} is not stochastic."
            )
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _product(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    if a is None or b is None:
        return a if b is None else b
    product: np.ndarray = a * b
    return product
