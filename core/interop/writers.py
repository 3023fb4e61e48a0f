"""How each operation of the table is said in ONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...kernels.errors import BadInput
from ...kernels.rules import normal_axes
from ...kernels.spec import Rows
from ..graph.graph import Node, constant, leaf, make, order
from .formulas import DOUBLE, SINGLE
from .writing import Writer, elem_type

Write = Callable[[Writer, Node, list[str]], str]
WRITERS: dict[str, Write] = {}
SAME = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "maximum": "Max",
    "minimum": "Min", "power": "Pow", "equal": "Equal", "less": "Less",
    "less_equal": "LessOrEqual", "greater": "Greater", "greater_equal": "GreaterOrEqual",
    "negative": "Neg", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "abs": "Abs", "sign": "Sign",
    "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu",
}  # fmt: skip


def writer(*ops: str) -> Callable[[Write], Write]:
    """Adds a function to the table, under the names of operations."""

    def register(function: Write) -> Write:
        for op in ops:
            WRITERS[op] = function
        return function

    return register


def write(out: Writer, node: Node, inputs: list[str]) -> str:
    """A node of lamina's graph as nodes of ONNX. Raises: BadInput for what ONNX cannot say."""
    if node.op not in WRITERS:
        raise BadInput(
            f"[{node.op}] cannot be said in ONNX: it is a part of training, or of no prediction"
        )
    return WRITERS[node.op](out, node, inputs)


def _same(out: Writer, node: Node, inputs: list[str]) -> str:
    return out.add(SAME[node.op], *inputs, name=node.name)


for _op in SAME:
    writer(_op)(_same)


def _x(node: Node) -> Node:
    assert node.inputs[0] is not None
    return node.inputs[0]


def _number(out: Writer, node: Node, value: float) -> str:
    return out.constant(np.asarray(value, node.dtype), node.dtype, "number")


@writer("not_equal")
def _not_equal(out: Writer, node: Node, inputs: list[str]) -> str:
    return out.add("Not", out.add("Equal", *inputs), name=node.name)


@writer("where")
def _where(out: Writer, node: Node, inputs: list[str]) -> str:
    if node.dtype != "bool":
        return out.add("Where", *inputs, name=node.name)
    chosen, a, b = inputs  # runtimes choose between numbers
    first = out.add("And", chosen, a)
    return out.add("Or", first, out.add("And", out.add("Not", chosen), b), name=node.name)


@writer("clip")
def _clip(out: Writer, node: Node, inputs: list[str]) -> str:
    limits = [_number(out, node, node.attrs[end]) for end in ("low", "high")]
    return out.add("Clip", inputs[0], *limits, name=node.name)


# Products and reductions


@writer("matmul")
def _matmul(out: Writer, node: Node, inputs: list[str]) -> str:
    found = list(inputs)
    for at, end in enumerate("ab"):
        if node.attrs[f"transpose_{end}"]:
            rank = node.inputs[at].ndim  # type: ignore[union-attr]
            axes = [*range(rank - 2), rank - 1, rank - 2]
            found[at] = out.add("Transpose", found[at], perm=axes)
    return out.add("MatMul", *found, name=node.name)


@writer("dense")
def _dense(out: Writer, node: Node, inputs: list[str]) -> str:
    made = out.add("MatMul", *inputs[:2])
    made = out.add("Add", made, inputs[2]) if len(inputs) > 2 else made
    activation = node.attrs["activation"]
    if activation == "linear":
        return made
    settings = {"alpha": node.attrs["alpha"]} if activation in ("leaky_relu", "elu") else {}
    stand_in = constant(np.zeros(1), node.dtype)
    again = make(activation, stand_in, **settings)
    return write(out, again, [made])


@writer("sum", "mean", "max")
def _reduce(out: Writer, node: Node, inputs: list[str]) -> str:
    axes = out.wholes(normal_axes(node.op, _x(node).spec, node.attrs))
    kind = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax"}[node.op]
    keep = int(node.attrs["keepdims"])
    return out.add(kind, inputs[0], axes, name=node.name, keepdims=keep, noop_with_empty_axes=1)


@writer("argmax")
def _argmax(out: Writer, node: Node, inputs: list[str]) -> str:
    keep = int(node.attrs["keepdims"])
    place = out.add("ArgMax", inputs[0], axis=node.attrs["axis"], keepdims=keep)
    return out.add("Cast", place, to=elem_type("int32"), name=node.name)


# Shapes


@writer("transpose")
def _transpose(out: Writer, node: Node, inputs: list[str]) -> str:
    return out.add("Transpose", inputs[0], perm=list(node.attrs["axes"]), name=node.name)


@writer("reshape")
def _reshape(out: Writer, node: Node, inputs: list[str]) -> str:
    shape = node.attrs["shape"]
    free = [at for at, d in enumerate(shape) if isinstance(d, Rows)]
    if len(free) == 1 and 0 not in shape:
        sizes = out.wholes([-1 if isinstance(d, Rows) else d for d in shape])
    else:
        sizes = out.shape(shape)
    return out.add("Reshape", inputs[0], sizes, name=node.name, allowzero=int(0 in shape))


@writer("broadcast_to")
def _broadcast_to(out: Writer, node: Node, inputs: list[str]) -> str:
    return out.add("Expand", inputs[0], out.shape(node.attrs["shape"]), name=node.name)


