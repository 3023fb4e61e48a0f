"""`lamina bench`: the commands of the benchmark suite."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...core.command.console import honest
from ...kernels.errors import BadInput
from ..pools import quiet_pools

Target = Annotated[Path | None, typer.Option("--json", help="Write the result to this file.")]
Rounds = Annotated[int, typer.Option(min=1, help="Interleaved rounds of each.")]

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
    json: Target = None,
    save: Annotated[str, typer.Option(help="Keep the result as a baseline of this name.")] = "",
    runs: Annotated[
        int, typer.Option(min=1, help="With --save: so many runs, each a process of its own.")
    ] = 1,
) -> None:
    """Measures loops against vectorised against fused code on the backends of this machine.

    Ten minutes at most, a minute with --quick. Everything is checked before it is timed.
    """
    if context.invoked_subcommand is not None:
        return
    quiet_pools()
    with honest():
        from ..suite import Options
        from .suite import bench_suite, repeat_suite

        if quick + full + verify > 1:
            raise BadInput("--quick, --full and --verify exclude each other")
        mode = "quick" if quick else "full" if full else "verify" if verify else "default"
        options = Options(
            mode, tuple(op or ()), tuple(backend or ()), tuple(size or ()), tuple(dtype or ())
        )
        code = repeat_suite(save, runs) if runs > 1 else bench_suite(options, json, save)
    raise typer.Exit(code)


@bench.command(
    epilog="Examples:\n\n  lamina bench peers\n\n  lamina bench peers 784-128-10:64 --peer jax"
    "\n\n  lamina bench peers --mode inference --json peers.json"
    "\n\n  lamina bench peers 64-64-10:32 --layer own_layer_norm --loss huber --dropout 0.2"
    "\n\n  lamina bench peers --peer jax --cells   (layers and losses in four networks)"
    "\n\n  lamina bench peers 64-64-10:32 --cell relu --cell own_layer_norm:own_huber"
)
def peers(
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NETWORK",
            help="784-128-10:64:tanh:float64 and the like; the suite's seven if none is named,"
            " with cells four others.",
        ),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            help="numpy, torch, jax, scikit-learn or onnxruntime; all if none is named. products:"
            " a step's matrix products alone, as a bound."
        ),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Of lamina's; all that can run here, apart from loops, if none is."),
    ] = None,
    dtype: Annotated[str, typer.Option(help="float32 or float64, for all networks.")] = "",
    layer: Annotated[
        str,
        typer.Option(
            help="Behind each hidden layer: layer_norm, batch_norm, residual; own_layer_norm and"
            " the like, own_gated: spelled by hand in lm.ops."
        ),
    ] = "",
    activation: Annotated[
        str, typer.Option(help="Of the hidden layers; own_swish and the like by hand.")
    ] = "",
    loss: Annotated[
        str,
        typer.Option(
            help="huber, focal, label_smoothing, ...; own_huber and the like by hand. What fits"
            " if none is named."
        ),
    ] = "",
    dropout: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Rate behind each hidden layer.")
    ] = None,
    cell: Annotated[
        list[str] | None,
        typer.Option(
            help="Measure each network with these words put in, such as own_swish:dropout=0.2"
            " (repeatable)."
        ),
    ] = None,
    cells: Annotated[
        bool, typer.Option("--cells", help="The cells that any graph's speed is judged by.")
    ] = False,
    mode: Annotated[
        str,
        typer.Option(
            help="training: steps; inference: 1 and 256 rows; epoch: a data set's, shuffled."
        ),
    ] = "training",
    rounds: Rounds = 7,
    json: Target = None,
) -> None:
    """Measures lamina beside other libraries, on the same work, checked before it is timed."""
    with honest():
        from ..networks import CELLS
        from .peers import bench_peers

        words = {
            "dtype": dtype, "layer": layer, "activation": activation, "loss": loss,
            "dropout": "" if dropout is None else f"dropout={dropout!r}",
        }  # fmt: skip
        wanted = [*(CELLS if cells else ()), *(cell or ())]
        bench_peers(networks or [], peer or [], backend or [], words, wanted, mode, rounds, json)


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
    with honest():
        from .compare import bench_compare, calibrate_spread

        if calibrate:
            typer.echo(calibrate_spread(results))
            return
        if len(results) != 2:
            raise BadInput(f"compare takes OLD and NEW, not {len(results)} names")
        old, new = results
        raise typer.Exit(bench_compare(old, new, threshold, force, as_json))


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
    with honest():
        from .crossover import bench_crossover

        bench_crossover(op or (), training, file)


@bench.command(
    epilog="Examples:\n\n  lamina bench estimators\n\n  lamina bench estimators table search"
)
def estimators(
    cases: Annotated[
        list[str] | None,
        typer.Argument(metavar="CASE", help="fashion, table or search; all if none is named."),
    ] = None,
    backend: Annotated[str, typer.Option(help="Of lamina's.")] = "numba",
    file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file as well.")
    ] = None,
) -> None:
    """Fits of lm.MLPClassifier beside scikit-learn's: the answers compared, then timed in turns."""
    with honest():
        from .estimators import bench_estimators

        bench_estimators(cases or [], backend, file)


@bench.command(
    epilog="Examples:\n\n  lamina bench scale 784-512-256-10:128"
    "\n\n  lamina bench scale 2048-2048-10:1024 --hosts 16 --latency 20us --bandwidth 10Gbit"
)
def scale(
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NETWORK",
            help="784-128-10:64 and the like; the suite's seven if none is named.",
        ),
    ] = None,
    ranks: Annotated[
        list[int] | None, typer.Option(min=1, help="Ranks on this host (repeatable); 1, 2 and 4.")
    ] = None,
    backend: Annotated[str, typer.Option(help="Of lamina's.")] = "numba",
    hosts: Annotated[int, typer.Option(min=1, help="Predict up to so many hosts like this.")] = 1,
    latency: Annotated[str, typer.Option(help="Of a message between hosts: 20us.")] = "",
    bandwidth: Annotated[str, typer.Option(help="Of a host's network: 10Gbit, 1.25GB.")] = "",
    python_sums: Annotated[
        bool, typer.Option("--python-sums", help="Sums called from Python beside the native ones.")
    ] = False,
    torch: Annotated[
        bool, typer.Option("--torch", help="PyTorch's DistributedDataParallel beside it.")
    ] = False,
    rounds: Rounds = 7,
    json: Target = None,
) -> None:
    """Training on ranks of MPI: measured here, and predicted for more hosts, as far as it pays."""
    with honest():
        from .scale import bench_scale

        network = (latency, bandwidth)
        bench_scale(
            networks or [], ranks or [1, 2, 4], backend, hosts, network, torch, python_sums,
            rounds, json,
        )  # fmt: skip


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
        from .report import bench_report

        bench_report(results, html, markdown, readme)
