"""Device memory of the fake: pools as CuPy has them, addresses that are real, and fences.

A piece that nobody holds goes back to its pool and may be given to somebody else. Memory that
nobody wrote is NaN. Around every chunk lie bytes that nobody may write.
"""

from __future__ import annotations

import threading
import weakref
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import machine
from .machine import CUDARuntimeError, Freed, Race

FENCE, UNIT = 256, 512
LIMIT = 2**34  # bytes of one device
held = [0] * machine.DEVICES  # of them, by the pools
_local = threading.local()
_lock = threading.RLock()  # of what threads share, each with a device of its own
_chunks: dict[int, weakref.ref[Chunk]] = {}
_starts: list[int] = []


class OutOfMemoryError(MemoryError):
    """`cupy.cuda.memory.OutOfMemoryError`."""


class Chunk:
    """What was got from the driver: bytes between two fences, at a multiple of 256."""

    def __init__(self, size: int, device: int) -> None:
        machine.counts["allocations"] += 1
        self.size, self.device = size, device
        self.bytes = np.full(size + 3 * FENCE, 0xFF, dtype=np.uint8)
        begin = -(self.bytes.ctypes.data + FENCE) % FENCE + FENCE
        self.inside = self.bytes[begin : begin + size]
        self.fences = self.bytes[:begin], self.bytes[begin + size :]
        self.ptr = self.inside.ctypes.data
        with _lock:
            held[device] += size
            insort(_starts, self.ptr)
            _chunks[self.ptr] = weakref.ref(self)
        weakref.finalize(self, _gone, self.ptr, device, size)

    def check(self, name: str) -> None:
        """After work that had an address to write to. Raises: Race."""
        if not all(bool((fence == 0xFF).all()) for fence in self.fences):
            for fence in self.fences:  # what is found is told once
                fence.fill(0xFF)
            raise Race(f"[{name}] wrote outside an array")


def _gone(start: int, device: int, size: int) -> None:
    with _lock:
        _starts.remove(start)
        held[device] -= size


class Piece:
    """A part of a chunk that somebody holds (`cupy.cuda.Memory`)."""

    def __init__(self, chunk: Chunk, pool: MemoryPool, asked: int) -> None:
        self.chunk, self.pool = chunk, weakref.ref(pool)
        self.private = pool is not default_pool
        self.asked = asked  # bytes, of which a chunk has more
        self.ptr, self.size, self.device_id = chunk.ptr, chunk.size, chunk.device
        self.chunk.inside.fill(0xFF)
        self.marks = Marks()
        here = machine.stream()
        self.arena = (chunk.device, here.ptr)
        _pieces[chunk.ptr] = self
        weakref.finalize(self, _returned, weakref.ref(pool), self.arena, chunk)

    @property
    def device(self) -> machine.Device:
        return machine.Device(self.device_id)

    def touched(self, name: str, stream: Any, ticket: int, written: bool) -> None:
        """Work reads or writes it. Raises: Race."""
        self.marks.touched(name, stream, ticket, written)

    def end(self) -> np.ndarray:
        """The bytes behind those that were asked for, which nobody may write."""
        return self.chunk.inside[self.asked :]

    def named(self) -> Named:
        """What a graph keeps: its address."""
        return Named(self)


class Marks:
    """Who wrote a piece last, and who used it last: (stream, ticket)."""

    def __init__(self) -> None:
        self.write: tuple[Any, int] | None = None
        self.use: tuple[Any, int] | None = None

    def touched(self, name: str, stream: Any, ticket: int, written: bool) -> None:
        before = self.use if written else self.write
        if before is not None and not machine.ordered(*before, stream):
            raise Race(f"[{name}] two streams use one piece of memory, and neither waits")
        self.use = (stream, ticket)
        if written:
            self.write = (stream, ticket)


class Named:
    """A piece as a graph knows it: it does not keep it."""

    def __init__(self, piece: Piece) -> None:
        self.piece, self.pool = weakref.ref(piece), piece.pool
        self.chunk, self.marks = weakref.ref(piece.chunk), piece.marks
        self.private = piece.private

    def replayed(self, name: str, stream: Any, ticket: int) -> None:
        """Raises: Freed, Race."""
        chunk = self.chunk()
        owned = self.piece() is not None or (self.private and self.pool() is not None)
        if not owned or chunk is None:
            raise Freed(f"[{name}] a graph was replayed on memory that was let go")
        self.marks.touched(name, stream, ticket, written=True)


