"""Examples: rows of features with their targets and weights, checked and cast once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..backends.contract import Backend
from ..backends.state import DataBlock
from ..kernels.errors import BadInput

SPLIT_STREAM = 0x59117


def split(seed: int, rows: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and for validation, drawn by the seed."""
    held = min(max(round(rows * share), 1), rows - 1)
    order = np.random.default_rng([seed, SPLIT_STREAM]).permutation(rows)
    return np.sort(order[held:]), np.sort(order[:held])


@dataclass(frozen=True, slots=True)
class Examples:
    """What a program works on, as the checks left it.

    x: (n, features...) of the model's dtype, or a memory map of any. y: (n, 1) int32 class numbers,
    or (n, outputs) of the model's dtype. weights: (n,) float64, or None when all are equal.
    given_y, given_weights: the targets of a regression and the row weights, (n,), before they were
    cast and scaled: kept for metrics from whole predictions, where there are such.
    """

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None
    given_y: np.ndarray | None = None
    given_weights: np.ndarray | None = None

    @property
    def rows(self) -> int:
        """The number of examples."""
        return len(self.x)

    @property
    def outputs(self) -> int:
        """The columns of the targets."""
        return int(self.y.shape[1])

    def block(self, backend: Backend, dtype: str) -> DataBlock:
        """The rows on a device, in the order in which they came."""
        return DataBlock(backend, {"x": self.x, "y": self.y}, self.weights, dtype=dtype)

    def part(self, numbers: np.ndarray) -> Examples:
        """The rows of these numbers, copied."""
        others = (self.weights, self.given_y, self.given_weights)
        parts = [None if each is None else each[numbers] for each in others]
        return Examples(self.x[numbers], self.y[numbers], *parts)

    def split(self, seed: int, share: float) -> tuple[Examples, Examples]:
        """The rows for training and for validation; see `validation_split` of `fit`.

        Raises: BadInput for a single row, a memory map, or a part without any weight.
        """
        if self.rows < 2:
            raise BadInput("validation_split needs at least two rows")
        if isinstance(self.x, np.memmap):
            raise BadInput(
                "validation_split would copy a memory map: pass validation_data=(x[a:], y[a:])"
            )
        kept, held = (self.part(numbers) for numbers in split(seed, self.rows, share))
        for each in (kept, held):
            if each.weights is not None and not each.weights.any():
                raise BadInput("validation_split leaves a part whose weights are all zero")
        return kept, held
