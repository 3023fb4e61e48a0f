"""Single calls of kernels: with arrays at awkward places, in several orders, against the oracle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from lamina.kernels.op import Kernel, Op
from lamina.kernels.ops import OPS
from lamina.kernels.spec import Spec, concrete, spec_of

from .memory import Array, allocated
from .modules import ORDERS, State


def placed(host: Any, offset: int) -> Any:
    """An array of the device that begins some elements behind an aligned address.

    It ends where its memory ends. What is no array stays.
    """
    if not isinstance(host, np.ndarray):
        return host
    whole = allocated(host.size + offset, host.dtype)
    made = whole[offset:].reshape(host.shape)
    made[...] = host
    return made


def specs(inputs: Sequence[Any]) -> list[Spec | None]:
    """Of inputs: host numbers are of rank 0."""
    return [
        None if x is None else spec_of(x) if isinstance(x, np.ndarray) else Spec((), "float64")
        for x in inputs
    ]


def called(kernel: Kernel, op: Op, inputs: Sequence[Any], attrs: Any, offset: int) -> list[Array]:
    """One call; its outputs are full of poison before."""
    made = op.check(specs(inputs), attrs)
    out = tuple(
        placed(np.full(concrete(s.shape, 1), 99, s.dtype), offset if s.rank else 0) for s in made
    )
    kernel.function(out, *(placed(x, offset) for x in inputs), **attrs)
    return list(out)


def oracle(op: Op, inputs: Sequence[Any], attrs: Any) -> list[np.ndarray]:
    """The reference on NumPy, in float64."""
    exact = [
        x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
        for x in inputs
    ]
    with np.errstate(all="ignore"):
        made = op.reference(np, *exact, **attrs)
    return [np.asarray(one) for one in (made if isinstance(made, tuple) else (made,))]


def check(
    kernel: Kernel, dtype: str, /, *inputs: Any, orders: Iterable[int] = ORDERS,
    offsets: Sequence[int] = (0, 1), **given: Any,
) -> list[np.ndarray]:  # fmt: skip
    """A call in all orders and at all places: the same bits each time, and right ones."""
    op = OPS[kernel.op]
    attrs = op.complete(given)
    assert kernel.supports([s for s in specs(inputs) if s is not None], attrs), kernel.op
    right, tolerance = oracle(op, inputs, attrs), op.tolerance[dtype]
    first: list[np.ndarray] = []
    for offset in offsets:
        for order in orders:
            State.order = order
            made = [np.array(a, subok=False) for a in called(kernel, op, inputs, attrs, offset)]
            first = first or made
            for name, one, same, exact in zip(op.outputs, made, first, right, strict=False):
                told = f"{op.name}.{name} {attrs} in order {order} at {offset}"
                assert one.shape == exact.shape, told
                off = np.max(np.abs(one.astype(np.float64) - exact), initial=0.0)
                bound = tolerance.absolute + tolerance.relative * np.max(
                    np.abs(exact.astype(np.float64)), initial=0.0
                )
                assert off <= bound, f"{told}: off by {off:.3g} > {bound:.3g}"
                assert one.tobytes() == same.tobytes(), f"{told}: other bits than before"
    return first
