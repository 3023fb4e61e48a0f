"""Every operation on every backend, in every dtype and layout, against the float64 oracle."""

from __future__ import annotations

from types import SimpleNamespace

import lamina as lm
import numpy as np
import pytest
from lamina.backends.conformance import LAYOUTS, check
from lamina.backends.registry import BUILTIN, status
from lamina.backends.selection import get_backend
from lamina.core.conformance import PROGRAMS, check_program
from lamina.kernels import ops


def device(name: str):
    found = status(name)
    if name == "cupy" and not found.available:
        pytest.skip(found.reason)
    assert found.available, found  # no machine lacks the CPU backends
    return get_backend(name)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", ops.OPS)
@pytest.mark.parametrize(
    "backend", [pytest.param(n, marks=pytest.mark.cuda if n == "cupy" else ()) for n in BUILTIN]
)
def test_every_op(backend: str, op: str, dtype: str, layout: str) -> None:
    failures = check(device(backend), op, dtype, layout)
    assert not failures, "\n".join(map(str, failures))


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_on_several_threads(name, many_threads):
    many_threads(2)
    for dtype in ("float32", "float64"):
        assert check_program(get_backend("numba"), name, dtype) == []


def blind(out, x):
    """A ReLU that takes all memory for row-major."""
    strides = np.cumprod([x.itemsize, *x.shape[:0:-1]])[::-1]
    np.maximum(np.lib.stride_tricks.as_strided(x, x.shape, strides), 0.0, out=out[0])


class Elsewhere(lm.Backend):
    """A device with a namespace of its own, whose upload makes every array row-major."""

    name = "elsewhere"

    @property
    def xp(self):
        return SimpleNamespace(**vars(np))

    def asarray(self, host):
        return np.array(host, order="C")

    def kernels(self):
        return {"relu": lm.Kernel("relu", blind)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_made_on_the_device(layout):
    failures = check(Elsewhere(), "relu", "float64", layout)
    assert bool(failures) is (layout in ("transposed", "strided"))
    assert all(str(f).startswith(f"[relu] float64, {layout}: y") for f in failures)
    assert not check(Elsewhere(), "transpose", "float64", layout)
