"""Predictions for a table, in the label's own units."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from .encoding import Encoding
from .engine import is_table


def encoding_of(encoding: Encoding | None, x: Any) -> Encoding | None:
    """The encoding, where x is a table that it has to encode before a model takes it."""
    if encoding is None or not encoding.columns or isinstance(x, np.ndarray):
        return None
    return encoding if is_table(x) else None


def predicted(
    run: Callable[[np.ndarray], np.ndarray], encoding: Encoding, source: Any
) -> np.ndarray:
    """(n, outputs) for the rows of a table; what training never saw goes to the log "lamina".

    run: a model's outputs for features. source: see `engine.open_table`.
    """
    found = run(encoding.features(source, say=logging.getLogger("lamina").warning))
    return encoding.units(found) if encoding.task == "regression" else found
