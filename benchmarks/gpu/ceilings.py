"""What the device can do: products 8192 wide, a copy and Adam over 1 GiB, by device events.

bfloat16 products are those of cuBLAS alone, through torch: lamina computes in float32 and float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backends.contract import Backend
from ...backends.dispatch import resolve
from ...kernels.spec import Spec, spec_of
from .clocks import CupyClock, TorchClock, torch_on
from .writing import argument, backend, size, write

WIDE, BYTES = size((8192, 2**30), (64, 2**16))


def best(clock: Any, work: Callable[[], object], repeats: int = 5) -> float:
    """The least seconds of some rounds, after one that is not counted."""
    clock.seconds(work)
    return min(float(clock.seconds(work)) for _ in range(repeats))


def _product(on: Backend, clock: CupyClock, wide: int) -> float:
    """Seconds of a product of square matrices, through the backend."""
    square = on.asarray(np.random.default_rng(0).random((wide, wide), dtype=np.float32))
    return best(clock, lambda: on.xp.matmul(square, square))


def main(path: str, wide: int = WIDE, count: int = BYTES) -> None:
    """Writes after each figure."""
    on = backend()
    clock = CupyClock(on)
    found: dict[str, Any] = {"device": on.device, "TF32": "off", "wide": wide}
    flops = 2.0 * wide**3
    found["float32 TFLOP/s"] = flops / _product(on, clock, wide) / 1e12
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
    found["Adam is a kernel"] = call.kernel
    write(path, found)
    torch, where = torch_on()
    if torch is None or where != "cuda":
        found["bfloat16"] = "no torch on a GPU here"
    else:
        made = torch.randn(wide, wide, device="cuda", dtype=torch.bfloat16)
        seconds = best(TorchClock(torch), lambda: made @ made)
        found["bfloat16 TFLOP/s of cuBLAS alone"] = flops / seconds / 1e12
    write(path, found)
    print(found)


if __name__ == "__main__":
    main(argument())
