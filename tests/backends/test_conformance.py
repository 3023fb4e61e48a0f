"""Every operation on every backend, in every dtype and layout, against the float64 oracle."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends.conformance import LAYOUTS, check
from lamina.backends.registry import BUILTIN, status
from lamina.backends.selection import get_backend
from lamina.core.conformance import PROGRAMS, check_program
from lamina.kernels import ops, thresholds


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


@pytest.mark.long
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


@pytest.mark.cuda
@pytest.mark.long
def test_one_block_trains_as_captured_steps_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A persistent kernel on a GPU, or on its fake; `test_persistent.py` says more of it."""
    monkeypatch.setattr(thresholds, "PERSISTENT_FLOPS", np.inf)
    on: Any = lm.get_backend("cupy")
    found = []
    for backend in (on, on, type(on)(on.index, persistent=False)):
        model, x, y = support.variety(backend)
        model.fit(x, y, epochs=3, batch_size=5, sample_weight=np.linspace(0.1, 2, 23), verbose=0)
        assert ("persistent" in str(lm.explain(model))) == backend.persistent
        found.append(model.get_weights())
    assert support.same(found[0], found[1])
    for one, other in zip(found[0], found[2], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)


@pytest.mark.cuda
@pytest.mark.slow
@pytest.mark.parametrize(("precision", "off"), [("tf32", 2.0**-10), ("bfloat16", 2.0**-8)])
def test_products_are_off_by_what_their_factors_are(precision: str, off: float) -> None:
    on = lm.get_backend("cupy")
    if precision not in on.precisions:
        pytest.skip("the GPU has no units for it")
    a, b = np.random.default_rng(0).standard_normal((2, 130, 130)).astype("float32")
    on = on.computing(precision)
    with on.active():
        made = on.to_numpy(on.xp.matmul(on.asarray(a), on.asarray(b)))
    exact, bound = a.astype("float64") @ b, np.abs(a) @ np.abs(b)
    assert (np.abs(made - exact) <= 2.1 * off * bound).all()
