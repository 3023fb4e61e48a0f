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


@bench.callback(
    invoke_without_command=True,
    epilog="Examples:\n\n  lamina bench --quick\n\n  lamina bench --op relu --op adam_update"
    " --size 1000000\n\n  lamina bench --json here.json; lamina bench report here.json",
)
def measure(
    context: typer.Context,
    quick: Annotated[
        bool, typer.Option("--quick", help="A fixed sample in float32, in a minute.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Every case, size and dtype, however long.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check every way of computing; time nothing.")
    ] = False,
    op: Annotated[list[str] | None, typer.Option(help="Only this operation (repeatable).")] = None,
    backend: Annotated[
        list[str] | None, typer.Option(help="Only this backend (repeatable).")
    ] = None,
    size: Annotated[
        list[int] | None, typer.Option(help="Elements of the largest array (repeatable).")
    ] = None,
    dtype: Annotated[list[str] | None, typer.Option(help="float32 or float64.")] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the result to this file.")
    ] = None,
    save: Annotated[str, typer.Option(help="Keep the result as a baseline of this name.")] = "",
) -> None:
    """Measures loops against vectorised against fused code on the backends of this machine.

    Ten minutes at most, a minute with --quick. Everything is checked before it is timed.
    """
    if context.invoked_subcommand is not None:
        return
    with honest():
        from ..kernels.errors import BadInput
        from .run import Options
        from .suite_command import measure as run

        if quick + full + verify > 1:
            raise BadInput("--quick, --full and --verify exclude each other")
        mode = "quick" if quick else "full" if full else "verify" if verify else "default"
        options = Options(
            mode, tuple(op or ()), tuple(backend or ()), tuple(size or ()), tuple(dtype or ())
        )
        code = run(options, json, save)
    raise typer.Exit(code)


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
