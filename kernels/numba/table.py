"""The table of Numba kernels: for each operation the driver, and the compiled function it leads to.

An operation element by element needs no line here: its loop in `elementwise.py` is enough.
"""

from __future__ import annotations

from typing import Any

from ..numpy.operations import scatter_rows
from ..op import Kernel, always, kernels
from ..ops import OPS
from . import activations, dense, drivers, elementwise, losses, rows, update_drivers, updates
from .drivers import first_matrix, floats, known_activation, matrices

# operation, driver, compiled function, and what calls it takes: all where nothing stands
_ROWS: tuple[tuple[Any, ...], ...] = (
    ("matmul", drivers.matmul, dense.matmul, matrices),
    ("dense", drivers.dense, dense.dense, known_activation),
    ("dense_backward", drivers.dense_backward, dense.dense_backward, known_activation),
    ("gather_rows", drivers.gather_rows(rows.gather_rows), rows.gather_rows, first_matrix),
    ("scatter_rows", scatter_rows, scatter_rows),
    ("softmax", drivers.rowwise(rows.softmax), rows.softmax),
    ("log_softmax", drivers.rowwise(rows.log_softmax), rows.log_softmax),
    ("softmax_backward", drivers.rowwise(rows.softmax_backward), rows.softmax_backward),
    (
        "log_softmax_backward", drivers.rowwise(rows.log_softmax_backward),
        rows.log_softmax_backward,
    ),
    ("cross_entropy", drivers.floored_loss(losses.cross_entropy), losses.cross_entropy),
    (
        "binary_cross_entropy", drivers.floored_loss(losses.binary_cross_entropy),
        losses.binary_cross_entropy,
    ),
    ("mean_squared_error", drivers.loss(losses.mean_squared_error), losses.mean_squared_error),
    ("mean_squared_error_backward", drivers.difference(2.0), losses.scaled_difference),
    (
        "softmax_cross_entropy", drivers.total_loss(losses.softmax_cross_entropy),
        losses.softmax_cross_entropy_sum,
    ),
    (
        "softmax_cross_entropy_backward", drivers.loss(losses.softmax_cross_entropy_backward),
        losses.softmax_cross_entropy_backward,
    ),
    (
        "sigmoid_binary_cross_entropy", drivers.total_loss(losses.sigmoid_binary_cross_entropy),
        losses.sigmoid_binary_cross_entropy_sum,
    ),
    ("sigmoid_binary_cross_entropy_backward", drivers.difference(1.0), losses.scaled_difference),
    ("dropout_mask", drivers.dropout_mask, updates.dropout_words),
    ("sgd_update", update_drivers.sgd_update, updates.sgd),
    ("momentum_update", update_drivers.momentum_update(nesterov=False), updates.momentum),
    ("nesterov_update", update_drivers.momentum_update(nesterov=True), updates.momentum),
    ("rmsprop_update", update_drivers.rmsprop_update, updates.rmsprop),
    ("adam_update", update_drivers.adam_update, updates.adam),
    ("adamw_update", update_drivers.adamw_update, updates.adam),
    ("adagrad_update", update_drivers.adagrad_update, updates.rmsprop),
    ("amsgrad_update", update_drivers.amsgrad_update, updates.amsgrad),
    ("nadam_update", update_drivers.nadam_update, updates.nadam),
    ("lion_update", update_drivers.lion_update, updates.lion),
    ("shrink", update_drivers.shrink, updates.shrink),
    ("average_update", update_drivers.average_update, updates.approach),
    ("rescale", update_drivers.rescale, updates.retract),
    ("clip_norm", update_drivers.clip_norm, updates.scale_by),
    ("add_decay", update_drivers.add_decay, updates.add_scaled),
)  # fmt: skip


def _row(name: str, driver: Any, source: Any, supports: Any = always) -> Kernel:
    return Kernel(name, driver, supports, source)


def numba_kernels() -> dict[str, Kernel]:
    """All Numba kernels, by operation; each is compiled at its first call."""
    table = kernels(*(_row(*row) for row in _ROWS))
    for name, loop in elementwise.ELEMENTWISE.items():
        table[name] = Kernel(name, drivers.elementwise(OPS[name], loop), floats, loop)
    for name, code in activations.CODES.items():
        if name != "linear":
            ahead, back = drivers.activation(code), drivers.activation_backward(code)
            loop, back_loop = activations.activate_flat, activations.activate_backward_flat
            table[name] = Kernel(name, ahead, floats, loop)
            table[f"{name}_backward"] = Kernel(f"{name}_backward", back, floats, back_loop)
    return table
