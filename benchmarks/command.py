"""`lamina bench`: the commands of the benchmark suite."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.console import honest
from ..kernels.errors import BadInput
from .pools import quiet_pools

bench = typer.Typer(
    no_args_is_help=False,
    help="Measures loops against vectorised against fused code on the backends of this machine.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@bench.command(
    epilog="Examples:\n\n  lamina bench compare old.json new.json"
    "\n\n  lamina bench compare main .   (a baseline, and a folder of results: several runs)"
    "\n\n  lamina bench compare --calibrate run1.json run2.json run3.json run4.json"
    "\n\nExit code: 0 nothing slower, 1 something slower or wrong, 2 bad input."
)
def compare(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="OLD NEW", help="Files, folders of files, or names of saved baselines."
        ),
    ],
    threshold: Annotated[
        float, typer.Option(help="Call no change below so many percent, however certain.")
    ] = 0.0,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate", help="All results are of one tree: keep their spread for this machine."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Compare results of different machines.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What got faster or slower between two trees, beyond the noise of this machine."""
    from . import compare_command

    with honest():
        if calibrate:
            typer.echo(compare_command.calibrate(results))
            return
        if len(results) != 2:
            raise BadInput(f"compare takes OLD and NEW, not {len(results)} names")
        old, new = results
        raise typer.Exit(compare_command.run(old, new, threshold, force, as_json))


@bench.command(
    epilog="Examples:\n\n  lamina bench crossover\n\n  lamina bench crossover --training"
    "\n\n  lamina bench crossover --op relu --op dense"
    "\n\nThen LAMINA_AUTO=measured lets backend='auto' go by it."
)
def crossover(
    op: Annotated[
        list[str] | None, typer.Option(help="Only this operation; may be given several times.")
    ] = None,
    training: Annotated[bool, typer.Option("--training", help="Only training.")] = False,
    file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file as well.")
    ] = None,
) -> None:
    """From which size on which backend wins on this machine; kept for LAMINA_AUTO=measured."""
    quiet_pools()
    from . import crossover_command

    with honest():
        crossover_command.run(op or (), training, file)
