"""Matrix products by cuBLAS itself: CuPy refuses its own calls of it while a stream is captured.

Five functions of the library that CuPy has loaded anyway, through ctypes. A handle belongs to one
stream and has a workspace of its own, so that a captured product allocates nothing. float32 is
computed in float32: TF32 is off, whatever CUPY_TF32 says, unless it was asked for.

A bfloat16 is kept as the 16 bits that it is: a kernel here makes them, and cuBLAS reads them.
"""

from __future__ import annotations

import ctypes
import math
from functools import cache
from typing import Any

import numpy as np

from ..kernels.cuda.arrays import line
from ..kernels.cuda.launch import flat, launch
from .device import Array

N, T = 0, 1  # cublasOperation_t
KINDS = {"float32": (0, 68, ctypes.c_float), "float64": (1, 70, ctypes.c_double)}
BFLOAT16, FAST_TF32 = 14, 77  # cudaDataType_t, cublasComputeType_t
DEFAULT_MATH, DEFAULT_ALGORITHM = 0, -1
WORKSPACE = 32 * 2**20  # bytes: what NVIDIA recommends for Hopper; 4 MiB do elsewhere

# Elements of two vectors up to which their product is one launch: one of cuBLAS, which splits it
# badly. Above, it is a product by elements and a sum. An estimate: no GPU has measured it.
ONE_LAUNCH = 1 << 14

POINTER, INT, SIZE = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cublasCreate_v2": (ctypes.POINTER(POINTER),),
    "cublasSetStream_v2": (POINTER, POINTER),
    "cublasSetWorkspace_v2": (POINTER, POINTER, SIZE),
    "cublasSetMathMode": (POINTER, INT),
    "cublasGemmEx": (
        POINTER, INT, INT, INT, INT, INT, POINTER, POINTER, INT, INT, POINTER, INT, INT, POINTER,
        POINTER, INT, INT, INT, INT,
    ),
}  # fmt: skip


@cache
def library() -> Any:
    """The library, with the types of what is called. Raises: RuntimeError where it is not found."""
    from cuda.pathfinder import load_nvidia_dynamic_lib  # CuPy needs it as well

    loaded = load_nvidia_dynamic_lib("cublas")
    found = ctypes.CDLL(loaded.abs_path or "libcublas", handle=loaded._handle_uint)
    for name, types in SIGNATURES.items():
        function = getattr(found, name)
        function.argtypes, function.restype = types, INT
    return found


class Products:
    """Products on one stream of one device; made with both of them current.

    xp: CuPy. stream: its stream, which all arrays must be used on. precision: what the factors of
    products of float32 are rounded to, "tf32" or "bfloat16", or None; they are added up in float32.
    The product of two vectors is not rounded: it is a sum, such as that of a norm.
    """

    def __init__(self, xp: Any, stream: Any, precision: str | None = None) -> None:
        self.xp, self.library, self.precision = xp, library(), precision
        self.handle = POINTER()
        self.workspace = xp.empty((WORKSPACE,), dtype=xp.uint8)
        self._call("cublasCreate_v2", ctypes.byref(self.handle))
        self._call("cublasSetStream_v2", self.handle, stream.ptr)  # it resets the workspace
        self._call("cublasSetWorkspace_v2", self.handle, self.workspace.data.ptr, WORKSPACE)
        self._call("cublasSetMathMode", self.handle, DEFAULT_MATH)

    def into(self, out: Array, a: Array, b: Array) -> None:
        """a @ b of two matrices, into row-major memory."""
        self._two(a, b, out)

    def matmul(self, a: Array, b: Array) -> Array:
        """a @ b of arrays of one dtype; of whole numbers by CuPy's own kernel."""
        if str(a.dtype) not in KINDS or a.dtype != b.dtype or not (a.ndim and b.ndim):
            return self.xp.matmul(a, b)
        if a.ndim == b.ndim == 1 and a.size > ONE_LAUNCH:
            return self.xp.sum(a * b)
        row, column = a.ndim == 1, b.ndim == 1
        a = self.xp.reshape(a, (1, -1)) if row else a
        b = self.xp.reshape(b, (-1, 1)) if column else b
        made = self._two(a, b) if a.ndim == b.ndim == 2 else self._stacked(a, b)
        shape = list(made.shape)
        if row:
            del shape[-2]
        if column:
            del shape[-1]
        return self.xp.reshape(made, tuple(shape)) if row or column else made

    def _two(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """(m, k) times (k, n), into row-major memory where that is given."""
        if a.shape[1] != b.shape[0]:
            raise ValueError(f"matmul: {a.shape} and {b.shape} do not fit")
        if out is None:
            out = self.xp.empty((a.shape[0], b.shape[1]), dtype=a.dtype)
        if out.size and a.shape[1]:
            self._multiply(a, b, out)
        elif out.size:
            out.fill(0)
        return out

    def _stacked(self, a: Array, b: Array) -> Array:
        """A product for each place of the leading axes, which broadcast."""
        leading = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        count = math.prod(leading)
        left, right = (
            self.xp.reshape(
                self.xp.broadcast_to(x, (*leading, *x.shape[-2:])), (count, *x.shape[-2:])
            )
            for x in (a, b)
        )
        shape = (a.shape[-2], b.shape[-1])
        out = self.xp.empty((count, *shape), dtype=a.dtype)
        for at in range(count):
            self._two(left[at], right[at], out[at])
        return self.xp.reshape(out, (*leading, *shape))

    def _multiply(self, a: Array, b: Array, out: Array) -> None:
        """Row-major, it is the product of the transposed factors, the other way round."""
        (m, k), n = a.shape, b.shape[1]
        kind, compute, number = KINDS[str(a.dtype)]
        given = kind
        if self.precision and str(a.dtype) == "float32" and max(m, n) > 1:
            if self.precision == "tf32":
                compute = FAST_TF32
            else:
                given, a, b = BFLOAT16, self._rounded(a), self._rounded(b)
        a, turned_a, step_a = self._seen(a)
        b, turned_b, step_b = self._seen(b)
        one, zero = number(1), number(0)
        self._call(
            "cublasGemmEx", self.handle, turned_b, turned_a, n, m, k, ctypes.addressof(one),
            b.data.ptr, given, step_b, a.data.ptr, given, step_a, ctypes.addressof(zero),
            out.data.ptr, kind, n, compute, DEFAULT_ALGORITHM,
        )  # fmt: skip

    def _rounded(self, x: Array) -> Array:
        """A matrix as bfloat16, in the order in which it lies."""
        if not x.flags.c_contiguous and x.T.flags.c_contiguous:
            return self._rounded(x.T).T
        x = line(x)
        out = self.xp.empty(x.shape, dtype=self.xp.uint16)
        launch("round_to_bfloat16", "float32", *flat(x.size), x, out, x.size)
        return out

    def _seen(self, x: Array) -> tuple[Array, int, int]:
        """A matrix as cuBLAS takes it: how it lies, and from where to where its lines go.

        What lies in neither way is copied.
        """
        rows, columns = x.shape
        (down, along), size = x.strides, x.itemsize

        def lines(step: int, count: int, long: int, unit: int) -> bool:
            near = long == 1 or unit == size
            return near and (count == 1 or (step % size == 0 and step >= long * size))

        if lines(down, rows, columns, along):
            return x, N, columns if rows == 1 else down // size
        if lines(along, columns, rows, down):
            return x, T, rows if columns == 1 else along // size
        return self.xp.ascontiguousarray(x), N, columns

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self.library, name)(*arguments)
        if code:
            raise RuntimeError(f"{name} failed with status {code}")
