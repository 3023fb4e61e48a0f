"""Products in less than float32, on the strict fake; nothing here ran on a GPU."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from cupy_steps import dense, nodes, training
from lamina.kernels.cuda.launch import flat, launch

cupy_fake = pytest.importorskip("cupy_fake", reason="CuPy's package is not installed")
# How far a factor is off at most, as a share of it: a GPU may cut bits off, where the fake rounds.
ROUNDING = {"tf32": 2.0**-10, "bfloat16": 2.0**-8}
rng = np.random.default_rng(0)


@pytest.fixture
def device() -> Iterator[Any]:
    """The backend on the fake's first device."""
    with cupy_fake.installed():
        yield lm.get_backend("cupy")


def test_numbers_are_rounded_to_the_nearest_and_halves_to_even(device: Any) -> None:
    bits = rng.integers(0, 2**32, 5003, dtype=np.uint32)
    bits[:8] = [0x3F808000, 0x3F818000, 0x3F807FFF, 0x7F7FFFFF, 0x7F800000, 0xFF800000,
                0x7F800001, 0x80000000]  # fmt: skip
    host = bits.view(np.float32)
    with device.active():
        for start in (0, 1):  # the second cannot be taken four at once
            x = device.asarray(host)[start:]
            out = device.xp.empty((5003,), dtype=np.uint16)[start:]
            launch("round_to_bfloat16", "float32", *flat(x.size), x, out, x.size)
            made = device.to_numpy(out).astype(np.uint32) << 16
            down = bits[start:] & 0xFFFF0000
            with np.errstate(invalid="ignore"):  # of signalling NaN
                exact, below, above = (
                    w.astype(np.uint32).view(np.float32).astype(np.float64)
                    for w in (bits[start:], down, down + 0x10000)
                )
            above[np.isinf(above)] = np.copysign(2.0**128, above[np.isinf(above)])
            with np.errstate(invalid="ignore"):
                lower, upper = np.abs(exact - below), np.abs(above - exact)
            up = (upper < lower) | ((upper == lower) & (down >> 16 & 1 == 1))
            fine = np.isfinite(exact)
            assert np.array_equal(made[fine], np.where(up, down + 0x10000, down)[fine])
            numbers = made.view(np.float32)
            assert np.array_equal(np.isnan(numbers), np.isnan(host[start:]))
            infinite = np.isinf(host[start:])
            assert np.array_equal(numbers[infinite], host[start:][infinite])


@pytest.mark.parametrize("precision", ROUNDING)
def test_factors_are_rounded_and_sums_are_not(precision: str, device: Any) -> None:
    on = device.computing(precision)
    a, b = (rng.standard_normal(shape).astype("float32") for shape in ((33, 70), (70, 9)))
    with on.active():
        x, y = on.asarray(a), on.asarray(b)
        turned = on.asarray(np.ascontiguousarray(a.T)).T
        made = on.to_numpy(on.xp.matmul(x, y))
        assert np.array_equal(on.to_numpy(on.xp.matmul(turned, y)), made)
        stacked = on.to_numpy(on.xp.matmul(on.xp.reshape(x, (3, 11, 70)), y))
        np.testing.assert_allclose(stacked.reshape(33, 9), made, rtol=1e-5, atol=1e-5)
        norm = float(on.to_numpy(on.xp.matmul(x[0], x[0])))
    exact = a.astype(np.float64) @ b
    off = np.abs(made - exact)
    bound = np.abs(a) @ np.abs(b)
    assert (off <= 2.1 * ROUNDING[precision] * bound).all()
    assert off.max() > ROUNDING[precision] * bound.max() / 1000  # it did round
    assert norm == pytest.approx(float(a[0].astype(np.float64) @ a[0]), rel=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("precision", ROUNDING)
def test_training_in_less_than_float32(precision: str, device: Any) -> None:
    """Near float32, in float32 weights; captured as launched, to the bit."""
    x, y = support.classes(42)
    found = []
    for on in (device, type(device)(0, graphs=False)):
        for kind in (None, precision):
            model = support.classifier(on, dtype="float32", precision=kind)
            model.fit(x, y, epochs=4, batch_size=8, verbose=0)
            found.append([w.copy() for w in model.get_weights()])
            assert model.precision == kind
            assert all(w.dtype == np.float32 for w in found[-1])
    exact, rounded, _, launched = found
    assert support.same(rounded, launched)
    for one, other in zip(rounded, exact, strict=True):
        off = np.abs(one - other).max()
        assert 0 < off < 40 * ROUNDING[precision] * np.abs(other).max()


@pytest.mark.slow
def test_a_captured_step_rounds_by_kernels_of_its_own(device: Any) -> None:
    binding, _ = training(dense(64, 10), 64, 32, metrics=(), backend=device, precision="bfloat16")
    assert nodes(binding)[8] == 12 + 10  # two factors of each of five products
    binding, _ = training(dense(64, 10), 64, 32, metrics=(), backend=device, precision="tf32")
    assert nodes(binding)[8] == 12


def test_a_model_keeps_its_precision_where_it_can(device: Any) -> None:
    model = support.classifier("cupy", dtype="float32", precision="bfloat16").build(4)
    again = pickle.loads(pickle.dumps(model))
    assert again.precision == again.session.backend.precision == "bfloat16"
    assert model.to("cuda:1").session.backend.precision == "bfloat16"
    with pytest.raises(lm.BadInput, match="precision='bfloat16': this device"):
        model.to("numpy")
    auto = support.classifier("auto", dtype="float32", precision="tf32")
    auto.fit(*support.classes(16), batch_size=8, verbose=0)
    assert auto.session.backend.name == "cupy"  # however small its steps are


def test_what_is_refused(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(lm.BadInput, match="for products of float32, not of float64"):
        support.classifier(device, precision="tf32")
    with pytest.raises(lm.BadInput, match=r"precision='half': this .* in 'tf32', 'bfloat16'; use"):
        support.classifier(device, dtype="float32", precision="half")
    for name in support.CPU:
        with pytest.raises(lm.BadInput, match="'tf32': this device multiplies in float32"):
            support.classifier(name, dtype="float32", precision="tf32")
    monkeypatch.setattr(cupy_fake.machine.Device, "compute_capability", "75")
    with pytest.raises(lm.BadInput, match=r"capability 8\.0"):
        support.classifier(device, dtype="float32", precision="tf32")
