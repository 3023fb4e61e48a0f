"""What a drawn graph must give: its nodes by their references in float64, and how exactly.

Neither fusion nor simplification, no plan, no kernel and no executor is in it. The gradients are
the rules' own graph, computed the same way; differences of the loss say whether those are right.

How exactly is found by Monte Carlo arithmetic (D. S. Parker, UCLA CSD-970002, 1997): in some more
runs every operation's result is moved up or down, each element by itself, by the tolerance of the
operation's row. What comes out may differ from the oracle by `SPREAD` times the most that it did in
those runs. So the tolerances of a chain add up as they are passed on, and where a graph magnifies
rounding it is allowed to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lamina.backends.conformance.operations import deviation
from lamina.core.graph.gradients import differentiate
from lamina.core.graph.graph import SELECT, Node, order
from lamina.core.model import Sequential
from lamina.core.programs import costs
from lamina.kernels import ops
from lamina.kernels.op import Tolerance
from lamina.kernels.spec import FLOATS, ROWS, Spec, concrete_attrs

RUNS, SPREAD = 6, 4.0
# Their result is one of two numbers, bit for bit.
CHOOSING = ("maximum", "minimum", "clip", "relu", "relu_backward")
# An agreement to fewer digits than that says little: comparisons on an edge, differences of numbers
# that are nearly equal.
LOOSE = {"float32": 1e-3, "float64": 1e-9}
LARGE = 1e6  # beyond it a training may as well diverge
Values = dict[Node, Any]
Numbers = dict[str, np.ndarray]


def wide(value: Any) -> Any:
    """An array with its floating numbers in float64."""
    array = np.asarray(value)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def value_of(node: Node, values: Mapping[Node, Any], rows: int) -> Any:
    """What a node's operation makes of its inputs' values, in float64; several: a tuple."""
    if node.op == "constant":
        return wide(node.attrs["value"])
    ins: list[Any] = [None if i is None else values[i] for i in node.inputs]
    if node.op == SELECT:
        return ins[0][node.attrs["index"]]
    if node.op == "cast" and node.dtype in FLOATS:
        return np.asarray(ins[0], dtype=np.float64)  # rounding is a tolerance's business
    with np.errstate(all="ignore"):
        made = ops.get(node.op).reference(np, *ins, **concrete_attrs(node.attrs, rows))
    return tuple(map(wide, made)) if isinstance(made, tuple) else wide(made)


def tolerance_of(node: Node) -> Tolerance | None:
    """How far a node's numbers may be off by themselves; None where they are exact."""
    dtypes = [n.dtype for n in (*node.inputs, node) if n is not None and n.dtype in FLOATS]
    exact = node.op in CHOOSING or node.op == SELECT or node.leaf
    if exact or node.dtype not in FLOATS or not dtypes:
        return None
    if node.op == "cast" and (dtypes[0], node.dtype) != ("float64", "float32"):
        return None
    return ops.get(node.op).tolerance[dtypes[0]]


def shaken(value: Any, tolerance: Tolerance, rng: np.random.Generator) -> Any:
    """Each element up or down by the tolerance."""
    if isinstance(value, tuple):
        return tuple(shaken(v, tolerance, rng) for v in value)
    if not value.size or value.dtype.kind != "f":
        return value
    most = tolerance.absolute + tolerance.relative * float(np.abs(value).max())
    with np.errstate(invalid="ignore"):
        return value + most * rng.choice([-1.0, 1.0], value.shape)


def run(
    nodes: list[Node], leaves: Mapping[str, Any], rows: int, rng: np.random.Generator | None
) -> Values:
    """The values of nodes in their order. leaves: by source. rng: shakes them."""
    values: Values = {}
    for node in nodes:
        if node.leaf and node.op != "constant":
            values[node] = leaves[node.source]
            continue
        made = value_of(node, values, rows)
        tolerance = None if rng is None else tolerance_of(node)
        values[node] = made if tolerance is None or rng is None else shaken(made, tolerance, rng)
    return values


@dataclass(frozen=True)
class Data:
    """Rows for a model, in its dtype. batch: rows a step. weights: one a row, or None."""

    x: np.ndarray
    y: np.ndarray
    batch: int
    weights: np.ndarray | None

    def shares(self, rows: slice) -> tuple[np.ndarray, float]:
        """Each row's weight over their sum, (rows, 1), and the sum."""
        given = np.ones(len(self.x)) if self.weights is None else self.weights
        part = given[rows].astype(np.float64)
        total = float(part.sum())
        return (part / total if total else part).reshape(-1, 1), total


@dataclass
class Judgement:
    """Numbers by name, and how far others may be from them. limit: how uncertain they may be."""

    numbers: Numbers
    limit: float
    allowed: dict[str, float] = field(default_factory=dict)

    @property
    def loose(self) -> bool:
        """Whether they are too large, or so uncertain that an agreement says little."""
        for name, value in self.numbers.items():
            size = float(np.abs(value).max(initial=0.0))
            if not size < LARGE or not self.allowed[name] <= self.limit * max(1.0, size):
                return True
        return False

    @property
    def narrow(self) -> bool:
        """Whether a part of the graph is in float32, which differences of the loss feel."""
        return self.limit == LOOSE["float32"]

    def difference(self, name: str, got: Any) -> str:
        """How a number is off, in words, or nothing."""
        want = self.numbers[name]
        if np.shape(got) != want.shape:
            return f"{name}: shape {np.shape(got)} instead of {want.shape}"
        error, _ = deviation(np.asarray(got), want, Tolerance(0.0, 0.0))
        if error <= self.allowed[name]:
            return ""
        return f"{name}: off by {error:.3g}, allowed {self.allowed[name]:.3g}"


