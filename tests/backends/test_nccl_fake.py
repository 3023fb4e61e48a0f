"""The fake's NCCL has the names of CuPy's, and refuses what NCCL refuses or never answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_host import compiling

cupy_fake = pytest.importorskip("cupy_fake", reason="CuPy's package is not installed")
from cupy_fake import Race, nccl  # noqa: E402
from cupy_fake.nccl import NcclError  # noqa: E402

cp: Any = cupy_fake.module()
FLOAT, SUM = nccl.CONSTANTS["NCCL_FLOAT32"], nccl.CONSTANTS["NCCL_SUM"]
# What CuPy's module is linked with. It does nothing, but lets the module be loaded.
FUNCTIONS = (
    "GetUniqueId", "CommInitAll", "GroupStart", "GroupEnd", "CommDestroy", "CommAbort",
    "CommCuDevice", "CommUserRank", "CommCount", "AllReduce", "Reduce", "Broadcast", "Bcast",
    "ReduceScatter", "AllGather", "Send", "Recv", "CommSplit", "CommInitRankConfig",
    "CommGetAsyncError", "GetVersion",
)  # fmt: skip
LIBRARY = (
    'extern "C" const char* ncclGetErrorString(int) { return ""; }\n'
    + "".join(f'extern "C" int nccl{name}() {{ return 0; }}\n' for name in FUNCTIONS)
)  # fmt: skip
LOOK = """
import json
from cupy.cuda import nccl
assert nccl.available
kind = nccl.NcclCommunicator
names = [n for n in dir(nccl) if not n.startswith("_") and n not in ("annotations", "check_status")]
identity = nccl.get_unique_id()
print(json.dumps({
    "names": names,
    "constants": {n: getattr(nccl, n) for n in names if n.startswith("NCCL_")},
    "made": kind.__doc__.splitlines()[0],
    "methods": {
        n: getattr(kind, n).__doc__.strip().splitlines()[0] for n in dir(kind)
        if not n.startswith("_") and n != "comm"
    },
    "identity": [type(identity).__name__, len(identity)],
    "errors": [str(nccl.NcclError(n)).split(":")[0] for n in range(1, 6)],
}))
"""


def parameters(line: str) -> list[str]:
    """The names in a signature as Cython writes it."""
    inside = line[line.index("(") + 1 : line.rindex(")")]
    names = [part.split("=")[0].split()[-1] for part in inside.split(",") if part.strip()]
    return [name for name in names if name != "self"]


@pytest.mark.slow
def test_names_signatures_and_numbers_are_those_of_the_package(tmp_path: Path) -> None:
    if compiling.compiler() is None:
        pytest.skip(compiling.MISSING)
    shutil.copy(compiling.library(LIBRARY), tmp_path / "libnccl.so.2")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOOK], capture_output=True, text=True, check=False,
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    real = json.loads(done.stdout)
    assert set(real["names"]) <= set(dir(nccl))
    assert real["constants"] == nccl.CONSTANTS
    assert parameters(real["made"]) == [*signature(nccl.NcclCommunicator).parameters]
    for name, line in real["methods"].items():
        ours = getattr(nccl.NcclCommunicator, name)
        if name not in nccl.OTHERS:
            assert [*signature(ours).parameters][1:] == parameters(line), name
    identity = nccl.get_unique_id()
    assert [type(identity).__name__, len(identity)] == real["identity"]
    assert [str(NcclError(n)).split(":")[0] for n in range(1, 6)] == real["errors"]


def alone(stream: Any, work: Callable[[Any, Any], Any]) -> None:
    """Has one rank do something with a communicator, and five elements."""
    with stream:
        one = nccl.NcclCommunicator(1, nccl.get_unique_id(), 0)
        try:
            work(one, cp.zeros(5, dtype=cp.float32))
        finally:
            one.abort()


def reduce(one: Any, x: Any, count: int = 5, kind: int = FLOAT, op: int = SUM, stream: Any = None):
    address, here = x.data.ptr, cp.cuda.get_current_stream() if stream is None else stream
    one.allReduce(address, address, count, kind, op, here.ptr)


@pytest.fixture
def stream() -> Iterator[Any]:
    made = cp.cuda.Stream(non_blocking=True)
    yield made
    made.recording = None


def of_another_device(one: Any, x: Any) -> None:
    with cp.cuda.Device(1), cp.cuda.Stream(non_blocking=True):
        reduce(one, cp.zeros(5, dtype=cp.float32))


def memory_of_another(one: Any, x: Any) -> None:
    with cp.cuda.Device(1):
        other = cp.zeros(5, dtype=cp.float32)
    reduce(one, other)


def memory_of_the_host(one: Any, x: Any) -> None:
    host = np.zeros(5, np.float32)
    address = host.ctypes.data
    one.allReduce(address, address, 5, FLOAT, SUM, cp.cuda.get_current_stream().ptr)


def let_go(one: Any, x: Any) -> None:
    address = x.data.ptr
    pool = cp.cuda.MemoryPool()
    with cp.cuda.using_allocator(pool.malloc):
        address = cp.zeros(5, dtype=cp.float32).data.ptr
    one.allReduce(address, address, 5, FLOAT, SUM, cp.cuda.get_current_stream().ptr)


def destroyed(one: Any, x: Any) -> None:
    one.destroy()
    reduce(one, x)


def ends_before_its_graph(one: Any, x: Any) -> None:
    here = cp.cuda.get_current_stream()
    reduce(one, x)
    here.begin_capture()
    reduce(one, x)
    graph = here.end_capture()
    graph.launch()
    one.destroy()


@pytest.mark.parametrize(
    ("work", "error", "said"),
    [
        (lambda one, x: reduce(one, x, stream=cp.cuda.Stream()), Race, "another stream"),
        (lambda one, x: reduce(one, x, stream=cp.cuda.Stream.null), Race, "another stream"),
        (lambda one, x: reduce(one, x, count=6), NcclError, "more than there are"),
        (lambda one, x: reduce(one, x, kind=99), NcclError, "INVALID_ARGUMENT"),
        (lambda one, x: reduce(one, x, op=1), NcclError, "INVALID_ARGUMENT"),
        (of_another_device, NcclError, "a communicator of 0"),
        (memory_of_another, NcclError, "memory of device 1"),
        (memory_of_the_host, cupy_fake.CUDARuntimeError, "no device memory"),
        (let_go, cupy_fake.CUDARuntimeError, "device memory|let go"),
        (destroyed, NcclError, "was destroyed"),
        (ends_before_its_graph, NcclError, "while a graph names it"),
    ],
)
def test_what_one_rank_must_not_ask_is_refused(
    work: Any, error: type[Exception], said: str, stream: Any
) -> None:
    with pytest.raises(error, match=said):
        alone(stream, work)


def several(work: Callable[[int, Any, Any], Any], devices: tuple[int, int] = (0, 1)) -> list[Any]:
    """What two ranks come to, each a thread on a device, with five elements that are its number."""
    identity, found = nccl.get_unique_id(), [None, None]

    def one(rank: int) -> None:
        try:
            with cp.cuda.Device(devices[rank]), cp.cuda.Stream(non_blocking=True):
                made = nccl.NcclCommunicator(2, identity, rank)
                x = cp.full(5, rank + 1.0, dtype=cp.float32)
                work(rank, made, x)
                found[rank] = cp.asnumpy(x).tolist()
                made.destroy()
        except Exception as error:
            found[rank] = error

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def captured(rank: int, made: Any, x: Any) -> None:
    """1 and 2 are 3 in both, then a graph makes it 6, and 12."""
    reduce(made, x)
    here = cp.cuda.get_current_stream()
    here.begin_capture()
    reduce(made, x)
    graph = here.end_capture()
    assert cp.asnumpy(x).tolist() == [3.0] * 5
    assert graph.names == ["ncclAllReduce"]
    graph.launch()
    graph.launch()


def in_another_order(rank: int, made: Any, x: Any) -> None:
    for count in (5, 3)[:: 1 if rank else -1]:
        reduce(made, x, count)


def of_another_dtype(rank: int, made: Any, x: Any) -> None:
    reduce(made, x, 2, nccl.CONSTANTS["NCCL_FLOAT64" if rank else "NCCL_FLOAT32"])


def once_only(rank: int, made: Any, x: Any) -> None:
    reduce(made, x)
    if rank:
        reduce(made, x)


def test_graphs_sum_when_they_are_replayed() -> None:
    assert several(captured) == [[12.0] * 5] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "said"),
    [(in_another_order, "asks for"), (of_another_dtype, "asks for"), (once_only, "1 of 2 ranks")],
)
def test_ranks_that_ask_for_different_sums_are_refused(
    work: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nccl, "PATIENCE", 1.0)
    found = several(work)
    errors = [one for one in found if isinstance(one, NcclError)]
    assert errors
    assert any(said in str(one) for one in errors)
    nccl.abandoned.clear()


def test_two_ranks_on_one_device_and_unknown_identities_are_refused() -> None:
    found = several(lambda rank, made, x: None, devices=(1, 1))
    assert all("Duplicate GPU" in str(one) for one in found)
    with pytest.raises(NcclError, match="nobody has given out"):
        nccl.NcclCommunicator(1, bytes(128), 0)
    with pytest.raises(TypeError, match="expected bytes, got tuple"):
        nccl.NcclCommunicator(1, (0,) * 128, 0)
    with pytest.raises(ValueError, match="commId length 5 != 128"):
        nccl.NcclCommunicator(1, bytes(5), 0)
    with pytest.raises(NcclError, match="rank 2 of 2"):
        nccl.NcclCommunicator(2, nccl.get_unique_id(), 2)
