"""What the device can do: products 8192 wide, a copy and Adam over 1 GiB, by device events.

Products in TF32 and bfloat16 through the backend, which rounds their factors each time, and of
cuBLAS alone, through torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backends.contract import Backend
from ...backends.dispatch import resolve
from ...kernels.spec import Spec, length, spec_of
from .clocks import CupyClock, TorchClock, torch_on
from .writing import argument, backend, size, write

WIDE, BYTES = size((8192, 2**30), (64, 2**16))


def best(clock: Any, work: Callable[[], object], repeats: int = 5) -> float:
    """The least seconds of some rounds, after one that is not counted."""
    clock.seconds(work)
    return min(float(clock.seconds(work)) for _ in range(repeats))


def _product(on: Backend, clock: CupyClock, wide: int) -> float:
    """Seconds of a product of square matrices, through the backend, rounding included."""
    square = on.asarray(np.random.default_rng(0).random((wide, wide), dtype=np.float32))
    return best(clock, lambda: on.xp.matmul(square, square))


def _layer(precision: str, clock: CupyClock, wide: int) -> float:
    """Seconds of a dense layer and its gradients, whose three products are its work."""
    on = backend().computing(precision)
    x, weight, gradient = (
        on.asarray(np.random.default_rng(0).random((wide, wide), dtype=np.float32)) for _ in "123"
    )
    bias, layer = on.zeros(wide, "float32").reshape(1, wide), {"activation": "relu"}
    forward = resolve(on, "dense", [spec_of(a) for a in (x, weight, bias)], layer)
    back = resolve(on, "dense_backward", [spec_of(x)] * 4, layer | {"input": True})
    outputs = [
        tuple(on.xp.reshape(on.zeros(length(s), s.dtype), s.shape) for s in call.outputs)
        for call in (forward, back)
    ]

    def step() -> None:
        (y,) = forward(outputs[0], x, weight, bias)
        back(outputs[1], gradient, x, weight, y)

    return best(clock, step)


def main(path: str, wide: int = WIDE, count: int = BYTES) -> None:
    """Writes after each figure."""
    on = backend()
    clock = CupyClock(on)
    found: dict[str, Any] = {"device": on.device, "wide": wide}
    flops = 2.0 * wide**3
    found["float32 TFLOP/s"] = flops / _product(on, clock, wide) / 1e12
    write(path, found)
    for precision in on.precisions:
        seconds = _product(on.computing(precision), clock, wide)
        found[f"{precision} TFLOP/s"] = flops / seconds / 1e12
        found[f"a layer in {precision} TFLOP/s"] = (
            3.0 * flops / _layer(precision, clock, wide) / 1e12
        )
        write(path, found)
    flats = [on.zeros(count // 4, "float32") for _ in range(4)]
    found["copy GB/s"] = 2.0 * count / best(clock, lambda: on.assign(flats[0], flats[1])) / 1e9
    write(path, found)
    attrs = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    specs = [*map(spec_of, flats), Spec((), "float64"), Spec((), "int64")]
    call = resolve(on, "adam_update", specs, attrs)
    out = (flats[0], *flats[2:]) if call.writes else None
    seconds = best(clock, lambda: call(out, *flats, 1e-3, 1))
    found["Adam GB/s"] = 7.0 * count / seconds / 1e9  # four read, three written
    found["Adam is a kernel"] = call.by_kernel
    write(path, found)
    torch, where = torch_on()
    if torch is None or where != "cuda":
        found["bfloat16 of cuBLAS alone"] = "no torch on a GPU here"
    else:
        made = torch.randn(wide, wide, device="cuda", dtype=torch.bfloat16)
        seconds = best(TorchClock(torch), lambda: made @ made)
        found["bfloat16 TFLOP/s of cuBLAS alone"] = flops / seconds / 1e12
    write(path, found)
    print(found)


if __name__ == "__main__":
    main(argument())
