"""`lamina train` by the recipe for tables: what it is told, and what it says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...kernels.errors import BadInput
from ..callbacks import LogFile
from ..data.datasets import Dataset
from ..tabular.columns import Columns
from ..tabular.recipe import EMBED_FROM as EMBED_FROM
from ..tabular.recipe import Recipe
from ..tabular.training import Trained, train
from .networks import loss_for
from .settings import Settings

Say = Callable[[str], None]
NUMBERS = ("hidden", "activation", "dropout", "epochs", "batch_size", "learning_rate", "members")


def wanted(settings: Settings, data: Dataset) -> bool:
    """Whether the recipe for tables is what the settings mean. Raises: BadInput."""
    table = data.encoding is not None and bool(data.encoding.columns)
    if settings.recipe == "auto" and not table:
        if settings.members is not None or settings.time is not None:
            odd = "--members" if settings.members is not None else "--time"
            raise BadInput(f"{odd} is for --recipe tabular, and {data.name} is no table: say so")
        return False
    if settings.recipe == "tabular" and data.x_train.ndim > 2:
        raise BadInput(f"--recipe tabular is for rows of features, and {data.name} has images")
    return settings.recipe != "simple"


def shared(settings: Settings) -> Settings:
    """The settings of several processes, which share one network's batches. Raises: BadInput."""
    if settings.recipe == "tabular":
        raise BadInput(
            "--distributed is for --recipe simple: the networks of the recipe for tables learn"
            " apart, and a process trains them on all its cores"
        )
    return replace(settings, recipe="simple")


def recipe_of(settings: Settings, data: Dataset) -> Recipe:
    """The recipe with what was asked for; the rest is its own."""
    kind = "regression" if data.task == "regression" else "several classes"
    loss = settings.loss if settings.loss == "auto" else loss_for(settings.loss, kind)
    chosen = {name: getattr(settings, name) for name in NUMBERS}
    return Recipe(**chosen, loss=loss, time=settings.time)


def train_table(
    settings: Settings, data: Dataset, say: Say, show: bool, log: Path | None
) -> tuple[Trained, Settings]:
    """The training, and the settings that repeat it: with every number decided.

    say: is told what is done. show: a line of progress on a terminal. log: a file that gets a line
    for every epoch of every member. Raises: LaminaError, OSError.
    """
    recipe, rows = recipe_of(settings, data), len(data.y_train)
    fitted = recipe.fitted(rows, data.task)
    columns = Columns(int(data.x_train.shape[1]))
    if data.encoding is not None and data.encoding.columns:
        columns = Columns.of(data.encoding)
    classes = data.task != "regression"
    outputs = len(data.class_names) if classes else 1
    say(f"network  {_brief(fitted, settings.dtype, outputs)}, which")
    say(
        f"         learn from {1.0 - 1.0 / fitted.parts:.0%} of the rows each, and stop by the rest"
    )
    with progress(show) as told:
        trained = train(
            data.x_train, data.y_train, columns, data.task, outputs, recipe,
            metrics=("accuracy",) if classes else ("mean_absolute_error",),
            backend=settings.backend, dtype=settings.dtype, seed=settings.seed, told=told,
        )  # fmt: skip
    trained.model.encoding = data.encoding
    say(f"backend  {trained.model.backend.name}, {trained.model.backend.device}")
    say(f"         chosen by {trained.model.backend_reason}")
    for note in trained.notes:
        say(f"note     {note}")
    best, done = ([getattr(m, name) for m in trained.members] for name in ("best_epoch", "epochs"))
    say(f"epochs   {sum(done)} in all, of {len(done)} x {trained.recipe.epochs} at most; the best")
    say(f"         were {min(best)} to {max(best)}")
    if log is not None:
        write_log(log, trained)
    used = {name: getattr(trained.recipe, name) for name in NUMBERS}
    return trained, replace(settings, **used, recipe="tabular", time=None)


def _brief(recipe: Recipe, dtype: str, last: int) -> str:
    assert recipe.hidden is not None
    widths = "-".join(map(str, (*recipe.hidden, last)))
    return f"{recipe.members} of {widths}, {recipe.activation}, {dtype}"


def brief(trained: Trained) -> str:
    """The ensemble in a line: how many networks of which layers, and the best epochs."""
    found = _brief(trained.recipe, trained.model.dtype, trained.model.n_outputs)
    best = [member.best_epoch for member in trained.members]
    return f"{found}; best epochs {min(best)} to {max(best)}"


@contextmanager
def progress(show: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A line of progress on a terminal, or nothing."""
    if not show or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("training", total=None)
        yield lambda done, most: bar.update(task, completed=done, total=most)


def write_log(path: Path, trained: Trained) -> None:
    """Appends a line for every epoch of every member. Raises: OSError."""
    file = LogFile(path)
    for number, member in enumerate(trained.members):
        names = list(member.history)
        for epoch in range(member.epochs):
            values = {name: member.history[name][epoch] for name in names}
            file.write({"member": number, "epoch": epoch + 1, **values})


def history(trained: Trained) -> dict[str, list[float]]:
    """The mean over members that were still training, epoch by epoch."""
    names = trained.members[0].history
    found: dict[str, list[float]] = {}
    for name in names:
        all_of = [member.history[name] for member in trained.members]
        found[name] = [
            float(np.mean([each[n] for each in all_of if n < len(each)]))
            for n in range(max(map(len, all_of)))
        ]
    return found
