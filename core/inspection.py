"""Looking at a model: summary, explain, profile, and the gradient check."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.ceilings import ceiling
from ..backends.contract import Executable
from ..backends.program import Instruction, Program, Region, ValueId
from ..backends.state import Control
from ..kernels import ops
from ..kernels.errors import NotBuilt
from ..kernels.spec import ITEMSIZE, concrete_attrs, length
from . import notebook
from .checks import check_count
from .columns import table
from .session import Session

if TYPE_CHECKING:
    from .model import Sequential


def _layers(model: Sequential) -> tuple[list[tuple[str, ...]], str]:
    """A row for each layer under their head, and what is said below."""
    rows: list[tuple[str, ...]] = [("layer", "output", "parameters")]
    total = 0
    if model.built:
        graph = model.session.graph()
        for layer, node, trained in zip(model.layers, graph.outputs, graph.parameters, strict=True):
            count = sum(int(np.prod(p.shape)) for p in trained.values())
            total += count
            rows.append((layer.brief(), str(node.shape), f"{count:,}"))
    else:
        rows += [(layer.brief(), "not built", "") for layer in model.layers]
    loss = f"loss {model.loss.told()}, {model.optimizer!r}"
    device = f"{model.backend.name} ({model.backend.device}), {model.dtype}, seed {model.seed}"
    return rows, f"{total:,} parameters; {loss}\n{device}"


def summary(model: Sequential) -> str:
    """A table of layers, output shapes and numbers of parameters."""
    rows, below = _layers(model)
    return f"{table(rows)}\n{below}"


def html(model: Sequential) -> str:
    """The same for a notebook."""
    rows, below = _layers(model)
    return notebook.table(rows, below)


class Explanation(str):
    """What `explain` returns: words, and a table where a notebook shows it."""

    __slots__ = ("above", "below", "rows")
    above: str
    rows: list[tuple[str, ...]]
    below: str

    @classmethod
    def of(cls, above: str, rows: list[tuple[str, ...]], below: str) -> Explanation:
        """Words above a table, the table, and words below."""
        made = cls(f"{above}\n{table(rows)}\n{below}")
        made.above, made.rows, made.below = above, rows, below
        return made

    def _repr_html_(self) -> str:
        return notebook.table(self.rows, self.below, self.above)


def explain(model: Sequential, batch_size: int = 32) -> Explanation:
    """Which backend was chosen and why, and how each instruction of a training step is run.

    Below stand the regions: instructions that go over memory once, together, where the backend has
    a way for that and they are large enough.

    model: one that has weights. batch_size: the rows that memory is planned for.
    Raises: NotBuilt.
    """
    if not model.built:
        raise NotBuilt("explain needs a built model: call fit(x, y), or build(n_features)")
    columns = 1 if model.loss.labels else model.n_outputs  # of the targets
    program = model.session.program("train", batch_size, columns)
    executable = model.backend.compile(program)
    rows: list[tuple[str, ...]] = [("stage", "operation", "runs as"), *executable.explain()]
    plan, by = program.memory, model.session.shared_by
    memory = ", ".join(f"{n:,} {kind}" for kind, n in plan.arenas.items())
    return Explanation.of(
        f"backend {model.backend.name} on {model.backend.device}\n"
        f"chosen by: {model.backend_reason}" + (f"\nranks: {by}" if by else ""),
        rows,
        f"{_regions(program, executable)}"
        f"arena for {batch_size} rows: {memory};"
        f" parameters: {program.layout.length('parameters'):,}",
    )


def _regions(program: Program, executable: Executable) -> str:
    """A line for each region that an executable runs as one: what is in it, and what it moves."""
    every, lines = list(program.instructions()), []
    for region in executable.regions():
        own = every[region.start : region.stop]
        if len(region) > 1:
            inner = f", {len(region.inner)} in between" if region.inner else ""
            lines.append(
                f"region, {own[0][0]}, {region.rows} x {region.columns}:"
                f" {', '.join(one.op for _, one in own)};"
                f" reads {len(region.inputs)} arrays, writes {len(region.outputs)}{inner}\n"
            )
    return "".join(lines)


@dataclass
class Profile:
    """Seconds per instruction over some training steps.

    backend: its name. steps: how many were timed.
    rows: (stage, operation, seconds a step, GFLOP/s, GB/s), in program order. product, copy: the
        machine's ceilings in GFLOP/s and GB/s, measured beside it.
    """

    backend: str
    steps: int
    product: float = float("nan")
    copy: float = float("nan")
    rows: list[tuple[str, str, float, float, float]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The seconds of one step inside instructions."""
        return sum(row[2] for row in self.rows)

    def _told(self) -> tuple[list[tuple[str, ...]], str]:
        """A row for each instruction under their head, and what is said below."""
        head = ("stage", "operation", "µs", "share", "GFLOP/s", "GB/s", "of the ceiling")
        rows: list[tuple[str, ...]] = [head]
        for stage, op, seconds, flops, traffic in self.rows:
            share = seconds / self.seconds if self.seconds else 0.0
            product, copy = flops / self.product, traffic / self.copy
            bound = f"{product:.0%} product" if product > copy else f"{copy:.0%} copy"
            rows.append(
                (
                    stage, op, f"{seconds * 1e6:.1f}", f"{share:.0%}", f"{flops:.2f}",
                    f"{traffic:.2f}", bound,
                )
            )  # fmt: skip
        return rows, (
            f"{self.seconds * 1e6:.1f} µs a step in instructions, {self.backend};"
            f" ceilings: product {self.product:.0f} GFLOP/s, copy {self.copy:.1f} GB/s"
        )

    def __str__(self) -> str:
        rows, below = self._told()
        return f"{table(rows)}\n{below}"

    def _repr_html_(self) -> str:
        return notebook.table(*self._told())


