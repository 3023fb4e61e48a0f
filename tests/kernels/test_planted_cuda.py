"""Faults planted in CUDA sources: what the tests of the kernels would not find is not tested."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from cuda_host.backend import HostCuda
from cuda_host.cases import check, placed
from cuda_host.fixtures import cuda  # noqa: F401
from cuda_host.memory import FREED, allocated
from cuda_host.modules import ORDERS, RawModule, State
from generated import Builder, norm
from lamina.backends.fused import Threads
from lamina.kernels.cuda import launch, sources
from lamina.kernels.cuda.sources import Source
from lamina.kernels.cuda.table import cuda_kernels

pytestmark = pytest.mark.usefixtures("cuda")
TABLE = cuda_kernels()
rng = np.random.default_rng(0)
LONG = rng.standard_normal((5, 300)).astype("float32")  # rows for several warps
CLASSES = rng.integers(0, 300, (5, 1)).astype("int32")
MANY = rng.standard_normal((13, 300)).astype("float32")  # rows for all threads of a column
LINE = rng.random(1027).astype("float32")


def layer() -> Any:
    """The gradients of a layer, its columns added up by eight rows of threads."""
    x, w, g, y = (MANY[:rows, at : at + columns].copy() for rows, columns, at in (
        (13, 4, 0), (4, 40, 4), (13, 40, 44), (13, 40, 84),
    ))  # fmt: skip
    return check(TABLE["dense_backward"], "float32", g, x, w, y, activation="tanh")


def adam() -> Any:
    attrs = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    return check(TABLE["adam_update"], "float32", LINE, LINE, LINE, LINE, 0.1, 3, **attrs)


def softmax() -> Any:
    return check(TABLE["softmax"], "float32", LONG)


def cross_entropy() -> Any:
    return check(TABLE["softmax_cross_entropy"], "float32", LONG, CLASSES)


def clipped() -> Any:
    return check(TABLE["clip_norm"], "float32", LINE, maximum=0.5)


def dense() -> Any:
    return check(
        TABLE["dense"], "float32", LONG, LONG.T.copy()[:, :3].copy(), LONG[:1, :3].copy(),
        activation="relu",
    )  # fmt: skip


def chain() -> None:
    """A generated kernel, whose rows are long and whose columns are added up."""
    found = []
    for State.order in ORDERS:
        fused, device = norm("float32", 1, 1), HostCuda()
        given = [placed(a, 0) for a in (LONG, LONG[:1].copy(), LONG[1:2].copy())]
        shapes: dict[str, tuple[int, ...]] = {
            "full": (5, 300), "row": (5, 1), "column": (1, 300), "scalar": (),
        }  # fmt: skip
        out = [placed(np.zeros(shapes[fused.operands[at].extent], "float32"), 0)
               for at in fused.outputs]  # fmt: skip
        Threads(device, fused, "float32", 5, 300).run(tuple(out), given)
        found.append([np.array(o, subok=False) for o in out])
        assert all(map(np.array_equal, found[0], found[-1])), "other bits"


def twice() -> None:
    """Two sums of columns in one launch."""
    found = []
    for State.order in ORDERS:
        chained = Builder("float32")
        x, y = chained.value("full"), chained.value("full")
        sums = [chained.add("sum", v, extent="column", over="rows") for v in (x, y)]
        fused = chained.built([x, y], sums, 1, 1)
        out = [placed(np.zeros((1, 70), "float32"), 0) for _ in sums]
        Threads(HostCuda(), fused, "float32", 13, 70).run(
            tuple(out), [placed(MANY[:, at : at + 70].copy(), 0) for at in (0, 100)]
        )
        found.append([np.array(o, subok=False) for o in out])
        assert all(map(np.array_equal, found[0], found[-1])), "other bits"


BEFORE, AFTER = "__syncthreads();  // every part is there", "__syncthreads();  // every part was"
FAULTS: dict[str, tuple[str, str, Callable[[], Any], str]] = {
    # what is replaced, by what, what is then run, and how it is found
    "no barrier before the parts are read": (BEFORE, "//", softmax, "off by|other bits"),
    "no barrier after the parts were read": (AFTER, "//", softmax, "off by|other bits"),
    "no barrier after them, in a loss": (AFTER, "//", cross_entropy, "off by|other bits"),
    "no barrier between rows of threads": (
        "__syncthreads();  // every row of threads has its sum", "//", layer, "off by|other bits",
    ),
    "no barrier behind one thread's numbers": (
        "__syncthreads();  // both are", "//", adam, "off by|other bits",
    ),
    "no barrier in a generated kernel": (AFTER, "//", chain, "other bits"),
    "no barrier where columns are added up": (
        "__syncthreads();  // every row of threads has its part", "//", chain, "other bits",
    ),
    "no barrier between two sums of columns": (
        "__syncthreads();  // they were read: the next", "//", twice, "other bits",
    ),
    "a barrier for some": (BEFORE, "if (thread < 40) __syncthreads();  //", softmax, "barrier"),
    "a lane has left before a shuffle": (
        "for (int i = thread(); i < count; i += threads()) sum += squares[i];",
        "if (threadIdx.x == 7) return;", clipped, "barrier or a shuffle",
    ),
    "a write past the end": (
        "i < n; i += stride())\n    z[i]", "i <= n; i += stride())\n    z[i]", dense, "outside",
    ),
    "a write before the start": (
        "i += stride())\n    z[i] =", "i += stride())\n    z[i - 1] =", dense, "outside|off by",
    ),
    "a misaligned vector": ("wide ? n / PACK : 0", "n / PACK", adam, "aligned"),
    "shared memory that nobody wrote": (
        "parts[threadIdx.y][threadIdx.x] = sum;", "if (threadIdx.y < 5) parts[threadIdx.y]"
        "[threadIdx.x] = sum;", layer, "off by",
    ),
    "one row of threads too few": ("for (int i = 1; i < 8; i++) sum", "for (int i = 1; i < 5; i++)"
                                   " sum", layer, "off by"),
    "a read past the end": ("sum += exp(at[c] - largest)", "sum += exp(at[c + 1] - largest)",
                            softmax, "off by"),
    "half of a warp left out": ("offset = WARP / 2", "offset = WARP / 4", softmax, "off by|other"),
    "doubles where floats are": (
        "const real* x, real* out, int rows", "const double* x, real* out, int rows", softmax,
        "x is of float32, not of float64",
    ),
}  # fmt: skip
QUICK = {"no barrier before the parts are read", "a write past the end", "a misaligned vector"}


@contextmanager
def planted(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """While it lasts, kernels are compiled from sources in which a text is another."""
    real, common = sources.source, sources.common()
    changed = common.count(old) + sum(
        real(file, "float32").text.count(old) for file in sources.FILES
    )
    assert changed, f"{old!r} is not in the sources"

    def source(file: str, dtype: str) -> Source:
        found = real(file, dtype)
        return Source(found.name, found.dtype, found.text.replace(old, new))

    for cached in (launch._found, launch._module):
        cached.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(launch, "source", source)
        patch.setattr(sources, "common", lambda: common.replace(old, new))
        yield
    for cached in (launch._found, launch._module):
        cached.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", [f if f in QUICK else pytest.param(f, marks=pytest.mark.slow) for f in FAULTS]
)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, run, words = FAULTS[fault]
    run()
    found = (AssertionError, RuntimeError, TypeError)
    with planted(old, new, monkeypatch), pytest.raises(found, match=words):
        run()
    run()


def test_a_missing_barrier_shows_in_greedy_orders_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why there are some: only where a warp runs on does one that is missing after it show."""
    old, new = FAULTS["no barrier after the parts were read"][:2]
    found = []
    with planted(old, new, monkeypatch):
        for order in ORDERS:
            try:
                check(TABLE["softmax"], "float32", LONG, orders=(order,), offsets=(0,))
            except AssertionError:
                found.append(order)
    assert found
    assert all(order & 2 for order in found)


