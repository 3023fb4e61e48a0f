"""MPI, through mpi4py: communicators, sums, and `MPI_Allreduce` for compiled code."""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from ..kernels.errors import BadInput
from ..kernels.memory import address
from ..kernels.numba.native import slots
from . import parts

T = TypeVar("T")

INSTALL = (
    'pip install "lamina[mpi]" brings mpi4py and an MPI; with an MPI of its own a cluster needs'
)
# Bytes of one sum. MPIs take new memory for each large one: over two processes of one host 50 MB
# were summed in 34 ms, in such pieces in 13, by MPICH 5.0 and by Open MPI 5.0 (2026-11-30, EPYC).
PIECE = 1 << 20
LOOKS = 2000  # at the barrier, before a core is given away: some ten microseconds
LINE = 64  # bytes of a cache line
BARRIER = 4096  # bytes before the pieces of shared memory, for the barrier of compiled code
CARRIED = 0.3  # seconds for a launcher to carry what was said
FAILED = 1  # the exit code of all processes, where one ends them
LARGEST = 1 << 28  # bytes of a piece; of larger gradients many are summed, one after the other
# Where memory that processes share has its file; containers have little there.
SHARED = "/dev/shm" if Path("/dev/shm").is_dir() else None


def _mpi() -> Any:
    """The module. Raises: BadInput where it or the library is missing."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise BadInput(
            f"several processes need mpi4py and an MPI ({error}): {INSTALL} mpi4py alone"
        ) from error
    return MPI


def wait_for_all_ranks_to_start(seconds: float) -> Any:
    """The module, once all processes are there.

    In `MPI_Init` no thread of Python runs. So where it takes long, because another process ended or
    hangs before its own, the interpreter says on the error stream where this one waits: here.

    seconds: after which it says so, 0 for never. Raises: BadInput as `communicator`.
    """
    if not seconds or "mpi4py.MPI" in sys.modules or sys.__stderr__ is None:
        return _mpi()
    faulthandler.dump_traceback_later(seconds, file=sys.__stderr__)
    try:
        return _mpi()
    finally:
        faulthandler.cancel_dump_traceback_later()


def communicator(given: Any = None, seconds: float = 0.0) -> Any:
    """An intracommunicator; None is COMM_WORLD.

    seconds: of waiting for the others, after which it is said. Raises: BadInput.
    """
    module = wait_for_all_ranks_to_start(seconds)
    if given is None:
        return module.COMM_WORLD
    if not isinstance(given, module.Intracomm) or given == module.COMM_NULL:
        raise BadInput(f"Distributed takes an mpi4py intracommunicator, not {given!r}")
    return given


@cache
def end_all_with_errors() -> None:
    """Has an error that nobody catches end all processes, which would wait for this one for ever.

    That is how Python ends: it says what was raised, and MPI then waits for all to be done.
    """
    module, told = _mpi(), sys.excepthook

    def hook(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:  # fmt: skip
        told(kind, error, trace)
        if module.COMM_WORLD.Get_size() > 1 and not module.Is_finalized():
            abort(module.COMM_WORLD)

    sys.excepthook = hook


def abort(communicator: Any) -> None:
    """Ends all processes, once what this one said has come through.

    Launchers carry what processes print through pipes, and some drop what is still in them.
    """
    sys.stderr.flush()
    time.sleep(CARRIED)
    communicator.Abort(FAILED)


@dataclass(frozen=True)
class Host:
    """The processes of a communicator that are on this host.

    communicator: theirs. cores: those that each may use. hosts: how many hosts there are. leaders:
    the communicator of one process of each. window: memory that the processes here share, with
    their barrier, a piece of so many bytes for each and one for the sum, and `room` bytes for
    segments of a model's state; None where it is of no use, or not to be had.
    """

    communicator: Any
    cores: list[list[int]]
    hosts: int
    leaders: Any
    window: mmap.mmap | None
    piece: int
    room: int = 0

    @property
    def memory(self) -> np.ndarray:
        """The shared memory, as bytes."""
        assert self.window is not None
        return np.frombuffer(self.window, np.uint8)


def running() -> bool:
    """Whether MPI was started and has not ended."""
    module = _mpi()
    return bool(module.Is_initialized() and not module.Is_finalized())


def kept(communicator: Any, name: str, make: Callable[[], T]) -> T:
    """What belongs to a communicator, and is made once. make: makes it, in all of its processes."""
    found = communicator.Get_attr(_key(name))
    if found is None:
        found = make()
        communicator.Set_attr(_key(name), found)
    return found  # type: ignore[no-any-return]


@cache
def _key(name: str) -> int:
    return int(_mpi().Comm.Create_keyval())


def host(communicator: Any) -> Host:
    """The processes on this host; all of the communicator call it together, at first."""
    return kept(communicator, "host", lambda: _host(communicator))


def _host(communicator: Any) -> Host:
    """Makes what `host` keeps."""
    module = _mpi()
    here = communicator.Split_type(module.COMM_TYPE_SHARED)
    known = hasattr(os, "sched_getaffinity")
    mine = sorted(os.sched_getaffinity(0)) if known else list(range(os.cpu_count() or 1))
    cores = here.allgather(mine)
    leaders = communicator.Split(module.UNDEFINED if here.rank else 0, communicator.rank)
    hosts = communicator.allreduce(int(here.rank == 0))
    found = Host(here, cores, hosts, leaders, None, 0)
    return found if hosts == communicator.size else _with_window(communicator, found, PIECE)


def _with_window(communicator: Any, here: Host, piece: int, room: int = 0) -> Host:
    """The same with pieces of so many bytes of shared memory, and room, where all hosts have it."""
    made = _mapped(here.communicator, BARRIER + (here.communicator.size + 1) * piece + room)
    if not communicator.allreduce(made is not None, op=_mpi().LAND):
        return here
    return replace(here, window=made, piece=piece, room=room)


def _mapped(here: Any, size: int) -> mmap.mmap | None:
    """So many bytes, zero at first, that the processes of a host share; None if not to be had.

    MPI's own (`MPI_Win_allocate_shared`) stays behind as a file where a process is killed, and ends
    it where the system has too little. This file has no name any more once all have opened it.
    """
    path, made = "", None
    try:
        if here.rank == 0:
            with suppress(OSError):
                file, path = tempfile.mkstemp(prefix="lamina-", dir=SHARED)
                made = _map(file, size, new=True)
        path = here.bcast(path)
        if here.rank:
            with suppress(OSError):
                made = _map(os.open(path, os.O_RDWR), size)
        return made if here.allreduce(made is not None, op=_mpi().LAND) else None
    finally:
        if here.rank == 0 and path:
            Path(path).unlink()


def _map(file: int, size: int, new: bool = False) -> mmap.mmap:
    """A file's memory, and the file closed. new: it is to be so long. Raises: OSError."""
    try:
        if new and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, size)  # all of it, or an error
        elif new:
            os.ftruncate(file, size)
        return mmap.mmap(file, size)
    finally:
        os.close(file)


