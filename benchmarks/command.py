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
    epilog="Examples:\n\n  lamina bench report result.json"
    "\n\n  lamina bench report suite.json peers.json --html page.html"
    "\n\n  lamina bench report result.json --markdown -"
)
def report(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULT...", help="Files that lamina bench wrote.")
    ],
    html: Annotated[
        Path | None,
        typer.Option(help="Write the page here; beside the first result if no file is named."),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write README's tables to this file; - prints them.")
    ] = None,
    readme: Annotated[
        Path | None,
        typer.Option(help="Rewrite the tables between this file's <!-- bench:begin --> and end."),
    ] = None,
) -> None:
    """One page about results: it needs no network and follows light and dark."""
    with honest():
        from .report_command import run

        run(results, html, markdown, readme)
