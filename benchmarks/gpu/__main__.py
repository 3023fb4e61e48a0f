"""`python -m lamina.benchmarks.gpu FOLDER`: all parts, one after the other, within a time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .tests import cuda_tests

SECONDS = 355.0  # of all parts together
HERE = "lamina.benchmarks.gpu"


@dataclass(frozen=True)
class Part:
    """A command, and how long it may take. needs: a program without which it is left out."""

    name: str
    command: Sequence[str]
    seconds: float
    needs: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of a part: "passed", "failed", "stopped" by the clock, or "left out"."""

    name: str
    status: str
    seconds: float
    said: str = ""


def parts(out: Path, root: Path) -> list[Part]:
    """What is run, the most wanted first. out: where results go. root: of the checkout.

    The first ones also wait for CuPy's compiler, whose work all share.
    """

    def module(name: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", f"{HERE}.{name}", *arguments]

    def beside(who: str, seconds: float) -> Part:
        file = out / f"beside-{who}.json"
        return Part(f"beside-{who}", module("beside", who, str(file)), seconds)

    def pytest(name: str, marks: str, seconds: float) -> Part:
        command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:randomly", "-m", marks]
        return Part(name, [*command, *cuda_tests(root)], seconds)

    def sanitized(tool: str) -> Part:
        words = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9"]
        return Part(tool, [*words, *module("three_steps")], 25, "compute-sanitizer")

    return [
        Part("machine", module("machine", str(out / "machine.json")), 20),
        Part("capture", module("capture", str(out / "capture.json")), 45),
        pytest("cuda-tests", "cuda and not slow", 70),
        beside("lamina", 25),
        beside("torch-eager", 20),
        beside("torch-graph", 20),
        beside("jax", 25),
        beside("torch-reduce-overhead", 30),
        sanitized("memcheck"),
        sanitized("racecheck"),
        Part("ways", module("ways", str(out / "ways.json")), 15),
        Part("ceilings", module("ceilings", str(out / "ceilings.json")), 15),
        Part("epoch", module("epoch", str(out / "epoch.json")), 20),
        pytest("more-cuda-tests", "cuda and slow", 90),
    ]


def run(part: Part, seconds: float, out: Path, root: Path) -> Outcome:
    """One part; what it prints goes into the folder. seconds: that are left."""
    if part.needs and shutil.which(part.needs) is None:
        return Outcome(part.name, "left out", 0.0, f"there is no {part.needs}")
    limit, start = min(part.seconds, seconds), time.perf_counter()
    if limit < 1.0:
        return Outcome(part.name, "left out", 0.0, "the time was over")
    with (out / f"{part.name}.log").open("w") as log:
        try:
            done = subprocess.run(
                list(part.command), stdout=log, stderr=subprocess.STDOUT, timeout=limit, cwd=root,
                check=False,
            )  # fmt: skip
            status = "passed" if done.returncode == 0 else "failed"
        except subprocess.TimeoutExpired:
            status = "stopped"
    said = (out / f"{part.name}.log").read_text(errors="replace").strip().splitlines()
    return Outcome(part.name, status, time.perf_counter() - start, said[-1] if said else "")


def run_all(found: Sequence[Part], out: Path, root: Path, seconds: float) -> list[Outcome]:
    """All parts while there is time; the summary is written after each."""
    until, outcomes = time.perf_counter() + seconds, []
    for part in found:
        outcome = run(part, until - time.perf_counter(), out, root)
        outcomes.append(outcome)
        line = f"{outcome.status:9} {outcome.name:22} {outcome.seconds:6.1f} s  {outcome.said[:90]}"
        print(line, flush=True)
        told = json.dumps([asdict(one) for one in outcomes], indent=1)
        (out / "summary.json").write_text(told + "\n")
    return outcomes


def main(arguments: Sequence[str]) -> int:
    """1 where a part failed; one that the clock stopped, or that was left out, is no failure."""
    if len(arguments) != 1:
        print(f"usage: python -m {HERE} FOLDER", file=sys.stderr)
        return 2
    out = Path(arguments[0]).resolve()
    out.mkdir(parents=True, exist_ok=True)
    root = Path(__file__).resolve().parents[2]
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    outcomes = run_all(parts(out, root), out, root, SECONDS)
    return int(any(one.status == "failed" for one in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
