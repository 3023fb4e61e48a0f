"""How many CPU threads lamina computes with, and who has which of them.

A native run splits its work over threads of its own and calls BLAS from each, so BLAS must not
split it once more. BLAS's limit holds for the whole process: while any run that calls it is active
it is one thread, and the last such run to end puts the old number back. Runs of several Python
threads share the cores: each takes what is free, one at least.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..kernels.errors import BadInput
from ..kernels.host import usable_cores
from ..kernels.memory import address, aligned

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_limit: list[Any] = []  # the limiter must stay alive, or the limit goes with it
_chosen: list[int] = []  # the number that set_threads was given
_mine = threading.local()  # of each Python thread: whether its runs take one core


def set_threads(count: int) -> None:
    """Computes with `count` threads at most (a whole number from 1), in BLAS and OpenMP as well.

    Results are bit-identical for the same number. Raises: BadInput.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise BadInput(f"set_threads takes a whole number from 1, not {count!r}")
    from threadpoolctl import threadpool_limits

    _limit[:] = [threadpool_limits(count)]
    _chosen[:] = [count]
    if "numba" in sys.modules:
        numba: Any = sys.modules["numba"]
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))


@cache
def _apply(value: str) -> None:
    if not value.isdigit() or int(value) < 1:
        raise BadInput(f"LAMINA_THREADS must be a whole number from 1, not {value!r}")
    set_threads(int(value))


def apply_environment() -> None:
    """Applies LAMINA_THREADS, once for each value of it."""
    value = os.environ.get("LAMINA_THREADS")
    if value:
        _apply(value)


def count() -> int:
    """The number of shares that work is split into: what was set, or the usable cores.

    Where nothing was set, OMP_NUM_THREADS says how many of them run at once: a pool of processes,
    such as joblib's, gives each worker its part of the cores there. The shares stay the same, and
    so do the numbers. Within `single` there is one.
    """
    apply_environment()
    shares = _chosen[0] if _chosen else usable_cores()
    word = "" if _chosen else os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    crew.limit = min(shares, max(int(word), 1)) if word.isdecimal() else shares
    return 1 if getattr(_mine, "single", False) else shares


def at_once() -> int:
    """How many cores work at the same time, at most; a share may have to wait."""
    count()
    return int(crew.limit)


@contextmanager
def single() -> Iterator[None]:
    """While this lasts the runs of this Python thread take one core each.

    For who trains several models at once, a thread each: runs that split their work over threads
    wait for each other at every step, those of different models never.
    """
    before = getattr(_mine, "single", False)
    _mine.single = True
    try:
        yield
    finally:
        _mine.single = before


def chosen() -> int:
    """The number that the user has set; 0 where nobody did."""
    apply_environment()
    return _chosen[0] if _chosen else 0


@contextmanager
def at_most(count: int) -> Iterator[None]:
    """While this lasts `count` threads compute, unless the user has said how many."""
    if chosen() or count >= usable_cores():
        yield
        return
    set_threads(count)
    try:
        yield
    finally:
        for one in _limit:
            one.restore_original_limits()
        _limit.clear()
        _chosen.clear()


class Helper:
    """A thread that runs its shares of native programs: awake for a while after each, then asleep.

    Waking a thread takes longer than predicting a row, so one that was just needed looks for more.
    """

    def __init__(self) -> None:
        from ..kernels.numba.native import compiled, interpreter

        self.mailbox = aligned(interpreter.MAILBOX_SLOTS, "int64")
        self.address = address(self.mailbox)
        # Locked: nobody has rung since it last looked. It may fall asleep between any look at its
        # state and the run, so the bell is rung for each run; it then looks once in vain.
        self.bell = threading.Lock()
        self.bell.acquire()
        self.serve = compiled.server()
        self.thread = threading.Thread(target=self._live, name="lamina", daemon=True)
        self.thread.start()

    def _live(self) -> None:
        while True:
            self.bell.acquire()
            if crew.closed:
                return
            self.serve(self.address)

    def ring(self) -> None:
        """Has it look for work. One caller at a time."""
        if self.bell.locked():
            self.bell.release()


