"""Examples: rows of features with their targets and weights, checked and cast once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..backends.contract import Backend
from ..backends.state import Casts, DataBlock
from ..kernels.errors import BadInput
from .inputs import cast
from .standardization import Shift

SPLIT_STREAM = 0x59117


def split(
    seed: int, rows: int, share: float, labels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and for validation, drawn by the seed.

    labels: (rows,) or (rows, 1) class numbers; then both parts have every class in proportion,
        and a class too small for that stays in training. A draw that is so already stays as it is.
    Raises: BadInput where the rows for validation are of one class alone.
    """
    held = min(max(round(rows * share), 1), rows - 1)
    order = np.random.default_rng([seed, SPLIT_STREAM]).permutation(rows)
    if labels is not None:
        order, held = _in_proportion(order, held, labels.reshape(-1))
    return np.sort(order[held:]), np.sort(order[:held])


def _in_proportion(order: np.ndarray, held: int, labels: np.ndarray) -> tuple[np.ndarray, int]:
    """The order changed so that its first rows have every class in proportion; their number."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    wanted = _shares(counts, np.bincount(inverse[order[:held]], minlength=len(counts)), held)
    if held > 1 and len(counts) > 1 and np.count_nonzero(wanted) < 2:
        raise BadInput(
            f"validation_split holds out {held} of {len(labels)} rows, all of one class: the others"
            " are too few for it. Hold out a larger share, or pass validation_data"
        )
    drawn = inverse[order]
    by_class = np.argsort(drawn, kind="stable")  # of each class, in the order of the draw
    within = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    rank = np.empty(len(order), dtype=np.int64)
    rank[by_class] = within
    first = rank < wanted[drawn]
    return np.concatenate([order[first], order[~first]]), int(wanted.sum())


def _shares(counts: np.ndarray, drawn: np.ndarray, held: int) -> np.ndarray:
    """How many rows of each class are held out: the numbers drawn, brought next to proportion.

    Every class keeps a row to train on. A class is held out from half a row on.
    """
    exact = counts * (held / counts.sum())
    most, whole = counts - 1, exact >= 0.5
    low = np.minimum(np.where(whole, np.maximum(np.floor(exact), 1), 0), most).astype(np.int64)
    high = np.minimum(np.where(whole, np.ceil(exact), 0), most).astype(np.int64)
    wanted: np.ndarray = np.clip(drawn, low, high)
    for bound in (high, most):  # beyond proportion only where small classes leave nothing else
        while wanted.sum() < held and (wanted < bound).any():
            wanted[np.argmax(np.where(wanted < bound, exact - wanted, -np.inf))] += 1
    while wanted.sum() > held and (wanted > low).any():
        wanted[np.argmax(np.where(wanted > low, wanted - exact, -np.inf))] -= 1
    return wanted


@dataclass(frozen=True, slots=True)
class Examples:
    """What a program works on, as the checks left it.

    x: (n, features...) of the model's dtype, or a memory map of any; while `raw`, as it came, which
    `Session.ready` ends. y: (n, 1) int32 class numbers, or (n, outputs) of the model's dtype.
    weights: (n,) float64, or None when all are equal; times 2 ** exponent they are those given.
    given_y, given_weights: the targets of a regression and the row weights, (n,), before they were
    cast and scaled, and before weights of classes: kept for metrics from whole predictions, where
    there are such.
    """

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None
    exponent: int = 0
    raw: bool = False
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

    def block(self, backend: Backend, dtype: str, casts: Casts | None = None) -> DataBlock:
        """The rows on a device, in the order in which they came; casts: see `DataBlock`."""
        columns = {"x": self.x, "y": self.y}
        return DataBlock(backend, columns, self.weights, dtype=dtype, casts=casts)

    def ready(self, shift: Shift | None, dtype: str) -> Examples:
        """Raw ones in that dtype, behind what the host does; a memory map stays one."""
        if not self.raw:
            return self
        x = self.x
        if not isinstance(x, np.memmap):
            x = cast("x", x, dtype) if shift is None else shift(x, dtype)
        return replace(self, x=x, raw=False)

    def part(self, numbers: np.ndarray) -> Examples:
        """The rows of these numbers, copied."""

        def among(column: np.ndarray | None) -> np.ndarray | None:
            return None if column is None else column[numbers]

        return replace(
            self,
            x=self.x[numbers],
            y=self.y[numbers],
            weights=among(self.weights),
            given_y=among(self.given_y),
            given_weights=among(self.given_weights),
        )

    def split(
        self, seed: int, share: float, labels: np.ndarray | None = None
    ) -> tuple[Examples, Examples]:
        """The rows for training and for validation; see `validation_split` of `fit`.

        labels: the class numbers, where the targets are some.
        Raises: BadInput for a single row, a memory map, or a part without any weight.
        """
        if self.rows < 2:
            raise BadInput("validation_split needs at least two rows")
        if isinstance(self.x, np.memmap):
            raise BadInput(
                "validation_split would copy a memory map: pass validation_data=(x[a:], y[a:])"
            )
        kept, held = (self.part(n) for n in split(seed, self.rows, share, labels))
        for each in (kept, held):
            if each.weights is not None and not each.weights.any():
                raise BadInput("validation_split leaves a part whose weights are all zero")
        return kept, held