def profile(model: Sequential, x: Any, y: Any, steps: int = 20) -> Profile:
    """Times every instruction of a training step on these rows as one batch (medians).

    Beside each stands its share of the ceiling that binds it: the rate of a large product, or that
    of a copy past the caches, measured now. Small instructions work in a cache, which is faster
    than that copy. The steps are those of a copy of the model's state.

    model: built here if it is not. x: (n, features), y: (n,) or (n, outputs), as in `fit`.
    steps: how many are timed, from 1. Raises: BadInput, ShapeError, DtypeError, ModelBusy.
    """
    check_count("profile: steps", steps)
    session = model.session
    with session.right_to_train:
        examples = session.learn(session.examples(x, y, raw=True))
    state, rows = deepcopy(session.state), examples.rows
    program = session.program("train", rows, examples.outputs)
    block = examples.block(session.backend, session.dtype, session.casts)
    executable = session.backend.compile(program)
    binding = executable.bind(state, block)
    times: dict[int, list[float]] = {}

    def watch(instruction: Instruction, seconds: float) -> None:
        times.setdefault(id(instruction), []).append(seconds)

    def one() -> None:
        binding.run(Control(batch=rows, learning_rates=model.optimizer.rates(state.step, 1)))

    one()  # compiles, allocates
    binding.watch = watch
    for _ in range(steps):
        one()
    result = Profile(model.backend.name, steps, *ceiling(model.backend, model.dtype))
    every, at = list(program.instructions()), 0
    regions = {region.start: region for region in executable.regions()}
    again = {id for r in regions.values() for p in r.again for id in every[p][1].outputs}
    while at < len(every):
        stage, first = every[at]
        region = regions.get(at)
        if region is None or any(id(one) in times for _, one in every[at + 1 : region.stop]):
            region = None  # each by itself, while it is watched
        own = [one for _, one in every[at : region.stop if region else at + 1]]
        at += len(own)
        seconds = float(np.median(times.get(id(first), [0.0])))
        flops, moved = _cost(program, own, rows)
        if region is not None:
            moved = _traffic(program, region, again, rows)
        rate = 1e-9 / seconds if seconds else 0.0
        names = ", ".join(one.op for one in own)
        result.rows.append((stage, names, seconds, flops * rate, moved * rate))
    return result