class Oracle:
    """A built model's cost, gradients and training by plain gradient descent, in float64."""

    def __init__(self, model: Sequential, data: Data, rate: float, epochs: int) -> None:
        self.data, self.rate, self.epochs = data, rate, epochs
        graph = model.session.graph(training=True)
        self.names = graph.names
        y = Spec((ROWS, data.y.shape[1]), model.dtype)
        _, _, sums = costs(graph, model.loss, (), y, "")
        self.cost, self.prediction = sums["loss"], graph.prediction
        leaves = {n.source: n for n in order([self.cost]) if n.op == "parameter"}
        found = differentiate(self.cost, [leaves[n] for n in self.names if n in leaves])
        self.gradients = dict(zip([n for n in self.names if n in leaves], found, strict=True))
        self.start = dict(zip(self.names, map(wide, model.get_weights()), strict=True))
        self.dtype = model.dtype
        made = [n for n in self.gradients.values() if n is not None]
        self.forward, self.whole = order([self.cost]), order([self.cost, *made])
        self.predicting = order([self.prediction])

    def slopes(
        self, weights: Numbers, rows: slice, rng: np.random.Generator | None
    ) -> tuple[Any, Numbers, float]:
        """The cost over rows, its gradients by name, and the rows' sum of weights."""
        shares, total = self.data.shares(rows)
        x, y = wide(self.data.x[rows]), wide(self.data.y[rows])
        leaves = {**weights, "x": x, "y": y, "weights": shares}
        values = run(self.whole, leaves, len(x), rng)
        found = {
            name: np.zeros_like(weights[name]) if self.gradients.get(name) is None
            else values[self.gradients[name]]  # type: ignore[index]
            for name in self.names
        }  # fmt: skip
        return values[self.cost], found, total

    def loss(self, weights: Numbers) -> float:
        """The cost over all rows."""
        shares, _ = self.data.shares(slice(None))
        leaves = {**weights, "x": wide(self.data.x), "y": wide(self.data.y), "weights": shares}
        return float(run(self.forward, leaves, len(self.data.x), None)[self.cost])

    def numbers(self, rng: np.random.Generator | None = None) -> Numbers:
        """All that is compared: cost, gradients and predictions before, losses and weights after.

        rng: shakes every operation, and every weight after a step.
        """
        everything = slice(None)
        cost, slopes, _ = self.slopes(self.start, everything, rng)
        found = {"loss": np.asarray(cost)}
        found.update({f"gradient of {name}": g for name, g in slopes.items()})
        rows = len(self.data.x)
        found["prediction"] = self.predict(self.start, rows, rng)
        found["prediction of one row"] = self.predict(self.start, 1, rng)
        weights, means = dict(self.start), []
        for _ in range(self.epochs):
            losses, totals = 0.0, 0.0
            for start in range(0, rows, self.data.batch):
                part = slice(start, start + self.data.batch)
                cost, slopes, total = self.slopes(weights, part, rng)
                losses, totals = losses + float(cost) * total, totals + total
                for name in weights:
                    weights[name] = weights[name] - self.rate * slopes[name]
                    if rng is not None:
                        tolerance = ops.get("add").tolerance[self.dtype]
                        weights[name] = shaken(weights[name], tolerance, rng)
            means.append(losses / totals)
        found["history"] = np.array(means)
        found.update({f"trained {name}": w for name, w in weights.items()})
        found["later loss"] = np.asarray(self.slopes(weights, everything, rng)[0])
        found["later prediction"] = self.predict(weights, rows, rng)
        return found

    def predict(self, weights: Numbers, rows: int, rng: np.random.Generator | None) -> Any:
        """The last layer's output for the first rows."""
        leaves = {**weights, "x": wide(self.data.x[:rows])}
        return run(self.predicting, leaves, rows, rng)[self.prediction]

    def judge(self, seed: int = 0) -> Judgement:
        """The numbers, and what the shaken runs say of them."""
        wanted = self.numbers()
        narrow = any(node.dtype == "float32" for node in self.whole)
        made = Judgement(wanted, LOOSE["float32" if narrow else "float64"])
        runs = [self.numbers(np.random.default_rng([seed, k])) for k in range(RUNS)]
        rounding = ops.get("add").tolerance[self.dtype]
        for name, want in wanted.items():
            off = max(float(np.abs(run[name] - want).max(initial=0.0)) for run in runs)
            size = float(np.abs(want).max(initial=0.0))
            made.allowed[name] = SPREAD * off + rounding.absolute + rounding.relative * size
        return made

    def differences(self, directions: int = 2, step: float = 1e-5, seed: int = 0) -> list[str]:
        """Where a gradient times a random direction is not what differences of the loss say.

        Along each array's own direction. Where differences over two lengths disagree there is an
        edge, and nothing is said.
        """
        rng, found = np.random.default_rng(seed), []
        _, slopes, _ = self.slopes(self.start, slice(None), None)
        base = abs(self.loss(self.start))
        for name in self.names:
            for _ in range(directions):
                way = rng.standard_normal(self.start[name].shape)
                told = float((slopes[name] * way).sum())
                near, far = (self._difference(name, way, h) for h in (step, 2.0 * step))
                noise = 1e-14 * max(base, 1.0) / step
                allowed = 1e-6 * max(abs(told), abs(near)) + 100.0 * noise
                if not abs(near - far) <= allowed / 2.0:
                    continue
                if not abs(told - near) <= allowed:
                    found.append(f"gradient of {name}: {told:.9g}, by differences {near:.9g}")
        return found

    def _difference(self, name: str, way: Any, step: float) -> float:
        sides = [self.loss({**self.start, name: self.start[name] + s * way}) for s in (step, -step)]
        return (sides[0] - sides[1]) / (2.0 * step)
