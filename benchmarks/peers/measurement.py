"""lamina beside other libraries: the same work, checked, then timed in interleaved rounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.data import datasets
from ...kernels.errors import BadInput
from ...kernels.spec import ITEMSIZE
from ..networks import Network, check, plain
from ..result import Row
from ..timing import interleave
from . import masks
from .peer import EPOCHS, Peer, Task
from .process import PeerFailed, Processes, Remote
from .registry import lamina_peer
from .worker import digest

ROUND_SECONDS = 0.05
CALL_ROWS = (1, 256)  # of a call in inference
# Relative to float64 on NumPy: each of the first losses; the sum of the weights' moves (near a zero
# gradient Adam turns a rounding error into a whole step, so single weights say little); the
# probabilities and the running statistics, to the largest one.
ALLOWED = {
    "losses": {"float32": 2e-3, "float64": 1e-8},
    "moved": {"float32": 2e-2, "float64": 1e-5},
    "output": {"float32": 1e-4, "float64": 1e-9},
    "statistics": {"float32": 1e-3, "float64": 1e-8},
}
UNITS = {"training": "step", "inference": "call", "epoch": "epoch"}

Progress = Callable[[str], None]


def silent(text: str) -> None:
    """Tells nobody."""


def tasks(mode: str, networks: list[Network]) -> list[Task]:
    """The work of a mode. An epoch is of Fashion-MNIST where it is installed, else of digits.

    Raises: BadInput for a network that does not fit the data set, or that cannot be made.
    """
    for network in networks:
        check(network)
        if mode != "training" and plain(network.layer) == "batch_norm":
            raise BadInput(f"{network.layer} is measured in training alone: it has two ways to run")
        if mode == "epoch" and network.numbers:
            raise BadInput(f"an epoch counts classes, which {network.loss} does not give")
    if mode == "training":
        return [Task(mode, network) for network in networks]
    if mode == "inference":
        return [Task(mode, network, rows) for network in networks for rows in CALL_ROWS]
    data, features = fashion_or_digits()
    for network in networks:
        if (network.sizes[0], network.sizes[-1]) != (features, 10):
            raise BadInput(f"an epoch of {data} needs a network {features}-...-10")
    return [Task(mode, n, data=data) for n in networks or [Network((features, 128, 10), 128)]]


def fashion_or_digits() -> tuple[str, int]:
    """The data set of an epoch, and its number of features."""
    try:
        return "fashion-mnist", datasets.load("fashion-mnist").x_train.shape[1]
    except BadInput:
        return "digits", 64


def reference(task: Task, drawn: np.ndarray | None = None) -> dict[str, list[float]]:
    """The answer in float64 on lamina's NumPy backend; drawn: the masks of its dropout, if any."""
    exact = replace(task, network=replace(task.network, dtype="float64"))
    if drawn is not None:
        return digest(exact, masks.answer(exact, drawn))
    return digest(exact, lamina_peer("numpy").prepare(exact).answer())


def verdict(
    answer: dict[str, Any], task: Task, expected: dict[str, list[float]], loose: float = 0.0
) -> tuple[str, float]:
    """What is wrong with an answer, as in `disagreement`.

    expected: the reference, or nothing where it depends on the masks that the peer drew.
    """
    if not expected:
        try:
            drawn = masks.unpack(answer["masks"], task)
        except BadInput as error:
            return str(error), float("inf")
        if odd := masks.oddity(drawn, task):
            return odd, float("inf")
        expected = reference(task, drawn)
    return disagreement(answer, expected, task.network.dtype, loose)


