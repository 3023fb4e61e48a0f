"""The command line: train, predict, export, ops, warmup, devices, bench, course."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from . import __version__
from .benchmarks.commands.bench import bench
from .benchmarks.commands.devices import app as machine
from .core.command.console import honest, together
from .core.command.options import (
    Characters,
    DecimalSign,
    Delimiter,
    Drop,
    Header,
    Impute,
    Json,
    Missing,
    Types,
    check_target,
    read_report,
    sizes,
)  # fmt: skip
from .course.runner.command import course
from .kernels.errors import BadInput

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Dense neural networks on plain loops, NumPy, Numba or CUDA.",
)


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
    distributed: Annotated[
        bool,
        typer.Option(
            "--distributed",
            help="Share each batch's rows between the processes that mpiexec started; {rank} in"
            " the name of the data is then each one's number.",
        ),
    ] = False,
    rank_timeout: Annotated[
        float,
        typer.Option(
            help="With --distributed: end all processes after so many seconds in which one gives no"
            " sign of life; 0 for never."
        ),
    ] = 10.0,
    as_json: Json = False,
) -> None:
    """Trains a network and tests it on rows that it has not seen.

    With --resume, options that are not given are those that the file was begun with; --epochs,
    --batch-size, --learning-rate and --backend may be others than before.
    """
    from .core.command import jobs
    from .core.command.settings import NAMES, Settings

    def say(text: str) -> None:
        if not as_json and not team.rank:
            typer.echo(text)

    with honest(), together(distributed, rank_timeout) as team:
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
                data=data, label=label, task=task, impute=impute, test_size=test_size,
                hidden=None if hidden is None else sizes(hidden), activation=activation,
                backend=backend, epochs=epochs, batch_size=batch_size,
                learning_rate=learning_rate, dropout=dropout, dtype=dtype, seed=seed, loss=loss,
                types=types, missing=missing, header=header, drop=drop, delimiter=delimiter,
                decimal=decimal, encoding=encoding, recipe=recipe, members=members, time=time,
            )  # fmt: skip
        told = jobs.train(
            settings, say, save=save, resume=resume, overwrite=overwrite, log=log,
            verbose=0 if as_json else "auto", given=given, page=report, team=team,
        )  # fmt: skip
        if as_json and not team.rank:
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
    model: Annotated[Path, typer.Argument(help="A file of lamina train --save, or an ONNX file.")],
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
    from .core.command import predictions
    from .core.data.database import Reading
    from .core.data.plan import parted_words
    from .kernels.files import write

    with honest():
        check_target("--output", output)
        text = predictions.predict(
            predictions.opened(model, backend),
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


@app.command(epilog="Examples:\n\n  lamina export houses.safetensors houses.onnx")
def export(
    model: Annotated[Path, typer.Argument(help="A file that lamina train --save wrote.")],
    target: Annotated[Path, typer.Argument(help="The ONNX file to write.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file where it is there already.")
    ] = False,
) -> None:
    """Writes a model as an ONNX file, with its table's encoding, for any runtime."""
    from .core.command import exports

    with honest():
        check_target("the ONNX file", target)
        typer.echo(exports.export(model, target, overwrite))


app.add_typer(machine)
app.add_typer(bench, name="bench")
app.command(
    epilog="Examples:\n\n  lamina course\n\n  lamina course 2.8 --backend numba"
    "\n\n  lamina course all --out page --language both\n\n  lamina course 3.3 --notebook"
)(course)


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
