"""Smaller graphs and data that fail in the same way, one small change after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import lamina as lm
import numpy as np
from lamina.kernels.spec import Rows, size

if TYPE_CHECKING:
    from lamina.benchmarks.maintenance.graph_data import Constant, Graph, Statement
    from lamina.benchmarks.maintenance.graph_oracle import Data
else:  # they lie beside this file and are not installed
    from graph_data import Constant, Graph, Statement
    from graph_oracle import Data

RATE, EPOCHS = 0.02, 2
TRIES = 600  # candidates in all


@dataclass(frozen=True)
class Case:
    """A graph in a model, and data for it.

    wrapped: whether Dense layers stand around it. rows: of the data. batch: rows a step.
    weighted: whether rows have weights. seed: of weights and data.
    """

    graph: Graph
    rows: int = 11
    batch: int = 4
    weighted: bool = True
    wrapped: bool = True
    seed: int = 0

    @property
    def width(self) -> int:
        """How many numbers a row of the drawn layer has."""
        total = size(self.graph.nodes()[self.graph.result].shape)
        assert isinstance(total, Rows)
        return total.factor

    @property
    def layers(self) -> list[str]:
        """The model's layers as Python."""
        if self.graph.kind == "loss":
            last = f"lm.Dense({self.graph.features[0]})"
            return ['lm.Dense(3, "tanh")', last] if self.wrapped else [last]
        before = [f'lm.Dense({self.graph.features[0]}, "tanh")'] * (len(self.graph.features) == 1)
        if not self.wrapped:
            return ["Drawn()", "lm.Flatten()"]
        return [*before, "Drawn()", "lm.Flatten()", "lm.Dense(2)"]

    def data(self, dtype: str) -> Data:
        """Its rows: one has no weight, where they have any."""
        rng = np.random.default_rng([self.seed, self.rows])
        narrow = self.graph.kind == "loss" or (self.wrapped and len(self.graph.features) == 1)
        features = (3,) if narrow else self.graph.features
        outputs = self.graph.features[0] if self.graph.kind == "loss" else 2
        outputs = outputs if self.wrapped or self.graph.kind == "loss" else self.width
        x, y = (
            rng.standard_normal((self.rows, *features)),
            rng.standard_normal((self.rows, outputs)),
        )
        weights = rng.uniform(0.5, 2.0, self.rows).round(2) if self.weighted else None
        if weights is not None and self.rows > 2:
            weights[1] = 0.0
        return Data(x.astype(dtype), y.astype(dtype), self.batch, weights)

    def model(self, backend: Any, dtype: str) -> lm.Sequential:
        """The model, not built."""
        made, own = self.graph.made(), self.graph.kind == "loss"
        layers = eval(f"[{', '.join(self.layers)}]", {"lm": lm, "Drawn": lambda: made})
        loss = made if own else "mean_squared_error"
        optimizer = lm.SGD(RATE)
        return lm.Sequential(layers, loss, optimizer, backend=backend, dtype=dtype, seed=self.seed)

    def __str__(self) -> str:
        """All of it as Python that can be run."""
        data = self.data("float64")
        loss = "drawn" if self.graph.kind == "loss" else '"mean_squared_error"'
        weights = "None" if data.weights is None else data.weights.tolist()
        return f"""import lamina as lm
import numpy as np

{self.graph}
rng = np.random.default_rng([{self.seed}, {self.rows}])
x, y = rng.standard_normal({data.x.shape}), rng.standard_normal({data.y.shape})
weights = {weights}
for backend in ("numpy", "numba", "loops"):
    model = lm.Sequential(
        [{", ".join(self.layers)}],
        loss={loss}, optimizer=lm.SGD({RATE}), backend=backend, dtype="float64", seed={self.seed},
    )
    print(backend, model.gradients(x, y, weights), model.evaluate(x, y, weights))
    print(model.fit(x, y, epochs={EPOCHS}, batch_size={self.batch}, shuffle=False,
                    sample_weight=weights, verbose=0).history)
"""


