"""Means and deviations of features, and what has to be done to features before they are rounded.

Standardizing as the first step of a model begins with numbers that the model's dtype may not hold
apart: seconds since 1970 are multiples of 128 in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..kernels.memory import forget

ROWS = 65_536  # looked at together; x may be on disk
ULPS = 8.0  # a deviation of so many roundings of the mean is none
LOST = 2.0**-15  # of a deviation: what rounding may cost before the host takes the mean off


def _parts(x: np.ndarray, weights: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows that count, a few at a time, with their weights: (k, 1, ...) float64."""
    for start in range(0, len(x), ROWS):
        part = x[start : start + ROWS]
        forget(x)
        if weights is None:
            yield part, np.ones(())
            continue
        some = weights[start : start + ROWS]
        counted = some > 0
        yield part[counted], some[counted].reshape(-1, *[1] * (x.ndim - 1))


def moments(x: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the whole population per feature, (1, ...) float64.

    x: (n, ...) of any numbers. weights: (n,) from 0; a row of weight 0 is as if it were not there.
    A feature that never changes, or by rounding alone, has the deviation 0, in any unit.
    """
    total = float(len(x)) if weights is None else float(weights.sum())
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        mean = _sum(x, weights) / total
        deviation = np.sqrt(_sum(x, weights, mean, square=True) / total)
        # Where squares leave the range, or a deviation is near rounding, look more closely.
        close = ~((deviation > 1e-6 * np.abs(mean)) & (deviation > 1e-140) & (deviation < 1e140))
        if not close.any():
            return mean, deviation
        low, high = _range(x, weights)
        span = high - low
        unit = np.where(span > 0, span, 1.0)
        inner = _sum(x, weights, low, unit) / total  # x between 0 and 1
        spread = np.sqrt(_sum(x, weights, low + unit * inner, unit, square=True) / total)
        mean = np.where(close, low + span * inner, mean)
        deviation = np.where(close, span * spread, deviation)
    still = close & (deviation <= ULPS * np.finfo(np.float64).eps * np.abs(mean))
    return mean, np.where(still, 0.0, deviation)


def _sum(
    x: np.ndarray,
    weights: np.ndarray | None,
    offset: np.ndarray | None = None,
    unit: np.ndarray | None = None,
    square: bool = False,
) -> np.ndarray:
    """The weighted sum over rows of (x - offset) / unit, or of its square; (1, ...) float64."""
    found = np.zeros((1, *x.shape[1:]))
    for part, weight in _parts(x, weights):
        if offset is None:
            each = part
        else:
            each = part - offset
            if unit is not None:
                each = each / unit
            each = each**2 if square else each
        each = each if weights is None else each * weight
        found += each.sum(axis=0, keepdims=True, dtype=np.float64)
    return found


def _range(x: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest of each feature, (1, ...) float64."""
    lows, highs = [], []
    for part, _ in _parts(x, weights):
        if len(part):
            lows.append(part.min(axis=0).astype(np.float64))
            highs.append(part.max(axis=0).astype(np.float64))
    return np.min(lows, axis=0, keepdims=True), np.max(highs, axis=0, keepdims=True)


def reciprocal(deviation: np.ndarray) -> np.ndarray:
    """1 / deviation, of its shape, and 1 where that is infinite: such a feature is only centred."""
    with np.errstate(divide="ignore", over="ignore"):
        scale = 1.0 / deviation
    return np.where(np.isfinite(scale), scale, 1.0)


@dataclass(frozen=True, slots=True)
class Shift:
    """(x - offset) * factor, in float64 on the host, before x becomes the model's dtype.

    offset, factor: float64, of the shape of a row behind an axis of 1.
    """

    offset: np.ndarray
    factor: np.ndarray

    def __call__(self, x: np.ndarray, dtype: str) -> np.ndarray:
        """The rows of x, (n, ...) of any numbers, in the model's dtype."""
        result = np.empty(x.shape, dtype)
        for start in range(0, len(x), ROWS):
            part = x[start : start + ROWS] - self.offset
            part *= self.factor
            result[start : start + ROWS] = part
        return result


def shifted(
    statistics: Mapping[str, np.ndarray], dtype: str, features: tuple[int, ...]
) -> tuple[Shift | None, dict[str, np.ndarray]]:
    """What the host has to do, if anything, and the mean and scale that are left to the device.

    statistics: mean and scale, (1, ...) float64, of what comes in, and perhaps others, which stay.
    features: the shape of a row.
    The host standardizes the features whose mean is so much larger than their deviation that
    rounding would be seen, and those whose scale the dtype can hardly hold.
    """
    mean, scale = statistics["mean"], statistics["scale"]
    limits = np.finfo(dtype)
    large = float(limits.max) ** 0.75
    rounded = np.abs(mean) * scale * float(limits.eps) > LOST
    taken = rounded | (scale > large) | ((scale < 1.0 / large) & (scale > 0.0))
    if not taken.any():
        return None, dict(statistics)
    row = (1, *features)
    offset, factor = np.where(taken, mean, 0.0), np.where(taken, scale, 1.0)
    rest = {"mean": np.where(taken, 0.0, mean), "scale": np.where(taken, 1.0, scale)}
    return Shift(offset.reshape(row), factor.reshape(row)), {**statistics, **rest}
