"""MPI, through mpi4py: communicators, sums, and `MPI_Allreduce` for compiled code."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Any

import numpy as np

from ..kernels.errors import BadInput

INSTALL = (
    'pip install "lamina[mpi]" brings mpi4py and an MPI; with an MPI of its own a cluster needs'
)
# Bytes of one sum. MPIs take new memory for each large one: over two processes of one host 50 MB
# were summed in 34 ms, in such pieces in 13, by MPICH 5.0 and by Open MPI 5.0 (2026-11-30, EPYC).
PIECE = 1 << 20


def _mpi() -> Any:
    """The module. Raises: BadInput where it or the library is missing."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise BadInput(
            f"several processes need mpi4py and an MPI ({error}): {INSTALL} mpi4py alone"
        ) from error
    return MPI


def communicator(given: Any = None) -> Any:
    """An intracommunicator; None is COMM_WORLD. Raises: BadInput."""
    module = _mpi()
    if given is None:
        return module.COMM_WORLD
    if not isinstance(given, module.Intracomm) or given == module.COMM_NULL:
        raise BadInput(f"Distributed takes an mpi4py intracommunicator, not {given!r}")
    return given


def cores(communicator: Any) -> tuple[int, int]:
    """How many processes of the communicator are on this host, and the cores for each.

    A process that may use some cores of the host alone, as launchers arrange it, uses these; what
    several may use is divided between them.
    """
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    host = communicator.Split_type(_mpi().COMM_TYPE_SHARED)
    try:
        every = host.allgather(mine or list(range(os.cpu_count() or 1)))
    finally:
        host.Free()
    own = every[0] if mine is None else mine
    sharing = sum(bool(set(own) & set(other)) for other in every)
    return len(every), max(len(own) // sharing, 1)


def add(communicator: Any, flat: np.ndarray) -> None:
    """Makes a contiguous array the sum of those of all processes, where it lies."""
    each = PIECE // flat.itemsize
    for first in range(0, len(flat), each):
        communicator.Allreduce(_mpi().IN_PLACE, flat[first : first + each])


def native(communicator: Any, dtype: str) -> np.ndarray:
    """See `Reducer.native`."""
    module = _mpi()
    datatype = module.FLOAT if dtype == "float32" else module.DOUBLE
    handles = (_handle(module, one) for one in (datatype, module.SUM, communicator))
    return np.array([_function(), int(module.IN_PLACE), *handles, PIECE], dtype=np.int64)


def _handle(module: Any, one: Any) -> int:
    """An MPI handle as a signed number of 64 bits."""
    found = int(module._handleof(one))
    return found - (1 << 64) if found >= 1 << 63 else found


@cache
def _function() -> int:
    """The address of `MPI_Allreduce` in the library that mpi4py has loaded."""
    library = ctypes.CDLL(_mpi().__file__)  # whose symbols are also those that it was linked with
    return int(ctypes.cast(library.MPI_Allreduce, ctypes.c_void_p).value or 0)
