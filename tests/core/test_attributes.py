"""Shapes, axes, dtypes and whole numbers as users give them: taken as NumPy's, or refused in words.

And functions that leave nothing to compute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.core.graph.graph import constant
from lamina.kernels.attributes import READERS
from lamina.kernels.ops import OPS

X = np.arange(24.0).reshape(2, 3, 4)
SMALL = np.arange(6.0).reshape(2, 3)
FAR = 3_000_000_000  # beyond int32
ops: Any = lm.ops


def value(f: Callable[..., Any], *args: Any, backend: str = "numpy") -> np.ndarray:
    """The number or array that a function returns."""
    trace = lm.trace(f, *args, backend=backend)
    return np.asarray(trace.values[trace.result])


def refused(f: Callable[..., Any], *args: Any) -> str:
    """What is said when a function is traced; the exception must be one of ours."""
    with pytest.raises(lm.LaminaError) as caught:
        lm.trace(f, *args, backend="numpy")
    return str(caught.value)


INTEGERS = [np.int64, np.int32, np.uint8, np.intp, np.array, int]


@pytest.mark.parametrize("kind", INTEGERS)
class TestIntegers:
    """Whole numbers of any type where a whole number is meant."""

    def test_axes(self, kind: Any) -> None:
        for op in ("sum", "mean", "max"):
            want = getattr(np, op)(X, axis=1)
            got = value(lambda x, op=op: getattr(ops, op)(x, kind(1)), X)
            np.testing.assert_array_equal(got, want)
            many = getattr(np, op)(X, axis=(0, 2))
            for axes in ((kind(0), kind(2)), [kind(0), kind(2)], np.array([0, 2])):
                got = value(lambda x, op=op, axes=axes: getattr(ops, op)(x, axis=axes), X)
                np.testing.assert_array_equal(got, many)
        np.testing.assert_array_equal(value(lambda x: x.sum(kind(1)), X), X.sum(1))
        np.testing.assert_array_equal(value(lambda x: x.mean(axis=(kind(1),)), X), X.mean(1))
        np.testing.assert_array_equal(value(lambda x: ops.argmax(x, kind(1)), X), X.argmax(1))
        got = value(lambda x: ops.concatenate([x, x], axis=kind(1)), X)
        np.testing.assert_array_equal(got, np.concatenate([X, X], axis=1))
        got = value(lambda x: ops.transpose(x, [kind(2), kind(0), kind(1)]), X)
        np.testing.assert_array_equal(got, X.transpose(2, 0, 1))

    def test_shapes(self, kind: Any) -> None:
        want = X.reshape(4, 6)
        for reshape in (
            lambda x: x.reshape(kind(4), kind(6)),
            lambda x: x.reshape((kind(4), kind(6))),
            lambda x: x.reshape([kind(4), -1]),
            lambda x: x.reshape(np.array([4, 6])),
            lambda x: ops.reshape(x, (-1, kind(6))),
        ):
            np.testing.assert_array_equal(value(reshape, X), want)
        np.testing.assert_array_equal(value(lambda x: ops.reshape(x, kind(24)), X), X.ravel())
        np.testing.assert_array_equal(value(lambda x: x.reshape(-1), X), X.ravel())
        got = value(lambda x: ops.broadcast_to(x, (kind(2), kind(3))), np.ones(3))
        np.testing.assert_array_equal(got, np.ones((2, 3)))

    def test_indices(self, kind: Any) -> None:
        np.testing.assert_array_equal(value(lambda x: x[kind(1)], X), X[1])
        np.testing.assert_array_equal(value(lambda x: x[:, kind(2), kind(0)], X), X[:, 2, 0])
        got = value(lambda x: x[kind(0) : kind(2), :: kind(2)], X)
        np.testing.assert_array_equal(got, X[:, ::2])

    def test_classes_and_rows(self, kind: Any) -> None:
        labels, rows = np.array([[1], [0]]), np.array([1, 0])
        got = value(lambda x: ops.one_hot(labels, classes=kind(3), dtype="float64") * x, SMALL)
        np.testing.assert_array_equal(got, np.eye(3)[[1, 0]] * SMALL)
        got = value(lambda x: ops.scatter_rows(x, rows, rows=kind(3)), SMALL)
        np.testing.assert_array_equal(got, [SMALL[1], SMALL[0], [0, 0, 0]])

    def test_derivatives_by_them(self, kind: Any) -> None:
        got = lm.grad(lambda x: (x.sum(kind(1)) ** kind(2)).reshape([kind(2)]).sum(),
                      backend="numpy")(SMALL)  # fmt: skip
        np.testing.assert_array_equal(got, np.repeat(2 * SMALL.sum(1, keepdims=True), 3, axis=1))


WORDS: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "two lengths to fill": (
        lambda x: x.reshape(-1, -1), lm.ShapeError, "[reshape] only one length can be -1",
    ),
    "three of them": (
        lambda x: ops.reshape(x, (-1, -1, -1)), lm.ShapeError, "not 3 of (-1, -1, -1)",
    ),
    "a length that does not fit": (
        lambda x: x.reshape(-1, 5), lm.ShapeError, "float64[2, 3] does not fit into (-1, 5)",
    ),
    "a negative length": (
        lambda x: x.reshape(-2, -3), lm.ShapeError, "shape (-2, -3) has a negative length",
    ),
    "broadcast to -1": (
        lambda x: ops.broadcast_to(x[0:1], (-1, 3)), lm.ShapeError, "has a negative length",
    ),
    "a float length": (
        lambda x: x.reshape(2.0, 3), lm.ShapeError, "shape must be whole numbers, not 2.0",
    ),
    "a string for a shape": (lambda x: x.reshape("23"), lm.ShapeError, "not '23'"),
    "a bool length": (lambda x: x.reshape(True, 6), lm.ShapeError, "not True"),
    "a float axis": (
        lambda x: ops.sum(x, axis=1.0), lm.ShapeError, "[sum] axis must be whole numbers, not 1.0",
    ),
    "a bool axis": (lambda x: x.mean(True), lm.ShapeError, "[mean] axis must be whole numbers"),
    "NumPy's bool": (lambda x: ops.max(x, np.True_), lm.ShapeError, "[max] axis must be whole"),
    "float axes": (lambda x: ops.sum(x, (0, 1.5)), lm.ShapeError, "not 1.5"),
    "a string axis": (lambda x: ops.argmax(x, "1"), lm.ShapeError, "[argmax] axis"),
    "several axes of argmax": (lambda x: ops.argmax(x, (0, 1)), lm.ShapeError, "not (0, 1)"),
    "no axis to join": (
        lambda x: ops.concatenate([x, x], None), lm.ShapeError, "[concatenate] axis",
    ),
    "an axis too far": (lambda x: x.sum(2), lm.ShapeError, "axis 2 is out of range"),
    "an axis twice": (lambda x: x.sum((0, -2)), lm.ShapeError, "an axis stands twice"),
    "a float among axes": (lambda x: ops.transpose(x, (1.0, 0)), lm.ShapeError, "[transpose] axes"),
    "no permutation": (lambda x: ops.transpose(x, (0, 0)), lm.ShapeError, "no permutation"),
    "a float index": (lambda x: x[1.0], lm.ShapeError, "index 1.0 does not fit"),
    "a bool index": (lambda x: x[True], lm.ShapeError, "index True does not fit"),
    "NumPy's bool index": (lambda x: x[np.True_], lm.ShapeError, "does not fit"),
    "an index too far": (lambda x: x[np.int64(2)], lm.ShapeError, "index 2 does not fit axis 0"),
    "a float bound": (lambda x: x[0.5:], lm.ShapeError, "bounds must be whole numbers"),
    "a step of 0": (lambda x: x[::0], lm.ShapeError, "steps positive"),
    "an index array": (lambda x: x[np.array([0, 1])], lm.ShapeError, "indices must be whole"),
    "an unknown dtype": (
        lambda x: ops.cast(x, "float23"), lm.DtypeError, "[cast] unknown dtype 'float23': did you",
    ),
    "a dtype that arrays lack": (
        lambda x: ops.cast(x, dtype="float16"), lm.DtypeError, "unknown dtype 'float16'",
    ),
    "complex": (lambda x: ops.cast(x, np.complex128), lm.DtypeError, "valid: float32, float64"),
    "no dtype": (lambda x: ops.cast(x, None), lm.DtypeError, "unknown dtype None"),
    "a number for a dtype": (lambda x: ops.cast(x, 3), lm.DtypeError, "unknown dtype 3"),
    "strings": (
        lambda x: ops.one_hot(np.array([[1]]), classes=2, dtype="str"), lm.DtypeError, "[one_hot]",
    ),
    "a negative slope": (
        lambda x: ops.leaky_relu(x, -0.1), lm.BadInput, "[leaky_relu] alpha must be finite and at",
    ),
    "a negative elu": (lambda x: ops.elu(x, alpha=-1), lm.BadInput, "lm.ops.where(x > 0, x, alpha"),
    "a slope that is NaN": (lambda x: ops.elu(x, np.nan), lm.BadInput, "alpha must be a number"),
    "an infinite slope": (lambda x: ops.leaky_relu(x, np.inf), lm.BadInput, "alpha must be finite"),
    "a negative slope in a layer": (
        lambda x: ops.dense(x, np.ones((3, 2)), activation="leaky_relu", alpha=-1.0), lm.BadInput,
        "[dense] alpha must be",
    ),
    "an activation nobody knows": (
        lambda x: ops.dense(x, np.ones((3, 2)), activation="rleu"), lm.UnknownName, "'relu'?",
    ),
    "a slope in words": (lambda x: ops.elu(x, "1"), lm.BadInput, "alpha must be a number, not '1'"),
    "a bound that is NaN": (lambda x: ops.clip(x, np.nan, 1.0), lm.BadInput, "[clip] low must be"),
    "a bound that is a node": (lambda x: ops.clip(x, x, 1.0), lm.BadInput, "[clip] low must be"),
    "no bound": (lambda x: ops.clip(x, None, 1.0), lm.BadInput, "low must be a number, not None"),
    "half a bound of whole numbers": (
        lambda x: ops.clip(ops.cast(x, "int32"), 0.5, 2), lm.DtypeError, "[clip] bounds (0.5, 2)",
    ),
    "a float bound of whole numbers": (
        lambda x: ops.clip(ops.cast(x, "int32"), 0, 2.0), lm.DtypeError, "whole numbers like those",
    ),
    "a bound beyond whole numbers": (
        lambda x: ops.clip(ops.cast(x, "int32"), 0, FAR), lm.DtypeError, "[clip] bounds (0, 30000",
    ),
    "keepdims": (lambda x: ops.sum(x, 0, "no"), lm.BadInput, "keepdims must be True or False"),
    "transpose_a": (lambda x: ops.matmul(x, x, "yes"), lm.BadInput, "[matmul] transpose_a"),
    "negative classes": (
        lambda x: ops.one_hot(np.array([[1]]), classes=-1, dtype="float64"), lm.ShapeError,
        "classes (-1,) has a negative length",
    ),
    "half a class": (
        lambda x: ops.one_hot(np.array([[1]]), classes=2.5, dtype="float64"), lm.ShapeError,
        "[one_hot] classes must be whole numbers, not 2.5",
    ),
    "negative rows": (
        lambda x: ops.scatter_rows(x, np.array([0, 1]), rows=-3), lm.ShapeError, "negative length",
    ),
    "more than an operation takes": (
        lambda x: ops.sum(x, 0, True, 5), lm.ShapeError, "[sum] got 4 arguments",
    ),
    "labels beyond int32": (
        lambda x: ops.pick(x, np.array([[0], [FAR]])), lm.BadInput,
        "[pick] labels: 3000000000 is beyond the range of int32",
    ),
    "indices beyond int32": (
        lambda x: ops.gather_rows(x, np.array([-FAR, 1])), lm.BadInput,
        "[gather_rows] indices: -3000000000 is beyond",
    ),
    "targets of scattered rows": (
        lambda x: ops.scatter_rows(x, np.array([0, 2**32]), rows=2), lm.BadInput, "4294967296 is",
    ),
    "unsigned labels": (
        lambda x: ops.one_hot(np.array([[2**63]], dtype="uint64"), classes=2, dtype="float64"),
        lm.BadInput, "[one_hot] labels: 9223372036854775808 is beyond",
    ),
    "labels of a loss": (
        lambda x: ops.cross_entropy(x, np.array([[FAR], [0]])), lm.BadInput, "[cross_entropy]",
    ),
    "a constant beyond int32": (
        lambda x: ops.cast(x, "int32") + FAR, lm.BadInput, "3000000000 is beyond the range of int",
    ),
    "an array beyond int32": (
        lambda x: ops.cast(x, "int32") * np.array([1, 2, FAR]), lm.BadInput, "is beyond the range",
    ),
    "a comparison beyond int32": (
        lambda x: ops.cast(x, "int32") > -FAR, lm.BadInput, "-3000000000 is beyond",
    ),
    "negative beside unsigned": (
        lambda x: ops.cast(x, "uint32") + -1, lm.BadInput, "-1 is beyond the range of uint32",
    ),
    "beyond every whole number": (
        lambda x: ops.cast(x, "int32") + 10**30, lm.LaminaError, "10000000000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WORDS)
def test_refused_in_words(name: str) -> None:
    f, error, words = WORDS[name]
    with pytest.raises(error) as caught:
        lm.trace(f, SMALL, backend="numpy")
    assert words in str(caught.value)


@pytest.mark.parametrize("backend", support.EVERY)
class TestTaken:
    """What is taken is computed the same everywhere."""

    @pytest.mark.parametrize(
        "kind", ["float32", np.float32, np.dtype("float32"), "int32", bool, "f4"]
    )
    def test_dtypes(self, kind: Any, backend: str) -> None:
        got = value(lambda x: ops.cast(x, kind), SMALL, backend=backend)
        assert got.dtype == np.dtype(kind)
        np.testing.assert_array_equal(got, SMALL.astype(kind))

    @pytest.mark.parametrize("alpha", [0, 0.0, np.float32(0.25), np.array(0.5), 2])
    def test_slopes(self, alpha: Any, backend: str) -> None:
        x = np.array([-2.0, -0.0, 0.0, 3.0])
        got, slope = lm.value_and_grad(lambda x: ops.leaky_relu(x, alpha).sum(), backend=backend)(x)
        assert got == 3.0 - 2.0 * float(alpha)
        np.testing.assert_array_equal(slope, [alpha, alpha, alpha, 1.0])
        got, slope = lm.value_and_grad(lambda x: ops.elu(x, alpha).sum(), backend=backend)(x)
        assert got == pytest.approx(3.0 + float(alpha) * np.expm1(-2.0))
        np.testing.assert_allclose(slope, [alpha * np.exp(-2.0), alpha, alpha, 1.0], rtol=1e-14)

    def test_bounds(self, backend: str) -> None:
        x = np.array([-3.0, 0.5, 7.0])
        for low, high in ((0, 1), (np.int64(-1), np.float32(2)), (-np.inf, 2), (2.0, 1.0)):
            got = value(lambda x, low=low, high=high: ops.clip(x, low, high), x, backend=backend)
            np.testing.assert_array_equal(got, np.clip(x, low, high))
        got = value(lambda x: ops.clip(ops.cast(x, "int32"), -1, np.uint8(2)), x, backend=backend)
        assert (got.dtype, got.tolist()) == ("int32", [-1, 0, 2])

    @pytest.mark.parametrize("number", [FAR, -FAR, 2**31, 2**62])
    def test_whole_numbers_beyond_32_bits_do_not_wrap(self, number: int, backend: str) -> None:
        def f(x: Any, n: Any) -> Any:
            return ops.sum(ops.cast(n, dtype="float64")) * x

        n = np.array([number, 1])
        got = lm.value_and_grad(f, 0, backend=backend)(2.0, n)
        assert got == (2.0 * (number + 1.0), number + 1.0)
        assert lm.grad(f, 0, backend=backend)(2.0, n) == number + 1.0
        np.testing.assert_array_equal(value(lambda n: ops.cast(n, "int64"), n, backend=backend), n)
        assert value(lambda x: x * number, 2.0, backend=backend) == 2.0 * number
        assert lm.grad(lambda x: x * number, backend=backend)(1) == number

    @pytest.mark.parametrize(
        "f",
        [
            lambda x: x, lambda x: x.reshape(3, 2), lambda x: x.reshape(-1),
            lambda x: x.reshape(1, 6).reshape(2, 3), lambda x: ops.reshape(x, (3, 1, 2)),
            lambda x: x.reshape(6)[0:6], lambda x: x[0:2],
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "bool"])
    def test_nothing_to_compute(self, f: Any, dtype: str, backend: str) -> None:
        x = SMALL.astype(dtype)
        got = value(f, x, backend=backend)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got.ravel(), x.ravel())

    def test_a_number_that_depends_on_nothing(self, backend: str) -> None:
        assert lm.value_and_grad(lambda x: 3.0, backend=backend)(2.0) == (3.0, 0.0)
        assert lm.value_and_grad(lambda x: x, backend=backend)(2.0) == (2.0, 1.0)
        got = lm.value_and_grad(lambda x: x.reshape(()), backend=backend)(np.array([2.0]))
        assert (got[0], got[1].tolist()) == (2.0, [1.0])
        got = lm.value_and_grad(lambda x: constant(1.5), backend=backend)(np.ones((0, 2)))
        assert (got[0], got[1].shape) == (1.5, (0, 2))


def test_what_is_no_number_is_no_argument() -> None:
    for bad in (np.array([2**63], dtype="uint64"), "text", 1j, np.array(["a"])):
        assert refused(lambda x: x, bad)


def test_every_attribute_of_the_table_is_read() -> None:
    unread = {f"{op.name}: {n}" for op in OPS.values() for n in op.attrs if n not in READERS}
    assert unread == set()
