"""How activations, softmaxes and what else works along rows become steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...kernels.memory import Address
from ...kernels.numba.activations import CODES
from ...kernels.numba.elementwise import ELEMENTWISE
from ...kernels.spec import length
from ..program import Instruction
from .lowering import Lowering, bits, rule
from .tasks import Shares

ACTIVATIONS = tuple(name for name in CODES if name != "linear")


@rule(*ACTIVATIONS)
def _activation(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (x,), out = one.inputs, one.outputs[0]
    assert x is not None
    code, alpha = CODES[one.op], bits(attrs.get("alpha", 0.0))
    streams = int(low.thresholds.streams)
    return low.flat(
        "activate", (x,), out, lambda p, n, o: [p[0], 1, n, p[0], 0, code, alpha, o, streams]
    )


@rule(*(f"{name}_backward" for name in ACTIVATIONS))
def _activation_backward(
    low: Lowering, one: Instruction, attrs: dict[str, Any]
) -> Iterator[Shares] | None:
    g, y = one.inputs
    assert g is not None
    assert y is not None
    code, alpha = CODES[one.op.removesuffix("_backward")], bits(attrs.get("alpha", 0.0))
    streams = int(low.thresholds.streams)
    return low.flat(
        "activate_backward", (g, y), one.outputs[0],
        lambda p, n, o: [p[0], 1, n, p[1], code, alpha, o, streams],
    )  # fmt: skip


@rule("softmax", "log_softmax", "softmax_backward", "log_softmax_backward")
def _softmax(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    ids = tuple(i for i in one.inputs if i is not None)
    low = low.folded(one)
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


@rule("argmax")
def _argmax(low: Lowering, one: Instruction, attrs: dict[str, Any]) -> Iterator[Shares] | None:
    (x,) = one.inputs
    assert x is not None
    if attrs["axis"] % low.specs[x].rank != low.specs[x].rank - 1:
        return None
    columns = low.size(x, -1)
    rows = length(low.specs[x]) // columns
    low = low.typed(low.specs[x].dtype).shaped({x: (rows, columns), one.outputs[0]: (rows, 1)})
    return low.rowwise(
        "argmax", (x,), one.outputs, lambda p, n, o: [p[0], n, columns, o[0]],
        length(low.specs[x]),
    )  # fmt: skip
