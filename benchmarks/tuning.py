"""Measures the thresholds of this machine: a few seconds, in `lamina warmup`.

Each threshold is a question: of two ways of computing the same, from which size on is the second
one faster? Both are timed in turns on a ladder of sizes, on all cores at once, as a training would
have it. The way that the default takes is given up only for one that is faster by more than
`MARGIN`. Where a machine is busy rounds differ, and then nothing is kept.

Only a command measures, never a training beside which it would run: that has all cores, so both
would be slowed down, and the numbers would be those of a busy machine.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import takewhile
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np

from ..backends import threads
from ..backends.native.estimates import estimate
from ..backends.native.lowering import Lowering, Memory, bits
from ..backends.native.products import gemm, tiles
from ..backends.native.tasks import Task
from ..backends.selection import get_backend
from ..backends.state import Control
from ..kernels import thresholds
from ..kernels.errors import LaminaError
from ..kernels.memory import Address, address, aligned
from ..kernels.numba import activations
from ..kernels.numba.native import compiled
from ..kernels.numba.native.register_tile import WIDE
from ..kernels.thresholds import NEVER
from .networks import Network, data_for, model_for
from .timing import Contender, interleave

ROUNDS, ROUND_SECONDS, POINT_SECONDS = 9, 8e-3, 1.5
SECONDS = 40.0  # after which no more is asked: on an idle machine it takes a fifth of that
MARGIN = 1.03  # a default is given up for what is faster by more than this
QUIET = 0.1  # between the quartiles of the rounds, relative to their median
CORES = 16  # at most: more wait for the same memory, and their arrays are of no use
SIDES = (256, 512, 1024)
ROWS = (12, 24, 48, 96, 192)
BATCHES = (32, 64, 128, 256, 512, 1024)
STREAMED = 128 * 2**20  # bytes of the arrays that activations read, all together
NETWORKS = (  # from 2 to some 100 microseconds a step
    Network((8, 8, 1), 16), Network((64, 1), 64), Network((64, 1), 256), Network((64, 32, 10), 16),
    Network((64, 32, 10), 32), Network((64, 64, 10), 64), Network((128, 64, 10), 64),
    Network((256, 128, 10), 64),
)  # fmt: skip
STEPS = 128  # of a network, in one run: a call of Python is little beside them

Work = Callable[[], object]


class Unquiet(LaminaError):
    """The machine does other things: nothing that was measured can be trusted."""


@dataclass(frozen=True)
class Question:
    """From which size on is the second way the faster one?

    name: of the threshold. sizes: ascending. ways: of a size, the way below the threshold and the
    way from it on; each call is `repeats` of it.
    """

    name: str
    sizes: Sequence[float]
    ways: Callable[[float], tuple[Work, Work]]


@dataclass(frozen=True)
class Point:
    """A size, and the median seconds of both ways."""

    size: float
    below: float
    above: float


# What is decided


def point(size: float, ways: tuple[Work, Work], name: str = "") -> Point:
    """Both ways, timed in turns. Raises: Unquiet."""
    contenders = [Contender(name, way) for name, way in zip(("below", "above"), ways, strict=True)]
    for one in contenders:
        one.warm(ROUND_SECONDS)
        one.seconds.clear()
    interleave(contenders, ROUNDS, least=5, seconds=POINT_SECONDS)
    for one in contenders:
        first, middle, last = quantiles(one.seconds, n=4)
        if last - first > QUIET * middle:
            raise Unquiet(
                f"{name} at {size:g}: half of the rounds differ by {(last - first) / middle:.0%};"
                " is something else running? To measure again: " + thresholds.COMMAND
            )
    return Point(size, *(median(one.seconds) for one in contenders))


def threshold(points: Sequence[Point], default: float) -> float:
    """From which of the sizes on the second way is taken; NEVER where it is at none.

    The default stays where both take the same ways at all sizes that were measured.
    """

    def second(one: Point) -> bool:
        if one.size >= default:
            return one.below * MARGIN >= one.above
        return one.below >= one.above * MARGIN

    won = [one.size for one in takewhile(second, reversed(points))]
    if won == [one.size for one in reversed(points) if one.size >= default]:
        return default
    return won[-1] if won else NEVER


def answer(question: Question, default: float) -> tuple[float, list[Point]]:
    """The threshold, and what was measured; a size with noise has a second chance.

    Raises: Unquiet.
    """
    points = []
    for size in question.sizes:
        ways = question.ways(size)
        try:
            points.append(point(size, ways, question.name))
        except Unquiet:
            points.append(point(size, ways, question.name))
    return threshold(points, default), points


def measure(questions: Sequence[Question]) -> tuple[dict[str, Any], dict[str, list[Point]]]:
    """The values of the thresholds that were asked for, and what was measured. Raises: Unquiet."""
    values: dict[str, Any] = {}
    evidence: dict[str, list[Point]] = {}
    begun = time.perf_counter()
    for question in questions:
        if time.perf_counter() - begun > SECONDS:
            raise Unquiet(
                f"measuring takes longer than {SECONDS:g} s: is something else running? To measure"
                f" again: {thresholds.COMMAND}"
            )
        default = getattr(thresholds.defaults(), question.name)
        if isinstance(default, bool):  # a question of one size: whether
            found, points = answer(question, 0 if default else NEVER)
            value: Any = found != NEVER
        else:
            found, points = answer(question, default)
            value = float(found) if isinstance(default, float) else int(found)
        values[question.name], evidence[question.name] = value, points
    return values, evidence


def measure_and_keep() -> Path:
    """Measures this machine and keeps the thresholds for processes that start later.

    Returns the file's path. Raises: Unquiet, with the older file as it was; OSError.
    """
    with Crew(min(threads.count(), CORES)) as crew, threads.crew.blas():
        values, evidence = measure(questions(crew))
    told = {name: [vars(one) for one in points] for name, points in evidence.items()}
    return thresholds.save(values, date.today().isoformat(), told)


# What is timed


class Crew:
    """Threads that all do the same at once, each on memory of its own."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.pool = ThreadPoolExecutor(count, thread_name_prefix="lamina-tuning")

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown()

    def all(self, works: Sequence[Work]) -> Work:
        """One call for all threads, each with its own work."""
        return lambda: list(self.pool.map(lambda work: work(), works))


