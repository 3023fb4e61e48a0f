"""CPU execution of CUDA sources: what a captured step keeps on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_host.cases import placed
from cuda_host.fixtures import cuda  # noqa: F401
from cuda_host.modules import ORDERS, State
from lamina.kernels.cuda import control
from lamina.kernels.cuda.rows import MOST_PARTS
from lamina.kernels.cuda.table import cuda_kernels
from lamina.kernels.ops import OPS

TABLE = cuda_kernels()
dtypes = pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)]
)
pytestmark = pytest.mark.usefixtures("cuda")


def flag(on: bool) -> Any:
    return placed(np.array([on]), 0)


@dtypes
def test_nothing_is_written_once_the_flag_is_off(dtype: str) -> None:
    """Each update, in place: as it was, or as without the flag."""
    rng, seen = np.random.default_rng(0), set()
    for name, kernel in TABLE.items():
        if not getattr(kernel.function, "guarded", False):
            continue
        op = OPS[name]
        sample = next(iter(op.samples(rng, dtype, 70)))
        attrs = op.complete(sample.attrs)
        made = []
        for going in (None, flag(True), flag(False)):
            given = [placed(x, 0) for x in sample.inputs]
            places = [at[0] if at else None for at in op.overwrites] or [None]
            out = tuple(
                given[at] if at is not None else placed(np.zeros(70, dtype), 0) for at in places
            )
            before = [np.array(o, subok=False) for o in out]
            kernel.function(out, *given, going=going, **attrs)
            made.append([np.array(o, subok=False) for o in out])
        for free, on, off, was in zip(*made, before, strict=True):
            assert free.tobytes() == on.tobytes(), name
            assert off.tobytes() == was.tobytes(), name
        assert any(a.tobytes() != b.tobytes() for a, b in zip(made[0], before, strict=True)), name
        seen.add(name)
    assert {n for n in OPS if n.endswith("_update")} | {
        "shrink", "rescale", "add_decay", "clip_norm", "keep", "assign",
    } == seen  # fmt: skip


def norm(host: Any, limit: float) -> control.Norm:
    parts = placed(np.full(MOST_PARTS, np.nan), 0)
    return control.Norm(
        placed(host, 1), placed(np.array(limit), 0), parts, placed(np.zeros(1, "uint32"), 0)
    )


@dtypes
@pytest.mark.parametrize("odd", [1.5, np.nan, np.inf, -np.inf])
def test_sums_of_a_run(dtype: str, odd: float) -> None:
    for on in (True, False):
        for watched in ([True, False], [False, True]):
            values = [placed(np.array(v, dtype), 0) for v in (2.0, odd)]
            factors, totals = placed(np.array([3.0, 2.0, 1.0]), 0), placed(np.ones(3), 0)
            for looked in (None, norm(np.ones(70, dtype), 71.0)):
                going = flag(on)
                totals[...] = 1.0
                control.judge(going, control.Sums(values, watched, factors, totals), looked)
                right = [7.0, 1.0 + 2.0 * odd, 2.0] if on else [1.0, 1.0, 1.0]
                np.testing.assert_array_equal(np.asarray(totals), right)
                assert bool(going[0]) == (on and (np.isfinite(odd) or not watched[1]))


def test_more_sums_than_one_launch_takes_are_refused() -> None:
    one = placed(np.ones(1, "float32"), 0)
    many = control.Sums([one] * 5, [True] * 5, one, one)
    for given in ((many,), ()):
        with pytest.raises(ValueError, match="up to 4 sums"):
            control.judge(flag(True), *given)


@dtypes
@pytest.mark.parametrize("size", [1, 70, 3000, 40000])
def test_a_norm_against_its_limit(size: int, dtype: str) -> None:
    """Of one block and of many, which arrive in any order."""
    rng = np.random.default_rng(size)
    host = rng.standard_normal(size).astype(dtype)
    square = float(np.sum(host.astype("float64") ** 2))
    for order in (0, 3, 6) if size > 3000 else ORDERS:
        State.order = order
        for limit, bad, right in (
            (square * 1.01, 0.0, True), (square * 0.99, 0.0, False), (1e300, np.nan, False),
            (1e300, np.inf, False),
        ):  # fmt: skip
            x = host.copy()
            x[-1] = bad or x[-1]
            looked = norm(x, limit)
            for on in (True, False):
                going = flag(on)
                control.judge(going, None, looked)
                assert bool(going[0]) is (on and right), (order, limit, bad)
                assert looked.arrived[0] == 0


@pytest.mark.parametrize("number", [0, 2])
def test_a_step_begins_with_its_numbers_and_its_rows(number: int) -> None:
    """Of more columns than a launch takes, of words and pairs of words, in every order."""
    rng = np.random.default_rng(number)
    x = [rng.standard_normal((9, 5, 7)), rng.integers(0, 9, (9, 1)).astype("int32")]
    x += [rng.standard_normal((9, 37)).astype("float32"), rng.integers(0, 9, (9, 3))]
    order = rng.integers(0, 9, (4, 6)).astype("int32")
    table, shares = rng.standard_normal((4, 5)), rng.random((4, 6, 1))
    counters = np.array([number, 7, 11])
    for at in ORDERS:
        State.order = at
        row, now = placed(np.zeros((1, 5)), 1), placed(np.zeros((1, 3), "int64"), 1)
        numbers = control.Numbers(placed(counters, 0), placed(table, 1), row, now)
        made = [placed(np.full((4, *one.shape[1:]), 99, one.dtype), 1) for one in x]
        share = placed(np.zeros((4, 1)), 0)
        pairs = [(placed(one, 0), target) for one, target in zip(x, made, strict=True)]
        control.begin(numbers, control.Rows(4, placed(order, 0), pairs, (placed(shares, 0), share)))
        np.testing.assert_array_equal(np.asarray(row)[0], table[number])
        np.testing.assert_array_equal(np.asarray(now)[0], counters)
        np.testing.assert_array_equal(np.asarray(share), shares[number, :4])
        for one, target in zip(x, made, strict=True):
            np.testing.assert_array_equal(np.asarray(target), one[order[number, :4]])
        assert np.asarray(numbers.counters).tolist() == counters.tolist()


def test_rows_of_bytes_are_refused() -> None:
    bytes_ = placed(np.zeros((4, 3), "uint8"), 0)
    numbers = control.Numbers(*(placed(np.zeros((1, 3)), 0) for _ in range(4)))
    with pytest.raises(ValueError, match="words of 4 bytes"):
        control.begin(numbers, control.Rows(4, bytes_, [(bytes_, bytes_)]))


@pytest.mark.parametrize("on", [True, False])
def test_who_judges_counts_the_step(on: bool) -> None:
    for trained in (True, False):
        counters, going = placed(np.array([3, 7, 6]), 0), flag(on)
        control.judge(going, None, norm(np.ones(3000), 3001.0), counters, trained)
        assert np.asarray(counters).tolist() == [4, 7 + trained, 6 + trained]
        control.judge(going, None, None, counters)
        assert counters[0] == 5
