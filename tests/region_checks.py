"""What must hold of the regions of a program, and random programs to hold it to.

Nothing here shares code with what forms regions: extents are checked by computing a region a block
of rows at a time, as it says, beside its instructions one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import lamina as lm
import numpy as np
from lamina.backends.conformance import Plain
from lamina.backends.program import Place, Program, Region, ValueId
from lamina.core.graph.gradients import differentiate
from lamina.core.graph.graph import Node, constant, leaf, make
from lamina.core.graph.planner import plan
from lamina.core.layers import Parameter
from lamina.core.tracing import ForwardGraph, layout_of
from lamina.kernels import ops
from lamina.kernels.errors import LaminaError
from lamina.kernels.spec import ROWS, Rows, Spec, concrete, length

ROW_COUNT, BLOCK = 7, 3  # two whole blocks and a last one of one row
CLASSES = 6
Values = dict[int | None, Any]


# What must hold


def check_regions(program: Program, values: Values | None = None) -> list[str]:
    """What is wrong with a program's regions; values: of a run with ROW_COUNT rows, by id."""
    found = [*_order(program), *_reach(program), *_memory(program), *_in_order(program)]
    if values is not None and not found:
        for region in program.regions:
            found += _by_blocks(program, region, values)
    return found


def _order(program: Program) -> Iterator[str]:
    """Regions one after the other, each in one stage; every value made before it is read."""
    forward = len(program.forward)
    ends = forward + len(program.backward)
    before = 0
    for region in program.regions:
        if not before <= region.start < region.stop <= ends:
            yield f"region at {region.start}: out of order, or beyond the backward stage"
        if region.start < forward < region.stop:
            yield f"region at {region.start}: of two stages"
        before = region.stop
    made = {v.id for v in program.values if v.kind != "temporary"}
    for position, (stage, one) in enumerate(program.instructions()):
        if stage == "update":
            break
        for id in one.inputs:
            if id is not None and id not in made:
                yield f"{one.op} at {position}: reads {id}, which is made later"
        made.update(one.outputs)


def _reach(program: Program) -> Iterator[str]:
    """What a region reads and makes, who reads that, and what is known after the last row only."""
    every = [one for _, one in program.instructions()]
    kept = {*program.outputs.values(), *program.sums.values(), *program.gradients.values()}
    for region in program.regions:
        where, own = f"region at {region.start}", every[region.start : region.stop]
        reads = {i for one in own for i in one.inputs if i is not None}
        makes = {i for one in own for i in one.outputs}
        others = {
            i
            for position, one in enumerate(every)
            if not region.start <= position < region.stop
            for i in one.inputs
        } | {i for other in program.regions for i in other.sources}
        if set(region.extents) != reads | makes:
            yield f"{where}: extents of {sorted(region.extents)}, not of {sorted(reads | makes)}"
        if set(region.inputs) != reads - makes:
            yield f"{where}: inputs are {sorted(reads - makes)}, not {sorted(region.inputs)}"
        if set(region.outputs) != makes & (others | kept):
            yield f"{where}: outputs are {sorted(makes & (others | kept))}"
        if any(program.values[i].kind in ("control", "flat") for i in reads | makes):
            yield f"{where}: a number of the host is in it"
        if program.computed.intersection(range(region.start, region.stop)):
            yield f"{where}: an instruction that must look at its indices is in it"
        for one in own:
            (y,) = one.outputs
            late = region.extents.get(y) in ("column", "scalar")
            if late and one.op not in ("sum", "mean"):
                yield f"{where}: {one.op} makes {y}, which is no row"
            if late and y in reads:
                yield f"{where}: reads {y}, its own sum down the rows"


