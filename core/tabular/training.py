"""A table's features in, one model out: an ensemble trained by the recipe, calibrated, whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...backends.selection import Choice
from ...kernels.compilation import clock
from ..ensemble import Ensemble
from ..features import MOST_ROWS, Clip
from ..layers import Activation, Layer
from ..losses import CrossEntropy
from ..model import Sequential
from ..optimizers import Adam
from ..statistics import forward
from .columns import Columns
from .members import Job, Member, fit_all, scaling_of, take_scaling, within
from .recipe import Recipe

MOST_SCALED = 1 << 27  # numbers that are scaled before the training, and not in each step
COLDEST, HOTTEST = 0.4, 5.0  # temperatures: where no row is wrong, the coldest were the best
HALVINGS = 20  # of the ratio between them, until temperatures are known to five digits


@dataclass(frozen=True)
class Trained:
    """A model, and what its training was like.

    model: scaling, ensemble and activation, ready to predict from features. members: how each was
    trained. recipe: with every number decided. temperature: what logits were divided by, or 1.
    seconds: of the training. stopped: whether Ctrl-C ended it before its time. notes: what was not
    as usual.
    """

    model: Sequential
    members: tuple[Member, ...]
    recipe: Recipe
    temperature: float
    seconds: float
    stopped: bool = False
    notes: tuple[str, ...] = ()

    def held_out(self, outputs: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows that some member did not see, and what it says of them, calibrated.

        outputs: of the network. rows: of the training data.
        """
        said = np.full((rows, outputs), np.nan)
        for member in self.members:
            said[member.held] = member.predicted
        known = np.flatnonzero(~np.isnan(said[:, 0]))
        found = said[known]
        return known, found if outputs == 1 else warmed(found, self.temperature)


