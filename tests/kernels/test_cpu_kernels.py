"""Every kernel of the two CPU tables against the float64 oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pytest
import support
from lamina.kernels import philox
from lamina.kernels.numba import activations, dropout, streams
from lamina.kernels.numba.table import numba_kernels
from lamina.kernels.numpy.table import numpy_kernels
from lamina.kernels.op import Kernel, Op, Sample
from lamina.kernels.ops import FUSABLE, OPS
from lamina.kernels.spec import Spec, spec_of

TABLES: dict[str, Callable[[], dict[str, Kernel]]] = {
    "numba": cache(numba_kernels), "numpy": cache(numpy_kernels),
}  # fmt: skip
ROWS = [(table, name) for table in TABLES for name in TABLES[table]()]
LAYOUTS = ("contiguous", "transposed", "strided", "empty")
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
tables = pytest.mark.parametrize("table", TABLES)


def lay(x: Any, layout: str) -> Any:
    """The same values in another layout; what is no array stays."""
    if not isinstance(x, np.ndarray) or x.ndim == 0:
        return x
    if layout == "transposed":
        return np.asfortranarray(x)
    if layout == "strided":
        double = np.full([2 * d for d in x.shape], np.nan if x.dtype.kind == "f" else 1, x.dtype)
        view = double[(slice(None, None, 2),) * x.ndim]
        view[...] = x
        return view
    return x


def specs(sample: Sample) -> list[Spec | None]:
    return [
        None if x is None else spec_of(x) if isinstance(x, np.ndarray) else Spec((), "float64")
        for x in sample.inputs
    ]


def buffers(op: Op, sample: Sample, attrs: dict[str, Any]) -> tuple[Any, ...]:
    """Row-major outputs full of a wrong value."""
    return tuple(np.full(s.shape, 99, s.dtype) for s in op.check(specs(sample), attrs))


def oracle(op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> tuple[Any, ...]:
    exact = [
        x.astype("float64") if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
        for x in inputs
    ]
    with np.errstate(all="ignore"):
        value = op.reference(np, *exact, **attrs)
    return value if isinstance(value, tuple) else (value,)


def compare(
    op: Op, attrs: dict[str, Any], dtype: str, found: tuple[Any, ...], right: tuple[Any, ...]
) -> None:
    tolerance = op.tolerance[dtype]
    assert len(found) == len(right)
    for name, value, exact in zip(op.outputs, found, map(np.asarray, right), strict=False):
        assert value.shape == exact.shape
        if exact.size:
            error = np.max(np.abs(value.astype("float64") - exact))
            bound = tolerance.absolute + tolerance.relative * np.max(np.abs(exact))
            assert error <= bound, f"{op.name}.{name} {attrs}: {error:.3g} > {bound:.3g}"


def taken(table: str, name: str, samples: Any) -> Iterator[tuple[Kernel, Sample, dict[str, Any]]]:
    """The samples that the kernel supports, with complete attributes."""
    kernel = TABLES[table]()[name]
    for sample in samples:
        attrs = OPS[name].complete(sample.attrs)
        if kernel.supports([s for s in specs(sample) if s is not None], attrs):
            yield kernel, sample, attrs


@pytest.mark.parametrize("layout", LAYOUTS)
@dtypes
@pytest.mark.parametrize(("table", "name"), ROWS)
def test_oracle(table: str, name: str, dtype: str, layout: str) -> None:
    op, count = OPS[name], 0
    samples = op.samples(np.random.default_rng(0), dtype, 0 if layout == "empty" else 5)
    for kernel, sample, attrs in taken(table, name, samples):
        out = buffers(op, sample, attrs)
        kernel.function(out, *(lay(x, layout) for x in sample.inputs), **attrs)
        compare(op, attrs, dtype, out, oracle(op, sample.inputs, attrs))
        count += 1
    assert count, "the kernel takes none of its row's samples"


@pytest.mark.long
def test_read_only_inputs() -> None:
    for table, name in ROWS:
        op = OPS[name]
        samples = list(op.samples(np.random.default_rng(2), "float32", 3))
        for kernel, sample, attrs in taken(table, name, samples):
            for x in sample.inputs:
                if isinstance(x, np.ndarray):
                    x.flags.writeable = False
            out = buffers(op, sample, attrs)
            kernel.function(out, *sample.inputs, **attrs)
            compare(op, attrs, "float32", out, oracle(op, sample.inputs, attrs))


@dtypes
@pytest.mark.parametrize(("table", "name"), [r for r in ROWS if OPS[r[1]].overwrites])
def test_overwrites(table: str, name: str, dtype: str) -> None:
    """Outputs in the memory of the inputs that the table allows."""
    op = OPS[name]
    samples = op.samples(np.random.default_rng(1), dtype, 5)
    for kernel, sample, attrs in taken(table, name, samples):
        right = oracle(op, sample.inputs, attrs)
        for choice in range(max(map(len, op.overwrites))):
            inputs = [x.copy() if isinstance(x, np.ndarray) else x for x in sample.inputs]
            out = list(buffers(op, sample, attrs))
            for at, places in enumerate(op.overwrites):
                place = inputs[places[min(choice, len(places) - 1)]] if places else None
                if place is not None and spec_of(place) == spec_of(out[at]):
                    out[at] = place
            kernel.function(tuple(out), *inputs, **attrs)
            compare(op, attrs, dtype, tuple(out), right)


def run(table: str, name: str, dtype: str, *inputs: Any, **given: Any) -> tuple[Any, ...]:
    """One call, compared with the oracle."""
    op, sample = OPS[name], Sample(inputs)
    attrs = op.complete(given)
    out = buffers(op, sample, attrs)
    if TABLES[table]()[name].supports([s for s in specs(sample) if s is not None], attrs):
        TABLES[table]()[name].function(out, *inputs, **attrs)
        compare(op, attrs, dtype, out, oracle(op, inputs, attrs))
    return out


@pytest.mark.parametrize("shape", [(301, 2, 3), (300, 64, 37), (1, 129, 513), (5000, 3, 1)])
@pytest.mark.parametrize("activation", FUSABLE)
@dtypes
@tables
def test_larger_layers(
    table: str, dtype: str, activation: str, shape: tuple[int, int, int]
) -> None:
    """Vector loops, their tails, several blocks of rows, one column."""
    rng, (rows, width, units) = np.random.default_rng(3), shape
    x, g = (rng.standard_normal(s).astype(dtype) for s in ((rows, width), (rows, units)))
    weight = (rng.standard_normal((width, units)) / width**0.5).astype(dtype)
    bias = rng.standard_normal((1, units)).astype(dtype)
    (y,) = run(table, "dense", dtype, x, weight, bias, activation=activation)
    y = (rng.random((rows, units)) * 0.9).astype(dtype)
    run(table, "dense_backward", dtype, g, x, weight, y, activation=activation)


@pytest.mark.parametrize("shape", [(3000, 10), (7, 5000), (257, 33), (9000, 1)])
@dtypes
@tables
def test_larger_rows(table: str, dtype: str, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    x = (rng.standard_normal(shape) * 4.0).astype(dtype)
    labels = rng.integers(0, shape[1], (shape[0], 1)).astype("int32")
    weights, targets = rng.random((shape[0], 1)).astype(dtype), rng.random(shape).astype(dtype)
    run(table, "softmax", dtype, x)
    for name in ("log_softmax", "softmax_backward", "log_softmax_backward"):
        if name in TABLES[table]():
            both = (x, rng.random(shape).astype(dtype) / np.dtype(dtype).type(shape[1]))
            run(table, name, dtype, *both[: len(OPS[name].inputs)])
    run(table, "softmax_cross_entropy", dtype, x, labels, weights)
    run(table, "sigmoid_binary_cross_entropy", dtype, x, targets, weights)


def test_long_column_sums() -> None:
    """Over many rows of nearly one value a plain float32 sum is off by 2e-4."""
    rng, rows = np.random.default_rng(5), 200_000
    g = (0.1 + 1e-3 * rng.random((rows, 3))).astype("float32")
    x, weight = np.ones((rows, 2), "float32"), np.ones((2, 3), "float32")
    found = []
    for _ in range(2):
        op = OPS["dense_backward"]
        attrs = op.complete({})
        out = buffers(op, Sample((g, x, weight)), attrs)
        TABLES["numba"]()["dense_backward"].function(out, g, x, weight, **attrs)
        found.append(out[1])
    exact = g.astype("float64").sum(axis=0, keepdims=True)
    relative = OPS["dense_backward"].tolerance["float32"].relative
    np.testing.assert_allclose(found[0], exact, rtol=relative)
    np.testing.assert_array_equal(*found)  # in a fixed order


SPECIAL = np.array([[np.nan, np.inf, -np.inf, 0.0, 1.0, -2.0]])


@pytest.mark.parametrize(
    "name",
    ["relu", "leaky_relu", "sigmoid", "tanh", "elu", "softplus", "softmax", "log_softmax",
     "relu_backward", "leaky_relu_backward", "sigmoid_backward", "tanh_backward", "clip_norm"],
)  # fmt: skip
@dtypes
@tables
def test_nan_and_infinity(table: str, dtype: str, name: str) -> None:
    if name not in TABLES[table]():
        pytest.skip(f"{table} has no kernel for {name}")
    op = OPS[name]
    x = SPECIAL.astype(dtype)
    y = np.array([[0.5, 0.0, 0.25, np.nan, 1.0, -0.25]]).astype(dtype)
    inputs = (x, y) if len(op.inputs) == 2 else (x[0],) if name == "clip_norm" else (x,)
    attrs = op.complete({"maximum": 0.5} if name == "clip_norm" else {})
    out = np.empty_like(inputs[0])
    with np.errstate(all="ignore"):
        TABLES[table]()[name].function((out,), *inputs, **attrs)
        right = op.reference(np, *inputs, **attrs)
    np.testing.assert_allclose(out, right, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("seed", [0, 2**64 - 5])
def test_dropout_mask_is_the_reference_s(seed: int) -> None:
    attrs = {"shape": (37, 9), "rate": 0.3, "stream": 5, "dtype": "float32"}
    out = np.empty((37, 9), "float32")
    TABLES["numba"]()["dropout_mask"].function((out,), seed, 2**33 + 1, **attrs)
    words = philox.words(np, seed, 5, 2**33 + 1, 37 * 9).reshape(37, 9)
    np.testing.assert_array_equal(out == 0.0, words < philox.threshold(0.3))


@dtypes
@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 31, 32, 33, 64, 67, 100])
def test_parts_of_a_dropout_mask_anywhere(count: int, dtype: str) -> None:
    """Vectors of blocks, single blocks and parts of them, and nothing beside."""
    seed, stream, counter, least = 0x123456789ABCDEF0, 0xDEADBEEF, 0x1_0000_0007, 0x40000000
    word, scale = np.uint32, np.dtype(dtype).type(1.25)
    keys = [word(w) for w in (*philox.key(seed), stream, *philox.key(counter), least)]
    for skipped in (0, 1, 3, 4, 7, 30, 2**33 + 5):
        out = np.full(count + 8, 9.0, dtype)
        dropout.dropout_words(*keys, scale, skipped, out[:count])
        words = philox.words(np, seed, stream, counter, count, skipped)
        np.testing.assert_array_equal(out[:count], np.where(words >= least, scale, scale * 0))
        assert (out[count:] == 9.0).all()


@pytest.mark.slow
@dtypes
@pytest.mark.parametrize(("shift", "pay"), [(0, True), (1, True), (5, True), (5, False)])
def test_arrays_larger_than_the_caches(dtype: str, shift: int, pay: bool) -> None:
    size = streams.LARGE // np.dtype(dtype).itemsize + streams.PIECE // 2 + 3
    rng = np.random.default_rng(shift)
    x, g = (rng.standard_normal(size).astype(dtype) for _ in range(2))
    out = np.full(size + shift, 7.0, dtype)[shift:]  # not at the start of a line
    alpha, none = np.dtype(dtype).type(0.1), np.empty((0, 1), dtype)
    for name in ("relu", "tanh", "elu", "softplus"):
        code, expected = activations.CODES[name], np.empty_like(x)
        activations.activate_flat(x, code, alpha, expected)
        activations.activate(x[None], none, code, alpha, out[None], pay)
        np.testing.assert_array_equal(out, expected)
        slope = np.empty_like(g)
        activations.activate_backward_flat(g, x, code, alpha, slope)
        activations.activate_backward(g[None], x[None], code, alpha, out[None], pay)
        np.testing.assert_array_equal(out, slope)
        again = x.copy()
        activations.activate(again[None], none, code, alpha, again[None], pay)
        np.testing.assert_array_equal(again, expected)


PLACED = [
    "tanh", "sigmoid", "softplus", "elu", "gelu", "gelu_tanh", "gelu_backward",
    "gelu_tanh_backward", "sgd_update", "momentum_update", "nesterov_update", "rmsprop_update",
    "adam_update", "adagrad_update", "amsgrad_update", "nadam_update", "lion_update",
]  # fmt: skip


@dtypes
@pytest.mark.parametrize("name", PLACED)
def test_an_element_s_place_changes_no_bit(name: str, dtype: str) -> None:
    """In a vector, in what is left over and alone: the same operations, rounded alike."""
    size = 1003
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(size).astype(dtype) ** 2 + 0.1 for _ in range(5)]
    betas = {"beta1": 0.9, "beta2": 0.999}
    attrs: dict[str, Any] = {
        "elu": {"alpha": 1.0}, "momentum_update": {"momentum": 0.9},
        "nesterov_update": {"momentum": 0.9}, "rmsprop_update": {"rho": 0.9, "epsilon": 1e-8},
        "adam_update": {**betas, "epsilon": 1e-8}, "amsgrad_update": {**betas, "epsilon": 1e-8},
        "nadam_update": {**betas, "epsilon": 1e-8, "momentum_decay": 0.004},
        "adagrad_update": {"epsilon": 1e-8}, "lion_update": betas,
    }.get(name, {})  # fmt: skip
    update, takes = name.endswith("_update"), OPS[name].inputs
    numbers = (0.01, 3) if "step" in takes else (0.01,) if update else ()
    count = len(takes) - len(numbers)
    function = TABLES["numba"]()[name].function

    def run(part: slice) -> list[Any]:
        inputs = [a[part].copy() for a in arrays[:count]]
        outs = inputs[:1] + inputs[2:] if update else [np.empty_like(inputs[0])]
        function(tuple(outs), *inputs, *numbers, **attrs)
        return outs

    support.same_by_parts(run, size)


def test_numpy_updates_of_two_threads_keep_apart() -> None:
    """Each works in memory of its own, though both keep it from call to call."""
    update = TABLES["numpy"]()["adam_update"].function
    rates = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}

    def trained(seed: int) -> Any:
        p, g = np.random.default_rng(seed).standard_normal((2, 200_000), dtype=np.float32)
        m, s = np.zeros_like(p), np.zeros_like(p)
        for step in range(1, 31):
            update((p, m, s), p, g, m, s, 1e-3, step, **rates)
        return p

    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(trained, range(4)))
    for seed, found in enumerate(together):
        np.testing.assert_array_equal(found, trained(seed))
