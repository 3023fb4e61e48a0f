"""Graphs in the tests of what changes them: their text, their values, and random ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import lamina as lm
import numpy as np
from lamina.core.graph.graph import SELECT, Node, constant, leaf, make, order
from lamina.kernels.ops import OPS
from lamina.kernels.spec import ROWS, Rows, Spec, concrete_attrs

COUNT = 5  # rows of a batch in these tests


def parameter(name: str, *shape: Any, dtype: str = "float64") -> Node:
    """A leaf that may be any numbers."""
    return leaf("parameter", Spec(shape, dtype), name)


def text(node: Node, names: bool = False) -> str:
    """The node as an expression: leaves by name, literals by number, attributes but the dtype's."""
    if node.op == "constant" and not node.name:
        value = node.attrs["value"]
        return f"{value.item():g}" if value.size == 1 else str(value.tolist())
    if node.leaf:
        return node.name
    attrs = [f"{k}={v}" for k, v in node.attrs.items() if k != "keepdims" or v]
    inside = ", ".join([*("-" if n is None else text(n, names) for n in node.inputs), *attrs])
    named = f"{node.name}:" if names and node.name else ""
    return f"{named}{node.op}({inside})".replace("shape=", "").replace("axis=", "")


def single(result: Node) -> Node:
    """The same graph in float32."""
    made: dict[Node, Node] = {}
    for node in order([result]):
        kind = "float32" if node.dtype == "float64" else node.dtype
        if node.op == "constant":
            made[node] = constant(node.attrs["value"], kind, node.name)
        elif node.leaf:
            made[node] = leaf(node.op, Spec(node.shape, kind), node.source)
        else:
            attrs = {k: "float32" if v == "float64" else v for k, v in node.attrs.items()}
            made[node] = make(node.op, *(made[n] for n in node.inputs if n is not None), **attrs)
    return made[result]


def evaluate(results: Sequence[Node], data: Mapping[str, Any]) -> list[np.ndarray]:
    """The values of nodes by the references on NumPy; data: the leaves' by name."""
    known: dict[Node, Any] = {}
    for node in order(results):
        if node.op == "constant":
            known[node] = data[node.name] if node.name else node.attrs["value"]
        elif node.leaf:
            known[node] = data[node.source]
        elif node.op == SELECT:
            made = known[node.inputs[0]]
            known[node] = made[node.attrs["index"]] if isinstance(made, tuple) else made
        else:
            inputs = [None if n is None else known[n] for n in node.inputs]
            inputs = [i[0] if isinstance(i, tuple) else i for i in inputs]
            attrs = concrete_attrs(node.attrs, COUNT)
            with np.errstate(all="ignore"):
                known[node] = OPS[node.op].reference(np, *inputs, **attrs)
    made = [known[node] for node in results]
    return [np.asarray(m[0] if isinstance(m, tuple) else m) for m in made]


def numbers(node: Node, rng: np.random.Generator, special: bool) -> np.ndarray:
    """Numbers for a leaf; special: infinities, NaN, zeros, the largest and the smallest, too."""
    shape = tuple(COUNT * d.factor if isinstance(d, Rows) else d for d in node.shape)
    if node.dtype == "bool":
        return rng.random(shape) < 0.5
    if node.dtype in ("int32", "int64", "uint32"):
        return rng.integers(0, 3, shape).astype(node.dtype)
    found = rng.standard_normal(shape).astype(node.dtype)
    if special:
        limits = np.finfo(node.dtype)
        odd = [np.nan, np.inf, -np.inf, 0.0, -0.0, limits.max, -limits.max, limits.tiny, 1.0]
        found = np.where(rng.random(shape) < 0.5, found, rng.choice(odd, shape))
    return found.astype(node.dtype)


def leaves(results: Sequence[Node]) -> list[Node]:
    """The leaves that are not known."""
    return [n for n in order(results) if n.leaf and (n.op != "constant" or n.name)]


def draw(results: Sequence[Node], seed: int = 0, special: bool = False) -> dict[str, np.ndarray]:
    """Numbers for all leaves, by what they stand for."""
    names = {n.source or n.name: n for n in leaves(results)}
    rngs = {k: np.random.default_rng([seed, *k.encode()]) for k in names}
    return {k: numbers(n, rngs[k], special) for k, n in names.items()}


LITERALS = (0.0, 1.0, -1.0, 2.0, 0.5, 4.0, 3.0, -0.25)
SMOOTH = ("negative", "abs", "tanh", "sigmoid", "softplus", "exp", "negative")


def random_graph(rng: np.random.Generator) -> Node:
    """A number made by one to a dozen operations on matrices, rows, columns and literals."""
    n, k = ROWS, int(rng.integers(1, 4))
    shapes = [(n, k), (n, 1), (1, k), (k,), ()]
    pool = [parameter(f"p{i}", *shapes[i]) for i in range(5)]
    for _ in range(int(rng.integers(1, 13))):
        pool.append(_step(rng, pool, (n, k)))
    last = [x for x in pool[5:] if x.dtype != "bool"][-2:]
    total = last[0].sum()
    for other in last[1:]:
        total = total + other.sum()
    return total


def _step(rng: np.random.Generator, pool: list[Node], whole: tuple[Any, ...]) -> Node:
    """One more node on some of the pool, the later ones more often."""

    def some() -> Node:
        return pool[int(len(pool) * rng.random() ** 0.5)]

    x, kind = some(), rng.integers(0, 9)
    if kind == 0:
        return make(rng.choice(SMOOTH), make("clip", x, low=-8.0, high=8.0))
    if kind == 1:
        literal = constant(rng.choice(LITERALS))
        pair = (x, literal) if rng.random() < 0.7 or x.ndim > 1 else (literal, x)
        return make(rng.choice(("add", "subtract", "multiply")), *pair)
    if kind == 2:
        return x / constant(rng.choice([c for c in LITERALS if c]))
    if kind == 3:
        return make("broadcast_to", x, shape=whole)
    if kind == 4 and x.ndim:
        axes = tuple(a for a in range(x.ndim) if rng.random() < 0.6) or (x.ndim - 1,)
        name = rng.choice(("sum", "mean", "max"))
        return make(name, x, axis=axes, keepdims=True)
    if kind == 5:
        around = make("reshape", make("reshape", x, shape=(1, *x.shape)), shape=x.shape)
        return (-x, x.T.T, around)[rng.integers(0, 3)]
    if kind == 6:
        return x / make("sqrt", make("broadcast_to", abs(some()) + 0.5, shape=whole))
    if kind == 7:
        y = some()
        return make("where", make("less", some(), constant(rng.standard_normal())), x, y)
    return make(rng.choice(("add", "subtract", "multiply")), x, some())


def program(model: lm.Sequential, kind: str = "train", outputs: int = 1) -> lm.Program:
    """A program of a model for batches of up to 32 rows."""
    return model.session.program(kind, 32, outputs)


def counted(made: lm.Program) -> Counter[str]:
    """How often a program has each operation."""
    return Counter(one.op for _, one in made.instructions())


def built(layers: list[Any], loss: Any, **settings: Any) -> lm.Sequential:
    """A model for four features, in float64 on NumPy."""
    settings = {"backend": "numpy", "seed": 0, "dtype": "float64", **settings}
    return lm.Sequential(layers, loss=loss, optimizer=lm.Adam(0.01), **settings).build(4)
