"""Epochs of SGD and Adam as scikit-learn counts, orders and ends them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ...backends.state import Control
from ...kernels.compilation import clock
from ...kernels.errors import BadInput
from ..callbacks import Checkpoint, Listeners, check_callbacks, watch_batches
from ..examples import Examples
from ..history import History, Reporter
from ..interrupt import Interrupt
from ..model import Sequential
from ..session import Session, means
from ..sources import ArraySource
from .costs import Cost
from .rules import ScikitSGD, change_rate
from .scikit import ConvergenceWarning

SLOWEST_ADAPTIVE = 1e-6  # at such a learning rate "adaptive" stops


class DrawnRows(ArraySource):
    """Rows in the orders that scikit-learn draws: each epoch shuffles the order before.

    random: draws them; None leaves the rows as they came.
    """

    def __init__(self, session: Session, examples: Examples, batch: int, random: Any) -> None:
        self.random = random
        self.drawn = [np.arange(examples.rows, dtype=np.int32)]  # that of the last epoch is first
        super().__init__(session, examples, batch, random is not None)

    def orders(self, count: int) -> np.ndarray | None:
        """The orders of the next epochs, one behind the other; the same until they are `done`."""
        if self.random is None:
            return None
        while len(self.drawn) <= count:
            places = np.arange(self.rows)
            self.random.shuffle(places)  # what `sklearn.utils.shuffle` draws
            self.drawn.append(self.drawn[-1][places])
        return np.concatenate(self.drawn[1 : count + 1])

    def done(self, count: int) -> None:
        """So many epochs are over."""
        if self.random is not None:
            del self.drawn[:count]


class Epochs:
    """The epochs of one call of `fit` or `partial_fit`, told to the estimator's attributes.

    estimator: has the settings, and gets `loss_`, `loss_curve_`, `n_iter_` and the like.
    score: gives the score on held-out rows, or is None without early stopping.
    incremental: it is one epoch of `partial_fit`. waited: epochs without improvement before.
    """

    def __init__(
        self,
        estimator: Any,
        model: Sequential,
        source: DrawnRows,
        score: Callable[[], float] | None,
        incremental: bool,
        waited: int,
    ) -> None:
        self.estimator, self.model, self.source = estimator, model, source
        self.score, self.incremental, self.waited = score, incremental, waited
        self.most = 1 if incremental else int(estimator.max_iter)
        self.begun = model.state.epoch
        self.callbacks = check_callbacks(list(estimator.callbacks or ()))
        if any(isinstance(one, Checkpoint) for one in self.callbacks):
            raise BadInput(
                "lm.Checkpoint saves networks that lm.load can train on; keep an estimator with"
                " pickle or joblib.dump, or its network with to_sequential().save(path)"
            )
        self.hooked = watch_batches(self.callbacks)
        self.history = model.history = History()
        self.best: np.ndarray | None = None
        self.outputs = model.n_outputs if model.metrics else 1

    def run(self) -> int:
        """All epochs until one of scikit-learn's rules ends them; how many had no improvement.

        Raises: BadInput where training leaves the finite numbers.
        """
        model, one = self.model, self.estimator
        model.stop_training = False
        one.n_iter_ = 0
        told = Listeners(model, self.hooked) if self.hooked else None
        with Interrupt() as interrupt:
            try:
                for callback in self.callbacks:
                    callback.on_fit_begin(model)
                while one.n_iter_ < self.most:
                    start = clock()
                    losses = self._several() or self._one(interrupt, told)
                    if interrupt.asked:
                        warnings.warn("Training interrupted by user.", stacklevel=5)
                        break
                    seconds = (clock() - start) / len(losses)
                    if any(self._ended(loss, seconds) for loss in losses):
                        break
                    if one.n_iter_ == self.most and not self.incremental:
                        warnings.warn(
                            f"Stochastic Optimizer: Maximum iterations ({one.max_iter}) reached"
                            " and the optimization hasn't converged yet.",
                            ConvergenceWarning,
                            stacklevel=5,
                        )
                for callback in self.callbacks:
                    callback.on_fit_end(model, self.history)
            finally:
                self.source.close()
        if self.best is not None:
            model.state.write("parameters", self.best)
        return self.waited

    def _several(self) -> list[float]:
        """Epochs that no rule can end between, in one run; none where somebody looks at each."""
        one = self.estimator
        if self.callbacks or self.score is not None or self._slows_down():
            return []
        sure = max(one.n_iter_no_change - self.waited, 0) + 1
        left = int(min(sure, self.most - one.n_iter_))
        found, control = self.source.several(left)
        self._passed(len(found), control)
        return [self._loss(values) for values in found]

    def _one(self, interrupt: Interrupt, told: Listeners | None) -> list[float]:
        control = self.source.epoch(interrupt, Reporter(), told and told.begin())
        self._passed(1, control)
        return [self._loss(means(control))] if control.sums else []  # none after Ctrl-C

    def _loss(self, values: dict[str, float]) -> float:
        """As scikit-learn tells it: of several numbers a row the mean, though it trains the sum."""
        return values["loss"] - values.get("unpenalized", 0.0) * (1.0 - 1.0 / self.outputs)

    def _passed(self, count: int, control: Control) -> None:
        self.source.done(count)
        self.model.state.epoch += count
        if not control.stop:
            return
        cost = self.model.loss
        weights = (
            ", or all weights of a batch are zero"
            if isinstance(cost, Cost) and cost.weighted
            else ""
        )
        raise BadInput(
            "Solver produced non-finite parameter weights. The input data may contain large"
            f" values and need to be preprocessed{weights}. (At step {control.nonfinite_step + 1}"
            " of a run the loss or the gradient was not finite; the weights are those before it.)"
        )

    def _slows_down(self) -> bool:
        one = self.estimator
        return isinstance(self.model.optimizer, ScikitSGD) and one.learning_rate == "invscaling"

    def _ended(self, loss: float, seconds: float) -> bool:
        """Takes account of an epoch; returns whether it was the last."""
        one, model = self.estimator, self.model
        one.n_iter_ += 1
        one.loss_ = loss
        one.t_ += self.source.rows
        one.loss_curve_.append(loss)
        if one.verbose:
            print(f"Iteration {one.n_iter_}, loss = {loss:.8f}")
        values = {"loss": loss}
        self._judge(loss, values)
        if self._slows_down():
            change_rate(model, one.learning_rate_init / (one.t_ + 1) ** one.power_t)
        epoch = self.begun + one.n_iter_
        self.history.add(epoch, seconds, values)
        for callback in self.callbacks:
            callback.on_epoch_end(model, epoch, values)
        if self.waited > one.n_iter_no_change:
            if self._stops():
                return True
            self.waited = 0
        return model.stop_training

    def _judge(self, loss: float, values: dict[str, float]) -> None:
        """Whether the epoch was better than the best so far."""
        one = self.estimator
        if self.score is None:
            worse = loss > one.best_loss_ - one.tol
            one.best_loss_ = min(loss, one.best_loss_)
        else:
            score = values["validation_score"] = self.score()
            one.validation_scores_.append(score)
            if one.verbose:
                print(f"Validation score: {score:f}")
            worse = score < one.best_validation_score_ + one.tol
            if score > one.best_validation_score_:
                one.best_validation_score_ = score
                self.best = self.model.state.read("parameters")
        self.waited = self.waited + 1 if worse else 0

    def _stops(self) -> bool:
        """Whether no improvement ends the training, or slows it down."""
        one = self.estimator
        what = "Training loss" if self.score is None else "Validation score"
        said = (
            f"{what} did not improve more than tol={one.tol:f} for {one.n_iter_no_change}"
            " consecutive epochs."
        )
        rate = self.model.optimizer.learning_rate
        if not isinstance(self.model.optimizer, ScikitSGD) or one.learning_rate != "adaptive":
            said, stops = f"{said} Stopping.", True
        elif rate <= SLOWEST_ADAPTIVE:  # type: ignore[operator]
            said, stops = f"{said} Learning rate too small. Stopping.", True
        else:
            change_rate(self.model, rate / 5.0)  # type: ignore[operator]
            said, stops = f"{said} Setting learning rate to {rate / 5.0:f}", False  # type: ignore[operator]
        if one.verbose:
            print(said)
        return stops
