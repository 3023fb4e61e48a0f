"""Whole jobs, as the command line runs them: train on a data set, predict for a table."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...kernels.errors import BadInput
from ..callbacks import Callback, Checkpoint, LogFile
from ..data import datasets, tables
from ..data.datasets import Dataset
from ..layers import Dense, Dropout, Flatten, Layer, Standardize
from ..loading import load
from ..model import Sequential
from ..optimizers import Adam

Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """Everything that a training depends on: with the same settings it can be repeated."""

    data: str = "digits"
    label: str | None = None
    task: str = "auto"
    impute: bool = False
    test_size: float = 0.2
    hidden: tuple[int, ...] = (128, 64)
    activation: str = "relu"
    backend: str = "auto"
    epochs: int = 60
    batch_size: int = 32
    learning_rate: float = 1e-3
    dropout: float = 0.2
    dtype: str = "float32"
    seed: int = 0

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Settings:
        """The settings of a report; a backend that was chosen then is asked for now.

        Raises: BadInput.
        """
        try:
            words = dict(told["settings"])
            words["hidden"] = tuple(words["hidden"])
            found = cls(**words)
            if found.backend == "auto" or "," in found.backend:
                found = replace(found, backend=told["backend"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"this is no report of lamina train --json: {error!r}") from None
        for field in fields(cls):
            value = getattr(found, field.name)
            if not _fits(value, field.default):
                raise BadInput(f"this report's setting {field.name!r} cannot be {value!r}")
        return found


def _fits(value: Any, default: Any) -> bool:
    """Whether a setting has the type of its default."""
    if default is None:
        return value is None or isinstance(value, str)
    if isinstance(default, tuple):
        return isinstance(value, tuple) and all(_fits(v, default[0]) for v in value)
    if isinstance(value, bool) or isinstance(default, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    return isinstance(value, (int, float) if isinstance(default, float) else type(default))


def network(settings: Settings, data: Dataset) -> Sequential:
    """The model for a data set: files are standardized, the last layer fits the task."""
    layers: list[Layer] = [Standardize()] if data.encoding is not None else []
    if data.x_train.ndim > 2:
        layers.append(Flatten())
    for size in settings.hidden:
        layers.append(Dense(size, settings.activation))
        if settings.dropout:
            layers.append(Dropout(settings.dropout))
    classes = len(data.class_names)
    if data.task == "regression":
        layers.append(Dense(1))
        loss, metrics = "mean_squared_error", ("mean_absolute_error",)
    elif classes == 2:
        layers.append(Dense(1, "sigmoid"))
        loss, metrics = "binary_cross_entropy", ("accuracy",)
    else:
        layers.append(Dense(classes, "softmax"))
        loss, metrics = "cross_entropy", ("accuracy",)
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


def open_data(settings: Settings) -> Dataset:
    """The data set that the settings name."""
    return datasets.load(
        settings.data, settings.test_size, settings.seed, settings.label, settings.task,
        settings.impute,
    )  # fmt: skip


def tested(model: Sequential, data: Dataset) -> dict[str, float]:
    """Loss and accuracy, or mean absolute error and R^2 in the label's own units."""
    found = model.evaluate(data.x_test, data.y_test)
    if data.task != "regression":
        return found
    assert data.encoding is not None  # every regression comes from a file
    wanted = data.encoding.units(data.y_test)
    given = data.encoding.units(model.predict(data.x_test)[:, 0])
    spread = float(((wanted - wanted.mean()) ** 2).sum())
    error = float(((wanted - given) ** 2).sum())
    return {
        "loss": found["loss"],
        "mean_absolute_error": float(np.abs(wanted - given).mean()),
        "r2": 1.0 - error / spread if spread else 0.0,
    }


def _introduce(settings: Settings, data: Dataset, model: Sequential, say: Say) -> None:
    rows, columns = len(data.x_train), int(np.prod(data.x_train.shape[1:]))
    kind = "regression" if data.task == "regression" else f"{len(data.class_names)} classes"
    say(f"data     {data.name}: {rows} rows to train, {len(data.x_test)} to test,")
    say(f"         {columns} features, {kind}")
    if data.encoding is not None:
        say(f"task     {data.task} of {data.encoding.label!r}: {data.why}")
        for column in data.encoding.columns:
            what = f"{len(column.categories)} words" if column.categories else "numbers"
            filled = "" if column.fill is None else f", missing cells become {column.fill}"
            say(f"column   {column.name}: {what}{filled}")
    for note in data.notes:
        say(f"note     {note}")
    widths = [columns, *settings.hidden, len(data.class_names)]
    if data.task == "regression" or widths[-1] == 2:
        widths[-1] = 1
    say(f"network  {'-'.join(map(str, widths))}, {model.dtype}")
    say(f"backend  {model.backend.name}, {model.backend.device}")
    say(f"         chosen by {model.backend_reason}")


