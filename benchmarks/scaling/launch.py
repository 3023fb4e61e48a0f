"""How processes are started as ranks of MPI, and how they wait without taking time from others."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from ...kernels.errors import BadInput

IDLE = 0.002  # seconds between two looks for an order: MPI's own way of waiting takes a whole core
# Open MPI refuses root and more ranks than cores, and ties each rank to one core, unless it is told
# otherwise; its fifth version reads the variables of PRTE, older ones the others.
SETTINGS = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMPI_MCA_mpi_yield_when_idle": "1",
}  # fmt: skip
NUMBERS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID")


def mpiexec() -> str:
    """The starter of the MPI that mpi4py loads: beside this Python, else on the PATH.

    Raises: BadInput where mpi4py or mpiexec is missing, with what to install.
    """
    if find_spec("mpi4py") is None:
        raise BadInput('ranks need mpi4py, which is not there: pip install ".[mpi]"')
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.is_file() else shutil.which("mpiexec")
    if found is None:
        raise BadInput('ranks need mpiexec, which is not on the PATH: pip install ".[mpi]"')
    return found


def ranks(count: int, command: list[str]) -> list[str]:
    """What starts a command as so many ranks on this host. Raises: BadInput."""
    return [mpiexec(), "-n", str(count), *command]


def rank() -> int:
    """The number of this process among those that mpiexec started, before MPI itself knows."""
    return int(next(os.environ[name] for name in NUMBERS if name in os.environ))


def environment() -> dict[str, str]:
    """This process's variables, and those that let an MPI start any number of ranks here."""
    return {**SETTINGS, **os.environ}


def world(count: int) -> Any:
    """The communicator of all ranks. Raises: BadInput where they are not as many as started."""
    from mpi4py import MPI

    found = MPI.COMM_WORLD
    if found.size != count:
        raise BadInput(
            f"{count} ranks were started and each sees {found.size}: {mpiexec()} belongs to another"
            f" MPI than mpi4py loads ({MPI.Get_library_version().split(',')[0].strip()})"
        )
    return found


def orders(communicator: Any, lines: TextIO) -> Iterator[str]:
    """Rank 0's lines, on every rank, until they end; who waits sleeps."""
    if communicator.rank == 0:
        for line in lines:
            for other in range(1, communicator.size):
                communicator.send(line, other)
            yield line
        for other in range(1, communicator.size):
            communicator.send("", other)
        return
    while True:
        while not communicator.iprobe(0):
            time.sleep(IDLE)
        line = communicator.recv(None, 0)
        if not line:
            return
        yield line
