"""CUDA C++ for a chain: operations on elements, and sums along and down the rows between them.

A team of threads takes a row after the other (`common.cuh`): a warp, or a block where rows are
long. It walks along a row's columns once for each reduction that the rest has to wait for; what is
one number a row every thread of the team computes for itself. What is computed is said nowhere
anew: the references are executed on numbers whose operators write statements (`namespace.py`).

Sums down the rows are parts by team, or by block, in an order that depends on sizes alone; another
launch adds the parts up.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from ..chain import Chain, Statement
from .expressions import TYPES, Expression, Writer
from .namespace import apply
from .sources import Source

JOINS = {"sum": "Add", "mean": "Add", "pick": "Add", "max": "Largest"}


@cache
def source(chain: Chain, dtype: str) -> Source:
    """The source of a chain's kernel, whose name is the chain's.

    The kernel takes the addresses of inputs, then of outputs, then the numbers of rows and of
    columns. The address of an output that is a sum down the rows is that of its parts: (teams,
    columns) of its dtype, or (blocks,) float64. Where there are such, the kernel NAME_join takes
    the addresses of parts, then of sums, the numbers of teams, blocks, rows and columns.
    """
    lines = [*_Kernel(chain).text(), *_join(chain)]
    return Source(chain.name, dtype, "\n".join(lines) + "\n")


def _join(chain: Chain) -> Iterator[str]:
    """The kernel that adds up parts, each in the order of teams or blocks."""
    summed = [at for at in chain.outputs if parts(chain, at)]
    if not summed:
        return
    kinds = {at: TYPES[chain.operands[at].dtype] for at in summed}
    of_parts = {at: "double" if parts(chain, at) == "blocks" else kinds[at] for at in summed}
    taken = [f"const {of_parts[at]}* part{at}" for at in summed]
    taken += [f"{kinds[at]}* out{at}" for at in summed]
    numbers = "int teams_of, int blocks, long long rows, int columns"
    yield 'extern "C" __global__ void __launch_bounds__(256)'
    yield f"{chain.name}_join({', '.join(taken)}, {numbers}) {{"
    for at in summed:
        maker, kind = chain.makers[at], kinds[at]
        count = "((double)rows * columns)" if maker.over == "all" else "(double)rows"
        mean = f" / {count}" if maker.op == "mean" else ""
        if parts(chain, at) == "blocks":
            yield "  if (blockIdx.x == 0) {"
            yield "    double sum = 0;"
            yield "    for (int i = thread(); i < blocks; i += threads())"
            yield f"      sum += part{at}[i];"
            yield "    sum = over_block<Add>(sum, 0.0);"
            yield "    if (thread() == 0)"
            yield f"      *out{at} = ({kind})(sum{mean});"
            yield "  }"
        else:
            yield "  for (int c = blockIdx.x * WARP; c < columns; c += gridDim.x * WARP) {"
            yield f"    {kind} sum ="
            yield f"        over_column(part{at}, 0, teams_of, columns, c + (int)threadIdx.x);"
            yield "    if (threadIdx.y == 0 && c + threadIdx.x < columns)"
            yield f"      out{at}[c + threadIdx.x] = ({kind})(sum{mean});"
            yield "  }"
    yield "}"


def possible(chain: Chain) -> bool:
    """Whether a chain has a kernel: what is one number a column is read, or summed up."""
    for at in chain.outputs:
        if chain.operands[at].extent in ("column", "scalar") and not chain.summed(at):
            return False
    return all(
        chain.operands[s.inputs[0]].extent == "full"
        for s in chain.statements
        if s.over == "columns"
    )


def parts(chain: Chain, output: int) -> str:
    """How an output is written: "teams" or "blocks", which are parts of it, or ""."""
    if not chain.summed(output):
        return ""
    return "teams" if chain.operands[output].extent == "column" else "blocks"


class _Kernel:
    """A kernel while it is written. The scopes nest: the kernel, a row, a walk along its columns.

    values: what is known in the scope that is being written, by operand.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.writer = Writer()
        self.values: dict[int, Expression] = {}
        self.done: set[int] = set()  # outputs and sums that were written

    def text(self) -> Iterator[str]:
        """The kernel's lines."""
        chain = self.chain
        yield 'extern "C" __global__ void __launch_bounds__(256)'
        yield f"{chain.name}({', '.join(self._parameters())}) {{"
        self._scalars()
        for one in self._sums("all"):
            self.writer.put(f"double sum{one.output} = 0;")
        if chain.flat:
            self.writer.put("for (long long at = first(); at < rows * columns; at += stride()) {")
            self._elements("at", 0)
            self.writer.put("}")
        else:
            self._clear()
            self.writer.put("for (long long row = team(); row < rows; row += teams()) {")
            self._row()
            self.writer.put("}")
        for one in self._sums("all"):
            self.writer.put(f"sum{one.output} = over_block<Add>(sum{one.output}, 0.0);")
            self.writer.put(f"if (thread() == 0) out{one.output}[blockIdx.x] = sum{one.output};")
        yield from (f"  {line}" for line in self.writer.lines)
        yield "}"

    def _parameters(self) -> Iterator[str]:
        chain = self.chain
        for at in chain.inputs:
            yield f"const {TYPES[chain.operands[at].dtype]}* in{at}"
        for at in chain.outputs:
            kind = "double" if parts(chain, at) == "blocks" else TYPES[chain.operands[at].dtype]
            yield f"{kind}* out{at}"
        yield "long long rows"
        yield "int columns"

    def _sums(self, kind: str) -> list[Statement]:
        """Sums to one number ("all"), or to one a column ("rows"), that are asked for."""
        chain = self.chain
        wanted = {"all": "blocks", "rows": "teams"}[kind]
        return [
            s for s in chain.statements
            if s.output in chain.outputs and parts(chain, s.output) == wanted
        ]  # fmt: skip

    # Values

    def _extent(self, at: int) -> str:
        return self.chain.operands[at].extent

    def _input(self, at: int, place: str) -> None:
        dtype = self.chain.operands[at].dtype
        self.values[at] = self.writer.new(dtype, f"in{at}[{place}]")

    def _value(self, at: int) -> Expression:
        """An operand in the scope that is being written."""
        operand = self.chain.operands[at]
        if operand.known is not None:
            return self.writer.constant(operand.known, operand.dtype)
        if at not in self.values:
            if at in self.chain.inputs:
                assert operand.extent in ("full", "column")
                self._input(at, "at" if operand.extent == "full" else "c")
            else:
                self.values[at] = self._made(self.chain.makers[at])
        return self.values[at]

    def _made(self, one: Statement) -> Expression:
        """What a statement gives."""
        attrs = dict(one.attrs)
        inputs = [self._value(i) for i in one.inputs]
        if one.op == "copy":
            return inputs[0]
        if one.op == "one_hot":
            return self.writer.new("bool", f"c == {inputs[0].text}").cast(attrs["dtype"])
        return apply(one.op, inputs, attrs)

    def _scalars(self) -> None:
        chain = self.chain
        for at in chain.inputs:
            if self._extent(at) == "scalar":
                self._input(at, "0")
        for one in chain.statements:
            if self._extent(one.output) == "scalar" and not chain.summed(one.output):
                self.values[one.output] = self._made(one)

    # Rows

    def _clear(self) -> None:
        """Zeros where a team adds up its rows: each thread has columns of its own."""
        for one in self._sums("rows"):
            self.writer.put(
                "for (int c = threadIdx.x; c < columns; c += blockDim.x)"
                f" out{one.output}[(long long)team() * columns + c] = 0;"
            )

    def _row(self) -> None:
        chain, before = self.chain, dict(self.values)
        for at in chain.inputs:
            if self._extent(at) == "row":
                self._input(at, "row")
        last = max(chain.phases.values())
        for phase in range(last + 1):
            self._row_values(phase)
            self._walk(phase)
        self.values = before

    def _row_values(self, phase: int) -> None:
        """What is one number a row, as far as it is known before a walk."""
        chain = self.chain
        for one in chain.statements:
            known = self._extent(one.output) == "row" and chain.phases[one.output] <= phase
            if known and one.output not in self.values:
                self.values[one.output] = self._made(one)
        for at in chain.outputs:
            ready = self._extent(at) == "row" and chain.phases[at] <= phase
            if ready and at not in self.done:
                self.done.add(at)
                self.writer.put(f"if (threadIdx.x == 0) out{at}[row] = {self._value(at).text};")
        for one in self._sums("all"):
            (source,) = one.inputs
            ready = self._extent(source) == "row" and chain.phases[source] <= phase
            if ready and one.output not in self.done:
                self.done.add(one.output)
                self.writer.put(
                    f"if (threadIdx.x == 0) sum{one.output} += {self._value(source).text};"
                )

    def _walk(self, phase: int) -> None:
        """Along the columns of a row, with what is first known there."""
        chain = self.chain
        along = [
            s for s in chain.statements
            if s.over == "columns" and chain.phases[s.output] == phase + 1
        ]  # fmt: skip
        for one in along:
            kind = TYPES[chain.operands[one.output].dtype]
            start = f"-infinite<{kind}>()" if one.op == "max" else "0"
            self.writer.put(f"{kind} all{one.output} = {start};")
        begun = len(self.writer.lines)
        self.writer.put("for (int c = threadIdx.x; c < columns; c += blockDim.x) {")
        self.writer.put("const long long at = row * columns + c;")
        written = len(self.writer.lines)
        self._elements("at", phase, along)
        if len(self.writer.lines) == written:  # nothing to walk for
            del self.writer.lines[begun:]
            return
        if not any("[at]" in line for line in self.writer.lines[written:]):
            del self.writer.lines[written - 1]
        self.writer.put("}")
        for one in along:
            kind = TYPES[chain.operands[one.output].dtype]
            nothing = f"-infinite<{kind}>()" if one.op == "max" else f"{kind}(0)"
            whole = f"over_team<{JOINS[one.op]}>(all{one.output}, {nothing})"
            mean = f" / ({kind})columns" if one.op == "mean" else ""
            dtype = chain.operands[one.output].dtype
            self.values[one.output] = self.writer.new(dtype, whole + mean)

    def _elements(self, place: str, phase: int, along: list[Statement] | None = None) -> None:
        """What is done at one element: reductions go on, outputs are written, sums grow."""
        chain, outside = self.chain, dict(self.values)
        for one in along or []:
            self._accumulated(one)
        for at in chain.outputs:
            full = self._extent(at) == "full" and not parts(chain, at)
            if full and chain.phases[at] <= phase and at not in self.done:
                self.done.add(at)
                value = self._value(at).text
                self.writer.put(f"out{at}[{place}] = {value};")
        for one in [*self._sums("all"), *self._sums("rows")]:
            (source,) = one.inputs
            full = chain.flat or self._extent(source) == "full"
            if full and chain.phases[source] <= phase and one.output not in self.done:
                self.done.add(one.output)
                value = self._value(source).text
                by_team = parts(chain, one.output) == "teams"
                target = f"out{one.output}[(long long)team() * columns + c]"
                self.writer.put(f"{target if by_team else f'sum{one.output}'} += {value};")
        self.values = outside

    def _accumulated(self, one: Statement) -> None:
        """One more element of a reduction along the columns."""
        total, value = f"all{one.output}", self._value(one.inputs[0]).text
        if one.op == "pick":
            label = self._value(one.inputs[1]).text
            self.writer.put(f"if (c == {label}) {total} = {value};")
        else:
            self.writer.put(f"{total} = {JOINS[one.op]}::join({total}, {value});")
