"""The whole job of predicting for a table or an array, as the command line runs it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...backends.selection import Choice
from ...kernels.errors import BadInput
from ..data import arrays, cells, engine
from ..data.columns import Column
from ..data.database import Reading
from ..data.encoding import Encoding, Say, unsaid
from ..interop.importing import load_onnx
from ..interop.network import WORDS, OnnxNetwork
from ..interop.reading import Port
from ..loading import load
from ..model import Sequential
from ..scores import PROBABILITIES, classes_of

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # what they begin with


def opened(path: Path, backend: Choice) -> Sequential | OnnxNetwork:
    """The model of a file, one of lamina's or an ONNX file. Raises: LaminaError, OSError."""
    return load_onnx(path, backend) if path.suffix.lower() == ".onnx" else load(path, backend)


def _features(
    model: Sequential | OnnxNetwork, source: str, reading: Reading, strict: bool, say: Say
) -> np.ndarray | dict[str, np.ndarray]:
    """The rows to predict for: a table for a model of one, an NPZ or an NPY for any other.

    An ONNX graph with several inputs takes those of its names, from any of them.
    """
    encoding = model.encoding
    path = Path(source)
    plain = path.suffix.lower() in (".npz", ".npy")
    if encoding is not None and encoding.columns:
        if plain:
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
    ports = model.inputs if isinstance(model, OnnxNetwork) else ()
    wanted = [port.name for port in ports] or ["x"]
    if len(wanted) > 1 and not plain:
        return _columns(ports, source, reading)
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


def _columns(ports: Sequence[Port], source: str, reading: Reading) -> dict[str, np.ndarray]:
    """A table's columns for a graph's inputs of their names, (n, 1) each: words, or numbers."""
    words = frozenset(port.name for port in ports if port.dtype == WORDS)
    numbers = [port.name for port in ports if port.name not in words]
    plain = Encoding(tuple(Column(name, strict=True) for name in numbers), "", "regression")
    with engine.open_table(source, reading, words) as table:
        x = plain.features(table)
        found = {name: x[:, at : at + 1] for at, name in enumerate(numbers)}
        for name in words:
            series = table.series(name).spelled()
            found[name] = np.array([*series.words, ""], object)[series.values][:, None]
    return found


def as_formula(word: str) -> bool:
    """Whether a spreadsheet that opens a CSV would take a word for a formula, and compute it.

    >>> [as_formula(word) for word in ("=1+1", "@sum", "-1+1", "-1", "a=b")]
    [True, True, True, False, False]
    """
    return word.startswith(FORMULAS) and cells.number(word) is None


def predict(
    model: Sequential | OnnxNetwork,
    source: str | Path,
    *,
    reading: Reading | None = None,
    strict: bool = False,
    escape_formulas: bool = False,
    say: Say = unsaid,
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
