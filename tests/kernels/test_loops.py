"""Every loop of the table against the float64 oracle, in the interpreter and compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from lamina.kernels import philox
from lamina.kernels.loops import scalar
from lamina.kernels.loops import training as loops_training
from lamina.kernels.loops.table import compiled_loop_kernels, loop_kernels
from lamina.kernels.op import Kernel, Op, Sample
from lamina.kernels.ops import OPS
from lamina.kernels.spec import Spec, spec_of

LAYOUTS = ("contiguous", "transposed", "strided", "empty")
DTYPES = ("float32", "float64")
VARIANTS: dict[str, Callable[[], dict[str, Kernel]]] = {
    "python": cache(loop_kernels),
    "compiled": cache(compiled_loop_kernels),  # a loop is compiled once for the whole file
}
variants = pytest.mark.parametrize(
    "variant", ["python", pytest.param("compiled", marks=pytest.mark.slow)]
)
dtypes = pytest.mark.parametrize("dtype", DTYPES)


def lay(x: Any, layout: str) -> Any:
    """The same values in another layout; what is no array stays."""
    if not isinstance(x, np.ndarray) or x.ndim == 0:
        return x
    if layout == "transposed":
        return np.asfortranarray(x)
    if layout == "strided":
        double = np.zeros([2 * d for d in x.shape], x.dtype)
        view = double[(slice(None, None, 2),) * x.ndim]
        view[...] = x
        return view
    return x


def outputs(op: Op, sample: Sample, attrs: dict[str, Any], layout: str) -> tuple[Any, ...]:
    specs = [
        None if x is None else spec_of(x) if isinstance(x, np.ndarray) else Spec((), "float64")
        for x in sample.inputs
    ]
    made = op.check(specs, attrs)
    return tuple(lay(np.full(s.shape, 99, s.dtype), layout) for s in made)


def check(op: Op, sample: Sample, attrs: dict[str, Any], dtype: str, found: tuple[Any]) -> None:
    exact = [
        x.astype("float64") if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
        for x in sample.inputs
    ]
    with np.errstate(all="ignore"):
        oracle = op.reference(np, *exact, **attrs)
    tolerance = op.tolerance[dtype]
    oracles = oracle if isinstance(oracle, tuple) else (oracle,)
    for name, value, right in zip(op.outputs, found, oracles, strict=False):
        right = np.asarray(right)
        assert value.shape == right.shape
        if right.size:
            error = np.max(np.abs(value.astype("float64") - right))
            bound = tolerance.absolute + tolerance.relative * np.max(np.abs(right))
            assert error <= bound, f"{op.name}.{name} {attrs}: {error:.3g} > {bound:.3g}"


@variants
@pytest.mark.parametrize("layout", LAYOUTS)
@dtypes
@pytest.mark.parametrize("name", OPS)
def test_oracle(name: str, dtype: str, layout: str, variant: str) -> None:
    op, kernel = OPS[name], VARIANTS[variant]()[name]
    rows = 0 if layout == "empty" else 5
    for sample in op.samples(np.random.default_rng(0), dtype, rows):
        attrs = op.complete(sample.attrs)
        out = outputs(op, sample, attrs, layout)
        kernel.function(out, *(lay(x, layout) for x in sample.inputs), **attrs)
        check(op, sample, attrs, dtype, out)


@variants
@dtypes
@pytest.mark.parametrize("name", [n for n, op in OPS.items() if op.overwrites])
def test_overwrites(name: str, dtype: str, variant: str) -> None:
    """Outputs in the memory of the inputs that the table allows."""
    op, kernel = OPS[name], VARIANTS[variant]()[name]
    for sample in op.samples(np.random.default_rng(1), dtype, 5):
        attrs = op.complete(sample.attrs)
        for choice in range(max(map(len, op.overwrites))):
            inputs = [x.copy() if isinstance(x, np.ndarray) else x for x in sample.inputs]
            out = list(outputs(op, sample, attrs, "contiguous"))
            for at, places in enumerate(op.overwrites):
                place = inputs[places[min(choice, len(places) - 1)]] if places else None
                if place is not None and spec_of(place) == spec_of(out[at]):
                    out[at] = place
            kernel.function(tuple(out), *inputs, **attrs)
            check(op, sample, attrs, dtype, tuple(out))


@pytest.mark.parametrize("name", OPS)
def test_read_only_inputs(name: str) -> None:
    op, kernel = OPS[name], VARIANTS["python"]()[name]
    for sample in op.samples(np.random.default_rng(2), "float64", 3):
        for x in sample.inputs:
            if isinstance(x, np.ndarray):
                x.flags.writeable = False
        attrs = op.complete(sample.attrs)
        out = outputs(op, sample, attrs, "contiguous")
        kernel.function(out, *sample.inputs, **attrs)
        check(op, sample, attrs, "float64", out)


@variants
def test_rank_zero(variant: str) -> None:
    table = VARIANTS[variant]()
    out = np.empty(())
    table["add"].function((out,), np.array(1.0), np.array(2.0))
    assert out == 3.0
    table["tanh"].function((out,), np.array(0.5))
    assert out == pytest.approx(np.tanh(0.5))
    table["sum"].function((out,), np.array([[1.0, 2.0]]), axis=None, keepdims=False)
    assert out == 3.0


@variants
@pytest.mark.parametrize("name", ["maximum", "minimum", "max", "argmax", "clip", "relu", "sigmoid"])
def test_nan_is_kept(name: str, variant: str) -> None:
    op = OPS[name]
    x = np.array([[1.0, np.nan, 2.0, np.nan], [np.inf, 0.0, -np.inf, 1.0]])
    inputs = (x, x[::-1].copy()) if len(op.inputs) == 2 else (x,)
    attrs = op.complete({"low": -1.0, "high": 1.5} if name == "clip" else {})
    right = op.reference(np, *inputs, **attrs)
    out = np.empty(right.shape, right.dtype)
    VARIANTS[variant]()[name].function((out,), *inputs, **attrs)
    np.testing.assert_array_equal(out, right)


@variants
@pytest.mark.parametrize(
    "name",
    ["add", "subtract", "multiply", "maximum", "less", "equal", "where", "negative", "abs", "sign",
     "clip", "max", "argmax", "gather_rows", "concatenate", "transpose", "cast"],
)  # fmt: skip
def test_integers(name: str, variant: str) -> None:
    op = OPS[name]
    for sample in op.samples(np.random.default_rng(4), "float64", 5):
        inputs = tuple((x * 9.0).astype("int32") if x.dtype == "float64" else x
                       for x in sample.inputs)  # fmt: skip
        attrs = op.complete({"low": -3, "high": 5} if name == "clip" else sample.attrs)
        out = outputs(op, Sample(inputs), attrs, "contiguous")
        VARIANTS[variant]()[name].function(out, *inputs, **attrs)
        np.testing.assert_array_equal(out[0], op.reference(np, *inputs, **attrs))


@pytest.mark.slow
@variants
def test_saturated_losses_are_finite(variant: str) -> None:
    table = VARIANTS[variant]()
    p, labels = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0], [0]])
    loss = np.empty((2, 1))
    table["cross_entropy"].function((loss,), p, labels)
    np.testing.assert_allclose(loss, OPS["cross_entropy"].reference(np, p, labels))
    table["binary_cross_entropy"].function((loss,), p, p)
    np.testing.assert_array_equal(loss, 0.0)
    total = np.empty(())
    z = np.array([[-800.0, 800.0], [0.0, -800.0]])
    table["softmax_cross_entropy"].function((np.empty((2, 2)), total), z, labels)
    assert total == 1600.0


@pytest.mark.slow
def test_float32_stays_float32() -> None:
    """Python and the compiler round alike where only sums and products are involved."""
    rng = np.random.default_rng(3)
    x, weight = (rng.standard_normal(s).astype("float32") for s in ((20, 300), (300, 7)))
    bias = rng.standard_normal((1, 7)).astype("float32")
    attrs = {"activation": "leaky_relu", "alpha": 0.01}
    results = []
    for make in VARIANTS.values():
        out = np.empty((20, 7), "float32")
        make()["dense"].function((out,), x, weight, bias, **attrs)
        results.append(out)
    np.testing.assert_array_equal(*results)


def test_complete() -> None:
    assert set(loop_kernels()) == set(OPS)
    assert set(compiled_loop_kernels()) == set(OPS)


def test_philox_known_answers() -> None:
    out = np.empty(4, np.uint32)
    loops_training.philox_words(scalar.multiply_words, (0, 0), 0, (0, 0), 0, out)
    assert [f"{w:08x}" for w in out] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


@pytest.mark.parametrize(
    ("seed", "stream", "counter"),
    [(0, 0, 0), (1, 2, 3), (2**63 + 12345, 2**32 - 1, 2**40 + 7), (2**64 - 1, 9, 2**64 - 1)],
)
def test_philox_words(seed: int, stream: int, counter: int) -> None:
    expected = philox.words(np, seed, stream, counter, 103)
    out = np.empty(103, np.uint32)
    key, parts = philox.key(seed), philox.key(counter)
    loops_training.philox_words(scalar.multiply_words, key, stream, parts, 0, out)
    np.testing.assert_array_equal(out, expected)


@variants
def test_dropout_mask_is_the_reference_s(variant: str) -> None:
    attrs = {"shape": (7, 9), "rate": 0.3, "stream": 5, "dtype": "float32"}
    out = np.empty((7, 9), "float32")
    VARIANTS[variant]()["dropout_mask"].function((out,), 2**64 - 5, 2**33 + 1, **attrs)
    right = OPS["dropout_mask"].reference(np, 2**64 - 5, 2**33 + 1, **attrs)
    np.testing.assert_array_equal(out, right)


@pytest.mark.parametrize("value", [0, 2**31 - 1, 2**31, 2**32 - 1])
def test_a_cast_wraps_as_an_array_does(value: int) -> None:
    x = np.array([value], np.uint32)
    for table in (loop_kernels(), compiled_loop_kernels()):
        out = (np.empty(1, np.int32),)
        table["cast"].function(out, x, dtype="int32")
        np.testing.assert_array_equal(out[0], x.astype(np.int32))
