"""PyTorch on several ranks: DistributedDataParallel over gloo, eager with fused Adam."""

from __future__ import annotations

import math
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from ...kernels.errors import BadInput
from .peer import Peer, Task, Workload
from .with_torch import Training


class Ranks(Training):
    """Each rank has an equal share of the rows of every batch, and the mean of the gradients."""

    def __init__(self, task: Task, peer: Peer) -> None:
        from mpi4py import MPI

        self.communicator = MPI.COMM_WORLD
        self.rank, self.ranks = self.communicator.rank, self.communicator.size
        if task.network.batch % self.ranks or task.random:
            raise BadInput(f"{task.network.case}: its means are of equal shares, without dropout")
        torch.set_num_threads(peer.threads)
        if not distributed.is_initialized():
            _join(self.communicator)
        super().__init__(task)
        self.parallel = DistributedDataParallel(self.model, gradient_as_bucket_view=True)

    def _cost(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.loss(self.parallel(x), y)
        return found

    def _share(self, rows: Any) -> Any:
        size = len(rows) // self.ranks
        return rows[self.rank * size : (self.rank + 1) * size]

    @cached_property
    def batches(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """This rank's shares of the block, batch by batch."""
        return [self.tensors(self._share(x), self._share(y)) for x, y in self.task.batches]

    def perform(self, units: int) -> None:
        """Steps, which begin at the same time on all ranks."""
        self.communicator.Barrier()
        super().perform(units)

    def answer(self) -> dict[str, Any]:
        """Ten steps; the losses are the means over all ranks."""
        losses = []
        for x, y in self.task.checked:
            loss = float(self.step(*self.tensors(self._share(x), self._share(y))).detach())
            losses.append(math.fsum(self.communicator.allgather(loss)) / self.ranks)
        return {"losses": np.array(losses), "weights": self.weights()}

    def agreed(self, seconds: float) -> float:
        """The slowest rank's."""
        return float(max(self.communicator.allgather(seconds)))


def _join(communicator: Any) -> None:
    """Makes torch's own group of the same ranks, which meet in a file."""
    folder = communicator.bcast(tempfile.mkdtemp() if communicator.rank == 0 else None)
    distributed.init_process_group(
        "gloo", init_method=(Path(folder) / "meeting").as_uri(), rank=communicator.rank,
        world_size=communicator.size,
    )  # fmt: skip


def workload(peer: Peer, task: Task) -> Workload:
    """The task in PyTorch. Raises: BadInput for unequal shares."""
    return Ranks(task, peer)
