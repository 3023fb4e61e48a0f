"""`lamina bench peers`: measures, prints as it goes, and writes the result."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ...kernels.errors import BadInput, unknown
from ...kernels.spec import FLOATS
from ..environment import environment, title
from ..networks import (
    LAYERS,
    LOSSES,
    NETWORKS,
    SMALL_TO_LARGE,
    WORDS,
    Network,
    changed,
    parse,
)  # fmt: skip
from ..peers.measurement import measure_peers, tasks
from ..peers.process import Processes
from ..peers.registry import choose
from ..peers.table import Cell, case_table, matrices, notes, remarks, summary
from ..result import Result, Row

KNOWN = {"dtype": FLOATS, "layer": LAYERS, "activation": WORDS, "loss": LOSSES}


def places(
    names: list[str], words: dict[str, str], cells: list[str], mode: str
) -> dict[Network, tuple[str, str]]:
    """The networks to measure, each with its own name and the cell that it stands in.

    words: an activation, a dropout, ... for all of them, by option. cells: what is put into each
    network in turn, as words behind colons. Raises: BadInput, UnknownName.
    """
    for kind, word in words.items():
        if word and kind in KNOWN and word not in KNOWN[kind]:
            raise unknown(kind, word, KNOWN[kind])
    networks = [parse(name) for name in names]
    if not networks and mode == "epoch":
        networks = [task.network for task in tasks(mode, [])]
    elif not networks:
        networks = list(SMALL_TO_LARGE if cells else NETWORKS)
    networks = [changed(network, [w for w in words.values() if w]) for network in networks]
    found: dict[Network, tuple[str, str]] = {}
    for cell in cells or [""]:
        for network in networks:
            made = changed(network, cell.split(":")) if cell else network
            found.setdefault(made, (f"{network.name}:{network.batch}", cell))
    return found


def bench_peers(
    names: list[str],
    wanted: list[str],
    backends: list[str],
    words: dict[str, str],
    cells: list[str],
    mode: str,
    rounds: int,
    json: Path | None,
) -> list[Row]:
    """The command; arguments as its help has them. Raises: BadInput, UnknownName."""
    chosen = choose(mode, wanted, backends)
    found = places(names, words, cells, mode)
    work = tasks(mode, list(found))
    if json is not None and not json.absolute().parent.is_dir():
        raise BadInput(f"--json: there is no folder {str(json.absolute().parent)!r}")
    console = Console()
    result = Result("peers", environment())
    console.print(title(result.environment))
    for remark in remarks(found):
        console.print(remark, markup=False, highlight=False)
    measured: list[Cell] = []
    with Processes() as processes, console.status("starting") as status:
        for task in work:
            rows = measure_peers(chosen, task, processes, rounds, status.update)
            result.rows += rows
            name, cell = found[task.network]
            measured.append(Cell(f"{name}, {task.rows} rows" if task.rows else name, cell, rows))
            console.print(case_table(rows, console.width))
            for note in notes(rows):
                console.print(note, markup=False, highlight=False)
            if json is not None:  # what was measured is kept if the next network is interrupted
                result.write(json)
    if cells:
        for table in matrices(measured):
            console.print(table)
    if len(work) > 1:
        console.print(summary(result.rows))
    console.print("A factor above 1: slower than lamina. ~: the spreads of the rounds overlap.")
    return result.rows
