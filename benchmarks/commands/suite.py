"""`lamina bench`: measures with progress, shows, saves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ...kernels.errors import BadInput
from ...kernels.files import make_folder
from ...kernels.folder import folder
from ...kernels.isolated import PACKAGE, command
from ..result import Result
from ..suite import Options, measure_suite
from ..suite_table import show

AGAIN = f"sys.argv[0] = 'lamina'\nfrom {PACKAGE}.__main__ import main\nmain()"
BAR_AND_TIME = 22  # columns that these two need on a narrow terminal


def baseline(name: str) -> Path:
    """Where a baseline of that name lies. Raises: BadInput for what is no name."""
    if not name or not all(c.isalnum() or c in "-_." for c in name) or name.startswith("."):
        raise BadInput(f"a baseline's name has letters, digits, '-', '_' and '.', not {name!r}")
    return folder() / "benchmarks" / f"{name}.json"


def repeat_suite(save: str, runs: int) -> int:
    """The same command several times, each in a process of its own, into one baseline's folder.

    Only so does a baseline hold what differs from process to process. Raises: BadInput.
    """
    if not save:
        raise BadInput("--runs needs --save NAME: the runs are kept together as a baseline")
    place = baseline(save).with_suffix("")
    make_folder(place)
    for old in place.glob("*.json"):
        old.unlink()
    given = _without(sys.argv[1:], ("--runs", "--save", "--json"))
    worst = 0
    for number in range(1, runs + 1):
        target = place / f"{number}.json"
        started = command(AGAIN, *given, "--json", str(target))
        worst = max(worst, subprocess.run(started, check=False).returncode)
    return worst


def _without(arguments: list[str], options: tuple[str, ...]) -> list[str]:
    """A command line without some options and their values."""
    kept, words = [], iter(arguments)
    for word in words:
        if word in options:
            next(words, None)
        elif not word.startswith(tuple(f"{name}=" for name in options)):
            kept.append(word)
    return kept


def bench_suite(options: Options, json: Path | None, save: str) -> int:
    """Runs the suite; 1 where an answer was wrong. Ctrl-C keeps the rows so far."""
    targets = [json] if json else []
    if save:
        targets.append(baseline(save))
    if json is not None and not json.absolute().parent.is_dir():
        raise BadInput(f"--json: there is no folder {str(json.absolute().parent)!r}")
    console, errors = Console(), Console(stderr=True)
    if not console.is_terminal:  # a file or a pipe has no width of its own
        console = Console(width=130)
    result = Result(options.mode, {})
    name = max(min(errors.width - BAR_AND_TIME, 34), 8)
    what = TextColumn(f"{{task.description:<{name}.{name}}}")
    columns = (what, BarColumn(), TimeElapsedColumn())
    interrupted = False
    try:
        with Progress(*columns, console=errors, transient=True) as progress:
            task = progress.add_task("starting", total=1.0)
            measure_suite(
                options,
                lambda what, share: progress.update(task, description=what, completed=share),
                keep=result,
            )
    except KeyboardInterrupt:
        interrupted = True
        errors.print("stopped: what was measured so far follows")
    for target in targets:
        make_folder(target.parent)
        result.write(target)
    wrong = [row for row in result.rows if row.status == "wrong"]
    if options.mode == "verify":
        console.print(f"{len(result.rows)} ways of computing checked, {len(wrong)} wrong")
    else:
        show(result, console)
    for row in wrong:
        errors.print(f"WRONG, so not timed: {row.key}: {row.reason}", markup=False)
    for target in targets:
        console.print(f"written to {target}", markup=False, soft_wrap=True)
    return 130 if interrupted else 1 if wrong else 0
