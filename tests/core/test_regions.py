"""Regions: which instructions go over memory once, and that what is said of them is true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lamina as lm
from lamina.backends.program import Program, Region
from lamina.core.graph.gradients import differentiate
from lamina.core.graph.graph import Node, leaf, make
from lamina.core.graph.planner import plan
from lamina.core.layers import Parameter
from lamina.core.tracing import ForwardGraph, layout_of
from lamina.kernels.spec import ROWS, Spec
from region_checks import check_regions

ops = lm.ops


def planned(
    function: Callable[..., Any],
    *shapes: tuple[Any, ...],
    labels: bool = False,
    parameters: tuple[tuple[int, ...], ...] = (),
    classes: int | None = None,
) -> Program:
    """The program of a function of batch columns and parameters, and of its sum's gradient."""
    columns = [leaf("batch", Spec(s, "float64"), f"x{i}") for i, s in enumerate(shapes)]
    if labels:
        columns.append(leaf("batch", Spec((ROWS, 1), "int32"), "labels"))
    trained = {f"p{i}": Parameter(s) for i, s in enumerate(parameters)}
    layout = layout_of(ForwardGraph(columns[0], (), (trained,), ({},)), ())
    leaves = [leaf("parameter", Spec(e.shape, "float64"), e.name) for e in layout.entries]
    y = function(*columns, *leaves)
    outputs = {f"y{i}": n for i, n in enumerate(y if isinstance(y, tuple) else (y,))}
    total = make("sum", make("cast", outputs["y0"], dtype="float64"), axis=None)
    gradients = dict(zip((p.source for p in leaves), differentiate(total, leaves), strict=True))
    return plan(
        "test", dtype="float64", capacity=12, layout=layout, columns=columns, outputs=outputs,
        sums={"loss": total} if leaves else {}, gradients=gradients,
        classes={} if classes is None else {"labels": classes},
    )  # fmt: skip


def operations(program: Program, region: Region) -> list[str]:
    return [one.op for _, one in program.instructions()][region.start : region.stop]


def several(program: Program) -> list[Region]:
    """The regions of more than one instruction."""
    return [region for region in program.regions if len(region) > 1]


def names(program: Program, ids: Any) -> set[str]:
    return {program.values[i].name for i in ids}


def layer_norm(x: Node, scale: Node, shift: Node) -> Node:
    d = x - x.mean(axis=-1, keepdims=True)
    return d / ops.sqrt((d * d).mean(axis=-1, keepdims=True) + 1e-5) * scale + shift


def batch_norm(x: Node, scale: Node, shift: Node) -> Node:
    d = x - x.mean(axis=0, keepdims=True)
    return d / ops.sqrt((d * d).mean(axis=0, keepdims=True) + 1e-5) * scale + shift


def softmax(x: Node) -> Node:
    e = ops.exp(x - ops.max(x, axis=-1, keepdims=True))
    return e / ops.sum(e, axis=-1, keepdims=True)


# What becomes a region


def test_a_layer_norm_is_one_region_each_way() -> None:
    vectors = ((1, 8), (1, 8))
    program = planned(layer_norm, (ROWS, 8), parameters=vectors)
    assert check_regions(program) == []
    assert [len(r) for r in several(program)] == [
        len(program.forward), len(program.regions[-1])
    ]  # fmt: skip
    forward, backward = several(program)
    assert (forward.rows, forward.columns) == (backward.rows, backward.columns) == (ROWS, 8)
    every = {program.values[i].name: e for i, e in forward.extents.items()}
    assert every["x0"] == "full"
    assert every["0.p0"] == every["0.p1"] == "column"
    assert list(every.values()).count("row") == 4  # mean, variance, with epsilon, its root
    assert names(program, forward.inputs) >= {"x0", "0.p0", "0.p1"}
    # The output, the loss, and what the gradient of the scale is made from.
    assert len(forward.outputs) == 3
    assert {backward.extents[i] for i in backward.outputs} == {"column"}


def test_sums_down_the_rows_part_a_batch_norm_in_three() -> None:
    program = planned(batch_norm, (ROWS, 8))
    assert check_regions(program) == []
    made = [operations(program, r) for r in program.regions if r.rows == ROWS]
    assert made == [["mean"], ["subtract", "multiply", "mean"], ["divide", "multiply", "add"]]
    between = [r for r in program.regions if r.rows == 1]
    assert [operations(program, r) for r in between] == [["add", "sqrt"]]
    assert {e for r in between for e in r.extents.values()} == {"full", "row"}


def test_a_softmax_by_hand_is_one_region() -> None:
    program = planned(softmax, (ROWS, 10))
    (region,) = program.regions
    assert operations(program, region) == ["max", "subtract", "exp", "sum", "divide"]
    assert names(program, region.inputs) == {"x0"}
    assert region.outputs == (program.outputs["y0"],)
    assert len(region.inner) == 4
