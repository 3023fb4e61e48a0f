"""L-BFGS over all rows, by SciPy, as scikit-learn asks for it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.optimize import minimize

from ...backends import batching
from ...backends.state import Control
from ...kernels.errors import BadInput
from ..examples import Examples
from ..model import Sequential
from .scikit import ConvergenceWarning


class FullCost:
    """The cost of all rows and its gradient, (n,) float64, as functions of packed weights.

    alpha: strength of the penalty. matrices: how many of the numbers it is on, from the first.
    """

    def __init__(self, model: Sequential, examples: Examples, alpha: float, matrices: int) -> None:
        session = model.session
        self.model, self.state, self.rows = model, session.state, examples.rows
        self.alpha, self.matrices = alpha, matrices
        self.batch = min(self.rows, batching.LARGEST)
        block = examples.block(session.backend, session.dtype)
        self.lease = session.lease("gradients", self.batch, block, examples.outputs)
        self.outputs = model.n_outputs if model.metrics else 1

    def __call__(self, packed: np.ndarray) -> tuple[float, np.ndarray]:
        """What SciPy asks for."""
        state, control, binding = self.state, Control(batch=self.batch), self.lease.binding
        state.write("parameters", packed)
        gradient = np.zeros(len(packed))
        while control.cursor < self.rows and not control.stop:
            before = control.weight_sum
            with state.turn:
                binding.run(control)
                gradient += (control.weight_sum - before) * state.read("gradients")
        if control.stop:
            return np.inf, np.zeros(len(packed))
        gradient /= control.weight_sum
        weights, share = packed[: self.matrices], self.alpha / control.weight_sum
        gradient[: self.matrices] += share * weights
        value = control.mean("loss") / self.outputs + 0.5 * share * float(weights @ weights)
        return value, gradient


def minimized(estimator: Any, cost: FullCost) -> None:
    """Moves the network's weights to the least cost; sets `n_iter_` and `loss_`.

    Raises: BadInput where the loss is not finite.
    """
    start = cost.state.read("parameters").astype(np.float64)
    options = {"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol}
    found = minimize(cost, start, method="L-BFGS-B", jac=True, options=options)
    cost.lease.close()
    if not np.isfinite(found.fun):
        raise BadInput(
            "Solver produced non-finite parameter weights. The input data may contain large values"
            " and need to be preprocessed. (The loss was not finite.)"
        )
    estimator.n_iter_ = min(found.nit, estimator.max_iter)
    if estimator.verbose:
        print(f"Iteration {estimator.n_iter_}, loss = {found.fun:.8f}")
    if found.status != 0:
        said = (
            f"lbfgs failed to converge after {estimator.n_iter_} iteration(s)"
            f" (status={found.status}):\n{found.message}\n"
        )
        if estimator.n_iter_ == estimator.max_iter:
            said += (
                "\nIncrease the number of iterations to improve the convergence"
                f" (max_iter={estimator.max_iter})."
            )
        said += (
            "\nYou might also want to scale the data as shown in:\n"
            "    https://scikit-learn.org/stable/modules/preprocessing.html"
        )
        warnings.warn(said, ConvergenceWarning, stacklevel=5)
    estimator.loss_ = found.fun
    cost.state.write("parameters", found.x)
