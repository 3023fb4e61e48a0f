"""Steps on ranks of MPI, checked and timed, and what the model says of them and of more hosts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...kernels.host import usable_cores
from ...kernels.spec import ITEMSIZE
from ..networks import Network
from ..peers.measurement import Progress, measure_peers, row_for, silent
from ..peers.peer import Peer, Task
from ..peers.process import Processes
from ..peers.with_ranks import APART
from ..result import Row
from . import reduction
from .model import Link, Machine

RANKS = (1, 2, 4)
MPI = (("mpi4py", 'mpi4py, and an MPI, or ".[mpi]"'),)
TORCH = (*MPI, ("torch", "torch"))
FURTHER = (8, 32)  # the rows of a batch by these are measured as well, for more ranks than run here
UNSEEN = "predicted, not run"

Sums = dict[int, dict[int, list[float]]]  # by ranks, by bytes, the seconds of each round


@dataclass(frozen=True)
class Place:
    """So many ranks of so many threads on each of so many hosts."""

    ranks: int
    threads: int
    hosts: int = 1

    @property
    def name(self) -> str:
        """`4 hosts x 2 ranks x 1 thread`."""
        parts = [(self.ranks, "rank"), (self.threads, "thread")]
        if self.hosts > 1:
            parts.insert(0, (self.hosts, "host"))
        return " x ".join(f"{n} {word}{'s' * (n > 1)}" for n, word in parts)


@dataclass(frozen=True)
class Scaling:
    """What was found of one network. rows: measured, each with its prediction if it has one."""

    network: Network
    machine: Machine
    rows: list[Row]
    torch: list[Row]


def places(wanted: Sequence[int], cores: int) -> list[Place]:
    """One thread alone first, then ranks that share the cores."""
    found = [Place(1, 1), *(Place(ranks, max(cores // ranks, 1)) for ranks in sorted({*wanted}))]
    return list(dict.fromkeys(found))


def together(backend: str, place: Place) -> Peer:
    """lamina on the ranks of a place."""
    return Peer(
        backend, place.name, "with_ranks", ("training",), MPI if place.ranks > 1 else (),
        ranks=place.ranks, threads=place.threads,
    )  # fmt: skip


def apart(backend: str, place: Place) -> Peer:
    """As many single ranks at once as a place has, each training alone."""
    return replace(together(backend, place), variant=f"{APART}, {place.name}")


def with_torch(place: Place) -> Peer:
    """DistributedDataParallel on the ranks of a place."""
    return Peer(
        "torch", f"DDP, {place.name}", "with_ddp", ("training",), TORCH, ranks=place.ranks,
        threads=place.threads,
    )  # fmt: skip


def gradients(network: Network) -> int:
    """Bytes that a step adds up."""
    return network.parameters * ITEMSIZE[network.dtype]


def measure_sums(
    networks: Sequence[Network], wanted: Sequence[int], progress: Progress
) -> tuple[Sums, list[Row]]:
    """Sums over ranks of this host, of several sizes and those of the networks, and their rows."""
    found: Sums = {}
    rows = []
    for ranks in sorted({*wanted} - {1}):
        progress(f"sums over {ranks} ranks")
        found[ranks] = reduction.measure(ranks, (*reduction.SIZES, *map(gradients, networks)))
        rows += [
            Row(
                "reduction", f"sum of {size:,} bytes", "mpi", Place(ranks, 1).name.split(" x")[0],
                size=size // 4, seconds=tuple(seconds), bytes=float(size),
            )
            for size, seconds in found[ranks].items()
        ]  # fmt: skip
    return found, rows


def measure_scaling(
    network: Network,
    backend: str,
    wanted: Sequence[int],
    sums: Sums,
    processes: Processes,
    *,
    torch: bool = False,
    rounds: int = 7,
    progress: Progress = silent,
) -> Scaling:
    """One network on ranks of this host, and the model of it, which knows single ranks and sums.

    What runs as ranks is checked against float64 on one, and is not timed where it differs.
    """
    cores = usable_cores()
    spots = places(wanted, cores)
    peers = {together(backend, spot): spot for spot in spots}
    others = {with_torch(spot): spot for spot in spots if spot.ranks > 1 and torch}
    task = Task("training", network)
    rows = dict(
        zip(
            (*peers, *others),
            measure_peers([*peers, *others], task, processes, rounds, progress), strict=True,
        )
    )  # fmt: skip
    work: dict[int, list[tuple[float, float]]] = {}
    for spot in dict.fromkeys(Place(max(cores // s.threads, 1), s.threads) for s in spots):
        shares = {math.ceil(network.batch / s.ranks) for s in spots if s.threads == spot.threads}
        shares |= {math.ceil(network.batch / (spot.ranks * n)) for n in FURTHER}
        for share in sorted(shares):
            less = Task("training", replace(network, batch=share))
            (row,) = measure_peers([apart(backend, spot)], less, processes, rounds, progress)
            if row.seconds:
                work.setdefault(spot.threads, []).append((share, row.median))
    machine = Machine(
        cores, work,
        {p: [(b, statistics.median(s)) for b, s in found.items()] for p, found in sums.items()},
        gradients(network),
    )  # fmt: skip
    own = [_predicted(rows[peer], machine, network, spot) for peer, spot in peers.items()]
    return Scaling(network, machine, own, [_scaling(rows[peer]) for peer in others])


def _scaling(row: Row) -> Row:
    return replace(row, kind="scaling")


def _predicted(row: Row, machine: Machine, network: Network, place: Place) -> Row:
    """A row with the prediction beside it, of more than one rank."""
    if place.ranks == 1 or not machine.work.get(place.threads) or place.ranks not in machine.sums:
        return _scaling(row)
    said = machine.step(network.batch, place.ranks, place.threads)
    return replace(_scaling(row), predicted=said)


def elsewhere(
    found: Scaling, backend: str, place: Place, hosts: Sequence[int], link: Link
) -> list[Row]:
    """What the model says of a place's ranks on each of so many hosts with such a network."""
    network = found.network
    rows = []
    for count in hosts:
        there = replace(place, hosts=count)
        row = row_for(together(backend, there), Task("training", network))
        said = found.machine.step(network.batch, place.ranks, place.threads, count, link)
        rows.append(replace(_scaling(row), status="skipped", reason=UNSEEN, predicted=said))
    return rows