@writer("slice")
def _slice(out: Writer, node: Node, inputs: list[str]) -> str:
    triples = zip(node.attrs["starts"], node.attrs["stops"], node.attrs["steps"], strict=True)
    cuts = [(a, *t) for a, t in enumerate(triples) if not isinstance(t[1], Rows)]
    if not cuts:
        return out.add("Identity", inputs[0], name=node.name)
    axes, starts, stops, steps = (out.wholes(each) for each in zip(*cuts, strict=True))
    return out.add("Slice", inputs[0], starts, stops, axes, steps, name=node.name)


@writer("unslice")
def _unslice(out: Writer, node: Node, inputs: list[str]) -> str:
    made, rank = inputs[0], node.ndim
    if 0 in _x(node).shape:
        return out.add("Expand", _number(out, node, 0.0), out.shape(node.shape), name=node.name)
    before, after = [0] * rank, [0] * rank
    for axis, whole in enumerate(node.attrs["shape"]):
        if isinstance(whole, Rows):
            continue
        start, step = node.attrs["starts"][axis], node.attrs["steps"][axis]
        count = _x(node).shape[axis]
        assert isinstance(count, int)
        if step > 1:  # each element with zeros behind it
            made = out.add("Unsqueeze", made, out.wholes([axis + 1]))
            pads = [0] * (2 * (rank + 1))
            pads[rank + 1 + axis + 1] = step - 1
            made = out.add("Pad", made, out.wholes(pads))
            rest = [d for d in _x(node).shape[axis + 1 :] if isinstance(d, int)]
            sizes = out.wholes([*[0] * axis, count * step, *rest])  # 0: as it was
            made = out.add("Reshape", made, sizes)
            end = min(count * step, whole - start)
            at = out.wholes([axis])
            made = out.add("Slice", made, out.wholes([0]), out.wholes([end]), at)
            count = end
        before[axis], after[axis] = start, whole - start - count
    return out.add("Pad", made, out.wholes([*before, *after]), name=node.name)


@writer("concatenate")
def _concatenate(out: Writer, node: Node, inputs: list[str]) -> str:
    return out.add("Concat", *inputs, axis=node.attrs["axis"], name=node.name)


@writer("cast")
def _cast(out: Writer, node: Node, inputs: list[str]) -> str:
    return out.add("Cast", inputs[0], to=elem_type(node.dtype), name=node.name)


@writer("gather_rows")
def _gather_rows(out: Writer, node: Node, inputs: list[str]) -> str:
    return out.add("Gather", *inputs, axis=0, name=node.name)


@writer("scatter_rows")
def _scatter_rows(out: Writer, node: Node, inputs: list[str]) -> str:
    zeros = out.add("Expand", _number(out, node, 0.0), out.shape(node.shape))
    column = out.add("Cast", inputs[1], to=elem_type("int64"))
    column = out.add("Unsqueeze", column, out.wholes([1]))
    return out.add("ScatterND", zeros, column, inputs[0], reduction="add", name=node.name)


@writer("pick")
def _pick(out: Writer, node: Node, inputs: list[str]) -> str:
    return out.add("GatherElements", *inputs, axis=-1, name=node.name)


@writer("one_hot")
def _one_hot(out: Writer, node: Node, inputs: list[str]) -> str:
    codes = out.constant(np.arange(node.attrs["classes"]), _x(node).dtype, "codes")
    hits = out.add("Equal", inputs[0], codes)
    return out.add("Cast", hits, to=elem_type(node.dtype), name=node.name)


# Activations: as an operator where runtimes have it for the dtype, else as an expression


def _activation(out: Writer, node: Node, inputs: list[str]) -> str:
    attrs = {name: float(value) for name, value in node.attrs.items()}
    formula = (DOUBLE if node.dtype == "float64" else SINGLE).get(node.op)
    if formula is None:
        more: dict[str, Any] = {"alpha": 1 / 6, "beta": 0.5} if node.op == "hard_sigmoid" else attrs
        return out.add(OPERATOR[node.op], *inputs, name=node.name, **more)
    x = leaf("batch", node.spec, "x")
    made = formula(x, **attrs)
    return compose(out, made, {x: inputs[0]}, node.name)


def compose(out: Writer, result: Node, names: dict[Node, str], name: str = "") -> str:
    """An expression written node by node. names: of its leaves. name: for the result."""
    for node in order([result]):
        if node in names:
            continue
        if node.op == "constant":
            names[node] = out.constant(node.attrs["value"], node.dtype, "number")
            continue
        named = Node(node.op, node.inputs, node.attrs, node.specs, name if node is result else "")
        names[node] = write(out, named, [names[n] for n in node.inputs if n is not None])
    return names[result]


OPERATOR = {
    "erf": "Erf", "leaky_relu": "LeakyRelu", "elu": "Elu", "selu": "Selu", "softplus": "Softplus",
    "hard_sigmoid": "HardSigmoid", "hard_swish": "HardSwish", "softsign": "Softsign",
}  # fmt: skip
for _op in {*DOUBLE, *SINGLE}:
    writer(_op)(_activation)


@writer("softmax", "log_softmax")
def _rowwise(out: Writer, node: Node, inputs: list[str]) -> str:
    kind = "Softmax" if node.op == "softmax" else "LogSoftmax"
    return out.add(kind, inputs[0], axis=-1, name=node.name)
