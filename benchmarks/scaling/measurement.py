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
from ..peers.with_ranks import APART, IN_PYTHON, SUMS, WORK
from ..result import Row
from . import reduction
from .model import Link, Machine

RANKS = (1, 2, 4)
MPI = (("mpi4py", 'mpi4py, and an MPI, or ".[mpi]"'),)
TORCH = (*MPI, ("torch", "torch"))
FURTHER = (8, 32)  # the rows of a batch by these are measured as well, for more ranks than run here
ALIKE = 0.1  # how far from the median a step is that was made in the same circumstances
UNSEEN = "predicted, not run"

ROUND_SECONDS = 0.3  # one call of `fit`, whose beginning is no step

Sums = dict[int, list[tuple[float, float]]]  # by ranks, (bytes, seconds)


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
    """What was found of one network.

    rows: steps of lamina, each with its prediction if it has one. others: of PyTorch, and of lamina
    with sums in Python. parts: what the model was given: single ranks that train apart, and sums
    behind such work.
    """

    network: Network
    machine: Machine
    rows: list[Row]
    others: list[Row]
    parts: list[Row]

    @property
    def all(self) -> list[Row]:
        """What a result keeps."""
        return [*self.rows, *self.others, *self.parts]


def places(wanted: Sequence[int], cores: int) -> list[Place]:
    """One thread alone first, then one rank on all cores, and the ranks that share them."""
    shared = (Place(ranks, max(cores // ranks, 1)) for ranks in sorted({1, *wanted}))
    found = [Place(1, 1), *shared]
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


def work_alone(backend: str, place: Place) -> Peer:
    """The same on a rank's share of each batch."""
    return replace(together(backend, place), variant=f"{WORK}, {place.name}")


def sums_alone(backend: str, place: Place) -> Peer:
    """Sums over the ranks of a place, behind as much work as theirs."""
    return replace(together(backend, place), variant=f"{SUMS}, {place.name}")


def in_python(backend: str, place: Place) -> Peer:
    """The same with sums that are called from Python, once in each step."""
    return replace(together(backend, place), variant=f"{IN_PYTHON}, {place.name}")


def with_torch(place: Place) -> Peer:
    """DistributedDataParallel on the ranks of a place."""
    return Peer(
        "torch", f"DDP, {place.name}", "with_ddp", ("training",), TORCH, ranks=place.ranks,
        threads=place.threads,
    )  # fmt: skip


def gradients(network: Network) -> int:
    """Bytes that a step adds up."""
    return network.parameters * ITEMSIZE[network.dtype]


def measure_sums(wanted: Sequence[int], backend: str, progress: Progress) -> tuple[Sums, list[Row]]:
    """Sums over ranks of this host, back to back, of several sizes: (bytes, seconds), and rows."""
    found: Sums = {}
    rows = []
    for ranks in sorted({*wanted} - {1}):
        progress(f"sums over {ranks} ranks")
        every = reduction.measure(ranks, reduction.SIZES, backend)
        for size, seconds in zip(reduction.SIZES, every, strict=True):
            found.setdefault(ranks, []).append((float(size), statistics.median(seconds)))
            rows.append(_sum_row(size, ranks, seconds))
    return found, rows


def _sum_row(size: int, ranks: int, seconds: Sequence[float]) -> Row:
    return Row(
        "reduction", f"sum of {size:,} bytes back to back", "mpi", f"{ranks} ranks",
        size=size // 4, seconds=tuple(seconds), bytes=float(size),
    )  # fmt: skip


def measure_scaling(
    network: Network,
    backend: str,
    wanted: Sequence[int],
    sums: Sums,
    processes: Processes,
    *,
    torch: bool = False,
    python: bool = False,
    rounds: int = 7,
    progress: Progress = silent,
) -> Scaling:
    """One network on ranks of this host, and the model of it, which knows single ranks and sums.

    What runs as ranks is checked against float64 on one, and is not timed where it differs.
    """
    spots = places(wanted, usable_cores())
    several = [spot for spot in spots if spot.ranks > 1]
    machine, parts = _model(network, backend, several, sums, processes, rounds, progress)
    own = [together(backend, spot) for spot in spots if spot.ranks == 1]
    at: dict[Place, int] = {}
    for spot in several:  # each in turn with its work and its sums
        at[spot] = len(own)
        own += [together(backend, spot), work_alone(backend, spot)]
        if not _crowded(spot, usable_cores()):
            own.append(sums_alone(backend, spot))
    others = [in_python(backend, spot) for spot in several if python]
    others += [with_torch(spot) for spot in several if torch]
    measured = measure_peers(
        [*own, *others], Task("training", network), processes, rounds, progress, ROUND_SECONDS
    )
    rows = [_scaling(row) for row in measured]
    found = rows[: len(spots) - len(several)]
    for spot in several:
        last = at[spot] + (2 if _crowded(spot, usable_cores()) else 3)
        row, *own_parts = rows[at[spot] : last]
        if row.seconds and all(one.seconds for one in own_parts):
            took = [alike(row.seconds, one.seconds) for one in own_parts]
            took = took if len(took) > 1 else [*took, machine.local(spot.ranks)]
            machine = machine.told(network.batch, spot.ranks, spot.threads, *took)
        parts += own_parts
        found.append(_predicted(row, machine, network, spot))
    return Scaling(network, machine, found, rows[len(own) :], parts)


def alike(steps: Sequence[float], sums: Sequence[float]) -> float:
    """The median of sums or work, by round, of rounds whose steps took as long as the median one.

    On a virtual machine two cores are near each other in one second and far apart in the next (80,
    200 or 420 ns from one to the other and back; EPYC, Zen 5), which may be half of a small step.
    """
    median = statistics.median(steps)
    kept = [sum for step, sum in zip(steps, sums, strict=True) if abs(step / median - 1.0) < ALIKE]
    return statistics.median(kept or sums)


def _model(
    network: Network, backend: str, several: Sequence[Place], sums: Sums, processes: Processes,
    rounds: int, progress: Progress,
) -> tuple[Machine, list[Row]]:  # fmt: skip
    """What the model knows of work on fewer rows than ranks have here: steps of single ranks."""
    cores = usable_cores()
    work: dict[int, list[tuple[float, float]]] = {}
    kept = []
    for spot in dict.fromkeys((*several, Place(cores, 1))):
        if _crowded(spot, cores):
            continue
        for share in sorted({math.ceil(network.batch / (spot.ranks * n)) for n in FURTHER}):
            task, peers = Task("training", replace(network, batch=share)), [apart(backend, spot)]
            (row,) = measure_peers(peers, task, processes, rounds, progress, ROUND_SECONDS)
            kept.append(_scaling(row))
            if row.seconds:
                work.setdefault(spot.threads, []).append((share, row.median))
    work = {threads: sorted(points) for threads, points in work.items()}
    return Machine(cores, work, sums, gradients(network)), kept


def _crowded(place: Place, cores: int) -> bool:
    return place.ranks * place.threads > cores


def _scaling(row: Row) -> Row:
    return replace(row, kind="scaling")


def _predicted(row: Row, machine: Machine, network: Network, place: Place) -> Row:
    """A row with the prediction beside it, of more than one rank."""
    work = place.ranks in machine.turns or place.threads in machine.work
    if place.ranks == 1 or not work or place.ranks not in machine.behind:
        return row
    said = machine.step(network.batch, place.ranks, place.threads)
    return replace(row, predicted=said)


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
