"""Machine code that two processes compile."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import support
from lamina.kernels import kept
from lamina.kernels.numba.jit import jit
from lamina.kernels.numba.native import build, compiled, steps_elements
from lamina.kernels.numba.native.steps import STEPS, step

PIECES = [(name, "float32") for name in ("copy", "total", "cast_boolean", "fill", "store_rows")]


here: list[compiled.Piece] = []  # pieces that this process compiled


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has no machine code, and a machine that has none."""
    compile_now = compiled._compile
    here.clear()
    monkeypatch.setattr(compiled, "_compile", lambda p: here.append(p) or compile_now(p))
    monkeypatch.setattr(compiled, "_made", {})
    monkeypatch.setenv("LAMINA_CACHE_DIR", str(tmp_path))


def loaded() -> int:
    """How many pieces came from disk."""
    return len(compiled._made) - len(here)


def ready() -> bool:
    """Whether every piece has an address."""
    return all(compiled._made[piece].address for piece in PIECES)


@pytest.mark.long
def test_another_process_compiles_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, end = compiled.make, time.monotonic() + support.PATIENCE

    def after_the_other(piece: build.Piece) -> None:
        """On a busy machine this process would be done before the other one has begun."""
        while not list(tmp_path.rglob("step-*.code")) and time.monotonic() < end:
            time.sleep(0.01)
        make(piece)

    monkeypatch.setattr(compiled, "make", after_the_other)
    build.prepare(PIECES, cores=2)
    assert ready()
    assert loaded() > 0
    written = {path.name for path in tmp_path.rglob("step-*.code")}
    assert written == {f"step-{name}-{dtype}.code" for name, dtype in PIECES}
    assert "lamina-compiler" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.slow
def test_what_is_on_disk_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    build.prepare(PIECES, cores=1)
    assert ready()
    assert loaded() == 0
    here.clear()
    monkeypatch.setattr(compiled, "_made", {})
    monkeypatch.setattr(build, "_start", lambda: pytest.fail("nothing was missing"))
    build.prepare(PIECES, cores=2)
    assert ready()
    assert loaded() == len(PIECES)


@pytest.mark.slow
@pytest.mark.parametrize("missing", [False, True])
def test_what_kept_code_calls_is_there_before_it_is_linked(
    missing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LLVM would end the process; nothing is made ready where nothing is missing."""
    piece, asked = PIECES[0], list[str]()
    compiled.make(piece)
    here.clear()
    monkeypatch.setattr(compiled, "_made", {})
    known, context = kept.binding.address_of_symbol, kept.cpu_target.target_context
    monkeypatch.setattr(kept.binding, "address_of_symbol", lambda n: None if missing else known(n))
    monkeypatch.setattr(context, "refresh", lambda: asked.append("refresh"))
    assert compiled.load(piece)
    assert loaded() == 1
    assert asked == ["refresh"] * missing


@pytest.mark.slow
@pytest.mark.parametrize("code", ["", "import sys; sys.stdin.readline()"])
def test_a_process_that_ends(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "SERVE", code)
    build.prepare(PIECES, cores=2)
    assert ready()
    assert loaded() == 0


@pytest.mark.slow
def test_no_process_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    build.prepare(PIECES, cores=2)
    assert ready()


def test_an_error_ends_the_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    start = build._start

    def watched() -> object:
        started.append(start())
        return started[-1]

    def broken(piece: compiled.Piece) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "_start", watched)
    monkeypatch.setattr(compiled, "make", broken)
    with pytest.raises(KeyboardInterrupt):
        build.prepare(PIECES, cores=2)
    assert started[0].poll() is not None


@jit
def doubled(x: Any, out: Any) -> None:
    for i in range(x.size):
        out[i] = x[i] + x[i]


@jit
def weighed(x: Any, y: Any, out: Any) -> None:
    for i in range(x.size):
        out[i] = 3.0 * x[i] + y[i]


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "wanted"), [(doubled, [2.0, 4.0]), (weighed, [13.0, 26.0])])
def test_an_elementwise_kernel_gives_its_step(
    kernel: Any, wanted: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = kernel.__name__
    monkeypatch.setitem(STEPS, name, steps_elements._derived(name, kernel))
    for found in (0, 1):  # compiled, then from disk
        monkeypatch.setattr(compiled, "_made", {})
        here.clear()
        made = compiled.make((name, "float64"))
        assert loaded() == found
        x, y, out = np.array([1.0, 2.0]), np.array([10.0, 20.0]), np.zeros(2)
        arrays = [x, out] if kernel is doubled else [x, y, out]
        places = [one.ctypes.data for one in arrays]
        record = np.array([places[0], 2, *places[1:]], np.int64)
        ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(made.address)(
            record.ctypes.data, None
        )
        assert out.tolist() == wanted


def test_a_step_is_registered_once() -> None:
    with pytest.raises(AssertionError, match="two steps are called copy"):

        @step
        def copy(a: Any, like: Any) -> None: ...
