"""Launches: arguments held to a kernel's signature, and how many threads there are.

A kernel is launched on the current stream of the current device, and a launch may be captured: it
copies nothing, waits for nothing, and allocates nothing. A number that differs between the replays
of a captured step is given as an array of rank 0 (`number`), which the kernel reads when it runs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, Protocol

import numpy as np

from .sources import Entry, Parameter, Source, file_of, source

Array = Any
DTYPES = {
    "float": "float32", "double": "float64", "int": "int32", "unsigned": "uint32",
    "unsigned short": "uint16",
    "long long": "int64", "unsigned long long": "uint64", "bool": "bool",
}  # fmt: skip
THREADS = 256
MOST_BLOCKS = 4096  # beyond some waves of blocks, a thread takes more elements
WARP = 32
NOTHING = np.uint64(0)  # the address of what was left out
BLOCK = (WARP, THREADS // WARP)  # threads of the one block that does what is written down


class Recorder(Protocol):
    """Who writes launches down, for one block to do each of them with all of its threads."""

    def launched(self, where: Source, entry: Entry, arguments: Sequence[Any]) -> None:
        """A launch, with arguments as the kernel takes them."""

    def empty(self, shape: tuple[int, ...], dtype: str) -> Array:
        """Memory for what lives during a call."""


_turn = threading.Lock()
_recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


def recorder() -> Recorder | None:
    """Who writes launches down at present, instead of doing them."""
    return _recorder.get()


@contextmanager
def recorded(by: Recorder) -> Iterator[None]:
    """While it lasts, launches are written down."""
    before = _recorder.set(by)
    try:
        yield
    finally:
        _recorder.reset(before)


def launch(
    kernel: str, dtype: str, grid: Sequence[int], block: Sequence[int], *arguments: Any
) -> None:
    """Launches a kernel of the files here, compiled for a dtype.

    grid, block: how many blocks, and threads of each, along up to three axes. arguments: an array
    or None for each pointer, a number for the rest. Raises: TypeError, ValueError for what the
    kernel does not take.
    """
    launch_from(source(file_of(kernel), dtype), kernel, grid, block, *arguments)


def launch_from(
    where: Source, kernel: str, grid: Sequence[int], block: Sequence[int], *arguments: Any,
    shared: int = 0,
) -> None:  # fmt: skip
    """Launches a kernel of a source. shared: bytes that a block gets beside its own memory."""
    entry, by = where.entries[kernel], recorder()
    taken = checked(entry, where.dtype, arguments)
    if by is not None:
        by.launched(where, entry, taken)
        return
    import cupy

    threads = int(np.prod(block))
    if not 0 < threads <= entry.threads or min(grid) < 1:
        raise ValueError(f"[{kernel}] cannot run {grid} blocks of {block} threads")
    function = _function(cupy, where, kernel)
    function(tuple(grid), tuple(block), taken, **({"shared_mem": shared} if shared else {}))


def load(where: Source, kernel: str, shared: int) -> None:
    """Compiles and loads a kernel for blocks with so many bytes of memory beside their own."""
    import cupy

    _function(cupy, where, kernel).max_dynamic_shared_size_bytes = shared


def _function(cupy: Any, where: Source, kernel: str) -> Any:
    with _turn:  # two threads that made one each would load the second where it may be captured
        return _found(cupy, where, kernel)


@cache
def _found(cupy: Any, where: Source, kernel: str) -> Any:
    return _module(cupy, where).get_function(kernel)


@cache
def _module(cupy: Any, where: Source) -> Any:
    # CuPy compiles at the first use on a device, and keeps what it compiled on disk.
    return cupy.RawModule(code=where.code, options=where.options, backend="nvrtc")


def checked(entry: Entry, dtype: str, arguments: Sequence[Any]) -> tuple[Any, ...]:
    """Arguments as a kernel takes them, each of exactly its parameter's type.

    Raises: TypeError, ValueError.
    """
    if len(arguments) != len(entry.parameters):
        names = ", ".join(p.name for p in entry.parameters)
        raise TypeError(f"[{entry.name}] takes {names}; {len(arguments)} arguments were given")
    pairs = zip(entry.parameters, arguments, strict=True)
    return tuple(_checked(entry.name, p, dtype, value) for p, value in pairs)


def _checked(kernel: str, parameter: Parameter, dtype: str, value: Any) -> Any:
    wanted = dtype if parameter.type == "real" else DTYPES[parameter.type]
    if not parameter.pointer:
        if wanted not in ("float32", "float64") and value != np.dtype(wanted).type(value):
            raise ValueError(f"[{kernel}] {parameter.name} = {value} is no {wanted}")
        return np.dtype(wanted).type(value)
    if value is None:
        return NOTHING
    if str(value.dtype) != wanted:
        raise TypeError(f"[{kernel}] {parameter.name} is of {value.dtype}, not of {wanted}")
    if not value.flags.c_contiguous:
        raise ValueError(f"[{kernel}] {parameter.name} is not row-major")
    return value


def number(value: Any) -> tuple[Any, Any]:
    """A number of the step as a kernel takes it: the number, or where it lies on the device."""
    if isinstance(value, (int, float, np.generic)):
        return value, None
    return 0, value


def flat(count: int, each: int = 4) -> tuple[tuple[int], tuple[int, ...]]:
    """Blocks and threads for so many elements, of which a thread takes about `each`."""
    if recorder() is not None:
        return (1,), BLOCK
    blocks = -(-count // (THREADS * each))
    return (min(max(blocks, 1), MOST_BLOCKS),), (THREADS,)


def teams(rows: int, columns: int) -> tuple[tuple[int], tuple[int, int]]:
    """Blocks and threads where a team takes a row: a warp, or a block for long rows."""
    if recorder() is not None:
        return (1,), BLOCK
    if columns <= 8 * WARP:
        across, down = WARP, THREADS // WARP
    else:
        across, down = min(WARP * -(-columns // (4 * WARP)), THREADS), 1
    return (min(max(-(-rows // down), 1), MOST_BLOCKS),), (across, down)