def make_room(communicator: Any, size: int, segments: int = 0) -> None:
    """Has `window` hold gradients of so many bytes, where hosts can; all processes call it.

    segments: how many others as large `held` is to hold, where an update of such is split.
    """
    here = host(communicator)
    piece = max(-(-size // PIECE) * PIECE, here.piece)
    if here.window is None or piece > LARGEST:
        return
    split = parts.SPLIT_BYTES[0] <= size <= parts.SPLIT_BYTES[1]
    room = max(segments * _lines(size) if split else 0, here.room)
    for wanted in dict.fromkeys((room, here.room)):  # at least the gradients
        if (piece, wanted) != (here.piece, here.room):
            made = _with_window(communicator, here, piece, wanted)
            if made is not here:
                communicator.Set_attr(_key("host"), made)
                return


def _lines(size: int) -> int:
    """Bytes of whole cache lines."""
    return -(-size // LINE) * LINE


def cores(communicator: Any) -> tuple[int, int]:
    """How many processes of the communicator are on this host, and the cores for each.

    A process that may use some cores of the host alone, as launchers arrange it, uses these; what
    several may use is divided between them.
    """
    here = host(communicator)
    own = here.cores[here.communicator.rank]
    sharing = sum(bool(set(own) & set(other)) for other in here.cores)
    return len(here.cores), max(len(own) // sharing, 1)


def add(communicator: Any, flat: np.ndarray) -> None:
    """Makes a contiguous array the sum of those of all processes, where it lies."""
    each = PIECE // flat.itemsize
    for first in range(0, len(flat), each):
        communicator.Allreduce(_mpi().IN_PLACE, flat[first : first + each])


def native(communicator: Any, dtype: str) -> np.ndarray:
    """See `Reducer.native`."""
    module, here = _mpi(), host(communicator)
    made = np.zeros(slots.SUM_SLOTS, np.int64)
    made[slots.CALL], made[slots.IN_PLACE] = _function(), int(module.IN_PLACE)
    made[slots.DATATYPE] = _handle(module, module.FLOAT if dtype == "float32" else module.DOUBLE)
    made[slots.OPERATION] = _handle(module, module.SUM)
    made[slots.COMMUNICATOR] = _handle(
        module, communicator if here.window is None else here.leaders
    )
    made[slots.MOST_BYTES] = PIECE
    if here.window is not None:
        made[slots.MEETING] = barrier = address(here.memory)
        made[slots.PIECES], made[slots.PIECE] = barrier + BARRIER, here.piece
    made[slots.RANK], made[slots.RANKS] = here.communicator.rank, here.communicator.size
    made[slots.HOSTS] = here.hosts
    if here.communicator.size <= len(set().union(*here.cores)):
        made[slots.LOOKS] = LOOKS
    return made


def window(communicator: Any, dtype: str, count: int) -> tuple[np.ndarray, np.ndarray] | None:
    """See `Reducer.window`."""
    here = host(communicator)
    if here.window is None or count * np.dtype(dtype).itemsize > here.piece:
        return None
    ranks = here.communicator.size
    pieces = here.memory[BARRIER:][: (ranks + 1) * here.piece].view(dtype).reshape(ranks + 1, -1)
    return pieces[here.communicator.rank, :count], pieces[-1, :count]


def held(communicator: Any, dtype: str, count: int, number: int) -> parts.Held | None:
    """See `Reducer.held`."""
    here = host(communicator)
    size = count * np.dtype(dtype).itemsize
    if here.window is None or number * _lines(size) > here.room:
        return None
    room = here.memory[BARRIER + (here.communicator.size + 1) * here.piece :]
    starts = range(0, number * _lines(size), _lines(size))
    segments = [room[start : start + size].view(dtype) for start in starts]
    return parts.Held(segments, parts.own(count, here.communicator.rank, here.communicator.size))


def _handle(module: Any, one: Any) -> int:
    """An MPI handle as a signed number of 64 bits."""
    found = int(module._handleof(one))
    return found - (1 << 64) if found >= 1 << 63 else found


@cache
def _function() -> int:
    """The address of `MPI_Allreduce` in the library that mpi4py has loaded."""
    library = ctypes.CDLL(_mpi().__file__)  # whose symbols are also those that it was linked with
    return int(ctypes.cast(library.MPI_Allreduce, ctypes.c_void_p).value or 0)
