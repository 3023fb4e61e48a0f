"""Commands about this machine and what can be computed on it: ops, warmup, devices."""

from __future__ import annotations

import json
from time import perf_counter
from typing import Annotated, Any

import typer

from ...core.command.console import FAILED, honest
from ...core.command.options import Json

app = typer.Typer()


@app.command(epilog="Examples:\n\n  lamina ops\n\n  lamina ops gelu\n\n  lamina ops dense --json")
def ops(
    name: Annotated[str, typer.Argument(help="An operation; all of them if none is named.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON and nothing else: a list without NAME.")
    ] = False,
) -> None:
    """Lists the operations, or prints the row of one and where it is computed."""
    from ...core.command import operations
    from ...kernels.ops import OPS

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
    from ...backends.selection import preferred
    from ...core.command.thresholds import lines

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
    from ...kernels import thresholds
    from .. import tuning

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
    from ...backends import registry
    from ...backends.selection import get_backend
    from ...core.command.thresholds import described, lines

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
    from ...backends.conformance import check_operations
    from ...core.conformance import check_programs

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
