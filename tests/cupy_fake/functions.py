"""The fake's functions: NumPy's, with the names, signatures and types of CuPy's tables."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import cupy as real
import numpy as np

from . import machine
from .array import SCALARS, launch, ndarray, new, upload, view
from .machine import CUDARuntimeError

# Largest error in ULP (single, double): CUDA C++ Programming Guide, mathematical functions
ULP = {
    "exp": (2, 1), "log": (1, 1), "tanh": (2, 2), "expm1": (1, 1), "log1p": (1, 1),
    "power": (4, 2),
}  # fmt: skip


def noisy(name: str, made: Any, *inside: Any) -> Any:
    """A correctly rounded result as a GPU may round it; the same for the same value."""
    ulp = ULP.get(name, (0, 0))[0 if made.dtype == np.float32 else 1]
    if not ulp or made.dtype.kind != "f" or not made.size:
        return made
    bits = np.ascontiguousarray(made).view(f"u{made.itemsize}").astype(np.uint64)
    off = ((bits * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)) % np.uint64(2 * ulp + 1)
    off = off.astype(made.dtype).reshape(made.shape) - made.dtype.type(ulp)
    inexact = np.isfinite(made) & (made != 0) & (np.abs(made) != 1) & ~np.equal(inside[-1], 0)
    return np.where(inexact, made + off * np.spacing(made), made).astype(made.dtype)


class Ufunc:
    """One of CuPy's elementwise functions, with its own table of types."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self.types = [row for row in getattr(real, name).types if "E" not in row]  # bfloat16
        self.numpy = getattr(np, name)
        self.nin = len(self.types[0].split("->")[0])
        self.found: dict[Any, np.dtype[Any]] = {}

    def _result(self, args: Any) -> np.dtype[Any]:
        """What CuPy's table gives: its first row that all arguments can be cast to."""
        key = tuple(a if type(a) in SCALARS else a.dtype for a in args)
        if key not in self.found:
            self.found[key] = self._looked_up(args)
        return self.found[key]

    def _looked_up(self, args: Any) -> np.dtype[Any]:
        for line in self.types:
            ins, outs = line.split("->")
            if all(_fits(np.dtype(k), a) for k, a in zip(ins, args, strict=True)):
                return np.dtype(outs)
        raise TypeError(f"Wrong type of arguments for cupy_{self.__name__}")

    def __call__(
        self, *args: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind"
    ) -> ndarray:
        if len(args) == self.nin + 1 and out is None:
            *args, out = args  # type: ignore[assignment]
        if len(args) != self.nin:
            raise TypeError(f"Wrong number of arguments for cupy_{self.__name__}")
        for one in args:
            if not isinstance(one, (ndarray, np.generic, *SCALARS)):
                raise TypeError(f"[{self.__name__}] Unsupported type {type(one)}")
        if not any(isinstance(one, ndarray) for one in args):
            raise TypeError(f"[{self.__name__}] no CuPy array among the arguments")
        keys = {} if dtype is None else {"dtype": dtype}
        out = out[0] if isinstance(out, tuple) else out
        made = launch(
            self.__name__, lambda *a: self.numpy(*a, **keys), *args, out=out, casting=casting,
            finish=noisy,
        )  # fmt: skip
        if dtype is None and out is None:
            wanted = self._result(args)
            if wanted != made.dtype:
                kinds = [getattr(a, "dtype", a) for a in args]
                raise AssertionError(
                    f"[{self.__name__}] CuPy's table gives {wanted}, NumPy {made.dtype} for {kinds}"
                )
        return made


def _fits(kind: np.dtype[Any], arg: Any) -> bool:
    if type(arg) in SCALARS:
        try:
            return bool(np.result_type(kind, arg) == kind)
        except OverflowError:
            return False
    return bool(np.can_cast(arg.dtype, kind))


def bound(name: str, args: Any, kwargs: Any) -> None:
    """A keyword that CuPy's function lacks is a TypeError, as there."""
    signature = _signature(name)
    if signature is not None:
        signature.bind(*args, **kwargs)


@cache
def _signature(name: str) -> inspect.Signature | None:
    try:
        return inspect.signature(getattr(real, name))
    except ValueError:
        return None


def function(name: str, compute: Callable[..., Any], arrays: bool = True) -> Callable[..., Any]:
    """A function that is one launch. arrays: it takes arrays, and makes none of nothing."""

    def call(*args: Any, **kwargs: Any) -> ndarray:
        bound(name, args, kwargs)
        if arrays and not any(isinstance(a, (ndarray, tuple, list)) for a in args):
            raise TypeError(f"[{name}] no CuPy array among the arguments")
        return launch(name, compute, *args, **kwargs)

    call.__name__ = name
    return call


def viewing(name: str) -> Callable[..., Any]:
    """A function that makes a view where it can, and else is a copy."""
    compute = getattr(np, name)

    def call(*args: Any, **kwargs: Any) -> ndarray:
        bound(name, args, kwargs)
        source = args[0]
        if not isinstance(source, ndarray):
            raise TypeError(f"[{name}] no CuPy array among the arguments")
        made = compute(source._a, *args[1:], **kwargs)
        if not made.size or np.shares_memory(made, source._a):
            return view(source, made)
        return launch("copy", lambda a: compute(a, *args[1:], **kwargs), source)

    call.__name__ = name
    return call


