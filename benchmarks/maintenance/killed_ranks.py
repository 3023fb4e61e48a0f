"""Ranks that die, raise or hang at random moments of a training, and what is left behind.

    python benchmarks/maintenance/killed_ranks.py [--trials 20] [--ranks 2] [--backend numba]

A training of `lamina train --distributed --save` is started on ranks. At a random moment, from
their start on, one of them is killed (SIGKILL), terminated (SIGTERM), made to raise, or stopped
(SIGSTOP), each in turn. Then all ranks and mpiexec must be gone within ten seconds, the file must
load, and the training that goes on from it must end with the numbers of the one that nothing
broke, bit for bit. Where the ranks had not yet begun to work together, it is enough that one that
waits says so: a rank that is late they cannot tell from one that never comes. The exit code is 1
where anything else was found.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lamina as lm
from lamina.benchmarks.scaling import launch
from safetensors.numpy import load_file

WAYS = {
    "killed": signal.SIGKILL, "terminated": signal.SIGTERM, "raises": signal.SIGUSR1,
    "hangs": signal.SIGSTOP,
}  # fmt: skip
WITHIN = 10.0  # seconds in which all must have ended
PATIENCE = 5.0  # seconds without a sign of life
LONGEST = 240.0  # seconds of a whole training
PLANTED = "planted in the middle of a training"
NOTICED = ("wait_for_all_ranks_to_start", " has waited ")  # what ranks say that wait at the start
SAVED = "saved to"  # what the command says last


@dataclass(frozen=True)
class Job:
    """One training: its folder, and the words of the command."""

    folder: Path
    ranks: int
    words: Sequence[str]

    @property
    def model(self) -> Path:
        """Where the training saves."""
        return self.folder / "model.safetensors"

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """Starts the ranks; each says its process in a file, and in another that it works."""
        for old in (*self.folder.glob("rank-*"), *self.folder.glob("begun-*")):
            old.unlink()
        words = [*self.words, "--save", str(self.model), *more]
        command = [sys.executable, __file__, "--as-rank", str(self.folder), *words]
        with self.log.open("w") as log:
            return subprocess.Popen(
                launch.ranks(self.ranks, command), stdout=log, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, env=launch.environment(),
            )  # fmt: skip

    @property
    def log(self) -> Path:
        """What the ranks say."""
        return self.folder / "said"

    def begun(self) -> bool:
        """Whether all ranks have begun to work together."""
        return len(list(self.folder.glob("begun-*"))) == self.ranks

    def processes(self) -> list[int]:
        """The ranks' processes, once all are there."""
        until = time.monotonic() + LONGEST
        while time.monotonic() < until:
            found = [self.folder / f"rank-{rank}" for rank in range(self.ranks)]
            if all(path.is_file() for path in found):
                return [int(path.read_text()) for path in found]
            time.sleep(0.02)
        raise TimeoutError("the ranks did not begin")


def lives(process: int) -> bool:
    """Whether a process is there and not only waiting to be reaped."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def as_rank(folder: Path, words: Sequence[str]) -> None:
    """What a rank runs: lamina's command, which a signal makes raise."""
    from lamina.__main__ import main

    def raise_it(number: int, frame: object) -> None:
        raise RuntimeError(PLANTED)

    working = lm.Distributed.working

    @contextmanager
    def begun(team: lm.Distributed) -> Iterator[None]:
        with working(team):
            (folder / f"begun-{team.rank}").touch()
            yield

    signal.signal(signal.SIGUSR1, raise_it)
    own = folder / f"rank-{launch.rank()}"
    own.with_suffix(".new").write_text(str(os.getpid()))
    own.with_suffix(".new").rename(own)
    lm.Distributed.working = begun  # type: ignore[assignment, method-assign]
    sys.argv[:] = ["lamina", *words]
    main()


