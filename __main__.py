"""The command line: `lamina train`, `lamina devices`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from .kernels.errors import BadInput, LaminaError, UnknownName

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Dense neural networks on plain loops, NumPy, Numba or CUDA.",
)

USAGE, FAILED = 2, 1  # exit codes: a wrong argument, and a run that did not succeed


def _fail(error: LaminaError) -> NoReturn:
    """Says what is wrong on the error stream and leaves with an honest exit code."""
    typer.echo(f"lamina: {error}", err=True)
    raise typer.Exit(USAGE if isinstance(error, (BadInput, UnknownName)) else FAILED)


def _sizes(text: str) -> list[int]:
    """`128,64` as [128, 64]; an empty text is no hidden layer: logistic regression."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise BadInput(f"--hidden takes layer sizes such as 128,64, not {text!r}")
    return [int(part) for part in parts]


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command(
    epilog="Examples:\n\n  lamina train\n\n  lamina train planar --hidden 4 --activation tanh"
    " --epochs 200\n\n  lamina train digits --backend numpy --save digits.safetensors"
)
def train(
    data: Annotated[str, typer.Argument(help="digits, planar, moons or circles")] = "digits",
    hidden: Annotated[str, typer.Option(help="Sizes of the hidden layers.")] = "128,64",
    activation: Annotated[str, typer.Option(help="Activation of the hidden layers.")] = "relu",
    backend: Annotated[
        str, typer.Option(help="auto, loops, numpy, numba, cupy, cpu, cuda:0, or a list of them.")
    ] = "auto",
    epochs: Annotated[int, typer.Option(min=0, help="Passes over the training data.")] = 60,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows a step.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Adam's learning rate.")] = 1e-3,
    dropout: Annotated[float, typer.Option(help="Drop rate behind each hidden layer.")] = 0.2,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    seed: Annotated[int, typer.Option(help="Keys weights, order of rows, dropout, split.")] = 0,
    save: Annotated[Path | None, typer.Option(help="Write the model to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Trains a network and tests it on rows that it has not seen."""
    settings = {
        "data": data, "hidden": hidden, "activation": activation, "backend": backend,
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate,
        "dropout": dropout, "dtype": dtype, "seed": seed,
    }  # fmt: skip
    try:
        if save is not None and not save.absolute().parent.is_dir():
            raise BadInput(f"--save: there is no folder {str(save.absolute().parent)!r}")
        report = _train(settings, save, quiet=as_json)
    except LaminaError as error:
        _fail(error)
    except OSError as error:
        typer.echo(f"lamina: {error}", err=True)
        raise typer.Exit(FAILED) from None
    if as_json:
        typer.echo(json.dumps(report))


def _train(settings: dict[str, Any], save: Path | None, quiet: bool) -> dict[str, Any]:
    from .core import datasets
    from .core.layers import Dense, Dropout, Layer
    from .core.model import Sequential
    from .core.optimizers import Adam

    def say(text: str) -> None:
        if not quiet:
            typer.echo(text)

    sizes = _sizes(settings["hidden"])
    found = datasets.load(settings["data"], seed=settings["seed"])
    classes = len(found.class_names)
    layers: list[Layer] = []
    for size in sizes:
        layers.append(Dense(size, settings["activation"]))
        if settings["dropout"]:
            layers.append(Dropout(settings["dropout"]))
    two = classes == 2
    layers.append(Dense(1, "sigmoid") if two else Dense(classes, "softmax"))
    model = Sequential(
        layers,
        loss="binary_cross_entropy" if two else "cross_entropy",
        optimizer=Adam(settings["learning_rate"]),
        metrics=("accuracy",),
        backend=settings["backend"],
        dtype=settings["dtype"],
        seed=settings["seed"],
    )
    rows, columns = found.x_train.shape
    say(f"data     {found.name}: {rows} rows to train, {len(found.x_test)} to test,")
    say(f"         {columns} features, {classes} classes")
    say(f"network  {'-'.join(map(str, [columns, *sizes, 1 if two else classes]))}, {model.dtype}")
    say(f"backend  {model.backend.name}, {model.backend.device}")
    say(f"         chosen by {model.backend_reason}")
    start = time.perf_counter()
    history = model.fit(
        found.x_train,
        found.y_train,
        epochs=settings["epochs"],
        batch_size=min(settings["batch_size"], rows),
        verbose=0 if quiet else "auto",
    )
    seconds = time.perf_counter() - start
    tested = model.evaluate(found.x_test, found.y_test)
    say(f"trained in {seconds:.1f} s; test loss {tested['loss']:.4f}")
    say(f"test accuracy {tested['accuracy']:.4f}")
    if save is not None:
        model.save(save)
        say(f"saved to {save}")
    return {
        "settings": settings,
        "backend": model.backend.name,
        "device": model.backend.device,
        "chosen_by": model.backend_reason,
        "rows": rows,
        "features": columns,
        "classes": classes,
        "history": history.history,
        "seconds": seconds,
        "test": tested,
        "saved": None if save is None else str(save),
    }


@app.command(epilog="Examples:\n\n  lamina devices\n\n  lamina devices --check numba")
def devices(
    probe: Annotated[bool, typer.Option("--probe", help="Probe again, and time it.")] = False,
    check: Annotated[
        str, typer.Option(help="Run every operation on this backend against the oracle.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Lists the backends: which can run here, and what mends those that cannot."""
    from .backends import registry

    try:
        if check:
            raise typer.Exit(_check(registry.get_backend(check), as_json))
    except LaminaError as error:
        _fail(error)
    rows = []
    for name in registry.names():
        start = time.perf_counter()
        found = registry.status(name)
        rows.append((found, time.perf_counter() - start))
    if as_json:
        typer.echo(json.dumps([{**vars(s), "probe_seconds": t} for s, t in rows]))
        return
    for status, seconds in rows:
        took = f"  (probed in {seconds:.2f} s)" if probe else ""
        if status.available:
            typer.echo(f"{status.name:<8} available      {status.device}{took}")
        else:
            typer.echo(f"{status.name:<8} not available  {status.reason}{took}")
            typer.echo(f"{'':<8} to mend it     {status.fix}")


def _check(backend: Any, as_json: bool) -> int:
    """Runs the conformance kit; 0 when every operation passes."""
    from .backends.conformance import check_all

    failed: dict[str, list[str]] = {}
    count = 0
    for name, failures in check_all(backend):
        count += 1
        if failures:
            failed[name] = [str(f) for f in failures]
        if not as_json:
            typer.echo(f"{'FAIL' if failures else 'PASS'}  {name}")
            for failure in failures:
                typer.echo(f"      {failure}")
    passed = count - len(failed)
    if as_json:
        typer.echo(json.dumps({"backend": backend.name, "passed": passed, "failures": failed}))
    else:
        typer.echo(f"{backend!r}: {passed} of {count} operations pass")
    return FAILED if failed else 0


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
