"""The whole job of training on a data set, as the command line runs it."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...kernels.compilation import clock
from ...kernels.errors import BadInput
from ...kernels.memory import forget
from ..callbacks import Callback, Checkpoint, LogFile
from ..data import datasets, engine, plan
from ..data.datasets import Dataset
from ..data.encoding import Encoding
from ..distributed import Distributed
from ..loading import load
from ..model import Sequential
from ..shared_parts import RANK, whole
from ..team import ALONE, Team
from . import networks, tabular
from .results import check_report, conclude, report, tested, write_report
from .settings import KEPT, NAMES, OPTIONAL, READING, Settings, begun, refuse_others, words

Say = Callable[[str], None]
DIGESTED = 65_536  # rows that are looked at together


def __getattr__(name: str) -> Any:
    """`predict`, which scripts look for beside `train`, and which loads all that reads ONNX."""
    if name == "predict":
        from .predictions import predict

        return predict
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def open_data(settings: Settings, source: str) -> Dataset:
    """The data set that the settings name. source: where it is."""
    data = datasets.load(
        source, settings.test_size, settings.seed,
        **{name: getattr(settings, name) for name in READING if name != "drop"},
        drop=settings.drop or (),
        embed_from=None if settings.recipe == "simple" else tabular.EMBED_FROM,
    )  # fmt: skip
    return data if source == settings.data else replace(data, name=Path(settings.data).name)


def _introduce(data: Dataset, say: Say) -> None:
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


def _describe(settings: Settings, data: Dataset, model: Sequential, say: Say) -> None:
    say(f"network  {networks.brief(settings, data)}")
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


def _origin(settings: Settings, data: Dataset) -> dict[str, Any]:
    """What a model's file keeps of how it was begun: what `_go_on` will need."""
    label = data.encoding.label if data.encoding and data.encoding.columns else None
    kept = replace(settings, label=label, task=data.task)
    return {"settings": kept.to_json(), "rows": _digest(data)}


def _columns(encoding: Encoding | None) -> list[str] | None:
    """The names of a table's columns, the label last."""
    if encoding is None:
        return None
    return [*(column.name for column in encoding.columns), encoding.label]


def _go_on(
    settings: Settings, given: Collection[str], save: Path, say: Say, source: str
) -> tuple[Sequential, Dataset, Settings]:
    """The model of a file, the rows that it was trained and tested on, and all settings.

    What is not given is taken from the file. source: where data that are given lie. Raises:
    BadInput for what contradicts it.
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
    if "data" not in given and engine.is_query(kept.data):
        raise BadInput(
            f"{save} was begun with a query, and none is run because a file says so: give it again,"
            ' as in lamina train "SELECT ..."'
        )
    if "data" not in given and RANK in kept.data:
        raise BadInput(f"{save} was begun with a file of each process: give {kept.data!r} again")
    used = replace(kept, **{n: v for n, v in asked.items() if n not in KEPT})
    if "backend" not in given:
        model.to(used.backend)
    data = open_data(used, source if "data" in given else used.data)
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
    page: Path | None = None,
    team: Team = ALONE,
) -> dict[str, Any]:
    """Trains, tests, and reports in words of JSON.

    save: the model's file, written after every epoch. resume: go on from that file, where it is,
    until `settings.epochs` in all. overwrite: begin anew although it is there. log: a .csv or
    .jsonl file, a line for every epoch. given: the settings that were asked for; what a file to go
    on from was begun with comes before the others. page: where a report goes, as HTML or as text.
    team: the processes that train together; the first one tests, writes and reports.
    Raises: LaminaError, OSError.
    """

    def begin() -> tuple[Sequential | None, Dataset, Settings]:
        settings.check()
        asked = settings if team is ALONE else tabular.shared(settings)
        check_report(page, asked)
        check_file(save, resume, overwrite)
        if resume and save is not None and save.exists():
            return _go_on(asked, given, save, say, source)
        data = open_data(asked, source)
        if tabular.wanted(asked, data):
            return None, data, asked
        used = networks.plain(asked, data)
        model = networks.network(used, data)
        if save is not None:
            model.origin = _origin(used, data)
        return model, data, used

    with whole(settings.data, team) as source:
        model, data, settings = team.checked(begin)
    if model is None:
        return _train_table(settings, data, say, save, log, verbose, page)
    _introduce(data, say)
    _describe(settings, data, model, say)
    if team.ranks > 1:
        say(f"ranks    {team.brief()}")
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
            distributed=team if isinstance(team, Distributed) else None,
        )
    except KeyboardInterrupt:
        ended = model.state.epoch
        way = "nothing was saved: give --save to be able to go on"
        if save is not None and ended:
            way = f"{save} holds epoch {ended}: go on from it with --resume"
        stop = KeyboardInterrupt(f"stopped in epoch {ended + 1}; {way}")
        raise team.raised(stop) from None
    seconds = clock() - start
    if team.rank:
        return {}
    results = tested(model, data)
    conclude(data, results, seconds, say)
    if save is not None:
        model.save(save)
        say(f"saved to {save}")
    if page is not None:
        brief = networks.brief(settings, data)
        write_report(page, model, data, history.history, seconds, brief, say)
    return report(settings, data, model, done, history.history, seconds, results, save)


def _train_table(
    settings: Settings, data: Dataset, say: Say, save: Path | None, log: Path | None,
    verbose: bool | int | str, page: Path | None,
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
    if page is not None:
        shown = replace(data, notes=(*data.notes, *trained.notes))
        write_report(page, model, shown, told, trained.seconds, tabular.brief(trained), say)
    return report(settings, data, model, 0, told, trained.seconds, results, save)
