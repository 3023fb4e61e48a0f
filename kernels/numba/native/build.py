"""Many pieces of machine code at once: what is not on disk is compiled by two processes.

Numba compiles with one thread, seconds for some steps, and the first program of a fresh machine
needs some twenty. A second process takes half of them and leaves them on disk, where this one then
finds them. Where it cannot be started, or fails, this one compiles everything.
"""

from __future__ import annotations

import subprocess
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from threading import Thread
from typing import Any

from ...compilation import compiling
from ...isolated import PACKAGE, command
from . import compiled
from .compiled import Piece

FEW = 4  # pieces that are compiled sooner than another process has started
# Those that take longest, in that order: the last ones to be compiled should be short.
LONG = (
    "softmax_cross_entropy", "product_tiles", "sigmoid_binary_cross_entropy", "activate",
    "activate_backward", "log_softmax", "softmax", "lead", "arithmetic", "serve", "adam", "compare",
    "column_sums",
)  # fmt: skip
SERVE = f"""
from {PACKAGE}.kernels.numba.native import build
build.serve(sys.stdin, sys.stdout)
"""


def prepare(wanted: Iterable[Piece], cores: int) -> None:
    """Makes pieces ready: from disk, or compiled. cores: those that may be used."""
    missing = [piece for piece in dict.fromkeys(wanted) if not compiled.load(piece)]
    missing.sort(key=lambda piece: LONG.index(piece[0]) if piece[0] in LONG else len(LONG))
    with compiling(*map(compiled.named, missing)):
        _make(missing, cores)


def _make(missing: list[Piece], cores: int) -> None:
    """Compiles pieces, by two processes where that is sooner."""
    left = deque(missing)
    other = None
    if cores > 1 and len(missing) >= FEW and compiled.keeps():
        other = _start()
    if other is None:
        for one in missing:
            compiled.make(one)
        return
    feeder = Thread(target=_feed, args=(other, left), name="lamina-compiler", daemon=True)
    feeder.start()
    try:
        while (piece := _next(left)) is not None:
            compiled.make(piece)
        feeder.join()
    finally:  # after an error or Ctrl-C as well
        left.clear()
        other.kill()
        feeder.join()
        for stream in (other.stdin, other.stdout):
            with suppress(OSError):  # of a process that ended by itself
                stream.close()  # type: ignore[union-attr]
        other.wait()
    for one in missing:
        compiled.make(one)


def _next(left: deque[Piece]) -> Piece | None:
    try:
        return left.popleft()
    except IndexError:
        return None


def _start() -> subprocess.Popen[str] | None:
    """A process that waits for pieces to compile; None where there is none to be had."""
    try:
        return subprocess.Popen(
            command(SERVE), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
    except (OSError, ValueError):
        return None


def _feed(other: subprocess.Popen[str], left: deque[Piece]) -> None:
    """Gives the other process a piece at a time, until none is left or it has ended."""
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        while (piece := _next(left)) is not None:
            other.stdin.write(" ".join(piece) + "\n")
            other.stdin.flush()
            if not other.stdout.readline():
                return
    except OSError:  # it has ended; what it was given is compiled here
        return


def serve(orders: Any, answers: Any) -> None:
    """Compiles the pieces that are named, a line each, and answers each with a line."""
    for line in orders:
        name, _, dtype = line.rstrip("\n").partition(" ")
        compiled.make((name, dtype))
        answers.write("done\n")
        answers.flush()


def warmup(dtypes: Iterable[str], cores: int) -> list[Piece]:
    """Makes the loops and every step ready, and says which pieces they are."""
    pieces = [(name, "") for name in compiled.LOOPS]
    pieces += [(name, dtype) for dtype in dtypes for name in compiled.names()]
    prepare(pieces, cores)
    return pieces
