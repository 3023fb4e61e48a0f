"""The table of CUDA kernels: for each operation the function that launches it."""

from __future__ import annotations

from functools import partial

from ..op import Kernel, kernels
from . import layers, moves, reductions, rows, updates
from .activations import CODES
from .layers import Product


def cuda_kernels(product: Product = layers.product) -> dict[str, Kernel]:
    """All CUDA kernels, by operation; a source is compiled when one of its kernels is first used.

    product: what computes products, see `layers`.
    """
    sides = reductions.side_by_side
    table = kernels(
        Kernel("matmul", partial(layers.matmul, product), layers.matrices, layers.matmul),
        Kernel("dense", partial(layers.dense, product), layers.known_activation, layers.dense),
        Kernel(
            "dense_backward", partial(layers.dense_backward, product), layers.known_activation,
            layers.dense_backward,
        ),
        Kernel("softmax", rows.softmax(False), source=rows.softmax),
        Kernel("log_softmax", rows.softmax(True), source=rows.softmax),
        Kernel("softmax_backward", rows.softmax_backward(False), source=rows.softmax_backward),
        Kernel("log_softmax_backward", rows.softmax_backward(True), source=rows.softmax_backward),
        Kernel("cross_entropy", rows.cross_entropy),
        Kernel(
            "binary_cross_entropy", rows.row_loss("binary_cross_entropy_rows"),
            source=rows.row_loss,
        ),
        Kernel("mean_squared_error", rows.row_loss("squared_error_rows"), source=rows.row_loss),
        Kernel("mean_squared_error_backward", rows.difference(2.0), source=rows.difference),
        Kernel("softmax_cross_entropy", rows.softmax_cross_entropy),
        Kernel("softmax_cross_entropy_backward", rows.softmax_cross_entropy_backward),
        Kernel("sigmoid_binary_cross_entropy", rows.sigmoid_binary_cross_entropy),
        Kernel(
            "sigmoid_binary_cross_entropy_backward", rows.difference(1.0), source=rows.difference,
        ),
        Kernel("sum", reductions.added(mean=False), sides, reductions.added),
        Kernel("mean", reductions.added(mean=True), sides, reductions.added),
        Kernel("max", reductions.largest, sides),
        Kernel("argmax", reductions.argmax, reductions.last_axis),
        Kernel("gather_rows", moves.gather_rows, moves.words),
        Kernel("scatter_rows", moves.scatter_rows, moves.floating_rows),
        Kernel("pick", moves.pick, moves.floating_matrix),
        Kernel("one_hot", moves.one_hot, moves.floating_result),
        Kernel("dropout_mask", moves.dropout_mask),
        Kernel("sgd_update", updates.sgd_update),
        Kernel("momentum_update", updates.momentum_update(False), source=updates.momentum_update),
        Kernel("nesterov_update", updates.momentum_update(True), source=updates.momentum_update),
        Kernel("rmsprop_update", updates.rmsprop_update),
        Kernel("adagrad_update", updates.adagrad_update),
        Kernel("adam_update", updates.adam_update),
        Kernel("adamw_update", updates.adam_update),
        Kernel("amsgrad_update", updates.amsgrad_update),
        Kernel("nadam_update", updates.nadam_update),
        Kernel("lion_update", updates.lion_update),
        Kernel("shrink", updates.shrink),
        Kernel("average_update", updates.average_update),
        Kernel("rescale", updates.rescale),
        Kernel("add_decay", updates.add_decay),
        Kernel("keep", updates.keep),
        Kernel("assign", updates.assign),
        Kernel("clip_norm", updates.clip_norm),
    )  # fmt: skip
    for name, code in CODES.items():
        if name != "linear":
            back = f"{name}_backward"
            forward, backward = layers.activation(code), layers.activation_backward(code)
            table[name] = Kernel(name, forward, layers.floats, layers.activation)
            table[back] = Kernel(back, backward, layers.floats)
    return table
