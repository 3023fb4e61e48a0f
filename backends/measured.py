"""`LAMINA_AUTO=measured`: "auto" takes the backend that was measured to win on this machine.

`lamina bench crossover` measures and writes the file; here it is only read. What wins depends on
the work of a training step, so a model starts on the ordinary choice, and moves when its training
begins and its size and batch are known.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..kernels import folder
from ..kernels.errors import unknown
from ..kernels.host import processor
from .registry import names, status

SCHEMA = 1
MODES = ("priority", "measured")
COMMAND = "lamina bench crossover"
_warned: set[str] = set()


class Threshold(NamedTuple):
    """From this size on (elements of an op, flops of a training step), this backend wins."""

    start: float
    backend: str


class Crossover(NamedTuple):
    """What was measured on this machine.

    date: when. training: thresholds on the flops of a step. ops: thresholds on the number of
    elements of the largest array, by operation. Thresholds ascend; the first starts at 0.
    """

    date: str
    training: tuple[Threshold, ...]
    ops: dict[str, tuple[Threshold, ...]]


def mode() -> str:
    """What LAMINA_AUTO says: "priority" (the default) or "measured". Raises: UnknownName."""
    found = os.environ.get("LAMINA_AUTO") or MODES[0]
    if found not in MODES:
        raise unknown("LAMINA_AUTO", found, MODES)
    return found


def step_flops(rows: int, parameters: int) -> float:
    """The work of a training step: two operations a weight and row forward, four backward."""
    return 6.0 * rows * parameters


def path() -> Path:
    """Where this machine's figures are kept."""
    return folder.folder() / f"crossover-{folder.machine()}.json"


def available() -> list[str]:
    """The names of the backends that can run here: figures for others decide nothing."""
    return sorted(name for name in names() if status(name).available)


def winner(thresholds: Sequence[Threshold], size: float) -> Threshold:
    """The threshold that a size has passed last."""
    return [t for t in thresholds if t.start <= size][-1]


def read() -> Crossover | None:
    """This machine's figures; None, with one warning, where there are none that can be used."""
    found = _look()
    if isinstance(found, str):
        warn(f"{path()}: {found}")
        return None
    return found


def problem() -> str:
    """Why the file cannot be used; an empty text where it can."""
    found = _look()
    return found if isinstance(found, str) else ""


def _look() -> Crossover | str:
    """The figures, or what is wrong with the file."""
    import json  # loaded by those who measured

    try:
        found = json.loads(folder.read(path()))
        stale = _stale(found)
        if stale:
            return stale
        sections = {str(name): _thresholds(section) for name, section in found["ops"].items()}
        training = _thresholds(found["training"]) if found["training"] else ()
        return Crossover(str(found["date"]), training, sections)
    except FileNotFoundError:
        return "there is no such file"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return "it is damaged"


def _stale(found: Any) -> str:
    """Why figures say nothing about this machine as it is now, or an empty text."""
    if found["schema"] != SCHEMA:
        return f"it has schema {found['schema']!r}, this version reads {SCHEMA}"
    here = (processor(), os.cpu_count())
    there = (found["processor"], found["cores"])
    if there != here:
        return f"it was measured on {there[0]} with {there[1]} cores, this is {here[0]}, {here[1]}"
    if found["backends"] != available():
        return (
            f"it was measured with {', '.join(map(str, found['backends']))};"
            f" now {', '.join(available())} can run"
        )
    return ""


def _thresholds(section: Any) -> tuple[Threshold, ...]:
    """Raises: ValueError where they do not ascend from 0, KeyError, TypeError."""
    made = tuple(Threshold(float(t["from"]), str(t["backend"])) for t in section["thresholds"])
    starts = [t.start for t in made]
    if not starts or starts[0] != 0.0 or starts != sorted(starts):
        raise ValueError("thresholds must ascend from 0")
    if not {t.backend for t in made} <= set(available()):
        raise ValueError("thresholds name backends that were measured")
    return made


def warn(what: str) -> None:
    """One warning a process for each problem."""
    if what not in _warned:
        _warned.add(what)
        warnings.warn(
            f"LAMINA_AUTO=measured: {what}; the ordinary automatic choice is used. To measure"
            f" this machine: {COMMAND}",
            stacklevel=2,
        )
