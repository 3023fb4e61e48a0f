"""Random calls of every operation: a value that NumPy agrees with, or an error in words.

    python benchmarks/maintenance/random_calls.py [--backend numba] [--calls 10000] [OP ...]

Indices, axes, shapes, dtypes and layouts are drawn in and out of range. Each operation has a
process of its own, so that a signal is a finding too. Arrays lie between guard bytes, which nothing
may change, nor may a call change what it only reads. A tenth of the calls go through a program
whose inputs are constants, a tenth through one whose inputs are batch columns. The exit code is 1
where anything was found; each finding names the call's number, which `--only` repeats.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from lamina.backends.conformance.operations import deviation, oracle
from lamina.backends.contract import Backend
from lamina.backends.dispatch import resolve
from lamina.backends.program import Layout
from lamina.backends.selection import get_backend
from lamina.backends.state import Control, DataBlock, State
from lamina.core.graph.graph import Node, constant, leaf, make, outputs
from lamina.core.graph.planner import plan
from lamina.kernels import attributes, ops
from lamina.kernels.errors import LaminaError
from lamina.kernels.memory import aligned
from lamina.kernels.op import Op, Sample
from lamina.kernels.spec import FLOATS, ROWS, Spec, spec_of

if TYPE_CHECKING:
    from lamina.benchmarks.maintenance.drawn_calls import Call, draw
else:  # it lies beside this file and is not installed
    from drawn_calls import Call, draw

GUARD, PATTERN = 64, 0xA5  # bytes on either side of an array, and what stands in them
Generator = np.random.Generator


# Guarded memory


@dataclass
class Guards:
    """Arrays between guard bytes. memory: (all of it, where the array begins, its bytes)."""

    memory: list[tuple[np.ndarray, int, int]] = field(default_factory=list)

    def array(self, host: np.ndarray) -> np.ndarray:
        """A row-major copy with guards on both sides."""
        raw = aligned(2 * GUARD + host.nbytes, "uint8")
        raw[:] = PATTERN
        inner = raw[GUARD : GUARD + host.nbytes].view(host.dtype).reshape(host.shape)
        inner[...] = host
        self.memory.append((raw, GUARD, host.nbytes))
        return inner

    def broken(self) -> bool:
        """Whether a guard byte was changed."""
        return any(
            (raw[:start] != PATTERN).any() or (raw[start + size :] != PATTERN).any()
            for raw, start, size in self.memory
        )


def guarded(backend: Backend, guards: Guards) -> Backend:
    """A backend of the same kind all of whose memory is guarded."""

    class Guarded(type(backend)):  # type: ignore[misc]
        """The backend, with arrays between guard bytes."""

        def asarray(self, host: np.ndarray) -> np.ndarray:
            return guards.array(np.asarray(host))

        def borrow(self, host: np.ndarray) -> np.ndarray:
            return guards.array(np.asarray(host))

        def zeros(self, length: int, dtype: str) -> np.ndarray:
            return guards.array(np.zeros(length, dtype))

    made: Backend = Guarded()
    return made


# Trying them


def own_dtype(op: Op, sample: Sample) -> tuple[np.ndarray, ...]:
    """The reference in the dtype of the call: these keep from zero by its smallest number."""
    return (op.reference(np, *sample.inputs, **sample.attrs),)


FLOORED = {"cross_entropy": own_dtype, "binary_cross_entropy": own_dtype}


def laid_out(rng: Generator, guards: Guards, host: np.ndarray) -> np.ndarray:
    """The array in guarded memory: row-major, transposed, or every second element."""
    how = rng.random()
    if host.ndim < 2 or how < 0.6:
        return guards.array(host)
    if how < 0.8:
        return guards.array(np.ascontiguousarray(host.T)).T
    larger = np.zeros(tuple(2 * d for d in host.shape), host.dtype)
    places = tuple(slice(None, None, 2) for _ in host.shape)
    larger[places] = host
    return guards.array(larger)[places]


def spec_or_none(value: Any) -> Spec | None:
    """The spec of an input; host numbers are of rank 0."""
    if value is None or isinstance(value, np.ndarray):
        return None if value is None else spec_of(value)
    return Spec((), "int64" if isinstance(value, int) else "float64")


def direct(rng: Generator, backend: Backend, call: Call, guards: Guards) -> list[np.ndarray]:
    """The outputs of a call of what the backend has for it."""
    op, sample = call.op, call.sample
    attrs = attributes.normal(op.name, op.complete(sample.attrs))
    found = resolve(backend, op.name, [spec_or_none(v) for v in sample.inputs], attrs)
    inputs = [laid_out(rng, guards, v) if isinstance(v, np.ndarray) else v for v in sample.inputs]
    before = [raw.copy() for raw, _, _ in guards.memory]
    out = None
    if found.writes:
        shapes: Any = [(s.shape, s.dtype) for s in found.outputs]
        out = tuple(guards.array(np.full(s, 7).astype(d)) for s, d in shapes)
    with np.errstate(all="ignore"):
        made = [np.array(a) for a in found(out, *inputs)]
    for (raw, _, _), old in zip(guards.memory, before, strict=False):
        assert np.array_equal(raw, old), "a call changed its input"
    for got, spec in zip(made, found.outputs, strict=True):
        assert spec_of(got) == spec, f"{spec_of(got)} instead of {spec}"
    return made


def through(backend: Backend, call: Call, guards: Guards, batched: bool) -> list[np.ndarray]:
    """The outputs of a program of one operation; batched: arrays of one length are its columns."""
    columns: dict[str, np.ndarray] = {}
    nodes: list[Node | None] = []
    lengths = [v.shape[0] for v in call.sample.inputs if isinstance(v, np.ndarray) and v.ndim]
    rows = lengths[0] if batched and lengths else 0
    for number, value in enumerate(call.sample.inputs):
        array = None if value is None else np.asarray(value)
        if array is None:
            nodes.append(None)
        elif rows and array.ndim and array.shape[0] == rows and array.dtype.itemsize >= 4:
            name = f"c{number}"
            columns[name] = array
            spec = Spec((ROWS, *array.shape[1:]), array.dtype.name)
            nodes.append(leaf("batch", spec, name))
        else:
            nodes.append(constant(array))
    attrs = dict(call.sample.attrs)
    if batched and rows and "shape" in attrs and isinstance(attrs["shape"], tuple):
        attrs["shape"] = tuple(ROWS if d is rows else d for d in attrs["shape"])
    dtypes = {n.dtype for n in nodes if n is not None and n.dtype in FLOATS}
    dtype = "float64" if "float64" in dtypes or not dtypes else "float32"
    made = outputs(make(call.op.name, *nodes, **attrs))
    named = {f"out {number}": node for number, node in enumerate(made)}
    leaves = [n for n in nodes if n is not None and n.op == "batch"]
    program = plan(
        "random call", dtype=dtype, capacity=max(rows, 1), layout=Layout(()), columns=leaves,
        outputs=named,
    )  # fmt: skip
    device = guarded(backend, guards)
    state = State(device, Layout(()), dtype, seed=0)
    used = {name: columns[name] for name in program.columns}
    binding = device.compile(program).bind(state, DataBlock(device, used, dtype=dtype))
    binding.run(Control(batch=max(rows, 1)))
    return [np.array(binding.read(name)) for name in named]


def differences(call: Call, made: list[np.ndarray]) -> Iterator[str]:
    """What is off against the reference on NumPy, floating inputs in float64."""
    op = call.op
    attrs = attributes.normal(op.name, op.complete(call.sample.attrs))
    with np.errstate(all="ignore"):
        wanted = FLOORED.get(op.name, oracle)(op, Sample(call.sample.inputs, attrs))
    dtypes = [v.dtype.name for v in call.sample.inputs if isinstance(v, np.ndarray)]
    kind = "float32" if "float32" in dtypes or attrs.get("dtype") == "float32" else "float64"
    for got, want in zip(made, wanted, strict=True):
        want = np.asarray(want)
        if got.shape != want.shape:
            yield f"shape {got.shape} instead of {want.shape}"
            continue
        if got.dtype.kind != "f":
            if not np.array_equal(got, want.astype(got.dtype)):
                yield f"{got.tolist()} instead of {want.tolist()}"
            continue
        fine = np.isfinite(want)
        odd = got[~fine], want[~fine].astype(got.dtype)
        if not np.array_equal(*odd, equal_nan=True) or not np.isfinite(got[fine]).all():
            yield f"{got.tolist()} instead of {want.tolist()}"
            continue
        error, allowed = deviation(got[fine], want[fine], op.tolerance[kind])
        if not error <= allowed:
            yield f"off by {error:.3g}, allowed {allowed:.3g}"


def attempt(rng: Generator, backend: Backend, call: Call) -> Iterator[str]:
    """Makes a call in one of the three ways; yields what is wrong."""
    guards, way = Guards(), rng.random()
    host_numbers = any(isinstance(v, (int, float)) for v in call.sample.inputs)
    how = "as a program" if way < 0.9 else "over columns"
    if host_numbers or way < 0.8:
        how = "called"
    try:
        if how == "called":
            made = direct(rng, backend, call, guards)
        else:
            made = through(backend, call, guards, how == "over columns")
    except LaminaError as error:
        if call.plain and how == "called":
            yield f"{how}: refused: {error}"
        return
    except Exception as error:
        yield f"{how}: {type(error).__name__}: {error}"
        return
    if guards.broken():
        yield f"{how}: wrote beyond an array"
    for what in differences(call, made):
        yield f"{how}: {what}"


def try_calls(
    op: Op, backend: Backend, calls: int, seed: int, only: int = -1, log: int = -1
) -> Iterator[str]:
    """What random calls of one operation find. log: a file that says which call is being made."""
    for number in range(calls) if only < 0 else [only]:
        rng = np.random.default_rng([seed, number])
        call = draw(rng, op)
        if log >= 0:
            os.pwrite(log, f"{number} {call}".encode()[:999].ljust(999), 0)
        for what in attempt(rng, backend, call):
            yield f"{number} {call}: {what}"


def in_a_process(names: Sequence[str], given: argparse.Namespace) -> list[str]:
    """The findings of operations, from a process that may die."""
    with tempfile.NamedTemporaryFile() as log:
        command = [sys.executable, __file__, "--child", log.name, "--backend", given.backend]
        command += ["--calls", str(given.calls), "--seed", str(given.seed)]
        done = subprocess.run([*command, *names], capture_output=True, text=True, check=False)
        found = done.stdout.splitlines()
        if done.returncode < 0:
            last = log.read().decode().strip()
            found.append(f"{last}: signal {-done.returncode}")
        elif done.returncode:
            found.append(done.stderr.strip()[-300:] or f"exit code {done.returncode}")
    return found


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Random calls of every operation.")
    parser.add_argument("ops", nargs="*", metavar="OP")
    parser.add_argument("--backend", default="numba")
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, default=-1, help="the number of one call to repeat")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    names = given.ops or list(ops.OPS)
    if given.child or given.only >= 0:
        log = os.open(given.child, os.O_WRONLY) if given.child else -1
        backend = get_backend(given.backend)
        for name in names:
            for line in try_calls(ops.get(name), backend, given.calls, given.seed, given.only, log):
                print(line, flush=True)
        return 0
    total = 0
    for name in names:
        found = in_a_process([name], given)
        total += len(found)
        print(f"{name}: {given.calls} calls, {len(found)} findings", flush=True)
        for line in found[:20]:
            print(f"  {line[:600]}", flush=True)
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(main())
