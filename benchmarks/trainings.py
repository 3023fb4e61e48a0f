"""Whole training steps: forward, backward and Adam, through `fit`, on every backend."""

from __future__ import annotations

from dataclasses import replace

from ..backends.contract import Backend
from ..core.model import Sequential
from .networks import NETWORKS, Network, data_for, model_for
from .result import Row
from .timing import Contender

CHECKED_STEPS = 10
LOOPS_LIMIT = 4e6  # above so many operations of a forward pass a step in plain loops takes seconds
AGREES = {"float32": 2e-3, "float64": 1e-8}  # relative, after ten steps of Adam, against float64
STEPS_A_CALL = 256  # of `fit`, which checks and copies its data first
BLOCK_BYTES = 2**20  # of data that an epoch visits, so that it has many steps where they are short


def batches_for(network: Network) -> int:
    """Batches in the data: 4 at least, and as many as a megabyte holds, up to 64."""
    row = network.sizes[0] * 4 * network.batch
    return max(4, min(64, BLOCK_BYTES // row))


def loss_after(network: Network, backend: object) -> tuple[float, Sequential]:
    """The loss of step number ten, and the model."""
    x, y = data_for(network, 4)
    model = model_for(network, backend)
    loss, batch = 0.0, network.batch
    for step in range(CHECKED_STEPS):
        part = slice(step % 4 * batch, (step % 4 + 1) * batch)
        loss = model.train_on_batch(x[part], y[part])["loss"]
    return loss, model


def prepare(network: Network, backend: Backend, expected: float) -> tuple[Row, Contender | None]:
    """A row checked against float64 on NumPy, and what to time."""
    row = Row(
        "training", network.case, backend.name, "fit", network.dtype, network.batch, "step",
        flops=network.flops,
        # each parameter with its gradient and two moments: read and written but for the gradient
        bytes=7.0 * 4.0 * network.parameters + 4.0 * network.batch * network.sizes[0],
    )  # fmt: skip
    if backend.name == "loops" and network.products > LOOPS_LIMIT:
        return replace(row, status="skipped", reason="a step in plain loops takes seconds"), None
    got, model = loss_after(network, backend)
    error, allowed = abs(got - expected), AGREES[network.dtype] * abs(expected)
    row = replace(row, error=error, allowed=allowed)
    if not error <= allowed:
        reason = f"the loss of step {CHECKED_STEPS} is {got:.6g}, not {expected:.6g}"
        return replace(row, status="wrong", reason=reason), None
    many = batches_for(network) if backend.name != "loops" else 1
    epochs = max(1, STEPS_A_CALL // many) if network.products < 1e8 and many > 1 else 1
    x, y = data_for(network, many)

    def train() -> None:
        model.fit(x, y, epochs, network.batch, shuffle=False, verbose=0)

    return row, Contender(row, train, backend.synchronize, many * epochs)


def reference_loss(network: Network) -> float:
    """The loss of step number ten in float64 on NumPy."""
    return loss_after(replace(network, dtype="float64"), "numpy")[0]


def chosen(quick: bool) -> list[Network]:
    """The networks that are measured."""
    return [n for n in NETWORKS if n.products < 2e7] if quick else list(NETWORKS)
