"""Captured steps of fused kernels and generated ones.

What a step begins with is one launch: its numbers, and its rows of all columns. What it ends with
is another: what the run adds up, whether it goes on, and the counters. The numbers lie in memory
that all steps of a binding share, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .buffers import signed
from .captured import CapturedBinding
from .contract import Backend
from .control_block import COUNTERS, REALS
from .device import Array
from .fused import FusedBinding
from .program import Program
from .recorded import Prepared

if TYPE_CHECKING:
    from ..kernels.cuda.control import Norm, Numbers, Rows, Sums
    from ..kernels.cuda.persistent import Persistent


class Ready:
    """A persistent kernel on a device, for any data and state of its program."""

    def __init__(self, backend: Backend, program: Program, kernel: Persistent) -> None:
        self.kernel = kernel
        self.names = [name for name in program.columns if name != "weights"]
        self.specs = [program.values[program.columns[name]].spec.at(1) for name in self.names]
        self.image = backend.asarray(kernel.image)
        kernel.load()

    def takes(self, columns: Mapping[str, Array]) -> bool:
        """Whether the data's columns are what the kernel was written for."""
        return all(
            columns[name].shape[1:] == spec.shape[1:] and str(columns[name].dtype) == spec.dtype
            for name, spec in zip(self.names, self.specs, strict=True)
        )

    def launch(
        self, given: Mapping[str, Array], columns: Mapping[str, Array], seed: int, steps: int
    ) -> None:
        """Asks for steps. given: memory by its name in the kernel, but for the columns."""
        placed = {f"column{at}": columns[name] for at, name in enumerate(self.names)}
        self.kernel.launch(self.image, {**given, **placed}, signed(seed), steps)


class FusedStepsBinding(FusedBinding, CapturedBinding):
    """Captures, with fused kernels.

    persistent: gives the kernel that does steps of so many rows by one block, if there is one.
    """

    persistent: Callable[[int, bool], Ready | None] = staticmethod(lambda rows, weighted: None)

    @cached_property
    def numbers(self) -> Numbers:
        """Where the numbers of the present step are."""
        from ..kernels.cuda.control import Numbers

        memory, xp = self.memory, self.backend.xp
        row = xp.reshape(self.backend.zeros(memory.columns, "float64"), (1, memory.columns))
        now = xp.reshape(self.backend.zeros(len(COUNTERS), "int64"), (1, len(COUNTERS)))
        return Numbers(memory.counters, memory.table, row, now)

    @cached_property
    def _parts(self) -> tuple[Array, Array]:
        """Memory for the parts of a norm, and for a count of those that are there."""
        from ..kernels.cuda.rows import MOST_PARTS

        return self.backend.zeros(MOST_PARTS, "float64"), self.backend.zeros(1, "uint32")

    @cached_property
    def _counted(self) -> bool:
        """Whether a step has numbers at all; a prediction has none."""
        control = any(value.kind == "control" for value in self.program.values)
        return control or bool(self.program.sums) or self.stoppable

    def own(self) -> tuple[Any, ...]:
        """See `RecordedSteps.own`."""
        return (*super().own(), self.numbers, self._parts)

    def _prepare(self, rows: int) -> Prepared:
        self.own()  # it is not in the pool of a capture
        return super()._prepare(rows)

    def _ready(self, rows: int) -> Ready | None:
        """The kernel for steps of so many rows, if one block does them."""
        if rows != self.program.capacity or not self._resident():
            return None
        weighted = self.block.weights is not None and "weights" in self.program.columns
        found = self.persistent(rows, weighted)
        return found if found is not None and found.takes(self.block.columns) else None

    def _inside(self, rows: int, steps: int) -> bool:
        return self._ready(rows) is not None or super()._inside(rows, steps)

    def _many(self, rows: int, steps: int) -> int:
        """All full batches in one launch, where one block can do them and that is worth it."""
        ready = self._ready(rows) if steps else None
        if ready is None:
            return 0
        memory = self.memory
        given = {
            "table": memory.table, "counters": memory.counters, "totals": memory.totals,
            "flag": memory.going, "order": self.order, "shares": self.shares,
        }  # fmt: skip
        given |= {f"flat{at}": flat for at, flat in enumerate(self.state.flats.values())}
        ready.launch(given, self.block.columns, self.state.seed, steps)
        return steps

    def steps(self, ready: Prepared, inside: bool, count: int) -> None:
        """Asks for steps, one after the other; see `RecordedSteps.steps`."""
        for _ in range(count):
            if self._counted:
                self._begun(ready, inside)
            self._one(ready, self.numbers.row, self.numbers.now)

    def _begun(self, ready: Prepared, inside: bool) -> None:
        """The numbers and the rows of a step."""
        from ..kernels.cuda.control import begin

        direct = inside and all(out is not None for *_, out in ready.plan.gather)
        begin(self.numbers, self._rows(ready) if direct else None)
        if inside and not direct:  # rows of bytes
            found = self._gathered(ready, self.numbers.now[:, 0], 1)
            for id, array in found.items():
                ready.plan.env[id] = array

    def _rows(self, ready: Prepared) -> Rows:
        """What is gathered, and where it goes; that is in the table of values then."""
        from ..kernels.cuda.control import Rows

        plan, weights, shares = ready.plan, self.program.columns.get("weights"), None
        pairs = []
        for id, name, _, out in plan.gather:
            assert out is not None
            pairs.append((self.block.columns[name], out[0]))
            plan.env[id] = out[0]
        if weights is not None and not self.weighs:
            plan.env[weights] = plan.even
        elif weights is not None:
            plan.env[weights] = self.buffers.apart(weights, ready.rows)
            shares = self.shares, plan.env[weights]
        return Rows(ready.rows, self.order, pairs, shares)

    def _one(self, ready: Prepared, row: Array, counters: Array) -> None:
        plan, xp = ready.plan, self.backend.xp
        known = self._numbers(row, counters)
        for id, name in plan.control:
            plan.env[id] = known[name]
        self._compute(ready, "forward")
        self._compute(ready, "backward")
        self._sum(plan.env)
        sums = self._sums(plan.env, xp.reshape(row[:, len(REALS) :], (-1,)))
        if self._counted:
            self._judge(sums, known["squared_limit"])
        for launch in plan.stages["update"]:
            self._keep(launch, plan.env)

    def _sums(self, env: list[Array], factors: Array) -> Sums | None:
        """What one launch adds up at the step's end; what it cannot is added up at once."""
        from ..kernels.cuda.control import MOST_SUMS, Sums

        program = self.program
        values = [env[id] for id in program.sums.values()]
        if not values and not self.stoppable:
            return None
        if len(values) > MOST_SUMS or any(str(v.dtype) != program.dtype for v in values):
            self._add_up(env, factors)
            return None
        watched = [name in program.watched for name in program.sums]
        return Sums(values, watched, factors, self.memory.totals)

    def _judge(self, sums: Sums | None, limit: Array) -> None:
        """Looks at what must be finite, and counts the step."""
        from ..kernels.cuda.control import Norm, judge

        flats = [self.state.flats[name] for name in self.normed if self.program.update]
        norms: list[Norm | None] = [Norm(flat, limit, *self._parts) for flat in flats]
        *before, last = norms or [None]
        going, counters, trained = self.memory.going, self.memory.counters, bool(norms)
        for at, norm in enumerate(before):
            judge(going, None if at else sums, norm)
        judge(going, None if before else sums, last, counters, trained)