def train(
    x: Any,
    y: np.ndarray,
    columns: Columns,
    task: str,
    outputs: int,
    recipe: Recipe | None = None,
    *,
    metrics: Sequence[Any] = (),
    backend: Choice = "auto",
    dtype: str = "float32",
    seed: int = 0,
    sample_weight: np.ndarray | None = None,
    told: Callable[[int, int], None] | None = None,
) -> Trained:
    """Trains by the recipe.

    x: (n, features) numbers, with `columns` for what they are. y: (n,) class numbers, or
    standardized targets. task: "classification" or "regression". outputs: how many classes, from 2,
    or 1. metrics: of the model that comes back. backend, dtype, seed: as in `Sequential`.
    sample_weight: (n,) from 0. told: is called with (epochs done, epochs at most) as they pass.
    Ctrl-C ends the members where they are: see `Trained.stopped`.
    Raises: BadInput, ShapeError, DtypeError, DivergenceError.
    """
    start = clock()
    recipe = (recipe or Recipe()).fitted(len(x), task)
    columns.check(x.shape[1])
    y = np.asarray(y, np.int64 if task == "classification" else np.float64)
    last: Layer = Activation("softmax")
    if task != "classification":
        last = Clip(float(np.min(y)), float(np.max(y)))
    whole = Whole(recipe, columns, outputs, last, tuple(metrics), dtype, seed)
    front = whole.model(1, backend)
    every = max(-(-len(x) // MOST_ROWS), 1)  # more rows change no quantile that matters
    some = y[::every]
    front.fit(x[::every], some, epochs=0, batch_size=len(some), verbose=0)  # checks, and learns
    # A memory map stays where it is, and what would grow too large is made batch by batch.
    inside = isinstance(x, np.memmap) or len(x) * _width(front) > MOST_SCALED
    job = Job(
        x if inside else behind_scaling(front, x), y,
        None if sample_weight is None else np.asarray(sample_weight, np.float64),
        columns, recipe, outputs, task, front.backend, dtype, seed,
        front if inside else None, None if recipe.time is None else start + recipe.time,
    )  # fmt: skip
    notes = []
    if recipe.time is not None:
        job = within(job)
        if job.recipe != recipe:
            one = "" if job.recipe.members == 1 else "s"
            notes.append(
                f"{recipe.time:g} s are enough for {job.recipe.members} network{one} of"
                f" {job.recipe.epochs} epochs, instead of {recipe.members} of {recipe.epochs}"
            )
    members = fit_all(job, told)
    if not members:
        raise KeyboardInterrupt("stopped before anything was learned")
    temperature = 1.0
    if task == "classification":
        temperature = calibrated(members, y, job.weights)
    model = whole.model(len(members), front.backend)
    model.backend_reason = front.backend_reason
    model.build(x.shape[1])
    take_scaling(model, front)
    _put_together(model, members, temperature)
    seconds, stopped = clock() - start, job.stop.is_set()
    return Trained(
        model, tuple(members), job.recipe, temperature, seconds, stopped, tuple(notes)
    )  # fmt: skip


@dataclass(frozen=True)
class Whole:
    """What the model that comes back is made of.

    recipe, columns, outputs, metrics, dtype, seed: as in `train`. last: its last layer.
    """

    recipe: Recipe
    columns: Columns
    outputs: int
    last: Layer
    metrics: tuple[Any, ...]
    dtype: str
    seed: int

    def model(self, members: int, backend: Choice) -> Sequential:
        """The model with so many members, before it is built."""
        loss = self.recipe.cost("classification" if self.outputs > 1 else "regression")
        inner = self.recipe.layers(self.columns, self.outputs, None)
        return Sequential(
            [*self.recipe.front(self.columns), Ensemble(inner, members), self.last],
            replace(loss, label_smoothing=0.0) if isinstance(loss, CrossEntropy) else loss,
            Adam(), self.metrics, backend, self.dtype, seed=self.seed,
        )  # fmt: skip


def _width(model: Sequential) -> int:
    """How many features there are before the model's ensemble."""
    node = model.session.graph().outputs[len(scaling_of(model)) - 1]
    return int(node.shape[1])  # type: ignore[arg-type]


def behind_scaling(model: Sequential, x: Any) -> np.ndarray:
    """The features before the model's ensemble, in its dtype."""
    session = model.session
    node = session.graph().outputs[len(scaling_of(model)) - 1]
    return forward(
        session.backend, session.graph(), session.state, node, session.rows(x), session.shift
    )


def warmed(p: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities, (n, classes), with their logits divided by a temperature; float64."""
    z = _logits(p) / temperature
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _logits(p: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(p.astype(np.float64), np.finfo(np.float32).tiny))


def calibrated(
    members: Sequence[Member], y: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """The temperature at which the log loss of the rows that members did not see is least.

    Guo, Pleiss, Sun and Weinberger 2017, section 4.2. y: (n,) class numbers; weights: (n,).
    """
    p = np.concatenate([member.predicted for member in members])
    rows = np.concatenate([member.held for member in members])
    share = np.ones(len(rows)) if weights is None else weights[rows]
    if not share.any():
        return 1.0
    z = _logits(p)
    own = float(share @ z[np.arange(len(rows)), y[rows]])
    # The loss is convex in the inverse of the temperature: where its slope is 0, it is least.
    cold, hot = COLDEST, HOTTEST
    for _ in range(HALVINGS):
        middle = float(np.sqrt(cold * hot))
        slope = float(share @ (warmed(p, middle) * z).sum(axis=1)) - own
        cold, hot = (middle, hot) if slope > 0.0 else (cold, middle)
    return float(np.sqrt(cold * hot))


def _put_together(model: Sequential, members: Sequence[Member], temperature: float) -> None:
    """Writes the members' arrays into the ensemble, the last ones divided by the temperature."""
    session, ensemble = model.session, len(scaling_of(model))
    arrays: dict[str, np.ndarray] = {}
    for number, member in enumerate(members):
        own = member.model.session
        shift = len(own.layers) - len(_inner(model))  # one more where it scales itself
        last = f"{len(own.layers) - 1}."
        for name in own.names:
            array = own.state.array(name)
            place, rest = name.split(".", 1)
            if name.startswith(last):
                array = array / temperature
            arrays[f"{ensemble}.{number}.{int(place) - shift}.{rest}"] = array
    session.set_weights([arrays[name] for name in session.names])


def _inner(model: Sequential) -> Sequence[Layer]:
    """The layers of a member."""
    ensemble = model.layers[len(scaling_of(model))]
    assert isinstance(ensemble, Ensemble)
    return ensemble.layers
