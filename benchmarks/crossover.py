"""From which size on which backend wins on this machine, for operations and for training.

Every backend runs an operation as a model would have it run: through the one dispatch. What is
timed was compared with the oracle first. The figures are kept for this machine, where
`LAMINA_AUTO=measured` finds them.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ..backends import measured
from ..backends.conformance import oracle, specs
from ..backends.contract import Backend
from ..backends.dispatch import resolve
from ..backends.measured import Threshold, step_flops
from ..backends.selection import get_backend
from ..kernels.errors import LaminaError
from ..kernels.folder import read, write
from ..kernels.host import processor
from ..kernels.op import Op, Sample
from .environment import environment
from .networks import Network, data_for, model_for
from .timing import Contender, interleave

SAMPLE_ROWS = (10, 100, 1_000, 10_000, 100_000)  # of an operation's sample: a geometric ladder
FAMILY = (  # networks with a growing step, about a factor of eight apart
    Network((4, 4, 1), 16), Network((16, 16, 1), 32), Network((64, 32, 10), 32),
    Network((64, 128, 10), 128), Network((256, 256, 10), 128), Network((784, 512, 256, 10), 128),
    Network((1024, 1024, 1024, 10), 256),
)  # fmt: skip
ROUNDS = 7
ROUND_SECONDS = 2e-3
STEP_SECONDS = 2e-2  # a call of fit runs as many epochs as fill this
LOST = 20.0  # a backend so many times slower than the best is not measured on larger sizes
BETTER = 1.1  # a winner is dethroned by more than the noise
AGREES = 2e-3  # relative, the loss in float32 after four steps against float64


@dataclass(frozen=True)
class Point:
    """One size, and each backend's median seconds there.

    size: elements of an op's largest array, or flops of a training step.
    """

    size: float
    seconds: Mapping[str, float]


def thresholds(points: Sequence[Point]) -> tuple[Threshold, ...]:
    """From which size on which backend wins; interpolated between sizes, log against log.

    points: ascending sizes. A backend takes over where it is faster by more than the noise.
    """
    first = points[0].seconds
    holder = min(first, key=first.__getitem__)
    found = [Threshold(0.0, holder)]
    for before, point in pairwise(points):
        best = min(point.seconds, key=point.seconds.__getitem__)
        if best == holder or point.seconds[holder] < BETTER * point.seconds[best]:
            continue
        found.append(Threshold(_crossing(before, point, holder, best), best))
        holder = best
    return tuple(found)


def _crossing(before: Point, after: Point, old: str, new: str) -> float:
    """Where two straight lines, log seconds over log size, cross between two points."""
    gains = [math.log(p.seconds[old] / p.seconds[new]) for p in (before, after)]
    if gains[0] >= 0.0:  # as good already, within the noise
        return before.size
    share = -gains[0] / (gains[1] - gains[0])
    return math.exp(math.log(before.size) + share * (math.log(after.size) - math.log(before.size)))


def ladder(
    sizes: Sequence[Any], backends: Sequence[str], at: Callable[[Any, Sequence[str]], Point]
) -> list[Point]:
    """The points of all sizes, without the backends that have lost for good."""
    points, left = [], list(backends)
    for size in sizes:
        point = at(size, left)
        points.append(point)
        best = min(point.seconds.values())
        left = [name for name in left if point.seconds[name] <= LOST * best]
    return points


def op_point(op: Op, rows: int, backends: Sequence[str]) -> Point:
    """An operation on so many rows, on each of the backends.

    Raises: LaminaError for a backend whose result is off from the oracle.
    """
    sample = next(iter(op.samples(np.random.default_rng(0), "float32", rows)))
    expected = oracle(op, sample)
    growth = math.sqrt(
        max(1.0, rows / SAMPLE_ROWS[0])
    )  # of rounding errors in a sum: a random walk
    contenders = [
        op_contender(op, sample, get_backend(name), expected, growth) for name in backends
    ]
    size = max(np.size(v) for v in (*sample.inputs, *expected))
    return Point(float(size), _medians(contenders, ROUND_SECONDS))


def op_contender(
    op: Op, sample: Sample, backend: Backend, expected: Sequence[Any], growth: float
) -> Contender:
    """An operation on a backend, ready to be timed; growth: how much more error is allowed.

    Raises: LaminaError where the result is off from the oracle.
    """
    call = resolve(backend, op.name, specs(sample), sample.attrs, trusted=True)
    with backend.active():
        inputs = [backend.asarray(v) if isinstance(v, np.ndarray) else v for v in sample.inputs]
        out = None
        if call.writes:
            shapes: list[Any] = [s.shape for s in call.outputs]
            made = [np.zeros(s, o.dtype) for s, o in zip(shapes, call.outputs, strict=True)]
            out = tuple(backend.asarray(a) for a in made)
        with np.errstate(all="ignore"):
            got = [backend.to_numpy(a).astype(np.float64) for a in call(out, *inputs)]
    bound = op.tolerance["float32"]
    for mine, want in zip(got, expected, strict=True):
        allowed = bound.absolute + bound.relative * float(np.max(np.abs(want), initial=0.0))
        if not (np.abs(mine - want) <= growth * allowed).all():
            raise LaminaError(f"[{op.name}] {backend.name} is off from the oracle: not measured")

    def compute() -> None:
        with backend.active():
            call(out, *inputs)

    return Contender(backend.name, compute, backend.synchronize)


def training_point(network: Network, backends: Sequence[str]) -> Point:
    """Steps of a network through `fit`, on each of the backends.

    Raises: LaminaError for a backend whose loss is off from float64.
    """
    x, y = data_for(network)
    batch = network.batch
    exact = Network(network.sizes, batch, network.activation, "float64")

    def loss(of: Network, name: str) -> float:
        fitted = model_for(of, name).fit(x, y, 1, batch, shuffle=False, verbose=0)
        return fitted.history["loss"][-1]

    expected = loss(exact, "numpy")
    contenders = []
    for name in backends:
        if abs(loss(network, name) - expected) > AGREES * abs(expected):
            raise LaminaError(f"{network.case}: {name}'s loss is off from float64: not measured")
        contenders.append(_fit_contender(network, name, x, y))
    size = step_flops(batch, network.parameters)
    return Point(size, _medians(contenders, STEP_SECONDS))


def _fit_contender(network: Network, name: str, x: np.ndarray, y: np.ndarray) -> Contender:
    """As many epochs a call as a user's training would have, so that `fit` itself costs little."""
    model, batch = model_for(network, name), network.batch

    def fit(epochs: int) -> float:
        start = time.perf_counter()
        model.fit(x, y, epochs, batch, shuffle=False, verbose=0)
        return time.perf_counter() - start

    fit(1)
    epochs = max(1, min(64, int(STEP_SECONDS / fit(1))))
    return Contender(name, lambda: fit(epochs), units=epochs * (len(x) // batch))


def _medians(contenders: Sequence[Contender], round_seconds: float) -> dict[str, float]:
    for contender in contenders:
        contender.warm(round_seconds)
    interleave(contenders, ROUNDS, least=3, seconds=ROUNDS * len(contenders) * 10 * round_seconds)
    return {c.label: statistics.median(c.seconds) for c in contenders}


def measure_crossover(
    wanted: Sequence[Op], training: bool, progress: Callable[[str], None]
) -> Iterator[tuple[str, list[Point]]]:
    """(operation, or "" for training; points); `progress` hears what is being measured."""
    backends = measured.available()
    for op in wanted:
        progress(op.name)
        yield op.name, ladder(SAMPLE_ROWS, backends, partial(op_point, op))
    if training:
        progress("training")
        yield "", ladder(FAMILY, backends, training_point)


def section(points: Sequence[Point]) -> dict[str, Any]:
    """What the file says of an operation or of training."""
    return {
        "thresholds": [{"from": t.start, "backend": t.backend} for t in thresholds(points)],
        "points": [{"size": p.size, "seconds": dict(p.seconds)} for p in points],
    }


def document(found: Mapping[str, Sequence[Point]]) -> dict[str, Any]:
    """The file: this machine and its figures; what was kept of it and not measured again stays."""
    kept = _kept()
    here = environment()
    made = {
        "schema": measured.SCHEMA, "date": here["date"][:10], "processor": processor(),
        "cores": os.cpu_count(), "backends": measured.available(), "dtype": "float32",
        "python": here["python"], "packages": here["packages"],
        "training": kept.get("training"), "ops": kept.get("ops", {}),
    }  # fmt: skip
    for name, points in found.items():
        if name:
            made["ops"][name] = section(points)
        else:
            made["training"] = section(points)
    return made


def _kept() -> dict[str, Any]:
    """The file as it is, where it holds for this machine."""
    if not measured.path().is_file() or measured.problem():
        return {}
    found: dict[str, Any] = json.loads(read(measured.path()))
    return found


def save(made: Mapping[str, Any]) -> None:
    """Keeps the document as this machine's, whole or not at all."""
    write(measured.path(), json.dumps(made, indent=1) + "\n")