def questions(crew: Crew) -> list[Question]:
    """What is asked on this machine."""
    bench = Bench(crew)
    asked = [
        Question(f"{kind}_blas", SIDES, partial(bench.blas, kind))
        for kind in ("forward", "input", "weight")
    ]
    asked.append(Question("packed_rows", ROWS, bench.packed))
    asked.append(Question("copied_rows", BATCHES, partial(bench.copied, 784)))
    asked.append(Question("aliased_rows", BATCHES, partial(bench.copied, 1024)))
    if WIDE > 2:  # else all that is packed is in whole blocks
        asked.append(Question("whole_block", SIDES, bench.whole))
    asked.append(Question("streams", (1,), lambda _: bench.streams()))
    if crew.count > 1:
        batches = [Batches(one) for one in NETWORKS]
        batches.sort(key=lambda one: one.seconds)
        by_size = {one.seconds: one for one in batches}
        asked.append(Question("split_seconds", list(by_size), lambda s: by_size[s].ways()))
    return asked


class Bench:
    """Steps by themselves, on random numbers of float32."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.rng = np.random.default_rng(0)
        model = model_for(Network((2, 1), 1), "numba")
        model.build(2)
        memory = Memory({}, {}, Address(0), [], no_memory, no_memory, blas)
        self.low = Lowering(model.session.program("train", 1), memory, 1, 1)

    def deciding(self, **changes: Any) -> Lowering:
        """What makes tasks, with these thresholds."""
        self.low.thresholds = replace(thresholds.defaults(), **changes)
        return self.low

    def matrices(self, rows: int, inner: int, columns: int) -> tuple[list[np.ndarray], list[Any]]:
        """A, B and out, which must live as long as the addresses beside them."""
        arrays = [aligned(n, "float32") for n in (rows * inner, inner * columns, rows * columns)]
        for one in arrays[:2]:
            one[:] = self.rng.standard_normal(one.size)
        return arrays, [address(one) for one in arrays]

    def blas(self, kind: str, size: float) -> tuple[Work, Work]:
        """A product of squares in tiles, and by BLAS."""
        in_tiles, by_blas, side = [], [], int(size)
        low, sizes = self.deciding(), (side, side, side)
        for _ in range(self.crew.count):
            kept, (a, b, out) = self.matrices(*sizes)
            rows, one = ((b, side), (out, side)), (a, side, 1)
            if kind == "weight":
                one = (a, 1, side)
            flags = kind == "weight", kind == "input"
            made = tiles(
                low, one, *rows, sizes, [], [], transposed=flags[0], turned=flags[1]
            )  # fmt: skip
            in_tiles.append(ready(made, kept))
            made = gemm(low, (a, side), *rows, sizes, [], [], transposes=flags)
            by_blas.append(ready(made, kept))
        return self.crew.all(in_tiles), self.crew.all(by_blas)

    def product(self, sizes: tuple[int, int, int], **changes: Any) -> Work:
        """A product in tiles, with thresholds that are so."""
        works, (_, inner, columns) = [], sizes
        for _ in range(self.crew.count):
            kept, (a, b, out) = self.matrices(*sizes)
            low = self.deciding(**changes)
            made = tiles(low, (a, inner, 1), (b, columns), (out, columns), sizes, [], [])
            works.append(ready(made, kept))
        return self.crew.all(works)

    def packed(self, rows: float) -> tuple[Work, Work]:
        """So many rows times a matrix as it lies, and times copied panels."""
        sizes = (int(rows), 512, 512)
        return self.product(sizes, packed_rows=NEVER), self.product(sizes, packed_rows=0)

    def copied(self, long: int, rows: float) -> tuple[Work, Work]:
        """Half of x^T times g, x read as it lies, and copied: the same bits. long: rows of x."""
        ways: list[list[Work]] = [[], []]
        batch, inner, columns = int(rows), long // 2, 512
        for _ in range(self.crew.count):
            kept, (x, g, out) = self.matrices(max(batch, inner), long, columns)
            for copied, works in enumerate(ways):
                made = tiles(
                    self.deciding(), (x, 1, long), (g, columns), (out, columns),
                    (inner, batch, columns), [], [], transposed=bool(copied),
                )  # fmt: skip
                works.append(ready(made, kept))
        return self.crew.all(ways[0]), self.crew.all(ways[1])

    def whole(self, side: float) -> tuple[Work, Work]:
        """A product of squares in blocks for the first-level cache, and for the second."""
        sizes = (int(side),) * 3
        return self.product(sizes, whole_block=NEVER), self.product(sizes, whole_block=0)

    def streams(self) -> tuple[Work, Work]:
        """An activation and a derivative of large arrays, plain, and past the caches."""
        count = max(STREAMED // self.crew.count // 4, 2**21)
        ways: list[list[Work]] = [[], []]
        tanh, sigmoid = activations.CODES["tanh"], activations.CODES["sigmoid"]
        for _ in range(self.crew.count):
            x, out = aligned(count, "float32"), aligned(count, "float32")
            x[:] = self.rng.standard_normal(count)
            at, to = address(x), address(out)
            for pays, works in enumerate(ways):
                zero = bits(0.0)
                first = [at, 1, count, at, 0, tanh, zero, to, pays]
                second = [at, 1, count, at, sigmoid, zero, to, pays]
                works.append(
                    both(
                        ready(Task("activate", first), [x, out]),
                        ready(Task("activate_backward", second), [x, out]),
                    )
                )
        return self.crew.all(ways[0]), self.crew.all(ways[1])


def both(first: Work, second: Work) -> Work:
    """One after the other."""
    return lambda: (first(), second())


def no_memory(*_: object) -> Address:
    """Tasks here are given theirs."""
    raise AssertionError("a task that is timed by itself asked for memory")


def blas(routine: str, dtype: str) -> Address:
    """Where a routine of BLAS is."""
    return Address(compiled.blas(routine, dtype))


def ready(task: Task, kept: list[np.ndarray]) -> Work:
    """A task as a call, with its scratch, which holds no lock of Python while it runs."""
    record = np.array(task.record, dtype=np.int64)
    for slot, size in task.scratch.items():
        kept = [*kept, aligned(math.ceil(size / 8), "int64")]
        record[slot] = address(kept[-1])
    step = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(
        compiled.step(task.step, "float32")
    )
    place, held = address(record), (record, kept)

    def work() -> object:
        step(place, None)
        return held

    return work


class Batches:
    """Steps of a small network, on one thread and on all of them."""

    def __init__(self, network: Network) -> None:
        self.network = network
        model = model_for(network, "numba")
        x, y = data_for(network, STEPS)
        self.session = model.session
        examples = self.session.learn(self.session.examples(x, y, raw=True))
        self.program = self.session.program("train", network.batch, examples.outputs)
        self.block = examples.block(self.session.backend, self.session.dtype, self.session.casts)
        self.rates = model.optimizer.rates(0, STEPS)
        self.seconds = estimate(self.program, network.batch)

    def ways(self) -> tuple[Work, Work]:
        """Some steps on one thread, and on all."""
        return self.work(float(NEVER)), self.work(0.0)

    def work(self, split: float) -> Work:
        """Some steps, split where one takes so long."""
        rows = self.network.batch
        decided = replace(thresholds.defaults(), split_seconds=split)
        with thresholds.using(decided):
            executable = get_backend("numba").compile(self.program)
            binding = executable.bind(self.session.state, self.block)

        def run() -> None:
            binding.run(Control(rows, steps=STEPS, learning_rates=self.rates))

        return run
