"""Looking for a learning rate: a short training at ever larger ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.state import Control
from ..kernels.errors import BadInput
from .checks import check_count, check_number
from .examples import Examples
from .session import Session
from .sources import row_order

if TYPE_CHECKING:
    from .model import Sequential

SMOOTHED = 0.9  # what is kept of the running mean of losses
WINDOW = 11  # steps that a slope is taken over
BLOWN_UP = 4.0  # times the best loss so far: larger rates would teach nothing


@dataclass(frozen=True)
class RateSearch:
    """What `find_learning_rate` found.

    rates, losses: of each step, (n,) float64; a loss is that of the batch before the step.
    smoothed: their running mean, corrected for its start. suggestion: the rate at which `smoothed`
        falls fastest, per factor of the rate.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float

    def __str__(self) -> str:
        lines = [
            f"{rate:9.2e}  {loss:.6g}"
            for rate, loss in zip(self.rates, self.smoothed, strict=True)
        ]  # fmt: skip
        return "\n".join(["     rate  loss", *lines, f"suggestion: {self.suggestion:.2e}"])


def find_learning_rate(
    model: Sequential,
    x: Any,
    y: Any,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    batch_size: int = 32,
    sample_weight: Any = None,
) -> RateSearch:
    """Trains at rates that grow from step to step, and says where the loss falls fastest.

    The rates are a geometric row, and it ends where the loss is four times the best one (Smith
    2017). The model is put back: weights, optimizer state and counters are as they were.

    model: built for this if it is not. x, y, sample_weight: as in `fit`. lowest, highest: the first
    and the last rate, above 0. steps: how many, from 10. batch_size: rows a step, from 1.
    Raises: BadInput, ShapeError, DtypeError; ModelBusy while another thread trains the model.
    """
    check_number("find_learning_rate: highest", highest, 0.0, np.inf, open_high=True)
    check_number("find_learning_rate: lowest", lowest, 0.0, highest, open_high=True)
    check_count("find_learning_rate: steps", steps, least=10)
    check_count("find_learning_rate: batch_size", batch_size)
    if not lowest:
        raise BadInput("find_learning_rate: lowest must be above 0")
    session = model.session
    session.optimizer.rates(0, 0)  # raises for one that has none
    rates = np.geomspace(lowest, highest, int(steps))
    with session.right_to_train:
        losses = _put_back(session, x, y, sample_weight, rates, int(batch_size))
    rates, smoothed = rates[: len(losses)], _smooth(losses)
    return RateSearch(rates, losses, smoothed, float(rates[_steepest(smoothed)]))


def _steepest(smoothed: np.ndarray) -> int:
    """Where the running mean falls fastest before its least: by straight lines over a window.

    The rates are a geometric row, so that a step is a step of the logarithm. The first means are of
    too few losses to say anything.
    """
    least = int(np.argmin(smoothed))
    first = min(WINDOW, least // 2)
    reach = max(min(WINDOW // 2, (least - first) // 2), 1)
    away = np.arange(-reach, reach + 1)
    centres = range(max(first + reach, 1), max(least - reach, 1) + 1)
    slopes = [
        float(away[: len(part)] @ part)
        for part in (smoothed[centre - reach : centre + reach + 1] for centre in centres)
    ]
    return centres[int(np.argmin(slopes))] if slopes else least


def _put_back(
    session: Session, x: Any, y: Any, sample_weight: Any, rates: np.ndarray, batch: int
) -> np.ndarray:
    """The loss before each step; the session is then as it was, or freshly built."""
    built, learned, shift = session.built, session.learned, session.shift
    examples = session.examples(x, y, sample_weight, raw=True)
    state = session.state
    kept = {segment: state.read(segment) for segment in state.layout.segments}
    counters = state.step, state.epoch
    if not built:
        learned = session.learned
    try:
        examples = session.learn(examples)
        return _losses(session, examples, rates, min(batch, examples.rows))
    finally:
        for segment, flat in kept.items():
            state.write(segment, flat)
        state.step, state.epoch = counters
        session.learned, session.shift = learned, shift


def _losses(session: Session, examples: Examples, rates: np.ndarray, batch: int) -> np.ndarray:
    """The loss before each step, as far as they are worth knowing."""
    state, block = session.state, examples.block(session.backend, session.dtype, session.casts)
    found: list[float] = []
    control, passes = Control(batch=batch), 0
    with session.lease("train", batch, block, examples.outputs) as binding:
        for rate in rates:
            if control.cursor >= examples.rows or not found:
                block.reorder(row_order(state.seed, passes, examples.rows))
                control, passes = Control(batch=batch), passes + 1
            one = Control(batch=batch, cursor=control.cursor, learning_rates=np.array([rate]))
            with state.turn:
                binding.run(one)
            control.cursor = one.cursor
            loss = one.mean("loss")
            if not np.isfinite(loss):
                break
            found.append(loss)
            smoothed = _smooth(np.array(found))
            if one.stop or smoothed[-1] > BLOWN_UP * abs(smoothed.min()):
                break
    if len(found) < 3:
        raise BadInput(
            f"find_learning_rate: the loss is not finite after {len(found)} steps:"
            " begin with a smaller rate"
        )
    return np.array(found)


def _smooth(losses: np.ndarray) -> np.ndarray:
    """A running mean, corrected for its start as Adam's is."""
    mean, found = 0.0, []
    for number, loss in enumerate(losses, 1):
        mean = SMOOTHED * mean + (1.0 - SMOOTHED) * float(loss)
        found.append(mean / (1.0 - SMOOTHED**number))
    return np.array(found)
