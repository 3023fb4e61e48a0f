"""What the sum of an array over ranks takes, by size, as a backend adds up its gradients."""

from __future__ import annotations

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
PROBE = 64  # products that tell what one takes
SIDE = 64  # of the matrices of the work

Cases = Sequence[tuple[int, float]]


class RanksFailed(LaminaError, RuntimeError):
    """Ranks of MPI ended without an answer."""


def measure(count: int, cases: Cases, backend: str) -> list[list[float]]:
    """Seconds of sums over so many ranks, one number a round for each case.

    cases: bytes, and the seconds of work before each sum, or 0 for sums back to back. The work is
    what a step's is: products of small matrices (in compiled code copies of them), and passes over
    three arrays as large as the gradient, as Adam makes them. So the ranks come to the sum as far
    apart, and with caches as cold, as in training. backend: whose way of adding up it is. Raises:
    RanksFailed.
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


class Sum:
    """Sums of one size over the ranks of a communicator, each behind some seconds of work."""

    def __init__(self, communicator: Any, size: int, work: float) -> None:
        from mpi4py import MPI

        self.communicator, self.maximum = communicator, MPI.MAX
        self.part = np.arange(max(size // 4, 1), dtype=np.float32) % 7
        self.held = self.total = np.empty_like(self.part)  # what is added up; where the sum is then
        self.passed = [np.ones_like(self.part) for _ in range(3)] if work else []
        self.factors = [np.ones((SIDE, SIDE), np.float32) for _ in range(3)]
        self.products = 0
        self.prepare()
        if work:
            passes, self.products = self.each(), PROBE
            product = max((self.each() - passes) / PROBE, 1e-8)
            self.products = max(round((work - passes) / product), 0)

    def prepare(self) -> None:
        """Makes ready for loops."""

    def each(self) -> float:
        """Seconds of the work, from loops that are long enough to tell."""
        repeats, took = 3, self.loop(3, False)
        while took < ROUND_SECONDS / 3:
            repeats *= 4
            took = self.loop(repeats, False)
        return took / repeats

    def loop(self, repeats: int, adding: bool) -> float:
        """Seconds of so much work, with or without the sums, on the slowest rank."""
        self.communicator.Barrier()
        start = time.perf_counter()
        self.run(repeats, adding)
        took = time.perf_counter() - start
        return float(self.communicator.allreduce(took, self.maximum))

    def run(self, repeats: int, adding: bool) -> None:
        """So much work, with or without the sums."""
        a, b, c = self.factors
        for _ in range(repeats):
            for _ in range(self.products):
                np.dot(a, b, out=c)
            np.copyto(self.held, self.part)
            if adding:
                mpi.add(self.communicator, self.held)
            for one in self.passed:
                np.multiply(one, np.float32(1.0), out=one)

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


class Compiled(Sum):
    """The same in one call of compiled code, as a training is: Python would come late to a sum."""

    def prepare(self) -> None:
        """Puts what is added up where gradients lie, and writes the records of steps."""
        from ...kernels.numba.native import compiled, slots

        mpi.make_room(self.communicator, self.part.nbytes)
        window = mpi.window(self.communicator, "float32", len(self.part))
        self.held, self.total = window or (self.held, self.total)
        self.lead, self.how = compiled.leader(), mpi.native(self.communicator, "float32")
        self.control = aligned(slots.CONTROL_SLOTS, "int64")
        self.control[slots.REDUCTION] = address(self.how)
        self.now, self.batches = aligned(slots.NOW_SLOTS, "int64"), slots.BATCHES
        add, copy, repeat = (
            compiled.step(name, "float32") for name in ("all_reduce", "copy", "repeat")
        )
        held, total, size = address(self.held), address(self.total), len(self.part)
        self.adding = add, np.array([address(self.control), held, size, total])
        sources = (self.total, *self.passed[1:])
        self.passes = [
            (copy, np.array([address(source), size, address(one)]))
            for source, one in zip(sources, self.passed, strict=False)
        ]
        a, _, c = (address(one) for one in self.factors)
        self.memory = aligned(3, "int64")
        self.working = (
            repeat,
            np.array([copy, 3, address(self.memory), *[0] * 4, a, SIDE * SIDE, c]),
        )

    def run(self, repeats: int, adding: bool) -> None:
        """Copies in place of products."""
        from ...kernels.numba.native import interpreter as slots

        np.copyto(self.held, self.part)
        self.working[1][4] = self.products
        steps = [self.working, *[self.adding] * adding, *self.passes]
        tasks = np.array([(step, address(record)) for step, record in steps])
        starts, program = np.array([0, len(steps)]), aligned(slots.PROGRAM_SLOTS, "int64")
        program[slots.SHARES] = program[slots.STRETCHES] = 1
        program[slots.STARTS], program[slots.TASKS] = address(starts), address(tasks)
        program[slots.NOWS], program[slots.CHECK], program[slots.GUARD] = address(self.now), -1, -1
        self.control[self.batches] = repeats
        self.lead(address(self.control), address(program), 0, 0, 0)


def main() -> None:
    """What the ranks do: the arguments are their number, the cases and the backend."""
    from threadpoolctl import threadpool_limits

    communicator = world(int(sys.argv[1]))
    kind = Compiled if sys.argv[3] == "numba" else Sum
    with threadpool_limits(1):
        found = [kind(communicator, *case).rounds() for case in json.loads(sys.argv[2])]
    if communicator.rank == 0:
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