class Crew:
    """The threads of this process that run native programs."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.limit = 1  # as `count` last said
        self.busy = 0  # cores taken by runs
        self.runs = 0  # those that call BLAS
        self.helpers: list[Helper] = []
        self.free: list[Helper] = []
        self.closed = False
        self.reader: ThreadPoolExecutor | None = None
        self.workers: ThreadPoolExecutor | None = None
        self.limited: list[tuple[Any, int]] = []  # BLAS libraries and their numbers of threads
        self.libraries: list[Any] | None = None

    def take(self, wanted: int) -> list[Helper]:
        """Takes a core for this thread, and helpers for up to `wanted` cores together."""
        with self.lock:
            extra = max(min(wanted, self.limit - self.busy), 1) - 1
            while len(self.free) < extra and len(self.helpers) < self.limit - 1:
                try:
                    self.free.append(Helper())
                except RuntimeError:  # the system gives no more threads
                    break
                self.helpers.append(self.free[-1])
            taken = self.free[:extra]
            del self.free[:extra]
            self.busy += 1 + len(taken)
        for one in taken:
            one.ring()
        return taken

    def give(self, taken: list[Helper]) -> None:
        """Gives them back."""
        with self.lock:
            self.busy -= 1 + len(taken)
            self.free += taken

    @contextmanager
    def blas(self) -> Iterator[None]:
        """While this lasts BLAS computes on the calling thread alone."""
        with self.lock:
            self.runs += 1
            if self.runs == 1:
                self._hold()
        try:
            yield
        finally:
            with self.lock:
                self.runs -= 1
                if self.runs == 0:
                    self._release()

    def share(self, task: Callable[[int, int], Any], size: int, grain: int) -> None:
        """Calls task(start, stop) for parts of range(size), one on each core that is free.

        Parts begin at multiples of the grain. What a part raises is raised when all have ended.
        """
        with self.lock:
            cores = max(min(self.limit - self.busy, -(-size // grain)), 1)
            self.busy += cores
            if cores > 1 and self.workers is None:
                from concurrent.futures import ThreadPoolExecutor  # loaded by those who need it

                self.workers = ThreadPoolExecutor(usable_cores(), thread_name_prefix="lamina-part")
            workers = self.workers
        try:
            step = -(-size // (cores * grain)) * grain
            others = [
                workers.submit(task, start, min(start + step, size))
                for start in range(step, size, step)
                if workers is not None
            ]
            try:
                task(0, min(step, size))
            finally:
                for one in others:
                    one.exception()  # waits, and raises nothing
            for one in others:
                one.result()
        finally:
            with self.lock:
                self.busy -= cores

    def close(self) -> None:
        """Ends the helpers, before the interpreter that they would come back to is gone."""
        self.closed = True
        for one in self.helpers:
            one.ring()
        for one in self.helpers:
            one.thread.join(timeout=1.0)

    def read(self, task: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Runs a task that waits for a disk, beside those that compute."""
        with self.lock:
            if self.reader is None:
                from concurrent.futures import ThreadPoolExecutor

                self.reader = ThreadPoolExecutor(1, thread_name_prefix="lamina-reader")
        return self.reader.submit(task, *arguments)

    def _hold(self) -> None:
        if self.libraries is None:
            self.libraries = _blas_libraries()
        self.limited = [(one, one.get_num_threads()) for one in self.libraries]
        for one, _ in self.limited:
            one.set_num_threads(1)

    def _release(self) -> None:
        for one, threads in self.limited:
            one.set_num_threads(threads)
        self.limited = []


def _blas_libraries() -> list[Any]:
    """What controls the BLAS that native programs call: SciPy's own, or all where it has none."""
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(user_api="blas").lib_controllers
    own = [one for one in found if {"scipy", "scipy.libs"} & set(Path(one.filepath).parts)]
    return own or list(found)


crew = Crew()
atexit.register(crew.close)


def _after_fork() -> None:
    """A child has none of its parent's threads, and nobody in it will release what they held."""
    held = crew.limited
    crew.__init__()  # type: ignore[misc]
    for one, threads in held:
        one.set_num_threads(threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
