"""NumPy kernels of products, sums and single elements: `out=` instead of a new array every time.

Only operations where that saves memory traffic or calls are here; the rest are the references.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from ..op import Attrs, Specs
from ..ops import OPS
from ..vectorized import operations as vectorized

Array = Any
Out = tuple[Any, ...]
WORDS = {1: np.uint8, 4: np.uint32, 8: np.uint64}  # whole numbers by bytes
PART = 16_384  # elements of a formula that are worked on together, with its temporaries


def ufunc(name: str) -> Callable[..., None]:
    """The universal function of NumPy that an operation's row names, as a kernel."""
    function = getattr(np, OPS[name].ufunc or "")

    def run(out: Out, *inputs: Array) -> None:
        function(*inputs, out=out[0])

    return run


def in_parts(formula: Callable[..., Array]) -> Callable[..., None]:
    """A formula of single elements as a kernel: a part after the other, while it is in a cache."""

    def run(out: Out, *inputs: Array, **attrs: Any) -> None:
        (y,), first = out, inputs[0]
        together = all(x.shape == first.shape and x.flags.c_contiguous for x in inputs)
        if y.size <= PART or not (together and y.flags.c_contiguous):
            np.copyto(y, formula(np, *inputs, **attrs))
            return
        flat, target = [x.reshape(-1) for x in inputs], y.reshape(-1)
        for start in range(0, y.size, PART):
            part = slice(start, start + PART)
            np.copyto(target[part], formula(np, *(x[part] for x in flat), **attrs))

    return run


def no_empty_sum(specs: Specs, attrs: Attrs) -> bool:
    """A reduction of something that has axes."""
    return specs[0].rank > 0


def sum(out: Out, x: Array, *, axis: Any, keepdims: bool) -> None:
    """The sum over the axes."""
    np.add.reduce(x, axis=axis, keepdims=keepdims, out=out[0])


def mean(out: Out, x: Array, *, axis: Any, keepdims: bool) -> None:
    """The sum over the axes, over the number of elements that went into each."""
    (y,) = out
    np.add.reduce(x, axis=axis, keepdims=keepdims, out=y)
    y /= number(x.size // y.size if y.size else 1, y.dtype)


def max(out: Out, x: Array, *, axis: Any, keepdims: bool) -> None:
    """The largest element over the axes."""
    np.maximum.reduce(x, axis=axis, keepdims=keepdims, out=out[0])


def where(out: Out, condition: Array, a: Array, b: Array) -> None:
    """b, with the bits changed in which a differs where the condition holds.

    A choice takes a branch for every element: 1,048,576 of them take seven times as long.
    """
    word = WORDS[a.dtype.itemsize]
    y, other = out[0].view(word), b.view(word)
    np.multiply(np.bitwise_xor(a.view(word), other), condition, out=y)
    np.bitwise_xor(y, other, out=y)


def clip(out: Out, x: Array, *, low: float, high: float) -> None:
    """Not below low, then not above high."""
    np.maximum(x, number(low, x.dtype), out=out[0])
    np.minimum(out[0], number(high, x.dtype), out=out[0])


def cast(out: Out, x: Array, *, dtype: str) -> None:
    """The same numbers in the output's dtype."""
    np.copyto(out[0], x, casting="unsafe")


def one_hot(out: Out, labels: Array, *, classes: int, dtype: str) -> None:
    """Where the number of the column is the label, in the output's dtype at once."""
    np.equal(labels, numbers(classes, labels.dtype), out=out[0])


# Elements of a product from which clearing them first costs more than a call; and of a gradient of
# weights, which both cores have read since: cleared, it is one core's alone again.
CLEARED, GRADIENT_CLEARED = 16_384, 131_072


def product(a: Array, b: Array, out: Array, cleared: int = CLEARED) -> None:
    """a b: small ones as a method of a matrix, which costs a third of a call of `np.matmul`.

    But it fills the output with zeros first: (1024, 256) (256, 256) takes 0.70 ms, with `np.matmul`
    0.67; (784, 128) (128, 512) 0.69 and 0.56. As gradients in a training, cleared, 784-128-10 takes
    0.90 to 0.99 of the time, 784-512-256-10 as long (2 cores of an EPYC 9004, 2026-11-28).
    """
    if a.ndim == 2 and b.ndim == 2 and out.size < cleared:
        a.dot(b, out)
    else:
        np.matmul(a, b, out=out)


def matmul(out: Out, a: Array, b: Array, *, transpose_a: bool, transpose_b: bool) -> None:
    """BLAS takes transposed views as they are."""
    a = np.swapaxes(a, -1, -2) if transpose_a else a
    b = np.swapaxes(b, -1, -2) if transpose_b else b
    product(a, b, out[0])


def gather_rows(out: Out, x: Array, indices: Array) -> None:
    """The rows at the indices, which are in range."""
    # mode="clip" writes straight into out; the default one goes through a buffer
    np.take(x, indices, axis=0, out=out[0], mode="clip")


def scatter_rows(out: Out, x: Array, indices: Array, *, rows: int) -> None:
    """The reference's product, or row after row where 0 times an infinite element would be NaN."""
    if np.isfinite(x).all():
        out[0][...] = vectorized.scatter_rows(np, x, indices, rows=rows)
        return
    out[0][...] = 0
    np.add.at(out[0], indices, x)


@lru_cache(maxsize=1024)
def number(value: float, dtype: Any) -> Array:
    """An array of rank 0: a float of Python costs as much again as a whole small call."""
    found = np.array(value, dtype)
    found.setflags(write=False)
    return found


@lru_cache(maxsize=16)
def numbers(count: int, dtype: Any) -> Array:
    """The whole numbers from 0 on, which may only be read."""
    row = np.arange(count, dtype=dtype)
    row.setflags(write=False)
    return row


@lru_cache(maxsize=16)
def ones(count: int, dtype: Any) -> Array:
    """A row of ones: a product with it is a sum by BLAS, faster and closer than `np.add.reduce`."""
    row = np.ones((1, count), dtype)
    row.setflags(write=False)
    return row
