"""Answers of DuckDB in batches, without holding them whole: over Arrow's C stream interface.

https://arrow.apache.org/docs/format/CStreamInterface.html; DuckDB fills it without any library of
Arrow's, and columns are views of its memory, or copies of them.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
from collections.abc import Iterator
from ctypes import POINTER, Structure, addressof, c_char_p, c_int, c_int64, c_void_p
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


LARGE = 1 << 20  # bytes, from which on memory is the system's and not the allocator's


_Call = ctypes.CFUNCTYPE(None, c_void_p)  # of an address of one of these
_Ask = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p)


class _Schema(Structure):
    _fields_ = (
        ("format", c_char_p), ("name", c_char_p), ("metadata", c_void_p), ("flags", c_int64),
        ("n_children", c_int64), ("children", POINTER(c_void_p)), ("dictionary", c_void_p),
        ("release", _Call), ("private", c_void_p),
    )  # fmt: skip


class _Array(Structure):
    _fields_ = (
        ("length", c_int64), ("null_count", c_int64), ("offset", c_int64), ("n_buffers", c_int64),
        ("n_children", c_int64), ("buffers", POINTER(c_void_p)), ("children", POINTER(c_void_p)),
        ("dictionary", c_void_p), ("release", _Call), ("private", c_void_p),
    )  # fmt: skip


class _Stream(Structure):
    _fields_ = (
        ("get_schema", _Ask), ("get_next", _Ask),
        ("get_last_error", ctypes.CFUNCTYPE(c_char_p, c_void_p)), ("release", _Call),
        ("private", c_void_p),
    )  # fmt: skip


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = c_void_p, [ctypes.py_object, c_char_p]

Column = np.ndarray | list[str | None] | tuple[np.ndarray, tuple[str, ...]]
PIECE = 1 << 22  # bytes, about, that are kept together
BATCH = 8_192  # rows that are encoded together, so that they stay in the processor's cache
SPAN = 1 << 20  # of whole numbers, within which they are counted rather than sorted


def batches(
    connection: DuckDBPyConnection, query: str, hold: bool = True
) -> Iterator[list[Column]]:
    """The columns of an answer, some rows at a time.

    hold: whether columns may be kept; else they are good, and not to be written, until the next are
    asked for.

    Columns of DOUBLE come as float64 with NaN for NULL, of TIMESTAMP as datetime64[us] with NaT, of
    BOOLEAN as int8 and of INTEGER as int32 with -1 for NULL, of VARCHAR as lists of words and None,
    of BIGINT as places in words, -1 for NULL, and the words.
    Raises: what DuckDB does, when it is asked; RuntimeError where it fails later.
    """
    capsule = connection.sql(query).__arrow_c_stream__()
    stream = _Stream.from_address(_pointer(capsule, b"arrow_array_stream"))
    schema, array = _Schema(), _Array()
    _check(stream, stream.get_schema(addressof(stream), addressof(schema)))
    try:
        children = [_Schema.from_address(schema.children[i]) for i in range(schema.n_children)]
        formats = [child.format.decode() for child in children]
        while True:
            _check(stream, stream.get_next(addressof(stream), addressof(array)))
            if not array.release:
                return
            parts = _moved(array)
            try:
                if hold:
                    yield from _kept(parts, formats)
                else:
                    yield [_column(*each) for each in zip(parts, formats, strict=True)]
            finally:
                for part in parts:
                    _release(part)
    finally:
        schema.release(addressof(schema))
        del capsule


def _moved(array: _Array) -> list[_Array]:
    """The columns of an array, each to be released by itself; the array is."""
    parts = []
    for at in range(array.n_children):
        child = _Array.from_address(array.children[at])
        parts.append(_Array.from_buffer_copy(child))
        child.release = _Call()
    array.release(addressof(array))
    return parts


def _release(array: _Array) -> None:
    if array.release:
        array.release(addressof(array))


def _kept(parts: list[_Array], formats: list[str]) -> Iterator[list[Column]]:
    """Copies of columns, so many rows at a time that they can be given up one after the other."""
    rows = parts[0].length if parts else 0
    size = max(PIECE // (8 * max(len(parts), 1)) // BATCH, 1) * BATCH
    starts = range(0, rows, size)
    rooms = [_room(min(size, rows - start) * 8 * len(parts)) for start in starts]
    pieces: list[list[Column]] = [[] for _ in starts]
    for at, (part, format) in enumerate(zip(parts, formats, strict=True)):
        column = _column(part, format)
        for start, room, piece in zip(starts, rooms, pieces, strict=True):
            stop = min(start + size, rows)
            if isinstance(column, tuple):
                piece.append((column[0][start:stop], column[1]))
            elif isinstance(column, list):
                piece.append(column[start:stop])
            else:
                place = room[at * (stop - start) * 8 :][: (stop - start) * column.itemsize]
                piece.append(place.view(column.dtype))
                place.view(column.dtype)[:] = column[start:stop]
        del column
        _release(part)
    yield from pieces


def _room(size: int) -> np.ndarray:
    """So many bytes; much of it is given back to the system as soon as nothing has it."""
    if size < LARGE:
        return np.empty(size, np.uint8)
    room = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # touching it page by page costs more than copying
        with contextlib.suppress(OSError):  # a kernel without them
            room.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(room, np.uint8)


def _check(stream: _Stream, code: int) -> None:
    if code:
        told = stream.get_last_error(addressof(stream)) or b""
        raise RuntimeError(told.decode(errors="replace") or f"DuckDB's stream failed: {code}")


def _view(array: _Array, number: int, dtype: Any, count: int) -> np.ndarray:
    """A buffer of an array as NumPy's, which lives until the array is released."""
    dtype = np.dtype(dtype)
    address = array.buffers[number]
    if not address or not count:
        return np.empty(0, dtype)
    held = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
    return np.frombuffer(held, dtype, count)


