"""References of products, arithmetic, reductions and what moves elements: one expression each.

`loops/operations.py` and `loops/scalar.py` say the same with explicit loops; the files are meant to
be read side by side.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

Array = Any


def cast(xp: Any, x: Array, *, dtype: str) -> Array:
    """x as another dtype."""
    # What NumPy reduces to one element is a scalar, which astype of NumPy 2.0 refuses.
    return xp.astype(xp.asarray(x), getattr(xp, dtype))


def _swap_last(x: Array) -> Array:
    return x.T if x.ndim == 2 else x.mT


# Products


def matmul(
    xp: Any, a: Array, b: Array, *, transpose_a: bool = False, transpose_b: bool = False
) -> Array:
    """a @ b, (..., m, k) by (..., k, n), either transposed in its last two axes first."""
    left, right = _swap_last(a) if transpose_a else a, _swap_last(b) if transpose_b else b
    return xp.matmul(left, right)


# Elementwise arithmetic


def add(xp: Any, a: Array, b: Array) -> Array:
    """a + b."""
    return a + b


def subtract(xp: Any, a: Array, b: Array) -> Array:
    """a - b."""
    return a - b


def multiply(xp: Any, a: Array, b: Array) -> Array:
    """a * b."""
    return a * b


def divide(xp: Any, a: Array, b: Array) -> Array:
    """a / b."""
    return a / b


def power(xp: Any, a: Array, b: Array) -> Array:
    """a ** b."""
    return a**b


def maximum(xp: Any, a: Array, b: Array) -> Array:
    """The larger of a and b; NaN wins."""
    return xp.maximum(a, b)


def minimum(xp: Any, a: Array, b: Array) -> Array:
    """The smaller of a and b; NaN wins."""
    return xp.minimum(a, b)


def negative(xp: Any, x: Array) -> Array:
    """-x."""
    return -x


def exp(xp: Any, x: Array) -> Array:
    """e ** x."""
    return xp.exp(x)


def log(xp: Any, x: Array) -> Array:
    """The natural logarithm; -inf at 0, NaN below."""
    return xp.log(x)


def log1p(xp: Any, x: Array) -> Array:
    """log(1 + x), accurate for small x."""
    return xp.log1p(x)


def expm1(xp: Any, x: Array) -> Array:
    """exp(x) - 1, accurate for small x."""
    return xp.expm1(x)


def sqrt(xp: Any, x: Array) -> Array:
    """The square root."""
    return xp.sqrt(x)


def absolute(xp: Any, x: Array) -> Array:
    """The absolute value."""
    return xp.abs(x)


def sign(xp: Any, x: Array) -> Array:
    """-1, 0 or 1; NaN stays NaN."""
    return xp.sign(x)


def clip(xp: Any, x: Array, *, low: float, high: float) -> Array:
    """x, kept between low and high; NaN stays NaN."""
    return xp.clip(x, low, high)


def equal(xp: Any, a: Array, b: Array) -> Array:
    """a == b."""
    return a == b


def not_equal(xp: Any, a: Array, b: Array) -> Array:
    """a != b."""
    return a != b


def less(xp: Any, a: Array, b: Array) -> Array:
    """a < b."""
    return a < b


def less_equal(xp: Any, a: Array, b: Array) -> Array:
    """a <= b."""
    return a <= b


def greater(xp: Any, a: Array, b: Array) -> Array:
    """a > b."""
    return a > b


def greater_equal(xp: Any, a: Array, b: Array) -> Array:
    """a >= b."""
    return a >= b


def where(xp: Any, condition: Array, a: Array, b: Array) -> Array:
    """a where the condition holds, b elsewhere."""
    return xp.where(condition, a, b)


def ratio(x: Array, numerator: tuple[float, ...], denominator: tuple[float, ...]) -> Array:
    """A quotient of polynomials as Cody lays out their coefficients; x may be a graph's node."""
    top, bottom = x * numerator[0], x * 1.0
    for a, b in zip(numerator[1:-1], denominator[:-1], strict=True):
        top, bottom = (top + a) * x, (bottom + b) * x
    return (top + numerator[-1]) / (bottom + denominator[-1])


# W. J. Cody, Rational Chebyshev approximations for the error function, Math. Comp. 23 (1969).
ERF_SMALL = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2,
     3.20937758913846947e3),
    (2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)  # fmt: skip
ERF_MIDDLE = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
     2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
     1.23033935479799725e3),
    (1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)  # fmt: skip


def erf(xp: Any, x: Array) -> Array:
    """The error function, by rational approximations on two intervals; beyond 6 it is 1.

    W. J. Cody, *Rational Chebyshev Approximations for the Error Function*, Math. Comp. 23, 1969.
    """
    size = xp.abs(x)
    near = xp.minimum(size, xp.ones_like(size) * 0.5)
    small = near * ratio(near * near, *ERF_SMALL)
    far = xp.clip(size, 0.46875, 6.0)
    large = 1.0 - xp.exp(-far * far) * ratio(far, *ERF_MIDDLE)
    value = xp.where(size <= 0.46875, small, large)
    return xp.where(size == size, xp.sign(x) * value, x)


