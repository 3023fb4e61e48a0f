"""The fake's `cupy.ndarray`: views of device memory, and nothing that real ones would not do."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import cupy as real
import numpy as np

from . import machine, memory
from .machine import CUDARuntimeError

SCALARS = (bool, int, float, complex)


def values(value: Any, name: str, pieces: list[Any]) -> Any:
    """The NumPy value behind an argument of a kernel, or the error that CuPy would raise.

    pieces: gets the memory that it is in.
    """
    if isinstance(value, ndarray):
        if value._piece.device_id != machine.device():
            raise ValueError(
                f"[{name}] The device where the array resides ({value._piece.device_id}) is"
                f" different from the current device ({machine.device()})."
            )
        pieces.append(value._piece)
        return value._a
    if isinstance(value, (tuple, list)):
        return type(value)(values(v, name, pieces) for v in value)
    if isinstance(value, np.ndarray):
        raise TypeError(f"[{name}] Unsupported type {type(value)}")
    return value


def new(shape: Any, dtype: Any, order: str = "C") -> ndarray:
    """Memory that nobody wrote, as an array."""
    return ndarray(shape, dtype, order=order)


def view(source: ndarray, inside: np.ndarray) -> ndarray:
    """Another array on the same memory."""
    made = object.__new__(ndarray)
    made._a, made._piece = inside, source._piece
    return made


def launch(
    name: str, function: Callable[..., Any], *given: Any, out: ndarray | None = None,
    casting: str = "same_kind", finish: Callable[..., Any] | None = None, **options: Any,
) -> ndarray:  # fmt: skip
    """A kernel: NumPy's function of the arguments' values, into new memory or into `out`.

    finish: (name, result, *values) -> what a GPU makes of a correctly rounded result.
    """
    reads: list[Any] = []
    inside = [values(one, name, reads) for one in given]
    named = {key: values(one, name, reads) for key, one in options.items()}

    def compute() -> np.ndarray:
        with np.errstate(all="ignore"):
            made = np.asarray(function(*inside, **named))
            return made if finish is None else np.asarray(finish(name, made, *inside))

    first = compute()
    target = new(first.shape, first.dtype) if out is None else out
    writes: list[Any] = []
    into = values(target, name, writes)
    if out is not None:
        if not np.can_cast(first.dtype, into.dtype, casting):  # type: ignore[arg-type]
            raise TypeError(f"[{name}] output ({first.dtype}) could not be cast to {into.dtype}")
        if np.broadcast_shapes(first.shape, into.shape) != into.shape:
            raise ValueError(f"[{name}] Out shape is mismatched")
    later = machine.capturing()
    machine.do(name, lambda: _put(into, compute() if later else first), reads, writes)
    return target


def _put(into: np.ndarray, made: np.ndarray) -> None:
    np.copyto(into, flushed(made.astype(into.dtype, copy=False)), casting="no")


def flushed(made: np.ndarray) -> np.ndarray:
    """float32 without subnormal numbers: CuPy compiles with -ftz=true."""
    if made.dtype != np.float32 or not made.size:
        return made
    tiny = np.finfo(np.float32).smallest_normal
    with np.errstate(all="ignore"):
        return np.where(np.abs(made) < tiny, made * np.float32(0), made).astype(np.float32)


def upload(host: np.ndarray, name: str = "asarray") -> ndarray:
    """A copy of a host array. Raises: CUDARuntimeError in a capture."""
    if machine.capturing():
        raise CUDARuntimeError(
            f"[{name}] cudaErrorStreamCaptureUnsupported: host numbers were uploaded in a capture"
        )
    machine.counts["uploads"] += 1
    made = new(host.shape, host.dtype)
    made._piece.touched(name, machine.stream(), next(machine._tickets), written=True)
    np.copyto(made._a, host)
    return made


class ndarray:  # noqa: N801
    """An array on a device."""

    __slots__ = ("__weakref__", "_a", "_piece")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, shape: Any, dtype: Any = float, memptr: memory.MemoryPointer | None = None,
        strides: Any = None, order: str = "C",
    ) -> None:  # fmt: skip
        shape = (int(shape),) if np.ndim(shape) == 0 else tuple(int(n) for n in shape)
        kind, count = np.dtype(dtype), int(np.prod(shape, dtype=np.int64))
        pointer = memory.alloc(count * kind.itemsize) if memptr is None else memptr
        self._piece = pointer.mem
        begin = pointer.offset
        flat = self._piece.chunk.inside[begin : begin + count * kind.itemsize].view(kind)
        if strides is not None:
            raise NotImplementedError("the fake makes no arrays with strides of their own")
        self._a = flat.reshape(shape, order=order)  # type: ignore[call-overload]

    # What is known without looking

    shape = property(lambda self: self._a.shape)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    dtype = property(lambda self: self._a.dtype)
    itemsize = property(lambda self: self._a.itemsize)
    nbytes = property(lambda self: self._a.nbytes)
    strides = property(lambda self: self._a.strides)
    flags = property(lambda self: self._a.flags)
    device = property(lambda self: self._piece.device)
    T = property(lambda self: view(self, self._a.T))
    mT = property(lambda self: view(self, self._a.mT))  # noqa: N815

    @property
    def data(self) -> memory.MemoryPointer:
        address = self._a.__array_interface__["data"][0]
        return memory.MemoryPointer(self._piece, address - self._piece.ptr if self.size else 0)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": self.shape, "typestr": self.dtype.str, "version": 3}

    # What the host must not do by the way

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed."
            " Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            return NotImplemented
        return getattr(namespace(), ufunc.__name__)(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(f"numpy.{func.__name__} on a CuPy array: call the namespace's own")

    def __getattr__(self, name: str) -> Any:
        if hasattr(real.ndarray, name):
            raise NotImplementedError(f"the fake's ndarray lacks {name}: add it")
        raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")

    def get(
        self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True
    ) -> np.ndarray:
        here = machine.stream() if stream is None else stream
        if machine.capturing() or here.recording is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: a download in a capture")
        machine.counts["downloads"] += 1
        self._piece.touched("get", here, next(machine._tickets), written=False)
        machine.host_waits([here])
        if out is None:
            return np.array(self._a, order=order)  # type: ignore[call-overload]
        np.copyto(out, self._a)
        found: np.ndarray = out
        return found

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        if arr.dtype != self.dtype or arr.shape != self.shape:
            raise ValueError("Shape or dtype mismatch")
        if machine.capturing():
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: an upload in a capture")
        machine.counts["uploads"] += 1
        here = machine.stream() if stream is None else stream
        self._piece.touched("set", here, next(machine._tickets), written=True)
        np.copyto(self._a, arr)

    def item(self, *args: Any) -> Any:
        return self.get().item(*args)

    def tolist(self) -> Any:
        return self.get().tolist()

    def __bool__(self) -> bool:
        return bool(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __index__(self) -> int:
        return self.get().__index__()

    def __len__(self) -> int:
        return len(self._a)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    # Parts

    def __getitem__(self, key: Any) -> ndarray:
        keys = key if isinstance(key, tuple) else (key,)
        if any(isinstance(k, (np.ndarray, list)) for k in keys):
            raise TypeError("a host array as an index (CuPy would upload it)")
        if any(isinstance(k, ndarray) for k in keys):
            return launch("take", lambda a, *at: a[at], self, *keys)
        more = () if any(k is ... for k in keys) else (...,)  # an element is a view as well
        return view(self, self._a[keys + more])

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, (np.ndarray, list)):
            raise TypeError("a host array was assigned (CuPy would upload it)")
        target = self[key]
        if isinstance(value, ndarray) and (
            np.broadcast_shapes(target.shape, value.shape) != target.shape
        ):  # NumPy drops leading axes of length one, CuPy does not
            raise ValueError("Out shape is mismatched")
        launch("copy", _filled(target.shape), value, out=target, casting="unsafe")

    def reshape(self, *shape: Any, order: str = "C") -> ndarray:
        made: ndarray = namespace().reshape(self, shape[0] if len(shape) == 1 else shape, order)
        return made

    def ravel(self, order: str = "C") -> ndarray:
        return self.reshape(-1, order=order)

    def view(self, dtype: Any = None) -> ndarray:
        return view(self, self._a if dtype is None else self._a.view(dtype))

    def transpose(self, *axes: Any) -> ndarray:
        return view(self, self._a.transpose(*axes))

    # Kernels

    def astype(
        self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None,
        copy: bool = True,
    ) -> ndarray:  # fmt: skip
        made: ndarray = namespace().astype(self, dtype, copy=copy)
        return made

    def sum(
        self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> ndarray:
        made: ndarray = namespace().sum(self, axis, dtype, out, keepdims)
        return made

    def fill(self, value: Any) -> None:
        self[...] = value

    def copy(self, order: str = "C") -> ndarray:
        return launch("copy", lambda a: np.array(a, order="C"), self)

    def __matmul__(self, other: Any) -> ndarray:
        made: ndarray = namespace().matmul(self, other)
        return made

    def __neg__(self) -> ndarray:
        made: ndarray = namespace().negative(self)
        return made

    def __abs__(self) -> ndarray:
        made: ndarray = namespace().abs(self)
        return made

    def __invert__(self) -> ndarray:
        made: ndarray = namespace().invert(self)
        return made

    def __repr__(self) -> str:
        return f"<fake cupy.ndarray {self.dtype}{list(self.shape)} on {self.device}>"


def _filled(shape: tuple[int, ...]) -> Callable[[Any], np.ndarray]:
    return lambda value: np.broadcast_to(value, shape)


_made: list[weakref.ref[Any]] = []


def namespace() -> Any:
    """The fake's module."""
    return _made[0]()


def _binary(name: str, swap: bool = False) -> Callable[..., Any]:
    def call(self: ndarray, other: Any) -> Any:
        if isinstance(other, np.ndarray):  # real CuPy ends in numpy.add(x, y) -> __array_ufunc__
            raise TypeError(f"[{name}] Unsupported type {type(other)}")
        if not isinstance(other, (ndarray, np.generic, *SCALARS)):
            return NotImplemented
        return getattr(namespace(), name)(*((other, self) if swap else (self, other)))

    return call


def _in_place(name: str) -> Callable[..., Any]:
    def call(self: ndarray, other: Any) -> Any:
        return getattr(namespace(), name)(self, other, out=self)

    return call


for _op, _name in {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide",
    "floordiv": "floor_divide", "mod": "remainder", "pow": "power", "and": "bitwise_and",
    "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
}.items():  # fmt: skip
    setattr(ndarray, f"__{_op}__", _binary(_name))
    setattr(ndarray, f"__r{_op}__", _binary(_name, swap=True))
    setattr(ndarray, f"__i{_op}__", _in_place(_name))
for _op, _name in {
    "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
    "ge": "greater_equal",
}.items():  # fmt: skip
    setattr(ndarray, f"__{_op}__", _binary(_name))
