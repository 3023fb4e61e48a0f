"""Cells of a table as words: which are numbers, which are missing, and what a label says."""

from __future__ import annotations

import math
from collections.abc import Sequence

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
MOST_CLASSES = 20  # integral labels with more distinct values than that are taken for numbers


def number(word: str) -> float | None:
    """The finite number that a word says, or None; 1_000 is a word, though Python reads it."""
    if "_" in word:
        return None
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def missing(word: str) -> bool:
    """Whether a cell says that nothing is known."""
    return word.lower() in MISSING


def class_name(word: str) -> str:
    """A label as a class name: 1 and 1.0 are the same class."""
    value = number(word)
    return word if value is None or value != math.floor(value) else str(int(value))


def decide_task(words: Sequence[str]) -> tuple[str, str]:
    """The task for a label column, and why."""
    values = [number(word) for word in words if not missing(word)]
    if any(value is None for value in values):
        return "classification", "the label holds words"
    distinct = len(set(values))
    if all(value == math.floor(value) for value in values if value is not None):
        if distinct <= MOST_CLASSES:
            return "classification", f"the label holds {distinct} different whole numbers"
        return "regression", f"the label holds {distinct} different whole numbers"
    return "regression", "the label holds numbers with fractions"
