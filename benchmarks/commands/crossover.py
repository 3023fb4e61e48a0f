"""`lamina bench crossover`: measures, shows, keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...backends import measured
from ...kernels.files import write
from ..cases import hot_ops
from ..crossover import document, measure_crossover, save, section


def bench_crossover(wanted: Sequence[str], training: bool, file: Path | None) -> None:
    """Measures what is asked for (all when nothing is), prints the table and keeps the figures.

    Raises: UnknownName; LaminaError for a backend that computes something else.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True)
    chosen = hot_ops(wanted) if wanted or not training else []
    found: dict[str, Any] = {}
    with console.status("") as status:
        for name, points in measure_crossover(chosen, training or not wanted, status.update):
            found[name] = points
    made = document(found)
    save(made)
    if file is not None:
        write(file, json.dumps(made, indent=1) + "\n")
    table = Table(
        title=f"{made['processor']}, {made['cores']} cores: {', '.join(made['backends'])}"
    )
    table.add_column("what", no_wrap=True)
    table.add_column("wins from this size on (elements, flops of a training step)")
    for name, points in found.items():
        table.add_row(name or "training", describe(section(points)["thresholds"]))
    Console().print(table)
    Console().print(f"kept in {measured.path()}: LAMINA_AUTO=measured uses it", highlight=False)


def describe(thresholds: Sequence[dict[str, Any]]) -> str:
    """`numpy, numba from 5.2e+03`, or `always numba`."""
    first, *later = thresholds
    if not later:
        return f"always {first['backend']}"
    return ", ".join([first["backend"], *(f"{t['backend']} from {t['from']:.2g}" for t in later)])