def train(
    settings: Settings,
    say: Say,
    *,
    save: Path | None = None,
    resume: bool = False,
    log: Path | None = None,
    verbose: bool | int | str = "auto",
) -> dict[str, Any]:
    """Trains, tests, and reports in words of JSON.

    save: the model's file, written after every epoch. resume: go on from that file, where it is,
    until `settings.epochs` in all. log: a .csv or .jsonl file, a line for every epoch.
    Raises: LaminaError, OSError.
    """
    data = open_data(settings)
    if resume and save is None:
        raise BadInput("--resume goes on from the file that --save names")
    if resume and save is not None and save.exists():
        model = load(save, settings.backend)
        if model.encoding != data.encoding:
            raise BadInput(f"{save} was trained on a table with other columns: give another --save")
        say(f"resumed  {save}, {model.state.epoch} epochs done")
    else:
        model = network(settings, data)
    _introduce(settings, data, model, say)
    callbacks: list[Callback] = [] if log is None else [LogFile(log)]
    if save is not None:
        callbacks.append(Checkpoint(save))
    done = model.state.epoch if model.built else 0
    start = time.perf_counter()
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
    seconds = time.perf_counter() - start
    results = tested(model, data)
    say(f"trained in {seconds:.1f} s; test loss {results['loss']:.4f}")
    if data.task == "regression":
        assert data.encoding is not None
        unit = f"in units of {data.encoding.label!r}"
        say(f"test mean absolute error {results['mean_absolute_error']:.4g} ({unit})")
        say(f"test R2 {results['r2']:.4f}")
    else:
        say(f"test accuracy {results['accuracy']:.4f}")
    if save is not None:
        model.save(save)
        say(f"saved to {save}")
    return {
        "settings": {**asdict(settings), "hidden": list(settings.hidden)},
        "task": data.task,
        "why": data.why,
        "notes": list(data.notes),
        "backend": model.backend.name,
        "device": model.backend.device,
        "chosen_by": model.backend_reason,
        "rows": len(data.x_train),
        "features": int(np.prod(data.x_train.shape[1:])),
        "classes": list(data.class_names),
        "history": history.history,
        "seconds": seconds,
        "test": results,
        "saved": None if save is None else str(save),
    }


def _features(model: Sequential, path: Path, allow_unseen: bool, say: Say) -> np.ndarray:
    """The rows to predict for: a CSV for a model of a table, an NPZ or an NPY for any other."""
    encoding = model.encoding
    if encoding is not None and encoding.columns:
        if path.suffix.lower() in (".npz", ".npy"):
            names = ", ".join(column.name for column in encoding.columns)
            raise BadInput(f"the model was trained on a table: give a CSV with the columns {names}")
        table = tables.read_csv(path)
        if extra := encoding.extra(table):
            say(f"{table.name}: not looked at, as training had no such column: {', '.join(extra)}")
        return encoding.features(table, allow_unseen)
    try:
        with path.open("rb") as handle:
            found = np.load(handle, allow_pickle=False)
            if not isinstance(found, np.ndarray):
                found = {name: found[name] for name in found.files}
    except datasets.NPZ_ERRORS as error:
        raise BadInput(
            f"{path} is no NPY or NPZ file of plain arrays ({error}); the model was not trained on"
            " a table, so it does not know columns by name"
        ) from None
    if isinstance(found, np.ndarray):
        return found
    for name in ("x", "x_test"):
        if name in found:
            array: np.ndarray = found[name]
            return array
    raise BadInput(f"{path} has {', '.join(found) or 'nothing'}: it needs x")


def _unsaid(text: str) -> None:
    """Nobody listens."""


def predict(
    model: Sequential, path: Path, *, allow_unseen: bool = False, say: Say = _unsaid
) -> str:
    """Predictions for a file as CSV: the class and a probability for each, or the value.

    allow_unseen: take a word that training never saw for none of the known, not for an error.
    say: is told of columns that are not looked at.
    Raises: LaminaError, OSError.
    """
    p = model.predict(_features(model, path, allow_unseen, say)).astype(np.float64)
    encoding = model.encoding
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    last = getattr(model.layers[-1], "activation", None)
    if last not in ("softmax", "sigmoid") or (last == "sigmoid" and p.shape[1] > 1):
        names = [f"y{i}" for i in range(p.shape[1])]
        if encoding is not None:
            names, p = [encoding.label], encoding.units(p)
        writer.writerow(names)
        writer.writerows(p.tolist())
        return text.getvalue()
    if last == "sigmoid":
        p = np.hstack([1.0 - p, p])
    classes = encoding.classes if encoding is not None else tuple(map(str, range(p.shape[1])))
    label = "class" if encoding is None else encoding.label
    writer.writerow([label, *(f"p({name})" for name in classes)])
    for row in p:
        writer.writerow([classes[int(row.argmax())], *(f"{value:.7g}" for value in row)])
    return text.getvalue()


def write(path: Path, text: str) -> None:
    """Writes a file beside its place and renames it, so that an older one is whole or replaced."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
