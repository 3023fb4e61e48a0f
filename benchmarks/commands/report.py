"""`lamina bench report`: which files are written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from ...kernels.errors import BadInput
from ...kernels.files import write
from .. import report
from ..report import markdown


def bench_report(
    results: Sequence[Path], html: Path | None, tables: Path | None, readme: Path | None
) -> None:
    """Writes what was asked for; the page beside the first result if nothing was.

    Raises: BadInput, OSError.
    """
    if html is None and tables is None and readme is None:
        html = results[0].with_suffix(".html")
    if html is not None:
        if html in results:
            raise BadInput(f"--html: {html} is the result itself: name another file")
        report.write(results, html)
        _tell(html)
    if tables == Path("-"):
        typer.echo(markdown.block(results, Path.cwd()))
    elif tables is not None:
        write(tables, markdown.block(results, tables.parent) + "\n")
        _tell(tables)
    if readme is not None:
        markdown.rewrite(readme, results)
        _tell(readme)


def _tell(path: Path) -> None:
    typer.echo(f"wrote {path} ({path.stat().st_size / 1024:,.0f} KiB)", err=True)