# Reductions


def sum(xp: Any, x: Array, *, axis: tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
    """The sum over the axes, all of them when axis is None; `keepdims` leaves them, of length 1."""
    return xp.sum(x, axis=axis, keepdims=keepdims)


def mean(
    xp: Any, x: Array, *, axis: tuple[int, ...] | None = None, keepdims: bool = False
) -> Array:
    """The arithmetic mean over the axes; axis, keepdims: as in `sum`."""
    return xp.mean(x, axis=axis, keepdims=keepdims)


def max(xp: Any, x: Array, *, axis: tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
    """The largest element over the axes, NaN where there is one; axis, keepdims: as in `sum`."""
    return xp.max(x, axis=axis, keepdims=keepdims)


def argmax(xp: Any, x: Array, *, axis: int = -1, keepdims: bool = False) -> Array:
    """The position of the largest element along one axis, int32, the first one of several."""
    return cast(xp, xp.argmax(x, axis=axis, keepdims=keepdims), dtype="int32")


# Shapes


def transpose(xp: Any, x: Array, *, axes: tuple[int, ...]) -> Array:
    """x with its axes in another order, that of `axes`, a permutation of 0, 1, ..."""
    return xp.permute_dims(x, axes)


def reshape(xp: Any, x: Array, *, shape: tuple[int, ...]) -> Array:
    """The same elements, in row-major order, in another shape of as many."""
    return xp.reshape(x, shape)


def broadcast_to(xp: Any, x: Array, *, shape: tuple[int, ...]) -> Array:
    """x repeated along axes of length one, or along new leading axes."""
    return xp.broadcast_to(x, shape)


def slice(
    xp: Any, x: Array, *, starts: tuple[int, ...], stops: tuple[int, ...], steps: tuple[int, ...]
) -> Array:
    """x[start:stop:step, ...], one triple per axis; 0 <= start <= stop, step from 1."""
    triples = zip(starts, stops, steps, strict=True)
    return x[tuple(builtins.slice(*triple) for triple in triples)]


def unslice(
    xp: Any,
    x: Array,
    *,
    shape: tuple[int, ...],
    starts: tuple[int, ...],
    stops: tuple[int, ...],
    steps: tuple[int, ...],
) -> Array:
    """Zeros of that shape with x written into the slice: the derivative of `slice`."""
    for axis, (start, stop, step) in enumerate(zip(starts, stops, steps, strict=True)):
        if (start, stop, step) == (0, shape[axis], 1):
            continue
        length = x.shape[axis]
        at = xp.arange(shape[axis])
        inside = (at >= start) & (at < stop) & ((at - start) % step == 0)
        if length == 0:
            return xp.zeros(shape, dtype=x.dtype)
        source = xp.clip((at - start) // step, 0, length - 1)
        along = tuple(-1 if a == axis else 1 for a in range(x.ndim))
        x = xp.take(x, source, axis=axis)
        x = xp.where(xp.reshape(inside, along), x, xp.zeros_like(x))
    return x


def concatenate(xp: Any, a: Array, b: Array, *, axis: int = 0) -> Array:
    """a followed by b along one axis; their other lengths are equal."""
    return xp.concat((a, b), axis=axis)


def gather_rows(xp: Any, x: Array, indices: Array) -> Array:
    """x[indices]: the rows at the indices, in their order; x: (rows, ...), indices: (n,)."""
    return xp.take(x, indices, axis=0)


def scatter_rows(xp: Any, x: Array, indices: Array, *, rows: int) -> Array:
    """Zeros with `rows` rows, x's rows added at the indices: the derivative of `gather_rows`.

    x: (n, ...), indices: (n,) integers in [0, rows), result: (rows, ...).
    """
    places = xp.reshape(xp.arange(rows, dtype=indices.dtype), (rows, 1))
    hits = xp.astype(places == xp.reshape(indices, (1, -1)), x.dtype)
    width = math.prod(x.shape[1:])
    flat = xp.reshape(x, (x.shape[0], width))
    return xp.reshape(xp.matmul(hits, flat), (rows, *x.shape[1:]))


def pick(xp: Any, x: Array, labels: Array) -> Array:
    """x[i, labels[i]] for every row i; labels: (n, 1) integers; the result is (n, 1)."""
    return xp.take_along_axis(x, labels, axis=-1)


def one_hot(xp: Any, labels: Array, *, classes: int, dtype: str) -> Array:
    """(n, classes) zeros with a one at each row's label; labels: (n, 1) integers."""
    return cast(xp, labels == xp.arange(classes, dtype=labels.dtype), dtype=dtype)
