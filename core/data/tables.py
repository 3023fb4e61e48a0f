"""What is learned from a table: its label and task, how its columns are encoded, its targets."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...kernels.errors import BadInput
from . import cells
from .columns import SECONDS, Column
from .encoding import Encoding
from .features import Counted, Writer
from .kinds import MOSTLY, decide
from .plan import Plan, Planned, check_type
from .series import Series, Table

MOST_CLASSES = 20  # integral labels with more distinct values than that are taken for numbers


def decide_task(series: Series, hint: str = "") -> tuple[str, str]:
    """The task for the cells of a label, and why.

    Raises: BadInput where most of them are numbers, and some are words.
    """
    known = series.taken(series.known)
    if known.kind == "word":
        words = [known.words[at] for at in np.unique(known.values)]
        try:
            found = cells.numbers(words, None, hint)
        except BadInput as error:
            if len(words) <= MOST_CLASSES:
                return "classification", "the label holds words"
            raise BadInput(
                f"the label: {error}: make them one kind, or say --task classification where they"
                " are names"
            ) from None
        if not found.found.all():
            counts = np.bincount(known.values, minlength=len(known.words))
            numeric = counts[np.unique(known.values)][found.found]
            most = numeric.sum() > MOSTLY * counts.sum() and len(numeric) > MOST_CLASSES
            if most:
                odd = words[int(np.argmin(found.found))]
                raise BadInput(
                    f"the label holds numbers, but also {odd!r}: where that says that nothing is"
                    f' known, --missing "{odd}" tells, and where these are names,'
                    " --task classification"
                )
            return "classification", "the label holds words"
        values = found.values
        if cells.padded(words):
            return "classification", "the label holds digits with leading zeros"
    elif known.kind == "number":
        values = np.unique(known.values)
        if np.isinf(values).any():
            return "regression", "the label holds numbers"  # of which infinite ones are refused
    else:
        return "classification", "the label holds words"
    distinct = len(values)
    if (values == np.floor(values)).all():
        kind = "classification" if distinct <= MOST_CLASSES else "regression"
        return kind, f"the label holds {distinct} different whole numbers"
    return "regression", "the label holds numbers with fractions"


@dataclass(frozen=True)
class Label:
    """The label of a table: name, cells, the task and why, and which rows have one."""

    name: str
    series: Series
    task: str
    why: str
    rows: np.ndarray


def label_of(table: Table, label: str | None, task: str, plan: Plan) -> tuple[Label, list[str]]:
    """The label of a table, the last column if none is named, and notes on it. Raises: BadInput."""
    name = table.columns[-1] if label is None else label
    series = table.series(name).cleaned(plan.missing)
    if numeric_but_for(series, cells.weak, table.hint):
        series = series.without(cells.weak)
    if len(table.columns) == 1:
        raise BadInput(
            f"{table.name} has no column beside the label {name!r}: where its cells are parted by"
            " another sign, --delimiter tells"
        )
    if series.kind == "other":
        raise BadInput(f"{table.name}: the label {name!r} holds lists or bytes: choose another one")
    notes = _unlabelled(table, name, series, plan)
    why = "asked for"
    if task == "auto":
        task, why = decide_task(series, table.hint)
    if task == "classification":
        series = series.spelled()
        notes += _alike(series)
    return Label(name, series, task, why, np.flatnonzero(series.known)), notes


def _unlabelled(table: Table, name: str, series: Series, plan: Plan) -> list[str]:
    """A note on rows without a label. Raises: BadInput where they are refused, or there are all."""
    known = series.known
    if known.all():
        return []
    row, gone = int(np.argmin(known)), len(known) - int(known.sum())
    word = table.series(name).spelled().text(row)
    what = f"{word!r}, a missing value" if word.strip() else "empty"
    if not plan.impute:
        raise BadInput(f"{table.place(row)}: the label is {what}: remove the row")
    if gone == len(known):
        raise BadInput(f"{table.name}: the label {name!r} is empty in every row")
    if gone == 1:
        return [f"{table.place(row)} is left out: its label is {what}"]
    return [f"{table.place(row)} and {gone - 1} more are left out: the first one's label is {what}"]


def numeric_but_for(series: Series, gone: Callable[[str], bool], hint: str) -> bool:
    """Whether words would all be numbers, and many of them, without some."""
    if series.kind != "word" or not any(gone(word) for word in series.words):
        return False
    words = series.without(gone).words
    try:
        return len(words) > MOST_CLASSES and bool(cells.numbers(words, None, hint).found.all())
    except BadInput:
        return False


def _alike(series: Series) -> list[str]:
    """A note where classes differ in how they are written alone."""
    found: dict[Any, str] = {}
    for at in np.unique(series.values[series.known]):
        word = series.words[at]
        value = cells.number(word)
        key = unicodedata.normalize("NFKC", word).casefold() if value is None else value
        if key in found:
            return [f"the labels {found[key]!r} and {word!r} are two classes, as they are written"]
        found[key] = word
    return []


def learn(
    table: Table, label: Label, train: np.ndarray, plan: Plan, drop: Sequence[str] = ()
) -> tuple[Encoding, tuple[Planned, ...]]:
    """The encoding of a table, and how each of its columns was taken.

    train: the numbers of the rows to train on; kinds come from all rows, words and numbers from
    these. drop: columns that are left out. Raises: BadInput, UnknownName.
    """
    for name in (*drop, *plan.types):
        table.check(name)
    for name, kind in plan.types.items():
        check_type(name, kind)
    if label.name in drop:
        raise BadInput(f"the label {label.name!r} cannot be dropped")
    planned = tuple(
        Planned(Column(name, "dropped"), "asked for", 0)
        if name in drop
        else decide(table, name, train, plan)
        for name in table.columns
        if name != label.name
    )
    columns = tuple(one.column for one in planned)
    encoding = Encoding(columns, label.name, label.task, missing=plan.missing)
    if not encoding.used:
        told = "; ".join(f"{one.column.name!r}: {one.why}" for one in planned[:5])
        raise BadInput(
            f"{table.name} has no column to learn from ({told}): say what they are with --types, as"
            f" in --types {columns[0].name}=category"
        )
    if label.task == "regression":
        values = _targets(table, label)[train]
        mean, scale = standard(label.name, values)
        return replace(encoding, mean=mean, scale=scale), planned
    codes = label.series.values[train]
    found = [label.series.words[at] for at in np.unique(codes)]
    if len(found) < 2:
        raise BadInput(
            f"the label {label.name!r} has one class only ({', '.join(found) or 'none'}): there is"
            " nothing to learn"
        )
    numeric = all(cells.number(name) is not None for name in found)
    classes = sorted(found, key=lambda word: (float(word), word)) if numeric else sorted(found)
    return replace(encoding, classes=tuple(classes)), planned


def _targets(table: Table, label: Label) -> np.ndarray:
    """(rows,) numbers of a regression's label, NaN where it is missing."""
    series = label.series
    if series.kind == "word":
        words = [series.words[at] for at in np.unique(series.values[series.known])]
        try:
            found = cells.numbers(words, None, table.hint)
        except BadInput as error:
            raise BadInput(f"{table.name}, the label {label.name!r}: {error}") from None
        if not found.found.all():
            word = words[int(np.argmin(found.found))]
            row = int(np.argmax(series.values == series.words.index(word)))
            raise BadInput(
                f"{table.place(row)}: the label {label.name!r} holds words, such as {word!r}: use"
                " classification"
            )
        if found.doubtful:
            raise BadInput(
                f"{table.name}: the label {label.name!r} has {found.doubtful!r}, a number with a"
                " fraction, or with thousands: say which with --decimal . or --decimal ,"
            )
    writer = Writer(Column(label.name, format=SECONDS), table, series, False, Counted())
    return writer.values()


def targets(table: Table, label: Label, encoding: Encoding) -> np.ndarray:
    """(rows with a label,) class numbers, or standardized targets."""
    if label.task == "regression":
        values = _targets(table, label)[label.rows]
        return np.asarray((values - encoding.mean) / encoding.scale)
    places = {name: at for at, name in enumerate(encoding.classes)}
    told = np.array([places.get(word, -1) for word in label.series.words], dtype=np.int64)
    return np.asarray(told[label.series.values[label.rows]])


def standard(label: str, targets: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of targets. Raises: BadInput when all are the same."""
    if not len(targets):
        raise BadInput(f"the label {label!r} is empty in every row to train on")
    if targets.min() == targets.max():
        raise BadInput(
            f"the label {label!r} is {targets[0]:g} in every row to train on: there is nothing to"
            " learn"
        )
    most = float(np.abs(targets).max())  # squares of the largest numbers would overflow
    return float((targets / most).mean()) * most, float((targets / most).std()) * most