def simpler(case: Case) -> Iterator[Case]:
    """Cases that are a little smaller, the greatest steps first; not all of them fit."""
    graph = case.graph
    for name in (*graph.leaves, *(one.target for one in graph.statements)):
        if name != graph.result:
            yield replace(case, graph=replace(graph, result=name))
    if case.wrapped:
        yield replace(case, wrapped=False)
    if case.weighted:
        yield replace(case, weighted=False)
    fewer = ((1, 1), (2, 1), (2, 2), (3, 2), (case.batch, case.batch), (case.rows - 1, case.batch))
    for rows, batch in fewer:
        if batch <= rows < case.rows:
            yield replace(case, rows=rows, batch=batch)
    yield from (replace(case, graph=found) for found in without(graph))
    yield from (replace(case, graph=found) for found in plainer(graph))
    lengths = {d for _, shape in graph.parameters for d in shape} | set(graph.features)
    attrs = [v for one in graph.statements for _, v in one.attrs if isinstance(v, tuple)]
    lengths |= {d for v in attrs for d in v if isinstance(d, int)}
    for length in sorted((d for d in lengths if d > 1), reverse=True):
        for shorter in range(1, length):
            yield replace(case, graph=with_length(graph, length, shorter))


def without(graph: Graph) -> Iterator[Graph]:
    """The graph with one statement less, whose readers read an earlier value: alike ones first."""
    nodes = graph.nodes()
    for alike in (True, False):
        names = list(graph.leaves)
        for at, one in enumerate(graph.statements):
            for name in names:
                if (nodes[name].spec == nodes[one.target].spec) is alike:
                    rest = graph.statements[:at] + graph.statements[at + 1 :]
                    yield renamed(replace(graph, statements=rest), one.target, name)
            names.append(one.target)


def renamed(graph: Graph, old: str, new: str) -> Graph:
    """The graph with a value read in the place of another."""
    statements = tuple(
        replace(one, inputs=tuple(new if i == old else i for i in one.inputs))
        for one in graph.statements
    )
    return replace(
        graph, statements=statements, result=new if graph.result == old else graph.result
    )


def plainer(graph: Graph) -> Iterator[Graph]:
    """The graph with a number in the place of an input, or an attribute of an activation gone."""
    for at, one in enumerate(graph.statements):
        changed: list[Statement] = []
        for place, given in enumerate(one.inputs):
            if given != 1.0:
                inputs = (*one.inputs[:place], 1.0, *one.inputs[place + 1 :])
                changed.append(replace(one, inputs=inputs))
        if dict(one.attrs).get("alpha") is not None:
            changed.append(replace(one, attrs=()))
        for other in changed:
            statements = (*graph.statements[:at], other, *graph.statements[at + 1 :])
            yield replace(graph, statements=statements)


def with_length(graph: Graph, old: int, new: int) -> Graph:
    """The graph with axes of another length, wherever one of the old length is."""

    def shape(value: Any) -> Any:
        if isinstance(value, Rows):
            return Rows(new if value.factor == old else value.factor)
        return new if value == old and not isinstance(value, bool) else value

    def changed(name: str, value: Any) -> Any:
        if name in ("shape", "stops"):
            return tuple(map(shape, value))
        return shape(value) if name in ("classes", "rows") else value

    def cropped(given: Any) -> Any:
        if not isinstance(given, Constant):
            return given
        array = given.array
        return Constant.of(array[tuple(slice(new if d == old else d) for d in array.shape)])

    return replace(
        graph,
        features=tuple(map(shape, graph.features)),
        parameters=tuple((name, tuple(map(shape, s))) for name, s in graph.parameters),
        statements=tuple(
            replace(
                one,
                inputs=tuple(map(cropped, one.inputs)),
                attrs=tuple((n, changed(n, v)) for n, v in one.attrs),
            )
            for one in graph.statements
        ),
    )


def shrunk(case: Case, fails: Callable[[Case], bool], tries: int = TRIES) -> Case:
    """The smallest case found that still fails."""
    going = True
    while going:
        going = False
        for candidate in simpler(case):
            candidate = replace(candidate, graph=candidate.graph.lean())
            if not candidate.graph.statements or not candidate.graph.fits():
                continue
            tries -= 1
            if tries < 0:
                return case
            if fails(candidate):
                case, going = candidate, True
                break
    return case