def _returned(pool: weakref.ref[MemoryPool], arena: tuple[int, int], chunk: Chunk) -> None:
    owner = pool()
    if owner is not None:
        owner._back(arena, chunk)


class MemoryPointer:
    """`cupy.cuda.MemoryPointer`."""

    def __init__(self, mem: Any, offset: int) -> None:
        self.mem, self.offset = mem, offset
        self.ptr, self.device_id = mem.ptr + offset, mem.device_id

    @property
    def device(self) -> machine.Device:
        return machine.Device(self.device_id)

    def __int__(self) -> int:
        return int(self.ptr)


class MemoryPool:
    """`cupy.cuda.MemoryPool`: free chunks by device, stream and size."""

    def __init__(self, allocator: Callable[[int], Any] | None = None) -> None:
        if allocator is not None:
            raise NotImplementedError("the fake's pools ask the driver")
        self._free: dict[tuple[int, int], dict[int, list[Chunk]]] = {}
        self._used = self._held = 0

    def malloc(self, size: int) -> MemoryPointer:
        rounded = -(-max(size, 1) // UNIT) * UNIT
        arena = (machine.device(), machine.stream().ptr)
        free = self._free.setdefault(arena, {}).get(rounded)
        if free:
            fit = free.pop()
        else:
            if held[machine.device()] + rounded > LIMIT:
                self.free_all_blocks()  # and once more, as the real one does
            if held[machine.device()] + rounded > LIMIT:
                raise OutOfMemoryError(
                    f"Out of memory allocating {rounded:,} bytes"
                    f" (allocated so far: {self._held:,} bytes)."
                )
            fit = Chunk(rounded, machine.device())
            self._held += rounded
        self._used += fit.size
        return MemoryPointer(Piece(fit, self, size), 0)

    def _back(self, arena: tuple[int, int], chunk: Chunk) -> None:
        self._used -= chunk.size
        if not machine.capturing():
            chunk.inside.fill(0xFF)
        self._free.setdefault(arena, {}).setdefault(chunk.size, []).append(chunk)

    def used_bytes(self) -> int:
        return self._used

    def total_bytes(self) -> int:
        return self._held

    def free_bytes(self) -> int:
        return self._held - self._used

    def free_all_blocks(self, stream: Any = None) -> None:
        self._held = self._used
        self._free.clear()


default_pool = MemoryPool()


def mem_info() -> tuple[int, int]:
    """Free bytes of the current device, and all."""
    return LIMIT - held[machine.device()], LIMIT


def allocator() -> Callable[[int], MemoryPointer]:
    """That of this thread."""
    found: Callable[[int], MemoryPointer] = getattr(_local, "allocator", default_pool.malloc)
    return found


@contextmanager
def using_allocator(allocator: Callable[[int], Any] | None = None) -> Iterator[None]:
    """`cupy.cuda.using_allocator`."""
    if allocator is None:
        raise NotImplementedError("None is no pool at all: say which one is meant")
    before = getattr(_local, "allocator", default_pool.malloc)
    _local.allocator = allocator
    try:
        yield
    finally:
        _local.allocator = before


def alloc(size: int) -> MemoryPointer:
    """Memory of the current device. Raises: CUDARuntimeError in a capture, outside its pool."""
    if machine.capturing() and allocator() == default_pool.malloc:
        raise CUDARuntimeError(
            "an allocation in a capture, from a pool that gives the memory to others as well"
        )
    return allocator()(size)


def at(address: int, size: int, name: str) -> Piece:
    """The piece that somebody holds at an address. Raises: CUDARuntimeError where none is."""
    with _lock:
        place = bisect_right(_starts, address) - 1
        chunk = _chunks[_starts[place]]() if place >= 0 else None
    if chunk is None or address + size > chunk.ptr + chunk.size:
        raise CUDARuntimeError(
            f"[{name}] cudaErrorIllegalAddress: {size} bytes at {address:#x} are no device memory"
        )
    piece = _pieces.get(chunk.ptr)
    if piece is None:
        raise CUDARuntimeError(f"[{name}] memory at {address:#x} was let go")
    return piece


_pieces: weakref.WeakValueDictionary[int, Piece] = weakref.WeakValueDictionary()


def array_at(address: int, count: int, dtype: Any, name: str) -> tuple[np.ndarray, Piece]:
    """So many elements at an address, and the piece that they are of."""
    size = count * np.dtype(dtype).itemsize
    piece = at(address, size, name)
    begin = address - piece.ptr
    return piece.chunk.inside[begin : begin + size].view(dtype), piece