def where(condition: Any, x: Any = None, y: Any = None) -> ndarray:
    """`cupy.where`."""
    if x is None or y is None:
        raise NotImplementedError("where(condition) waits for the device")
    if not isinstance(condition, ndarray):
        raise AttributeError(f"{type(condition)} has no attribute 'astype'")
    return launch("where", np.where, condition, x, y)


def copyto(dst: ndarray, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    """`cupy.copyto`."""
    if not isinstance(dst, ndarray) or not isinstance(src, (ndarray, np.generic, *SCALARS)):
        raise TypeError(f"[copyto] Unsupported type {type(src)}")
    shape = dst.shape
    if isinstance(src, ndarray) and np.broadcast_shapes(shape, src.shape) != shape:
        raise ValueError("could not broadcast input array")
    if where is None:
        launch("copy", lambda s: np.broadcast_to(s, shape), src, out=dst, casting=casting)
        return

    def chosen(old: Any, new: Any, mask: Any) -> Any:
        return np.where(mask, new, old).astype(old.dtype)

    launch("copyto", chosen, dst, src, where, out=dst, casting=casting)


def in_another_order(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """Sums from the back."""
    if a.size and a.dtype.kind == "f":
        axes = set(range(a.ndim)) if axis is None else {x % a.ndim for x in np.atleast_1d(axis)}
        a = a[tuple(slice(None, None, -1 if i in axes else 1) for i in range(a.ndim))]
    return np.sum(a, axis=axis, dtype=dtype, keepdims=keepdims)


def sum_(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> ndarray:
    """`cupy.sum`."""
    if not isinstance(a, ndarray):
        raise TypeError("[sum] no CuPy array among the arguments")
    return launch("sum", in_another_order, a, axis=axis, dtype=dtype, keepdims=keepdims, out=out)


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A matrix product, summed from the back."""
    if a.shape[-1] and a.dtype.kind == "f":
        ends = slice(None, None, -1)
        a, b = a[..., ends], b[ends] if b.ndim == 1 else b[..., ends, :]
    return np.matmul(a, b)


def matmul(*args: Any, out: Any = None) -> ndarray:
    """`cupy.matmul`, which asks cuBLAS. Raises: NotImplementedError in a capture."""
    a, b = args
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("Scalar operands are not allowed, use '*' instead")
    if machine.capturing() and a.dtype.kind == "f":
        raise NotImplementedError("calling cuBLAS API during stream capture is unsupported")
    return launch("cublas", product, a, b, out=out)


def take_along_axis(a: ndarray, indices: ndarray, axis: int | None = -1) -> ndarray:
    """`cupy.take_along_axis`: an index for every axis, and their sum."""
    if indices.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    if a.ndim != indices.ndim:
        raise ValueError("`indices` and `a` must have the same number of dimensions")
    kind = indices.dtype
    for n in a.shape[1:]:
        launch("arange", lambda n=n: np.arange(n))
    flat = indices
    for _ in a.shape:  # remainder and product of each, and their sum
        flat = launch("index", lambda i: i.astype(kind), flat)
        flat = launch("index", lambda i: i.astype(kind), flat)
    return launch("take", lambda x, i: np.take_along_axis(x, i, axis), a, indices)


def reduction(compute: Callable[..., Any]) -> Callable[..., Any]:
    """max, min and argmax have no answer for nothing."""

    def reduced(a: Any, axis: Any = None, **keys: Any) -> Any:
        axes = set() if axis is None else {x % a.ndim for x in np.atleast_1d(axis)}
        kept = [d for i, d in enumerate(a.shape) if axis is not None and i not in axes]
        if not a.size and math.prod(kept):
            raise ValueError("zero-size array to reduction operation which has no identity")
        return compute(a, axis=axis, **keys)

    return reduced


def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False
) -> ndarray:
    """`cupy.asarray`."""
    if isinstance(a, ndarray):
        if dtype is not None and a.dtype != dtype:
            return launch("astype", lambda x: x.astype(dtype), a)
        return a.copy() if copy else a
    if isinstance(a, (list, tuple)) and any(isinstance(v, ndarray) for v in a):
        raise NotImplementedError("asarray of a list of arrays")
    return upload(np.array(a, dtype=dtype, order="C"))


def joined(name: str, compute: Callable[..., Any]) -> Callable[..., Any]:
    """concat and stack: CuPy uploads a table of addresses for many arrays. A copy for each."""

    def call(tup: Any, axis: int = 0, out: Any = None, **kwargs: Any) -> ndarray:
        bound(name, (tup, axis, out), kwargs)
        if machine.capturing():
            raise CUDARuntimeError(f"[{name}] a table of addresses is uploaded in a capture")
        machine.counts["uploads"] += 1
        return launch(name, lambda *a: compute(a, axis=axis, **kwargs), *tup, out=out)

    call.__name__ = name
    return call


def asnumpy(
    a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True
) -> np.ndarray:
    """`cupy.asnumpy`."""
    if isinstance(a, ndarray):
        return a.get(stream, order, out, blocking)
    return np.asarray(a, order=order)  # type: ignore[call-overload]


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """`cupy.empty`."""
    return new(shape, dtype, order)
