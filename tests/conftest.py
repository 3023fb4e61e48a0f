"""What all tests share: the helpers of support.py, and the device of tests that need a GPU."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from cuda_host.fixtures import needed

# Of the tests on a GPU or its fake those of these files are in the quick run.
REPRESENTATIVE = {"test_conformance", "test_model", "test_divergence", "test_weights"}
FEW = 4  # sets of parameters of a test that are in the quick run


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--all`: the long tests as well, and all parameters of those that are quick."""
    parser.addoption("--all", action="store_true", help="long tests, all parameters of quick ones")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is slow, and without `--all` most members of a sweep; long tests are left out then.

    A long test runs nevertheless where it is asked for, by its name or by `-m`.
    """
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.slow)
    _mark_slow(items)
    if config.getoption("--all"):
        return
    tests: dict[str, list[pytest.Item]] = {}
    for item in items:
        if not item.get_closest_marker("slow"):
            tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for members in tests.values():
        last = len(members) - 1
        kept = {number * last // (FEW - 1) for number in range(FEW)}
        in_order = sorted(members, key=lambda item: item.nodeid)  # whatever order they run in
        for number, item in enumerate(in_order):
            if number not in kept:
                item.add_marker(pytest.mark.slow)
    if "long" in config.getoption("-m") or any("::" in told for told in config.args):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("long")]


def _mark_slow(items: list[pytest.Item]) -> None:
    """Of tests that sweep over layouts, and dtypes, only one of each is in the quick run."""
    for item in items:
        swept = getattr(getattr(item, "callspec", None), "params", {})
        quick = item.path.stem in REPRESENTATIVE and swept.get("dtype") != "float64"
        if item.get_closest_marker("cuda") and not quick:
            item.add_marker(pytest.mark.slow)
        one = (swept.get("layout"), swept.get("dtype", "float32")) == ("contiguous", "float32")
        if "layout" in swept and not one:
            item.add_marker(pytest.mark.slow)


DEVICE = pytest.StashKey[ExitStack]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `cuda` runs on the GPU, or on the strict fake of CuPy where there is none.

    The fake executes CUDA sources, for which it needs a compiler; so do tests of it.
    """
    if hasattr(getattr(item, "module", None), "cupy_fake"):
        needed()
    if not item.get_closest_marker("cuda"):
        return
    import lamina as lm

    found = next(status for status in lm.backends() if status.name == "cupy")
    if found.available:
        return
    if find_spec("cupy") is None:
        pytest.skip(f"cupy: {found.reason}; its fake reads names and types of the package")
    needed()
    import cupy_fake

    item.stash[DEVICE] = ExitStack()
    item.stash[DEVICE].enter_context(cupy_fake.installed())


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    if DEVICE in item.stash:
        item.stash[DEVICE].close()


@pytest.fixture
def default_interrupt() -> Iterator[None]:
    """Ctrl-C interrupts here and in new processes.

    A shell without job control starts what it puts into the background with Ctrl-C ignored, and
    Python and its children inherit that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not depend on what the caller's shell chose, nor on what was measured here.

    A persistent kernel is compiled for each network, which takes seconds: who wants one says so.
    """
    from lamina.kernels import thresholds

    monkeypatch.setattr(thresholds, "PERSISTENT_FLOPS", 0.0)
    monkeypatch.setenv("LAMINA_THRESHOLDS", "default")
    monkeypatch.delenv("LAMINA_BACKEND", raising=False)
    monkeypatch.delenv("LAMINA_AUTO", raising=False)
    monkeypatch.delenv("LAMINA_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
