"""What models say of tables: in the label's own units, and in the names of its classes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from .encoding import Encoding
from .engine import is_table


def _is_table(encoding: Encoding | None, x: Any) -> bool:
    """Whether rows are a table that has to be encoded before a model takes it."""
    known = encoding is not None and bool(encoding.columns)
    return known and not isinstance(x, np.ndarray) and is_table(x)


def predicted(run: Callable[[Any], np.ndarray], encoding: Encoding | None, x: Any) -> np.ndarray:
    """(n, outputs) for the rows of a table, or for features as they are.

    What training never saw goes to the log "lamina". run: a model's outputs for features. x: see
    `engine.open_table`.
    """
    if encoding is None or not _is_table(encoding, x):
        return run(x)
    found = run(encoding.features(x, say=logging.getLogger("lamina").warning))
    return encoding.units(found) if encoding.task == "regression" else found


def classes(numbers: np.ndarray, encoding: Encoding | None, x: Any) -> np.ndarray:
    """Class numbers, or the classes' names where the rows are a table."""
    if encoding is None or not _is_table(encoding, x):
        return numbers
    return np.asarray(np.array(encoding.classes)[numbers])
