"""Whole jobs, as the command line runs them: train on a data set, predict for a table."""

from __future__ import annotations

import hashlib
import math
import textwrap
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...kernels.compilation import clock
from ...kernels.errors import BadInput
from ...kernels.memory import forget
from .. import losses
from ..callbacks import Callback, Checkpoint, LogFile
from ..data import datasets, engine, plan
from ..data.datasets import Dataset
from ..data.encoding import Encoding
from ..layers import Dense, Dropout, Flatten, Layer, Standardize
from ..loading import load
from ..model import Sequential
from ..optimizers import Adam
from .prediction import as_formula as as_formula
from .prediction import predict as predict
from .settings import KEPT, NAMES, READING, Settings, begun, refuse_others, words

Say = Callable[[str], None]
DIGESTED = 65_536  # rows that are looked at together
LOSSES = {  # those that the last layer for a task fits; a regression's label is standardized
    "regression": ("mean_squared_error", "mean_absolute_error", "huber", "quantile"),
    "two classes": ("binary_cross_entropy", "binary_focal"),
    "several classes": ("cross_entropy", "focal"),
}


def network(settings: Settings, data: Dataset) -> Sequential:
    """The model for a data set: files are standardized, the last layer fits the task."""
    layers: list[Layer] = []
    if data.encoding is not None:  # the zeros and ones of categories stay as they are
        all_numbers = not data.encoding.columns or not data.encoding.one_hot
        layers.append(Standardize(None if all_numbers else data.encoding.numeric))
    if data.x_train.ndim > 2:
        layers.append(Flatten())
    for size in settings.hidden:
        layers.append(Dense(size, settings.activation))
        if settings.dropout:
            layers.append(Dropout(settings.dropout))
    classes = len(data.class_names)
    if data.task == "regression":
        last, kind, metrics = Dense(1), "regression", ("mean_absolute_error",)
    elif classes == 2:
        last, kind, metrics = Dense(1, "sigmoid"), "two classes", ("accuracy",)
    else:
        last, kind, metrics = Dense(classes, "softmax"), "several classes", ("accuracy",)
    layers.append(last)
    loss = loss_for(settings.loss, kind)
    model = Sequential(
        layers,
        loss,
        Adam(settings.learning_rate),
        metrics,
        settings.backend,
        settings.dtype,
        seed=settings.seed,
    )
    model.encoding = data.encoding
    return model


def loss_for(choice: str, kind: str) -> str:
    """The loss of a task: the first that fits, or the one asked for. Raises: BadInput."""
    fitting = LOSSES[kind]
    name = fitting[0] if choice == "auto" else losses.get(choice).name
    if name not in fitting:
        raise BadInput(f"--loss {name} is not for {kind}: use one of {', '.join(fitting)}")
    return name


def open_data(settings: Settings) -> Dataset:
    """The data set that the settings name."""
    return datasets.load(
        settings.data, settings.test_size, settings.seed,
        **{name: getattr(settings, name) for name in READING if name != "drop"},
        drop=settings.drop or (),
    )  # fmt: skip


def tested(model: Sequential, data: Dataset) -> dict[str, float]:
    """Loss and accuracy, or mean absolute error and R^2 in the label's own units.

    Nothing where no rows were held out.
    """
    if not len(data.y_test):
        return {}
    found = model.evaluate(data.x_test, data.y_test)
    if data.task != "regression":
        return found
    assert data.encoding is not None  # every regression comes from a file
    wanted = data.encoding.units(data.y_test)
    given = data.encoding.units(model.predict(data.x_test)[:, 0])
    return {
        "loss": found["loss"],
        "mean_absolute_error": float(np.abs(wanted - given).mean()),
        "r2": r2_score(wanted, given),
    }


def r2_score(wanted: np.ndarray, given: np.ndarray) -> float:
    """1 - squared error / spread, as scikit-learn defines it where the spread is zero.

    A constant that is met exactly scores 1, one that is missed 0; one row alone has no score: NaN.
    """
    if len(wanted) < 2:
        return math.nan
    spread = float(((wanted - wanted.mean()) ** 2).sum())
    error = float(((wanted - given) ** 2).sum())
    if not spread:
        return 0.0 if error else 1.0
    return 1.0 - error / spread


