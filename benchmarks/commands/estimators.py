"""`lamina bench estimators`: measures, prints as it goes, and writes the figures."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ...kernels.files import write
from .. import words
from ..environment import environment, title
from ..estimators import OURS, THEIRS, Case, measure


def bench_estimators(wanted: list[str], backend: str, file: Path | None) -> list[Case]:
    """The command; arguments as its help has them. Raises: UnknownName, BadInput, LaminaError."""
    console = Console()
    machine = environment()
    console.print(title(machine))
    cases: list[Case] = []
    with Console(stderr=True).status("") as status:
        for case in measure(wanted, backend, status.update):
            cases.append(case)
            console.print(_line(case), highlight=False)
    table = Table()
    for name in ("fit", OURS, THEIRS, "factor", "wanted"):
        table.add_column(name, justify="left" if name == "fit" else "right")
    for case in cases:
        told = [_told(case.seconds[who]) for who in (OURS, THEIRS)]
        factor = words.factor(case.factor)
        table.add_row(case.name.split(" (mean")[0], *told, factor, words.factor(case.wanted))
    console.print(table)
    if file is not None:
        rows: list[dict[str, Any]] = [
            {"case": case.name, "seconds": case.seconds, "factor": case.factor} for case in cases
        ]
        write(file, json.dumps({"environment": machine, "rows": rows}, indent=1) + "\n")
    return cases


def _line(case: Case) -> str:
    return f"{case.name}: {words.factor(case.factor)}"


def _told(seconds: list[float]) -> str:
    """The median, and the fastest and the slowest round."""
    middle, low, high = statistics.median(seconds), min(seconds), max(seconds)
    return f"{words.seconds(middle)} ({words.seconds(low)} to {words.seconds(high)})"