def ended(
    job: subprocess.Popen[bytes], processes: Sequence[int], noticed: Callable[[], bool]
) -> float:  # fmt: skip
    """Seconds until nothing of a job is left, or it is noticed; infinite where neither comes.

    Nothing is left afterwards. noticed: whether that is so, and enough. A pause of this process
    itself, on a machine that stands still, counts as a tenth of a second.
    """
    took, last = 0.0, time.monotonic()
    while took < 3 * WITHIN:
        if job.poll() is not None and not any(lives(one) for one in processes):
            return took
        if noticed():
            break
        time.sleep(0.02)
        now = time.monotonic()
        took, last = took + min(now - last, 0.1), now
    for one in processes:
        if lives(one):
            os.kill(one, signal.SIGKILL)
    job.kill()
    return took if noticed() else float("inf")


def same(one: Path, other: Path) -> bool:
    """Whether two files hold the same numbers, bit for bit."""
    found, wanted = load_file(one), load_file(other)
    return found.keys() == wanted.keys() and all(
        found[name].tobytes() == wanted[name].tobytes() for name in wanted
    )


def trial(job: Job, whole: Path, way: str, rank: int, after: float) -> tuple[str, str] | None:
    """One broken training: what was seen, and what is wrong with it ("" if nothing is).

    None where the training was over at that moment.
    """
    job.model.unlink(missing_ok=True)
    with job.start() as run:
        processes = job.processes()
        time.sleep(after)
        if not lives(processes[rank]):
            run.wait(LONGEST)
            return None
        early = not job.begun()
        os.kill(processes[rank], WAYS[way])

        def noticed() -> bool:
            text = job.log.read_text(errors="replace")
            return early and any(word in text for word in NOTICED)

        took = ended(run, processes, noticed)
    said = job.log.read_text(errors="replace")
    if not run.returncode or SAVED in said:  # the signal came after the last step
        return None
    told = f"{'noticed' if noticed() else 'ended'} after {took:4.1f} s"
    if took > WITHIN:
        return told, f"something ran on for more than {WITHIN:.0f} s\n{said}"
    if way == "raises" and PLANTED not in said:
        return told, f"the reason is not told:\n{said}"
    saved = job.model.exists()
    epoch = lm.load(job.model, backend="numpy").state.epoch if saved else 0
    with job.start(*["--resume"] * saved) as again:
        again.wait(LONGEST)
    told += f", epoch {epoch} was saved"
    if again.returncode:
        return told, f"it does not go on:\n{job.log.read_text(errors='replace')}"
    return told, "" if same(job.model, whole) else "it goes on to other numbers"


def main(given: Sequence[str]) -> int:
    """The command; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--backend", default="numba")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", action="store_true", help="at moments of the start alone")
    parser.add_argument("--way", choices=WAYS, action="append", help="of all if none is named")
    asked = parser.parse_args(given)
    drawn = random.Random(asked.seed)
    words = [
        "train", "digits", "--distributed", "--rank-timeout", f"{PATIENCE:g}", "--epochs",
        str(asked.epochs), "--hidden", "256,128", "--dropout", "0.2", "--backend", asked.backend,
    ]  # fmt: skip
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        job = Job(Path(folder), asked.ranks, words)
        with job.start() as run:
            job.processes()
            since = time.monotonic()
            while asked.start and run.poll() is None and not job.begun():
                time.sleep(0.02)
            length = time.monotonic() - since
            run.wait(LONGEST)
            if not asked.start:
                length = time.monotonic() - since
        if run.returncode:
            print(f"the training that nothing breaks fails:\n{job.log.read_text()}")
            return 1
        whole = job.model.rename(Path(folder) / "whole.safetensors")
        print(f"{asked.ranks} ranks, {asked.epochs} epochs: moments in {length:.1f} s")
        ways = asked.way or list(WAYS)
        for number in range(asked.trials):
            way, rank = ways[number % len(ways)], drawn.randrange(asked.ranks)
            found = None
            while found is None:
                after = drawn.uniform(0.0, length)
                found = trial(job, whole, way, rank, after)
            told, fault = found
            wrong += bool(fault)
            print(f"{number + 1:3} rank {rank} {way:10} at {after:4.1f} s: {told}  {fault or 'ok'}")
            sys.stdout.flush()
    print(f"{wrong} of {asked.trials} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as-rank"]:
        as_rank(Path(sys.argv[2]), sys.argv[3:])
    else:
        sys.exit(main(sys.argv[1:]))
