"""How commands of the shell fail: a line on the error stream, and an exit code."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from ...kernels import compilation
from ...kernels.errors import BadInput, LaminaError, UnknownName

if TYPE_CHECKING:
    from ..team import Team

USAGE, FAILED = 2, 1  # exit codes: a wrong argument, and a run that did not succeed

# What messages of the library advise, for those who write Python, and what a shell has for it.
ADVICE = (
    (r"Lower the learning rate, set clip_norm, or put lm\.Standardize\(\) first",
     "Give a lower --learning-rate"),
    (r'dtype="(float\d\d)"', r"--dtype \1"),
    (r"or train with imputation", "or train without --strict"),
    (r"label and impute are for", "--label and options for tables are for"),
    (r"choose another label or task", "choose another --label or --task"),
    (r": use classification", ": use --task classification"),
    (r"which training never saw: it knows (.*)",
     r"which training never saw: it knows \1 (without --strict it counts as none of them)"),
    (r"pass custom=.* to load", "it can be used from Python alone, lm.load(..., custom=...)"),
    (r"LogFile writes", "--log writes"),
)  # fmt: skip


def in_the_shell(message: str) -> str:
    """A message of the library, its advice in options of the command line.

    >>> in_the_shell('x has 1e+300 at row 1: scale it, or use dtype="float64"')
    'x has 1e+300 at row 1: scale it, or use --dtype float64'
    """
    for python, shell in ADVICE:
        message = re.sub(python, shell, message)
    return message


@contextlib.contextmanager
def together(distributed: bool, timeout: float) -> Iterator[Team]:
    """The processes that a command works in: one, or those that mpiexec started.

    timeout: seconds of silence after which a process counts as lost.
    An error that all of them meet is said by the first one alone; one that another meets ends all.
    """
    from ..team import ALONE  # with NumPy, which is told how to wait before it is loaded

    if not distributed:
        yield ALONE
        return
    from ..distributed import Distributed

    team = Distributed(timeout=timeout)
    try:
        with team.working():
            yield team
    except (LaminaError, OSError, KeyboardInterrupt) as error:
        if team.rank:
            raise typer.Exit(_code(error)) from None
        raise


@contextlib.contextmanager
def honest() -> Iterator[None]:
    """Says what went wrong on the error stream, without a traceback, and exits accordingly."""
    try:
        try:
            yield
        finally:  # before an error, which is the last line
            compilation.report()
    except BrokenPipeError:  # whoever read our output has enough
        raise typer.Exit(FAILED) from None
    except MemoryError:
        typer.echo("lamina: the data or the network is too large for this machine", err=True)
        raise typer.Exit(FAILED) from None
    except (LaminaError, OSError) as error:
        told = in_the_shell(str(error))
        if isinstance(error, OSError) and error.filename is not None:
            told = f"{error.filename}: {error.strerror}"
        typer.echo(f"lamina: {told}", err=True)
        raise typer.Exit(_code(error)) from None
    except KeyboardInterrupt as stop:
        typer.echo(f"lamina: {stop or 'interrupted'}", err=True)
        raise typer.Exit(_code(stop)) from None


def _code(error: BaseException) -> int:
    """The exit code of an error."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    return USAGE if isinstance(error, (BadInput, UnknownName)) else FAILED
