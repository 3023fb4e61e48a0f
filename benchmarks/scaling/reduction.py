"""What the sum of an array over ranks takes, by size, as a backend adds up its gradients."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backends import mpi
from ...kernels.errors import LaminaError
from ...kernels.isolated import command
from ...kernels.memory import address, aligned
from .launch import environment, ranks, world

SIZES = (64, 4096, 65_536, 1 << 19, 1 << 22, 1 << 24)  # bytes
ROUNDS = 9
ROUND_SECONDS = 0.03  # of sums back to back; behind work, of three steps at least
LIMIT = 120.0  # seconds
SIDE = 64  # of the matrices of the work

Cases = Sequence[tuple[int, float]]


class RanksFailed(LaminaError, RuntimeError):
    """Ranks of MPI ended without an answer."""


def measure(count: int, cases: Cases, backend: str) -> list[list[float]]:
    """Seconds of sums over so many ranks, one number a round for each case.

    cases: bytes, and the seconds of work before each sum, or 0 for sums back to back. The work is
    what a step's is: products of small matrices, and passes over three arrays as large as the
    gradient, as Adam makes them. So the ranks come to the sum as far apart, and with caches as
    cold, as in training. backend: whose way of adding up it is. Raises: RanksFailed.
    """
    code = f"from {__name__} import main\nmain()"
    line = ranks(count, command(code, str(count), json.dumps(list(cases)), backend))
    try:
        done = subprocess.run(
            line, capture_output=True, text=True, env=environment(), timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        raise RanksFailed(f"{count} ranks did not add up arrays within {LIMIT:.0f} s") from None
    if done.returncode or not done.stdout.strip():
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RanksFailed(f"{count} ranks ended without an answer: {words[-1]}")
    found: list[list[float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    """What the ranks do: the arguments are their number, the cases and the backend."""
    from threadpoolctl import threadpool_limits

    communicator = world(int(sys.argv[1]))
    adder = (Compiled if sys.argv[3] == "numba" else Adder)(communicator)
    with threadpool_limits(1):
        found = [Sum(adder, *case).rounds() for case in json.loads(sys.argv[2])]
    if communicator.rank == 0:
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


class Adder:
    """Sums of float32 arrays over the ranks of a communicator, from Python."""

    def __init__(self, communicator: Any) -> None:
        self.communicator = communicator

    def place(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Where so many numbers lie that are added up, and where their sum is then: there."""
        held = np.empty(count, np.float32)
        return held, held

    def add(self, held: np.ndarray, total: np.ndarray) -> None:
        """Makes the sum. held, total: what `place` gave last."""
        mpi.add(self.communicator, held)


class Compiled(Adder):
    """The same by the step of compiled code, in memory that ranks share as in training."""

    def __init__(self, communicator: Any) -> None:
        from ...kernels.numba.native import compiled, slots

        super().__init__(communicator)
        step = compiled.step("all_reduce", "float32")
        self.call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(step)
        self.control, self.slot = aligned(slots.CONTROL_SLOTS, "int64"), slots.REDUCTION

    def place(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Adder`."""
        mpi.make_room(self.communicator, 4 * count)
        self.how = mpi.native(self.communicator, "float32")
        self.control[self.slot] = address(self.how)
        return mpi.window(self.communicator, "float32", count) or super().place(count)

    def add(self, held: np.ndarray, total: np.ndarray) -> None:
        """See `Adder`."""
        record = np.array([address(self.control), address(held), len(held), address(total)])
        self.call(address(record), None)


class Sum:
    """Sums of one size, each behind some seconds of work. adder: makes them."""

    def __init__(self, adder: Adder, size: int, work: float) -> None:
        from mpi4py import MPI

        self.communicator, self.maximum, self.add = adder.communicator, MPI.MAX, adder.add
        self.part = np.arange(max(size // 4, 1), dtype=np.float32) % 7
        self.held, self.total = adder.place(len(self.part))
        self.passed = [np.ones_like(self.part) for _ in range(3)] if work else []
        self.factors = [np.ones((SIDE, SIDE), np.float32) for _ in range(3)]
        self.products = 0
        if work:
            passes = self.loop(3, False) / 3
            self.products = 16
            product = max(self.loop(3, False) / 3 - passes, 1e-6) / 16
            self.products = max(int((work - passes) / product), 0)

    def loop(self, repeats: int, adding: bool) -> float:
        """Seconds of so much work, with or without the sums, on the slowest rank."""
        a, b, c = self.factors
        self.communicator.Barrier()
        start = time.perf_counter()
        for _ in range(repeats):
            for _ in range(self.products):
                np.dot(a, b, out=c)
            np.copyto(self.held, self.part)
            if adding:
                self.add(self.held, self.total)
            for source, one in zip((self.total, *self.passed[1:]), self.passed, strict=False):
                np.multiply(source, np.float32(1.0), out=one)
        took = time.perf_counter() - start
        return float(self.communicator.allreduce(took, self.maximum))

    def rounds(self) -> list[float]:
        """Seconds of a sum: loops with it less loops without it. Raises: RanksFailed if wrong."""
        self.loop(2, True)
        if not np.array_equal(self.total, self.part * self.communicator.size):
            raise RanksFailed(
                f"a sum of {self.part.nbytes} bytes over {self.communicator.size} ranks is wrong"
            )
        repeats = max(3, min(2000, int(ROUND_SECONDS / (self.loop(3, True) / 3))))
        found = []
        for _ in range(ROUNDS):
            whole, rest = self.loop(repeats, True), self.loop(repeats, False)
            found.append(max(whole - rest, 0.01 * whole) / repeats)
        return found
