"""The suite: what is measured, in which order, within which time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..backends.contract import Backend
from ..backends.registry import names, status
from ..backends.selection import get_backend
from ..kernels.errors import BadInput, unknown
from ..kernels.spec import FLOATS
from . import cases, story, trainings
from .ceilings import measure_ceilings
from .environment import environment
from .networks import Network
from .result import Result, Row
from .timing import Contender, interleave

QUICK_OPS = (
    "matmul", "dense", "dense_backward", "relu", "sigmoid", "tanh", "softmax",
    "softmax_cross_entropy", "sigmoid_binary_cross_entropy", "gather_rows", "sgd_update",
    "adam_update",
)  # fmt: skip
MODES = ("quick", "default", "full", "verify")
Progress = Callable[[str, float], None]  # what is being measured, and the share of the work done


@dataclass(frozen=True)
class Options:
    """What to measure. mode: one of MODES; ops, backends, sizes, dtypes: all when empty."""

    mode: str = "default"
    ops: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    dtypes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """The time it may take; compilation is not counted."""
        return {"quick": 50.0, "default": 580.0}.get(self.mode, float("inf"))

    @property
    def rounds(self) -> int:
        """Interleaved rounds of each group."""
        return {"quick": 5, "default": 7, "full": 11}.get(self.mode, 0)

    @property
    def whole(self) -> bool:
        """Whether the story and the trainings belong to it: not when operations are picked."""
        return not self.ops and not self.sizes


# a name, and what prepares the rows
Group = tuple[str, Callable[[], list[tuple[Row, Contender | None]]]]


def devices(chosen: Sequence[str]) -> list[Backend]:
    """The named backends, or all that can run here. Raises: BackendUnavailable, UnknownName."""
    if chosen:
        return [get_backend(name) for name in chosen]
    return [get_backend(name) for name in names() if status(name).available]


def groups(options: Options, backends: list[Backend]) -> Iterator[Group]:
    """Groups of rows that did the same work, each prepared in its turn; small ones first."""
    dtypes = options.dtypes or (FLOATS if options.mode in ("full", "verify") else FLOATS[:1])
    if options.whole:
        small = options.mode == "verify"
        yield "logistic regression", lambda: story.prepare(*((50, 8) if small else ()))
        for network in trainings.chosen(options.mode in ("quick", "verify")):
            yield network.case, lambda network=network: _training(network, backends)  # type: ignore[misc]
    picked = options.ops or (QUICK_OPS if options.mode == "quick" else ())
    sizes = options.sizes or {
        "quick": (30_000, 1_000_000), "verify": (600,), "full": cases.SIZES,
    }.get(options.mode, cases.SIZES[1:])  # fmt: skip
    for size in sizes:
        for dtype in dtypes:
            for op in cases.hot_ops(picked):
                case = cases.Case(op, size, dtype)
                yield f"{case.name}, {dtype}", lambda case=case: _op(case, backends)  # type: ignore[misc]


def _training(network: Network, backends: list[Backend]) -> list[tuple[Row, Contender | None]]:
    expected = trainings.reference_loss(network)
    return [trainings.prepare(network, backend, expected) for backend in backends]


def _op(case: cases.Case, backends: list[Backend]) -> list[tuple[Row, Contender | None]]:
    found = []
    for backend in backends:
        if case.dtype in backend.dtypes:
            for way in cases.ways(backend, case.op, case.sample(256)):
                found.append(cases.prepare(case, way))
    return found


def measure_suite(
    options: Options, progress: Progress = lambda what, share: None, keep: Result | None = None
) -> Result:
    """Measures. `keep` is filled while it runs, so that an interruption leaves its rows.

    Raises: BadInput, UnknownName, BackendUnavailable.
    """
    if options.mode not in MODES:
        raise unknown("mode", options.mode, MODES)
    for dtype in options.dtypes:
        if dtype not in FLOATS:
            raise unknown("dtype", dtype, FLOATS)
    if any(size < 1 for size in options.sizes):
        raise BadInput("--size is a number of elements from 1")
    backends = devices(options.backends)
    result = keep if keep is not None else Result(options.mode, {})
    result.mode = options.mode
    result.environment.update(environment())
    queue = list(groups(options, backends))
    if options.mode != "verify":
        progress("ceilings", 0.0)
        side = 1024 if options.mode == "quick" else 2048
        dtypes = sorted(
            {*(options.dtypes or ("float32",))} | ({"float64"} if options.mode == "full" else set())
        )
        result.ceilings.extend(measure_ceilings(backends, dtypes, side))
    start, compiling = time.perf_counter(), 0.0
    for number, (name, prepare) in enumerate(queue):
        spent = time.perf_counter() - start - compiling
        progress(name, max(number / len(queue), min(spent / options.seconds, 1.0)))
        if spent > options.seconds:
            result.environment["left_out"] = [name for name, _ in queue[number:]]
            break
        begun = time.perf_counter()
        ready = prepare()
        if options.mode == "verify":
            result.rows += [row for row, _ in ready]
            continue
        # what a first call takes beyond the later ones is compilation
        compiling += sum(row.first_call or 0.0 for row, _ in ready if (row.first_call or 0.0) > 0.2)
        result.rows += _timed(ready, options, options.seconds - (time.perf_counter() - begun))
    return result


def _timed(ready: list[tuple[Row, Contender | None]], options: Options, left: float) -> list[Row]:
    """The rows with their rounds."""
    contenders = [c for _, c in ready if c is not None]
    for contender in contenders:
        contender.warm(0.01 if options.mode == "quick" else 0.02)
    limit = 1.0 if options.mode == "quick" else 30.0  # at least three rounds whatever they take
    interleave(contenders, options.rounds, seconds=min(limit, left))
    rows = []
    for row, timed in ready:
        if timed is None:
            rows.append(row)
            continue
        first = row.first_call if row.first_call is not None else timed.first_call
        rows.append(replace(row, seconds=tuple(timed.seconds), first_call=first))
    return rows