def _cost(program: Program, own: Sequence[Instruction], rows: int) -> tuple[float, float]:
    """Operations and bytes of instructions, one after the other."""
    flops, moved = 0.0, 0.0
    for one in own:
        ins = [s.at(rows) for s in program.specs(one) if s is not None]
        outs = [program.values[o].spec.at(rows) for o in one.outputs]
        cost = ops.get(one.op).cost(ins, outs, concrete_attrs(one.attrs, rows))
        flops, moved = flops + cost.flops, moved + cost.bytes
    return flops, moved


def _traffic(program: Program, region: Region, again: Collection[ValueId], rows: int) -> float:
    """Bytes that a region reads and writes: not what is in between, nor what is made again."""
    ids = {*region.inputs, *region.outputs, *region.sources} - {*again}
    specs = [program.values[id].spec.at(rows) for id in ids]
    return float(sum(length(s) * ITEMSIZE[s.dtype] for s in specs))


@dataclass(frozen=True)
class GradientCheck:
    """Backpropagation against finite differences.

    errors: per array, |analytic - numeric| / (|analytic| + |numeric|), Euclidean norms over the
        checked elements (the course's measure); passed: all are at most `tolerance`.
    """

    errors: dict[str, float]
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether every array's error is within the tolerance."""
        return all(error <= self.tolerance for error in self.errors.values())

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("array", "relative difference", "")]
        for name, error in self.errors.items():
            rows.append((name, f"{error:.2e}", "ok" if error <= self.tolerance else "WRONG"))
        return table(rows)


def check_gradients(
    model: Sequential,
    x: Any,
    y: Any,
    sample_weight: Any = None,
    epsilon: float = 1e-6,
    samples: int = 30,
    tolerance: float = 1e-6,
) -> GradientCheck:
    """Compares backpropagation with central finite differences, in float64.

    A copy of the model is made in float64 on its own backend; up to `samples` elements of each
    array are checked. Dropout masks stay the same throughout. The model is not changed.

    x: (n, features), y: (n,) or (n, outputs), sample_weight: (n,), as in `fit`.
    epsilon: how far an element is moved to either side. tolerance: the largest error that passes:
        |analytic - numeric| / (|analytic| + |numeric|), Euclidean norms (course section 3.3).
    Raises: BadInput, ShapeError, DtypeError.
    """
    copy = Session(
        model.layers, model.loss, model.optimizer, (), "float64", model.seed, model.backend
    )
    copy.rates = dict(model.session.rates)
    if model.built:
        copy.build(model.features or ())
        copy.set_weights([w.astype(np.float64) for w in model.get_weights()])
        copy.state.write("statistics", model.state.read("statistics"))
        copy.learned, copy.shift = True, model.session.shift
    examples = copy.learn(copy.examples(x, y, sample_weight, raw=True))
    copy.state.step = model.state.step if model.built else 0
    copy.cost(examples)
    state, flat = copy.state, copy.state.read("parameters")
    analytic = state.read("gradients")
    rng = np.random.default_rng(0)
    errors = {}
    for entry in state.layout.entries:
        if not entry.trainable:
            continue
        count = min(samples, entry.size)
        places = entry.offset + rng.choice(entry.size, count, replace=False)
        numeric = np.empty(count)
        for number, place in enumerate(places):
            sides = []
            for sign in (1.0, -1.0):
                moved = flat.copy()
                moved[place] += sign * epsilon
                state.write("parameters", moved)
                sides.append(copy.cost(examples))
            numeric[number] = (sides[0] - sides[1]) / (2.0 * epsilon)
        norms = np.linalg.norm(analytic[places]) + np.linalg.norm(numeric)
        difference = np.linalg.norm(analytic[places] - numeric)
        # where both vanish only rounding is left, and a ratio would blow it up
        errors[entry.name] = float(difference / norms) if norms > 1e-8 else float(difference)
    state.write("parameters", flat)
    return GradientCheck(errors, tolerance)
