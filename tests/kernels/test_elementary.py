"""The compiled elementary functions against longer arithmetic, in units in the last place."""

from __future__ import annotations

import math
from typing import Any

import generated
import numpy as np
import pytest
from lamina.kernels.numba import fast_gelu, fast_math
from lamina.kernels.numba.jit import jit

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def elementary(name: str) -> Any:
    """A function of either module."""
    return getattr(fast_math, name, None) or getattr(fast_gelu, name)


def compiled(name: str) -> Any:
    """A loop over an array around one function; compiled once for each."""
    function = elementary(name)

    @jit
    def apply(x: Any, out: Any) -> None:
        for i in range(x.size):
            out[i] = function(x[i])

    return apply


BOUNDS = {  # units in the last place: float32, float64; the docstrings of both modules state them
    "exp": (1.0, 1.0), "exp_below": (1.0, 1.0), "exp_normal": (1.0, 1.0), "expm1": (1.5, 2.0),
    "log": (1.0, 1.0), "log1p": (1.5, 1.5), "log1p_unit": (1.5, 1.5), "tanh": (2.5, 3.0),
    "sigmoid": (2.5, 2.5), "gelu": (4.0, 2.0), "gelu_slope": (3.0, 1.5),
    "gelu_tanh": (2.5, 2.5), "gelu_tanh_slope": (1.5, 1.5),
}  # fmt: skip
LOOPS = {name: compiled(name) for name in BOUNDS}


def longer(name: str, x: Any) -> Any:
    """The function in longer arithmetic than x has."""
    if name.endswith("_slope"):
        x = np.clip(x, -100, 100)  # what is 0 beyond would be multiplied with infinity
    if name == "sigmoid":
        small = np.exp(-abs(x))
        return np.where(x >= 0, 1, small) / (1 + small)
    if name in ("gelu", "gelu_slope"):
        share = np.vectorize(math.erfc, otypes="d")(-math.sqrt(0.5) * x) / 2
        density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        return share * x if name == "gelu" else share + x * density
    if name in ("gelu_tanh", "gelu_tanh_slope"):
        factor = 2 * math.sqrt(2 / math.pi)
        share = longer("sigmoid", factor * (x + 0.044715 * x**3))
        slope = share * (1 - share) * factor * (1 + 3 * 0.044715 * x * x)
        return share * x if name == "gelu_tanh" else share + x * slope
    return getattr(np, name.partition("_")[0])(x)


def every_kind(dtype: str) -> Any:
    """Random bit patterns (every exponent and NaN), usual ranges, borders, special values."""
    rng, info = np.random.default_rng(6), np.finfo(dtype)
    words = "uint32" if dtype == "float32" else "uint64"
    patterns = rng.integers(0, np.iinfo(words).max, 200_000, words, True).view(dtype)
    usual = [rng.uniform(-a, a, 50_000) for a in (0.01, 1.0, 2.0, 20.0, 110.0, 750.0)]
    subnormal = rng.uniform(-1.0, 1.0, 20_000) * float(info.smallest_normal)
    special = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, info.max, info.min,
               info.smallest_normal, info.smallest_subnormal, -info.smallest_subnormal]  # fmt: skip
    return np.concatenate(
        [patterns, *(np.asarray(a).astype(dtype) for a in (*usual, subnormal, special))]
    )


GENERATED = ("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "gelu")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "written"),
    [*((n, False) for n in LOOPS), *((n, True) for n in GENERATED)],
    ids=[*LOOPS, *(f"{n}, generated" for n in GENERATED)],
)
@dtypes
def test_units_in_the_last_place(name: str, written: bool, dtype: str) -> None:
    if dtype == "float64" and np.finfo(np.longdouble).nmant <= 52:
        pytest.skip("no arithmetic longer than float64 on this machine")
    x = every_kind(dtype)
    if name.endswith("_unit"):
        x = x[~((x < 0) | (x > 1))]  # NaN stays
    if name in ("exp_below", "exp_normal"):
        x = x[~(x > 0)]
    out = np.empty_like(x)
    if written:
        out = generated.mapped(name, x, dtype)
    else:
        LOOPS[name](x, out)
    with np.errstate(all="ignore"):
        exact = longer(name, x.astype("float64" if dtype == "float32" else np.longdouble))
        if name == "exp_normal":
            exact[exact < np.finfo(dtype).smallest_normal * math.sqrt(0.5)] = 0
        right = exact.astype(dtype)
        finite = np.isfinite(right) & np.isfinite(out)
        np.testing.assert_array_equal(out[~finite], right[~finite])
        error = np.abs(out[finite].astype(exact.dtype) - exact[finite])
        of = x if name in ("gelu", "gelu_tanh") else np.ones_like(x) if "slope" in name else right
        error /= np.spacing(np.abs(of[finite]))
    worst = error.argmax()
    bound = BOUNDS[name][dtype == "float64"]
    assert error[worst] <= bound, f"{name}({x[finite][worst]!r}) is {error[worst]:.2f} ulp off"
    zeros = x == 0
    if name in ("expm1", "log1p", "tanh"):
        np.testing.assert_array_equal(np.signbit(out[zeros]), np.signbit(x[zeros]))


@pytest.mark.parametrize("name", LOOPS)
def test_in_the_interpreter(name: str) -> None:
    assert elementary(name)(0.5) == pytest.approx(longer(name, 0.5))
