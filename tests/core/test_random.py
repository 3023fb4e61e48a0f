"""Random shapes, dtypes and layouts through fit and predict: it works, or the error is ours.

LAMINA_FUZZ sets the seconds for each backend (5 in the ordinary run).
"""

from __future__ import annotations

import os
import time
import warnings
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support

pytest.importorskip("hypothesis")  # the machine with a GPU has no test extra

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

SECONDS = float(os.environ.get("LAMINA_FUZZ", "5"))
DTYPES = st.sampled_from(
    ["float32", "float64", ">f4", ">f8", "float16", "uint8", "int8", ">i4", "int64", "bool",
     "complex64", "U3", "O", "M8[s]"]
)  # fmt: skip


def laid_out(array: np.ndarray, layout: str) -> np.ndarray:
    if layout == "fortran":
        return np.asfortranarray(array)
    if layout == "reversed":
        return array[::-1]
    if layout == "strided":
        return np.repeat(array, 2, axis=0)[::2]
    if layout == "read-only":
        array = array.copy()
        array.setflags(write=False)
    return array


@st.composite
def arrays(draw: st.DrawFn, max_rank: int = 4) -> Any:
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=max_rank, min_side=0, max_side=7))
    dtype = np.dtype(draw(DTYPES))
    array = draw(hnp.arrays(dtype, shape)) if dtype != "O" else np.full(shape, "a", dtype=object)
    layout = draw(st.sampled_from(["plain", "fortran", "reversed", "strided", "read-only", "list"]))
    if array.ndim == 0 or layout == "plain":
        return array
    return array.tolist() if layout == "list" else laid_out(array, layout)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Any, Any]:
    """Data that is likely to fit, so that training is reached, or anything at all."""
    if draw(st.booleans()):
        return draw(arrays()), draw(arrays(2))
    rows, columns = draw(st.integers(1, 9)), draw(st.integers(1, 6))
    dtype = draw(st.sampled_from(["float32", "float64", ">f4", "uint8", "int64", "bool"]))
    scale = draw(st.sampled_from([1.0, 1e-30, 1e30, 1e300]))
    values = np.random.default_rng(draw(st.integers(0, 99))).standard_normal((rows, columns))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = (values * scale).astype(dtype)
    y = np.arange(rows) % draw(st.integers(1, 4))
    return laid_out(x, draw(st.sampled_from(["plain", "fortran", "reversed", "read-only"]))), y


MODELS = {
    "classes": lambda b: lm.Sequential(
        [lm.Flatten(), lm.Standardize(), lm.Dense(3, "softmax")], "cross_entropy", backend=b
    ),
    "chances": lambda b: lm.Sequential(
        [lm.Dense(2, "relu"), lm.Dense(1, "sigmoid")], "binary_cross_entropy", backend=b
    ),
    "numbers": lambda b: lm.Sequential([lm.Dense(1)], "mean_squared_error", "sgd", backend=b),
}


@pytest.mark.long
@pytest.mark.parametrize("backend", support.CPU)
def test_nothing_but_our_own_errors(backend: str) -> None:
    end = time.monotonic() + SECONDS
    seen = {"trained": 0, "refused": 0}

    @settings(
        max_examples=int(200 * SECONDS),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(pairs(), st.sampled_from(sorted(MODELS)), st.integers(1, 12))
    def drive(data: tuple[Any, Any], kind: str, batch: int) -> None:
        if time.monotonic() > end and min(seen.values()) > 5:  # slow machines still see some
            return
        x, y = data
        model = MODELS[kind](backend)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="batch_size")
                model.fit(x, y, batch_size=batch, verbose=0)
            made = model.predict(x)
        except lm.LaminaError as error:
            seen["refused"] += 1
            assert "\n" not in str(error)  # noqa: PT017
            return
        seen["trained"] += 1
        assert made.shape == (len(x), model.n_outputs)
        if np.abs(np.asarray(x, dtype="float64")).max() < 1e6:  # else a product may overflow
            assert np.isfinite(made).all()

    drive()
    assert min(seen.values()) > 5, seen
