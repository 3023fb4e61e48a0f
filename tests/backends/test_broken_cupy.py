"""Whatever state CuPy is in, importing, listing devices and training on the CPU go on as ever."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lamina as lm
import pytest
import support
from lamina.backends import cublas, registry
from lamina.backends.cupy import CupyBackend

GO_ON = """
import json, sys
import lamina as lm
from lamina.backends import cupy as backend
assert "cupy" not in sys.modules
backend._driver = lambda: True  # or nothing would look further
from lamina.__main__ import main
found = next(s for s in lm.backends() if s.name == "cupy")
x = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
model = lm.Sequential([lm.Dense(1)], "mean_squared_error", backend="cupy,numpy", seed=0)
history = model.fit(x, [1.0, 1.0, 2.0, 0.0], epochs=2, batch_size=2, verbose=0)
try:
    lm.get_backend("cuda")
except lm.BackendUnavailable as error:
    refused = str(error)
print(json.dumps([found.available, found.reason, found.fix, model.backend.name, refused]))
"""
LIKE_CUPY = """
import warnings
__version__ = "14.2.0"
warnings.warn("cupy-cuda12x and cupy-cuda13x are installed", UserWarning)
class runtime:
    @staticmethod
    def driverGetVersion():
        return 0
class cuda:
    runtime = runtime
"""
# What lies where CuPy should: its text; other packages that claim to bring it; the reason; the fix.
BROKEN = "raise OSError('libcuda.so.1: file too short')"
STATES: dict[str, tuple[str, list[str], str, str]] = {
    "broken": (BROKEN, [], "OSError: libcuda.so.1: file too short", "--force-reinstall"),
    "half installed": ("", [], "importing CuPy failed: AttributeError", "--force-reinstall"),
    "of another Python": (
        "from cupy import _core", [], "importing CuPy failed: ImportError", "--force-reinstall",
    ),
    "driverless": (LIKE_CUPY, [], "there is no NVIDIA driver", "nvidia-smi"),
    "doubled": (
        LIKE_CUPY, ["cupy-cuda11x", "cupy-cuda12x"], "CuPy packages lie over each other",
        "pip uninstall -y",
    ),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("state", STATES)
def test_the_cpu_is_unharmed(state: str, tmp_path: Path) -> None:
    text, packages, reason, fix = STATES[state]
    (tmp_path / "cupy").mkdir()
    (tmp_path / "cupy" / "__init__.py").write_text(text)
    for name in packages:
        folder = tmp_path / f"{name.replace('-', '_')}-14.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 14.0\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    told = json.loads(support.run_python(GO_ON, PYTHONPATH=path).splitlines()[-1])
    assert told[0] is False
    assert reason in told[1]
    assert fix in told[2]
    assert told[3] == "numpy"
    assert reason in told[4]
    for name in packages:
        assert name in told[1]
        assert name in told[2]


def test_without_a_driver_cupy_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    (tmp_path / "cupy").mkdir()
    (tmp_path / "cupy" / "__init__.py").write_text("raise AssertionError('it is imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr("ctypes.CDLL", absent)
    found = CupyBackend.obstacle()
    assert found is not None
    assert found.reason == "CuPy is installed but there is no NVIDIA driver"
    assert "nvidia-smi" in found.fix


# What a driver alone lets show, on the fake


class DynamicLibNotFoundError(RuntimeError):
    """As `cuda.pathfinder` names it."""


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Asks the fake anew, and forgets the answer."""
    cupy_fake = pytest.importorskip("cupy_fake", reason="CuPy's package is not installed")
    with cupy_fake.installed():
        monkeypatch.setattr(cupy_fake, "_probes", registry._probed)
        registry._probed.fake.cache_clear()
        yield lambda: registry.status("cupy")
        registry._probed.fake.cache_clear()


def test_a_cupy_without_a_compiler_or_a_blas(probe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> None:
        raise DynamicLibNotFoundError('Failure finding "libcublas.so"\nsearched here\nand there')

    monkeypatch.setattr(cublas, "library", missing)
    found = probe()
    assert not found.available
    assert found.reason == (
        'CuPy cannot run a kernel: DynamicLibNotFoundError: Failure finding "libcublas.so"'
    )
    assert "[ctk]" in found.fix
    model = support.classifier("cupy,numpy").build(4)
    assert "libcublas.so" in lm.explain(model)


def test_a_driver_too_old(probe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import cupy

    def insufficient() -> int:
        raise cupy.cuda.runtime.CUDARuntimeError("cudaErrorInsufficientDriver: too old")

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", insufficient)
    found = probe()
    assert "the CUDA runtime does not start: CUDARuntimeError: cudaErrorInsuff" in found.reason
    assert "CUDA 13.0" in found.fix
