"""`lamina bench scale`: measures ranks on this machine, and says what more of them would do."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ...kernels.errors import BadInput
from ...kernels.host import usable_cores
from ..environment import environment, title
from ..networks import NETWORKS, check, parse
from ..peers.process import Processes
from ..peers.registry import choose
from ..result import Result, Row
from ..scaling.launch import mpiexec
from ..scaling.measurement import Place, elsewhere, measure_scaling, measure_sums
from ..scaling.model import Link, bandwidth, latency
from ..scaling.table import hosts_table, links, measured_table, sums_table, verdict


def link_of(hosts: int, slowness: str, width: str) -> Link | None:
    """The network between hosts that the options describe. Raises: BadInput."""
    if bool(slowness) != bool(width) or (hosts > 1 and not slowness):
        raise BadInput(
            "a network between hosts has both --latency, such as 20us, and --bandwidth, such as"
            " 10Gbit"
        )
    return Link(latency(slowness), bandwidth(width)) if slowness else None


def bench_scale(
    names: list[str],
    ranks: list[int],
    backend: str,
    hosts: int,
    network: tuple[str, str],
    torch: bool,
    python: bool,
    rounds: int,
    json: Path | None,
) -> list[Row]:
    """The command; arguments as its help has them; network: latency and bandwidth as texts.

    Raises: BadInput, UnknownName.
    """
    link = link_of(hosts, *network)
    chosen = [parse(name) for name in names] or list(NETWORKS)
    for one in chosen:
        check(one)
    if python and backend != "numba":
        raise BadInput(f"--python-sums is for --backend numba: {backend} has no others")
    if json is not None and not json.absolute().parent.is_dir():
        raise BadInput(f"--json: there is no folder {str(json.absolute().parent)!r}")
    choose("training", [], [backend])  # raises for one that is not there
    mpiexec()
    console = Console()
    result = Result("scale", environment())
    console.print(title(result.environment))
    cores = usable_cores()
    everywhere = Place(cores, 1)
    wanted = sorted({*ranks, cores})
    if max(wanted) > cores:
        console.print(
            f"{max(wanted)} ranks share {cores} cores here and take turns: that is measured to see"
            " whether it is right and what it costs, not because it pays."
        )
    with Processes() as processes, console.status("") as status:
        sums, rows = measure_sums(wanted, backend, status.update)
        result.rows += rows
        if rows:
            console.print(sums_table(rows))
        for one in chosen:
            found = measure_scaling(
                one, backend, wanted, sums, processes, torch=torch, python=python, rounds=rounds,
                progress=status.update,
            )  # fmt: skip
            result.rows += found.all
            console.print(measured_table(found))
            for row in found.all:
                if row.reason:
                    console.print(
                        f"{row.backend}, {row.variant}: {row.reason}", markup=False, highlight=False
                    )
            if link is not None and found.machine.work.get(1):
                counts = sorted({1, *(2**n for n in range(1, hosts.bit_length())), hosts})
                there = elsewhere(found, backend, everywhere, counts, link)
                result.rows += there[1:]
                console.print(hosts_table(found, there, one.batch))
            console.print(verdict(found, everywhere, link), highlight=False)
            if json is not None:
                result.write(json)
    for line in links(found):
        console.print(line, highlight=False)
    return result.rows
