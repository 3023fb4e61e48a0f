"""Predictions for a file or a query, as the command line writes them: CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...kernels.errors import BadInput
from ..data import arrays, cells, engine
from ..data.database import Reading
from ..model import Sequential
from ..scores import PROBABILITIES, classes_of

Say = Callable[[str], None]
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # what they begin with


def _features(
    model: Sequential, source: str, reading: Reading, strict: bool, say: Say
) -> np.ndarray:
    """The rows to predict for: a table for a model of one, an NPZ or an NPY for any other."""
    encoding = model.encoding
    path = Path(source)
    if encoding is not None and encoding.columns:
        if path.suffix.lower() in (".npz", ".npy"):
            names = ", ".join(column.name for column in encoding.used)
            raise BadInput(f"the model was trained on a table: give a CSV with the columns {names}")
        if reading.missing is not None:
            encoding = replace(encoding, missing=reading.missing)
        with engine.open_table(source, reading, encoding.as_written) as table:
            if extra := encoding.extra(table):
                say(
                    f"{table.name}: not looked at, as training had no such column:"
                    f" {', '.join(extra)}"
                )
            return encoding.features(table, strict, say)
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
    return word.startswith(FORMULAS) and cells.number(word) is None


def predict(
    model: Sequential,
    source: str | Path,
    *,
    reading: Reading | None = None,
    strict: bool = False,
    escape_formulas: bool = False,
    say: Say = _unsaid,
) -> str:
    """Predictions for a table as CSV: the class and a probability for each, or the value.

    source: a file, a pattern of files or a query. reading: how a text file is written, where it
    does not say so itself. strict: refuse words that training never saw, and missing cells where
    training had none; else `say` is told of them.
    escape_formulas: put an apostrophe before names that a spreadsheet would compute; else names are
    written as they are, for programs that look for them.
    say: is told of columns that are not looked at, and of formulas that are written.
    Raises: LaminaError, OSError.
    """
    p = model.predict(_features(model, str(source), reading or Reading(), strict, say))
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
    for number, row in zip(chosen, p, strict=True):
        writer.writerow([told[number], *(f"{value:.7g}" for value in row)])
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