def test_an_array_of_doubles_for_one_of_floats() -> None:
    out = allocated((5, 300), "float32")
    with pytest.raises(TypeError, match="x is of float64, not of float32"):
        launch.launch(
            "softmax_rows", "float32", (5,), (32,), placed(LONG.astype("float64"), 0), out, 5,
            300, False,
        )  # fmt: skip
    turned = placed(LONG.T.copy(), 0).T
    with pytest.raises(ValueError, match="not row-major"):
        launch.launch("softmax_rows", "float32", (5,), (32,), turned, out, 5, 300, False)


@pytest.mark.parametrize("given", [1e-3, np.float64(1e-3), np.int32(1), None])
def test_a_number_of_another_type_past_the_launcher(given: Any) -> None:
    """CuPy passes a float of Python as eight bytes, whatever the kernel takes."""
    where = sources.source("rows", "float32")
    kernel = RawModule(code=where.code, options=where.options).get_function("softmax_rows")
    x = placed(LONG, 0)
    with pytest.raises(TypeError, match="rows is int32"):
        kernel((5,), (32,), (x, x, given if given != 1 else np.int64(1), np.int32(300), np.True_))


def test_too_many_threads_or_no_blocks() -> None:
    x = placed(LONG, 0)
    for grid, block in (((0,), (32,)), ((5,), (512,)), ((5,), (0,))):
        with pytest.raises(ValueError, match="cannot run"):
            launch.launch("softmax_rows", "float32", grid, block, x, x, 5, 300, False)


def test_memory_that_was_freed_is_watched() -> None:
    """Writing where an array was is found, and reading there gives NaN."""
    x = placed(LONG, 0)
    memory = x.block.bytes
    start = x.block.start
    seen = memory[start : start + 4].view("float32")
    del x
    assert np.isnan(seen[0])
    assert any(one is memory for one, _ in FREED)
    out = placed(LONG, 0)
    memory[start] = 0
    with pytest.raises(RuntimeError, match="was freed"):
        launch.launch("softmax_rows", "float32", (1,), (32, 8), out, out, 5, 300, False)
    FREED.clear()


def test_a_launch_for_later_holds_no_array() -> None:
    """As a graph: what it was given for is written to after it was freed, which is found."""
    where = sources.source("rows", "float32")
    kernel = RawModule(code=where.code, options=where.options).get_function("softmax_rows")
    x, out = placed(LONG, 0), allocated(LONG.shape, "float32")
    later = kernel.prepared((5,), (32,), (x, out, np.int32(5), np.int32(300), np.False_))
    later()
    np.testing.assert_allclose(np.asarray(out).sum(1), 1.0, rtol=1e-5)
    del out
    with pytest.raises(RuntimeError, match="was freed"):
        later()
    FREED.clear()
