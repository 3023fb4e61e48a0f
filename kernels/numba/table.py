"""The table of Numba kernels: for each operation the driver, and the compiled function it leads to.

An operation element by element needs no line here: its loop in `elementwise.py` is enough.
"""

from __future__ import annotations

from ..numpy.operations import scatter_rows
from ..op import Kernel, kernels
from ..ops import OPS
from . import (
    activations,
    dense,
    drivers,
    dropout,
    elementwise,
    losses,
    rows,
    update_drivers,
    updates,
)
from .drivers import first_matrix, floats, known_activation, matrices

_KERNELS = (
    Kernel("matmul", drivers.matmul, matrices, dense.matmul),
    Kernel("dense", drivers.dense, known_activation, dense.dense),
    Kernel("dense_backward", drivers.dense_backward, known_activation, dense.dense_backward),
    Kernel("gather_rows", drivers.gather_rows(rows.gather_rows), first_matrix, rows.gather_rows),
    Kernel("scatter_rows", scatter_rows),
    Kernel("softmax", drivers.rowwise(rows.softmax), source=rows.softmax),
    Kernel("log_softmax", drivers.rowwise(rows.log_softmax), source=rows.log_softmax),
    Kernel(
        "softmax_backward", drivers.rowwise(rows.softmax_backward), source=rows.softmax_backward,
    ),
    Kernel(
        "log_softmax_backward", drivers.rowwise(rows.log_softmax_backward),
        source=rows.log_softmax_backward,
    ),
    Kernel(
        "cross_entropy", drivers.floored_loss(losses.cross_entropy), source=losses.cross_entropy,
    ),
    Kernel(
        "binary_cross_entropy", drivers.floored_loss(losses.binary_cross_entropy),
        source=losses.binary_cross_entropy,
    ),
    Kernel(
        "mean_squared_error", drivers.loss(losses.mean_squared_error),
        source=losses.mean_squared_error,
    ),
    Kernel(
        "mean_squared_error_backward", drivers.difference(2.0), source=losses.scaled_difference,
    ),
    Kernel(
        "softmax_cross_entropy", drivers.total_loss(losses.softmax_cross_entropy),
        source=losses.softmax_cross_entropy_sum,
    ),
    Kernel(
        "softmax_cross_entropy_backward", drivers.loss(losses.softmax_cross_entropy_backward),
        source=losses.softmax_cross_entropy_backward,
    ),
    Kernel(
        "sigmoid_binary_cross_entropy", drivers.total_loss(losses.sigmoid_binary_cross_entropy),
        source=losses.sigmoid_binary_cross_entropy_sum,
    ),
    Kernel(
        "sigmoid_binary_cross_entropy_backward", drivers.difference(1.0),
        source=losses.scaled_difference,
    ),
    Kernel("dropout_mask", drivers.dropout_mask, source=dropout.dropout_words),
    Kernel("sgd_update", update_drivers.sgd_update, source=updates.sgd),
    Kernel(
        "momentum_update", update_drivers.momentum_update(nesterov=False), source=updates.momentum,
    ),
    Kernel(
        "nesterov_update", update_drivers.momentum_update(nesterov=True), source=updates.momentum,
    ),
    Kernel("rmsprop_update", update_drivers.rmsprop_update, source=updates.rmsprop),
    Kernel("adam_update", update_drivers.adam_update, source=updates.adam),
    Kernel("adamw_update", update_drivers.adamw_update, source=updates.adam),
    Kernel("adagrad_update", update_drivers.adagrad_update, source=updates.rmsprop),
    Kernel("amsgrad_update", update_drivers.amsgrad_update, source=updates.amsgrad),
    Kernel("nadam_update", update_drivers.nadam_update, source=updates.nadam),
    Kernel("lion_update", update_drivers.lion_update, source=updates.lion),
    Kernel("shrink", update_drivers.shrink, source=updates.shrink),
    Kernel("average_update", update_drivers.average_update, source=updates.approach),
    Kernel("rescale", update_drivers.rescale, source=updates.retract),
    Kernel("clip_norm", update_drivers.clip_norm, source=updates.scale_by),
    Kernel("add_decay", update_drivers.add_decay, source=updates.add_scaled),
)  # fmt: skip


def numba_kernels() -> dict[str, Kernel]:
    """All Numba kernels, by operation; each is compiled at its first call."""
    table = kernels(*_KERNELS)
    for name, loop in elementwise.ELEMENTWISE.items():
        table[name] = Kernel(name, drivers.elementwise(OPS[name], loop), floats, loop)
    for name, code in activations.CODES.items():
        if name != "linear":
            forward, backward = drivers.activation(code), drivers.activation_backward(code)
            loop, back_loop = activations.activate_flat, activations.activate_backward_flat
            table[name] = Kernel(name, forward, floats, loop)
            table[f"{name}_backward"] = Kernel(f"{name}_backward", backward, floats, back_loop)
    return table
