"""CUDA graphs through CuPy: what `captured` asks of a device."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from .device import Array


class Pool(AbstractContextManager["Pool"]):
    """Memory that nobody else gets: within it, arrays come from a pool of its own.

    A graph names addresses. What a step makes and lets go of stays in the pool, for as long as it
    is there, and replays of one stream may share it.
    """

    def __init__(self, cupy: Any) -> None:
        self._cupy, self._memory = cupy, cupy.cuda.MemoryPool()
        self._open: list[Any] = []

    @property
    def bytes(self) -> int:
        """What it has taken from the device."""
        return int(self._memory.total_bytes())

    def __enter__(self) -> Pool:
        inside = self._cupy.cuda.using_allocator(self._memory.malloc)
        inside.__enter__()
        self._open.append(inside)
        return self

    def __exit__(self, *details: Any) -> None:
        self._open.pop().__exit__(*details)


class CudaGraphs:
    """Graphs of one stream, which is current wherever its methods are called.

    replaying: whether steps are recorded; else each is launched anew, with the same numbers.
    """

    def __init__(self, cupy: Any, stream: Any, replaying: bool = True) -> None:
        self._cupy, self._stream, self.replaying = cupy, stream, replaying

    def pool(self) -> Pool:
        """See `Graphs.pool`."""
        return Pool(self._cupy)

    def put(self, going: Array, target: Array, source: Array) -> None:
        """See `Graphs.put`."""
        self._cupy.copyto(target, source, where=going)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """See `Graphs.capture`; what cannot be recorded is launched anew, with a warning."""
        if not self.replaying:
            return work
        try:
            with self._recording() as graphs:
                work()
        except Exception as error:
            warned("a step could not be captured, and is launched piece by piece", error)
            return work
        replay: Callable[[], None] = graphs[0].launch
        return replay

    @contextmanager
    def _recording(self) -> Iterator[list[Any]]:
        """Gets the graph. Whatever happens, the stream is not being captured behind it."""
        found: list[Any] = []
        self._stream.begin_capture()
        try:
            yield found
        except BaseException:
            with contextlib.suppress(Exception):  # the first error says what is wrong
                self._stream.end_capture()
            raise
        found.append(self._stream.end_capture())


def warned(what: str, error: Exception) -> None:
    """Warns of what is done in another way, with the first line of why."""
    first = f"{type(error).__name__}: {error}".splitlines()[0]
    warnings.warn(f"{what} ({first})", RuntimeWarning, stacklevel=3)
