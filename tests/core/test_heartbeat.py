"""Ranks that die, raise or stand still end the job; the training goes on from its file."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lamina as lm
import pytest
from lamina.benchmarks.scaling import launch
from lamina.core.heartbeat import Heartbeat, checked
from lamina.kernels.errors import BadInput
from maintenance import script
from support import PATIENCE

PACKAGE = Path(lm.__file__).parents[1]
ALONE = SimpleNamespace(Get_size=lambda: 1)
BESIDE = Path(sys.executable).with_name("mpiexec")
ranks = pytest.mark.skipif(
    find_spec("mpi4py") is None or not (BESIDE.is_file() or shutil.which("mpiexec")),
    reason='needs mpi4py and mpiexec: pip install "lamina[mpi]"',
)


@pytest.mark.parametrize("timeout", [-1.0, 0.3, float("nan"), "ten", True, None])
def test_a_timeout_that_is_none_is_refused(timeout: Any) -> None:
    with pytest.raises(BadInput, match=r"timeout is in seconds, 1 or more, or 0 for none"):
        checked(timeout)


def test_one_process_has_nobody_to_watch() -> None:
    with Heartbeat(ALONE, 10.0) as one, one:
        assert one.thread is None


EARLY = """
import os, signal, sys
import lamina as lm
import numpy as np
from lamina.benchmarks.scaling import launch

where, way = sys.argv[1:]

def fault(here):
    if launch.rank() == 1 and here == where:
        sys.exit(0) if way == "exits" else os.kill(os.getpid(), signal.SIGSTOP)

fault("before MPI")
if where == "before lamina":
    from mpi4py import MPI
    fault("before lamina")
team = lm.Distributed(timeout=1.0)
fault("before training")
model = lm.Sequential([lm.Dense(1)], "mean_squared_error", lm.SGD(1e-3), backend="numpy")
model.fit(np.ones((4, 2)), np.ones(4), batch_size=4, verbose=0, distributed=team)
fault("after training")
print("done", flush=True)
"""


def early(folder: Path, where: str, way: str, wanted: str) -> tuple[int | None, str]:
    """What three ranks say until they end or say what is wanted; the exit code, if they end.

    The second one exits with 0 or stops somewhere. Nothing of them is left.
    """
    log, command = folder / "said", [sys.executable, "-c", EARLY, where, way]
    environment = {**launch.environment(), "PYTHONPATH": str(PACKAGE)}
    with log.open("w") as out:
        run = subprocess.Popen(launch.ranks(3, command), stdout=out, stderr=out, env=environment)
    until, code = time.monotonic() + PATIENCE, None
    while code is None and wanted not in log.read_text() and time.monotonic() < until:
        time.sleep(0.05)
        code = run.poll()
    if code is None:
        run.terminate()
    run.wait(PATIENCE)
    return code, log.read_text()


@ranks
@pytest.mark.slow
@pytest.mark.parametrize("way", ["exits", "stops"])
@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ("before MPI", "in wait_for_all_ranks_to_start"),
        ("before lamina", "rank 0 of 3 has waited 1 s for the others to come to lm.Distributed()"),
        ("before training", "rank 0 of 3 has waited 1 s for rank 1, and waits on"),
    ],
)
def test_who_waits_before_a_training_says_so(
    tmp_path: Path, where: str, wanted: str, way: str
) -> None:
    """One that ends where others know it by then ends all."""
    if (where, way) == ("before training", "exits"):
        wanted = "rank 1 of 3 has ended where others work: so all end"
    _, said = early(tmp_path, where, way, wanted)
    assert wanted in said
    assert "done" not in said


@ranks
@pytest.mark.slow
def test_ranks_end_one_after_the_other(tmp_path: Path) -> None:
    code, said = early(tmp_path, "after training", "exits", "never said")
    assert code == 0, said
    assert said.count("done") == 2


@ranks
@pytest.mark.slow
def test_a_rank_that_is_lost_ends_all_and_the_training_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ways = ["--way", "hangs", "--way", "killed", "--way", "raises"]
    given = ["--trials", "3", "--backend", "numpy", "--epochs", "12", *ways]
    code = script("killed_ranks").main(given)
    told = capsys.readouterr().out
    assert code == 0, told
    assert told.count(" ok\n") == 3, told
