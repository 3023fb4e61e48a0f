"""Whether `lamina bench compare` tells the truth on this machine.

    python benchmarks/maintenance/compare_trial.py FOLDER [--seconds 110] [--trials 10] [--runs 3]

Measures a sample of operations many times, each run in a process of its own: six runs to calibrate,
then for each trial a tree against itself, and against itself with one kernel of 50 µs or more that
takes 30 % longer. Says how many rows were called changed, and how often the slow kernel was found.
It may be called again and again: each call goes on for so many seconds, the last one reports.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lamina.benchmarks.pools import quiet_pools

SAMPLE_ROWS = (1_000, 30_000)
ROUND_SECONDS = 4e-3
CALIBRATING = 6
SLOWER = 0.3
SLOWED = 5e-5  # seconds that a kernel takes at least to be slowed


def slowed(perform: Callable[[], object]) -> Callable[[], object]:
    """The same work, and then the interpreter kept busy for 30 % of its time."""

    def slow() -> None:
        start = time.perf_counter()
        perform()
        now = time.perf_counter()
        end = now + SLOWER * (now - start)
        while time.perf_counter() < end:
            pass

    return slow


def measure_run(target: Path, slow: str) -> None:
    """One run: every second hot operation, two sizes, NumPy and Numba, all rows in turn."""
    import numpy as np
    from lamina.backends.conformance import oracle
    from lamina.backends.selection import get_backend
    from lamina.benchmarks.crossover import op_contender
    from lamina.benchmarks.environment import environment
    from lamina.benchmarks.memory_layout import scatter
    from lamina.benchmarks.result import Result, Row
    from lamina.benchmarks.timing import interleave
    from lamina.kernels import ops

    contenders = []
    for op in [op for op in ops.OPS.values() if op.hot][::2]:
        for rows in SAMPLE_ROWS:
            sample = next(iter(op.samples(np.random.default_rng(0), "float32", rows)))
            expected = oracle(op, sample)
            for name in ("numpy", "numba"):
                scatter()
                found = op_contender(op, sample, get_backend(name), expected, rows**0.5)
                row = Row("op", f"{op.name}, {rows} rows", name, "kernels", op=op.name)
                found.label = row
                if row.key == slow:
                    found.perform = slowed(found.perform)
                found.warm(ROUND_SECONDS)
                contenders.append(found)
    interleave(contenders)
    rows_made = [Row(**{**vars(c.label), "seconds": tuple(c.seconds)}) for c in contenders]
    Result("trial", environment(), rows_made).write(target)


def plan(folder: Path, trials: int, runs: int) -> Iterator[tuple[Path, int]]:
    """(file, number of the trial whose kernel is slow there, else -1), in the order of running."""
    for number in range(CALIBRATING):
        yield folder / "calibration" / f"{number}.json", -1
    for trial in range(trials):
        for run in range(runs):
            for side in ("old", "new", "slow"):
                yield folder / f"{trial}-{side}" / f"{run}.json", trial if side == "slow" else -1


def victim(folder: Path, trial: int) -> str:
    """The kernel that is slow in a trial: another one in each."""
    from lamina.benchmarks.result import Result

    rows = Result.read(folder / "calibration" / "0.json").rows
    large = [row.key for row in rows if row.median >= SLOWED]
    return large[trial * 7919 % len(large)]


def report(folder: Path, trials: int, runs: int) -> None:
    """Judges what was measured: with all runs of a side, and with one."""
    from lamina.benchmarks.comparison import compare, read
    from lamina.benchmarks.spread import Spread

    spread = Spread.of(read(str(folder / "calibration")))
    for count in sorted({1, runs}):
        false, found, beside = 0, 0, 0
        for trial in range(trials):
            old, new, slow = (
                read(str(folder / f"{trial}-{side}"))[:count] for side in ("old", "new", "slow")
            )
            same = compare(old, new, spread)
            changed = [c for c in same.changes if c.verdict in ("slower", "faster")]
            false += len(changed)
            for each in changed:
                print(f"  trial {trial}: {each.key} called {each.verdict} ({each.ratio:.3f})")
            planted, key = compare(old, slow, spread), victim(folder, trial)
            mine = next(c for c in planted.changes if c.key == key)
            found += mine.verdict == "slower"
            beside += sum(c.verdict in ("slower", "faster") for c in planted.changes if c != mine)
            if mine.verdict != "slower":
                print(f"  trial {trial}: {key} missed ({mine.ratio:.3f} of {mine.visible:.3f})")
        print(
            f"{count} runs a side, {len(same.changes)} rows: {false} called changed in {trials}"
            f" comparisons of the tree with itself; the slow kernel found in {found} of {trials}"
            f" (and {beside} other rows called changed there)"
        )


def main() -> None:
    """The command line."""
    quiet_pools()
    parser = argparse.ArgumentParser(description="Compares a tree with itself and a slowed one.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=110.0)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)  # a run of its own process
    given = parser.parse_args()
    if given.one is not None:
        measure_run(given.folder, given.one)
        return
    start, took, left = time.perf_counter(), 0.0, 0
    for file, trial in plan(given.folder, given.trials, given.runs):
        if file.exists():
            continue
        if time.perf_counter() - start + took > given.seconds:
            left += 1
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        from lamina.benchmarks.memory_layout import padding

        begun, slow = time.perf_counter(), victim(given.folder, trial) if trial >= 0 else ""
        command = [sys.executable, __file__, str(file), "--one", slow]
        subprocess.run(command, check=True, env={**os.environ, "PADDING": padding()})
        took = time.perf_counter() - begun
    if left:
        print(f"{left} runs are left, {took:.1f} s each: call again")
    else:
        report(given.folder, given.trials, given.runs)


if __name__ == "__main__":
    main()
