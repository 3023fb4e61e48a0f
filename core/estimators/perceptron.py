"""What both estimators share: settings, checked data, the network, and the two kinds of solver."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ...backends.selection import Choice, preferred
from ...kernels.errors import BackendUnavailable, BadInput
from .. import optimizers
from ..examples import Examples
from ..model import Sequential
from ..optimizers import Optimizer
from .costs import COSTS, Cost
from .networks import LOSSES, Arrays, Description, arrays, flat, predicted, rows_of
from .newton import FullCost, minimized
from .rules import LATE, ScikitAdam, ScikitSGD
from .scikit import (
    BaseEstimator,
    check_is_fitted,
    check_random_state,
    row_weights,
    train_test_split,
    validate_data,
)
from .stochastic import DrawnRows, Epochs
from .workshop import Work, workshop

STOCHASTIC = ("sgd", "adam")
DTYPES = ("auto", "float32", "float64")
OWN = ("backend", "dtype", "dropout", "callbacks", "precision")  # settings that lamina adds


@dataclass(frozen=True)
class Going:
    """What a `partial_fit` goes on from: the rule with its rate, its steps, and what it keeps."""

    rule: Optimizer
    step: int
    slots: Mapping[str, np.ndarray] = field(default_factory=dict)


class Perceptron(BaseEstimator):  # type: ignore[misc]
    """The common part; the settings are those of `lm.MLPClassifier`."""

    coefs_: Arrays
    intercepts_: Arrays

    def _keep(self, given: Mapping[str, Any]) -> None:
        """The constructor's arguments as attributes of their names, as scikit-learn wants them."""
        for name, value in given.items():
            if name != "self":
                setattr(self, name, value)

    # What the two differ in

    @abstractmethod
    def _targets(self, X: Any, y: Any, first: bool, incremental: bool) -> tuple[Any, np.ndarray]:
        """X checked, and targets as the network takes them, (n, outputs) or (n, 1) classes."""

    @abstractmethod
    def _outputs(self) -> tuple[int, str]:
        """The number of outputs, and the last activation."""

    @abstractmethod
    def _score_of(self, output: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
        """The score of the network's output, (n, outputs), for targets as `_targets` gives them."""

    def _class_weights(self, y: Any) -> np.ndarray | None:
        """A weight for each row, by its class."""
        return None

    def _strata(self, y: np.ndarray) -> np.ndarray | None:
        """What early stopping keeps in proportion, or None."""
        return None

    # Fitting

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> Any:
        self._validate_params()
        if self.dtype not in DTYPES:
            raise BadInput(f"dtype must be one of {', '.join(DTYPES)}, not {self.dtype!r}")
        hidden = self._hidden()
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        given = y
        X, y = self._targets(X, y, first, incremental)
        weights = None if sample_weight is None else row_weights(sample_weight, X)
        shares = self._class_weights(given)
        random = check_random_state(self.random_state)
        self.n_outputs_, self.out_activation_ = self._outputs()
        if first:
            self._initialize((X.shape[1], *hidden, self.n_outputs_), X.dtype, random)
        if self.solver in STOCHASTIC:
            if first or not hasattr(self, "loss_curve_"):
                self._begin_account()
            self._fit_stochastic(X, y, weights, shares, random, incremental)
        else:
            self._fit_lbfgs(X, y, _product(weights, shares))
        if not all(np.isfinite(array).all() for array in (*self.coefs_, *self.intercepts_)):
            raise BadInput(
                "Solver produced non-finite parameter weights. The input data may contain large"
                " values and need to be preprocessed."
            )
        return self

    def _hidden(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        found = [int(size) for size in sizes] if hasattr(sizes, "__iter__") else [int(sizes)]
        if any(size <= 0 for size in found):
            raise BadInput(f"hidden_layer_sizes must be > 0, got {found}.")
        return found

    def _float(self) -> Any:
        """The dtypes that X may keep: what it is else cast to comes first."""
        return (np.float64, np.float32) if self.dtype == "auto" else np.dtype(self.dtype)

    def _initialize(self, sizes: Sequence[int], dtype: Any, random: Any) -> None:
        """First weights, drawn as scikit-learn draws them (Glorot and Bengio 2010)."""
        self.__dict__.pop("_going", None)
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(sizes)
        self.coefs_, self.intercepts_ = [], []
        factor = 2.0 if self.activation == "logistic" else 6.0
        for n_in, n_out in pairwise(sizes):
            bound = np.sqrt(factor / (n_in + n_out))
            self.coefs_.append(random.uniform(-bound, bound, (n_in, n_out)).astype(dtype))
            self.intercepts_.append(random.uniform(-bound, bound, n_out).astype(dtype))

    def _begin_account(self) -> None:
        """Of epochs: their losses and scores, and how long nothing has improved."""
        self.loss_curve_: list[float] = []
        self._no_improvement_count = 0
        stopping = self.early_stopping
        self.validation_scores_: list[float] | None = [] if stopping else None
        self.best_validation_score_ = -np.inf if stopping else None
        self.best_loss_ = None if stopping else np.inf

    @property
    def _sizes(self) -> tuple[int, ...]:
        return (self.coefs_[0].shape[0], *(w.shape[1] for w in self.coefs_))

    def _description(self) -> Description:
        return Description(
            self._sizes, self.activation, self.out_activation_, float(self.dropout),
            self.coefs_[0].dtype.name, self.precision,
        )  # fmt: skip

    def _rule(self) -> Optimizer:
        rate = float(self.learning_rate_init)
        if self.solver == "adam":
            return ScikitAdam(rate, self.beta_1, self.beta_2, self.epsilon)
        return ScikitSGD(rate, self.momentum, bool(self.nesterovs_momentum and self.momentum > 0))

    def _cost(self, alpha: float, weighted: bool = False) -> Cost:
        return COSTS[self.out_activation_](alpha, weighted)

    def _segments(self) -> dict[str, np.ndarray]:
        return {"parameters": flat(self.coefs_, self.intercepts_)}

    def _take(self, model: Sequential) -> None:
        """Makes the network's weights the estimator's."""
        self.coefs_, self.intercepts_ = arrays(model.state.read("parameters"), self._sizes)

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
            raise BadInput("partial_fit does not support early_stopping=True")
        held = None
        if self.early_stopping:
            kept, out = train_test_split(
                np.arange(X.shape[0]), random_state=random, test_size=self.validation_fraction,
                stratify=self._strata(y),
            )  # fmt: skip
            if len(out) < 2:
                raise BadInput(
                    "The validation set is too small. Increase 'validation_fraction' or the size of"
                    " your dataset."
                )
            held = X[out], y[out], None if weights is None else weights[out]
            X, y = X[kept], y[kept]
            weights, shares = (None if one is None else one[kept] for one in (weights, shares))
        each = _product(weights, shares)
        if each is not None:
            y = np.column_stack([y, each])
        trained = Going(self._rule(), LATE if self.solver == "adam" else 0)
        if incremental:
            trained = getattr(self, "_going", trained)
        work = Work(
            self._description(), self._cost(float(self.alpha), each is not None), trained.rule
        )
        batch, segments = self._batch(X.shape[0]), {**self._segments(), **trained.slots}
        with workshop.borrowed(work, self.backend, segments, not self.callbacks) as model:
            state = model.state
            state.step = trained.step
            if self.dropout:
                state.seed = int(random.randint(2**31))
            model.session.settle(batch)
            examples = Examples(rows_of(X, model.dtype), _row_major(y, model.dtype))
            source = DrawnRows(model.session, examples, batch, random if self.shuffle else None)
            score = None if held is None else self._held_score(model, *held)
            try:
                epochs = Epochs(self, model, source, score, incremental, self._no_improvement_count)
                self._no_improvement_count = epochs.run()
            finally:
                state = model.state
                self._take(model)
                slots = {name: state.read(name) for name in model.optimizer.segments()}
                self._going = Going(model.optimizer, state.step, slots)

    def _held_score(
        self, model: Sequential, X: Any, y: np.ndarray, weights: np.ndarray | None
    ) -> Callable[[], float]:
        rows = rows_of(X, model.dtype)
        return lambda: self._judged(predicted(model, rows), y, weights)

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
        if self.dropout or self.callbacks:
            raise BadInput(
                "lbfgs has no epochs: dropout and callbacks are for solver='adam' and 'sgd'"
            )
        if weights is not None:
            weights = np.ascontiguousarray(weights, np.float64)
        work, segments = Work(self._description(), self._cost(0.0)), self._segments()
        with workshop.borrowed(work, self.backend, segments) as model:
            model.session.settle(X.shape[0])
            examples = Examples(rows_of(X, model.dtype), _row_major(y, model.dtype), weights)
            matrices = sum(w.size for w in self.coefs_)
            minimized(self, FullCost(model, examples, float(self.alpha), matrices))
            self._take(model)

    # Predicting

    def _output(self, X: Any) -> np.ndarray:
        """The network's output for rows of the user's, (n, outputs)."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False, dtype=self._float())
        work, segments = Work(self._description()), self._segments()
        with workshop.borrowed(work, self._backend(), segments) as model:
            return predicted(model, rows_of(X, model.dtype))

    def _backend(self) -> Choice:
        """The backend to predict on: another than the chosen one where that cannot run here."""
        try:
            preferred(self.backend)
        except BackendUnavailable as error:
            warnings.warn(f"{error}. The prediction is made on another backend", stacklevel=4)
            return "auto"
        return self.backend  # type: ignore[no-any-return]

    def to_sequential(self) -> Sequential:
        """An `lm.Sequential` of its own with these weights: to look at, save, export or train on.

        Its loss and optimizer are lamina's of the same kind, without the penalty.
        Raises: NotFittedError.
        """
        check_is_fitted(self)
        rate, description = float(self.learning_rate_init), self._description()
        rule = optimizers.Adam(rate) if self.solver == "adam" else optimizers.SGD(rate)
        model = description.made(LOSSES[description.last], rule, self._backend())
        model.state.write("parameters", self._segments()["parameters"])
        return model

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def check_stochastic(estimator: Any) -> bool:
    """True; raises AttributeError for a solver that has no single epochs."""
    if estimator.solver not in STOCHASTIC:
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers."
            f" {estimator.solver} is not stochastic."
        )
    return True


def _row_major(y: np.ndarray, dtype: str) -> np.ndarray:
    """Targets as a data block takes them: class numbers, or numbers of the dtype."""
    return np.ascontiguousarray(y, np.int32 if y.dtype.kind == "i" else dtype)


def _product(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    if a is None or b is None:
        return a if b is None else b
    product: np.ndarray = a * b
    return product
