"""Ranks that die, raise or stand still end the job; the training goes on from its file."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lamina.core.heartbeat import Heartbeat
from lamina.kernels.errors import BadInput
from maintenance import script

ALONE = SimpleNamespace(Get_size=lambda: 1)
BESIDE = Path(sys.executable).with_name("mpiexec")
ranks = pytest.mark.skipif(
    find_spec("mpi4py") is None or not (BESIDE.is_file() or shutil.which("mpiexec")),
    reason='needs mpi4py and mpiexec: pip install "lamina[mpi]"',
)


@pytest.mark.parametrize("timeout", [-1.0, 0.3, float("nan"), "ten", True, None])
def test_a_timeout_that_is_none_is_refused(timeout: Any) -> None:
    with pytest.raises(BadInput, match=r"timeout is in seconds, 1 or more, or 0 for none"):
        Heartbeat(ALONE, timeout)


def test_one_process_has_nobody_to_watch() -> None:
    with Heartbeat(ALONE, 10.0) as one, one:
        assert one.thread is None


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
