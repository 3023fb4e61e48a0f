"""`lamina bench`: the commands of the benchmark suite."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.console import honest

bench = typer.Typer(
    no_args_is_help=False,
    help="Measures loops against vectorised against fused code on the backends of this machine.",
)


@bench.command(
    epilog="Examples:\n\n  lamina bench peers\n\n  lamina bench peers 784-128-10:64 --peer jax"
    "\n\n  lamina bench peers --mode inference --json peers.json"
)
def peers(
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NETWORK",
            help="784-128-10:64:tanh:float64 and the like; the suite's seven if none is named.",
        ),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(help="numpy, torch, jax, scikit-learn or onnxruntime; all if none is named."),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Of lamina's; all that can run here, apart from loops, if none is."),
    ] = None,
    dtype: Annotated[str, typer.Option(help="float32 or float64, for all networks.")] = "",
    mode: Annotated[
        str,
        typer.Option(
            help="training: steps; inference: 1 and 256 rows; epoch: a data set's, shuffled."
        ),
    ] = "training",
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds of each.")] = 7,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the result to this file.")
    ] = None,
) -> None:
    """Measures lamina beside other libraries, on the same work, checked before it is timed."""
    with honest():
        from .peers_command import run

        run(networks or [], peer or [], backend or [], dtype, mode, rounds, json)
