"""`trace`, `grad`, `value_and_grad`: the computation graph of a user's own function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...backends.program import Layout
from ...backends.selection import Choice, get_backend
from ...backends.state import Control, DataBlock, State
from ...kernels import ops
from ...kernels.errors import BadInput, NotDifferentiable, ShapeError
from ...kernels.spec import FLOATS
from ..columns import short, table
from .fusion import fuse
from .gradients import differentiate
from .graph import SELECT, Node, constant, order
from .planner import plan
from .simplify import simplify, simplify_all


def compute(nodes: Mapping[str, Node], backend: Choice = None) -> dict[str, np.ndarray]:
    """The numbers of nodes whose leaves are all constants, by one run of a program."""
    device = get_backend(backend)
    dtypes = {n.dtype for n in order(nodes.values()) if n.dtype in FLOATS}
    dtype = "float64" if "float64" in dtypes or not dtypes else "float32"
    program = plan("function", dtype=dtype, capacity=1, layout=Layout(()), outputs=nodes)
    state = State(device, Layout(()), dtype, seed=0)
    binding = device.compile(program).bind(state, DataBlock(device, {}))
    binding.run(Control(batch=1))
    return {name: binding.read(name) for name in nodes}


def _inputs(f: Callable[..., Any], args: Sequence[Any]) -> list[Node]:
    """The arguments as constants with the names of the function's parameters."""
    try:
        names = list(inspect.signature(f).parameters)
    except (TypeError, ValueError):
        names = []
    arrays = [np.asarray(a) for a in args]
    single = [a.dtype == np.float32 for a in arrays if a.dtype.kind == "f" and a.ndim]
    dtype = "float32" if single and all(single) else "float64"
    found = []
    for number, array in enumerate(arrays):
        name = names[number] if number < len(names) else f"x{number}"
        if array.dtype.kind == "f" or (array.dtype.kind in "iu" and array.ndim == 0):
            found.append(constant(array, dtype, name))
        elif array.dtype.kind in "iub":
            found.append(_counts(array, name))
        else:
            raise BadInput(f"argument {name} of dtype {array.dtype} is no number or array of them")
    return found


def _counts(array: np.ndarray, name: str) -> Node:
    """Whole numbers in 32 bits, which every device has, larger ones in 64; booleans as they are."""
    if array.dtype.kind == "b":
        return constant(array, "bool", name)
    limits = np.iinfo(np.int32)
    fits = not array.size or (array.min() >= limits.min and array.max() <= limits.max)
    return constant(array, "int32" if fits else "int64", name)


def _call(f: Callable[..., Any], inputs: Sequence[Node]) -> Node:
    result = f(*inputs)
    if isinstance(result, (int, float, np.number)):
        return constant(float(result))
    if not isinstance(result, Node):
        raise BadInput(f"the function must return a node, not {type(result).__name__}")
    return result


def _plain(array: np.ndarray) -> Any:
    return array.item() if array.ndim == 0 else array


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] | None = None, backend: Choice = None
) -> Callable[..., tuple[Any, Any]]:
    """A function that returns f's value and its derivatives.

    f: a function of numbers or arrays that returns one number, written with operators and `lm.ops`.
    argnums: which arguments; None means all of them: a tuple when there are several.
    backend: where it is computed, as in `lm.get_backend`.
    The result's derivatives are floats for numbers and arrays of the argument's shape for arrays.
    Calling it raises: ShapeError when f does not return one number; NotDifferentiable; BadInput.
    """

    def run(*args: Any) -> tuple[Any, Any]:
        inputs = _inputs(f, args)
        numbers = tuple(range(len(args))) if argnums is None else argnums
        several = not isinstance(numbers, int) and not (argnums is None and len(args) == 1)
        chosen = (numbers,) if isinstance(numbers, int) else tuple(numbers)
        for number in chosen:
            if not -len(args) <= number < len(args):
                raise BadInput(f"argnums {number} is out of range for {len(args)} arguments")
            if inputs[number].dtype not in FLOATS:
                raise NotDifferentiable(f"argument {number} is {inputs[number].spec}, not floating")
        result = _call(f, inputs)
        if result.shape not in ((), (1,), (1, 1)):
            raise ShapeError(f"[grad] the function must return one number, not {result.spec}")
        if result.dtype not in FLOATS:
            raise NotDifferentiable(f"[grad] the function returns {result.spec}, not floating")
        (fused,) = fuse(simplify([result]))
        made = differentiate(fused, [inputs[number] for number in chosen])
        names = [f"gradient {number}" for number in chosen]
        values, gradients = simplify_all({"value": fused}, dict(zip(names, made, strict=True)))
        wanted = values | {name: node for name, node in gradients.items() if node is not None}
        found = compute(wanted, backend)
        nothing = {n: np.zeros_like(inputs[n].attrs["value"]) for n in chosen}
        derivatives = tuple(_plain(found.get(f"gradient {n}", nothing[n])) for n in chosen)
        return float(found["value"].reshape(())), derivatives if several else derivatives[0]

    return run


