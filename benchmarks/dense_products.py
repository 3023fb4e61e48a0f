"""The three products of each dense layer in a native training step, one by one.

What a step's products take is read off the clock that the native executor keeps for `lm.profile`,
task by task: so each is measured where it stands, with the caches as the step leaves them. Copies
that only the product needs (of a transpose, of parts that are summed) count as its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np

from ..backends import threads
from ..backends.ceilings import product_rate
from ..backends.native.executor import NativeBinding
from ..backends.native.spans import ByteCount, Span, span
from ..backends.native.tables import Stretch
from ..backends.native.tasks import Task
from ..backends.program import ValueId
from ..backends.selection import get_backend
from ..backends.state import Control
from ..kernels.errors import BadInput
from ..kernels.spec import ITEMSIZE, length
from .networks import Network, data_for, model_for

Factors = Literal["x w", "g w^T", "x^T g"]
STEPS = ("product_tiles", "product", "vector_product", "pack_transposed", "join")
SIDE = 2048  # of the product whose rate is the ceiling
ROUNDS, STEPS_A_ROUND = 9, 4
PANELS = 14  # slot of the record of `product_tiles`


@dataclass(frozen=True)
class Product:
    """A layer's product in a step, over the median round.

    layer: its number among the dense ones. kind: x w, the gradient of the input g w^T, or that of
    the weights x^T g. sizes: rows, inner indices and columns of all of it. way: the steps that
    compute it. seconds: of the share that took longest.
    """

    layer: int
    kind: Factors
    sizes: tuple[int, int, int]
    way: str
    seconds: float

    @property
    def rate(self) -> float:
        """GFLOP/s."""
        rows, inner, columns = self.sizes
        return 2e-9 * rows * inner * columns / self.seconds


class Clock(NativeBinding):
    """A binding that keeps what each task of a run took."""

    spent: list[tuple[Task, int, int]]  # task, share, ticks
    seconds: float

    def begin(self) -> None:
        """Forgets what was kept."""
        self.spent, self.seconds = [], 0.0
        self.watch = lambda instruction, seconds: None

    def _tell(self, part: Stretch, ticks: np.ndarray, seconds: float) -> None:
        self.seconds += seconds
        for share, starts in enumerate(part.starts):
            for at in range(starts[0], starts[-1]):
                self.spent.append((part.tasks[at], share, int(ticks[at])))


def measured(network: Network, count: int) -> list[Product]:
    """The products of a training step on `count` threads. Raises: BadInput for other layers."""
    if network.layer:
        raise BadInput(f"{network.case}: its products are more than those of dense layers")
    model = model_for(network, "numba")
    x, y = data_for(network, STEPS_A_ROUND)
    session, rows = model.session, network.batch
    examples = session.learn(session.examples(x, y, raw=True))
    program = session.program("train", rows, examples.outputs)
    block = examples.block(session.backend, session.dtype, session.casts)
    rates = model.optimizer.rates(0, STEPS_A_ROUND)

    def rounds(number: int) -> tuple[float, list[dict[tuple[int, Factors], tuple[str, int]]]]:
        """Seconds of a tick, were there one thread, and what each round took."""
        binding = Clock(session.backend, program, deepcopy(session.state), block)
        found, tick = [], float("inf")
        for _ in range(number + 1):  # the first compiles and allocates
            binding.begin()
            binding.run(Control(rows, steps=STEPS_A_ROUND, learning_rates=rates))
            found.append(_told(binding, rows))
            tick = min(tick, binding.seconds / sum(ticks for _, _, ticks in binding.spent))
        return tick, found[1:]

    before = threads.count()
    try:
        threads.set_threads(1)
        tick, found = rounds(ROUNDS if count == 1 else 2)
        if count > 1:
            threads.set_threads(count)
            _, found = rounds(ROUNDS)
    finally:
        threads.set_threads(before)
    products = []
    for (layer, kind), (way, _) in found[0].items():
        ticks = median(one[layer, kind][1] for one in found)
        a, b = network.pairs[layer]
        sizes = {"x w": (rows, a, b), "g w^T": (rows, b, a), "x^T g": (a, rows, b)}[kind]
        products.append(Product(layer, kind, sizes, way, tick * ticks / STEPS_A_ROUND))
    return products


def _told(binding: Clock, rows: int) -> dict[tuple[int, Factors], tuple[str, int]]:
    """Of each product its steps, and the ticks of the share that took longest."""
    kinds = _Kinds(binding, rows)
    ways: dict[tuple[int, Factors], dict[str, None]] = {}
    ticks: dict[tuple[int, Factors], dict[int, int]] = {}
    for task, share, spent in binding.spent:
        key = kinds.of(task)
        if key is not None:
            ways.setdefault(key, {})[task.step] = None
            shares = ticks.setdefault(key, {})
            shares[share] = shares.get(share, 0) + spent
    return {key: (" + ".join(ways[key]), max(ticks[key].values())) for key in sorted(ways)}


class _Kinds:
    """Which product a task belongs to, told by what it reads: x, w, or both."""

    def __init__(self, binding: Clock, rows: int) -> None:
        program = binding.program
        plan = binding._plan(rows)
        self.layers: dict[int, tuple[int, str, Span, Span]] = {}

        def whole(id: ValueId) -> Span:
            spec = program.values[id].spec.at(rows)
            return span(plan.addresses[id], ByteCount(length(spec) * ITEMSIZE[spec.dtype]))

        weights: dict[ValueId, int] = {}
        for at, (_, one) in enumerate(program.instructions()):
            if one.op in ("dense", "dense_backward"):
                x, w = one.inputs[:2] if one.op == "dense" else one.inputs[1:3]
                assert x is not None
                assert w is not None
                layer = weights.setdefault(w, len(weights))
                self.layers[at] = layer, one.op, whole(x), whole(w)

    def of(self, task: Task) -> tuple[int, Factors] | None:
        """The product, or None for what is none."""
        if task.owner not in self.layers or task.step not in STEPS:
            return None
        layer, op, x, w = self.layers[task.owner]
        if op == "dense":
            return layer, "x w"
        if task.step == "join":
            return layer, "x^T g"
        packed = task.step == "product_tiles" and task.record[PANELS] != 0  # of w's transpose
        if packed or any(_meet(read, w) for read in task.reads):
            return layer, "g w^T"
        return (layer, "x^T g") if any(_meet(read, x) for read in task.reads) else None


def _meet(a: Span, b: Span) -> bool:
    return a.start < b.stop and b.start < a.stop


def ceiling(network: Network, count: int) -> float:
    """GFLOP/s of a large product on so many threads, by the BLAS of NumPy."""
    before = threads.count()
    threads.set_threads(count)
    try:
        return product_rate(get_backend("numpy"), network.dtype, SIDE)
    finally:
        threads.set_threads(before)


def table(network: Network, counts: Sequence[int]) -> list[tuple[str, ...]]:
    """Rows of words: a heading, then each product on each number of threads."""
    rows: list[tuple[str, ...]] = [
        ("threads", "layer", "product", "rows", "inner", "columns", "GFLOP/s", "of ceiling", "by")
    ]
    for count in counts:
        best = ceiling(network, count)
        rows.append((str(count), "", "ceiling", *map(str, (SIDE,) * 3), f"{best:.0f}", "", "BLAS"))
        for one in measured(network, count):
            share = f"{one.rate / best:.0%}"
            sizes = map(str, one.sizes)
            rows.append(
                (str(count), str(one.layer), one.kind, *sizes, f"{one.rate:.0f}", share, one.way)
            )
    return rows
