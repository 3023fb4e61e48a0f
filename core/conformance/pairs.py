"""A model on a device, and the same model plainly in float64: run side by side and compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ...backends import batching, guard
from ...backends.conformance import Plain, deviation
from ...backends.contract import Backend, Binding, Executable
from ...backends.program import Program
from ...backends.selection import get_backend
from ...backends.state import Control, DataBlock, State
from ...kernels.op import Tolerance
from .networks import Data, Network

# What a few steps may be off, as |value - oracle| <= absolute + relative * max(|oracle|); a step
# feeds its rounding to the next, so it is more than one operation's.
TOLERANCE = {"float32": Tolerance(5e-5, 5e-6), "float64": Tolerance(1e-11, 1e-12)}
BATCH, ROWS = 5, 23  # four full batches and a last one of three
SEED = (1 << 63) + 5  # as large as seeds get, to show where one is taken for a signed number


@cache
def compiled_plainly(network: Network, kind: str, capacity: int) -> Program:
    """The oracle's program."""
    return network.program(kind, "float64", capacity)


class Comparison:
    """A program on the device and plainly, bound to states and data with the same numbers."""

    def __init__(self, pair: Pair, program: Program, plain: Program, executable: Executable):
        self.pair, self.program, self.plain_program = pair, program, plain
        self.executable = executable
        self.binding: Binding | None = None

    def use(self, data: Data, on_disk: Path | None = None) -> None:
        """Binds both to data, or exchanges it. on_disk: a file for x, to be read as a map."""
        columns, wanted = data.columns(self.pair.dtype), data.columns("float64")
        if self.program.name == "predict":
            del columns["y"], wanted["y"]
        if on_disk is not None:
            np.save(on_disk, data.x)
            columns["x"] = np.load(on_disk, mmap_mode="r")
        weights, order, dtype = data.weights, data.order, self.pair.dtype
        self.block = DataBlock(self.pair.backend, columns, weights, order, dtype)
        self.plain_block = DataBlock(get_backend("numpy"), wanted, weights, order, "float64")
        if self.binding is None:
            limit = guard.largest_norm(dtype)  # the oracle stops where the device has to
            self.binding = self.executable.bind(self.pair.state, self.block)
            self.plain = Plain(self.plain_program, self.pair.wanted, self.plain_block, limit)
        else:
            self.binding.use(self.block)
            self.plain.use(self.plain_block)

    def reorder(self, order: np.ndarray | None) -> None:
        """Exchanges the order of both."""
        self.block.reorder(order)
        self.plain_block.reorder(order)

    def run(self, control: Control | None = None) -> Iterator[str]:
        """Runs both: one pass, or what `control` asks for; yields what differs."""
        control = control or self.whole_pass()
        wanted = replace(control, sums=dict(control.sums))
        assert self.binding is not None
        self.binding.run(control)
        self.plain.run(wanted)
        yield from self.differences(control, wanted)

    def whole_pass(self) -> Control:
        """A `Control` for one pass, with another learning rate at each step."""
        steps = batching.count(self.block.rows, BATCH)
        return Control(batch=BATCH, steps=steps, learning_rates=rates(steps))

    def differences(self, control: Control, wanted: Control) -> Iterator[str]:
        """What `control`, the state and the outputs say differently."""
        told = ("nonfinite_step", "nonfinite_instruction", "nonfinite_layer")
        asked = ("stop", *told) if wanted.stop else ("stop", "cursor")
        for name in asked:
            got, want = getattr(control, name), getattr(wanted, name)
            if got != want:
                yield f"control.{name} is {got!r} instead of {want!r}"
        if not wanted.stop:
            if control.sums.keys() != wanted.sums.keys():
                yield f"sums of {sorted(control.sums)} instead of {sorted(wanted.sums)}"
                return
            yield from self.pair.off("control.weight_sum", control.weight_sum, wanted.weight_sum)
            for name, value in wanted.sums.items():
                yield from self.pair.off(f"the sum of {name}", control.sums[name], value)
        yield from self.pair.differences()
        if self.program.name == "gradients":
            yield from self.pair.differences("gradients")
        for name in self.program.outputs:
            yield from self.output(name)

    def output(self, name: str) -> Iterator[str]:
        """What differs in an output of the last run."""
        assert self.binding is not None
        yield from self.pair.off(name, self.binding.read(name), self.plain.read(name))


class Pair:
    """One model's state on the device, and the same in float64 on NumPy."""

    def __init__(self, backend: Backend, network: Network, dtype: str, seed: int = SEED) -> None:
        self.backend, self.network, self.dtype = backend, network, dtype
        layout = network.layout(dtype)
        self.state = State(backend, layout, dtype, seed)
        self.wanted = State(get_backend("numpy"), layout, "float64", seed)
        for segment in ("parameters", "statistics"):
            self.write(segment, network.start(segment, layout.length(segment), seed % 7))

    def write(self, segment: str, numbers: np.ndarray) -> None:
        """Replaces a segment of both."""
        self.state.write(segment, numbers)
        self.wanted.write(segment, numbers)

    def bind(self, kind: str, data: Data, capacity: int = BATCH, **options: Any) -> Comparison:
        """A program of that kind, compiled and bound to data; options: see `Comparison.use`."""
        program = self.network.program(kind, self.dtype, capacity)
        both = Comparison(
            self,
            program,
            compiled_plainly(self.network, kind, capacity),
            self.backend.compile(program),
        )
        both.use(data, **options)
        return both

    def off(self, what: str, got: Any, want: Any) -> Iterator[str]:
        """Yields by how much a number or an array is off, if it is."""
        got, want = np.asarray(got), np.asarray(want)
        if got.shape != want.shape:
            yield f"{what} has shape {got.shape} instead of {want.shape}"
            return
        finite = np.isfinite(want)
        if not np.array_equal(got[~finite], want[~finite], equal_nan=True):
            yield f"{what}: {got[~finite]} instead of {want[~finite]}"
            return
        error, allowed = deviation(got[finite], want[finite], TOLERANCE[self.dtype])
        if not error <= allowed:
            yield f"{what}: off by {error:.3g}, allowed {allowed:.3g}"

    def differences(self, *segments: str) -> Iterator[str]:
        """What differs between the states; None named: all that outlasts a step."""
        layout = self.state.layout
        if self.state.step != self.wanted.step:
            yield f"state.step is {self.state.step} instead of {self.wanted.step}"
        for segment in segments or ("parameters", "statistics", *layout.slots):
            got, want = self.state.read(segment), self.wanted.read(segment)
            yield from self.off(f"state, {segment}", got, want)


def rates(steps: int) -> np.ndarray:
    """Another learning rate for every step."""
    return 0.02 + 0.01 * np.cos(np.arange(steps))