def _introduce(settings: Settings, data: Dataset, model: Sequential, say: Say) -> None:
    rows, columns = len(data.x_train), int(np.prod(data.x_train.shape[1:]))
    kind = "regression" if data.task == "regression" else f"{len(data.class_names)} classes"
    say(f"data     {data.name}: {rows} rows to train, {len(data.x_test)} to test,")
    say(f"         {columns} features, {kind}")
    if data.encoding is not None:
        say(f"task     {data.task} of {data.encoding.label!r}: {data.why}")
        for line in plan.lines(data.plan):
            say(line)
    for note in data.notes:
        say(f"note     {note}")
    widths = [columns, *settings.hidden, len(data.class_names)]
    if data.task == "regression" or widths[-1] == 2:
        widths[-1] = 1
    say(f"network  {'-'.join(map(str, widths))}, {model.dtype}")
    say(f"backend  {model.backend.name}, {model.backend.device}")
    say(f"         chosen by {model.backend_reason}")


def _digest(data: Dataset) -> str:
    """What tells these rows, and how they are parted, from all others."""
    found = hashlib.blake2b(digest_size=16)
    for array in data:
        found.update(f"{array.dtype} {array.shape}".encode())
        for start in range(0, len(array), DIGESTED):
            found.update(np.ascontiguousarray(array[start : start + DIGESTED]).data)
            forget(array)
    return found.hexdigest()


def _columns(encoding: Encoding | None) -> list[str] | None:
    """The names of a table's columns, the label last."""
    if encoding is None:
        return None
    return [*(column.name for column in encoding.columns), encoding.label]


def _begin(settings: Settings, save: Path | None) -> tuple[Sequential, Dataset]:
    """A new model and its data; the model keeps what `_go_on` will need."""
    data = open_data(settings)
    model = network(settings, data)
    if save is not None:
        label = data.encoding.label if data.encoding and data.encoding.columns else None
        kept = replace(settings, label=label, task=data.task)
        model.origin = {"settings": kept.to_json(), "rows": _digest(data)}
    return model, data


def _go_on(
    settings: Settings, given: Collection[str], save: Path, say: Say
) -> tuple[Sequential, Dataset, Settings]:
    """The model of a file, the rows that it was trained and tested on, and all settings.

    What is not given is taken from the file. Raises: BadInput for what contradicts it.
    """
    model = load(save, settings.backend if "backend" in given else "auto")
    kept, rows = begun(model.origin, str(save))
    asked = {name: getattr(settings, name) for name in NAMES if name in given}
    refuse_others(kept, settings, given, READING, str(save))
    if "data" not in given and engine.is_query(kept.data):
        raise BadInput(
            f"{save} was begun with a query, and none is run because a file says so: give it again,"
            ' as in lamina train "SELECT ..."'
        )
    used = replace(kept, **{n: v for n, v in asked.items() if n not in KEPT})
    if "backend" not in given:
        model.to(used.backend)
    data = open_data(used)
    if _columns(model.encoding) != _columns(data.encoding):
        raise BadInput(
            f"{save} was trained on a table with other columns: give another --save, or begin anew"
            " with --overwrite"
        )
    refuse_others(kept, settings, given, KEPT, str(save))
    if rows != _digest(data) or model.encoding != data.encoding:
        raise BadInput(
            f"{save} was trained on other rows than {data.name} has now, so rows held out to test"
            " could be among them: give another --save, or begin anew with --overwrite"
        )
    done = model.state.epoch
    say(f"resumed  {save}, {done} epochs done, {max(used.epochs - done, 0)} to go")
    if done >= used.epochs:
        say(f"         nothing is left of --epochs {used.epochs}, which counts from the beginning")
    taken = words(kept, [name for name in NAMES[1:] if name not in asked])
    for line in textwrap.wrap(f"from the file: {taken}", 70, break_on_hyphens=False):
        say(f"         {line}")
    for name in ("batch_size", "learning_rate"):
        if getattr(used, name) != getattr(kept, name):
            say(f"         from now on: {words(used, [name])}, not {getattr(kept, name)}")
    if "learning_rate" in asked:
        model.optimizer = replace(model.optimizer, learning_rate=used.learning_rate)
    model.origin = {
        "settings": {**used.to_json(), "label": kept.label, "task": kept.task}, "rows": rows,
    }  # fmt: skip
    return model, data, used


