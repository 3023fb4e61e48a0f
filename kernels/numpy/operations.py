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


def ufunc(name: str) -> Callable[..., None]:
    """The universal function of NumPy that an operation's row names, as a kernel."""
    function = getattr(np, OPS[name].ufunc or "")

    def run(out: Out, *inputs: Array) -> None:
        function(*inputs, out=out[0])

    return run


def no_empty_sum(specs: Specs, attrs: Attrs) -> bool:
    """A sum over every axis of something."""
    return specs[0].rank > 0


def sum(out: Out, x: Array, *, axis: Any, keepdims: bool) -> None:
    """The sum over the axes."""
    np.add.reduce(x, axis=axis, keepdims=keepdims, out=out[0])


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
def ones(count: int, dtype: Any) -> Array:
    """A row of ones: a product with it is a sum by BLAS, faster and closer than `np.add.reduce`."""
    row = np.ones((1, count), dtype)
    row.setflags(write=False)
    return row
