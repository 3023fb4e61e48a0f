"""Persistent kernels: one block trains for many steps, in memory that its threads share.

Nothing is said anew of what a step does: it is asked for as from a GPU, and each launch that this
leads to is written down (`launch.recorded`) as the call of a function, with the addresses that its
arrays have in the shared memory of the block. Every kernel here may be such a function, for none
counts on how many threads there are; between two calls the whole block waits. So there is no launch
inside a run, and nothing that blocks have to wait for each other for.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from .expressions import TYPES, literal
from .launch import BLOCK, DTYPES, THREADS, launch_from, load
from .sources import HERE, Entry, Parameter, Source

Array = Any
KERNEL = "train_steps"
ALIGNMENT = 16  # bytes, of what lies in shared memory
STATIC = 6 << 10  # bytes of shared memory that the functions have beside it, at most
_KERNEL = re.compile(r'extern "C" __global__ void\s+__launch_bounds__\(\d+\)\s+')


class Unwritten(Exception):
    """A step that one block cannot do: it has no kernel for something, or not enough memory."""


@dataclass(frozen=True)
class Outside:
    """Memory of the device that a persistent kernel is given.

    copied: whether it lies in shared memory meanwhile, at `offset`; it is written back then.
    """

    name: str
    kind: str
    offset: int = -1
    count: int = 0

    @property
    def copied(self) -> bool:
        """Whether the block works on a copy."""
        return self.offset >= 0


@dataclass(frozen=True)
class Persistent:
    """A kernel for many steps.

    image: what shared memory holds when a run begins, uint32. outside: what the kernel is given
    behind it, in order; then come the seed and the number of steps.
    """

    source: Source
    image: np.ndarray
    outside: tuple[Outside, ...]

    @property
    def bytes(self) -> int:
        """Of shared memory that it asks for."""
        return int(self.image.nbytes)

    def load(self) -> None:
        """Compiles it, unless that was done before, and loads it. Raises: what CuPy says of it."""
        load(self.source, KERNEL, self.bytes)

    def launch(self, image: Array, given: Mapping[str, Array], seed: int, steps: int) -> None:
        """One launch. image: on the device. given: what lies outside, by its name."""
        outside = [given[one.name] for one in self.outside]
        launch_from(
            self.source, KERNEL, (1,), BLOCK, image, *outside, seed, steps, shared=self.bytes
        )


class _Piece:
    """A part of the image that somebody holds."""

    def __init__(self, image: np.ndarray, count: int, dtype: np.dtype[Any]) -> None:
        inside = image[: count * dtype.itemsize].view(dtype)
        self.__array_interface__ = {**inside.__array_interface__}
        self.image = image


class Text:
    """A step while it is written down; `launch.Recorder`.

    dtype: what `real` is. most: bytes of shared memory that there are.
    """

    def __init__(self, dtype: str, most: int) -> None:
        self.dtype, self.most = dtype, most - STATIC
        whole = np.zeros(max(self.most, 0) + ALIGNMENT, np.uint8)
        begin = -whole.ctypes.data % ALIGNMENT
        self.image = whole[begin : begin + max(self.most, 0)]
        self.used = 0
        self.free: list[tuple[int, int]] = []  # (bytes, offset) that were let go
        self.outside: list[tuple[Outside, Array]] = []
        self.sources: list[Source] = []
        self.lines: list[str] = []

    # Memory

    def array(self, count: int, dtype: str) -> Array:
        """Zeros in shared memory, (count,). Raises: Unwritten where there is no more."""
        kind = np.dtype(dtype)
        size = -(-max(count, 1) * kind.itemsize // ALIGNMENT) * ALIGNMENT
        fitting = [one for one in self.free if one[0] >= size and self.lines]
        if fitting:
            found = min(fitting)
            self.free.remove(found)
            size, offset = found
        else:
            offset, self.used = self.used, self.used + size
            if self.used > self.most:
                raise Unwritten(f"{self.used:,} bytes of shared memory, of {self.most:,}")
        piece = _Piece(self.image[offset:], count, kind)
        weakref.finalize(piece, self.free.append, (size, offset)).atexit = False
        return np.asarray(piece)

    def constant(self, host: Any) -> Array:
        """A copy in shared memory, of what no step writes."""
        if self.lines:
            raise Unwritten("a constant within a step")
        value = np.asarray(host)
        made = self.array(value.size, str(value.dtype)).reshape(value.shape)
        made[...] = value
        return made

    def empty(self, shape: tuple[int, ...], dtype: str) -> Array:
        """Memory for what lives during a call."""
        return self.array(int(np.prod(shape)), dtype).reshape(shape)

    def given(self, name: str, array: Array) -> Array:
        """Memory of the device that is read where it is, in the place of an array of that kind."""
        self.outside.append((Outside(name, str(array.dtype)), array))
        return array

    def copied(self, name: str, array: Array) -> Array:
        """Shared memory that is a copy of memory of the device during a run."""
        offset = self._offset(array)
        assert offset is not None
        self.outside.append((Outside(name, str(array.dtype), offset, array.size), array))
        return array

    def _offset(self, array: Array) -> int | None:
        at = array.__array_interface__["data"][0] - self.image.ctypes.data
        return at if 0 <= at < len(self.image) else None

    # Statements

    def launched(self, where: Source, entry: Entry, arguments: Sequence[Any]) -> None:
        """See `launch.Recorder`."""
        kinds = {p.type for p in entry.parameters}
        if "real" in kinds and where.dtype != self.dtype:
            raise Unwritten(f"{entry.name} of {where.dtype}")
        if where.text not in [known.text for known in self.sources]:
            if "real" not in kinds or where.dtype != self.dtype:
                where = Source(where.name, self.dtype, where.text)
            self.sources.append(where)
        pairs = zip(entry.parameters, arguments, strict=True)
        self._call(entry.name, [self._argument(p, value) for p, value in pairs])

    def product(self, a: Array, b: Array, out: Array, transpose_a: bool, transpose_b: bool) -> None:
        """out = a b, of row-major matrices; each factor transposed where it says so."""
        (m, n), k = out.shape, a.shape[0 if transpose_a else 1]
        tile = next((t for t in (4, 2) if -(-m // t) * -(-n // t) >= THREADS), 1)
        steps = [
            (1, x.shape[1]) if turned else (x.shape[1], 1)
            for x, turned in ((a, transpose_a), (b, transpose_b))
        ]
        taken: list[str] = []
        for x, (down, along) in zip((a, b), steps, strict=True):
            taken += [self._pointer(x, "const real*"), str(down), str(along)]
        taken += [self._pointer(out, "real*"), str(m), str(n), str(k)]
        self._call(f"product<{tile}, {str(transpose_b).lower()}>", taken)

    def _call(self, name: str, arguments: Sequence[str]) -> None:
        self.lines += [f"{name}({', '.join(arguments)});", "__syncthreads();"]

    def _argument(self, parameter: Parameter, value: Any) -> str:
        if isinstance(value, np.ndarray):
            return self._pointer(value, parameter.declared)
        if parameter.pointer:
            return "nullptr"
        dtype = self.dtype if parameter.type == "real" else DTYPES[parameter.type]
        return literal(dtype, value)

    def _pointer(self, array: Array, declared: str) -> str:
        offset = self._offset(array)
        if offset is not None:
            return f"({declared})(memory + {offset})"
        at = array.__array_interface__["data"][0]
        for one, known in self.outside:
            start = known.__array_interface__["data"][0]
            if not one.copied and start <= at < start + max(known.nbytes, 1):
                return f"({declared})({one.name} + {(at - start) // known.itemsize})"
        raise Unwritten("an array that is not in shared memory")

    # The kernel

    def kernel(self, going: Array, seed: Array) -> Persistent:
        """All that was written, as many times as the kernel is told.

        going: (1,), in shared memory, whether the next step is taken. seed: (1,) int64 there.
        """
        assert not self._left(going)
        words = self.image[: -(-self.used // 4) * 4].view(np.uint32).copy()
        outside = tuple(one for one, _ in self.outside)
        text = "\n".join([*self._functions(), *self._text(outside, going, seed, len(words))])
        return Persistent(Source(KERNEL, self.dtype, text + "\n", True), words, outside)

    def _left(self, array: Array) -> bool:
        return self._offset(array) is None

    def _functions(self) -> list[str]:
        """The kernels that are called, as functions."""
        made = [block()]
        for one in self.sources:
            made.append(_KERNEL.sub("static __device__ void ", one.text))
        return made

    def _text(self, outside: Sequence[Outside], going: Array, seed: Array, words: int) -> list[str]:
        taken = ["const unsigned* image"]
        for one in outside:
            kind = "real" if one.kind == self.dtype and one.copied else TYPES[one.kind]
            taken.append(f"{'' if one.copied else 'const '}{kind}* {one.name}")
        taken += ["long long seed", "int steps"]
        moved = [
            (one.name, f"({TYPES[one.kind]}*)(memory + {one.offset})", one.count)
            for one in outside if one.copied
        ]  # fmt: skip
        return [
            f'extern "C" __global__ void __launch_bounds__({THREADS}) {KERNEL}(',
            f"    {', '.join(taken)}) {{",
            "  extern __shared__ double2 shared_memory[];",
            "  char* memory = (char*)shared_memory;",
            "  volatile int nothing = 0;  // added to addresses, so that none is kept",
            f"  copy(image, (unsigned*)memory, {words});",
            "  __syncthreads();  // the image is there, and lies under what comes next",
            *(f"  copy({name}, {place}, {count});" for name, place, count in moved),
            f"  if (thread() == 0) *(long long*)(memory + {self._offset(seed)}) = seed;",
            "  __syncthreads();  // all is there",
            f"  const bool* going = (bool*)(memory + {self._offset(going)});",
            "#pragma unroll 1",
            "  for (int step = 0; step < steps && *going; step++) {",
            "    char* memory = (char*)shared_memory + nothing;",
            *(f"    {line}" for line in self.lines),
            "  }",
            *(f"  copy({place}, {name}, {count});" for name, place, count in moved),
            "}",
        ]


@cache
def block() -> str:
    """The functions that only kernels which are written down have."""
    return (HERE / "block.cuh").read_text()
