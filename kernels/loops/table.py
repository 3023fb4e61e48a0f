"""The table of loop kernels: for every operation the explicit loops that compute it.

What an operation needs of its own is a row here. The others follow from their row in `ops.py`: a
formula of single numbers in `scalar.py` (or a loop in `operations.py`, `training.py` or
`updates.py`) that is called like the operation's reference.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from ..op import Kernel, Op
from ..ops import OPS
from . import drivers, operations, scalar, training, updates
from .drivers import Function

# operation -> its driver, and the loop where the driver is not what a reader looks for
OWN: dict[str, tuple[Function, Function]] = {
    "matmul": (drivers.matmul, operations.matmul),
    "dense": (drivers.dense, operations.dense),
    "dense_backward": (drivers.dense_backward, operations.dense_backward),
    "sum": (partial(drivers.reduction, operations.sum_rows), operations.sum_rows),
    "mean": (partial(drivers.reduction, operations.mean_rows), operations.mean_rows),
    "max": (partial(drivers.reduction, operations.max_rows), operations.max_rows),
    "argmax": (partial(drivers.reduction, operations.argmax_rows), operations.argmax_rows),
    "transpose": (drivers.transpose, drivers.transpose),
    "reshape": (drivers.in_order, drivers.in_order),
    "cast": (drivers.cast, drivers.cast),
    "broadcast_to": (drivers.broadcast_to, drivers.broadcast_to),
    "slice": (drivers.take_slice, drivers.take_slice),
    "unslice": (drivers.unslice, drivers.unslice),
    "concatenate": (drivers.concatenate, drivers.concatenate),
    "gather_rows": (drivers.gather_rows, operations.gather_rows),
    "scatter_rows": (drivers.scatter_rows, operations.scatter_rows),
    "cross_entropy": (drivers.cross_entropy, training.cross_entropy),
    "binary_cross_entropy": (drivers.binary_cross_entropy, training.binary_cross_entropy),
    "dropout_mask": (drivers.dropout_mask, training.dropout_mask),
    "clip_norm": (drivers.clip_norm, updates.clip_norm),
    "adam_update": (drivers.adam_update, updates.adam_update),
    "adamw_update": (
        partial(drivers.whole, OPS["adamw_update"], updates.adam_update), updates.adam_update,
    ),
}  # fmt: skip


def following(op: Op) -> tuple[Function, Function]:
    """The driver and the formula or loop of an operation that has no row in OWN.

    Raises: LookupError for one that has no loops yet.
    """
    name = op.reference.__name__
    formula: Function | None = vars(scalar).get(name)
    if op.independent == "elements" and formula is not None:
        return partial(drivers.elements, op, formula), formula
    for module in (operations, training, updates):
        loop: Function | None = vars(module).get(name)
        if loop is not None:
            driver = drivers.rows if op.independent == "rows" else drivers.whole
            return partial(driver, op, loop), loop
    raise LookupError(f"[{op.name}] has neither a formula in scalar.py nor a loop")


DRIVERS = {name: OWN.get(name) or following(op) for name, op in OPS.items()}


def identity(function: Function) -> Function:
    """The function itself: loops that stay Python."""
    return function


def loop_kernels(compile: Callable[[Any], Any] = identity) -> dict[str, Kernel]:
    """A kernel for every operation of the table, made of explicit loops.

    compile: applied once to each loop and formula, when it is first needed.
    """
    use = cache(compile)
    return {
        name: Kernel(name, partial(drivers.run, use, driver), source=source)
        for name, (driver, source) in DRIVERS.items()
    }


def compiled_loop_kernels() -> dict[str, Kernel]:
    """The same loops, compiled for this processor without any rewriting for speed."""
    from ..numba.jit import jit  # Numba is loaded for those alone who want these

    return loop_kernels(jit)
