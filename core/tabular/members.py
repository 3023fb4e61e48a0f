"""The members of an ensemble: each trained on its share of the rows, the best epoch kept."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any

import numpy as np

from ...backends import batching, threads
from ...backends.contract import Backend
from ...kernels.compilation import clock
from ...kernels.errors import DivergenceError
from ...kernels.memory import taken
from ..callbacks import Callback, EarlyStopping
from ..ensemble import Ensemble
from ..layers import Layer
from ..model import Sequential
from .columns import Columns
from .recipe import Recipe, patience_of, rates

FOLD_STREAM, SEED_STREAM = 0xF01D, 0x5EED
RETRIES = 3  # at a quarter of the rate each, where a training diverged
MOST_HELD = 100_000  # rows that a member holds out: more say nothing new, and cost a pass an epoch
LOOK_SECONDS = 0.2  # between looks for Ctrl-C, which does not wake who waits for a thread
PROBE, PROBED = 3, 32  # epochs of so many batches that a training of bounded time is measured by
FEW_EPOCHS = 24  # below which fewer members are better than shorter trainings


@dataclass(frozen=True)
class Job:
    """What all members have in common.

    x: (n, features) float, scaled, or a memory map as it is. y: (n,) class numbers or standardized
    targets. weights: (n,) or None. columns, recipe: as they are. outputs: of a network. task,
    backend, dtype, seed: of all. front: a model whose scaling each member takes, where x is not
    scaled. deadline: on the clock, or None. hurried: whether an epoch may be too long. stop: set
    where all are asked to end.
    """

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None
    columns: Columns
    recipe: Recipe
    outputs: int
    task: str
    backend: Backend
    dtype: str
    seed: int
    front: Sequential | None = None
    deadline: float | None = None
    hurried: bool = False
    stop: Event = field(default_factory=Event)


@dataclass(frozen=True)
class Member:
    """A network that was trained.

    model: as in its best epoch. held: the numbers of the rows that it did not see; predicted: what
    it says of them, (rows, outputs). epochs: that it was trained; best_epoch: the one that was
    kept, from 1, 0 where none was better than another. history: by name, a number for each epoch.
    """

    model: Sequential
    held: np.ndarray
    predicted: np.ndarray
    epochs: int
    best_epoch: int
    history: Mapping[str, list[Any]]


class Clock(Callback):
    """Ends a training at a moment, or when all are asked to end; tells of every epoch."""

    def __init__(self, job: Job, told: Callable[[], None] | None = None) -> None:
        self.job, self.told = job, told

    def on_epoch_end(self, model: Sequential, epoch: int, values: Mapping[str, float]) -> None:
        """Looks at the clock."""
        if self.told is not None:
            self.told()
        self.look(model)

    def look(self, model: Sequential) -> None:
        """Ends the training where it is time."""
        late = self.job.deadline is not None and clock() >= self.job.deadline
        if late or self.job.stop.is_set():
            model.stop_training = True


class BatchClock(Clock):
    """The same between batches, for epochs that take longer than there is time."""

    def on_batch_end(self, model: Sequential, batch: int, values: Mapping[str, float]) -> None:
        """Looks at the clock."""
        self.look(model)


def folds(y: np.ndarray, task: str, count: int, seed: int) -> list[np.ndarray]:
    """Numbers of rows in `count` parts of about the same size; of each class a share in each."""
    order = np.random.default_rng([seed, FOLD_STREAM]).permutation(len(y))
    if task == "classification":
        order = order[np.argsort(y[order], kind="stable")]
    return [np.sort(order[part::count]) for part in range(count)]


def parts(job: Job) -> list[np.ndarray]:
    """The rows that each member holds out."""
    recipe, rows = job.recipe, len(job.y)
    assert recipe.members is not None
    count = max(min(recipe.parts, rows), 1)
    found = folds(job.y, job.task, count, job.seed)[: recipe.members]
    return [_some(part, job.seed) for part in found]


def _some(rows: np.ndarray, seed: int) -> np.ndarray:
    """Some of the rows, where more would tell nothing that they do not."""
    if len(rows) <= MOST_HELD:
        return rows
    rng = np.random.default_rng([seed, FOLD_STREAM, 1])
    return np.sort(rng.choice(rows, MOST_HELD, replace=False))


def batch_of(rows: int, wanted: int) -> int:
    """The rows of a step, such that the steps of an epoch are equal and about what is wanted."""
    return -(-rows // max(round(rows / wanted), 1))


def network(job: Job, number: int, rows: int, epochs: int, slower: float = 1.0) -> Sequential:
    """A member before its training, with its rates.

    rows: that it will be trained on. slower: a factor on the rate of the whole.
    """
    recipe = job.recipe
    assert recipe.batch_size is not None
    assert recipe.learning_rate is not None
    last = "softmax" if job.task == "classification" else None
    layers = recipe.layers(job.columns, job.outputs, last)
    if job.front is not None:
        layers[:0] = scaling_of(job.front)
    steps = epochs * batching.count(rows, batch_of(rows, recipe.batch_size))
    seed = int(np.random.default_rng([job.seed, SEED_STREAM, number]).integers(2**31))
    rule = replace(recipe, learning_rate=recipe.learning_rate * slower).optimizer(steps)
    cost = recipe.cost(job.task)
    model = Sequential(layers, cost, rule, (), job.backend, job.dtype, seed=seed)
    model.build(job.x.shape[1])
    model.set_rates(rates(layers, _shapes(model)))
    if job.front is not None:
        take_scaling(model, job.front)
    return model


def scaling_of(model: Sequential) -> Sequence[Layer]:
    """The layers before a model's ensemble, which learned from all rows."""
    return list(itertools.takewhile(lambda layer: not isinstance(layer, Ensemble), model.layers))


