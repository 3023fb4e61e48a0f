"""`lamina bench`: the commands of the benchmark suite."""

from __future__ import annotations

import typer

bench = typer.Typer(
    no_args_is_help=False,
    help="Measures loops against vectorised against fused code on the backends of this machine.",
)
