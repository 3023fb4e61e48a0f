"""Writes edges.json: torch's values and derivatives at the edges of every differentiable operation.

    python tests/golden/make_edges.py

Needs torch; the tests do not. The edges: zeros of both signs, ties, infinities, saturated values,
bounds met exactly, empty axes, single elements, broadcast axes, infinite gradients from above.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

INF = float("inf")
LINE = np.array([-INF, -1000.0, -100.0, -2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, 30.0, 1000.0, INF])
SHORT = np.array([-INF, -2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0, INF])
LEFT, RIGHT = (a.ravel() for a in np.meshgrid(SHORT, SHORT, indexing="ij"))  # every pair
FINITE = np.array([[-1000.0], [-100.0], [-2.0], [-0.0], [0.0], [0.5], [2.0], [30.0], [1000.0]])


@dataclass
class Case:
    """An operation's inputs, and the same in torch.

    run: torch's function of the inputs. gradients: what arrives at each output, None for nothing;
    ones when left out. Integer arrays are labels and indices.
    """

    name: str
    op: str
    inputs: Sequence[Any]
    run: Callable[..., Any]
    attrs: dict[str, Any] = field(default_factory=dict)
    gradients: Sequence[Any] | None = None


def hard_sigmoid(x: torch.Tensor) -> torch.Tensor:
    """As F.hardsigmoid, whose derivative in float64 has a sixth with the digits of float32."""
    return F.relu6(x + 3.0) / 6.0


def arithmetic() -> list[Case]:
    """Elementwise operations of one and two inputs."""
    found = [
        Case(f"{op} on the line", op, [LINE], run)
        for op, run in {
            "negative": torch.neg, "exp": torch.exp, "log": torch.log, "log1p": torch.log1p,
            "expm1": torch.expm1, "sqrt": torch.sqrt, "abs": torch.abs, "erf": torch.erf,
            "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu,
            "softplus": F.softplus, "gelu": F.gelu,
            "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
            "silu": F.silu, "mish": F.mish, "selu": F.selu, "hard_sigmoid": hard_sigmoid,
            "hard_swish": F.hardswish, "softsign": F.softsign,
        }.items()
    ]  # fmt: skip
    bends = np.array([-3.5, -3.0, -1.5, 1.5, 3.0, 3.5])
    found += [
        Case(f"{op} at its bends", op, [bends], run)
        for op, run in (("hard_sigmoid", hard_sigmoid), ("hard_swish", F.hardswish))
    ]
    found += [
        Case(f"leaky_relu {alpha}", "leaky_relu", [LINE[1:-1]],
             lambda x, alpha=alpha: F.leaky_relu(x, alpha), {"alpha": alpha})
        for alpha in (0.0, 0.01, 2.0)
    ]  # fmt: skip
    found += [
        Case(f"elu {alpha}", "elu", [LINE], lambda x, alpha=alpha: F.elu(x, alpha),
             {"alpha": alpha})
        for alpha in (0.5, 1.0, 3.0)
    ]  # fmt: skip
    found += [
        Case(f"clip to {low}, {high}", "clip", [LINE],
             lambda x, low=low, high=high: torch.clamp(x, low, high), {"low": low, "high": high})
        for low, high in ((-1.0, 2.0), (0.5, 0.5), (0.0, INF), (-INF, 0.0), (2.0, 1.0))
    ]  # fmt: skip
    pairs = {
        "add": torch.add, "subtract": torch.subtract, "multiply": torch.multiply,
        "divide": torch.divide, "power": torch.pow, "maximum": torch.maximum,
        "minimum": torch.minimum,
    }  # fmt: skip
    column, row = np.array([[-1.0], [0.0], [2.0]]), np.array([[0.0, 1.0, 2.0, 2.0]])
    for op, run in pairs.items():
        found.append(Case(f"{op} of all pairs", op, [LEFT, RIGHT], run))
        found.append(Case(f"{op} of one pair", op, [np.array(2.0), np.array(2.0)], run))
        found.append(Case(f"{op} of none", op, [np.ones((0, 3)), np.ones((1, 3))], run))
        if op != "power":
            wide = np.linspace(-1.0, 1.0, 12).reshape(3, 4)
            found.append(Case(f"{op} broadcast", op, [column, row + 1.0], run, {}, [wide]))
    found.append(Case("power broadcast", "power", [np.abs(column), row], torch.pow))
    up = np.array([INF, -INF, INF, 1.0, INF, 2.0])
    a, b = np.array([1.0, 2.0, 3.0, 2.0, 0.0, 2.0]), np.array([2.0, 1.0, 3.0, 2.0, 0.0, 1.0])
    for op in ("maximum", "minimum"):
        found.append(Case(f"{op} under infinity", op, [a, b], pairs[op], {}, [up]))
    for op, run in (("relu", torch.relu), ("abs", torch.abs)):
        found.append(Case(f"{op} under infinity", op, [b - 1.5], run, {}, [up]))
    found.append(
        Case("clip under infinity", "clip", [a], lambda x: torch.clamp(x, 0.5, 2.5),
             {"low": 0.5, "high": 2.5}, [up])
    )  # fmt: skip
    choice = a > 1.5
    found.append(Case("where under infinity", "where", [choice, a, b], torch.where, {}, [up]))
    found.append(
        Case("where broadcast", "where", [choice, np.array(1.0), b], torch.where, {}, [up[::-1]])
    )
    return found


def reductions() -> list[Case]:
    """Sums, means and maxima."""
    arrays = {
        "a tie": np.array([[1.0, 3.0, 3.0], [-0.0, 0.0, -1.0], [2.0, 2.0, 2.0]]),
        "infinities": np.array([[INF, 1.0, 2.0], [-INF, -INF, 0.0], [INF, INF, 1.0]]),
        "one element": np.array([[2.0]]),
        "no rows": np.ones((0, 3)),
    }
    runs: dict[str, Callable[..., Any]] = {
        "sum": lambda x, axis, keep: torch.sum(x, dim=axis, keepdim=keep),
        "mean": lambda x, axis, keep: torch.mean(x, dim=axis, keepdim=keep),
        "max": lambda x, axis, keep: torch.amax(x, dim=axis, keepdim=keep),
    }
    found = []
    for op, run in runs.items():
        for name, array in arrays.items():
            for axis, keep in (((0,), False), ((1,), True), ((0, 1), False)):
                if not array.size and op != "sum" and 0 in axis:
                    continue
                found.append(
                    Case(f"{op} over {axis} of {name}", op, [array],
                         lambda x, run=run, axis=axis, keep=keep: run(x, axis, keep),
                         {"axis": axis, "keepdims": keep})
                )  # fmt: skip
    return found


def shapes() -> list[Case]:
    """What moves elements."""
    x, none = np.arange(6.0).reshape(2, 3), np.ones((0, 3))
    up = np.array([[INF, 1.0, -INF], [2.0, INF, 3.0]])
    rows, column = np.array([1, 1, 0, 1]), np.array([[2], [0]])
    nothing = np.zeros(0, dtype=int)

    def unslice(x: torch.Tensor) -> torch.Tensor:
        return torch.zeros((3, 5), dtype=x.dtype).index_put(
            (torch.tensor([[0], [2]]), torch.tensor([[0, 2, 4]])), x
        )

    def scatter(rows: int) -> Callable[..., Any]:
        return lambda x, i: torch.zeros((rows, *x.shape[1:]), dtype=x.dtype).index_add(0, i, x)

    inner = torch.matmul
    cut = {"starts": (0, 0), "stops": (3, 5), "steps": (2, 2)}
    return [
        Case("matmul without an inner axis", "matmul", [np.ones((2, 0)), np.ones((0, 3))], inner),
        Case("matmul without rows", "matmul", [none, np.ones((3, 2))], inner),
        Case("matmul of single numbers", "matmul", [np.array([[2.0]]), np.array([[-0.0]])], inner),
        Case("transpose of none", "transpose", [none], lambda x: x.permute(1, 0),
             {"axes": (1, 0)}),
        Case("transpose", "transpose", [x], lambda x: x.permute(1, 0), {"axes": (1, 0)}, [up.T]),
        Case("reshape of none", "reshape", [none], lambda x: x.reshape(3, 0, 2),
             {"shape": (3, 0, 2)}),
        Case("reshape to a number", "reshape", [np.array([[3.0]])], lambda x: x.reshape(()),
             {"shape": ()}),
        Case("broadcast of a number", "broadcast_to", [np.array(3.0)], lambda x: x.expand(2, 3),
             {"shape": (2, 3)}),
        Case("broadcast to none", "broadcast_to", [np.ones((1, 3))], lambda x: x.expand(0, 3),
             {"shape": (0, 3)}),
        Case("slice of nothing", "slice", [x], lambda x: x[1:1, ::2],
             {"starts": (1, 0), "stops": (1, 3), "steps": (1, 2)}),
        Case("slice under infinity", "slice", [x], lambda x: x[:2, ::2],
             {"starts": (0, 0), "stops": (2, 3), "steps": (1, 2)}, [up[:, :2]]),
        Case("unslice", "unslice", [x], unslice, {"shape": (3, 5), **cut},
             [np.arange(15.0).reshape(3, 5)]),
        Case("concatenate with none", "concatenate", [none, x], lambda a, b: torch.cat((a, b)),
             {"axis": 0}, [up]),
        Case("concatenate columns", "concatenate", [x, x[:, :1]],
             lambda a, b: torch.cat((a, b), 1), {"axis": 1}, [np.hstack((up, up[:, :1]))]),
        Case("gather twice", "gather_rows", [x, rows], lambda x, i: x[i], {},
             [np.vstack((up, up[::-1]))]),
        Case("gather nothing", "gather_rows", [x, nothing], lambda x, i: x[i]),
        Case("scatter twice", "scatter_rows", [np.vstack((x, x)), rows], scatter(3), {"rows": 3},
             [np.arange(9.0).reshape(3, 3)]),
        Case("scatter nothing", "scatter_rows", [none, nothing], scatter(2), {"rows": 2}),
        Case("pick under infinity", "pick", [x, column], lambda x, i: torch.gather(x, -1, i), {},
             [np.array([[INF], [-INF]])]),
        Case("pick of one class", "pick", [x[:, :1], column * 0],
             lambda x, i: torch.gather(x, -1, i)),
        Case("pick without rows", "pick", [none, np.zeros((0, 1), dtype=int)],
             lambda x, i: torch.gather(x, -1, i)),
        Case("cast that overflows", "cast", [np.array([1e300, -1e300, 0.0, -0.0, INF, 1.5])],
             lambda x: x.to(torch.float32), {"dtype": "float32"}),
    ]  # fmt: skip


def losses() -> list[Case]:
    """Activations of whole rows, and losses plain and fused."""
    z = np.array([
        [0.0, -0.0, 0.0], [1000.0, -1000.0, 0.0], [-1000.0, -1000.0, -1000.0],
        [1.0, 1.0, 30.0], [-INF, 2.0, 2.0], [-INF, -INF, 5.0],
    ])  # fmt: skip
    up = np.array([[1.0, 2.0, -1.0]] * 6)
    labels = np.array([[0], [1], [2], [2], [1], [2]])
    weights = np.array([[1.0], [0.0], [2.0], [0.5], [3.0], [1.0]])
    one, zero = np.array([[3.0], [-2.0]]), np.array([[0], [0]])
    found = []
    for op, run in (
        ("softmax", lambda x: F.softmax(x, -1)), ("log_softmax", lambda x: F.log_softmax(x, -1))
    ):  # fmt: skip
        found.append(Case(f"{op} of rows", op, [z], run, {}, [up]))
        found.append(Case(f"{op} of single elements", op, [one], run, {}, [one]))
        found.append(Case(f"{op} without rows", op, [np.ones((0, 3))], run))

    def nll(p: Any, labels: Any, w: Any = None) -> Any:
        loss = -torch.gather(torch.log(p), -1, labels)
        return loss if w is None else loss * w

    def binary(p: Any, t: Any, w: Any = None) -> Any:
        loss = F.binary_cross_entropy(p, t, reduction="none").mean(-1, keepdim=True)
        return loss if w is None else loss * w

    def squared(p: Any, t: Any, w: Any = None) -> Any:
        loss = ((p - t) ** 2).mean(-1, keepdim=True)
        return loss if w is None else loss * w

    def classes(z: Any, labels: Any, w: Any = None) -> Any:
        loss = F.cross_entropy(z, labels[:, 0], reduction="none")[:, None]
        return F.softmax(z, -1), (loss if w is None else loss * w).sum()

    def chances(z: Any, t: Any, w: Any = None) -> Any:
        loss = F.binary_cross_entropy_with_logits(z, t, reduction="none").mean(-1, keepdim=True)
        return torch.sigmoid(z), (loss if w is None else loss * w).sum()

    p = np.array([[1.0, 0.0, 0.0], [0.0, 0.25, 0.75], [0.0, 0.5, 0.5]])
    right, three = np.array([[0], [2], [1]]), np.array([[1.0], [2.0], [0.0]])
    found += [
        Case("cross_entropy of certain rows", "cross_entropy", [p, right], nll),
        Case("cross_entropy, weighted", "cross_entropy", [p, right, three], nll),
        Case("cross_entropy of a class without chance", "cross_entropy",
             [p, np.array([[1], [0], [0]])], nll),
        Case("cross_entropy of one class", "cross_entropy", [np.ones((2, 1)), zero], nll),
        Case("binary_cross_entropy, certain and right", "binary_cross_entropy",
             [np.array([[0.0, 1.0], [0.5, 1.0], [0.0, 0.25]]),
              np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 1.0]])], binary),
        Case("binary_cross_entropy, certain and wrong", "binary_cross_entropy",
             [np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.5, 0.25]])], binary),
        Case("binary_cross_entropy, weighted", "binary_cross_entropy",
             [np.array([[0.0], [1.0], [0.5]]), np.array([[0.0], [1.0], [0.5]]), three], binary),
        Case("mean_squared_error", "mean_squared_error",
             [np.array([[0.0, -0.0], [INF, 1.0], [2.0, 2.0]]),
              np.array([[0.0, 0.0], [1.0, -INF], [2.0, 1.0]]), three + 1.0], squared),
        Case("mean_squared_error of one output", "mean_squared_error", [one, one], squared),
        Case("softmax_cross_entropy", "softmax_cross_entropy", [z, labels], classes, {},
             [None, np.array(1.0)]),
        Case("softmax_cross_entropy, weighted", "softmax_cross_entropy",
             [z[[0, 2, 3, 4]], labels[[0, 2, 3, 4]], weights[[0, 2, 3, 4]]], classes, {},
             [np.array([[1.0, 2.0, -1.0]] * 4), np.array(2.0)]),
        Case("softmax_cross_entropy of a class without chance", "softmax_cross_entropy",
             [np.array([[-INF, 0.0, 1.0]]), np.array([[0]])], classes, {}, [None, np.array(1.0)]),
        Case("softmax_cross_entropy of one class", "softmax_cross_entropy", [one, zero], classes,
             {}, [None, np.array(1.0)]),
        Case("softmax_cross_entropy without rows", "softmax_cross_entropy",
             [np.ones((0, 3)), np.zeros((0, 1), dtype=int)], classes, {}, [None, np.array(1.0)]),
        Case("sigmoid_binary_cross_entropy", "sigmoid_binary_cross_entropy",
             [z[:4], np.array([[0.0, 1.0, 0.5]] * 4)], chances, {}, [None, np.array(1.0)]),
        Case("sigmoid_binary_cross_entropy, weighted", "sigmoid_binary_cross_entropy",
             [z[:4], np.array([[0.0, 1.0, 0.5]] * 4), weights[:4]], chances, {},
             [up[:4], np.array(2.0)]),
        Case("sigmoid_binary_cross_entropy of infinities", "sigmoid_binary_cross_entropy",
             [np.array([[INF], [-INF], [-INF]]), np.array([[0.0], [1.0], [0.5]])], chances, {},
             [None, np.array(1.0)]),
    ]  # fmt: skip
    activations: dict[str, Callable[..., Any]] = {
        "linear": lambda x: x, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu,
        "leaky_relu": F.leaky_relu, "elu": F.elu, "softplus": F.softplus,
    }  # fmt: skip
    for name, run in activations.items():
        alpha = 1.0 if name == "elu" else 0.01
        found.append(
            Case(f"dense {name}", "dense", [FINITE, np.array([[1.0, -0.5]]), np.zeros((1, 2))],
                 lambda x, w, b, run=run: run(x @ w + b), {"activation": name, "alpha": alpha})
        )  # fmt: skip
    x, w, b = np.ones((0, 2)), np.ones((2, 3)), np.zeros((1, 3))
    found.append(
        Case("dense without rows", "dense", [x, w, b], lambda x, w, b: torch.relu(x @ w + b),
             {"activation": "relu"})
    )  # fmt: skip
    return found


def flat(array: Any) -> dict[str, Any] | None:
    """An array as plain data: shape, dtype and elements."""
    if array is None:
        return None
    array = np.asarray(array)
    return {"shape": array.shape, "dtype": array.dtype.name, "data": array.ravel().tolist()}


def computed(case: Case, dtype: torch.dtype) -> dict[str, Any]:
    """torch's outputs, and its derivatives by the floating inputs."""
    tensors = []
    for value in case.inputs:
        array = np.asarray(value)
        made = torch.tensor(array)
        if array.dtype.kind == "f":
            made = made.to(dtype).requires_grad_()
        tensors.append(made)
    made = case.run(*tensors)
    made = made if isinstance(made, tuple) else (made,)
    ups = case.gradients or [np.ones(m.shape) for m in made]
    pairs = [
        (m, torch.tensor(np.array(u)).to(m.dtype))
        for m, u in zip(made, ups, strict=True)
        if u is not None
    ]
    torch.autograd.backward([m for m, _ in pairs], [u for _, u in pairs])
    gradients = [None if t.grad is None else flat(t.grad.numpy()) for t in tensors]
    return {"outputs": [flat(m.detach().numpy()) for m in made], "gradients": gradients}


def main() -> None:
    """Writes the file beside this script."""
    cases = {}
    for case in (*arithmetic(), *reductions(), *shapes(), *losses()):
        assert case.name not in cases, case.name
        ups = None if case.gradients is None else [flat(g) for g in case.gradients]
        cases[case.name] = {
            "op": case.op, "inputs": [flat(i) for i in case.inputs], "attrs": case.attrs,
            "arriving": ups,
            "float64": computed(case, torch.float64), "float32": computed(case, torch.float32),
        }  # fmt: skip
    text = json.dumps({"torch": torch.__version__, "cases": cases}, separators=(",", ":"))
    target = Path(__file__).with_name("edges.json")
    target.write_text(text.replace('}},"', '}},\n"') + "\n")


if __name__ == "__main__":
    main()
