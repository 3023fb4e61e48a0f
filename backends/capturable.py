"""CuPy's namespace, with those functions replaced that cannot be captured, or take the host along.

CuPy uploads a table of addresses to join arrays and a number to make an array of it, and refuses
products while a stream is captured. Here each is kernels and copies on the device alone.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import numpy as np

from .cublas import Products
from .device import Array

SHORT = 4096  # elements of a range that is kept


class Capturable:
    """CuPy for one stream of one device, which are current where its functions are called.

    All names are CuPy's, but for those that are written out here. precision: see `Products`.
    """

    def __init__(self, cupy: Any, stream: Any, precision: str | None = None) -> None:
        self._cupy, self._stream, self._precision = cupy, stream, precision
        self._kept: dict[Any, Array] = {}  # constants of the device
        # Constants of the host that nobody writes, uploaded once; by their identity.
        self._constants: dict[int, tuple[weakref.ref[np.ndarray], Array]] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = self.__dict__[name] = getattr(self._cupy, name)
        return found

    def _shared(self) -> AbstractContextManager[Any]:
        """Memory of the pool of all."""
        pool = self._cupy.get_default_memory_pool()
        made: AbstractContextManager[Any] = self._cupy.cuda.using_allocator(pool.malloc)
        return made

    def zeros_like(self, x: Array) -> Array:
        """A view of one zero in the shape and dtype of x, to be read."""
        return self._constant(0, x)

    def ones_like(self, x: Array) -> Array:
        """A view of one 1 in the shape and dtype of x, to be read."""
        return self._constant(1, x)

    def _constant(self, number: int, x: Array) -> Array:
        known = self._kept.get((number, x.dtype))
        if known is None:
            with self._shared():  # it outlasts whoever asks first
                known = self._cupy.full((), number, dtype=x.dtype)
            self._kept[number, x.dtype] = known
        return self._cupy.broadcast_to(known, x.shape)

    def arange(
        self, start: int, stop: int | None = None, step: int = 1, dtype: Any = None
    ) -> Array:
        """As CuPy's; short ones are kept, to be read."""
        begin, end = (0, start) if stop is None else (start, stop)
        if len(range(begin, end, step)) > SHORT:
            return self._cupy.arange(begin, end, step, dtype=dtype)
        key = (begin, end, step, dtype)
        if key not in self._kept:
            with self._shared():
                self._kept[key] = self._cupy.arange(begin, end, step, dtype=dtype)
        return self._kept[key]

    @cached_property
    def products(self) -> Products:
        """What multiplies matrices."""
        with self._shared():  # its workspace outlasts whoever asks first
            return Products(self._cupy, self._stream, self._precision)

    def matmul(self, a: Array, b: Array) -> Array:
        """a @ b; see `Products`."""
        return self.products.matmul(a, b)

    def asarray(self, value: Any, dtype: Any = None) -> Array:
        """An array of the device as it is; a number as a kernel writes it, and no upload."""
        if isinstance(value, np.ndarray):
            return self._uploaded(value, dtype)
        if isinstance(value, (bool, int, float, np.generic)):
            kind = np.asarray(value).dtype if dtype is None else dtype
            return self._cupy.full((), value, dtype=kind)
        return self._cupy.asarray(value, dtype=dtype)

    def _uploaded(self, host: np.ndarray, dtype: Any) -> Array:
        if host.flags.writeable:
            return self._cupy.asarray(host, dtype=dtype)
        known, array = self._constants.get(id(host), (None, None))
        if known is None or known() is not host:
            with self._shared():
                array = self._cupy.asarray(host, dtype=dtype)
            self._constants[id(host)] = (weakref.ref(host), array)
        return array

    def concat(self, arrays: Sequence[Array], axis: int = 0) -> Array:
        """Arrays of one dtype, one after the other along an axis."""
        first = arrays[0]
        axis %= first.ndim
        total = sum(one.shape[axis] for one in arrays)
        shape = (*first.shape[:axis], total, *first.shape[axis + 1 :])
        out, start = self._cupy.empty(shape, dtype=first.dtype), 0
        for one in arrays:
            stop = start + one.shape[axis]
            if one.size:
                out[(slice(None),) * axis + (slice(start, stop),)] = one
            start = stop
        return out

    def stack(self, arrays: Sequence[Array], axis: int = 0) -> Array:
        """Arrays of one shape and dtype along a new axis."""
        axis %= arrays[0].ndim + 1
        return self.concat([self._cupy.expand_dims(one, axis) for one in arrays], axis)

    def take_along_axis(self, x: Array, indices: Array, axis: int = -1) -> Array:
        """x[..., indices] for every row: one number of each, at its place along the last axis.

        CuPy's own makes an index of every axis; other calls than that go there.
        """
        if axis % x.ndim != x.ndim - 1 or indices.shape != (*x.shape[:-1], 1) or not x.size:
            return self._cupy.take_along_axis(x, indices, axis=axis)
        rows, columns = math.prod(x.shape[:-1]), x.shape[-1]
        starts = self.arange(0, rows * columns, columns, dtype=indices.dtype)
        places = self._cupy.reshape(indices, (rows,)) + starts
        found = self._cupy.take(self._cupy.reshape(x, (-1,)), places)
        return self._cupy.reshape(found, indices.shape)