def _gone(array: _Array, length: int) -> np.ndarray | None:
    """Which of the cells are NULL, or None where none is."""
    if not array.null_count or not array.buffers[0]:
        return None
    size = array.offset + length
    bits = np.unpackbits(_view(array, 0, np.uint8, (size + 7) // 8), bitorder="little")
    return np.asarray(bits[array.offset : size] == 0)


def _column(array: _Array, format: str) -> Column:
    """A column: a view of numbers and times without NULLs."""
    length, first = array.length, array.offset
    gone = _gone(array, length)
    if format in ("u", "U"):
        return _words(array, np.int64 if format == "U" else np.int32, length, first, gone)
    if format == "b":
        bits = np.unpackbits(
            _view(array, 1, np.uint8, (first + length + 7) // 8), bitorder="little"
        )
        found = bits[first : first + length].view(np.int8)
    elif format == "l":
        return _whole(_view(array, 1, np.int64, first + length)[first:], gone)
    elif format == "i":
        found = _view(array, 1, np.int32, first + length)[first:]
    elif format.startswith("tsu"):
        found = _view(array, 1, "datetime64[us]", first + length)[first:]
    else:
        found = _view(array, 1, np.float64, first + length)[first:]
    if gone is None:
        return found
    nothing: Any = {"M": np.datetime64("NaT"), "f": np.nan}.get(found.dtype.kind, -1)
    return np.where(gone, np.asarray(nothing, found.dtype), found)


def _whole(values: np.ndarray, gone: np.ndarray | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Whole numbers as places in words, -1 where there is none, and the words."""
    codes = np.full(len(values), -1, np.int32)
    known = slice(None) if gone is None else ~gone
    told = values[known]
    least = int(told.min(initial=np.iinfo(np.int64).max))
    span = int(told.max(initial=np.iinfo(np.int64).min)) - least + 1
    if 0 < span <= SPAN:
        places = np.zeros(span, np.int32)
        places[told - least] = 1
        words = np.flatnonzero(places) + least
        places = np.cumsum(places, dtype=np.int32) - 1
        codes[known] = places[told - least]
    else:
        words, codes[known] = np.unique(told, return_inverse=True)
    return codes, tuple(map(str, words.tolist()))


def _words(
    array: _Array, dtype: Any, length: int, first: int, gone: np.ndarray | None
) -> list[str | None]:
    ends = _view(array, 1, dtype, first + length + 1)[first:].tolist()
    data = _view(array, 2, np.uint8, ends[-1]).tobytes() if length else b""
    if data.isascii():
        text = data.decode()
        words: list[str | None] = [text[a:b] for a, b in pairwise(ends)]
    else:
        words = [data[a:b].decode() for a, b in pairwise(ends)]
    if gone is not None:
        for at in np.flatnonzero(gone).tolist():
            words[at] = None
    return words
