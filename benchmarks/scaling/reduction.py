"""What the sum of an array over ranks takes, by size, as a backend adds up its gradients."""

from __future__ import annotations

import ctypes
import json
import os
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
CROWDED_SECONDS = 0.3  # where ranks share cores, and one may begin milliseconds behind another
LIMIT = 120.0  # seconds
NOBODY = aligned(64, "int64")  # a barrier where one comes alone
PROBE = 64  # products that tell what one takes, at first
SIDE = 64  # of the matrices of the work


class RanksFailed(LaminaError, RuntimeError):
    """Ranks of MPI ended without an answer."""


def measure(count: int, sizes: Sequence[int], backend: str) -> list[list[float]]:
    """Seconds of sums over so many ranks, back to back; a number a round for each size.

    sizes: in bytes. backend: whose way of adding up it is. Raises: RanksFailed.
    """
    code = f"from {__name__} import main\nmain()"
    line = ranks(count, command(code, str(count), json.dumps(list(sizes)), backend))
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


def by_itself(crowded: bool) -> np.ndarray:
    """What compiled code is told of sums (`backends/parts.py`) by a rank with nobody to add to.

    crowded: it gives its core away instead, as ranks that share a core do while they wait.
    """
    from ...kernels.numba.native import slots

    made = np.zeros(slots.SUM_SLOTS, np.int64)
    made[slots.MEETING], made[slots.RANKS], made[slots.HOSTS] = address(NOBODY), 1, 1
    if crowded:
        function = ctypes.CDLL(None).sched_yield
        made[slots.CALL] = ctypes.cast(function, ctypes.c_void_p).value or 0
        made[slots.MOST_BYTES], made[slots.HOSTS] = 1 << 62, 2
    return made


class Sum:
    """Sums of one size over the ranks of a communicator, each behind some seconds of work.

    The work is what a step's is: products of small matrices (in compiled code copies of them), the
    gradient written anew, and passes over three arrays as large, as Adam makes them. So the ranks
    come to the sum as far apart, and its memory is in the caches where it is in training.

    size: in bytes. work: 0 for sums back to back. crowded: the ranks share cores; then they give
    them away once in each piece of work, with sums or without.
    """

    def __init__(
        self, communicator: Any, size: int, work: float = 0.0, crowded: bool = False
    ) -> None:
        from mpi4py import MPI

        self.communicator, self.maximum, self.crowded = communicator, MPI.MAX, crowded
        self.part = np.arange(max(size // 4, 1), dtype=np.float32) % 7
        self.held = self.total = np.empty_like(self.part)  # what is added up; where the sum is then
        self.passed = [np.ones_like(self.part) for _ in range(3)] if work else []
        self.factors = [np.ones((SIDE, SIDE), np.float32) for _ in range(3)]
        self.products = 0
        self.prepare()
        if work:  # of this rank, for some are faster than others
            passes, self.products = self.each(), PROBE
            # Fewer products would be lost in what passes take; all ranks go on, or none.
            while communicator.allreduce((both := self.each()) < 3.0 * passes):
                self.products *= 4
            product = (both - passes) / self.products
            self.products = max(round((work - passes) / product), 0)

    def prepare(self) -> None:
        """Makes ready for loops."""

    def each(self) -> float:
        """Seconds of the work, from loops that are long enough to tell."""
        repeats, enough = 3, CROWDED_SECONDS if self.crowded else ROUND_SECONDS
        while self.loop(repeats, False) < enough / 3:
            repeats *= 4
        return self.own / repeats

    def loop(self, repeats: int, adding: bool) -> float:
        """Seconds of so much work, with or without the sums, on the slowest rank."""
        self.communicator.Barrier()
        start = time.perf_counter()
        self.run(repeats, adding)
        self.own = time.perf_counter() - start
        return float(self.communicator.allreduce(self.own, self.maximum))

    def run(self, repeats: int, adding: bool) -> None:
        """So much work, with or without the sums."""
        a, b, c = self.factors
        for _ in range(repeats):
            for _ in range(self.products):
                np.dot(a, b, out=c)
            np.copyto(self.held, self.part)
            if adding:
                mpi.add(self.communicator, self.held)
            elif self.crowded:
                os.sched_yield()
            for one in self.passed:
                np.multiply(one, np.float32(1.0), out=one)

    def ready(self) -> None:
        """Sizes the rounds. Raises: RanksFailed where a sum is wrong."""
        self.loop(2, True)
        if not np.array_equal(self.total, self.part * self.communicator.size):
            raise RanksFailed(
                f"a sum of {self.part.nbytes} bytes over {self.communicator.size} ranks is wrong"
            )
        self.repeats, enough = 3, CROWDED_SECONDS if self.crowded else ROUND_SECONDS
        while self.loop(self.repeats, True) < enough:
            self.repeats *= 2

    def round(self) -> float:
        """Seconds of a sum: a loop with it less a loop without it."""
        whole, rest = self.loop(self.repeats, True), self.loop(self.repeats, False)
        return max(whole - rest, 0.01 * whole) / self.repeats


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
        self.alone, self.control_alone = by_itself(self.crowded), np.zeros_like(self.control)
        self.control_alone[slots.REDUCTION] = address(self.alone)
        held, total, size = address(self.held), address(self.total), len(self.part)
        self.adding, self.not_adding = (
            (add, np.array([address(control), held, size, total, 0]))
            for control in (self.control, self.control_alone)
        )
        sources = (self.total, *self.passed[1:])
        self.written, *self.passes = [
            (copy, np.array([address(source), size, address(one)]))
            for source, one in zip((self.part, *sources), (self.held, *self.passed), strict=False)
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

        self.working[1][4] = self.products
        sum = self.adding if adding else self.not_adding
        steps = [self.working, self.written, sum, *self.passes]
        tasks = np.array([(step, address(record)) for step, record in steps])
        starts, program = np.array([0, len(steps)]), aligned(slots.PROGRAM_SLOTS, "int64")
        program[slots.SHARES] = program[slots.STRETCHES] = 1
        program[slots.STARTS], program[slots.TASKS] = address(starts), address(tasks)
        program[slots.NOWS], program[slots.CHECK], program[slots.GUARD] = address(self.now), -1, -1
        self.control[self.batches] = repeats
        self.lead(address(self.control), address(program), 0, 0, 0)


def main() -> None:
    """What the ranks do: the arguments are their number, the sizes and the backend."""
    from threadpoolctl import threadpool_limits

    communicator = world(int(sys.argv[1]))
    kind, found = Compiled if sys.argv[3] == "numba" else Sum, []
    with threadpool_limits(1):
        for size in json.loads(sys.argv[2]):
            one = kind(communicator, size)
            one.ready()
            found.append([one.round() for _ in range(ROUNDS)])
    if communicator.rank == 0:
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
