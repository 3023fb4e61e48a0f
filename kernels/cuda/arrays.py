"""Arrays as kernels take them: row-major, and with their leading axes joined."""

from __future__ import annotations

import math
from typing import Any

Array = Any
Out = tuple[Any, ...]


def line(x: Array) -> Array:
    """The array row-major: itself, or a copy."""
    import cupy

    return x if x.flags.c_contiguous else cupy.ascontiguousarray(x)


def matrix(x: Array) -> Array:
    """A row-major matrix, the leading axes joined."""
    return line(x).reshape(size(x.shape[:-1]), x.shape[-1])


def whole_numbers(x: Array) -> Array:
    """Whole numbers as the kernels take them, int32."""
    import cupy

    return line(x if str(x.dtype) == "int32" else x.astype(cupy.int32))


def size(shape: tuple[int, ...]) -> int:
    """The number of elements of a shape."""
    return math.prod(shape)


def empty(shape: tuple[int, ...], dtype: str) -> Array:
    """Memory of the current pool, for what lives during a call."""
    import cupy

    from .launch import recorder

    by = recorder()
    return cupy.empty(shape, dtype=dtype) if by is None else by.empty(shape, dtype)


def dtype_of(x: Array) -> str:
    """The name of an array's dtype."""
    return str(x.dtype)
