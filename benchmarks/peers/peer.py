"""What is measured, and who does it.

A *peer* is a library and a variant of using it; its *workload* is a task made ready in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from ...core.data import datasets
from ...kernels.errors import BadInput
from ..networks import Network, data_for, model_for, plain, targets

Weights = list[np.ndarray]  # [W1, b1, ...]; W: (n_in, n_out), b: (1, n_out)

MODES = ("training", "inference", "epoch")
BATCHES = 4  # resident, visited in turn
CHECKED = 10  # steps before the comparison with float64
EPOCHS = 5  # of one training on a data set; what `fit` does once is shared by them
RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
OWN = "lamina"  # the variant of lamina's backends
PREPARED = "lamina, prepared"  # the same through `model.prepare()`


@dataclass(frozen=True)
class Task:
    """A piece of work, the same for all.

    mode: "training" (a unit is one step), "inference" (one call) or "epoch" (one pass, shuffled).
    rows: of one call in inference. data: the name of the data set of an epoch.
    """

    mode: str
    network: Network
    rows: int = 0
    data: str = ""

    @cached_property
    def weights(self) -> Weights:
        """The initial weights."""
        return model_for(self.network, "numpy").build(self.network.sizes[0]).get_weights()

    @cached_property
    def block(self) -> tuple[np.ndarray, np.ndarray]:
        """x: (rows, n_in) and y as `networks.targets` makes it, of four batches."""
        return data_for(self.network, BATCHES)

    @property
    def batches(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The block, batch by batch."""
        x, y = self.block
        size = self.network.batch
        return [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]

    @cached_property
    def input(self) -> np.ndarray:
        """x: (rows, n_in) of one call in inference."""
        rng = np.random.default_rng(1)
        x = rng.standard_normal((self.rows, self.network.sizes[0]))
        return x.astype(self.network.dtype)

    @cached_property
    def images(self) -> datasets.Dataset:
        """The data set of an epoch."""
        return datasets.load(self.data)

    @cached_property
    def training_set(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y of the data set's training part."""
        x = np.ascontiguousarray(self.images.x_train, dtype=self.network.dtype)
        return x, targets(self.network, self.images.y_train.astype(np.int32))

    @cached_property
    def test_set(self) -> tuple[np.ndarray, np.ndarray]:
        """x and labels y of its test part."""
        x = np.ascontiguousarray(self.images.x_test, dtype=self.network.dtype)
        return x, self.images.y_test.astype(np.int32)

    @property
    def checked_set(self) -> tuple[np.ndarray, np.ndarray]:
        """The training set's first ten batches."""
        x, y = self.training_set
        rows = CHECKED * self.network.batch
        return x[:rows], y[:rows]

    @property
    def checked(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The batches of the steps whose answer is compared with float64."""
        if self.mode == "epoch":
            x, y = self.checked_set
            parts = [slice(i, i + self.network.batch) for i in range(0, len(x), self.network.batch)]
            return [(x[part], y[part]) for part in parts]
        batches = self.batches
        return [batches[step % len(batches)] for step in range(CHECKED)]

    @property
    def random(self) -> bool:
        """Whether its answer depends on masks that are drawn."""
        return self.mode != "inference" and self.network.dropout > 0.0

    @property
    def grain(self) -> int:
        """Units come in multiples of this: a pass over the block is four steps."""
        return {"training": BATCHES, "epoch": EPOCHS}.get(self.mode, 1)


class Workload(Protocol):
    """A task made ready in one library. Every method returns when the device is done.

    machine: the device in words, and whether float32 is less there. Where several ranks do the
    work, `agreed` is given a rank's seconds and returns those of the slowest, the same on all. One
    whose units come in other multiples than the task's has a `grain` of its own.
    """

    machine: str

    def reset(self) -> None:
        """Puts the initial weights and a fresh optimizer back."""

    def perform(self, units: int) -> None:
        """Does so many units of work, batches in the block's order or shuffled for an epoch."""

    def answer(self) -> dict[str, Any]:
        """From the initial weights, what is compared with float64.

        training: "losses" of ten steps and the "weights" behind them. inference: the "output".
        epoch: "losses", the mean over ten batches not shuffled, and "weights". With dropout also
        "masks", (steps, batch, all hidden units) booleans: what was kept. With batch norm also its
        running "statistics", a mean and a variance for each layer in turn, flat.
        """

    def accuracy(self) -> float:
        """Of the test set, after the epochs that were run."""


class Inference:
    """What is the same for all workloads that only predict."""

    machine = "CPU"

    def __init__(self, task: Task) -> None:
        self.x = task.input

    def predict(self) -> np.ndarray:
        """The probabilities, (rows, n_out), from host to host."""
        raise NotImplementedError

    def reset(self) -> None:
        """Nothing was changed."""

    def perform(self, units: int) -> None:
        """So many calls."""
        predict = self.predict
        for _ in range(units):
            predict()

    def answer(self) -> dict[str, Any]:
        """The probabilities."""
        return {"output": self.predict()}

    def accuracy(self) -> float:
        """There are no labels."""
        return float("nan")


def one_of(table: Mapping[str, Any], kind: str, name: str) -> Any:
    """What a library has for a layer, an activation or a loss. Raises: BadInput if nothing."""
    if plain(name) not in table:
        raise BadInput(f"it has no {kind} {plain(name)} here")
    return table[plain(name)]


@dataclass(frozen=True)
class Peer:
    """A library and a way of using it.

    name: of the library, or of lamina's backend. modules: what must be importable, by module name
    and package name. loose: what its formulas may differ by, on top of rounding. asked: measured
    only where it is asked for by name. ranks: processes of MPI that do the work together. threads:
    of each process, 0 for the library's own choice.
    """

    name: str
    variant: str
    file: str
    modes: tuple[str, ...]
    modules: tuple[tuple[str, str], ...] = ()
    loose: float = 0.0
    asked: bool = False
    devices: tuple[str, ...] = ("cpu",)
    device: str = "cpu"
    ranks: int = 1
    threads: int = 0

    @property
    def missing(self) -> str:
        """Why it cannot run here, with the command that mends it; empty when it can."""
        lacking = [package for module, package in self.modules if find_spec(module) is None]
        if not lacking:
            return ""
        return f"not installed: pip install {' '.join(lacking)}"

    def prepare(self, task: Task) -> Workload:
        """The task made ready. Raises whatever the library raises."""
        make: Callable[[Peer, Task], Workload]
        make = import_module(f".{self.file}", __package__).workload
        return make(self, task)
