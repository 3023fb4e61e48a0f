"""Steps of small networks in one launch: a persistent kernel of one block, written from a program.

A `Block` is a device whose memory is what the threads of one block of a GPU share, and which does
nothing: a binding of the program to it asks for a step as it asks a GPU, and what it asks for is
written down (`kernels/cuda/persistent.py`). What a run is given lies where it lies for captured
steps, so both may follow each other: a last batch of fewer rows is a captured step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import numpy as np

from ..kernels import thresholds
from ..kernels.cuda.launch import recorded
from ..kernels.cuda.persistent import Persistent, Text, Unwritten
from ..kernels.cuda.table import cuda_kernels
from ..kernels.op import Kernel
from ..kernels.spec import concrete_attrs
from .contract import Backend
from .control_block import COUNTERS, REALS, ControlBlock
from .cuda_graphs import warned
from .device import Array
from .dispatch import resolve
from .fused import compiled
from .fused_steps import FusedStepsBinding, Ready
from .measured import step_flops
from .program import Program, Region
from .state import DataBlock, State


class Names:
    """The array namespace of a block: what moves nothing. All else is no kernel."""

    reshape = staticmethod(np.reshape)

    def __getattr__(self, name: str) -> Any:
        raise Unwritten(f"an expression ({name})")


class Block(Backend):
    """One block of a GPU, for which steps are written down."""

    name = "cupy"

    def __init__(self, text: Text) -> None:
        super().__init__()
        self.text = text

    @property
    def xp(self) -> Any:
        """See `Names`."""
        return Names()

    @cached_property
    def _kernels(self) -> Mapping[str, Kernel]:
        return cuda_kernels(self.text.product)

    def kernels(self) -> Mapping[str, Kernel]:
        """Those of the GPU, with products of its own."""
        return self._kernels

    def asarray(self, host: np.ndarray) -> Array:
        """What is there when a run begins."""
        return self.text.constant(host)

    def zeros(self, length: int, dtype: str) -> Array:
        """Shared memory."""
        return self.text.array(length, dtype)

    def assign(self, target: Array, source: Array) -> None:
        """Raises: Unwritten; a kernel writes where it is told."""
        raise Unwritten("a copy")


class Alone:
    """What records nothing: see `recorded.Graphs`."""

    def pool(self) -> AbstractContextManager[Any]:
        """See `Graphs.pool`."""
        return nullcontext()

    def capture(self, work: Any) -> Any:
        """See `Graphs.capture`."""
        return work

    def put(self, going: Array, target: Array, source: Array) -> None:
        """Raises: Unwritten."""
        raise Unwritten("an update without a kernel")


class SharedControl(ControlBlock):
    """The control block as one block has it: the table stays outside."""

    def __init__(self, text: Text, sums: int) -> None:
        self.count = sums + 1
        self.columns = len(REALS) + self.count
        self.table = text.given("table", np.empty((1, self.columns)))
        self.counters = text.copied("counters", text.array(len(COUNTERS), "int64"))
        self.totals = text.copied("totals", text.array(self.count, "float64"))
        self.going = text.copied("flag", text.array(1, "bool"))


class BlockBinding(FusedStepsBinding):
    """A program bound to a block, with rows from outside."""

    backend: Block

    def __init__(self, block: Block, program: Program, rows: int, weighted: bool) -> None:
        state = State(block, program.layout, program.dtype, 0)
        text, data = block.text, DataBlock(block, {})
        for at, flat in enumerate(state.flats.values()):
            text.copied(f"flat{at}", flat)
        self.seed = text.array(1, "int64")
        order = text.given("order", np.empty((1, rows), np.int32))
        shares = np.empty((1, rows, 1), program.dtype)
        columns = {name: id for name, id in program.columns.items() if name != "weights"}
        for at, (name, id) in enumerate(columns.items()):
            spec = program.values[id].spec.at(1)
            data.columns[name] = text.given(f"column{at}", np.empty(spec.shape, spec.dtype))
        data.weights = np.empty(1) if weighted else None
        super().__init__(block, program, state, data, Alone())
        self.order, self.shares = order, text.given("shares", shares) if weighted else None

    def use(self, block: DataBlock) -> None:
        """Data whose rows were looked at."""
        self.block = block
        self.runs = 0

    def _control_block(self) -> ControlBlock:
        return SharedControl(self.backend.text, len(self.program.sums))

    def _numbers(self, row: Array, counters: Array) -> dict[str, Any]:
        return super()._numbers(row, counters) | {"seed": self.seed.reshape(())}

    def _add_up(self, env: list[Any], factors: Array) -> None:
        raise Unwritten("more sums than one launch adds up")

    def chosen(self, rows: int) -> Iterable[Region]:
        """Also single instructions for which there is no other kernel."""
        program = self.program
        instructions = list(program.instructions())

        def alone(region: Region) -> bool:
            one = instructions[region.start][1]
            specs = [None if s is None else s.at(rows) for s in program.specs(one)]
            attrs = concrete_attrs(one.attrs, rows)
            return not resolve(self.backend, one.op, specs, attrs, trusted=True).by_kernel

        return [
            r for r in program.regions
            if (len(r) > 1 or alone(r)) and compiled(program, r, rows, least=1)
        ]  # fmt: skip


def kernel(backend: Any, program: Program, rows: int, weighted: bool) -> Persistent | None:
    """The kernel of a program for a device; None where it is not worth it, or cannot be.

    backend: one with `shared_bytes`, which are the most that a block may have.
    """
    parameters = program.layout.length("parameters")
    if step_flops(rows, parameters) > thresholds.PERSISTENT_FLOPS:
        return None
    return written(program, rows, weighted, backend.shared_bytes)


def loaded(backend: Any, program: Program, rows: int, weighted: bool) -> Ready | None:
    """That kernel on the device; one that the device refuses is none, with a warning."""
    made = kernel(backend, program, rows, weighted)
    if made is None:
        return None
    try:
        return Ready(backend, program, made)
    except Exception as error:
        warned("a persistent kernel cannot be loaded, and steps are captured", error)
        return None


def written(program: Program, rows: int, weighted: bool, most: int) -> Persistent | None:
    """The kernel of a program for batches of so many rows; None where one block cannot do it.

    most: bytes of shared memory that a block of the device may have.
    """
    if program.computed or program.outputs or program.stacked or not program.update:
        return None
    if program.reduced:  # processes sum between two kernels
        return None
    text = Text(program.dtype, most)
    try:  # an expression may compute with what is no number, before it is refused
        with np.errstate(all="ignore"):
            return _written(text, program, rows, weighted)
    except Unwritten:
        return None


def _written(text: Text, program: Program, rows: int, weighted: bool) -> Persistent:
    binding = BlockBinding(Block(text), program, rows, weighted)
    ready = binding._prepare(rows)
    with recorded(text):
        binding.steps(ready, inside=True, count=1)
    return text.kernel(binding.memory.going, binding.seed)
