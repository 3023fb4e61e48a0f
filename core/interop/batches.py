"""A graph as a program on the rows of a batch, whose number is free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...backends.contract import Backend
from ...backends.program import Entry, Layout, Program
from ...backends.state import State
from ...kernels.ops import OPS
from ...kernels.spec import DTYPES, FLOATS, ROWS, Rows, Spec
from ..graph.fusion import fuse
from ..graph.graph import Node, leaf, order
from ..graph.planner import plan
from ..graph.rewriting import given, over
from ..graph.simplify import simplify
from .reading import Parsed
from .tracing import trace
from .values import Unknown

WEIGHT = 64  # elements from which on a constant is an array of the model


@dataclass(frozen=True)
class Plan:
    """A graph for rows of any number.

    result: the output's node. columns: the inputs. sources: what programs call them, by name.
    weights: arrays that programs read from the state, by the name of their entry.
    independent: whether no row depends on another, so that they may be taken in batches.
    words: what the output's numbers stand for, or None.
    """

    result: Node
    columns: tuple[Node, ...]
    sources: Mapping[str, str]
    weights: Mapping[str, np.ndarray]
    dtype: str
    independent: bool
    words: np.ndarray | None

    @property
    def layout(self) -> Layout:
        """Where the weights lie."""
        entries, offset = [], 0
        for name, array in self.weights.items():
            entries.append(Entry(name, 0, offset, array.shape, False, False))
            offset += array.size
        return Layout(tuple(entries))

    def state(self, backend: Backend) -> State:
        """The weights on a device."""
        state = State(backend, self.layout, self.dtype, seed=0)
        if self.weights:
            flat = np.concatenate([a.reshape(-1) for a in self.weights.values()])
            state.write("statistics", flat)
        return state

    def program(self, capacity: int) -> Program:
        """The program for batches up to so many rows."""
        return plan(
            "predict", dtype=self.dtype, capacity=capacity, layout=self.layout,
            columns=self.columns, outputs={"prediction": fuse(simplify([self.result]))[0]},
            stacked=("prediction",),
        )  # fmt: skip


def leaves(parsed: Parsed) -> dict[str, Node]:
    """The inputs as rows of a batch. Raises: Unknown where their shapes do not say that."""
    found = {}
    for number, port in enumerate(parsed.inputs):
        shape = port.shape
        if not shape or shape[0] is not None or port.carrier not in DTYPES:
            raise Unknown
        rest = tuple(d for d in shape[1:] if d is not None)
        if len(rest) < len(shape) - 1:
            raise Unknown
        found[port.name] = leaf("batch", Spec((ROWS, *rest), port.carrier), f"x{number}")
    return found


def plan_of(parsed: Parsed, output: str) -> Plan:
    """The plan for one output. Raises: Unknown, CheckpointError."""
    inputs = leaves(parsed)
    value = trace(parsed, inputs, [output])[output]
    node = value.node if value.chosen is None else value.chosen[1]
    if node is None or node.ndim < 1 or node.shape[0] != ROWS or node.leaf:
        raise Unknown
    kinds = [n.dtype for n in order([node]) if n.dtype in FLOATS]
    dtype = max(set(kinds), key=kinds.count) if kinds else "float32"
    result, weights = _weighted(node, dtype)
    words = None if value.chosen is None else value.chosen[0]
    rows = independent(order([node]))
    sources = {name: each.source for name, each in inputs.items()}
    return Plan(result, tuple(inputs.values()), sources, weights, dtype, rows, words)


def _weighted(result: Node, dtype: str) -> tuple[Node, dict[str, np.ndarray]]:
    """The graph with its large constants as arrays of the model."""
    weights: dict[str, np.ndarray] = {}
    made: dict[Node, Node] = {}
    for node in order([result]):
        value = node.attrs["value"] if node.op == "constant" else np.zeros(0)
        if node.dtype == dtype and value.size >= WEIGHT:
            name = f"0.w{len(weights)}"
            weights[name] = np.ascontiguousarray(value)
            made[node] = leaf("parameter", node.spec, name)
        else:
            inputs = tuple(None if n is None else made[n] for n in node.inputs)
            made[node] = over(node, inputs)
    return made[result], weights


def independent(nodes: list[Node]) -> bool:
    """Whether each row of every node is made of the same row of what it reads, and of no other."""
    return all(_by_rows(node) for node in nodes)


def _by_rows(node: Node) -> bool:
    if not any(isinstance(d, Rows) for d in node.shape):
        return not any(isinstance(d, Rows) for n in given(node) for d in n.shape)
    if node.shape[0] != ROWS or any(isinstance(d, Rows) for d in node.shape[1:]):
        return False
    if node.leaf:
        return True
    row, inputs = OPS.get(node.op), given(node)
    if row is None:
        return False
    if not all(_row_first(n, node) for n in inputs):
        return False
    if node.op == "matmul":
        a, b = inputs
        flat = not node.attrs["transpose_a"] and ROWS not in b.shape
        return flat if node.ndim == 2 else a.ndim > 2 or ROWS not in a.shape
    if node.op in ("softmax", "log_softmax", "pick", "one_hot"):
        return node.ndim > 1
    if node.op in ("sum", "mean", "max", "argmax"):
        axis = node.attrs["axis"]
        axes = (axis,) if isinstance(axis, int) else axis
        rank = inputs[0].ndim
        return axes is not None and all(a % rank != 0 for a in axes)
    if node.op == "transpose":
        return bool(node.attrs["axes"][0] == 0)
    if node.op == "concatenate":
        return bool(node.attrs["axis"] % node.ndim != 0)
    if node.op == "gather_rows":
        return inputs[0].shape[0] != ROWS
    moves = ("reshape", "slice", "unslice", "broadcast_to")
    return node.op in moves or row.independent is not None


def _row_first(x: Node, result: Node) -> bool:
    """Whether an input has its rows where the result has them, or none."""
    at = [a for a, d in enumerate(x.shape) if isinstance(d, Rows)]
    if not at:
        return True
    aligned = OPS[result.op].independent != "elements" or x.ndim == result.ndim
    return at == [0] and x.shape[0] == ROWS and aligned
