"""lamina's networks for scikit-learn's weights: made, filled, read, and asked for predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ...backends import batching
from ...backends.program import Layout
from ...backends.selection import Choice
from ..graph.functions import ops
from ..layers import Activator, Dense, Dropout, Layer
from ..losses import Loss
from ..model import Sequential
from ..optimizers import Optimizer
from .costs import SquaredCost, Unpenalized

Arrays = list[np.ndarray]


ACTIVATIONS: dict[str, Activator] = {
    "identity": None, "logistic": "sigmoid", "tanh": "tanh", "relu": "relu",
    "softmax": "softmax", "exp": ops.exp,
}  # fmt: skip
LOSSES = {  # lamina's own, by the last activation
    "softmax": "cross_entropy", "logistic": "binary_cross_entropy",
    "identity": "mean_squared_error", "exp": "poisson",
}  # fmt: skip


@dataclass(frozen=True)
class Description:
    """What a network is made from.

    sizes: features, hidden layers, outputs. hidden, last: scikit-learn's names of activations.
    dropout: the rate behind each hidden layer.
    """

    sizes: tuple[int, ...]
    hidden: str
    last: str
    dropout: float = 0.0
    dtype: str = "float64"
    precision: str | None = None

    def layers(self) -> Iterator[Layer]:
        """One `Dense` for each matrix of weights."""
        for size in self.sizes[1:-1]:
            yield Dense(size, ACTIVATIONS[self.hidden])
            if self.dropout:
                yield Dropout(self.dropout)
        yield Dense(self.sizes[-1], ACTIVATIONS[self.last])

    def made(
        self, loss: Loss | str, optimizer: Optimizer | str, backend: Choice, seed: int = 0
    ) -> Sequential:
        """A network of zeros that has made no step yet."""
        metrics: tuple[Unpenalized, ...] = ()
        if isinstance(loss, SquaredCost) and self.sizes[-1] > 1:
            metrics = (Unpenalized("unpenalized", cost=replace(loss, alpha=0.0)),)
        model = Sequential(
            list(self.layers()), loss, optimizer, metrics, backend, self.dtype, self.precision,
            seed,
        )  # fmt: skip
        model.session.build((self.sizes[0],), _zeros)
        return model


def _zeros(layout: Layout) -> dict[str, np.ndarray]:
    return {"parameters": np.zeros(layout.length("parameters"))}


def flat(coefs: Arrays, intercepts: Arrays) -> np.ndarray:
    """All weights in the order of a state's segment: matrices first, as scikit-learn packs them."""
    return np.concatenate([array.ravel() for array in (*coefs, *intercepts)])


def arrays(packed: np.ndarray, sizes: Sequence[int]) -> tuple[Arrays, Arrays]:
    """The matrices (n_in, n_out) and the intercepts (n_out,) of packed weights, copied."""
    shapes = [*pairwise(sizes), *((size,) for size in sizes[1:])]
    stops = np.cumsum([int(np.prod(shape)) for shape in shapes])
    parts = np.split(packed, stops[:-1])
    found = [part.reshape(shape).copy() for part, shape in zip(parts, shapes, strict=True)]
    return found[: len(sizes) - 1], found[len(sizes) - 1 :]


class SparseRows:
    """The rows of a sparse matrix, dense when they are asked for.

    matrix: (n, features) in compressed rows, of scipy.sparse.
    """

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix.tocsr()
        self.shape, self.dtype = self.matrix.shape, self.matrix.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> np.ndarray:
        found: np.ndarray = self.matrix[rows].toarray()
        return found


def rows_of(X: Any, dtype: str) -> Any:
    """Checked rows as a data block takes them: row-major, or sparse and made batch by batch."""
    if hasattr(X, "tocsr"):
        return SparseRows(X)
    return np.ascontiguousarray(np.asarray(X), dtype=dtype)


def predicted(model: Sequential, X: Any) -> np.ndarray:
    """The last layer's output, (n, outputs). X: what `rows_of` gives."""
    predictor = model.prepare()
    if isinstance(X, np.ndarray):
        return predictor.run(X)
    step = batching.LARGEST
    parts = [
        predictor.run(np.ascontiguousarray(X[start : start + step], model.dtype))
        for start in range(0, len(X), step)
    ]
    return np.concatenate(parts)
