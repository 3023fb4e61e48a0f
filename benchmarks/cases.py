"""Cases from the operation table: every way in which a backend computes a hot operation.

Nothing is listed by hand: a new row of the table, a new kernel and a plugged-in backend appear by
themselves. A way is checked against the float64 oracle on the inputs that it is timed with.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..backends import conformance
from ..backends.contract import Backend
from ..backends.dispatch import Call, resolve
from ..kernels import ops
from ..kernels.op import Op, Sample
from ..kernels.spec import spec_of
from .memory_layout import scatter
from .result import Row
from .timing import Contender

SIZES = (1_000, 30_000, 1_000_000, 8_000_000)  # the last: 32 MiB of float32
SLOW_SECONDS = 0.2  # a call above this is measured on fewer elements
SMALLER = 8  # from one size that is tried to the next
FEW = 1_000


@dataclass(frozen=True)
class Case:
    """One operation on inputs of about so many elements."""

    op: Op
    elements: int
    dtype: str

    @property
    def name(self) -> str:
        """`relu 30000`."""
        return f"{self.op.name} {self.elements}"

    def sample(self, elements: int | None = None) -> Sample:
        """The inputs, the same every time."""
        rng = np.random.default_rng(0)
        return self.op.measured_sample(rng, self.dtype, elements or self.elements)


@dataclass(frozen=True)
class Way:
    """One variant of one backend for one operation; `kernels` is None for the reference alone."""

    backend: Backend
    variant: str
    kernels: Any


def hot_ops(names: Iterable[str] = ()) -> list[Op]:
    """The named operations, or all that are hot. Raises: UnknownName."""
    chosen = [ops.get(name) for name in names]
    return chosen or [op for op in ops.OPS.values() if op.hot]


def ways(backend: Backend, op: Op, sample: Sample) -> Iterator[Way]:
    """The variants of a backend that differ for this operation, slowest first.

    A variant without a kernel for the call would run the reference, so it is left out where
    another one runs that already.
    """
    seen_reference = False
    for variant, kernels in backend.variants().items():
        call = resolve(backend, op.name, conformance.specs(sample), sample.attrs, kernels)
        if not call.by_kernel and (seen_reference or (len(backend.variants()) > 1 and kernels)):
            continue
        seen_reference = seen_reference or not call.by_kernel
        yield Way(backend, variant, kernels)


class Prepared:
    """A way with its inputs on the device and memory for its outputs."""

    def __init__(self, way: Way, op: Op, sample: Sample, dtype: str) -> None:
        self.way, self.op, self.sample, self.dtype = way, op, sample, dtype
        backend = way.backend
        self.call: Call = resolve(
            backend, op.name, conformance.specs(sample), sample.attrs, way.kernels, trusted=True
        )
        scatter()  # where memory lies is part of what differs from run to run
        start = time.perf_counter()
        self.inputs = [
            backend.asarray(v) if isinstance(v, np.ndarray) else v for v in sample.inputs
        ]
        backend.synchronize()
        self.transfer = time.perf_counter() - start
        self.out = None
        if self.call.writes:
            self.out = tuple(
                backend.asarray(np.zeros(s.shape, dtype=s.dtype))  # type: ignore[arg-type]
                for s in self.call.outputs
            )

    def check(self) -> tuple[float, float, str]:
        """The largest error, the one allowed, and what is wrong ("" when nothing is)."""
        backend = self.way.backend
        worst, bound = 0.0, 0.0
        with backend.active(), np.errstate(all="ignore"):
            start = time.perf_counter()
            made = self.call(self.out, *self.inputs)
            backend.synchronize()
            self.first_call = time.perf_counter() - start
            expected = conformance.oracle(self.op, self.sample)
            found = [backend.to_numpy(array) for array in made]
        for number, (got, want, spec) in enumerate(
            zip(found, expected, self.call.outputs, strict=True)
        ):
            if got.shape != spec.shape or got.dtype.name != spec.dtype:
                return worst, bound, f"output {number} is {spec_of(got)} instead of {spec}"
            error, allowed = conformance.deviation(got, want, self.op.tolerance[self.dtype])
            allowed *= self._terms(got.size)
            if not error <= allowed:
                return error, allowed, f"output {number} is off by {error:.3g}, not {allowed:.3g}"
            if error - allowed >= worst - bound:
                worst, bound = error, allowed
        return worst, bound, ""

    def _terms(self, outputs: int) -> float:
        """How much more a sum may be off here than in the samples that the tolerance is for.

        Rounding errors grow with the root of the number of terms; those have up to a thousand.
        """
        largest = max((v.size for v in self.sample.inputs if isinstance(v, np.ndarray)), default=1)
        return max(1.0, math.sqrt(largest / (1000.0 * max(outputs, 1))))

    def work(self) -> tuple[float, float]:
        """Floating-point operations and bytes of one call."""
        given = [s for s in conformance.specs(self.sample) if s is not None]
        cost = self.op.cost(given, self.call.outputs, self.op.complete(self.sample.attrs))
        return cost.flops, cost.bytes

    def runner(self) -> Callable[[], object]:
        """What is timed. Updates run in place, as they do in training."""
        out, inputs, call = self.out, self.inputs, self.call
        if out is not None and self.op.name.endswith("_update"):
            out = tuple(inputs[places[0]] for places in self.op.overwrites)

        def compute() -> None:
            call(out, *inputs)

        return compute


def prepare(case: Case, way: Way) -> tuple[Row, Contender | None]:
    """A row checked against the oracle, and what to time; nothing to time where it is wrong.

    A slow way is checked and measured on fewer elements, and the row says so.
    """
    elements = affordable(case, way)
    row = Row(
        "op", case.name, way.backend.name, way.variant, case.dtype, case.elements, op=case.op.name
    )  # fmt: skip
    try:
        ready = Prepared(way, case.op, case.sample(elements), case.dtype)
        error, allowed, wrong = ready.check()
    except Exception as problem:  # a kernel that raises is as wrong as one that is off
        reason = f"{type(problem).__name__}: {problem}"
        return replace(row, status="wrong", reason=reason), None
    flops, traffic = ready.work()
    scale = 1.0
    if elements != case.elements:
        whole = Prepared(
            Way(way.backend, way.variant, way.kernels), case.op, case.sample(), case.dtype
        )
        flops_whole, traffic_whole = whole.work()
        scale = flops_whole / flops if flops else traffic_whole / traffic
        flops, traffic = flops_whole, traffic_whole
    row = replace(
        row, error=error, allowed=allowed, first_call=ready.first_call, transfer=ready.transfer,
        flops=flops, bytes=traffic, measured=elements if elements != case.elements else 0,
    )  # fmt: skip
    if wrong:
        return replace(row, status="wrong", reason=wrong), None
    made = Contender(row, ready.runner(), way.backend.synchronize)
    made.units = 1 / scale  # type: ignore[assignment]
    return row, made


def affordable(case: Case, way: Way) -> int:
    """The elements to measure: all, or as many as a call of SLOW_SECONDS takes.

    Sizes are tried from small to large, for a call of few elements says little of one of many.
    """
    elements = min(FEW, case.elements)
    while elements < case.elements:
        small = Prepared(way, case.op, case.sample(elements), case.dtype)
        compute = small.runner()
        with way.backend.active(), np.errstate(all="ignore"):
            try:
                compute()  # compiles
                start = time.perf_counter()
                compute()
                way.backend.synchronize()
            except Exception:
                return case.elements  # it will be found wrong there
            seconds = time.perf_counter() - start
        growth = SMALLER if elements * SMALLER < case.elements else case.elements / elements
        if seconds * growth > SLOW_SECONDS:
            return elements
        elements = min(elements * SMALLER, case.elements)
    return case.elements
