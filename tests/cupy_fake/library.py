"""The five functions of cuBLAS for the fake, with its real signatures, over addresses."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from lamina.backends.cublas import INT, SIGNATURES

from . import machine, memory
from .array import flushed
from .functions import product

KINDS = {0: np.float32, 1: np.float64, 14: np.uint16}
# Of a, b, c, and what is computed in: float32 also in TF32, and of bfloat16.
KNOWN = {(0, 0, 0, 68), (0, 0, 0, 77), (1, 1, 1, 70), (14, 14, 0, 68)}
INVALID = 7  # CUBLAS_STATUS_INVALID_VALUE


class Handle:
    """What cuBLAS keeps. stream: an address; workspace: memory that it may use."""

    def __init__(self) -> None:
        self.device = machine.device()
        self.stream, self.workspace = 0, (0, 0)
        self.mode = 0


_handles: dict[int, Handle] = {}
problems: list[BaseException] = []  # what a callback raised, which ctypes cannot hand on


def _create(place: Any) -> int:
    if machine.capturing():
        return INVALID
    number = 0x1000 + len(_handles)
    _handles[number] = Handle()
    place[0] = number
    return 0


def _set_stream(handle: int, stream: int | None) -> int:
    _handles[handle].stream, _handles[handle].workspace = stream or 0, (0, 0)
    return 0


def _set_workspace(handle: int, address: int, size: int) -> int:
    memory.at(address, size, "cublasSetWorkspace")
    _handles[handle].workspace = (address, size)
    return 0


def _set_math_mode(handle: int, mode: int) -> int:
    if mode != 0:
        raise machine.CUDARuntimeError("float32 was asked for, and not TF32")
    _handles[handle].mode = mode
    return 0


def _matrix(address: int, kind: int, rows: int, columns: int, step: int) -> tuple[Any, Any]:
    """A column-major matrix at an address, and the memory that it is of."""
    if step < max(rows, 1):
        raise machine.CUDARuntimeError(f"a leading dimension of {step} for {rows} rows")
    flat, piece = memory.array_at(address, step * (columns - 1) + rows, KINDS[kind], "cublasGemmEx")
    size = flat.itemsize
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), (size, step * size)), piece


def _gemm(
    handle: int, turned_a: int, turned_b: int, m: int, n: int, k: int, alpha: int, a: int,
    kind_a: int, step_a: int, b: int, kind_b: int, step_b: int, beta: int, c: int, kind_c: int,
    step_c: int, compute: int, algorithm: int,
) -> int:  # fmt: skip
    one = _handles[handle]
    if min(m, n, k) < 1 or (kind_a, kind_b, kind_c, compute) not in KNOWN:
        return INVALID
    here = machine.stream()
    if one.stream != here.ptr or one.device != machine.device():
        raise machine.Race("[cublasGemmEx] a product on another stream than the current one")
    if here.recording is not None and not one.workspace[0]:
        raise machine.CUDARuntimeError("[cublasGemmEx] it allocates a workspace in a capture")
    left, of_a = _matrix(a, kind_a, *((k, m) if turned_a else (m, k)), step_a)
    right, of_b = _matrix(b, kind_b, *((n, k) if turned_b else (k, n)), step_b)
    out, of_c = _matrix(c, kind_c, m, n, step_c)
    number = ctypes.c_float if kind_c == 0 else ctypes.c_double
    scale, keep = (number.from_address(p).value for p in (alpha, beta))
    if (scale, keep) != (1.0, 0.0):
        raise NotImplementedError("the fake multiplies by one and adds nothing")
    fence = of_c.chunk.check
    left, right = left.T if turned_a else left, right.T if turned_b else right

    def work() -> None:
        with np.errstate(all="ignore"):
            out[...] = flushed(product(*(factor(x, compute) for x in (left, right))))
        fence("cublasGemmEx")

    used = memory.at(one.workspace[0], one.workspace[1], "workspace")
    machine.do("cublas", work, [of_a, of_b], [of_c, used])
    return 0


def factor(x: np.ndarray, compute: int) -> np.ndarray:
    """What is multiplied: bfloat16 as the numbers that it is, rounded for TF32 or as it is."""
    if x.dtype == np.uint16:
        return (x.astype(np.uint32) << 16).view(np.float32)
    if compute != 77:
        return x
    bits = np.ascontiguousarray(x).view(np.uint32)
    rounded = (bits + np.uint32(0xFFF) + (bits >> 13 & 1)) & np.uint32(0xFFFFE000)
    return np.where(np.isfinite(x), rounded.view(np.float32), x)


WORK: dict[str, Callable[..., int]] = {
    "cublasCreate_v2": _create,
    "cublasSetStream_v2": _set_stream,
    "cublasSetWorkspace_v2": _set_workspace,
    "cublasSetMathMode": _set_math_mode,
    "cublasGemmEx": _gemm,
}


def _function(name: str) -> Callable[..., int]:
    """A C function of that name; what goes wrong inside is raised by who called it."""

    def guarded(*arguments: Any) -> int:
        try:
            return WORK[name](*arguments)
        except BaseException as error:
            problems.append(error)
            return -1

    inside = ctypes.CFUNCTYPE(INT, *SIGNATURES[name])(guarded)

    def call(*arguments: Any) -> int:
        code = int(inside(*arguments))
        if problems:
            raise problems.pop()
        return code

    return call


@cache
def library() -> Any:
    """What stands in for libcublas."""
    return SimpleNamespace(**{name: _function(name) for name in WORK})