def _memory(program: Program) -> Iterator[str]:
    """No two values that live at once lie in the same memory; a region is one moment."""
    every = [one for stage, one in program.instructions() if stage != "update"]
    moment = list(range(len(every)))
    for region in program.regions:
        for position in range(region.start, region.stop):
            moment[position] = region.start
    root = {v.id: v.id for v in program.values}
    first = {v.id: -1 for v in program.values}
    last = {v.id: -1 for v in program.values}
    joined: set[tuple[ValueId, ValueId]] = set()  # an output over an input that dies there
    for position, one in enumerate(every):
        for out in one.outputs:
            first[out] = moment[position]
            if ops.get(one.op).view and one.inputs[0] is not None:
                root[out] = root[one.inputs[0]]
        for i in (*one.inputs, *one.outputs):
            if i is not None:
                last[root[i]] = max(last[root[i]], moment[position])
        row, alone = ops.get(one.op), moment.count(moment[position]) == 1
        for out, taken in zip(one.outputs, row.overwrites, strict=False):
            sources = [one.inputs[at] for at in taken if at < len(one.inputs)]
            joined.update((s, out) for s in sources if alone and s is not None)
    for region in program.regions:
        for i in region.sources:
            last[root[i]] = max(last[root[i]], region.start)
    for id in (*program.outputs.values(), *program.sums.values()):
        last[root[id]] = len(every)
    for id in program.gradients.values():
        last[id] = len(every)
    places = [
        (id, p) for id, p in program.memory.places.items() if root[id] == id or "." not in p.segment
    ]
    for (a, place), (b, place2) in combinations(places, 2):
        if not _overlap(program, a, place, b, place2):
            continue
        if first[a] > first[b]:
            a, b = b, a
        if (a, b) in joined and last[a] <= first[b]:
            continue
        inner = any({a, b} <= set(region.inner) for region in program.regions)
        if inner and place == place2 and program.values[a].spec == program.values[b].spec:
            continue  # row by row; `_in_order` sees whether one is read after the other is made
        if last[a] >= first[b]:
            yield f"{program.values[b].name} lies over {program.values[a].name}, still to be read"


def _in_order(program: Program) -> Iterator[str]:
    """Instruction after instruction, no inner value is read after another was made over it."""
    every = [one for _, one in program.instructions()]
    for region in program.regions:
        holds: dict[Place, ValueId] = {}
        for one in every[region.start : region.stop]:
            for id in (*one.inputs, *one.outputs):
                place = program.memory.places.get(id) if id in region.inner else None
                if place is not None and id not in one.outputs and holds[place] != id:
                    yield f"{program.values[id].name} was written over by {holds[place]}"
                elif place is not None:
                    holds[place] = id


def _overlap(program: Program, a: ValueId, at: Place, b: ValueId, at2: Place) -> bool:
    sizes = [length(program.values[i].spec.at(program.capacity)) for i in (a, b)]
    return (
        at.segment == at2.segment
        and at.offset < at2.offset + sizes[1]
        and at2.offset < at.offset + sizes[0]
    )


