"""A data set: arrays for training and testing, and what they mean."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .encoding import Encoding
    from .plan import Planned

NAMES = ("digits", "planar", "moons", "circles", "fashion-mnist")  # of those that are made here


@dataclass(frozen=True)
class Dataset:
    """Arrays for training and testing; unpacks into x_train, y_train, x_test, y_test.

    name: of the data set. x_train, x_test: (n, features) floating. y_train, y_test: (n,) class
        numbers, or the targets of a regression (standardized when there is an encoding).
    feature_names, class_names: what the columns and the class numbers mean.
    task: "classification" or "regression", why: what it was decided from.
    encoding: how a file's contents became these arrays.
    notes: what the reader of a table should know.
    plan: how each column of a table was taken, and why. held: of a table, the numbers of the rows
        that are for testing, from 0; None of other data.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    task: str = "classification"
    why: str = ""
    encoding: Encoding | None = None
    notes: tuple[str, ...] = ()
    plan: tuple[Planned, ...] = ()
    held: np.ndarray | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.x_train, self.y_train, self.x_test, self.y_test))

    def __repr__(self) -> str:
        rows, columns = len(self.x_train), math.prod(self.x_train.shape[1:])
        classes = len(self.class_names)
        kind = f"{classes} classes" if self.task == "classification" else "regression"
        size = f"{rows} + {len(self.x_test)} rows, {columns} features, {kind}"
        return f"<{self.name}: {size}>"
