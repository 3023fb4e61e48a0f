"""Derivatives at the edges, against torch's numbers (see tests/golden/make_edges.py).

Zeros of both signs, ties, infinities, saturated values, empty axes, infinite gradients from above.
"""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.core.graph.autodiff import compute
from lamina.core.graph.gradients import RULES, differentiate
from lamina.core.graph.graph import constant, make, outputs

TOLERANCE = {"float64": (1e-12, 1e-13), "float32": (3e-6, 1e-7)}  # relative, absolute


@cache
def golden() -> dict[str, Any]:
    return json.loads((support.GOLDEN / "edges.json").read_text())["cases"]


def array(plain: dict[str, Any] | None, dtype: str) -> Any:
    if plain is None:
        return None
    kind = {"int64": "int32", "bool": "bool"}.get(plain["dtype"], dtype)
    return np.array(plain["data"], dtype=kind).reshape(plain["shape"])


def found(name: str, backend: str, dtype: str) -> tuple[list[Any], list[Any]]:
    """Outputs, and derivatives by the floating inputs (None for the others), on one backend."""
    case = golden()[name]
    with np.errstate(over="ignore"):
        leaves = [constant(array(i, dtype)) for i in case["inputs"]]
    attrs = {n: tuple(v) if isinstance(v, list) else v for n, v in case["attrs"].items()}
    made = outputs(make(case["op"], *leaves, **attrs))
    ups = case["arriving"] or [True] * len(made)
    parts = []
    for out, up in zip(made, ups, strict=True):
        if up is True:
            parts.append(make("sum", make("cast", out, dtype=dtype)))
        elif up is not None:
            parts.append(make("sum", make("cast", out, dtype=dtype) * array(up, dtype)))
    total = parts[0] if len(parts) == 1 else parts[0] + parts[1]
    floating = [leaf for leaf in leaves if leaf.dtype == dtype]
    gradients = dict(zip(floating, differentiate(total, floating), strict=True))
    wanted = {f"output {n}": out for n, out in enumerate(made)}
    for number, leaf in enumerate(leaves):
        gradient = gradients.get(leaf)
        if gradient is not None:
            wanted[f"gradient {number}"] = gradient
    numbers = compute(wanted, backend)
    values = [numbers[f"output {n}"] for n in range(len(made))]
    return values, [numbers.get(f"gradient {n}") for n in range(len(leaves))]


def floor(dtype: str) -> float:
    return float(np.finfo(dtype).smallest_normal)


