"""`MLPRegressor`: scikit-learn's, on lamina's networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from ...backends.selection import Choice
from ...kernels.errors import BadInput
from ..callbacks import Callback
from .perceptron import OWN, Perceptron, check_stochastic
from .scikit import RegressorMixin, available_if, column_or_1d, constraints, r2_score, validate_data

LOSSES = ("squared_error", "poisson")


class MLPRegressor(RegressorMixin, Perceptron):  # type: ignore[misc]
    """scikit-learn's `MLPRegressor`, trained by lamina's native programs on any backend.

    Names, defaults, attributes and numbers are scikit-learn's, as `lm.MLPClassifier` says. Of
    several outputs the sum of the losses is trained, and for "squared_error" the mean is told.

    loss: "squared_error" (half of it), or "poisson" (half its deviance; targets from 0, and the
        network's output goes through exp).
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init,
    power_t, max_iter, shuffle, random_state, tol, verbose, warm_start, momentum,
    nesterovs_momentum, early_stopping, validation_fraction, beta_1, beta_2, epsilon,
    n_iter_no_change, max_fun: see `lm.MLPClassifier`; the score of held-out rows is R2.
    backend, dtype, dropout, callbacks, precision: see `lm.MLPClassifier`.

    coefs_, intercepts_, loss_, best_loss_, loss_curve_, validation_scores_,
    best_validation_score_, n_iter_, t_, n_layers_, n_outputs_, out_activation_, n_features_in_,
    feature_names_in_: as in scikit-learn.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = constraints(*OWN, "loss")

    def __init__(
        self,
        loss: str = "squared_error",
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
        callbacks: Sequence[Callback] | None = None,
        precision: str | None = None,
    ) -> None:
        self._keep(locals())

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Trains on all rows; returns the estimator.

        X: (n, features), dense or sparse, of which a batch at a time is made dense.
        y: (n,) or (n, outputs) numbers. sample_weight: (n,).
        Raises: BadInput, also where training leaves the finite numbers.
        """
        self._fit(X, y, sample_weight, incremental=False)
        return self

    @available_if(check_stochastic)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """One epoch over these rows, going on from the last; returns the estimator.

        X, y, sample_weight: as in `fit`. Raises: BadInput.
        """
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The predicted numbers, (n,) or (n, outputs). X: (n, features)."""
        output = self._output(X)
        return output.ravel() if output.shape[1] == 1 else output

    def _targets(self, X: Any, y: Any, first: bool, incremental: bool) -> tuple[Any, np.ndarray]:
        if self.loss not in LOSSES:
            raise BadInput(f"loss must be one of {', '.join(LOSSES)}, not {self.loss!r}")
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=True,
            dtype=self._float(), reset=first,
        )  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if self.loss == "poisson" and (y < 0).any():
            raise BadInput("the loss 'poisson' is for targets from 0, and y has negative ones")
        self._columns = 1 if y.ndim == 1 else y.shape[1]
        return X, np.asarray(y, np.float64).reshape(len(y), -1)

    def _outputs(self) -> tuple[int, str]:
        return self._columns, "exp" if self.loss == "poisson" else "identity"

    def _score_of(self, output: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
        """R2."""
        return float(r2_score(y, output, sample_weight=weights))
