"""MPI, through mpi4py: communicators, sums, and `MPI_Allreduce` for compiled code."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from ..kernels.errors import BadInput
from ..kernels.memory import address

T = TypeVar("T")

INSTALL = (
    'pip install "lamina[mpi]" brings mpi4py and an MPI; with an MPI of its own a cluster needs'
)
# Bytes of one sum. MPIs take new memory for each large one: over two processes of one host 50 MB
# were summed in 34 ms, in such pieces in 13, by MPICH 5.0 and by Open MPI 5.0 (2026-11-30, EPYC).
PIECE = 1 << 20
LOOKS = 2000  # at the barrier, before a core is given away: some ten microseconds
BARRIER = 512  # bytes before the pieces of shared memory, for the barrier of compiled code


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
        sys.stderr.flush()
        if module.COMM_WORLD.Get_size() > 1 and not module.Is_finalized():
            module.COMM_WORLD.Abort(1)

    sys.excepthook = hook


@dataclass(frozen=True)
class Host:
    """The processes of a communicator that are on this host.

    communicator: theirs. cores: those that each may use. hosts: how many hosts there are. leaders:
    the communicator of one process of each. window: memory that the processes here share, with
    their barrier, a piece for each and one for the sum; None where it is of no use, or not to be
    had.
    """

    communicator: Any
    cores: list[list[int]]
    hosts: int
    leaders: Any
    window: Any

    @property
    def memory(self) -> np.ndarray:
        """The shared memory, as bytes."""
        return np.frombuffer(self.window.Shared_query(0)[0], np.uint8)


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
    window, size = None, BARRIER + (here.size + 1) * PIECE
    if hosts < communicator.size:
        with suppress(module.Exception):  # a system without shared memory adds up by messages
            window = module.Win.Allocate_shared(0 if here.rank else size, 1, comm=here)
    if not communicator.allreduce(window is not None, op=module.LAND):
        window = None
    found = Host(here, cores, hosts, leaders, window)
    if window is not None and here.rank == 0:
        found.memory[:BARRIER] = 0
    here.Barrier()
    return found


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
    datatype = module.FLOAT if dtype == "float32" else module.DOUBLE
    among = communicator if here.window is None else here.leaders
    handles = (_handle(module, one) for one in (datatype, module.SUM, among))
    barrier = 0 if here.window is None else address(here.memory)
    ranks, cores = here.communicator.size, set().union(*here.cores)
    meeting = here.communicator.rank, ranks, here.hosts, LOOKS if ranks <= len(cores) else 0
    return np.array(
        [_function(), int(module.IN_PLACE), *handles, PIECE, barrier, barrier + BARRIER, *meeting],
        dtype=np.int64,
    )  # fmt: skip


def _handle(module: Any, one: Any) -> int:
    """An MPI handle as a signed number of 64 bits."""
    found = int(module._handleof(one))
    return found - (1 << 64) if found >= 1 << 63 else found


@cache
def _function() -> int:
    """The address of `MPI_Allreduce` in the library that mpi4py has loaded."""
    library = ctypes.CDLL(_mpi().__file__)  # whose symbols are also those that it was linked with
    return int(ctypes.cast(library.MPI_Allreduce, ctypes.c_void_p).value or 0)
