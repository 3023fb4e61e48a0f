"""Regions: which instructions go over memory once, and that what is said of them is true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends.conformance import Plain
from lamina.backends.program import MemoryPlan, Program, Region
from lamina.core.graph.gradients import differentiate
from lamina.core.graph.graph import Node, leaf, make
from lamina.core.graph.planner import plan
from lamina.core.layers import Parameter
from lamina.core.tracing import ForwardGraph, layout_of
from lamina.kernels.spec import ROWS, Rows, Spec
from region_checks import ROW_COUNT, Drawn, check_regions

ops = lm.ops


def planned(
    function: Callable[..., Any],
    *shapes: tuple[Any, ...],
    parameters: tuple[tuple[int, ...], ...] = (),
    labels: int = 0,
) -> Program:
    """The program of a function of batch columns and parameters, and of its sum's gradient.

    labels: the classes of a column of class numbers, which comes after the others.
    """
    columns = [leaf("batch", Spec(s, "float64"), f"x{i}") for i, s in enumerate(shapes)]
    if labels:
        columns.append(leaf("batch", Spec((ROWS, 1), "int32"), "labels"))
    trained = {f"p{i}": Parameter(s) for i, s in enumerate(parameters)}
    layout = layout_of(ForwardGraph(columns[0], (), (trained,), ({},), {}), ())
    leaves = [leaf("parameter", Spec(e.shape, "float64"), e.name) for e in layout.entries]
    y = function(*columns, *leaves)
    outputs = {f"y{i}": n for i, n in enumerate(y if isinstance(y, tuple) else (y,))}
    sums, gradients = {}, {}
    if leaves:
        sums["loss"] = make("sum", outputs["y0"], axis=None)
        found = differentiate(sums["loss"], leaves)
        gradients = dict(zip((p.source for p in leaves), found, strict=True))
    program = plan(
        "test", dtype="float64", capacity=12, layout=layout, columns=columns, outputs=outputs,
        sums=sums, gradients=gradients, classes={"labels": labels} if labels else {},
    )  # fmt: skip
    assert check_regions(program) == []
    return program


def operations(program: Program, region: Region) -> list[str]:
    return [one.op for _, one in program.instructions()][region.start : region.stop]


def several(program: Program) -> list[list[str]]:
    """The operations of the regions of more than one instruction."""
    return [operations(program, region) for region in program.regions if len(region) > 1]


def names(program: Program, ids: Any) -> set[str]:
    return {program.values[i].name for i in ids}


def extents(program: Program, region: Region) -> dict[str, str]:
    return {program.values[i].name: extent for i, extent in region.extents.items()}


def layer_norm(x: Node, *scale_and_shift: Node) -> Node:
    d = x - x.mean(axis=-1, keepdims=True)
    y = d / ops.sqrt((d * d).mean(axis=-1, keepdims=True) + 1e-5)
    return y * scale_and_shift[0] + scale_and_shift[1] if scale_and_shift else y


def batch_norm(x: Node, *scale: Node) -> Node:
    d = x - x.mean(axis=0, keepdims=True)
    y = d / ops.sqrt((d * d).mean(axis=0, keepdims=True) + 1e-5)
    return y * scale[0] if scale else y


def softmax(x: Node) -> Node:
    e = ops.exp(x - ops.max(x, axis=-1, keepdims=True))
    return e / ops.sum(e, axis=-1, keepdims=True)


# What becomes a region


def test_a_layer_norm_is_one_region_each_way() -> None:
    program = planned(layer_norm, (ROWS, 8), parameters=((1, 8), (1, 8)))
    forward, backward = (r for r in program.regions if len(r) > 1)
    assert len(forward) == len(program.forward)
    assert operations(program, backward).count("sum") == 2  # scale and shift
    assert (forward.rows, forward.columns) == (backward.rows, backward.columns) == (ROWS, 8)
    seen = extents(program, forward)
    assert seen["x0"] == "full"
    assert seen["0.p0"] == seen["0.p1"] == "column"
    assert list(seen.values()).count("row") == 4  # mean, variance, with epsilon, its root
    # The output, the loss, and what the gradient of the scale is made from.
    assert [forward.extents[i] for i in forward.outputs] == ["full", "full", "scalar"]
    assert {backward.extents[i] for i in backward.outputs} == {"column"}


def test_what_is_cheap_is_made_again_by_the_backward_region() -> None:
    """A norm between products: of what is forward in between, only numbers of rows are kept."""

    def network(x: Node, first: Node, second: Node, scale: Node, shift: Node) -> Node:
        z = x @ first
        d = z - z.mean(axis=-1, keepdims=True)
        r = 1.0 / ops.sqrt((d * d).mean(axis=-1, keepdims=True) + 1e-5)
        return (d * r * scale + shift) @ second

    program = planned(network, (ROWS, 4), parameters=((4, 8), (8, 3), (1, 8), (1, 8)))
    forward, backward = (r for r in program.regions if len(r) > 3)
    every = [one for _, one in program.instructions()]
    assert [every[at].op for at in backward.again] == ["subtract", "multiply"]
    assert all(forward.start <= at < forward.stop for at in backward.again)
    made = {id for at in backward.again for id in every[at].outputs}
    assert {forward.extents[i] for i in backward.sources if i in forward.outputs} == {"row"}
    full = {i for i in forward.outputs if forward.extents[i] == "full"}
    assert len(full - made) == 1  # what the product reads


def test_sums_down_the_rows_part_a_batch_norm_in_three() -> None:
    program = planned(batch_norm, (ROWS, 8))
    made = [operations(program, r) for r in program.regions if r.rows == ROWS]
    assert made == [["mean"], ["subtract", "multiply", "mean"], ["divide"]]
    (between,) = (r for r in program.regions if r.rows == 1)
    assert operations(program, between) == ["add", "sqrt"]
    assert between.columns == 8


def test_a_softmax_by_hand_is_one_region() -> None:
    program = planned(softmax, (ROWS, 10))
    (region,) = program.regions
    assert operations(program, region) == ["max", "subtract", "exp", "sum", "divide"]
    assert names(program, region.inputs) == {"x0"}
    assert region.outputs == (program.outputs["y0"],)
    assert len(region.inner) == 4


def test_a_loss_of_rows_is_one_region() -> None:
    def loss(p: Node, y: Node, weights: Node) -> Node:
        rows = support.huber(y, p).mean(axis=1, keepdims=True)
        return ops.sum(rows * weights, axis=None)

    program = planned(loss, (ROWS, 3), (ROWS, 3), (ROWS, 1))
    (region,) = program.regions
    assert len(region) == len(program.forward)
    assert extents(program, region)["x2"] == "row"
    assert region.extents[program.outputs["y0"]] == "scalar"


def test_what_surrounds_a_product_is_with_neither_side() -> None:
    def gated(x: Node, w: Node, v: Node) -> Node:
        return x + ops.sigmoid(x @ w) * ops.tanh(x @ v)

    program = planned(gated, (ROWS, 4), parameters=((4, 4), (4, 4)))
    assert several(program)[0] == ["sigmoid", "tanh", "multiply", "add", "sum"]
    (backward,) = several(program)[1:]
    assert "tanh_backward" in backward
    assert "sigmoid_backward" in backward


def test_a_residual_is_with_what_comes_after_the_product() -> None:
    def residual(x: Node, w: Node) -> Node:
        y = layer_norm(x) @ w
        return layer_norm(y + x) * 2.0

    program = planned(residual, (ROWS, 4), parameters=((4, 4),))
    first, second = [r for r in program.regions if r.stop <= len(program.forward) and len(r) > 1]
    assert "x0" in names(program, first.inputs) & names(program, second.inputs)
    assert operations(program, second)[0] == "add"  # not with the norm that the product needs


def test_who_reads_the_same_matrix_is_together() -> None:
    """A gradient that is summed down the rows, and multiplied, is loaded once."""
    program = planned(lambda g, x: (ops.sum(g, axis=(0,)), g * x), (ROWS, 5), (ROWS, 5))
    assert several(program) == [["sum", "multiply"]]
    apart = planned(lambda g, x: (ops.sum(g, axis=None), x * 0.5), (ROWS, 5), (ROWS, 5))
    assert several(apart) == []


def test_who_shares_a_number_alone_is_not() -> None:
    program = planned(lambda x, y, s: (x * s, y * s), (ROWS, 5), (ROWS, 5), parameters=((1, 1),))
    assert [len(r) for r in program.regions[:2]] == [2, 1]  # the loss is with what it sums


def test_rows_of_one_matrix_are_rows_of_another_view() -> None:
    """(n, 2, 3): for who reduces the last axis a matrix of 2n rows, for the others of n."""
    last = planned(lambda x: layer_norm(x), (ROWS, 2, 3))
    assert [(r.rows, r.columns) for r in last.regions] == [(Rows(2), 3)]
    plain = planned(lambda x: ops.exp(x) * 2.0, (ROWS, 2, 3))
    assert [(r.rows, r.columns) for r in plain.regions] == [(ROWS, 6)]
    middle = planned(lambda x: ops.sum(ops.exp(x), axis=(1,)), (ROWS, 2, 3))
    assert [operations(middle, r) for r in middle.regions] == [["exp"]]


def test_a_vector_of_a_square_is_a_row_or_a_column_not_both() -> None:
    def both(x: Node) -> Node:
        v = ops.sum(x, axis=(1,))  # by row; where it is added, by column
        return x + v

    program = planned(lambda x, p: (x, both(p)), (ROWS, 1), parameters=((6, 6),))
    assert [operations(program, r) for r in program.regions if r.rows == 6][:2] == [
        ["sum"],
        ["add"],
    ]


def test_labels_in_range_are_in_a_region() -> None:
    def loss(p: Node, y: Node, labels: Node) -> Node:
        hot = ops.one_hot(labels, classes=4, dtype="bool")
        return ops.where(hot, p, y) - ops.pick(p, labels)

    program = planned(loss, (ROWS, 4), (ROWS, 4), labels=4)
    (region,) = program.regions
    assert set(operations(program, region)) == {"one_hot", "where", "pick", "subtract"}
    assert extents(program, region)["labels"] == "row"


def test_labels_that_a_step_must_look_at_are_not() -> None:
    def picked(p: Node) -> Node:
        return ops.pick(p, ops.cast(ops.sum(p, axis=-1, keepdims=True), dtype="int32")) * 2.0

    program = planned(picked, (ROWS, 4))
    assert program.computed
    assert several(program) == [["sum", "cast"]]


def test_reshapes_are_inside_only() -> None:
    inside = planned(lambda x: ops.reshape(ops.exp(x), (ROWS, 6)) * 2.0, (ROWS, 2, 3))
    assert several(inside) == [["exp", "reshape", "multiply"]]
    outside = planned(lambda x, w: ops.reshape(ops.exp(x), (ROWS, 6)) @ w, (ROWS, 2, 3),
                      parameters=((6, 2),))  # fmt: skip
    assert ["exp"] in [operations(outside, r) for r in outside.regions]
    assert all("reshape" not in operations(outside, r) for r in outside.regions)


def test_numbers_of_the_host_and_empty_arrays_are_in_none() -> None:
    assert planned(lambda x: ops.exp(x) * 2.0, (ROWS, 0)).regions == ()
    model = support.classifier(
        layers=[lm.Dense(4, "relu"), lm.Dropout(0.5), lm.Dense(3, "softmax")]
    )
    model.build(4)
    program = model.session.program("train", 8)
    assert check_regions(program) == []
    kinds = {program.values[i].kind for r in program.regions for i in r.extents}
    assert "control" not in kinds


def test_the_order_stays_where_nothing_is_joined() -> None:
    def chain(x: Node, w: Node) -> Node:
        return ops.tanh(ops.exp(x @ w) @ w)

    program = planned(chain, (ROWS, 3), parameters=((3, 3),))
    made = [id for one in (*program.forward, *program.backward) for id in one.outputs]
    assert made == sorted(made)


def test_values_in_between_share_memory() -> None:
    def chain(x: Node) -> Node:
        for _ in range(10):
            x = ops.tanh(x) + 0.5
        return x

    program = planned(chain, (ROWS, 16))
    (region,) = program.regions
    assert len(region.inner) == 19
    assert program.memory.arenas["float64"] == 12 * 16 * 4  # input, output, and two in turn


def test_a_printed_program_shows_them() -> None:
    text = str(planned(softmax, (ROWS, 10)))
    assert "  region n x 10:\n    v1: float64[n, 1] = max(" in text
    assert "region" not in str(planned(lambda x: ops.exp(x), (ROWS, 10)))


# That what is said of them is true


@pytest.mark.parametrize("seed", range(40))
def test_regions_of_random_programs(seed: int) -> None:
    drawn = Drawn(seed)
    assert check_regions(drawn.program, drawn.values) == []


@pytest.mark.slow
def test_random_programs_have_regions_of_all_kinds() -> None:
    programs = [Drawn(seed).program for seed in range(20)]
    regions = [(p, r) for p in programs for r in p.regions if len(r) > 1]
    found = {e for _, r in regions for e in r.extents.values()}
    assert found == {"full", "row", "column", "scalar"}
    made = {name for p, r in regions for name in operations(p, r)}
    wanted = {"one_hot", "pick", "where", "sum", "mean", "max", "reshape", "broadcast_to", "cast"}
    assert made >= wanted


def own_sum(program: Program) -> Program:
    """Two regions of a batch norm as one, which reads a mean that it has not made yet."""
    first, second = program.regions[:2]
    both = Region(
        first.start, second.stop, first.rows, first.columns, {**first.extents, **second.extents},
        first.inputs, second.outputs,
    )  # fmt: skip
    return replace(program, regions=(both, *program.regions[2:]))


def over_an_input(program: Program) -> Program:
    """An output lies where an input lies."""
    region, places = program.regions[1], dict(program.memory.places)
    assert region.extents[region.inputs[0]] == region.extents[region.outputs[0]] == "full"
    places[region.outputs[0]] = places[region.inputs[0]]
    return replace(program, memory=MemoryPlan(places, program.memory.arenas))


def other_extent(program: Program) -> Program:
    """A mean of each column is said to be one of each row."""
    region = program.regions[0]
    changed = replace(region, extents={**region.extents, region.outputs[0]: "row"})
    return replace(program, regions=(changed, *program.regions[1:]))


def inner_over_inner(program: Program) -> Program:
    """A value in between lies where another one lies that is still to be read."""
    region, places = program.regions[-1], dict(program.memory.places)
    first, second = region.inner[:2]
    places[second] = places[first]
    return replace(program, memory=MemoryPlan(places, program.memory.arenas))


def lost_output(program: Program) -> Program:
    """What a later region reads is said to be inner."""
    region = program.regions[1]
    return replace(
        program, regions=(program.regions[0], replace(region, outputs=region.outputs[:1]))
    )


def two_stages(program: Program) -> Program:
    region = program.regions[-1]
    return replace(
        program, forward=program.forward[:-1], backward=(program.forward[-1], *program.backward),
        regions=(*program.regions[:-1], replace(region, start=region.start - 1)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (own_sum, "its own sum down the rows"),
        (over_an_input, "still to be read"),
        (inner_over_inner, "was written over"),
        (other_extent, "is no row"),
        (lost_output, "outputs are"),
        (two_stages, "of two stages"),
    ],
)
def test_a_planted_fault_is_found(fault: Callable[[Program], Program], what: str) -> None:
    def twice(x: Node) -> Node:
        y = batch_norm(ops.tanh(x @ np.eye(4)))
        return (y + ops.exp(y)) * y

    program = planned(twice, (ROWS, 4))
    rng = np.random.default_rng(0)
    numpy = lm.get_backend("numpy")
    block = lm.DataBlock(numpy, {"x0": rng.standard_normal((ROW_COUNT, 4))}, dtype="float64")
    plain = Plain(program, lm.State(numpy, program.layout, "float64", 0), block)
    values = plain.step(lm.Control(batch=ROW_COUNT), 0, np.arange(ROW_COUNT))
    assert check_regions(program, values) == []
    assert any(what in one for one in check_regions(fault(program), values))
