"""Regions on a GPU: chains of operations and reductions are one generated kernel each.

A loss and its gradient are one launch as well, with the bias of the layer before: the gradient is
written while the row is at hand, into memory of its own, for the backward pass to find.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from ..kernels.chain import Chain
from ..kernels.cuda import chained
from ..kernels.cuda.arrays import line
from ..kernels.cuda.launch import WARP, flat, launch_from, teams
from ..kernels.cuda.rows import (
    MOST_PARTS,
    sigmoid_binary_cross_entropy,
    softmax_cross_entropy,
    squared_error,
)
from ..kernels.spec import concrete, length
from .chains import Draft, draft_of
from .contract import Backend
from .device import Array
from .joining import JoinedBinding, Run, joint
from .program import Instruction, Program, Region, ValueId
from .walker import Launch, Walker, WalkPlan

LOSSES = {
    "softmax_cross_entropy": softmax_cross_entropy,
    "sigmoid_binary_cross_entropy": sigmoid_binary_cross_entropy,
}
MOST_TEAMS = 1024  # that add up columns, each for itself


class FusedRegions(Walker):
    """What a walked program says of regions that are generated kernels."""

    def regions(self) -> Sequence[Region]:
        """Those of several instructions that have a kernel."""
        program = self.program
        return [r for r in program.regions if compiled(program, r, program.capacity)]

    def explain(self) -> list[tuple[str, str, str]]:
        """(stage, operation, kernel or reference, and whether it is part of a generated one)."""
        lines = super().explain()
        for region in self.regions():
            for at in range(region.start, region.stop):
                stage, op, how = lines[at]
                lines[at] = (stage, op, f"{how.split(':')[0]}: in a generated CUDA kernel")
        return lines


class FusedBinding(JoinedBinding):
    """A walked program, with its generated kernels."""

    def chosen(self, rows: int) -> Iterable[Region]:
        """Those of several instructions that have a kernel."""
        return [r for r in self.program.regions if compiled(self.program, r, rows)]

    def made(self, region: Region, rows: int) -> Run:
        """A region's kernel."""
        return RegionKernel(self.backend, self.program, region, rows).run

    def _joined(self, plan: WalkPlan, rows: int) -> None:
        super()._joined(plan, rows)
        for loss in tuple(plan.stages["forward"]):
            if loss.instruction.op in LOSSES and loss.out is not None:
                self._loss(plan, loss, rows)
            elif loss.instruction.op == "mean_squared_error":
                self._squared_error(plan, loss, rows)

    def _loss(self, plan: WalkPlan, loss: Launch, rows: int) -> None:
        """A loss with its gradient, and with the bias before it."""
        forward = plan.stages["forward"]
        gradient, out = self._gradient(plan, loss, loss.instruction.outputs[0], rows)
        layer = self._layer(forward, loss)
        bias = layer.instruction.inputs[2:] if layer else ()
        whole = joint(
            self, (*loss.instruction.inputs, *bias), (*loss.outputs, *gradient),
            partial(_whole, LOSSES[loss.instruction.op], len(loss.inputs)),
            (*(loss.out or ()), *out),
        )  # fmt: skip
        _replace(forward, loss, whole)
        if layer is not None:
            _replace(forward, layer, self._without_bias(layer))

    def _squared_error(self, plan: WalkPlan, loss: Launch, rows: int) -> None:
        """The squared error of rows with their sum and its gradient, if rows are only summed."""
        forward, (each,) = plan.stages["forward"], loss.outputs
        readers = self._readers(each)
        sums = [one for one in forward if one.instruction.op == "sum" and each in one.inputs]
        if len(sums) != 1 or len(readers) != 1 or sums[0].out is None:
            return
        (total,) = sums[0].outputs
        if self.program.values[total].spec.shape:
            return
        gradient, out = self._gradient(plan, loss, loss.instruction.inputs[0], rows)
        whole = joint(
            self, loss.instruction.inputs, (total, *gradient), _summed, (*sums[0].out, *out)
        )
        _replace(forward, sums[0], whole)
        _replace(forward, loss, joint(self, (), (), _nothing, ()))

    def _gradient(
        self, plan: WalkPlan, loss: Launch, at: ValueId | None, rows: int
    ) -> tuple[tuple[ValueId, ...], tuple[Array, ...]]:
        """What gives a loss's derivative does nothing any more; gives its output and its memory.

        at: the value that the derivative is computed from. Empty where there is none.
        """
        backward, one = plan.stages["backward"], loss.instruction
        for launch in backward:
            other = launch.instruction
            pair = other.op == f"{one.op}_backward" and other.inputs == (at, *one.inputs[1:])
            if pair and not launch.pinned:
                launch.out = (self._own(other.outputs[0], rows),)
                _replace(backward, launch, joint(self, (), (), _nothing, ()))
                return launch.outputs, launch.out
        return (), ()

    def _readers(self, id: ValueId | None) -> list[Instruction]:
        """The instructions that read a value, and twice each where it is read behind them too."""
        program = self.program
        found = [one for _, one in program.instructions() if id in one.inputs]
        kept = {*program.outputs.values(), *program.sums.values(), *program.gradients.values()}
        return found * 2 if id in kept else found

    def _layer(self, forward: Sequence[Launch], loss: Launch) -> Launch | None:
        """The layer before a loss, if nobody else reads what it makes, and it ends in its bias."""
        z = loss.instruction.inputs[0]
        for one in forward:
            layer, attrs = one.instruction, one.instruction.attrs
            plain = layer.op == "dense" and attrs["activation"] == "linear"
            if plain and layer.outputs == (z,) and layer.inputs[2:] and one.call.by_kernel:
                return one if len(self._readers(z)) == 1 else None
        return None

    def _without_bias(self, layer: Launch) -> Launch:
        """A layer's product alone."""
        one, call = layer.instruction, layer.call
        run = partial(call.function, **call.attrs)
        assert layer.out is not None
        return joint(self, one.inputs[:2], one.outputs, run, layer.out)

    def _own(self, id: ValueId, rows: int) -> Array:
        """Memory of its own for a value, whatever the memory plan says."""
        spec = self.program.values[id].spec.at(rows)
        memory = self.backend.zeros(length(spec), spec.dtype)
        return self.backend.xp.reshape(memory, spec.shape)


