"""What is said of compilation: what, once; how long, once; and a clock that leaves it out."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from lamina.kernels import compilation


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "_tally", compilation._Tally())
    monkeypatch.setattr(compilation, "_mine", compilation._Mine())
    monkeypatch.setattr(compilation.atexit, "register", lambda function: None)
    monkeypatch.delattr(sys, "ps1", raising=False)


def compile_pieces(*names: str, seconds: float = 0.0) -> None:
    with compilation.compiling(*names):
        time.sleep(seconds)


def test_it_is_said_once_what_is_compiled_and_how_long_it_took(
    capsys: pytest.CaptureFixture[str],
) -> None:
    compile_pieces("adam float32", "dense float32", "lead", "serve", "store_rows float32")
    compile_pieces("softmax float32")
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        "lamina: compiling kernels for this processor:"
        " adam float32, dense float32, lead and 2 more, ..."
    ]
    assert told.out == ""
    compilation.report()
    told = capsys.readouterr()
    assert told.err == (
        "lamina: compiled 6 kernels in 0.0 s: adam float32, dense float32, lead and 3 more\n"
    )
    compilation.report()
    assert capsys.readouterr().err == ""


def test_nothing_is_said_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with compilation.compiling():
        pass
    compilation.report()
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_what_a_kernel_needs_is_compiled_in_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    with compilation.compiling("outer"):
        compile_pieces("inner", seconds=0.1)
        time.sleep(0.1)
    compilation.report()
    assert "compiled 1 kernel in 0.2 s: outer" in capsys.readouterr().err


@pytest.mark.slow
def test_the_clock_stands_still_in_the_thread_that_compiles() -> None:
    start, here = time.perf_counter(), compilation.clock()
    compile_pieces("one", seconds=0.1)
    with contextlib.suppress(ValueError), compilation.compiling("two"):
        time.sleep(0.1)
        raise ValueError
    assert compilation.clock() - here < 0.1
    assert time.perf_counter() - start >= 0.2
    here = compilation.clock()
    other = threading.Thread(target=compile_pieces, args=("three",), kwargs={"seconds": 0.2})
    other.start()
    other.join()
    assert compilation.clock() - here >= 0.2  # this thread waited, it did not compile


def test_in_a_session_the_time_is_told_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    compile_pieces("adam float32")
    assert "compiled 1 kernel" in capsys.readouterr().err


@pytest.mark.parametrize("stream", [None, "closed"])
def test_no_stream_is_no_error(monkeypatch: pytest.MonkeyPatch, stream: str | None) -> None:
    file = io.StringIO()
    file.close()
    monkeypatch.setattr(sys, "stderr", None if stream is None else file)
    compile_pieces("adam float32")
    compilation.report()


SCRIPT = """
import sys
import numpy as np
from lamina.kernels.numba import activations
x = np.ones(3, np.float32)
activations.activate_flat(x, activations.TANH, 0.0, np.empty_like(x))
x = np.ones(3)
activations.activate_flat(x, activations.TANH, 0.0, np.empty_like(x))
if len(sys.argv) > 1:
    raise ValueError("the last line")
"""


LOOPS = """
import numpy as np
from lamina.kernels.loops.table import compiled_loop_kernels
compiled_loop_kernels()["transpose"].function((np.empty((2, 3)),), np.ones((3, 2)), axes=(1, 0))
"""


def told(cache: Path, script: str, *words: str) -> list[str]:
    """What a process says on its error stream, line by line."""
    env = {
        **os.environ, "LAMINA_CACHE_DIR": str(cache),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }  # fmt: skip
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return done.stderr.splitlines()


@pytest.mark.long
def test_a_process_tells_at_its_end(tmp_path: Path) -> None:
    first, last = told(tmp_path, SCRIPT)
    assert first == "lamina: compiling kernels for this processor: activate_flat, ..."
    assert last.startswith("lamina: compiled 2 kernels in ")
    assert told(tmp_path, SCRIPT) == []
    assert told(tmp_path, SCRIPT, "fail")[-1] == "ValueError: the last line"


@pytest.mark.long
def test_compiled_loops_are_told_of_like_kernels(tmp_path: Path) -> None:
    first, last = told(tmp_path, LOOPS)
    assert first == "lamina: compiling kernels for this processor: copy, ..."
    assert last.startswith("lamina: compiled 1 kernel in ")
    assert told(tmp_path, LOOPS) == []
