"""Simplification: every rule on examples, its values and derivatives, and what must not happen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import planted_rules
import pytest
from graph_support import draw, evaluate, parameter, random_graph, single, text
from lamina.core.graph.functions import ops
from lamina.core.graph.gradients import differentiate
from lamina.core.graph.graph import Node, make, order
from lamina.core.graph.rewriting import TABLE, Rule
from lamina.core.graph.simplify import simplify
from lamina.kernels.spec import FLOATS
from rule_examples import EXAMPLES, C, Example, F, S, V, X, Y, wide

CASES = [(name, one) for name, found in EXAMPLES.items() for one in found]
IDS = [f"{name}-{i}" for name, found in EXAMPLES.items() for i in range(len(found))]
BY_NAME = {one.name: one for one in TABLE}


def agree(got: np.ndarray, wanted: np.ndarray, what: str, relative: float) -> None:
    """The same shape, dtype, infinities and NaN; else within so much of the largest number."""
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype), what
    finite = np.isfinite(wanted)
    np.testing.assert_array_equal(got[~finite], wanted[~finite], err_msg=what)
    np.testing.assert_allclose(got[finite], wanted[finite], relative, 1e-300, err_msg=what)


def test_every_rule_has_an_example_and_says_its_identity() -> None:
    assert list(EXAMPLES) == [one.name for one in TABLE]
    assert all("=" in one.identity or one.identity.endswith(".") for one in TABLE)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "one"), CASES, ids=IDS)
def test_rule(name: str, one: Example, dtype: str) -> None:
    before = one.before
    if dtype == "float32":
        if F in order([before]) or "cast" in text(before):
            pytest.skip("it has its own dtypes")
        before = single(before)
    (made,) = simplify([before], [BY_NAME[name]])
    assert text(made) == one.after
    assert made.spec == before.spec
    for seed in range(20):
        data = draw([before], seed, special=not one.finite)
        wanted, got = evaluate([before, made], data)
        if one.exact:
            np.testing.assert_array_equal(got, wanted, err_msg=name)
        else:
            roundings = 1e4 if one.finite else 6.0  # a spelling may lose more than it rounds
            agree(got, wanted, name, roundings * float(np.finfo(wanted.dtype).eps))


def derivatives(result: Node, seed: int) -> dict[str, np.ndarray]:
    """The derivatives of a weighted sum of a node with respect to its floating leaves."""
    share = np.random.default_rng(7).standard_normal(evaluate([result], draw([result]))[0].shape)
    wrt = [n for n in order([result]) if n.op in ("parameter", "batch") and n.dtype in FLOATS]
    total = make("sum", result * share.astype(result.dtype))
    data = draw([result], seed)
    made = dict(zip((n.source for n in wrt), differentiate(total, wrt), strict=True))
    return {k: evaluate([g], data)[0] for k, g in made.items() if g is not None}


@pytest.mark.parametrize(("name", "one"), CASES, ids=IDS)
def test_rule_leaves_derivatives(name: str, one: Example) -> None:
    if one.before.dtype not in FLOATS:
        pytest.skip("whole numbers have none")
    (made,) = simplify([one.before], [BY_NAME[name]])
    for seed in range(3):
        wanted, got = derivatives(one.before, seed), derivatives(made, seed)
        assert set(got) == set(wanted)
        for key, array in wanted.items():
            agree(got[key], array, f"{name}, {key}", 1e-5 if array.dtype == np.float32 else 1e-10)


# What is held of a table of rules; the planted tables fail one each.


def check_values(rules: Sequence[Rule]) -> None:
    """Random graphs and their derivatives have the same values before and after."""
    for seed in range(60):
        before = random_graph(np.random.default_rng(seed))
        (after,) = simplify([before], rules)
        wrt = [n for n in order([before]) if n.op == "parameter"]
        again = {n.source: n for n in order([after]) if n.op == "parameter"}
        made = dict(zip((n.source for n in wrt), differentiate(before, wrt), strict=True))
        ours = dict(zip(again, differentiate(after, list(again.values())), strict=True))
        data, known = draw([before], seed), [k for k, g in made.items() if g is not None]
        assert {k for k, g in ours.items() if g is not None} == set(known), f"graph {seed}"
        wanted = evaluate([before, *(made[k] for k in known)], data)
        got = evaluate(simplify([after, *(ours[k] for k in known)], rules), data)
        for a, b in zip(got, wanted, strict=True):
            scale = max(1.0, np.abs(b).max(initial=0.0))
            np.testing.assert_allclose(a, b, 1e-9, 1e-9 * scale, err_msg=f"graph {seed}")


def check_shapes(rules: Sequence[Rule]) -> None:
    """What was broadcast still counts as often as it was."""
    row = wide(C, 5, 4)
    for before in (
        row.sum(axis=1),
        (row * 1.0).sum(),
        (S * np.ones((1, 1))).sum(),
        wide(V, 1, 3) + 0.0,
    ):
        (after,) = simplify([before], rules)
        assert after.spec == before.spec
        np.testing.assert_allclose(*evaluate([after, before], draw([before])), 1e-14)


def check_axes(rules: Sequence[Rule]) -> None:
    """Reductions and transposes go along the axes that they went along."""
    cube = parameter("cube", 3, 3, 3)
    pairs = [((1, 2, 0), (2, 0, 1)), ((1, 0, 2), (0, 2, 1)), ((1, 2, 0), (1, 0, 2))]
    turned = [ops.transpose(ops.transpose(cube, one), other) for one, other in pairs]
    largest = [ops.max(ops.max(cube, axis=a), axis=b) for a in range(3) for b in range(2)]
    for before in (*turned, *largest):
        (after,) = simplify([before], rules)
        np.testing.assert_array_equal(*evaluate([after, before], draw([before])))


def check_untouched(rules: Sequence[Rule]) -> None:
    """No node of the graph that was given is another one afterwards, whoever else holds it."""
    for seed in range(40):
        graph = random_graph(np.random.default_rng(seed))
        shared = [graph, X.T @ Y, X.sum(axis=(0, 1)), (X * 1.0 + -Y) / 4.0]
        nodes = order(shared)
        before = [(n.op, n.inputs, dict(n.attrs), n.specs, n.name) for n in nodes]
        simplify(shared, rules)
        for node, was in zip(nodes, before, strict=True):
            assert (node.op, node.inputs, dict(node.attrs), node.specs, node.name) == was


def check_order(rules: Sequence[Rule]) -> None:
    """What is added in one order is added in that order: the bits of sums stay."""
    big = parameter("big", 64, 33, dtype="float32")
    sums = [
        big.sum(), big.sum(axis=0).sum(), big.sum(axis=1, keepdims=True).sum(axis=0),
        big.mean(axis=1).mean(), (big + big[:, 0:1] + big[0:1]).sum(axis=(0, 1)),
        (big * big + big).sum(), ((big + 1.0) + 2.0).sum(axis=1),
    ]  # fmt: skip
    data = draw(sums, 3)
    data["big"] = data["big"] * np.float32(10.0) ** np.arange(33, dtype=np.float32) / 1e16
    for before, after in zip(sums, simplify(sums, rules), strict=True):
        got, wanted = evaluate([after, before], data)
        assert got.tobytes() == wanted.tobytes(), text(before)


CHECKS: dict[str, Callable[[Sequence[Rule]], None]] = {
    "values": check_values, "shapes": check_shapes, "axes": check_axes,
    "untouched": check_untouched, "order": check_order,
}  # fmt: skip


@pytest.mark.parametrize("name", CHECKS)
def test_simplification_keeps(name: str) -> None:
    CHECKS[name](TABLE)


@pytest.mark.parametrize("fault", planted_rules.FAULTS, ids=lambda fault: fault.rule.name)
def test_a_wrong_rule_is_found(fault: planted_rules.Fault) -> None:
    rules = [fault.rule, *(one for one in TABLE if one.name != fault.rule.name)]
    with pytest.raises(AssertionError, match=fault.said):
        CHECKS[fault.check](rules)
