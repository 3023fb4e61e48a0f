"""Whole jobs, as the command line runs them: train on a data set, predict for a table."""

from __future__ import annotations

import csv
import hashlib
import io
import textwrap
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...kernels.compilation import clock
from ...kernels.errors import BadInput
from ..callbacks import Callback, Checkpoint, LogFile
from ..data import arrays, datasets, tables
from ..data.datasets import Dataset
from ..data.words import number
from ..loading import load
from ..model import Sequential
from ..scores import PROBABILITIES, classes_of
from . import networks, tabular
from .results import conclude, report, tested
from .settings import KEPT, NAMES, OPTIONAL, READING, Settings, begun, refuse_others, words

Say = Callable[[str], None]
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # what they begin with


def open_data(settings: Settings) -> Dataset:
    """The data set that the settings name."""
    table = settings.recipe != "simple" and not datasets.plain(settings.data)
    return datasets.load(
        settings.data, settings.test_size, settings.seed, settings.label, settings.task,
        settings.impute or table, tabular.EMBED_FROM if table else None,
    )  # fmt: skip


def _introduce(data: Dataset, say: Say) -> None:
    rows, columns = len(data.x_train), int(np.prod(data.x_train.shape[1:]))
    kind = "regression" if data.task == "regression" else f"{len(data.class_names)} classes"
    say(f"data     {data.name}: {rows} rows to train, {len(data.x_test)} to test,")
    say(f"         {columns} features, {kind}")
    if data.encoding is not None:
        say(f"task     {data.task} of {data.encoding.label!r}: {data.why}")
        for column in data.encoding.columns:
            what = f"{len(column.categories)} words" if column.categories else "numbers"
            what += ", embedded" if column.embedded else ""
            filled = "" if column.fill is None else f", missing cells become {column.fill}"
            say(f"column   {column.name}: {what}{filled}")
    for note in data.notes:
        say(f"note     {note}")


def _describe(settings: Settings, data: Dataset, model: Sequential, say: Say) -> None:
    columns = int(np.prod(data.x_train.shape[1:]))
    widths = [columns, *(settings.hidden or ()), len(data.class_names)]
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
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _origin(settings: Settings, data: Dataset) -> dict[str, Any]:
    """What a model's file keeps of how it was begun: what `_go_on` will need."""
    label = data.encoding.label if data.encoding and data.encoding.columns else None
    kept = replace(settings, label=label, task=data.task)
    return {"settings": kept.to_json(), "rows": _digest(data)}


def _go_on(
    settings: Settings, given: Collection[str], save: Path, say: Say
) -> tuple[Sequential, Dataset, Settings]:
    """The model of a file, the rows that it was trained and tested on, and all settings.

    What is not given is taken from the file. Raises: BadInput for what contradicts it.
    """
    model = load(save, settings.backend if "backend" in given else "auto")
    kept, rows = begun(model.origin, str(save))
    if kept.recipe == "tabular":
        raise BadInput(
            f"{save} was trained by the recipe for tables, whose schedule ends with its training:"
            " begin anew with --overwrite, or train with --recipe simple to go on later"
        )
    asked = {name: getattr(settings, name) for name in NAMES if name in given}
    asked = {n: v for n, v in asked.items() if v is not None or n not in OPTIONAL}
    refuse_others(kept, settings, given, READING, str(save))
    used = replace(kept, **{n: v for n, v in asked.items() if n not in KEPT})
    if "backend" not in given:
        model.to(used.backend)
    data = open_data(used)
    if model.encoding != data.encoding:
        raise BadInput(
            f"{save} was trained on a table with other columns: give another --save, or begin anew"
            " with --overwrite"
        )
    refuse_others(kept, settings, given, KEPT, str(save))
    if rows != _digest(data):
        raise BadInput(
            f"{save} was trained on other rows than {data.name} has now, so rows held out to test"
            " could be among them: give another --save, or begin anew with --overwrite"
        )
    done, most = model.state.epoch, used.epochs or 0
    say(f"resumed  {save}, {done} epochs done, {max(most - done, 0)} to go")
    if done >= most:
        say(f"         nothing is left of --epochs {most}, which counts from the beginning")
    taken = words(kept, [name for name in NAMES[1:] if name not in asked])
    for line in textwrap.wrap(f"from the file: {taken}", 70, break_on_hyphens=False):
        say(f"         {line}")
    for name in ("batch_size", "learning_rate"):
        if getattr(used, name) != getattr(kept, name):
            say(f"         from now on: {words(used, [name])}, not {getattr(kept, name)}")
    if "learning_rate" in asked and used.learning_rate is not None:
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
        data = open_data(settings)
        if tabular.wanted(settings, data):
            return _train_table(settings, data, say, save, log, verbose)
        settings = networks.plain(settings, data)
        model = networks.network(settings, data)
        if save is not None:
            model.origin = _origin(settings, data)
    _introduce(data, say)
    _describe(settings, data, model, say)
    assert settings.epochs is not None
    assert settings.batch_size is not None
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
    conclude(data, results, seconds, say)
    if save is not None:
        model.save(save)
        say(f"saved to {save}")
    return report(settings, data, model, done, history.history, seconds, results, save)