def take_scaling(model: Sequential, front: Sequential) -> None:
    """Gives a model that begins with the scaling of another one what that learned."""
    count, places = len(scaling_of(front)), front.state.layout.entries
    entries = [entry for entry in places if int(entry.name.split(".")[0]) < count]
    flat = model.state.read("statistics")
    for entry in entries:
        place = model.state.layout[entry.name]
        flat[place.offset : place.offset + place.size] = front.state.array(entry.name).reshape(-1)
    model.state.write("statistics", flat)
    model.session.learned, model.session.shift = True, front.session.shift


def _shapes(model: Sequential) -> dict[str, tuple[int, ...]]:
    """The arrays of a model's layers by name."""
    found = model.session.graph().parameters
    return {f"{i}.{name}": p.shape for i, each in enumerate(found) for name, p in each.items()}


def _given(job: Job, held: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, int]:
    """What `fit` gets of the rows that are not held: x, y, weights and how many there are.

    Rows of a memory map stay where they are; those held have no weight.
    """
    kept = np.ones(len(job.y), bool)
    kept[held] = False
    if not kept.any():  # a single row
        kept[held] = True
    if job.front is None:
        weights = None if job.weights is None else job.weights[kept]
        return job.x[kept], job.y[kept], weights, int(kept.sum())
    return job.x, job.y, kept * (1.0 if job.weights is None else job.weights), len(job.y)


def fit(job: Job, number: int, held: np.ndarray, told: Callable[[], None] | None = None) -> Member:
    """A member trained on the rows that are not held, until those held say that it is enough.

    number: of the member. told: is called after each epoch. A training that diverges is begun anew
    at a quarter of the rate, three times at most. Raises: DivergenceError.
    """
    recipe = job.recipe
    assert recipe.epochs is not None
    assert recipe.patience is not None
    assert recipe.batch_size is not None
    x, y, weights, rows = _given(job, held)
    watched = [taken(job.x, held), job.y[held]]
    if job.weights is not None:
        watched.append(job.weights[held])
    clock_kind = BatchClock if job.hurried else Clock
    for attempt in range(RETRIES + 1):
        model = network(job, number, rows, recipe.epochs, 0.25**attempt)
        best = EarlyStopping("val_loss", recipe.patience)
        try:
            history = model.fit(
                x, y, recipe.epochs, batch_of(rows, recipe.batch_size), watched,
                sample_weight=weights, callbacks=[best, clock_kind(job, told)], verbose=0,
            )  # fmt: skip
            break
        except DivergenceError:
            if attempt == RETRIES:
                raise
    found = model.predict(watched[0])
    return Member(model, held, found, len(history.epochs), best.best_epoch, history.history)


def _workers(job: Job) -> int:
    """How many members are trained at once."""
    assert job.recipe.members is not None
    return min(threads.at_once(), job.recipe.members, len(job.y))


def fit_all(job: Job, told: Callable[[int, int], None] | None = None) -> list[Member]:
    """All members, as many at once as there are threads.

    told: is called with (epochs done, epochs at most). Ctrl-C sets `job.stop`: those under way end
    after their epoch, as good as they are, and the others are left out.
    """
    held = parts(job)
    assert job.recipe.epochs is not None
    done, whole = itertools.count(1), job.recipe.epochs * len(held)

    def passed() -> None:
        if told is not None:
            told(next(done), whole)

    workers = _workers(job)

    def one(number: int) -> Member:
        with threads.single() if len(held) > 1 else nullcontext():  # whatever the workers
            return fit(job, number, held[number], passed)

    # A thread for each even where there is one: the main thread is then free for Ctrl-C.
    with ThreadPoolExecutor(workers, thread_name_prefix="lamina-member") as pool:
        asked: list[Future[Member]] = []
        try:
            for number in range(len(held)):
                asked.append(pool.submit(one, number))
            while wait(asked, LOOK_SECONDS, FIRST_EXCEPTION).not_done:
                if any(each.done() and each.exception() for each in asked):
                    break
            return [each.result() for each in asked]
        except KeyboardInterrupt:
            job.stop.set()
            return [each.result() for each in asked if not each.cancel()]
        except BaseException:
            job.stop.set()
            for each in asked:
                each.cancel()
            raise


def within(job: Job) -> Job:
    """The job with as many members and epochs as there is time for, by a few measured epochs."""
    recipe, held = job.recipe, parts(job)[0]
    assert recipe.members is not None
    assert recipe.epochs is not None
    assert recipe.batch_size is not None
    assert job.deadline is not None
    x, y, _, rows = _given(job, held)
    some = min(rows, PROBED * recipe.batch_size)
    x, y = np.array(x[:some]), y[:some]
    model = network(job, 0, some, PROBE)
    watched = (taken(job.x, held), job.y[held])
    took, workers = [], _workers(job)
    with threads.single() if workers > 1 else nullcontext():
        for _ in range(PROBE):  # the first one compiles
            start = clock()
            model.fit(x, y, 1, batch_of(some, recipe.batch_size), verbose=0)
            middle = clock()
            model.evaluate(*watched)
            took.append((middle - start) * rows / some + clock() - middle)
    # epochs of all members together
    left = 0.9 * max(job.deadline - clock(), 0.0) * workers / min(took)
    if left >= recipe.members * recipe.epochs:
        return job
    members = int(min(recipe.members, max(left // FEW_EPOCHS, 1)))
    epochs = int(min(recipe.epochs, max(left / members, 1)))
    patience = min(recipe.patience or epochs, patience_of(epochs))
    shorter = replace(recipe, members=members, epochs=epochs, patience=patience)
    return replace(job, recipe=shorter, hurried=left < 2 * members)
