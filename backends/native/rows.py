"""How activations, softmaxes, losses and what else works along rows become steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...kernels.memory import Address
from ...kernels.numba.activations import CODES
from ...kernels.numba.elementwise import ELEMENTWISE
from ...kernels.spec import length
from ..program import Instruction, ValueId
from .lowering import Lowering, Shares, bits, optional, rule
from .spans import ByteCount, moved, span

ACTIVATIONS = tuple(name for name in CODES if name != "linear")


@rule(*ACTIVATIONS)
def _activation(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (x,), out = one.inputs, one.outputs[0]
    assert x is not None
    if not low.reals(x, out):
        return None
    code, alpha = CODES[one.op], bits(attrs.get("alpha", 0.0))
    return low.flat("activate", (x,), out, lambda p, n, o: [p[0], 1, n, p[0], 0, code, alpha, o])


@rule(*(f"{name}_backward" for name in ACTIVATIONS))
def _activation_backward(
    low: Lowering, one: Instruction, attrs: dict[str, Any]
) -> Iterator[Shares] | None:
    g, y = one.inputs
    assert g is not None
    assert y is not None
    if not low.reals(g, y, one.outputs[0]):
        return None
    code, alpha = CODES[one.op.removesuffix("_backward")], bits(attrs.get("alpha", 0.0))
    return low.flat(
        "activate_backward", (g, y), one.outputs[0],
        lambda p, n, o: [p[0], 1, n, p[1], code, alpha, o],
    )  # fmt: skip


@rule("softmax", "log_softmax", "softmax_backward", "log_softmax_backward")
def _softmax(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    ids = tuple(i for i in one.inputs if i is not None)
    if not low.real_matrices(*ids):
        return None
    columns = low.size(ids[0], 1)

    def record(places: list[Address], rows: int, outs: list[Address]) -> list[int]:
        return [places[0], rows, columns, *places[1:], outs[0]]

    return low.rowwise(one.op, ids, one.outputs, record, 10.0 * length(low.specs[ids[0]]))


@rule(*ELEMENTWISE)
def _elementwise_kernel(
    low: Lowering, one: Instruction, attrs: dict[str, Any]
) -> Iterator[Shares] | None:
    ids = tuple(i for i in one.inputs if i is not None)
    if not low.reals(*ids, one.outputs[0]):
        return None
    return low.flat(one.op, ids, one.outputs[0], lambda p, n, o: [p[0], n, *p[1:], o])


# Losses


@rule("softmax_cross_entropy", "sigmoid_binary_cross_entropy")
def _total_loss(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    z, target, weights = one.inputs[0], one.inputs[1], optional(one, 2)
    assert z is not None
    assert target is not None
    if weights is None or not low.real_matrices(z, weights):
        return None
    labels = one.op == "softmax_cross_entropy"
    if low.specs[target].dtype != ("int32" if labels else low.program.dtype):
        return None
    return _total_loss_tasks(low, one, (z, target, weights))


def _total_loss_tasks(
    low: Lowering, one: Instruction, ids: tuple[ValueId, ValueId, ValueId]
) -> Iterator[Shares]:
    z = ids[0]
    rows, columns = (int(d) for d in low.specs[z].shape)  # type: ignore[arg-type]
    size = ByteCount(8 * low.shares)
    partial = span(low.memory.scratch(size), size)
    row: Shares = []
    for share, (start, stop) in enumerate(low.cuts(rows, 20.0 * rows * columns)):
        slot = span(moved(partial.start, ByteCount(8 * share)), ByteCount(8))
        reads = [low.part(i, start, stop) for i in ids]
        writes = [low.part(one.outputs[0], start, stop), slot]
        z_at, target, weights = (read.start for read in reads)
        record = [
            z_at, stop - start, columns, target, weights, writes[0].start, slot.start,
        ]  # fmt: skip
        row.append(low.task(one.op, record, reads, writes))  # no rows: it writes a zero
    yield row
    out = low.whole(one.outputs[1])
    yield low.first("total", [partial.start, low.shares, out.start], [partial], [out])


@rule("softmax_cross_entropy_backward")
def _labels_backward(
    low: Lowering, one: Instruction, attrs: dict[str, Any]
) -> Iterator[Shares] | None:
    p, labels, weights = one.inputs[0], one.inputs[1], optional(one, 2)
    assert p is not None
    assert labels is not None
    if weights is None or not low.real_matrices(p, weights) or low.specs[labels].dtype != "int32":
        return None
    columns = low.size(p, 1)

    def record(places: list[Address], rows: int, outs: list[Address]) -> list[int]:
        return [places[0], rows, columns, places[1], places[2], outs[0]]

    ids = (p, labels, weights)
    return low.rowwise(one.op, ids, one.outputs, record, 4.0 * length(low.specs[p]))


@rule("sigmoid_binary_cross_entropy_backward", "mean_squared_error_backward")
def _difference(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    ids = tuple(i for i in (*one.inputs[:2], optional(one, 2)) if i is not None)
    if not low.real_matrices(*ids):
        return None
    columns = low.size(ids[0], 1)
    factor = 2.0 if one.op == "mean_squared_error_backward" else 1.0
    scale = bits(factor / columns)

    def record(places: list[Address], rows: int, outs: list[Address]) -> list[int]:
        weighted = rows if len(places) > 2 else 0
        return [places[0], rows, columns, places[1], places[-1], weighted, scale, outs[0]]

    return low.rowwise("scaled_difference", ids, one.outputs, record, length(low.specs[ids[0]]))


@rule("mean_squared_error")
def _squared(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    ids = tuple(i for i in one.inputs if i is not None)
    if not low.real_matrices(*ids):
        return None
    columns = low.size(ids[0], 1)

    def record(places: list[Address], rows: int, outs: list[Address]) -> list[int]:
        weighted = rows if len(places) > 2 else 0
        return [places[0], rows, columns, places[1], places[-1], weighted, outs[0]]

    return low.rowwise(one.op, ids, one.outputs, record, length(low.specs[ids[0]]))


@rule("argmax")
def _argmax(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (x,) = one.inputs
    assert x is not None
    if not low.real_matrices(x) or attrs["axis"] not in (-1, 1):
        return None
    columns = low.size(x, 1)
    return low.rowwise(
        "argmax", (x,), one.outputs, lambda p, n, o: [p[0], n, columns, o[0]],
        length(low.specs[x]),
    )  # fmt: skip