def disagreement(
    found: dict[str, Any], expected: dict[str, list[float]], dtype: str, loose: float = 0.0
) -> tuple[str, float]:
    """What is wrong with an answer ("" when it agrees), and its error by the first yardstick.

    Errors are relative: see ALLOWED, to which `loose` is added.
    """
    errors: list[float] = []
    for name, values in expected.items():
        got, want = np.array(found.get(name, [])), np.array(values)
        if got.shape != want.shape:
            return f"{name}: {got.size} numbers, not {want.size}", float("inf")
        off = np.abs(got - want)
        off = off.sum() if name == "moved" else off
        largest = np.abs(want).max()
        scale = {"losses": np.abs(want), "moved": np.abs(want).sum()}.get(name, largest)
        errors.append(float(np.max(off / np.maximum(scale, 1e-30))))
        allowed = ALLOWED[name][dtype] + loose
        if not errors[-1] <= allowed:  # NaN is wrong as well
            return f"{name} off by {errors[-1]:.1e} of float64's, allowed {allowed:g}", errors[0]
    return "", errors[0]


def row_for(peer: Peer, task: Task) -> Row:
    """A row without figures."""
    network = task.network
    flops, scale = network.flops, ITEMSIZE[network.dtype]
    # Weights and both moments are read and written; the batch is read.
    numbers = 6.0 * network.parameters + network.batch * network.sizes[0]
    case, size = network.case, network.batch
    if task.mode == "inference":
        flops = network.products * task.rows / network.batch
        numbers = network.parameters + task.rows * (network.sizes[0] + network.sizes[-1])
        rows = f"{task.rows} row{'s' * (task.rows > 1)}"
        case, size = ", ".join(filter(None, [network.name, rows, network.traits])), task.rows
    elif task.mode == "epoch":
        steps = len(task.training_set[0]) / network.batch
        flops, numbers = flops * steps, numbers * steps
        case = f"{task.data}, {case}"
    return Row(
        task.mode, case, peer.name, peer.variant, network.dtype, size, UNITS[task.mode],
        flops=flops, bytes=numbers * scale,
    )  # fmt: skip


def measure_peers(
    peers: list[Peer],
    task: Task,
    processes: Processes,
    rounds: int = 7,
    progress: Progress = silent,
    round_seconds: float = ROUND_SECONDS,
) -> list[Row]:
    """One row for each peer, in their order; `progress` hears what is being done."""
    progress(f"{row_for(peers[0], task).case}: the reference in float64")
    expected = {} if task.random else reference(task)
    rows: dict[Peer, Row] = {}
    timed: dict[Peer, Remote] = {}
    for peer in peers:
        row = rows[peer] = row_for(peer, task)
        progress(f"{row.case}: {peer.name}, {peer.variant}")
        if peer.missing:
            rows[peer] = replace(row, status="skipped", reason=peer.missing)
            continue
        try:
            answer = processes[peer].start(task)
            wrong, error = verdict(answer, task, expected, peer.loose)
            allowed = ALLOWED["losses" if "losses" in answer else "output"][row.dtype] + peer.loose
            row = replace(row, error=error if math.isfinite(error) else None, allowed=allowed)
            if peer.device != "cpu":  # which machine, and what float32 is there
                row = replace(row, reason=answer.get("machine", ""))
            if wrong:
                rows[peer] = replace(row, status="wrong", reason=wrong)
                continue
            rows[peer] = replace(row, first_call=answer["first_call"])
            remote = Remote(peer, str, process=processes[peer])
            remote.warm(round_seconds)
            timed[peer] = remote
        except PeerFailed as failed:
            rows[peer] = replace(row, status="skipped", reason=str(failed))
    progress(f"{row_for(peers[0], task).case}: {rounds} rounds of {len(timed)}")
    interleave(list(timed.values()), rounds)
    for peer, remote in timed.items():
        if remote.failed:
            rows[peer] = replace(rows[peer], status="skipped", reason=remote.failed)
            continue
        rows[peer] = replace(rows[peer], seconds=tuple(remote.seconds))
        if task.mode == "epoch":
            found = processes[peer].ask("accuracy")["accuracy"]
            reason = f"test accuracy {found:.4f} after {EPOCHS} epochs"
            rows[peer] = replace(rows[peer], reason=reason)
    return list(rows.values())
