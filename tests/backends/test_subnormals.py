"""Numbers below the smallest normal one: what README promises of each backend."""

from __future__ import annotations

from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.kernels.numba.native.machine import X86
from lamina.kernels.numba.table import numba_kernels

DTYPES = ("float32", "float64")


def tiny(dtype: str) -> float:
    """A subnormal number."""
    return float(np.finfo(dtype).smallest_normal) / 1024.0


def doubler(backend: str, dtype: str, weight: float) -> lm.Sequential:
    """x * weight."""
    model = lm.Sequential(
        [lm.Dense(1, use_bias=False)], "mean_squared_error", lm.SGD(0.5), backend=backend,
        dtype=dtype, seed=0,
    ).build(1)  # fmt: skip
    model.set_weights([np.full((1, 1), weight, dtype)])
    return model


def kept(backend: str) -> bool:
    """Whether programs of a backend keep subnormal numbers here."""
    return backend != "numba" or not X86


def this_thread_keeps(dtype: str) -> bool:
    """Whether subnormal numbers are computed with here and now."""
    value = np.full(64, tiny(dtype), dtype)
    return bool((value * np.ones(64, dtype) == value).all() and value.sum() > 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", support.CPU)
def test_programs(backend: str, dtype: str) -> None:
    least, ones = tiny(dtype), np.ones((4, 1), dtype)
    wanted = least if kept(backend) else 0.0
    model = doubler(backend, dtype, least)
    assert model.predict(ones).tolist() == [[wanted]] * 4  # a result
    model.set_weights([np.ones((1, 1), dtype)])
    assert model.predict(ones * least).tolist() == [[wanted]] * 4  # an input
    model.set_weights([np.full((1, 1), least, dtype)])
    model.fit(0.0 * ones, 0.0 * ones, batch_size=4, verbose=0)  # the gradient is 0
    assert model.get_weights()[0].tolist() == [[wanted]]
    assert this_thread_keeps(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_run_that_stops_early_leaves_the_thread_as_it_was(dtype: str) -> None:
    model = doubler("numba", dtype, 1.0)
    huge = np.full((4, 1), np.finfo(dtype).max, dtype)
    with pytest.raises(lm.DivergenceError):
        model.fit(huge, -huge, batch_size=4, verbose=0)
    assert this_thread_keeps(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ["relu", "tanh", "softplus"])
def test_kernels_by_themselves(op: str, dtype: str) -> None:
    kernels: Any = numba_kernels()
    least = tiny(dtype)
    given = (
        np.log(np.full((4, 4), least, dtype)) if op == "softplus" else np.full((4, 4), least, dtype)
    )
    out = np.empty_like(given)
    kernels[op].function((out,), given)
    np.testing.assert_allclose(out, least, rtol=1e-2)