def _by_blocks(program: Program, region: Region, values: Values) -> Iterator[str]:
    """Computes a region a few rows at a time, on matrices of the extents that it says."""
    where = f"region at {region.start}"
    rows, columns = concrete((region.rows,), ROW_COUNT)[0], region.columns
    shapes = {
        "full": (rows, columns), "row": (rows, 1), "column": (1, columns), "scalar": (1, 1),
    }  # fmt: skip
    matrices = {}
    for id, extent in region.extents.items():
        array = np.asarray(values[id])
        if array.size != shapes[extent][0] * shapes[extent][1]:
            yield f"{where}: {program.values[id].name} of shape {array.shape} is no {extent}"
            return
        matrices[id] = array.reshape(shapes[extent])
    by_row = {id for id, extent in region.extents.items() if extent in ("full", "row")}
    made: dict[ValueId, list[np.ndarray]] = {}
    own = [one for _, one in program.instructions()][region.start : region.stop]
    block = max(1, rows * BLOCK // ROW_COUNT)
    for start in range(0, rows, block):
        env = {
            id: matrices[id][start : start + block] if id in by_row else matrices[id]
            for id in region.inputs
        }
        count = min(block, rows - start)
        for one in own:
            x, y = one.inputs[0], one.outputs[0]
            extents = region.extents[x], region.extents[y]
            ins = [env[i] for i in one.inputs]
            if one.op in ("sum", "mean", "max"):
                axis = {("full", "row"): (1,), ("full", "column"): (0,)}.get(extents, (0, 1))
                found = ops.get("max" if one.op == "max" else "sum").reference(
                    np, ins[0], axis=axis, keepdims=True
                )
                if one.op == "mean":
                    found = found / (matrices[x].size / matrices[y].size)
                if found.shape[0] != (count if y in by_row else 1):
                    yield f"{where}: {one.op} from {extents[0]} to {extents[1]}"
                    return
            elif one.op == "reshape":
                found = ins[0]
            elif one.op == "broadcast_to":
                width = columns if extents[1] == "full" else 1
                found = np.broadcast_to(ins[0], (count if y in by_row else 1, width))
            else:
                found = ops.get(one.op).reference(np, *ins, **one.attrs)
            env[y] = found
            made.setdefault(y, []).append(np.asarray(found))
    for id, parts in made.items():
        got = np.concatenate(parts) if id in by_row else sum(parts[1:], start=parts[0])
        want = matrices[id]
        if got.shape != want.shape or got.dtype != want.dtype:
            yield f"{where}: {program.values[id].name} is {got.shape}, not {want.shape}"
        elif not np.allclose(got, want, rtol=1e-4, atol=1e-5, equal_nan=True):
            yield f"{where}: {program.values[id].name} is off by {np.abs(got - want).max()}"


# Random programs


class Drawn:
    """A program of random operations on a batch and parameters, with its data.

    values: of a run, by id. plain: what ran it, as the program reads.
    """

    def __init__(self, seed: int, statements: int = 25) -> None:
        for attempt in range(20):
            self.make(seed, attempt, statements)
            try:
                self.plain, self.values = self.plainly()
                return
            except IndexError:  # a label that was computed is too large
                continue
        raise AssertionError(f"no program of seed {seed} runs")

    def make(self, seed: int, attempt: int, statements: int) -> None:
        """Draws the statements."""
        self.rng = np.random.default_rng([seed, attempt])
        self.dtype = ("float32", "float64")[seed % 2]
        shapes = [(1, 6), (6,), (2, 3), (6, 6), (1, 1), (3,)]
        batch = {"x": (6,), "z": (2, 3), "t": (1,)}
        self.columns = [leaf("batch", Spec((ROWS, *s), self.dtype), n) for n, s in batch.items()]
        self.columns.append(leaf("batch", Spec((ROWS, 1), "int32"), "labels"))
        self.columns.append(leaf("batch", Spec((ROWS, 1), self.dtype), "weights"))
        trained = {f"p{i}": Parameter(s) for i, s in enumerate(shapes)}
        graph = ForwardGraph(self.columns[0], (), (trained,), ({},), {})
        self.layout = layout_of(graph, ())
        self.parameters = [
            leaf("parameter", Spec(e.shape, self.dtype), e.name) for e in self.layout.entries
        ]
        numbers = [constant(v, self.dtype) for v in (0.5, 1.0, [[2.0] * 6])]
        self.nodes = [*self.columns, *self.parameters, *numbers]
        leaves = len(self.nodes)
        while len(self.nodes) < leaves + statements:
            try:
                with np.errstate(all="ignore"):
                    node = self.draw()
            except LaminaError:
                continue
            if node.shape and np.prod(concrete(node.shape, 5)) <= 600:
                self.nodes.append(node)
        self.program = self.planned(self.nodes[leaves:])

    def pick(self, *dtypes: str) -> Node:
        """A node of one of the dtypes, mostly one that was made lately."""
        fitting = [n for n in self.nodes if n.dtype in (dtypes or (self.dtype,))]
        if self.rng.random() < 0.6:
            fitting = fitting[-8:]
        return fitting[self.rng.integers(len(fitting))]

    def choice(self, *names: Any) -> Any:
        return names[self.rng.integers(len(names))]

    def draw(self) -> Node:
        """The next statement; one that does not fit raises."""
        rng, kind = self.rng, self.rng.random()
        a, b = self.pick(), self.pick()
        if kind < 0.3:
            return make(self.choice("add", "subtract", "multiply", "maximum"), a, b)
        if kind < 0.45:
            return make(self.choice("tanh", "sigmoid", "relu", "abs", "negative", "softplus"), a)
        if kind < 0.5:
            return make("where", make("less", a, b), b, self.pick())
        if kind < 0.54:
            return make("tanh_backward", a, b)
        if kind < 0.7:
            axes = tuple(i for i in range(a.ndim) if rng.random() < 0.5)
            keep = bool(rng.random() < 0.6)
            return make(self.choice("sum", "mean", "max"), a, axis=axes or None, keepdims=keep)
        if kind < 0.78:
            shapes = [(ROWS, 6), (ROWS, 2, 3), (Rows(6),), (ROWS, 1), (1, 6), (3, 2), (ROWS, 3, 2)]
            return make(self.choice("reshape", "broadcast_to"), a, shape=self.choice(*shapes))
        if kind < 0.82:
            labels = self.pick("int32")
            return make(
                "cast", make("one_hot", labels, classes=CLASSES, dtype="bool"), dtype=self.dtype
            )
        if kind < 0.85:
            return make("pick", a, self.pick("int32"))
        if kind < 0.88:
            other = self.choice("float32", "float64", "int32")
            if other == "int32":  # whole numbers that may be too large for a class
                return make("cast", make("clip", a, low=-0.5, high=3.0), dtype=other)
            return make("cast", make("cast", a, dtype=other), dtype=self.dtype)
        if kind < 0.91:
            return make("argmax", a, axis=-1, keepdims=True)
        if kind < 0.94:
            return make("softmax", a)
        if kind < 0.97:
            return make("matmul", a, self.choice(*self.parameters))
        return make("transpose", a, axes=tuple(int(i) for i in rng.permutation(a.ndim)))

    def planned(self, made: list[Node]) -> Program:
        """A program that keeps a few of them, sums up others, and differentiates the loss."""
        floating = [n for n in made if n.dtype == self.dtype]
        ends = [*floating[-4:], floating[self.rng.integers(len(floating))]]
        total = make("sum", ends[0], axis=None) + make("mean", self.columns[0], axis=None)
        for node in ends[1:]:
            total = total + make("mean", node, axis=None) * 0.1
        sums = {"loss": total, "other": make("sum", floating[0], axis=None)}
        gradients: dict[str, Any] = {}
        try:
            found = differentiate(total, self.parameters)
            gradients = {p.source: g for p, g in zip(self.parameters, found, strict=True)}
        except LaminaError:
            pass
        outputs = {f"out {i}": n for i, n in enumerate(made) if self.rng.random() < 0.15}
        return plan(
            "drawn", dtype=self.dtype, capacity=ROW_COUNT + 2, layout=self.layout,
            columns=self.columns, sums=sums, outputs=outputs, gradients=gradients,
            classes={"labels": CLASSES},
        )  # fmt: skip

    def data(self) -> dict[str, np.ndarray]:
        """Rows for its columns."""
        rng = np.random.default_rng(1)
        shapes = {c.source: concrete(c.shape, ROW_COUNT) for c in self.columns}
        found = {n: rng.standard_normal(s).astype(self.dtype) for n, s in shapes.items()}
        found["labels"] = rng.integers(0, CLASSES, (ROW_COUNT, 1)).astype(np.int32)
        return {n: found[n] for n in self.program.columns if n != "weights"}

    def state(self, backend: Any) -> lm.State:
        """Parameters of that backend."""
        state = lm.State(backend, self.layout, self.dtype, seed=0)
        rng = np.random.default_rng(2)
        for segment in ("parameters", "statistics"):
            state.write(segment, rng.standard_normal(self.layout.length(segment)) * 0.7)
        return state

    def block(self, backend: Any) -> lm.DataBlock:
        return lm.DataBlock(backend, self.data(), dtype=self.dtype)

    def plainly(self) -> tuple[Plain, Values]:
        """The program as it reads: what it leaves, and every value."""
        numpy = lm.get_backend("numpy")
        plain = Plain(self.program, self.state(numpy), self.block(numpy))
        control = lm.Control(batch=ROW_COUNT)
        with np.errstate(all="ignore"):
            return plain, plain.step(control, 0, plain.rows(control))
