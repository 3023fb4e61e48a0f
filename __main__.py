"""The command line: `lamina train`, `predict`, `ops`, `warmup`, `devices`, `bench`."""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

from . import __version__
from .benchmarks.commands.bench import bench
from .core.command.console import FAILED, honest
from .core.command.options import (
    Characters,
    DecimalSign,
    Delimiter,
    Drop,
    Header,
    Impute,
    Missing,
    Types,
    check_target,
    read_report,
    sizes,
)  # fmt: skip
from .kernels.errors import BadInput

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Dense neural networks on plain loops, NumPy, Numba or CUDA.",
)

app.add_typer(bench, name="bench")


def _version(asked: bool) -> None:
    """Prints the version and ends."""
    if asked:
        typer.echo(f"lamina {__version__}")
        raise typer.Exit


@app.callback()
def lamina(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Say which version."),
    ] = False,
) -> None:
    """What all commands share."""


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command(
    epilog="Examples:\n\n  lamina train\n\n  lamina train planar --hidden 4 --activation tanh"
    "\n\n  lamina train houses.csv --label price --save houses.safetensors"
    "\n\n  lamina train digits --json > run.json; lamina train --repeat run.json"
)
def train(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Argument(
            help="digits, planar, moons, circles, fashion-mnist; a table: CSV or TSV,"
            " Parquet, JSON lines, Arrow, a quoted pattern of files, or a query that begins with"
            " SELECT; or an NPZ."
        ),
    ] = "digits",
    hidden: Annotated[
        str | None,
        typer.Option(help="Sizes of the hidden layers, such as 128,64; left away: the recipe's."),
    ] = None,
    activation: Annotated[
        str, typer.Option(help="Activation of the hidden layers; auto: the recipe's.")
    ] = "auto",
    loss: Annotated[
        str,
        typer.Option(
            help="Of a regression mean_absolute_error, huber or quantile, of classes focal (of two"
            " binary_focal); auto: the squared error, or cross-entropy."
        ),
    ] = "auto",
    backend: Annotated[
        str, typer.Option(help="auto, loops, numpy, numba, cupy, cpu, cuda:0, or a list of them.")
    ] = "auto",
    recipe: Annotated[
        str,
        typer.Option(
            help="tabular: an ensemble that stops early; simple: one plain network; auto: tabular"
            " for tables, simple for all else."
        ),
    ] = "auto",
    epochs: Annotated[
        int | None, typer.Option(min=0, help="Passes over the training data, at most.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows a step.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Adam's learning rate; of a schedule its highest.")
    ] = None,
    dropout: Annotated[
        float | None, typer.Option(help="Drop rate behind each hidden layer.")
    ] = None,
    members: Annotated[
        int | None, typer.Option(min=1, help="Networks of the ensemble that a table is taught.")
    ] = None,
    time: Annotated[
        float | None, typer.Option(help="Seconds that training on a table may take, about.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    seed: Annotated[int, typer.Option(help="Keys weights, order of rows, dropout, split.")] = 0,
    label: Annotated[
        str | None, typer.Option(help="A table's label column; the last one if not named.")
    ] = None,
    task: Annotated[
        str, typer.Option(help="classification, regression, or auto: decided from the label.")
    ] = "auto",
    impute: Impute = True,
    types: Types = None,
    missing: Missing = None,
    header: Header = None,
    drop: Drop = None,
    delimiter: Delimiter = None,
    decimal: DecimalSign = None,
    encoding: Characters = None,
    test_size: Annotated[
        float, typer.Option(help="Share of the rows held out to test; 0 trains on all of them.")
    ] = 0.2,
    save: Annotated[
        Path | None, typer.Option(help="Write the model to this file after every epoch.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the file of --save, if it is there.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew although the file of --save is there.")
    ] = False,
    log: Annotated[
        Path | None, typer.Option(help="Append a line per epoch to this .csv or .jsonl file.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write what the test says, beside simpler models, to this .html page, or .txt."
        ),
    ] = None,
    repeat: Annotated[
        Path | None,
        typer.Option("--repeat", "--from-json", help="Repeat the run that --json printed."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Trains a network and tests it on rows that it has not seen.

    With --resume, options that are not given are those that the file was begun with; --epochs,
    --batch-size, --learning-rate and --backend may be others than before.
    """
    from .core.command import jobs
    from .core.command.settings import NAMES, Settings

    def say(text: str) -> None:
        if not as_json:
            typer.echo(text)

    with honest():
        check_target("--save", save)
        check_target("--log", log)
        check_target("--report", report)
        given = _given(context)
        if repeat is not None:
            _check_repeat(given)
            settings = Settings.from_json(read_report(repeat))
            given = set(NAMES)
        else:
            settings = Settings(
                data, label, task, impute, test_size, None if hidden is None else sizes(hidden),
                activation, backend, epochs, batch_size, learning_rate, dropout, dtype, seed,
                loss, types, missing, header, drop, delimiter, decimal, encoding, recipe,
                members, time,
            )  # fmt: skip
        told = jobs.train(
            settings, say, save=save, resume=resume, overwrite=overwrite, log=log,
            verbose=0 if as_json else "auto", given=given, page=report,
        )  # fmt: skip
        if as_json:
            typer.echo(json.dumps(told))


def _given(context: typer.Context) -> set[str]:
    """The parameters that stand on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def _check_repeat(given: set[str]) -> None:
    """Raises BadInput for a setting given beside --repeat, which would be another run."""
    from .core.command.settings import NAMES, option

    for name in NAMES:
        if name in given:
            raise BadInput(
                f"--repeat takes all settings from the report: leave {option(name)} away"
            )


@app.command(
    epilog="Examples:\n\n  lamina predict houses.safetensors new.csv"
    "\n\n  lamina predict houses.safetensors new.csv --output prices.csv"
    "\n\n  lamina predict flowers.safetensors new.csv --strict"
)
def predict(
    model: Annotated[Path, typer.Argument(help="A file that lamina train --save wrote.")],
    data: Annotated[
        str,
        typer.Argument(
            help="A table with the model's columns, as in lamina train; or x in an NPZ or NPY."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(help="Write the CSV to this file, not to the screen.")
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Refuse words that training never saw, and cells that are missing."
        ),
    ] = False,
    missing: Missing = None,
    header: Header = None,
    delimiter: Delimiter = None,
    decimal: DecimalSign = None,
    encoding: Characters = None,
    escape_formulas: Annotated[
        bool,
        typer.Option(
            "--escape-formulas",
            help="Put ' before names that a spreadsheet would compute, such as =1+1.",
        ),
    ] = False,
    backend: Annotated[str, typer.Option(help="As in lamina train.")] = "auto",
) -> None:
    """Predicts for every row: class and probabilities, or the value, as CSV.

    Names of classes are written exactly, for programs; for spreadsheets, see --escape-formulas.
    """
    from .core.command import jobs
    from .core.data.database import Reading
    from .core.data.plan import parted_words
    from .core.loading import load
    from .kernels.files import write

    with honest():
        check_target("--output", output)
        text = jobs.predict(
            load(model, backend),
            data,
            reading=Reading(
                None if missing is None else tuple(parted_words(missing)),
                header,
                (),
                delimiter,
                decimal,
                encoding,
            ),
            strict=strict,
            escape_formulas=escape_formulas,
            say=lambda note: typer.echo(f"note: {note}", err=True),  # the CSV stays clean
        )
        if output is None:
            typer.echo(text, nl=False)
        else:
            write(output, text)
            typer.echo(f"{text.count(chr(10)) - 1} rows written to {output}")


@app.command(epilog="Examples:\n\n  lamina ops\n\n  lamina ops gelu\n\n  lamina ops dense --json")
def ops(
    name: Annotated[str, typer.Argument(help="An operation; all of them if none is named.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON and nothing else: a list without NAME.")
    ] = False,
) -> None:
    """Lists the operations, or prints the row of one and where it is computed."""
    from .core.command import operations
    from .kernels.ops import OPS

    with honest():
        if name:
            found = operations.described(name)
            typer.echo(json.dumps(found) if as_json else operations.text(found))
        elif as_json:
            typer.echo(json.dumps([operations.described(each) for each in OPS]))
        else:
            typer.echo(operations.table())


@app.command(
    epilog="Examples:\n\n  lamina warmup\n\n  LAMINA_CACHE_DIR=/var/cache/lamina lamina warmup"
)
def warmup(
    backend: Annotated[str, typer.Option(help="As in lamina train.")] = "auto",
    measure: Annotated[
        bool | None,
        typer.Option(
            "--measure/--no-measure",
            help="Measure this machine's thresholds anew, or not at all; else if there are none.",
        ),
    ] = None,
) -> None:
    """Compiles ahead what a first training would compile, and keeps it on disk.

    Then measures, in some ten seconds, from which sizes on which way of computing is the faster one
    here (backend numba). It counts for programs that start later; until then, and on a machine that
    is too busy to measure, the defaults do.
    """
    from .backends.selection import preferred
    from .core.command.thresholds import lines

    with honest():
        chosen = preferred(backend).backend
        start = perf_counter()
        count = sum(1 for _ in chosen.warmup())
        seconds = perf_counter() - start
        typer.echo(f"{chosen.name}: {count} pieces of machine code ready in {seconds:.1f} s")
        if chosen.thresholds()[1] and measure is not False:
            _measure(anew=measure is True)
        for line in lines(chosen):
            typer.echo(line)


def _measure(anew: bool) -> None:
    """Measures the thresholds of native programs, where that is wanted."""
    from .benchmarks import tuning
    from .kernels import thresholds

    if thresholds.mode() == "default" or not (anew or thresholds.problem()):
        return
    start = perf_counter()
    try:
        path = tuning.measure_and_keep()
    except tuning.Unquiet as error:
        typer.echo(f"nothing was measured, and no file written: {error}")
    else:
        seconds = perf_counter() - start
        typer.echo(f"thresholds measured in {seconds:.1f} s, for programs that start now: {path}")


@app.command(epilog="Examples:\n\n  lamina devices\n\n  lamina devices --check numba")
def devices(
    probe: Annotated[bool, typer.Option("--probe", help="Say how long each probe took.")] = False,
    check: Annotated[
        str,
        typer.Option(
            help="Run every operation and whole programs on this backend against the oracle."
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Lists the backends: which can run here, and what mends those that cannot."""
    from .backends import registry
    from .backends.selection import get_backend
    from .core.command.thresholds import described, lines

    if check:
        with honest():
            raise typer.Exit(_check(get_backend(check), as_json))
    rows = []
    for name in registry.names():
        start = perf_counter()
        found = registry.status(name)
        rows.append((found, perf_counter() - start))
    if as_json:
        told = [
            {**vars(s), "probe_seconds": t, "thresholds": described(s.name) if s.available else {}}
            for s, t in rows
        ]
        typer.echo(json.dumps(told))
        return
    for status, seconds in rows:
        took = f"  (probed in {seconds:.2f} s)" if probe else ""
        if status.available:
            typer.echo(f"{status.name:<8} available      {status.device}{took}")
            for line in lines(get_backend(status.name)):
                typer.echo(f"{'':<8} {line}")
        else:
            typer.echo(f"{status.name:<8} not available  {status.reason}{took}")
            typer.echo(f"{'':<8} to mend it     {status.fix}")


def _check(backend: Any, as_json: bool) -> int:
    """Runs the conformance kit; 0 when every operation and every program passes."""
    from .backends.conformance import check_operations
    from .core.conformance import check_programs

    failed: dict[str, list[str]] = {}
    counts: dict[str, dict[str, int]] = {}
    for kind, found in (
        ("operations", check_operations(backend)),
        ("programs", check_programs(backend)),
    ):
        counts[kind] = {"passed": 0, "checked": 0}
        for name, failures in found:
            counts[kind]["checked"] += 1
            counts[kind]["passed"] += not failures
            if failures:
                failed[name] = [str(f) for f in failures]
            if not as_json:
                typer.echo(f"{'FAIL' if failures else 'PASS'}  {name}")
                for failure in failures:
                    typer.echo(f"      {failure}")
    if as_json:
        passed = sum(count["passed"] for count in counts.values())
        report = {"backend": backend.name, "passed": passed, **counts, "failures": failed}
        typer.echo(json.dumps(report))
    else:
        told = [f"{c['passed']} of {c['checked']} {kind}" for kind, c in counts.items()]
        typer.echo(f"{backend!r}: {' and '.join(told)} pass")
    return FAILED if failed else 0


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
