"""A call of `fit` made ready: what it was given checked, and its source of batches."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..kernels.errors import BadInput
from . import inputs
from .callbacks import Callback, check_callbacks
from .checks import check_count, check_number
from .examples import Examples
from .history import check_verbose, reporter
from .minimization import FullBatch
from .optimizers import LBFGS
from .session import Session
from .sources import ArraySource, StreamSource
from .team import ALONE, Team
from .training import Fit

if TYPE_CHECKING:
    from .model import Sequential


def prepared(
    model: Sequential,
    x: Any,
    y: Any,
    epochs: int,
    batch_size: int,
    validation_data: Sequence[Any] | None,
    validation_split: float,
    shuffle: bool,
    sample_weight: Any,
    class_weight: Mapping[Any, float] | str | None,
    callbacks: Sequence[Callback],
    verbose: bool | int | str,
    steps_per_epoch: int | None,
    accumulate: int,
    team: Team = ALONE,
) -> Fit:
    """What `training.train` runs; builds the model, and learns statistics. See `Sequential.fit`.

    Raises: BadInput, ShapeError, DtypeError.
    """
    check_count("fit: epochs", epochs, least=0)
    check_count("fit: batch_size", batch_size)
    check_number("fit: validation_split", validation_split, 0.0, 1.0, open_high=True)
    check_verbose(verbose)
    check_count("fit: accumulate", accumulate)
    if steps_per_epoch is not None:
        check_count("fit: steps_per_epoch", steps_per_epoch)
        if y is not None:
            raise BadInput("steps_per_epoch is for an iterable of batches, not for arrays")
    callbacks = check_callbacks(callbacks)
    session, held = model.session, None
    source: ArraySource | StreamSource
    if y is None:
        if validation_split or sample_weight is not None or class_weight is not None:
            raise BadInput(
                "fit on batches takes weights from the batches (x, y, sample_weight), and"
                " validation_data instead of validation_split"
            )
        source = of_stream(session, x, int(epochs), steps_per_epoch, int(accumulate), team)
        if validation_data is not None:
            held = _given(session, validation_data)
    else:
        examples = session.examples(x, y, sample_weight, raw=True)
        inputs.check_classes(examples.y, session.loss)
        if validation_data is not None:
            held = _given(session, validation_data)
        elif validation_split:
            labels = inputs.class_labels(examples.y, session.loss)
            examples, held = examples.split(session.seed, validation_split, labels)
        examples = session.learn(session.weighted(examples, class_weight, whole=True))
        held = None if held is None else session.ready(held)
        rows, batch = examples.rows, min(int(batch_size), examples.rows)
        if batch_size > rows:
            warnings.warn(
                f"batch_size {batch_size} is larger than the data: {rows} rows a batch are used",
                stacklevel=4,  # over the method and its decorator
            )
        if epochs:
            session.settle(batch)
        if batch == 1 and epochs and any(e.moving for e in session.state.layout.entries):
            raise BadInput(
                "BatchNorm takes its statistics from the rows of a batch, and one row has no"
                " variance: fit with batch_size=2 or more"
            )
        source = of_arrays(session, examples, batch, bool(shuffle), int(accumulate), team)
    begun = session.state.epoch if session.built else 0
    shown = reporter(0 if team.rank else verbose, int(epochs), source.rows, begun)
    return Fit(model, source, int(epochs), held, callbacks, shown, team)


def _given(session: Session, validation_data: Sequence[Any]) -> Examples:
    """The validation examples that the user gave."""
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
        raise BadInput("validation_data must be (x, y) or (x, y, sample_weight)")
    x, y, sample_weight = (*validation_data, None)[:3]
    return session.examples(x, y, sample_weight, raw=True)


def of_arrays(
    session: Session, examples: Examples, batch: int, shuffle: bool, accumulate: int,
    team: Team = ALONE,
) -> ArraySource:  # fmt: skip
    """The source for arrays with all rows. Raises: BadInput for settings that go not together."""
    if team is not ALONE:
        from .shared_rows import shared

        return shared(session, examples, batch, shuffle, accumulate, team)
    if isinstance(session.optimizer, LBFGS):
        if accumulate > 1:
            raise BadInput("LBFGS takes all rows for each step: fit without accumulate")
        return FullBatch(session, examples, batch, shuffle)
    if accumulate > 1:
        from .accumulation import AccumulatedArrays

        return AccumulatedArrays(session, examples, batch, shuffle, accumulate)
    return ArraySource(session, examples, batch, shuffle)


def of_stream(
    session: Session, stream: Any, epochs: int, steps: int | None, accumulate: int,
    team: Team = ALONE,
) -> StreamSource:  # fmt: skip
    """The source for batches that come one by one. Raises: BadInput."""
    if isinstance(session.optimizer, LBFGS):
        raise BadInput("LBFGS works on all rows at once: fit(x, y) with arrays")
    if team is not ALONE:
        from .shared_batches import shared

        return shared(session, stream, epochs, steps, accumulate, team)
    if accumulate > 1:
        from .accumulation import AccumulatedStream

        return AccumulatedStream(session, stream, epochs, steps, accumulate)
    return StreamSource(session, stream, epochs, steps)
