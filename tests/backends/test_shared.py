"""Large arrays on several cores: the same numbers, errors kept, forks survived."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest
import support
from lamina.backends import shared, threads
from lamina.backends.conformance import check
from lamina.backends.selection import get_backend
from lamina.kernels.numba.table import numba_kernels
from lamina.kernels.op import Kernel
from lamina.kernels.ops import OPS

ROWS = 2 * 2**20 + 77  # float32: just large enough, and no multiple of anything


@pytest.fixture
def three_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the machine had three cores."""

    def count() -> int:
        threads.crew.limit = 3
        return 3

    monkeypatch.setattr(threads, "count", count)


def watched(kernel: Kernel, seen: list[tuple[str, int]]) -> Kernel:
    """The kernel, noting the thread and the rows of each call."""

    def run(out: Any, *inputs: Any, **attrs: Any) -> None:
        seen.append((threading.current_thread().name, len(inputs[0])))
        kernel.function(out, *inputs, **attrs)

    return Kernel(kernel.op, run)


@pytest.mark.parametrize("op", [name for name in numba_kernels() if OPS[name].independent])
def test_every_shared_op_in_small_parts(
    op: str, three_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "LARGE", 1)
    monkeypatch.setattr(shared, "GRAIN", 1)
    for dtype in ("float32", "float64"):
        assert not check(get_backend("numba"), op, dtype, "contiguous")


CALLS: dict[str, tuple[int, dict[str, float]]] = {
    "tanh": (1, {}),
    "sigmoid_backward": (2, {}),
    "gelu": (1, {}),
    "adam_update": (4, {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}),
}


FLAT, SHAPES = (ROWS,), [(ROWS,), (ROWS // 3, 3), (ROWS // 10, 10)]


@pytest.mark.parametrize(
    ("op", "shape"),
    [(op, shape) for op in CALLS for shape in SHAPES if shape == FLAT or op != "adam_update"],
)
def test_bits_do_not_depend_on_the_parts(
    op: str, shape: tuple[int, ...], three_cores: None
) -> None:
    inputs, attrs = CALLS[op]
    kernel = numba_kernels()[op]
    rng = np.random.default_rng(3)
    arrays: list[Any] = [rng.random(shape, dtype=np.float32) for _ in range(inputs)]
    results = 3 if op == "adam_update" else 1
    arrays += [0.01, 2] if op == "adam_update" else []
    seen: list[tuple[str, int]] = []
    made = []
    for one in (kernel, shared.shared(watched(kernel, seen))):
        out = tuple(np.full(shape, np.nan, np.float32) for _ in range(results))
        one.function(out, *arrays, **attrs)
        made.append(out)
    assert len(seen) == 3
    assert len({name for name, _ in seen}) > 1
    assert sum(rows for _, rows in seen) == shape[0]
    for whole, parts in zip(*made, strict=True):
        assert whole.tobytes() == parts.tobytes()


@pytest.mark.parametrize("op", ["softmax_cross_entropy", "sigmoid_binary_cross_entropy"])
def test_a_sum_does_not_depend_on_the_cores(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, kernel = np.random.default_rng(4), numba_kernels()[op]
    z = rng.standard_normal((ROWS // 7, 7), dtype=np.float32)
    targets: Any = rng.integers(0, 7, (len(z), 1)).astype(np.int32)
    if op.startswith("sigmoid"):
        targets = rng.random(z.shape, dtype=np.float32)
    weights = rng.random((len(z), 1), dtype=np.float32)
    made, seen = [], []
    for cores in (2, 3, 5):
        monkeypatch.setattr(threads, "count", lambda cores=cores: cores)
        monkeypatch.setattr(threads.crew, "limit", cores)
        out = np.full_like(z, np.nan), np.full((), np.nan, np.float32)
        shared.shared(watched(kernel, seen)).function(out, z, targets, weights)
        made.append([one.tobytes() for one in out])
    assert made[0] == made[1] == made[2]
    assert len(seen) == 3 * shared.SUMS
    whole = np.empty_like(z), np.empty((), np.float32)
    kernel.function(whole, z, targets, weights)
    assert whole[0].tobytes() == made[0][0]
    assert whole[1] == pytest.approx(out[1], rel=1e-6)


def test_small_arrays_and_one_thread_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    kernel = shared.shared(watched(numba_kernels()["relu"], seen))
    small, large = np.ones(100, np.float32), np.ones(ROWS, np.float32)
    kernel.function((np.empty_like(small),), small)
    monkeypatch.setattr(threads, "count", lambda: 1)
    kernel.function((np.empty_like(large),), large)
    assert [rows for _, rows in seen] == [100, ROWS]


def test_a_single_row_is_not_cut_along_itself(three_cores: None) -> None:
    """Of rank 1, the only axis is the one that softmax sums over."""
    seen: list[tuple[str, int]] = []
    x = np.random.default_rng(5).standard_normal(ROWS, dtype=np.float32)
    out = np.empty_like(x)
    shared.shared(watched(numba_kernels()["softmax"], seen)).function((out,), x)
    assert [rows for _, rows in seen] == [ROWS]
    assert out.sum(dtype=np.float64) == pytest.approx(1.0, rel=1e-4)


def test_an_input_that_is_broadcast_is_not_cut(three_cores: None) -> None:
    """Its only axis is as long as the first one of the other, and is another."""
    seen: list[tuple[str, int]] = []

    def run(out: Any, a: Any, b: Any) -> None:
        np.add(a, b, out=out[0])

    side = 1500
    a, b = np.ones((side, side), np.float32), np.arange(side, dtype=np.float32)
    out = np.empty_like(a)
    shared.shared(watched(Kernel("add", run), seen)).function((out,), a, b)
    assert [rows for _, rows in seen] == [side]
    np.testing.assert_array_equal(out, a + b)


def test_a_kernel_whose_rows_need_each_other_stays_as_it_is() -> None:
    kernel = numba_kernels()["clip_norm"]
    assert shared.shared(kernel) is kernel


def test_the_error_of_a_part_arrives_and_the_cores_come_back(three_cores: None) -> None:
    def run(out: Any, x: Any) -> None:
        if x[0] == 0.0:
            return
        raise FloatingPointError("a later part")

    x = np.arange(ROWS, dtype=np.float32)
    with pytest.raises(FloatingPointError, match="a later part"):
        shared.shared(Kernel("relu", run)).function((np.empty_like(x),), x)
    assert threads.crew.busy == 0


FORK = """
import os, sys, warnings
import numpy as np
from lamina.backends import threads
from lamina.backends.selection import get_backend
threads.usable_cores.cache_clear()
threads.usable_cores = lambda: 2
relu = get_backend("numba").kernels()["relu"].function
x = np.linspace(-1, 1, 3 * 2**20, dtype=np.float32)
out = np.empty_like(x)
relu((out,), x)
assert threads.crew.workers is not None
warnings.simplefilter("ignore")  # newer Pythons warn of a fork beside threads
child = os.fork()
out[:] = -1
relu((out,), x)
assert out.min() == 0 and out.max() == 1
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os._exit(0)
"""


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_shares_too() -> None:
    support.run_python(FORK)
