"""torch with CUDA graphs: a step captured by hand, and `torch.compile` with graphs of its own."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import torch

from ...kernels.errors import BadInput
from ..peers.peer import BETA1, BETA2, EPSILON, RATE, Task
from ..peers.with_torch import Training, finish


class ReduceOverhead(Training):
    """Model and loss compiled with mode="reduce-overhead"; Adam is fused."""

    def __init__(self, task: Task, device: str) -> None:
        super().__init__(task, device=device)
        torch._dynamo.reset()
        self.cost = torch.compile(self._cost, dynamic=False, mode="reduce-overhead")


class Captured(Training):
    """A whole step, Adam included, in one graph; a batch is copied in before each replay.

    Raises: BadInput without a GPU.
    """

    def __init__(self, task: Task, device: str) -> None:
        if device != "cuda":
            raise BadInput("a graph needs a GPU, and torch has none here")
        super().__init__(task, device=device)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), RATE, (BETA1, BETA2), EPSILON, fused=True, capturable=True
        )
        self.x, self.y = (each.clone() for each in self.batches[0])
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.step(self.x, self.y)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        self.graph.enable_debug_mode()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(self.graph):
            self.cost(self.x, self.y).backward()
            self.optimizer.step()

    def perform(self, units: int) -> None:
        """Steps."""
        batches = self.batches
        for number in range(units):
            x, y = batches[number % len(batches)]
            self.x.copy_(x)
            self.y.copy_(y)
            self.graph.replay()
        finish(self.device)

    def nodes(self) -> int | None:
        """The nodes of the graph, and the two copies before it."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "graph.dot"
            self.graph.debug_dump(str(path))
            text = path.read_text(errors="replace") if path.exists() else ""
        lines = [line for line in text.splitlines() if "->" not in line]
        found = {name for line in lines for name in re.findall(r"graph_\d+_node_\d+", line)}
        return len(found) + 2 if found else None
