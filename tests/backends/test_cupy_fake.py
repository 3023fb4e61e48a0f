"""The fake of CuPy refuses what CuPy and CUDA refuse: each slip is one that it has to find."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

cupy_fake = pytest.importorskip("cupy_fake", reason="CuPy's package is not installed")
from cupy_fake import CUDARuntimeError, Freed, Race  # noqa: E402
from cupy_fake.memory import OutOfMemoryError  # noqa: E402

cp: Any = cupy_fake.module()
ROOT = Path(__file__).parents[2]


@pytest.fixture
def stream() -> Iterator[Any]:
    """A stream that can be captured, as the current one; an open capture is given up."""
    with cp.cuda.Stream(non_blocking=True) as made:
        yield made
        made.recording = None


def ones(*shape: int) -> Any:
    return cp.full(shape, 1.0, dtype=cp.float32)


# Slips in a step


def host_array() -> None:
    ones(3) + np.ones(3, dtype=np.float32)


def host_argument() -> None:
    cp.where(np.array([True]), ones(1), ones(1))


def implicit_download() -> None:
    np.add.reduce(np.asarray(ones(3)))


def unknown_keyword() -> None:
    cp.sum(ones(3), axis=0, where=True)


def unknown_name() -> None:
    cp.vecdoti(ones(3), ones(3))


def higher_rank() -> None:
    ones(3)[...] = ones(1, 3)


def other_device() -> None:
    with cp.cuda.Device(1):
        theirs = ones(3)
    ones(3) + theirs


def no_such_device() -> None:
    cp.cuda.Device(cupy_fake.machine.DEVICES)


def rank_zero_product() -> None:
    cp.matmul(ones(), ones())


def scalar_namespace_call() -> None:
    cp.exp(1.0)


def double_into_float() -> None:
    cp.add(cp.zeros(2, dtype=cp.int64), 1.5, out=cp.zeros(2, dtype=cp.int64))


def nothing_to_reduce() -> None:
    cp.max(cp.zeros((0, 3)), axis=0)


def float_labels() -> None:
    cp.take_along_axis(ones(2, 3), ones(2, 1), axis=-1)


SLIPS: list[tuple[Callable[[], None], type[Exception], str]] = [
    (host_array, TypeError, "Unsupported type"),
    (host_argument, AttributeError, "astype"),
    (implicit_download, TypeError, "Implicit conversion"),
    (unknown_keyword, TypeError, "where"),
    (unknown_name, AttributeError, "no attribute 'vecdoti'"),
    (higher_rank, ValueError, "mismatched"),
    (other_device, ValueError, "different from the current device"),
    (no_such_device, CUDARuntimeError, "InvalidDevice"),
    (rank_zero_product, ValueError, "Scalar operands"),
    (scalar_namespace_call, TypeError, "no CuPy array"),
    (double_into_float, TypeError, "cast"),
    (nothing_to_reduce, ValueError, "zero-size"),
    (float_labels, IndexError, "integer"),
]


@pytest.mark.parametrize(
    ("slip", "error", "said"), SLIPS, ids=lambda one: getattr(one, "__name__", "")
)
def test_a_slip_is_refused(slip: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        slip()


@pytest.mark.parametrize(
    "look", [float, int, bool, lambda a: a.item(), lambda a: a.tolist(), cp.asnumpy]
)
def test_a_look_at_an_array_is_counted_as_a_wait(look: Any) -> None:
    one, before = ones(), cupy_fake.counts["waits"]
    look(one)
    assert cupy_fake.counts["waits"] == before + 1


def test_what_nobody_wrote_is_nan_and_subnormal_numbers_are_zero() -> None:
    assert np.isnan(cp.empty((3,), dtype=cp.float32).get()).all()
    tiny = cp.full((1,), 1e-30, dtype=cp.float32)
    assert (tiny * cp.full((1,), 1e-10, dtype=cp.float32)).get() == 0.0
    assert ones(2)[0].shape == ()  # an element is an array
    with pytest.raises(OutOfMemoryError, match="Out of memory allocating"):
        cp.empty((2**40,), dtype=cp.uint8)


# Slips in a capture


def capture_product(x: Any) -> None:
    cp.matmul(x, x)


def capture_look(x: Any) -> None:
    float(x[0, 0])


def capture_wait(x: Any) -> None:
    cp.cuda.get_current_stream().synchronize()


def capture_upload(x: Any) -> None:
    x + cp.asarray(np.ones(3, dtype=np.float32))


def capture_number(x: Any) -> None:
    x + cp.asarray(1.0, dtype=cp.float32)


def capture_join(x: Any) -> None:
    cp.concat([x, x])


CAPTURES: list[tuple[Callable[[Any], None], type[Exception], str]] = [
    (capture_product, NotImplementedError, "cuBLAS"),
    (capture_look, CUDARuntimeError, "download"),
    (capture_wait, CUDARuntimeError, "wait"),
    (capture_upload, CUDARuntimeError, "uploaded"),
    (capture_number, CUDARuntimeError, "uploaded"),
    (capture_join, CUDARuntimeError, "addresses"),
]


@pytest.mark.parametrize(
    ("slip", "error", "said"), CAPTURES, ids=lambda one: getattr(one, "__name__", "")
)
def test_a_slip_in_a_capture_is_refused(
    slip: Any, error: type[Exception], said: str, stream: Any
) -> None:
    pool = cp.cuda.MemoryPool()
    with cp.cuda.using_allocator(pool.malloc):
        x = ones(3, 3)
        stream.begin_capture()
        with pytest.raises(error, match=said):
            slip(x)


def test_memory_of_all_in_a_capture_is_refused(stream: Any) -> None:
    x = ones(3)
    stream.begin_capture()
    with pytest.raises(CUDARuntimeError, match="gives the memory to others"):
        x + x


def recorded(stream: Any, work: Callable[[], Any]) -> tuple[Any, Any]:
    pool = cp.cuda.MemoryPool()
    with cp.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        work()
        return stream.end_capture(), pool


@pytest.mark.slow
def test_a_graph_does_what_was_recorded_when_it_is_launched(stream: Any) -> None:
    x, y = ones(3), cp.zeros(3, dtype=cp.float32)
    graph, pool = recorded(stream, lambda: cp.add(x, x * 2.0, out=y))
    assert y.get().tolist() == [0.0] * 3
    graph.launch()
    x[...] = 2.0
    graph.launch()
    assert y.get().tolist() == [6.0] * 3
    assert graph.names == ["multiply", "add"]
    del pool
    gc.collect()
    with pytest.raises(Freed):
        graph.launch()


def test_a_graph_on_memory_that_was_let_go_is_found(stream: Any) -> None:
    held, y = [ones(3)], ones(3)
    graph, _pool = recorded(stream, lambda: cp.add(held[0], 1.0, out=y))
    graph.launch()
    held.clear()
    with pytest.raises(Freed):
        graph.launch()


def test_the_null_stream_and_streams_that_wait_for_it_are_not_captured() -> None:
    with pytest.raises(CUDARuntimeError):
        cp.cuda.Stream.null.begin_capture()
    with cp.cuda.Stream() as blocking, pytest.raises(Race, match="waits for the null stream"):
        blocking.begin_capture()


def test_two_streams_on_one_piece_of_memory_are_refused(stream: Any) -> None:
    x = ones(3)
    other = cp.cuda.Stream(non_blocking=True)
    with other, pytest.raises(Race, match="neither waits"):
        x + x
    event = stream.record()
    with other:
        other.wait_event(event)
        y = x + x
    stream.wait_event(other.record())
    assert (y + x).get().tolist() == [3.0] * 3


def test_a_product_by_address_stays_in_its_memory(stream: Any) -> None:
    from lamina.backends.cublas import Products

    with cupy_fake.installed():
        products = Products(cp, stream)
        a = ones(2, 3)
        with pytest.raises(CUDARuntimeError, match="no device memory"):
            products._call(
                "cublasGemmEx", products.handle, 0, 0, 200, 200, 1, 0, a.data.ptr, 0, 200,
                a.data.ptr, 0, 1, 0, a.data.ptr, 0, 200, 68, -1,
            )  # fmt: skip
        with cp.cuda.Stream(non_blocking=True), pytest.raises(Race, match="another stream"):
            products.matmul(ones(2, 2), ones(2, 2))


@pytest.mark.long
def test_programs_run_with_it_from_the_shell() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cupy_fake", "lamina", "devices"], cwd=ROOT / "tests",
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert "Fake GPU" in done.stdout, done.stderr
