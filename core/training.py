"""The training loop: epochs of a source of batches, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..backends.state import Control
from ..kernels.compilation import clock
from ..kernels.errors import DivergenceError
from . import metrics
from .callbacks import Callback, Listeners, watch_batches
from .examples import Examples
from .history import History, Reporter, numbers
from .interrupt import Interrupt
from .session import means
from .sources import ArraySource, StreamSource
from .team import ALONE, Team

if TYPE_CHECKING:
    from .model import Sequential


@dataclass
class Fit:
    """One call of `fit`, made ready.

    held: the validation examples, or None. reporter: what shows how far it is. team: the processes
    that train together; of one, `same` and `raised` give back what they are given, and `told`
    wraps the callbacks.
    """

    model: Sequential
    source: ArraySource | StreamSource
    epochs: int
    held: Examples | None
    callbacks: Sequence[Callback]
    reporter: Reporter
    team: Team = ALONE


def train(fit: Fit) -> History:
    """All epochs.

    Raises: DivergenceError when a loss or a gradient is not finite, with the model as it was before
    that step; KeyboardInterrupt after Ctrl-C, with the model whole. Both leave the epochs so far in
    `model.history`.
    """
    model, team = fit.model, fit.team
    right, outer = model.session.right_to_train, (model.history, model.stop_training)
    history = model.history = History()
    model.stop_training = False
    for metric in metrics.of_all(model.metrics):
        metric.check_installed()
    hooked = watch_batches(fit.callbacks)
    told = team.told(model, hooked) if team.same(bool(hooked)) else None
    right.fits += 1
    try:
        with team.interrupt() as interrupt:
            _each(fit, lambda one: one.on_fit_begin(model))
            while len(history.epochs) < fit.epochs:
                if interrupt.asked or not _several_epochs(fit, history):
                    _one_epoch(fit, history, interrupt, told and told.begin())
                if interrupt.asked:
                    raise team.raised(
                        KeyboardInterrupt(
                            f"stopped in epoch {model.state.epoch + 1}: the model keeps what it"
                            " learned, model.history has the epochs so far, and fit goes on from"
                            " here"
                        )
                    )
                if model.stop_training:
                    break
            _each(fit, lambda one: one.on_fit_end(model, history))
    finally:
        fit.source.close()
        fit.reporter.close()
        right.fits -= 1
        if right.fits:  # this one was in a callback of another, whose these are
            model.history, model.stop_training = outer
    return history


def _each(fit: Fit, tell: Callable[[Callback], None]) -> None:
    """Tells each callback; of several processes those of the first one, which acts for all."""

    def act() -> None:
        for callback in fit.callbacks:
            tell(callback)

    fit.team.act(fit.model, act)


def _several_epochs(fit: Fit, history: History) -> bool:
    """Short epochs that nobody watches, in one run; False where there are none."""
    source, left = fit.source, fit.epochs - len(history.epochs)
    seen = fit.callbacks or fit.held is not None or type(fit.reporter) is not Reporter
    seen = fit.team.same(bool(seen))
    if seen or metrics.of_all(fit.model.metrics) or not isinstance(source, ArraySource):
        return False
    start = clock()
    found, control = source.several(left)
    state = fit.model.state
    seconds = (clock() - start) / max(len(found), 1)
    for values in found:
        state.epoch += 1
        history.add(state.epoch, seconds, values)
    if control.stop:
        raise fit.team.raised(diverged(fit.model, control))
    return bool(found)


def _one_epoch(fit: Fit, history: History, interrupt: Interrupt, told: Listeners | None) -> None:
    model, team = fit.model, fit.team
    start = clock()
    control = fit.source.epoch(interrupt, fit.reporter, told)
    state = model.state
    if interrupt.asked:
        return
    if control.stop:
        raise team.raised(diverged(model, control))
    values = means(control)
    state.epoch += 1
    if isinstance(fit.source, ArraySource):
        values = with_whole(model, fit.source.examples, values, lenient=True, team=team)
    if fit.held is not None:
        found = evaluated(model, fit.held, lenient=True, team=team)
        values.update({f"val_{name}": value for name, value in found.items()})
    seconds = clock() - start
    history.add(state.epoch, seconds, values)
    fit.reporter.epoch(state.epoch, seconds, numbers(values))
    _each(fit, lambda one: one.on_epoch_end(model, state.epoch, values))


def evaluated(
    model: Sequential, examples: Examples, lenient: bool = False, team: Team = ALONE
) -> dict[str, Any]:
    """Loss and metrics over the examples; see `with_whole`."""
    found = means(team.measured(model, examples))
    return with_whole(model, examples, found, lenient, team)


def with_whole(
    model: Sequential, examples: Examples, values: dict[str, Any], lenient: bool = False,
    team: Team = ALONE,
) -> dict[str, Any]:  # fmt: skip
    """The values with the metrics from whole predictions, in the order that was asked for.

    values: what programs computed. lenient: see `metrics.add`. One prediction of the examples is
    what it costs, where there are such metrics. Raises: BadInput.
    """
    wanted = metrics.of_all(model.metrics)
    if not wanted:
        return values
    for metric in wanted:
        metric.check_installed()
    p = team.predicted(model, examples.x)
    metrics.add(wanted, examples, values, p, model.output, lenient)
    return {name: values[name] for name in ("loss", *(m.name for m in model.metrics))}


def diverged(model: Sequential, control: Control) -> DivergenceError:
    """What to raise after a run that stopped."""
    state = model.state
    what = "the loss is not finite"
    if control.nonfinite_instruction < 0:
        what = "the gradient is not finite, or too large to square"
    layer = int(control.nonfinite_layer) if control.nonfinite_layer else None
    where = "" if layer is None else f" (first in layer {layer})"
    return DivergenceError(
        f"training diverged in epoch {state.epoch + 1}, at step {state.step + 1}:"
        f" {what}{where}. That step was not taken: the model has the parameters of step"
        f" {state.step}. Lower the learning rate, set clip_norm, or put lm.Standardize() first",
        step=state.step,
        layer=layer,
        history=model.history,
    )
