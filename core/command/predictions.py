"""The whole job of predicting for a table or an array, as the command line runs it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...backends.selection import Choice
from ...kernels.errors import BadInput
from ..data import arrays, tables
from ..interop.importing import load_onnx
from ..interop.network import WORDS, OnnxNetwork
from ..loading import load
from ..model import Sequential
from ..scores import PROBABILITIES, classes_of

Say = Callable[[str], None]
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # what they begin with


def opened(path: Path, backend: Choice) -> Sequential | OnnxNetwork:
    """The model of a file, one of lamina's or an ONNX file. Raises: LaminaError, OSError."""
    return load_onnx(path, backend) if path.suffix.lower() == ".onnx" else load(path, backend)


def _features(
    model: Sequential | OnnxNetwork, path: Path, allow_unseen: bool, say: Say
) -> np.ndarray | dict[str, np.ndarray]:
    """The rows to predict for: a CSV for a model of a table, an NPZ or an NPY for any other.

    An ONNX graph with several inputs takes those of its names, from any of them.
    """
    encoding = model.encoding
    if encoding is not None and encoding.columns:
        if path.suffix.lower() in (".npz", ".npy"):
            names = ", ".join(column.name for column in encoding.columns)
            raise BadInput(f"the model was trained on a table: give a CSV with the columns {names}")
        table = tables.read_csv(path)
        if extra := encoding.extra(table):
            say(f"{table.name}: not looked at, as training had no such column: {', '.join(extra)}")
        return encoding.features(table, allow_unseen)
    ports = model.inputs if isinstance(model, OnnxNetwork) else ()
    wanted = [port.name for port in ports] or ["x"]
    if len(wanted) > 1 and path.suffix.lower() == ".csv":
        table = tables.read_csv(path)
        return {
            port.name: np.array([table.words(port.name)], object).T
            if port.dtype == WORDS
            else tables.Column(port.name).encode(table)
            for port in ports
        }
    try:
        found = arrays.read(path)
    except BadInput as error:
        raise BadInput(
            f"{path} is no NPY or NPZ file of plain arrays ({error}); the model was not trained on"
            " a table, so it does not know columns by name"
        ) from None
    if isinstance(found, np.ndarray):
        return found
    if len(wanted) > 1 and set(wanted) <= set(found):
        return {name: found[name] for name in wanted}
    for name in (*wanted[:1], "x", "x_test"):
        if name in found:
            array: np.ndarray = found[name]
            return array
    raise BadInput(f"{path} has {', '.join(found) or 'nothing'}: it needs {', '.join(wanted)}")


def _unsaid(text: str) -> None:
    """Nobody listens."""


def as_formula(word: str) -> bool:
    """Whether a spreadsheet that opens a CSV would take a word for a formula, and compute it.

    >>> [as_formula(word) for word in ("=1+1", "@sum", "-1+1", "-1", "a=b")]
    [True, True, True, False, False]
    """
    return word.startswith(FORMULAS) and tables.number(word) is None


def predict(
    model: Sequential | OnnxNetwork,
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
    p = p.reshape(len(p), -1) if p.ndim else p.reshape(1, 1)
    op = model.output if p.ndim == 2 else ""
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
