"""Frames, tensors and labels of other libraries, and the words for what cannot be taken."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.core.arrays import host_array

every_backend = pytest.mark.parametrize("backend", support.EVERY)


class Frame:
    """As pandas: columns of several dtypes make an array of objects."""

    def __init__(self, **data: Any) -> None:
        self.data, self.columns = data, list(data)

    def __getitem__(self, name: str) -> Any:
        return np.array(self.data[name])

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(list(zip(*self.data.values(), strict=True)), dtype=object)


class NAType:
    """As pandas.NA."""


class Tensor:
    """As a tensor of torch."""

    def __init__(self, requires_grad: bool = False, dtype: str = "torch.float32") -> None:
        self.requires_grad, self.dtype = requires_grad, dtype

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def float(self) -> np.ndarray:
        return np.ones((4, 2), dtype=np.float32)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError("Got unsupported ScalarType")


A, B = [1.0, 2.0, 3.0, 4.0], [True, False, True, False]


def linear(x: Any, y: Any = A) -> lm.Sequential:
    model = lm.Sequential([lm.Dense(1)], "mean_squared_error", backend="numpy", seed=0)
    model.fit(x, y, batch_size=4, verbose=0)
    return model


@pytest.mark.parametrize(
    "frame",
    [
        Frame(a=A, b=B),
        Frame(a=[1, 2, 3, 4], b=A),
        Frame(a=[Decimal("1"), Decimal("2"), Decimal("3"), Decimal("4")], b=B),
        Frame(a=[np.float32(v) for v in A], b=[np.bool_(v) for v in B]),
    ],
    ids=["bools", "integers", "decimals", "scalars"],
)
def test_frames_of_mixed_numbers_are_numbers(frame: Frame) -> None:
    plain = np.array([frame.data["a"], frame.data["b"]], dtype=float).T
    np.testing.assert_array_equal(linear(frame).predict(frame), linear(plain).predict(plain))
    assert linear(frame).columns == ("a", "b")


@pytest.mark.parametrize(
    ("frame", "kind", "says"),
    [
        (
            Frame(a=A, hue=["red", "blue", "red", "red"]),
            lm.DtypeError,
            "column 'hue' of x holds words, such as 'red': number them with pandas.get_dummies",
        ),
        (Frame(hue=list("abab")), lm.DtypeError, "column 'hue' of x holds words, such as 'a'"),
        (Frame(a=["1", 2, 3, 4]), lm.DtypeError, "column 'a' of x holds words, such as '1'"),
        (Frame(a=A, b=[1, None, 3, 4]), lm.BadInput, "column 'b' of x has a missing value at row"),
        (Frame(a=[1, NAType(), 3, 4]), lm.BadInput, "column 'a' of x has a missing value at row"),
        (Frame(a=A, b=[{}] * 4), lm.DtypeError, "column 'b' of x holds dict objects"),
    ],
)  # fmt: skip
def test_frames_of_others_name_the_column(frame: Frame, kind: Any, says: str) -> None:
    with pytest.raises(kind) as caught:
        linear(frame)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize("storage", ["float64[pyarrow]", "Float64", "Int64", "int8", "boolean"])
def test_columns_of_pandas(storage: str) -> None:
    pandas = pytest.importorskip("pandas")
    if "pyarrow" in storage:
        pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"a": [0, 1, 1, 0], "b": A, "c": B}).astype({"a": storage})
    plain = frame.to_numpy(dtype=float)
    np.testing.assert_array_equal(linear(frame).predict(frame), linear(plain).predict(plain))
    series = linear(plain, frame["a"])
    assert support.same(series.get_weights(), linear(plain, plain[:, 0]).get_weights())


def test_words_and_dates_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    for column, says in (
        (list("abab"), "column 'c' of x holds words, such as 'a'"),
        (pandas.Categorical(list("abab")), "column 'c' of x holds words"),
        (pandas.to_datetime(["2020-01-01"] * 4), "column 'c' of x holds dates"),
    ):
        for others in ({"a": A}, {}):
            with pytest.raises(lm.DtypeError, match=says):
                linear(pandas.DataFrame({**others, "c": column}))


def test_frames_of_polars_and_tables_of_arrow() -> None:
    polars = pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    plain = np.array([A, B], dtype=float).T
    for frame in (polars.DataFrame({"a": A, "b": B}), pyarrow.table({"a": A, "b": B})):
        model = linear(frame)
        assert model.columns == ("a", "b")
        np.testing.assert_array_equal(model.predict(frame), linear(plain).predict(plain))
    with pytest.raises(lm.DtypeError, match="column 'b' of x holds words, such as 'u'"):
        linear(polars.DataFrame({"a": A, "b": list("uvuv")}))


def test_tensors_on_the_host() -> None:
    with pytest.raises(lm.DtypeError, match=r"requires a gradient.*pass x\.detach\(\)"):
        linear(Tensor(requires_grad=True))
    with pytest.raises(lm.DtypeError, match=r"x \(Tensor\) cannot be read as an array: Got unsup"):
        linear(Tensor())
    assert host_array("x", Tensor(dtype="torch.bfloat16")).shape == (4, 2)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64", "bool"])
def test_tensors_of_torch(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    x = torch.arange(8.0).reshape(4, 2).to(getattr(torch, dtype))
    plain = x.to(torch.float64).numpy()
    np.testing.assert_array_equal(linear(x).predict(x), linear(plain).predict(plain))


def test_small_floats_of_jax() -> None:
    small = pytest.importorskip("ml_dtypes")
    x = np.arange(8.0).reshape(4, 2)
    for kind in (small.bfloat16, small.float8_e4m3fn):
        np.testing.assert_array_equal(host_array("x", x.astype(kind)), x)


# Labels


@pytest.mark.parametrize("y", [list("abab"), np.array(list("abab")), Frame(kind=list("abab"))])
def test_words_for_labels_are_told_how(y: Any) -> None:
    x = np.arange(8.0).reshape(4, 2)
    model = lm.Sequential([lm.Dense(2, "softmax")], "cross_entropy", backend="numpy")
    with pytest.raises(lm.DtypeError, match=r"y holds strings.*np\.unique\(y, return_inverse=True"):
        model.fit(x, y, batch_size=4)
    names, numbers = np.unique(np.array(list("abab")), return_inverse=True)
    model.fit(x, numbers, batch_size=4, verbose=0)
    assert set(names[model.predict_classes(x)]) <= {"a", "b"}


def soft_labels(rows: int = 30) -> tuple[Any, Any]:
    rng = np.random.default_rng(5)
    y = np.exp(2.0 * rng.normal(size=(rows, 3)) + np.array([0.0, 1.0, 4.0]))
    return rng.normal(size=(rows, 4)), y / y.sum(axis=1, keepdims=True)


@pytest.mark.long
@every_backend
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_probabilities_are_targets(backend: str, dtype: str) -> None:
    x, y = soft_labels()
    model = support.classifier(backend, dtype=dtype)
    told = model.fit(x, y, 3, 8, validation_data=(x, y), verbose=0)
    p = model.predict(x).astype(np.float64)
    want = {
        "loss": -(y * np.log(p)).sum(axis=1).mean(),
        "accuracy": (p.argmax(axis=1) == y.argmax(axis=1)).mean(),
    }
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    assert model.evaluate(x, y) == pytest.approx(want, rel=tolerance)
    assert told.history["val_loss"][-1] == pytest.approx(want["loss"], rel=tolerance)
    assert lm.check_gradients(model, x, y)
    assert np.isfinite(model.train_on_batch(x * 1e4, y)["loss"])  # where a probability is 0


@pytest.mark.slow
@every_backend
def test_rows_that_are_sure_are_class_numbers(backend: str) -> None:
    x, y = support.classes(20)
    for rows in (np.eye(3)[y], np.eye(3, dtype=int)[y], np.eye(3)[y].tolist()):
        a, b = support.classifier(backend), support.classifier(backend)
        a.fit(x, y, 2, 5, class_weight="balanced", validation_split=0.2, verbose=0)
        b.fit(x, rows, 2, 5, class_weight="balanced", validation_split=0.2, verbose=0)
        assert support.same(a.get_weights(), b.get_weights())


@pytest.mark.parametrize(
    ("row", "says"),
    [([0.5, 0.2, 0.1], "row 4 adds up to 0.8"), ([1.5, -0.5, 0.0], "its least is -0.5"),
     ([1, 1, 0], "row 4 adds up to 2")],
)  # fmt: skip
def test_rows_that_are_no_probabilities_are_refused(row: Any, says: str) -> None:
    x, y = soft_labels()
    y[4] = row
    with pytest.raises(lm.BadInput, match=says):
        support.classifier().fit(x, y, batch_size=8)


# What is the wrong way round


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (np.ones((2, 8)), np.ones(8), "use x.T"),
        (np.ones((2, 8)), np.ones((1, 8)), "use x.T and y.T"),
        (np.ones((8, 2)), np.ones((1, 8)), "use y.T"),
    ],
)
def test_examples_in_columns_get_a_hint(x: Any, y: Any, says: str) -> None:
    model = lm.Sequential([lm.Dense(1)], "mean_squared_error", backend="numpy")
    with pytest.raises(lm.ShapeError) as caught:
        model.fit(x, y, batch_size=4)
    assert str(caught.value).endswith(says)
    assert not model.built  # and the right way round is taken afterwards
    model.fit(np.ones((8, 2)), np.ones(8), batch_size=4, verbose=0)
    with pytest.raises(lm.ShapeError, match=r"use x\.T$"):
        model.predict(np.ones((2, 8)))
