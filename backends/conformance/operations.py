"""Every operation on a device, in every dtype and layout, against the float64 oracle.

The cases are made from the operation table, so a new row or a new device needs no test of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...kernels import ops
from ...kernels.op import Op, Sample, Tolerance
from ...kernels.spec import Spec, concrete, spec_of
from ..contract import Backend
from ..dispatch import resolve

ROWS = 5


Upload = Callable[[Backend, np.ndarray], Any]


def contiguous(backend: Backend, host: np.ndarray) -> Any:
    """Row-major."""
    return backend.asarray(np.asarray(host, order="C"))  # of rank 0 as well


def transposed(backend: Backend, host: np.ndarray) -> Any:
    """Column-major: a transposed view of an array that lies on the device."""
    if host.ndim < 2:
        return contiguous(backend, host)
    other_way_round = contiguous(backend, host.T)
    return backend.xp.permute_dims(other_way_round, tuple(reversed(range(host.ndim))))


def strided(backend: Backend, host: np.ndarray) -> Any:
    """Every second element of a larger array, along every axis; the others are poison."""
    if host.ndim == 0:
        return contiguous(backend, host)
    poison: Any = np.nan if host.dtype.kind == "f" else 99
    larger = np.full(tuple(2 * d for d in host.shape), poison).astype(host.dtype)
    places = tuple(slice(None, None, 2) for _ in host.shape)
    larger[places] = host
    return contiguous(backend, larger)[places]


# An upload makes any array row-major, so a layout is made where the array lies.
LAYOUTS: dict[str, Upload] = {
    "contiguous": contiguous,
    "transposed": transposed,
    "strided": strided,
    "empty": contiguous,  # zero rows
}


@dataclass(frozen=True)
class Failure:
    """A number that is off, or a call that raised.

    name: of the operation or the program. layout: of the operation's inputs; a program has none.
    """

    name: str
    dtype: str
    layout: str
    what: str

    def __str__(self) -> str:
        where = ", ".join(filter(None, (self.dtype, self.layout)))
        return f"[{self.name}] {where}: {self.what}"


def specs(sample: Sample) -> list[Spec | None]:
    """The specs of a sample's inputs; host numbers are of rank 0."""

    def one(value: Any) -> Spec | None:
        if value is None:
            return None
        if isinstance(value, np.ndarray):
            return spec_of(value)
        return Spec((), "int64" if isinstance(value, int) else "float64")

    return [one(value) for value in sample.inputs]


def oracle(op: Op, sample: Sample) -> tuple[np.ndarray, ...]:
    """The reference on NumPy, floating inputs in float64."""
    inputs = [
        v.astype(np.float64) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
        for v in sample.inputs
    ]
    made = op.reference(np, *inputs, **op.complete(sample.attrs))
    return made if isinstance(made, tuple) else (made,)


def samples(op: Op, dtype: str, layout: str) -> Iterator[Sample]:
    """The op's samples in one dtype, on the host; of no rows where the layout is "empty"."""
    rng = np.random.default_rng(0)
    yield from op.samples(rng, dtype, 0 if layout == "empty" else ROWS)


def computes_in(backend: Backend, op: Op, sample: Sample) -> bool:
    """Whether the device has the dtypes of a call; one that it lacks is refused by dispatch."""
    made = op.check(specs(sample), op.complete(sample.attrs))
    return all(
        spec.dtype in backend.dtypes
        for spec in (*specs(sample), *made)
        if spec is not None and spec.rank and spec.dtype.startswith("float")
    )


def check(backend: Backend, name: str, dtype: str, layout: str) -> list[Failure]:
    """Runs all samples of one operation; the list is empty when all agree with the oracle."""
    op = ops.get(name)
    failures = []
    for sample in samples(op, dtype, layout):
        if not computes_in(backend, op, sample):
            continue
        try:
            failures += [
                Failure(name, dtype, layout, what)
                for what in _differences(backend, op, sample, dtype, layout)
            ]
        except Exception as error:
            failures.append(Failure(name, dtype, layout, f"{type(error).__name__}: {error}"))
    return failures


def deviation(got: np.ndarray, want: Any, tolerance: Tolerance) -> tuple[float, float]:
    """The largest error against the oracle, NaN where an element is one, and the one allowed."""
    if not got.size:
        return 0.0, 0.0
    want64 = np.asarray(want, dtype=np.float64)
    error = float(np.max(np.abs(got.astype(np.float64) - want64)))
    return error, tolerance.absolute + tolerance.relative * float(np.max(np.abs(want64)))


def _differences(
    backend: Backend, op: Op, sample: Sample, dtype: str, layout: str
) -> Iterator[str]:
    call = resolve(backend, op.name, specs(sample), sample.attrs)
    upload = LAYOUTS[layout]
    inputs = [upload(backend, v) if isinstance(v, np.ndarray) else v for v in sample.inputs]
    out = None
    if call.writes:  # poisoned, so that an element left unwritten shows
        shapes = [concrete(s.shape, ROWS) for s in call.outputs]
        poison = [
            np.full(shape, _poison(s.dtype), dtype=s.dtype)
            for shape, s in zip(shapes, call.outputs, strict=True)
        ]
        out = tuple(backend.asarray(p) for p in poison)
    with backend.active(), np.errstate(all="ignore"):
        made = [backend.to_numpy(a) for a in call(out, *inputs)]
        expected = oracle(op, sample)
    if len(made) != len(call.outputs):
        yield f"{len(made)} outputs instead of {len(call.outputs)}"
    for number, (got, want, spec) in enumerate(zip(made, expected, call.outputs, strict=False)):
        where = f"{op.outputs[number] if number < len(op.outputs) else number}, {sample.attrs}"
        if got.shape != spec.shape or got.dtype.name != spec.dtype:
            yield f"{where}: {spec_of(got)} instead of {spec}"
            continue
        if not got.size:
            continue
        error, bound = deviation(got, want, op.tolerance[dtype])
        if not error <= bound:
            yield f"{where}: off by {error:.3g}, allowed {bound:.3g}"


def _poison(dtype: str) -> Any:
    return np.nan if dtype.startswith("float") else 77 if dtype != "bool" else True


def check_operations(backend: Backend) -> Iterator[tuple[str, list[Failure]]]:
    """(operation, failures) for the whole table, in every dtype and layout."""
    for name in ops.OPS:
        failures: list[Failure] = []
        for dtype in backend.dtypes:
            for layout in LAYOUTS:
                failures += check(backend, name, dtype, layout)
        yield name, failures