def check_file(save: Path | None, resume: bool, overwrite: bool) -> None:
    """Raises BadInput where a trained file would be lost, or options contradict each other."""
    if save is None:
        if resume or overwrite:
            word = "--resume goes on from" if resume else "--overwrite replaces"
            raise BadInput(f"{word} the file that --save names")
        return
    if resume and overwrite:
        raise BadInput("--resume goes on from the file, --overwrite begins anew: give one of them")
    if save.exists() and not (resume or overwrite):
        raise BadInput(
            f"{save} is there already: go on from it with --resume, replace it with --overwrite,"
            " or give another --save"
        )


def train(
    settings: Settings,
    say: Say,
    *,
    save: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    log: Path | None = None,
    verbose: bool | int | str = "auto",
    given: Collection[str] = NAMES,
) -> dict[str, Any]:
    """Trains, tests, and reports in words of JSON.

    save: the model's file, written after every epoch. resume: go on from that file, where it is,
    until `settings.epochs` in all. overwrite: begin anew although it is there. log: a .csv or
    .jsonl file, a line for every epoch. given: the settings that were asked for; what a file to go
    on from was begun with comes before the others.
    Raises: LaminaError, OSError.
    """
    settings.check()
    check_file(save, resume, overwrite)
    if resume and save is not None and save.exists():
        model, data, settings = _go_on(settings, given, save, say)
    else:
        model, data = _begin(settings, save)
    _introduce(settings, data, model, say)
    callbacks: list[Callback] = [] if log is None else [LogFile(log)]
    if save is not None:
        callbacks.append(Checkpoint(save))
    done = model.state.epoch if model.built else 0
    start = clock()
    try:
        history = model.fit(
            data.x_train,
            data.y_train,
            epochs=max(settings.epochs - done, 0),
            batch_size=min(settings.batch_size, len(data.x_train)),
            callbacks=callbacks,
            verbose=verbose,
        )
    except KeyboardInterrupt:
        ended = model.state.epoch
        way = "nothing was saved: give --save to be able to go on"
        if save is not None and ended:
            way = f"{save} holds epoch {ended}: go on from it with --resume"
        raise KeyboardInterrupt(f"stopped in epoch {ended + 1}; {way}") from None
    seconds = clock() - start
    results = tested(model, data)
    _conclude(data, results, seconds, say)
    if save is not None:
        model.save(save)
        say(f"saved to {save}")
    return {
        "settings": settings.to_json(),
        "task": data.task,
        "why": data.why,
        "notes": list(data.notes),
        "columns": [plan.to_json(one) for one in data.plan],
        "backend": model.backend.name,
        "device": model.backend.device,
        "chosen_by": model.backend_reason,
        "rows": len(data.x_train),
        "features": int(np.prod(data.x_train.shape[1:])),
        "classes": list(data.class_names),
        "epochs_before": done,
        "history": history.history,
        "seconds": seconds,
        "test": {name: None if math.isnan(value) else value for name, value in results.items()},
        "saved": None if save is None else str(save),
    }


def _conclude(data: Dataset, results: dict[str, float], seconds: float, say: Say) -> None:
    if not results:
        say(f"trained in {seconds:.1f} s; no rows were held out to test on")
        return
    say(f"trained in {seconds:.1f} s; test loss {results['loss']:.4f}")
    if data.task == "regression":
        assert data.encoding is not None
        unit = f"in units of {data.encoding.label!r}"
        say(f"test mean absolute error {results['mean_absolute_error']:.4g} ({unit})")
        say(f"test R2 {results['r2']:.4f}")
    else:
        say(f"test accuracy {results['accuracy']:.4f}")
