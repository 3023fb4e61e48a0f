"""What the sum of an array over ranks takes, by size."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np

from ...kernels.errors import LaminaError
from ...kernels.isolated import command
from .launch import environment, ranks, world

SIZES = (64, 4096, 65_536, 1 << 19, 1 << 22, 1 << 24)  # bytes
ROUNDS = 9
ROUND_SECONDS = 0.03
LIMIT = 120.0  # seconds


class RanksFailed(LaminaError, RuntimeError):
    """Ranks of MPI ended without an answer."""


def measure(count: int, sizes: Sequence[int], threads: int = 1) -> dict[int, list[float]]:
    """Seconds of each round, by bytes, of sums over so many ranks. Raises: RanksFailed."""
    code = f"from {__name__} import main\nmain()"
    given = [str(count), json.dumps(sorted({*sizes}))]
    line = ranks(count, command(code, *given))
    try:
        done = subprocess.run(
            line, capture_output=True, text=True, env=environment(), timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        raise RanksFailed(f"{count} ranks did not add up arrays within {LIMIT:.0f} s") from None
    if done.returncode or not done.stdout.strip():
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RanksFailed(f"{count} ranks ended without an answer: {words[-1]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return {int(size): seconds for size, seconds in found.items()}


def main() -> None:
    """What the ranks do: the arguments are their number and the sizes; rank 0 prints JSON."""
    communicator = world(int(sys.argv[1]))
    found = {size: _rounds(communicator, size) for size in json.loads(sys.argv[2])}
    if communicator.rank == 0:
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


def _rounds(communicator: object, size: int) -> list[float]:
    """Seconds of a sum in place, as in a step: each rank has just written its part.

    The loop is timed with the sum and without it. Raises: RanksFailed for a wrong sum.
    """
    from mpi4py import MPI

    assert isinstance(communicator, MPI.Comm)
    part = np.arange(max(size // 4, 1), dtype=np.float32) % 7
    held = np.empty_like(part)

    def loop(repeats: int, adding: bool) -> float:
        communicator.Barrier()
        start = time.perf_counter()
        for _ in range(repeats):
            np.copyto(held, part)
            if adding:
                communicator.Allreduce(MPI.IN_PLACE, held)
        took = time.perf_counter() - start
        return float(communicator.allreduce(took, MPI.MAX))

    loop(2, True)
    if not np.array_equal(held, part * communicator.size):
        raise RanksFailed(f"a sum of {size} bytes over {communicator.size} ranks is wrong")
    repeats = max(1, min(2000, int(ROUND_SECONDS / (loop(3, True) / 3))))
    found = []
    for _ in range(ROUNDS):
        whole, rest = loop(repeats, True), loop(repeats, False)
        found.append(max(whole - rest, 0.1 * whole) / repeats)
    return found
