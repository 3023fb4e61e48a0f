"""Hot operations in each way of computing them: an expression, a thread an element, fused.

Seconds of one call by device events, of the operations that have all three.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...backends.dispatch import resolve
from ...kernels.spec import Spec, length, spec_of
from .ceilings import best
from .clocks import CupyClock
from .writing import argument, backend, size, write

ROWS, WIDE, CLASSES = size((1024, 1024, 10), (16, 32, 10))


def cases(rows: int, wide: int) -> dict[str, tuple[list[Any], dict[str, Any]]]:
    """Inputs and attributes by operation."""
    rng = np.random.default_rng(0)

    def some(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype("float32")

    flats = [np.abs(some(wide * wide)) for _ in range(4)]
    weight, layer = some(wide, wide), {"activation": "relu"}
    labels = rng.integers(0, CLASSES, (rows, 1)).astype("int32")
    return {
        "matmul": ([some(rows, wide), weight], {}),
        "dense": ([some(rows, wide), weight, some(1, wide)], layer),
        "dense_backward": ([some(rows, wide), some(rows, wide), weight, some(rows, wide)], layer),
        "softmax_cross_entropy": ([some(rows, CLASSES), labels, None], {}),
        "adam_update": ([*flats, 1e-3, 1], {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}),
    }


def main(path: str, rows: int = ROWS, wide: int = WIDE) -> None:
    """Writes after each operation."""
    on = backend()
    clock, found = CupyClock(on), {"device": on.device, "rows": rows, "wide": wide}
    seconds: dict[str, dict[str, float]] = {}
    for op, (host, attrs) in cases(rows, wide).items():
        inputs = [on.asarray(x) if isinstance(x, np.ndarray) else x for x in host]
        specs = [None if x is None else spec_of(np.asarray(x)) for x in host]
        seconds[op] = {}
        for way, kernels in on.variants().items():
            call = resolve(on, op, specs, attrs, kernels, trusted=True)
            out = tuple(_empty(on, spec) for spec in call.outputs) if call.writes else None
            seconds[op][way] = best(clock, partial(call, out, *inputs))
        write(path, found | {"seconds": seconds})
        print(op, seconds[op], flush=True)


def _empty(on: Any, spec: Spec) -> Any:
    """Memory for an output."""
    return on.xp.reshape(on.zeros(length(spec), spec.dtype), spec.shape)


if __name__ == "__main__":
    main(argument())
