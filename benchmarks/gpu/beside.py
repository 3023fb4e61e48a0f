"""One contender on the seven networks: seconds a step, nodes of its graph, where it ran.

`python -m lamina.benchmarks.gpu.beside WHO FILE`, each in a process of its own. Where torch or JAX
have no GPU they run on the CPU, and their figures say so: they are then no comparison.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

from ...core.model import Sequential
from ...kernels.errors import BadInput
from ..networks import NETWORKS, Network
from ..peers.peer import BATCHES, Peer, Task
from .clocks import CupyClock, HostClock, TorchClock, torch_on
from .writing import argument, backend, size, write

ROUNDS, SECONDS = size((5, 0.1), (2, 0.0))  # rounds, and how long one takes at least
MOST = 2**14  # steps of a round
Made = tuple[Any, Any, Callable[[], int | None]]  # a workload, its clock, its nodes a step


def lamina(network: Network, persistent: bool = True) -> Made:
    """The cupy backend through `fit`, and the launches in its graph for each step.

    persistent: whether steps that one block can do are one launch of it.
    """
    from ..peers.with_lamina import Training

    on = backend(persistent=persistent)
    made: Any = Training(Task("training", network), on)
    made.machine = on.device
    return made, CupyClock(on), lambda: nodes_of(made.model)


def nodes_of(model: Sequential) -> int | None:
    """The nodes of a model's graphs for each of their steps, the least of them."""
    bindings: list[Any] = [b for free in model.session._free.values() for b in free]
    counts = [
        count_nodes(capture.replay, kind.count)
        for binding in bindings
        for kind, capture in getattr(binding, "captures", {}).items()
    ]
    return min((count for count in counts if count), default=None)


def count_nodes(replay: Any, steps: int) -> int | None:
    """The nodes of a CuPy graph for each of its steps, or None where it cannot say."""
    graph: Any = getattr(replay, "__self__", None)
    if not hasattr(graph, "debug_dot_str"):
        return None
    text = graph.debug_dot_str()
    text = text.decode() if isinstance(text, bytes) else text
    lines = [line for line in text.splitlines() if "->" not in line and "_node_" in line]
    return len(lines) // steps or None


def torch_peer(variant: str) -> Callable[[Network], Made]:
    """torch, eager or compiled with graphs of its own, or with a graph captured by hand."""

    def make(network: Network) -> Made:
        torch, device = torch_on()
        from ..peers.with_torch import Training
        from . import torch_graph

        task = Task("training", network)
        made: Any
        if variant == "eager":
            made = Training(task, device=device)
        elif variant == "graph":
            made = torch_graph.Captured(task, device)
        else:
            made = torch_graph.ReduceOverhead(task, device)
        clock = TorchClock(torch) if device == "cuda" else HostClock()
        return made, clock, getattr(made, "nodes", lambda: None)

    return make


def with_jax(network: Network) -> Made:
    """JAX's loop of steps in one jit, on the GPU where it has one."""
    import jax

    try:
        jax.devices("cuda")
        device = "cuda"
    except RuntimeError:
        device = "cpu"
    peer = Peer("jax", "whole loop", "with_jax", ("training",), device=device)
    made = peer.prepare(Task("training", network))
    return made, HostClock(), lambda: None


CONTENDERS: dict[str, tuple[str, Callable[[Network], Made]]] = {
    "lamina": ("cupy", lamina),
    "lamina-captured": ("cupy", partial(lamina, persistent=False)),
    "torch-eager": ("torch", torch_peer("eager")),
    "torch-graph": ("torch", torch_peer("graph")),
    "torch-reduce-overhead": ("torch", torch_peer("reduce-overhead")),
    "jax": ("jax", with_jax),
}


def measured(network: Network, make: Callable[[Network], Made]) -> dict[str, Any]:
    """The figures of one network."""
    workload, clock, nodes = make(network)
    units = BATCHES
    for _ in range(2):  # the second has what the first compiled and captured
        workload.perform(units)
    while clock.seconds(partial(workload.perform, units)) < SECONDS and units < MOST:
        units *= 4
    work = partial(workload.perform, units)
    seconds = [clock.seconds(work) / units for _ in range(ROUNDS)]
    return {
        "network": f"{network.name}:{network.batch}", "machine": workload.machine,
        "clock": clock.name, "steps a round": units, "seconds": seconds, "nodes": nodes(),
    }  # fmt: skip


def main(who: str, path: str) -> int:
    """0, also where a library is not there: that is written instead of figures."""
    module, make = CONTENDERS[who]
    found: dict[str, Any] = {"contender": who, "TF32": "off", "figures": []}
    if find_spec(module) is None:
        found["left out"] = f"{module} is not installed"
        write(path, found)
        return 0
    failed = 0
    for network in size(NETWORKS, NETWORKS[:-1]):  # the widest takes minutes on a CPU
        try:
            one = measured(network, make)
        except BadInput as error:  # what it does not do
            one = {"network": f"{network.name}:{network.batch}", "left out": str(error)}
        except Exception as error:  # the other networks are measured
            one = {"network": f"{network.name}:{network.batch}", "failed": f"{error!r:.300}"}
            failed = 1
        found["figures"].append(one)
        write(path, found)
        print(one, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(argument(1), argument(2)))
