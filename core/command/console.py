"""How commands of the shell fail: a line on the error stream, and an exit code."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer

from ...kernels.errors import BadInput, LaminaError, UnknownName

USAGE, FAILED = 2, 1  # exit codes: a wrong argument, and a run that did not succeed


@contextlib.contextmanager
def honest() -> Iterator[None]:
    """Says what went wrong on the error stream, without a traceback, and exits accordingly."""
    try:
        yield
    except BrokenPipeError:  # whoever read our output has enough
        raise typer.Exit(FAILED) from None
    except MemoryError:
        typer.echo("lamina: the data or the network is too large for this machine", err=True)
        raise typer.Exit(FAILED) from None
    except (LaminaError, OSError) as error:
        told = str(error)
        if isinstance(error, OSError) and error.filename is not None:
            told = f"{error.filename}: {error.strerror}"
        typer.echo(f"lamina: {told}", err=True)
        wrong = isinstance(error, (BadInput, UnknownName))
        raise typer.Exit(USAGE if wrong else FAILED) from None
    except KeyboardInterrupt as stop:
        typer.echo(f"lamina: {stop or 'interrupted'}", err=True)
        raise typer.Exit(130) from None
