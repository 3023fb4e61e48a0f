"""Compilation as its user sees it: what is compiled, how long it took, a clock that leaves it out.

Machine code is made when it is first needed, in the middle of whatever needs it. A process says
once what it compiles and, when its command is over, once how long that took.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

NAMED = 3  # pieces that are named before the others are counted


@dataclass
class _Tally:
    """What this process compiled and has not told yet."""

    announced: bool = False
    pieces: list[str] = field(default_factory=list)
    seconds: float = 0.0


class _Mine(threading.local):
    """What this thread compiled: others may go on meanwhile."""

    seconds = 0.0
    busy = False


_lock = threading.Lock()
_tally = _Tally()
_mine = _Mine()


def clock() -> float:
    """Seconds, of which none pass while this thread compiles; only differences mean something."""
    return time.perf_counter() - _mine.seconds


@contextmanager
def compiling(*names: str) -> Iterator[None]:
    """Around the compilation of pieces; what they need in turn is compiled in their time."""
    if _mine.busy or not names:
        yield
        return
    _announce(names)
    _mine.busy, start = True, time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - start
        _mine.busy = False
        _mine.seconds += seconds
        with _lock:
            _tally.pieces += names
            _tally.seconds += seconds
        if hasattr(sys, "ps1"):  # in a notebook or a session the command is over sooner than it
            report()


def _announce(names: Sequence[str]) -> None:
    with _lock:
        first, _tally.announced = not _tally.announced, True
    if not first:
        return
    atexit.register(_at_exit)
    _say(f"compiling kernels for this processor: {_listed(names)}, ...")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def report() -> None:
    """Says what was compiled since the last time, and how long it took."""
    with _lock:
        pieces, seconds = _tally.pieces, _tally.seconds
        _tally.pieces, _tally.seconds = [], 0.0
    if pieces:
        what = "1 kernel" if len(pieces) == 1 else f"{len(pieces)} kernels"
        _say(f"compiled {what} in {seconds:.1f} s: {_listed(pieces)}")


def _at_exit() -> None:
    if not hasattr(sys, "last_value"):  # the last line after a traceback is the error
        report()


def _say(text: str) -> None:
    if sys.stderr is not None:
        with suppress(OSError, ValueError):  # a stream that was closed
            print(f"lamina: {text}", file=sys.stderr, flush=True)
