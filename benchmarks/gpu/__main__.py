"""`python -m lamina.benchmarks.gpu [--rehearse] FOLDER`: all parts, one after the other, in time.

A rehearsal needs no GPU: the parts run on the fake of CuPy that the tests have, in small sizes and
without a clock, so that each ends by itself. Its figures mean nothing, and its files say so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .tests import cuda_tests

SECONDS = 355.0  # of all parts together
PATIENCE = 3600.0  # of a part in a rehearsal, whose device is slow
HERE = "lamina.benchmarks.gpu"


@dataclass(frozen=True)
class Part:
    """A command, and how long it may take.

    estimate: how long it will take, in seconds, as far as that is known without a GPU: starting
    Python and CUDA, compiling kernels, then what is measured. needs: a program without which it is
    left out.
    """

    name: str
    command: Sequence[str]
    seconds: float
    needs: str = ""
    estimate: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What came of a part: "passed", "failed", "stopped" by the clock, or "left out"."""

    name: str
    status: str
    seconds: float
    said: str = ""


def parts(out: Path, root: Path, rehearsed: bool = False) -> list[Part]:
    """What is run, the most wanted first. out: where results go. root: of the checkout.

    The first ones also wait for CuPy's compiler, whose work all share.
    """

    def module(name: str, *arguments: str) -> list[str]:
        fake = ["cupy_fake"] if rehearsed else []
        return [sys.executable, "-m", *fake, f"{HERE}.{name}", *arguments]

    def one(name: str, seconds: float, estimate: float) -> Part:
        return Part(name, module(name, str(out / f"{name}.json")), seconds, estimate=estimate)

    def beside(who: str, seconds: float, estimate: float) -> Part:
        file = out / f"beside-{who}.json"
        command = module("beside", who, str(file))
        return Part(f"beside-{who}", command, seconds, estimate=estimate)

    def pytest(name: str, marks: str, seconds: float, estimate: float, *more: str) -> Part:
        command = [sys.executable, "-m", "pytest", "-q", "-rs", "-m", marks, *more]
        own = ["-p", "no:randomly", "-p", "no:cacheprovider", f"--basetemp={out / 'tmp' / name}"]
        return Part(name, [*command, *own, *cuda_tests(root)], seconds, estimate=estimate)

    def sanitized(tool: str) -> Part:
        words = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9"]
        if rehearsed:
            return Part(f"{tool}-alone", module("three_steps"), 25)
        return Part(tool, [*words, *module("three_steps")], 25, "compute-sanitizer", 15)

    return [
        one("machine", 20, 8),
        one("capture", 40, 30),
        pytest("cuda-tests", "cuda and not slow", 65, 50),
        beside("lamina", 25, 18),
        beside("lamina-captured", 20, 15),
        beside("torch-eager", 15, 12),
        beside("torch-graph", 15, 12),
        beside("jax", 25, 20),
        beside("torch-reduce-overhead", 30, 60),
        sanitized("memcheck"),
        sanitized("racecheck"),
        one("ways", 15, 8),
        one("ceilings", 15, 12),
        one("epoch", 20, 10),
        pytest("more-cuda-tests", "cuda and slow", 90, 120, "--all"),
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
    rehearsed = "--rehearse" in arguments
    folders = [one for one in arguments if one != "--rehearse"]
    if len(folders) != 1:
        print(f"usage: python -m {HERE} [--rehearse] FOLDER", file=sys.stderr)
        return 2
    out = Path(folders[0]).resolve()
    out.mkdir(parents=True, exist_ok=True)
    root = Path(__file__).resolve().parents[2]
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # all that is written is in the folder
    found, seconds = parts(out, root, rehearsed), SECONDS
    if rehearsed:
        print("a rehearsal on the fake of CuPy: small sizes, no clock, no figure means anything")
        os.environ["LAMINA_REHEARSAL"] = "1"
        tests = str(root / "tests")
        os.environ["PYTHONPATH"] = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
        found, seconds = [replace(one, seconds=PATIENCE) for one in found], PATIENCE * len(found)
    else:
        for one in found:
            print(f"{one.name:24} about {one.estimate:4.0f} s, at most {one.seconds:4.0f} s")
        most = min(sum(one.seconds for one in found), SECONDS)
        print(f"{'all together':24} at most {most:4.0f} s; estimates, no GPU has measured them")
    outcomes = run_all(found, out, root, seconds)
    return int(any(one.status == "failed" for one in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
