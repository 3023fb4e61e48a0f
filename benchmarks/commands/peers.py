"""`lamina bench peers`: measures, prints as it goes, and writes the result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from ...kernels.errors import BadInput, unknown
from ...kernels.spec import FLOATS
from ..environment import environment, title
from ..networks import NETWORKS, parse
from ..peers.measurement import measure_peers, tasks
from ..peers.process import Processes
from ..peers.registry import choose
from ..peers.table import case_table, notes, summary
from ..result import Result, Row


def bench_peers(
    names: list[str],
    wanted: list[str],
    backends: list[str],
    dtype: str,
    mode: str,
    rounds: int,
    json: Path | None,
) -> list[Row]:
    """The command; arguments as its help has them. Raises: BadInput, UnknownName."""
    chosen = choose(mode, wanted, backends)
    networks = [parse(name) for name in names]
    if not networks and mode != "epoch":
        networks = list(NETWORKS)
    work = tasks(mode, networks)
    if dtype:
        if dtype not in FLOATS:
            raise unknown("dtype", dtype, FLOATS)
        work = [replace(task, network=replace(task.network, dtype=dtype)) for task in work]
    if json is not None and not json.absolute().parent.is_dir():
        raise BadInput(f"--json: there is no folder {str(json.absolute().parent)!r}")
    console = Console()
    result = Result("peers", environment())
    console.print(title(result.environment))
    with Processes() as processes, console.status("starting") as status:
        for task in work:
            rows = measure_peers(chosen, task, processes, rounds, status.update)
            result.rows += rows
            console.print(case_table(rows, console.width))
            for note in notes(rows):
                console.print(note, markup=False, highlight=False)
            if json is not None:  # what was measured is kept if the next network is interrupted
                result.write(json)
    if len(work) > 1:
        console.print(summary(result.rows))
    console.print("A factor above 1: slower than lamina. ~: the spreads of the rounds overlap.")
    return result.rows