def grad(
    f: Callable[..., Any], argnums: int | Sequence[int] | None = None, backend: Choice = None
) -> Callable[..., Any]:
    """A function that returns f's derivatives.

    f, argnums, backend, and what is raised: see `value_and_grad`.
    """
    both = value_and_grad(f, argnums, backend)
    return lambda *args: both(*args)[1]


class Trace:
    """A function's computation graph with the value of every node and its derivative.

    nodes: in order of computation. values: the number or array of each. derivatives: that of the
    result with respect to each node, empty unless the result is one number.
    """

    def __init__(self, result: Node, inputs: Sequence[Node], backend: Choice = None) -> None:
        self.result = result
        self.nodes = list(dict.fromkeys([*inputs, *order([result])]))
        self.names = self._named(result)
        wanted = {f"value {i}": n for i, n in enumerate(self.nodes)}
        if result.shape in ((), (1,), (1, 1)) and result.dtype in FLOATS:
            floating = [n for n in self.nodes if n.dtype in FLOATS]
            made = differentiate(result, floating)
            for node, derivative in zip(floating, made, strict=True):
                if derivative is not None:
                    wanted[f"derivative {self.nodes.index(node)}"] = derivative
        found = compute(wanted, backend)
        self.values = {n: found[f"value {i}"] for i, n in enumerate(self.nodes)}
        self.derivatives = {
            n: found[f"derivative {i}"]
            for i, n in enumerate(self.nodes)
            if f"derivative {i}" in found
        }

    def _named(self, result: Node) -> dict[Node, str]:
        names, count = {}, 0
        for node in self.nodes:
            if node.op == "constant" and not node.name:
                value = node.attrs["value"]
                names[node] = f"{value:g}" if value.ndim == 0 else f"constant{list(value.shape)}"
            elif node.name:
                names[node] = node.name
            elif node is result:
                names[node] = "result"
            else:
                count += 1
                names[node] = f"v{count}"
        return names

    def formula(self, node: Node) -> str:
        """The node's operation on its inputs' names."""
        if node.leaf:
            return "input" if node.name else "constant"
        inputs = ", ".join(self.names[n] for n in node.inputs if n is not None)
        if node.op == SELECT and node.inputs[0] is not None:
            return f"{ops.get(node.inputs[0].op).outputs[node.attrs['index']]} of {inputs}"
        return f"{node.op}({inputs})"

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(name, operation, value, derivative) of every node but nameless constants."""
        return [
            (
                self.names[n],
                self.formula(n),
                short(self.values[n]),
                short(self.derivatives.get(n)),
            )
            for n in self.nodes
            if not (n.op == "constant" and not n.name)
        ]

    def __str__(self) -> str:
        return table([("node", "operation", "value", "derivative"), *self.rows()])

    def _repr_html_(self) -> str:
        from .. import notebook

        return notebook.graph(self, [("node", "operation", "value", "derivative"), *self.rows()])

    def to_dot(self) -> str:
        """The graph in Graphviz' language, values and derivatives in the boxes."""
        lines = ["digraph {", "  rankdir=LR; node [shape=record];"]
        for number, node in enumerate(self.nodes):
            value, derivative = short(self.values[node]), short(self.derivatives.get(node))
            parts = [self.names[node], self.formula(node), value, f"d {derivative}"]
            if node.op == "constant" and not node.name:
                parts = [self.names[node]]
            label = " | ".join(p.replace("|", "").replace("<", "").replace(">", "") for p in parts)
            lines.append(f'  n{number} [label="{label}"];')
            lines += [
                f"  n{self.nodes.index(n)} -> n{number};" for n in node.inputs if n is not None
            ]
        return "\n".join([*lines, "}"])


def trace(
    f: Callable[..., Any], *args: Any, backend: Choice = None, simplified: bool = False
) -> Trace:
    """The computation graph of f at the arguments, with values and derivatives; print it.

    f: a function of nodes, written with operators and `lm.ops`. args: numbers or arrays.
    backend: where it is computed, as in `lm.get_backend`. simplified: show what `grad` and models
        compute, after simplification and fusion, in the place of what f says.
    Raises: BadInput, ShapeError, DtypeError.

    >>> print(trace(lambda a, b, c: 3 * (a + b * c), 5.0, 3.0, 2.0, backend="numpy"))
    node    operation        value  derivative
    a       input            5      3
    b       input            3      6
    c       input            2      9
    v1      multiply(b, c)   6      3
    v2      add(a, v1)       11     3
    result  multiply(3, v2)  33     1
    >>> print(trace(lambda a, b: (a + -b) / 4.0, 5.0, 3.0, backend="numpy", simplified=True))
    node    operation           value  derivative
    a       input               5      0.25
    b       input               3      -0.25
    v1      subtract(a, b)      2      0.25
    result  multiply(v1, 0.25)  0.5    1
    """
    inputs = _inputs(f, args)
    result = _call(f, inputs)
    return Trace(fuse(simplify([result]))[0] if simplified else result, inputs, backend)