def _replace(launches: list[Launch], one: Launch, other: Launch) -> None:
    """Puts a launch in the place of another, which it does the work of."""
    other.parts = [one]
    launches[launches.index(one)] = other


def _whole(run: Run, count: int, out: tuple[Array, ...], *inputs: Array) -> None:
    """A loss of so many inputs; then comes a bias, and behind its outputs its gradient, if any."""
    bias, gradient = (*inputs[count:], None)[0], (*out[2:], None)[0]
    run(out[:2], *inputs[:count], gradient=gradient, bias=bias)


def _summed(out: tuple[Array, ...], *inputs: Array) -> None:
    """The sum of squared errors, and behind it its gradient, if any."""
    squared_error(out[:1], *inputs, gradient=(*out[1:], None)[0])


def _nothing(out: tuple[Array, ...]) -> None:
    """What was done before."""


def _drafted(
    program: Program, region: Region, rows: int, least: int = 2
) -> tuple[Draft, Chain] | None:
    """A region as a draft, and as what a kernel is written for; None where there is none.

    least: instructions of a region that has one.
    """
    count = concrete((region.rows,), rows)[0]
    if len(region) < least or count * region.columns == 0:
        return None
    specs = [v.spec.at(rows) for v in program.values]
    instructions = [one for _, one in program.instructions()][region.start : region.stop]
    draft = draft_of(program, specs, rows, region.extents, instructions)
    if draft is None:
        return None
    given = [draft.at[i] for i in region.inputs if draft.operands[draft.at[i]].known is None]
    made = tuple(draft.at[o] for o in region.outputs)
    operands, statements = tuple(draft.operands), tuple(draft.statements)
    chain = Chain(operands, statements, tuple(given), made, 1, 1)
    return (draft, chain) if made and chained.possible(chain) else None


def compiled(program: Program, region: Region, rows: int, least: int = 2) -> bool:
    """Whether a region is one generated kernel, for batches of so many rows."""
    return _drafted(program, region, rows, least) is not None


class RegionKernel:
    """A region for a number of rows, ready to run."""

    def __init__(self, backend: Backend, program: Program, region: Region, rows: int) -> None:
        found = _drafted(program, region, rows, least=1)
        assert found is not None
        draft, chain = found
        self.reads = [draft.operands[draft.at[i]].known is None for i in region.inputs]
        count = concrete((region.rows,), rows)[0]
        self.threads = Threads(backend, chain, program.dtype, count, region.columns)

    def run(self, out: tuple[Array, ...], *inputs: Array) -> None:
        """Computes the region's outputs, on the current stream."""
        given = [x for x, read in zip(inputs, self.reads, strict=True) if read]
        self.threads.run(out, given)


class Threads:
    """A draft's kernel for a size: its blocks and threads, and memory for parts of sums."""

    def __init__(self, backend: Backend, chain: Chain, dtype: str, rows: int, columns: int) -> None:
        self.chain, self.rows, self.columns = chain, rows, columns
        self.where = chained.source(chain, dtype)
        self.grid, self.block = self._size()
        self.parts = [self._parts(backend, at) for at in chain.outputs]

    def _size(self) -> tuple[tuple[int], tuple[int, ...]]:
        """Blocks and threads: no more of them than one launch adds the parts of up."""
        summed = any(self.chain.summed(at) for at in self.chain.outputs)
        if self.chain.flat:
            grid, block = flat(self.rows * self.columns)
            return ((min(grid[0], MOST_PARTS),) if summed else grid), block
        blocks, team = teams(self.rows, self.columns)
        if summed:
            blocks = (min(blocks[0], max(MOST_TEAMS // team[1], 1)),)
        return blocks, team

    @property
    def teams(self) -> int:
        """How many rows are worked on at a time."""
        return self.grid[0] * (self.block[1] if len(self.block) > 1 else 1)

    def _parts(self, backend: Backend, at: int) -> Array | None:
        """Memory for the parts of an output, if it is a sum."""
        kind = chained.parts(self.chain, at)
        if kind == "blocks":
            return backend.zeros(self.grid[0], "float64")
        if kind == "teams":
            return backend.zeros(self.teams * self.columns, self.chain.operands[at].dtype)
        return None

    def run(self, out: tuple[Array, ...], inputs: Sequence[Array]) -> None:
        """Computes the outputs from what lies in memory."""
        targets = [o if p is None else p for o, p in zip(out, self.parts, strict=True)]
        launch_from(
            self.where, self.chain.name, self.grid, self.block,
            *map(line, inputs), *targets, self.rows, self.columns,
        )  # fmt: skip
        summed = [(p, o) for p, o in zip(self.parts, out, strict=True) if p is not None]
        if summed:
            launch_from(
                self.where, f"{self.chain.name}_join", (-(-self.columns // WARP),), (WARP, 8),
                *(part for part, _ in summed), *(total for _, total in summed),
                self.teams, self.grid[0], self.rows, self.columns,
            )  # fmt: skip