def _train_table(
    settings: Settings, data: Dataset, say: Say, save: Path | None, log: Path | None,
    verbose: bool | int | str,
) -> dict[str, Any]:  # fmt: skip
    """`train` by the recipe for tables."""
    _introduce(data, say)
    trained, settings = tabular.train_table(settings, data, say, bool(verbose), log)
    model = trained.model
    model.origin = _origin(settings, data)
    if save is not None:
        model.save(save)
    if trained.stopped:
        way = "nothing was saved: give --save to keep it" if save is None else f"{save} holds it"
        raise KeyboardInterrupt(f"stopped; the best of what was learned is a whole model: {way}")
    results = tested(model, data)
    conclude(data, results, trained.seconds, say)
    if save is not None:
        say(f"saved to {save}")
    told = tabular.history(trained)
    return report(settings, data, model, 0, told, trained.seconds, results, save)


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
        found = arrays.read(path)
    except BadInput as error:
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


def as_formula(word: str) -> bool:
    """Whether a spreadsheet that opens a CSV would take a word for a formula, and compute it.

    >>> [as_formula(word) for word in ("=1+1", "@sum", "-1+1", "-1", "a=b")]
    [True, True, True, False, False]
    """
    return word.startswith(FORMULAS) and number(word) is None


def predict(
    model: Sequential,
    path: Path,
    *,
    allow_unseen: bool = False,
    escape_formulas: bool = False,
    say: Say = _unsaid,
) -> str:
    """Predictions for a file as CSV: the class and a probability for each, or the value.

    allow_unseen: take a word that training never saw for none of the known, not for an error.
    escape_formulas: put an apostrophe before names that a spreadsheet would compute; else names are
    written as they are, for programs that look for them.
    say: is told of columns that are not looked at, and of formulas that are written.
    Raises: LaminaError, OSError.
    """
    p = model.predict(_features(model, path, allow_unseen, say))
    op = model.output
    chosen = classes_of(p, op) if op in PROBABILITIES else None
    p = p.astype(np.float64)
    encoding = model.encoding
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if chosen is None or chosen.ndim > 1:
        names = [f"y{i}" for i in range(p.shape[1])]
        if encoding is not None:
            names, p = _cells([encoding.label], escape_formulas, say), encoding.units(p)
        writer.writerow(names)
        writer.writerows(p.tolist())
        return text.getvalue()
    if op == "sigmoid":
        p = np.hstack([1.0 - p, p])
    classes = encoding.classes if encoding is not None else tuple(map(str, range(p.shape[1])))
    if len(classes) < p.shape[1]:
        raise BadInput(f"the model tells {p.shape[1]} classes, but has names for {len(classes)}")
    label = "class" if encoding is None else encoding.label
    label, *told = _cells([label, *classes], escape_formulas, say)
    writer.writerow([label, *(f"p({name})" for name in classes[: p.shape[1]])])
    for place, row in zip(chosen, p, strict=True):
        writer.writerow([told[place], *(f"{value:.7g}" for value in row)])
    return text.getvalue()


def _cells(words: Sequence[str], escape: bool, say: Say) -> list[str]:
    """Words as they are written; says where a spreadsheet would compute some."""
    risky = [word for word in words if as_formula(word)]
    if escape:
        return ["'" + word if word in risky else word for word in words]
    if risky:
        say(
            f"names such as {risky[0]!r} are formulas to a spreadsheet: --escape-formulas puts an"
            " apostrophe before them"
        )
    return [*words]