def certain(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """-1 / p at the label, p no smaller than the smallest normal number; 0 elsewhere."""
    hot = labels == np.arange(p.shape[-1])
    return np.where(hot, -1.0 / np.maximum(p, floor(str(p.dtype))), 0.0)


def chances(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(p - t) / (p (1 - p)) / k with the same bound."""
    return (p - t) / np.maximum(p * (1.0 - p), floor(str(p.dtype))) / p.shape[-1]


def odds(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """What a target's derivative is while the logarithms are bounded as in the loss."""
    least = floor(str(p.dtype))
    return (np.log(np.maximum(1.0 - p, least)) - np.log(np.maximum(p, least))) / p.shape[-1]


def bounded(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    least = floor(str(p.dtype))
    no, yes = np.log(np.maximum(1.0 - p, least)), np.log(np.maximum(p, least))
    return (-t * yes - (1.0 - t) * no).mean(-1, keepdims=True)


def tails(x: np.ndarray) -> np.ndarray:
    return np.where(x == math.inf, 1.0, 0.0)


FLOORED = (
    "the loss takes probabilities for no less than the smallest normal number, as in its value"
)
LIMIT = "the limits at infinity, 0 and 1, where torch multiplies infinity by 0"
# Where the convention is another on purpose: case -> (why, what -> its value from the inputs).
# What: ("outputs" or "gradients", number). A value that is NaN here is not compared.
DIFFERENT: dict[str, tuple[str, dict[tuple[str, int], Any]]] = {
    "gelu on the line": (
        LIMIT + "; in float32 its value at infinity is NaN there",
        {
            ("outputs", 0): lambda x: np.where(x == math.inf, x, math.nan),
            ("gradients", 0): lambda x: np.where(np.isinf(x), tails(x), math.nan),
        },
    ),
    **{
        f"{name} on the line": (
            LIMIT, {("gradients", 0): lambda x: np.where(np.isinf(x), tails(x), math.nan)},
        )
        for name in ("gelu_tanh", "silu", "mish")
    },
    "cross_entropy of certain rows": (FLOORED, {("gradients", 0): certain}),
    "cross_entropy, weighted": (
        FLOORED, {("gradients", 0): lambda p, labels, w: certain(p, labels) * w},
    ),
    "cross_entropy of a class without chance": (
        FLOORED,
        {
            ("outputs", 0): lambda p, _: np.full((3, 1), -math.log(floor(str(p.dtype)))),
            ("gradients", 0): certain,
        },
    ),
    "binary_cross_entropy, certain and right": (
        FLOORED + "; torch's targets have infinite derivatives", {("gradients", 1): odds},
    ),
    "binary_cross_entropy, certain and wrong": (
        FLOORED + "; torch's bounds are 1e-12 in the derivative and -100 for a logarithm",
        {("outputs", 0): bounded, ("gradients", 0): chances, ("gradients", 1): odds},
    ),
    "binary_cross_entropy, weighted": (
        FLOORED, {("gradients", 1): lambda p, t, w: odds(p, t) * w},
    ),
    "sigmoid_binary_cross_entropy of infinities": (
        "an infinite logit's loss is infinite or NaN, as the sum's order has it; see below",
        {("outputs", 1): lambda z, t: None},
    ),
}  # fmt: skip


def wanted(name: str, dtype: str, kind: str, number: int) -> np.ndarray | None:
    """torch's numbers, or our own where the convention differs; None where nothing is said."""
    plain = golden()[name][dtype][kind][number]
    if plain is None:
        return None
    theirs = np.array(plain["data"], dtype=plain["dtype"]).reshape(plain["shape"])
    own = DIFFERENT.get(name, ("", {}))[1].get((kind, number))
    if own is None:
        return theirs
    ours = own(*(array(i, dtype) for i in golden()[name]["inputs"]))
    return None if ours is None else np.where(np.isnan(ours), theirs, ours).astype(theirs.dtype)


@pytest.mark.slow
@pytest.mark.parametrize("backend", support.EVERY)
@pytest.mark.parametrize("name", golden())
def test_an_edge(name: str, backend: str) -> None:
    if (name, backend) == ("gather twice", "cupy"):
        pytest.skip("its rows are added up by a product, where infinity times 0 is NaN")
    for dtype, (relative, absolute) in TOLERANCE.items():
        values, gradients = found(name, backend, dtype)
        for kind, got in (("outputs", values), ("gradients", gradients)):
            for number, one in enumerate(got):
                expected = wanted(name, dtype, kind, number)
                if expected is None:
                    continue
                one = np.zeros_like(expected) if one is None else one  # no path: constant
                assert (one.shape, one.dtype) == (expected.shape, expected.dtype)
                np.testing.assert_allclose(
                    one, expected, rtol=relative, atol=absolute, err_msg=f"{dtype} {kind} {number}"
                )


def test_every_rule_has_edges_and_every_difference_a_case() -> None:
    assert {case["op"] for case in golden().values()} == set(RULES)
    assert set(DIFFERENT) <= set(golden())


def test_the_differences_are_differences() -> None:
    for name, (why, parts) in DIFFERENT.items():
        assert why
        for (kind, number), own in parts.items():
            case = golden()[name]
            ours = own(*(array(i, "float32") for i in case["inputs"]))
            if ours is not None:
                theirs = np.array(case["float32"][kind][number]["data"]).reshape(ours.shape)
                said = ~np.isnan(ours)
                assert not np.allclose(ours[said], theirs[said], rtol=1e-3), (name, kind)


@pytest.mark.parametrize("backend", support.EVERY)
def test_the_loss_of_an_infinite_logit_is_not_finite(backend: str) -> None:
    values, _ = found("sigmoid_binary_cross_entropy of infinities", backend, "float64")
    assert not np.isfinite(values[1])


@pytest.mark.parametrize("backend", support.CPU)  # a GPU's powers are off by some ULP
class TestWritten:
    """Functions as users write them."""

    @pytest.mark.parametrize("exponent", [0, 1, 2, 3, 0.0, 1.0, 2.0, np.int64(2), np.int32(3)])
    @pytest.mark.parametrize("base", [-2.0, -0.0, 0.0, 3.0])
    def test_powers(self, base: float, exponent: Any, backend: str) -> None:
        got = lm.value_and_grad(lambda x: x**exponent, backend=backend)(base)
        assert got == (base**exponent, exponent * base ** (exponent - 1) if exponent else 0.0)

    def test_polynomials_and_exponents(self, backend: str) -> None:
        k = np.array([0.0, 1.0, 2.0, 3.0])
        for x in (0.0, -2.0, 1.5):
            got = lm.grad(lambda x, k: lm.ops.sum(x**k), 0, backend=backend)(np.full(4, x), k)
            np.testing.assert_array_equal(got, [0.0, 1.0, 2.0 * x, 3.0 * x * x])
        for e, want in ((0.0, 0.0), (0.5, 0.0), (2.0, 0.0), (-1.0, -math.inf)):
            assert lm.grad(lambda x, e: x**e, 1, backend=backend)(0.0, e) == want
            assert lm.grad(lambda e: 0.0**e, backend=backend)(e) == want
        assert lm.grad(lambda e: 2.0**e, backend=backend)(3.0) == pytest.approx(8 * math.log(2))

    def test_what_is_written_with_maximum_and_minimum(self, backend: str) -> None:
        ops = lm.ops

        def logaddexp(a: Any, b: Any) -> Any:
            high, low = ops.maximum(a, b), ops.minimum(a, b)
            return high + ops.log1p(ops.exp(low - high))

        assert lm.grad(logaddexp, backend=backend)(1.0, 1.0) == (0.5, 0.5)
        assert lm.grad(lambda a, b: ops.maximum(a, b) - ops.minimum(a, b), backend=backend)(
            2.0, 2.0
        ) == (0.0, 0.0)  # |a - b|
        assert lm.grad(lambda x: ops.maximum(x, x), backend=backend)(3.0) == 1.0
        assert (
            lm.grad(lambda x: ops.maximum(x, 0.0) + ops.minimum(x, 0.0), backend=backend)(0.0)
            == 1.0
        )

    def test_a_choice_stops_an_infinite_derivative(self, backend: str) -> None:
        ops, x = lm.ops, np.array([-1.0, 0.0, 4.0])
        got = lm.grad(lambda x: ops.sqrt(ops.maximum(x, 0.0)).sum(), backend=backend)(x)
        np.testing.assert_array_equal(got, [0.0, math.inf, 0.25])
        got = lm.grad(lambda x: ops.log(ops.clip(x, 0.0, 9.0)).sum(), backend=backend)(x)
        np.testing.assert_array_equal(got, [0.0, math.inf, 0.25])
        got = lm.grad(lambda x: ops.log(ops.relu(x)).sum(), backend=backend)(x)
        np.testing.assert_array_equal(got, [0.0, 0.0, 0.25])

    def test_a_saturated_loss_that_is_not_fused(self, backend: str) -> None:
        ops, z = lm.ops, np.array([[800.0, -800.0]])

        def chance(z: Any) -> Any:
            p = ops.sigmoid(z)
            return (ops.binary_cross_entropy(p, np.array([[1.0, 0.0]])) * 2.0).sum() + p.sum()

        np.testing.assert_array_equal(lm.grad(chance, backend=backend)(z), [[0.0, 0.0]])

        def label(z: Any) -> Any:
            p = ops.softmax(z)
            return (ops.cross_entropy(p, np.array([[1]])) * 2.0).sum() + p.sum()

        np.testing.assert_array_equal(lm.grad(label, backend=backend)(z), [[0.0, 0.0]])

    @pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
    def test_nothing_at_all(self, shape: tuple[int, ...], backend: str) -> None:
        x = np.ones(shape)
        value, got = lm.value_and_grad(
            lambda x: lm.ops.sum(lm.ops.exp(x) * x**3 + lm.ops.maximum(x, 1.0)), backend=backend
        )(x)
        assert (value, got.shape) == (0.0, shape)

    @pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3)])
    def test_rows_that_are_none(self, shape: tuple[int, ...], backend: str) -> None:
        for op in ("softmax", "log_softmax", "gelu", "sigmoid"):
            value, got = lm.value_and_grad(
                lambda x, op=op: lm.ops.sum(getattr(lm.ops, op)(x)), backend=backend
            )(np.ones(shape))
            assert (value, got.shape) == (0.0, shape)
