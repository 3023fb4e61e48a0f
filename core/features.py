"""Layers for the columns of a table: scaling, bins of numbers, a learned scale, embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..kernels.errors import BadInput, ShapeError
from ..kernels.memory import forget
from . import initializers
from .checks import check_count, check_number
from .graph.functions import ops
from .graph.graph import Node, make
from .layers import Context, Layer, Parameter
from .standardization import ROWS, reciprocal

MOST_ROWS = 500_000  # that quartiles are taken of: more change no digit that matters
PART = 16  # columns that are sorted together


@dataclass(frozen=True)
class RobustScale(Layer):
    """Columns centred by their median, scaled by their quartiles and smoothly clipped.

    z = (x - median) / (third quartile - first), or by half the range where the quartiles are equal,
    or 0 where nothing changes; then z / sqrt(1 + (z / limit)^2), which lies between -limit and
    limit and is z near 0 (RealMLP: Holzmüller, Grinsztajn and Steinwart 2024). x: (n, features)
    keeps its shape. Learned from the training data at the first fit, and saved with the model; as
    the first layer it keeps apart what the model's dtype would round together.

    columns: how many leading columns are scaled, the others passing as they are; None: all.
    limit: what no scaled number leaves, above 0. Raises: BadInput, ShapeError.
    """

    columns: int | None = None
    limit: float = 3.0

    def __post_init__(self) -> None:
        if self.columns is not None:
            check_count("RobustScale: columns", self.columns, least=0)
        check_number("RobustScale: limit", self.limit, 0.0, np.inf, open_high=True)
        if self.limit == 0:
            raise BadInput("RobustScale: limit must be above 0")

    def statistics(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """mean, which is the median, scale = 1 / spread, and bend = 1 / limit, 0 for no clip."""
        (width,) = flat("RobustScale", shape)
        if self.columns is not None and self.columns > width:
            raise ShapeError(f"[RobustScale] takes {self.columns} columns of {width}")
        row = (1, width)
        return {
            "mean": Parameter(row, "zeros"),
            "scale": Parameter(row, "ones"),
            "bend": Parameter(row, "zeros"),
        }

    def learn(self, x: np.ndarray, weights: np.ndarray | None = None) -> Mapping[str, np.ndarray]:
        """Quartiles in float64, some columns at a time; x may be on disk.

        Rows count alike, whatever they weigh; those of weight 0 do not.
        """
        width, start = x.shape[1], 0
        mean, scale, bend = np.zeros((1, width)), np.ones((1, width)), np.zeros((1, width))
        for part in parts(x, self.columns, weights):
            first, middle, third = np.quantile(part, (0.25, 0.5, 0.75), axis=0)
            spread, half = third - first, (part.max(axis=0) - part.min(axis=0)) / 2.0
            place = slice(start, start + part.shape[1])
            mean[0, place] = middle
            spread = np.where(spread > 0.0, spread, half)
            scale[0, place] = np.where(spread > 0.0, reciprocal(spread), 0.0)
            bend[0, place] = 1.0 / self.limit
            start += part.shape[1]
        return {"mean": mean, "scale": scale, "bend": bend}

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """z / sqrt(1 + (bend z)^2)."""
        z = (x - parameters["mean"]) * parameters["scale"]
        bent = z * parameters["bend"]
        return z / make("sqrt", bent * bent + 1.0)


@dataclass(frozen=True)
class PiecewiseLinear(Layer):
    """How far columns are through bins of theirs, before the columns themselves.

    The bins of a column lie between its quantiles, with about as many rows in each; in the bin from
    a to b, x becomes clip((x - a) / (b - a), 0, 1), and 0 where a is b. What follows is linear in
    each bin, and free to turn between them as trees are (piecewise linear encoding: Gorishniy,
    Rubachev and Babenko 2022, section 3.2). (n, features) becomes (n, columns * bins + features):
    the first bin of each column, the second of each, and so on, then x. Learned from the training
    data at the first fit, and saved with the model.

    columns: how many leading columns have bins; None: all. bins: of each, from 1.
    Raises: BadInput, ShapeError.
    """

    columns: int | None = None
    bins: int = 8

    def __post_init__(self) -> None:
        if self.columns is not None:
            check_count("PiecewiseLinear: columns", self.columns)
        check_count("PiecewiseLinear: bins", self.bins)

    def _count(self, shape: tuple[int, ...]) -> int:
        """How many columns have bins. Raises: ShapeError."""
        (width,) = flat("PiecewiseLinear", shape)
        if self.columns is not None and self.columns > width:
            raise ShapeError(f"[PiecewiseLinear] takes {self.columns} columns of {width}")
        return width if self.columns is None else self.columns

    def statistics(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """low, where a bin begins, and scale = 1 / its width, 0 for none: (1, columns * bins)."""
        row = (1, self._count(shape) * self.bins)
        return {"low": Parameter(row, "zeros"), "scale": Parameter(row, "zeros")}

    def learn(self, x: np.ndarray, weights: np.ndarray | None = None) -> Mapping[str, np.ndarray]:
        """Quantiles in float64, some columns at a time; rows count as in `RobustScale`."""
        shares = np.linspace(0.0, 1.0, self.bins + 1)
        found = [np.quantile(part, shares, axis=0) for part in parts(x, self.columns, weights)]
        edges = np.concatenate(found, axis=1)
        low, width = edges[:-1], np.diff(edges, axis=0)
        scale = np.where(width > 0.0, reciprocal(width), 0.0)
        return {"low": low.reshape(1, -1), "scale": scale.reshape(1, -1)}

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """The bins, then x."""
        width = int(parameters["low"].shape[1])  # type: ignore[arg-type]
        count = width // self.bins
        columns = ops.concatenate([x[:, :count]] * self.bins, axis=1)
        z = (columns - parameters["low"]) * parameters["scale"]
        return ops.concatenate([make("clip", z, low=0.0, high=1.0), x], axis=1)


@dataclass(frozen=True)
class FeatureScale(Layer):
    """Each feature times a number of its own that is learned, from 1; x: (n, features).

    A network that multiplies what helps it and shrinks what does not chooses its features (RealMLP,
    2024).

    rate: a factor on the learning rate, from 0. Raises: BadInput, ShapeError.
    """

    rate: float = 1.0

    def __post_init__(self) -> None:
        check_number("FeatureScale: rate", self.rate, 0.0, np.inf, open_high=True)

    def parameters(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """scale, (1, features)."""
        return {"scale": Parameter((1, *flat("FeatureScale", shape)), "ones", rate=self.rate)}

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """x * scale."""
        return x * parameters["scale"]


@dataclass(frozen=True)
class Embedding(Layer):
    """The last columns hold codes of categories: each becomes a row of numbers that is learned.

    (n, features) becomes (n, features - categories + categories * size): the other columns as they
    are, then for each category the row of its code. A code is a whole number from 0 and below the
    category's rows; what is between is rounded down, and what is below or above is taken for the
    first or the last.

    rows: how many codes each of the last columns has, such as (12, 305). size: numbers a code
        becomes, from 1. initializer: of a table, (codes, size). rate: a factor on the learning
        rate, from 0.
    Raises: BadInput; ShapeError for fewer columns than categories.
    """

    rows: Sequence[int]
    size: int = 8
    initializer: initializers.Choice = initializers.RandomNormal(0.1)  # noqa: RUF009  frozen
    rate: float = 1.0

    def __post_init__(self) -> None:
        rows: Any = (self.rows,) if isinstance(self.rows, int) else self.rows
        object.__setattr__(self, "rows", tuple(rows))
        if not self.rows:
            raise BadInput("Embedding: rows needs the number of codes of each column: (12, 305)")
        for count in self.rows:
            check_count("Embedding: rows", count)
        check_count("Embedding: size", self.size)
        initializers.get(self.initializer)
        check_number("Embedding: rate", self.rate, 0.0, np.inf, open_high=True)

    def parameters(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """table0, table1, ..., (codes, size) each."""
        (width,) = flat("Embedding", shape)
        if width < len(self.rows):
            raise ShapeError(
                f"[Embedding] has {len(self.rows)} categories, but its input {width} columns"
            )
        return {
            f"table{number}": Parameter((count, self.size), self.initializer, rate=self.rate)
            for number, count in enumerate(self.rows)
        }

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """The columns before, then the rows of the codes."""
        width = int(x.shape[1])  # type: ignore[arg-type]
        first = width - len(self.rows)
        parts = [x[:, :first]] if first else []
        for number, count in enumerate(self.rows):
            code = make("clip", x[:, first + number], low=0.0, high=float(count - 1))
            indices = make("cast", code, dtype="int32")
            parts.append(make("gather_rows", parameters[f"table{number}"], indices))
        return ops.concatenate(parts, axis=1)


def parts(x: np.ndarray, columns: int | None, weights: np.ndarray | None) -> Iterator[np.ndarray]:
    """Rows of some weight, a few of the leading columns at a time, float64; x may be on disk."""
    count = x.shape[1] if columns is None else columns
    if weights is None or weights.all():
        rows = np.arange(0, len(x), -(-len(x) // MOST_ROWS))
    else:
        rows = np.flatnonzero(weights > 0)
        rows = rows[:: -(-len(rows) // MOST_ROWS)]
    begins = range(0, len(x), ROWS)
    places = np.searchsorted(rows, [*begins, len(x)])
    for start in range(0, count, PART):
        part = np.empty((len(rows), min(PART, count - start)))
        for begin, first, end in zip(begins, places[:-1], places[1:], strict=True):
            some = x[begin : begin + ROWS, start : start + part.shape[1]]
            part[first:end] = some[rows[first:end] - begin]
            forget(x)
        yield part


def flat(kind: str, shape: tuple[int, ...]) -> tuple[int]:
    """The number of columns, of rows of features. Raises: ShapeError."""
    if len(shape) != 1:
        told = ", ".join(map(str, shape))
        raise ShapeError(
            f"[{kind}] takes rows of features, but its input has shape (n, {told}): put"
            " lm.Flatten() before it"
        )
    return (shape[0],)


@dataclass(frozen=True)
class Clip(Layer):
    """Numbers kept within [low, high] where a model predicts; in training they pass as they are.

    A network that was taught targets between two numbers is not asked to go beyond. x keeps its
    shape, (n, ...).

    low, high: finite, low first. Raises: BadInput.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            value = float(getattr(self, name))
            if not np.isfinite(value):
                raise BadInput(f"Clip: {name} must be a finite number, not {value!r}")
            object.__setattr__(self, name, value)
        if self.low > self.high:
            raise BadInput(f"Clip: low must not be above high, not {self.low:g} and {self.high:g}")

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """x within the bounds, or x."""
        return x if context.training else make("clip", x, low=self.low, high=self.high)
