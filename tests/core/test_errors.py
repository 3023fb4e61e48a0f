"""One catalogue of bad inputs: what is said, and that every backend says the same.

And what is not bad: any layout and dtype of numbers on the host gives the same result.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support

X, Y = support.classes(12)
YB = (Y > 0).astype(float)
Act = Callable[[str], Any]


class Sparse:
    """Looks like SciPy's matrices, without needing SciPy."""

    def tocsr(self) -> None: ...


class OnDevice:
    """Looks like an array on a GPU."""

    __cuda_array_interface__ = None


def model(backend: str, **changes: Any) -> lm.Sequential:
    return support.classifier(backend, **changes)


def one(backend: str) -> lm.Sequential:
    return lm.Sequential(
        [lm.Dense(1, activation="sigmoid")], "binary_cross_entropy", backend=backend, seed=0
    )


def linear(backend: str, outputs: int = 2) -> lm.Sequential:
    return lm.Sequential([lm.Dense(outputs)], "mean_squared_error", backend=backend, seed=0)


def fit(x: Any = X, y: Any = Y, **settings: Any) -> Act:
    changes = settings.pop("model", {})
    return lambda backend: model(backend, **changes).fit(
        x, y, **{"batch_size": 4, "verbose": 0, **settings}
    )


def put(array: np.ndarray, place: Any, value: Any) -> np.ndarray:
    array = np.array(array, dtype=float)
    array[place] = value
    return array


def trained(do: Callable[[lm.Sequential], Any]) -> Act:
    def act(backend: str) -> Any:
        made = model(backend)
        made.fit(X, Y, batch_size=4, verbose=0)
        return do(made)

    return act


def nodes(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    return [np.ones(s, dtype="float32") for s in shapes]


def loss(y: Any, p: Any) -> Any:
    """A metric whose name is taken."""
    return p


def ops(do: Callable[..., Any], *arrays: Any) -> Act:
    return lambda backend: lm.trace(do, *arrays, backend=backend)


# what it is: (what is done, the exception, a fragment of its message)
CATALOGUE: dict[str, tuple[Act, type[Exception], str]] = {
    # features
    "rank 1": (
        fit(X[:, 0]),
        lm.ShapeError,
        "not shape (12,): use x.reshape(1, -1) for one row, x.reshape(-1, 1)",
    ),
    "rank 0": (fit(3.0), lm.ShapeError, "not shape ()"),
    "NaN": (fit(put(X, (5, 2), np.nan)), lm.BadInput, "x has NaN at row 5, column 2"),
    "infinity": (fit(put(X, (0, 3), np.inf)), lm.BadInput, "x has infinity at row 0, column 3"),
    "first NaN": (fit(put(put(X, (7, 0), np.nan), (3, 1), np.nan)), lm.BadInput, "row 3, column 1"),
    "NaN in predict": (
        trained(lambda m: m.predict(put(X, (1, 1), np.nan))),
        lm.BadInput,
        "x has NaN at row 1, column 1",
    ),
    "NaN in an image": (
        fit(
            put(np.zeros((12, 2, 2)), (4, 1, 0), np.nan),
            model={"layers": [lm.Flatten(), lm.Dense(3, "softmax")]},
        ),
        lm.BadInput,
        "x has NaN at index (4, 1, 0)",
    ),
    "no rows": (fit(X[:0], Y[:0]), lm.BadInput, "x has no rows (shape (0, 4))"),
    "no columns": (fit(X[:, :0]), lm.BadInput, "x has no columns (shape (12, 0))"),
    "ragged": (
        fit([[1.0, 2.0], [3.0]], [0, 1]),
        lm.ShapeError,
        "x is ragged: every row must have the same length",
    ),
    "strings": (fit(X.astype(str)), lm.DtypeError, "x holds strings, not real numbers"),
    "objects": (fit(X.astype(object)), lm.DtypeError, "x holds object objects, not real numbers"),
    "complex": (fit(X + 0j), lm.DtypeError, "x holds complex numbers"),
    "dates": (fit(np.full((12, 4), np.datetime64("2020-01-01"))), lm.DtypeError, "x holds dates"),
    "date objects": (
        fit([[datetime.date(2020, 1, 1)]] * 12),
        lm.DtypeError,
        "x holds object objects",
    ),
    "durations": (
        fit(np.full((12, 4), np.timedelta64(1, "s"))),
        lm.DtypeError,
        "x holds durations",
    ),
    "masked": (
        fit(np.ma.masked_array(X, X > 1)),
        lm.DtypeError,
        "x is a masked array, whose mask would be ignored: fill it first",
    ),
    "sparse": (fit(Sparse()), lm.DtypeError, "x is a sparse matrix: pass x.toarray()"),
    "another device": (
        fit(OnDevice()),
        lm.DtypeError,
        "x lives on another device (OnDevice): bring it to the host first",
    ),
    "None": (fit(None), lm.DtypeError, "x holds object objects"),
    "beyond float32": (
        fit(put(X, (2, 1), 1e39), model={"dtype": "float32"}),
        lm.BadInput,
        '1e+39 at row 2, column 1, beyond the range of float32: scale it, or use dtype="float64"',
    ),
    "columns at predict": (
        trained(lambda m: m.predict(X[:, :3])),
        lm.ShapeError,
        "x has 3 columns but the model was built for 4 columns (x: float64[12, 3])",
    ),
    "columns at a second fit": (
        trained(lambda m: m.fit(X[:, :2], Y, batch_size=4)),
        lm.ShapeError,
        "x has 2 columns but the model was built for 4",
    ),
    "columns at evaluate": (
        trained(lambda m: m.evaluate(X[:, :2], Y)),
        lm.ShapeError,
        "x has 2 columns",
    ),
    "columns of validation": (
        fit(validation_data=(X[:, :3], Y)),
        lm.ShapeError,
        "x has 3 columns but the model was built for 4",
    ),
    "built for others": (
        lambda b: model(b).build(5).fit(X, Y, batch_size=4),
        lm.ShapeError,
        "x has 4 columns but the model was built for 5",
    ),
    # targets
    "unequal lengths": (
        fit(X, Y[:7]),
        lm.ShapeError,
        "x has 12 rows but y has 7 rows: one target for every row",
    ),
    "y of rank 0": (fit(X, 1), lm.ShapeError, "x has 12 rows but y has no axis"),
    "label too large": (
        fit(X, put(Y, 4, 3)),
        lm.BadInput,
        "y has label 3 at row 4, but the last layer has 3 outputs, so labels go from 0 to 2",
    ),
    "label negative": (fit(X, put(Y, 1, -1)), lm.BadInput, "y has label -1 at row 1"),
    "label too large for int32": (
        fit(X, np.where(Y == 1, 2**40, 0)),
        lm.BadInput,
        "at row 1, but the last layer has 3 outputs",
    ),
    "label of a half": (
        fit(X, put(Y, 6, 0.5)),
        lm.BadInput,
        "[cross_entropy] labels must be whole numbers, but y has 0.5 at row 6",
    ),
    "label NaN": (
        fit(X, put(Y, 6, np.nan)),
        lm.BadInput,
        "labels must be whole numbers, but y has NaN at row 6",
    ),
    "one-hot": (
        fit(X, np.eye(3)[Y]),
        lm.ShapeError,
        "a row, (n,) or (n, 1), not shape (12, 3): for one-hot rows use y.argmax(axis=1)",
    ),
    "label strings": (fit(X, Y.astype(str)), lm.DtypeError, "y holds strings"),
    "binary outside": (
        lambda b: one(b).fit(X, Y, batch_size=4),
        lm.BadInput,
        "[binary_cross_entropy] targets must be in [0, 1], but y has 2 at row 2",
    ),
    "binary shape": (
        lambda b: one(b).fit(X, np.stack([YB, YB], axis=1), batch_size=4),
        lm.ShapeError,
        "[binary_cross_entropy] y has shape (12, 2) but the model's output has 1 column",
    ),
    "regression shape": (
        lambda b: linear(b).fit(X, YB, batch_size=4),
        lm.ShapeError,
        "[mean_squared_error] y has shape (12, 1) but the model's output has 2 columns",
    ),
    "regression NaN": (
        lambda b: linear(b, 1).fit(X, put(YB, 9, np.nan), batch_size=4),
        lm.BadInput,
        "y has NaN at row 9",
    ),
    "targets beyond float32": (
        lambda b: linear(b, 1).fit(X, put(YB, 9, -1e300), batch_size=4),
        lm.BadInput,
        "y has -1e+300 at row 9, column 0, beyond the range of float32",
    ),
    # weights
    "weight negative": (
        fit(sample_weight=put(np.ones(12), 3, -0.5)),
        lm.BadInput,
        "sample_weight has -0.5 at row 3: none may be negative",
    ),
    "weights all zero": (
        fit(sample_weight=np.zeros(12)),
        lm.BadInput,
        "sample_weight is zero everywhere",
    ),
    "weight NaN": (
        fit(sample_weight=put(np.ones(12), 3, np.nan)),
        lm.BadInput,
        "sample_weight has NaN at row 3",
    ),
    "weights unequal": (
        fit(sample_weight=np.ones(11)),
        lm.ShapeError,
        "sample_weight has shape (11,) but x has 12 rows: one weight a row",
    ),
    "class weight negative": (
        fit(class_weight={0: -1.0}),
        lm.BadInput,
        "class_weight must hold finite numbers from 0",
    ),
    "class weights zero": (
        fit(class_weight={0: 0, 1: 0, 2: 0}),
        lm.BadInput,
        "class_weight makes every row's weight zero",
    ),
    "class weight name": (
        fit(class_weight="even"),
        lm.BadInput,
        "class_weight is a dict or \"balanced\", not 'even'",
    ),
    "class weight list": (fit(class_weight=[1.0, 2.0, 3.0]), lm.BadInput, "class_weight is a dict"),
    "class weight names": (fit(class_weight={"a": 1.0}), lm.BadInput, "class_weight is a dict"),
    "class weight strings": (fit(class_weight={0: "many"}), lm.BadInput, "class_weight is a dict"),
    # settings
    "batch size 0": (
        fit(batch_size=0),
        lm.BadInput,
        "fit: batch_size must be a whole number of at least 1, not 0",
    ),
    "batch size 2.5": (fit(batch_size=2.5), lm.BadInput, "batch_size must be a whole number"),
    "epochs -1": (
        fit(epochs=-1),
        lm.BadInput,
        "fit: epochs must be a whole number of at least 0, not -1",
    ),
    "split 1": (
        fit(validation_split=1.0),
        lm.BadInput,
        "fit: validation_split must be a number in [0, 1), not 1.0",
    ),
    "validation alone": (
        fit(validation_data=X),
        lm.BadInput,
        "validation_data must be (x, y) or (x, y, sample_weight)",
    ),
    "units 0": (
        lambda b: lm.Dense(0),
        lm.BadInput,
        "Dense: units must be a whole number of at least 1, not 0",
    ),
    "units True": (lambda b: lm.Dense(True), lm.BadInput, "units must be a whole number"),
    "rate 1": (
        lambda b: lm.Dropout(1.0),
        lm.BadInput,
        "Dropout: rate must be a number in [0, 1), not 1.0",
    ),
    "learning rate negative": (
        lambda b: lm.Adam(-1.0),
        lm.BadInput,
        "Adam: learning_rate must be a number in [0, inf), not -1.0",
    ),
    "learning rate NaN": (lambda b: lm.SGD(float("nan")), lm.BadInput, "SGD: learning_rate"),
    "nesterov alone": (
        lambda b: lm.SGD(0.1, nesterov=True),
        lm.BadInput,
        "nesterov needs a momentum above 0",
    ),
    "clip 0": (lambda b: lm.SGD(0.1, clip_norm=0.0), lm.BadInput, "clip_norm must be above 0"),
    "seed negative": (
        lambda b: model(b, seed=-1),
        lm.BadInput,
        "seed must be a whole number of at least 0, not -1",
    ),
    "no layers": (
        lambda b: model(b, layers=[]),
        lm.BadInput,
        "Sequential needs at least one layer",
    ),
    "labels of one class": (
        fit(y=np.full(len(Y), 2)),
        lm.BadInput,
        "[cross_entropy] every label is 2: training needs rows of two classes or more",
    ),
    "no layer": (
        lambda b: model(b, layers=[64]),
        lm.BadInput,
        "a layer is an object such as lm.Dense(10), not 64",
    ),
    "metrics a string": (
        lambda b: model(b, metrics="accuracy"),
        lm.BadInput,
        'metrics is a sequence of names: metrics=("accuracy",)',
    ),
    "metrics of one name": (
        lambda b: model(b, metrics=("accuracy", "accuracy")),
        lm.BadInput,
        "'accuracy'",
    ),
    "metric named loss": (lambda b: model(b, metrics=(loss,)), lm.BadInput, "'loss'"),
    "precision": (
        lambda b: model(b, precision="tf32"),
        lm.BadInput,
        "precision='tf32': no backend here computes in it",
    ),
    "loss a number": (
        lambda b: model(b, loss=3),
        lm.BadInput,
        "a loss is a name or a function loss(y_true, y_pred), not 3",
    ),
    # names
    "activation": (
        lambda b: lm.Dense(3, "rleu"),
        lm.UnknownName,
        "unknown activation 'rleu': did you mean 'relu'? valid: sigmoid, tanh",
    ),
    "activation in capitals": (
        lambda b: lm.Dense(3, "Softmax"),
        lm.UnknownName,
        "did you mean 'softmax'?",
    ),
    "activation unheard of": (
        lambda b: lm.Dense(3, "qqqq"),
        lm.UnknownName,
        "unknown activation 'qqqq': valid: sigmoid",
    ),
    "loss": (
        lambda b: model(b, loss="cross_entrpy"),
        lm.UnknownName,
        "unknown loss 'cross_entrpy': did you mean 'cross_entropy'?",
    ),
    "optimizer": (
        lambda b: model(b, optimizer="adm"),
        lm.UnknownName,
        "unknown optimizer 'adm': did you mean 'adam'?",
    ),
    "metric": (
        lambda b: model(b, metrics=("acuracy",)),
        lm.UnknownName,
        "unknown metric 'acuracy': did you mean 'accuracy'?",
    ),
    "backend": (
        lambda b: model("nunba"),
        lm.UnknownName,
        "unknown backend 'nunba': did you mean 'numba'?",
    ),
    "initializer": (
        lambda b: lm.Dense(3, kernel_initializer="xavir"),
        lm.UnknownName,
        "unknown initializer 'xavir': did you mean 'xavier'?",
    ),
    "dtype": (
        lambda b: model(b, dtype="float46"),
        lm.UnknownName,
        "unknown dtype 'float46': did you mean 'float64'?",
    ),
    "operation": (
        lambda b: lm.ops.sofmax,
        AttributeError,
        "unknown operation 'sofmax': did you mean 'softmax'?",
    ),
    # out of turn, or not fitting
    "predict before fit": (
        lambda b: model(b).predict(X),
        lm.NotBuilt,
        "the model has no weights yet: call fit(x, y), or build(n_features)",
    ),
    "evaluate before fit": (
        lambda b: model(b).evaluate(X, Y),
        lm.NotBuilt,
        "the model has no weights yet",
    ),
    "weights before fit": (
        lambda b: model(b).get_weights(),
        lm.NotBuilt,
        "the model has no weights yet",
    ),
    "loss without softmax": (
        fit(model={"layers": [lm.Dense(3)]}),
        lm.BadInput,
        "[cross_entropy] takes probabilities from softmax, but the last layer is Dense(3): give it",
    ),
    "the way out": (
        fit(model={"layers": [lm.Dense(3, "relu")]}),
        lm.BadInput,
        'give it activation="softmax"',
    ),
    "binary without sigmoid": (
        lambda b: lm.Sequential([lm.Dense(1)], "binary_cross_entropy", backend=b).build(4),
        lm.BadInput,
        'give it activation="sigmoid"',
    ),
    "softmax over one": (
        fit(model={"layers": [lm.Dense(1, "softmax")]}),
        lm.BadInput,
        "softmax over one output is always 1",
    ),
    "accuracy of numbers": (
        lambda b: lm.Sequential(
            [lm.Dense(1)], "mean_squared_error", metrics=("accuracy",), backend=b
        ).fit(X, YB, batch_size=4),
        lm.BadInput,
        "[accuracy] counts classes",
    ),
    "images into dense": (fit(X.reshape(12, 2, 2)), lm.ShapeError, "put lm.Flatten() before it"),
    # operations: the op and both shapes
    "dense": (
        ops(lm.ops.dense, *nodes((64, 784), (512, 10))),
        lm.ShapeError,
        "[dense] x has 784 columns but weight has 512 rows"
        " (x: float32[64, 784], weight: float32[512, 10])",
    ),
    "dense bias": (
        ops(lm.ops.dense, *nodes((64, 784), (784, 10), (10,))),
        lm.ShapeError,
        "[dense] bias must have shape (1, 10)"
        " (x: float32[64, 784], weight: float32[784, 10], bias: float32[10])",
    ),
    "matmul": (
        ops(lambda a, b: a @ b, *nodes((3, 4), (5, 6))),
        lm.ShapeError,
        "[matmul] a has 4 columns but b has 5 rows (a: float32[3, 4], b: float32[5, 6])",
    ),
    "broadcast": (
        ops(lambda a, b: a + b, *nodes((3, 4), (3, 5))),
        lm.ShapeError,
        "[add] shapes do not broadcast (a: float32[3, 4], b: float32[3, 5])",
    ),
    "axis": (
        ops(lambda a: lm.ops.sum(a, axis=2), *nodes((3, 4))),
        lm.ShapeError,
        "[sum] axis 2 is out of range for float32[3, 4]",
    ),
    "reshape": (
        ops(lambda a: a.reshape(5, -1), *nodes((3, 4))),
        lm.ShapeError,
        "[reshape] float32[3, 4] does not fit into (5, -1)",
    ),
    "dtypes": (
        ops(lambda a: a + lm.ops.cast(a, "float64"), *nodes((2, 2))),
        lm.DtypeError,
        "[add] inputs must have one dtype, cast them first (a: float32[2, 2], b: float64[2, 2])",
    ),
    "labels of floats": (
        ops(lambda a: lm.ops.pick(a, a), *nodes((2, 1))),
        lm.DtypeError,
        "[pick] labels must be integers (labels: float32[2, 1])",
    ),
    "attribute": (
        ops(lambda a: lm.ops.exp(a, base=2), *nodes((2, 2))),
        lm.ShapeError,
        "[exp] has no attribute 'base': exp(x) -> y",
    ),
    "attribute missing": (
        ops(lambda a: lm.ops.clip(a, low=0.0), *nodes((2, 2))),
        lm.ShapeError,
        "[clip] needs the attribute 'high'",
    ),
    "too few inputs": (
        ops(lambda a: lm.ops.matmul(a), *nodes((2, 2))),
        lm.ShapeError,
        "[matmul] got 1 inputs: matmul(a, b; ",
    ),
    "rows of a batch cut": (
        lambda b: lm.Sequential([lm.Dense(2)], lambda y, p: (p - y)[0:1], backend=b).fit(
            X, YB, batch_size=4
        ),
        lm.ShapeError,
        "[slice] the batch axis cannot be cut",
    ),
    "loss of one number": (
        lambda b: lm.Sequential([lm.Dense(1)], lambda y, p: (p - y).sum(), backend=b).fit(
            X, YB, batch_size=4
        ),
        lm.ShapeError,
        "must return one value a row",
    ),
}


@pytest.mark.parametrize("case", CATALOGUE)
def test_bad_input(case: str) -> None:
    act, kind, fragment = CATALOGUE[case]
    said = []
    for backend in support.CPU:
        with pytest.raises(kind, match=re.escape(fragment)) as caught:
            act(backend)
        assert type(caught.value) is kind
        said.append(str(caught.value))
    assert len(set(said)) == 1


def test_every_error_of_lamina_is_also_a_built_in_one() -> None:
    pairs = {
        "ShapeError": ValueError, "DtypeError": TypeError, "UnknownName": ValueError,
        "BadInput": ValueError, "NotBuilt": RuntimeError, "NotDifferentiable": TypeError,
        "BackendUnavailable": RuntimeError, "CheckpointError": ValueError,
        "DivergenceError": FloatingPointError,
    }  # fmt: skip
    for name, base in pairs.items():
        kind = getattr(lm, name)
        assert issubclass(kind, lm.LaminaError)
        assert issubclass(kind, base)


def test_a_refused_fit_leaves_the_model_as_it_was() -> None:
    made = model("numpy")
    made.fit(X, Y, batch_size=4, verbose=0)
    before = made.get_weights()
    for x, y in ((put(X, (11, 0), np.nan), Y), (X, put(Y, 11, 5)), (X, Y[:3])):
        with pytest.raises(lm.LaminaError):
            made.fit(x, y, batch_size=4)
    assert support.same(made.get_weights(), before)
    assert made.state.epoch == 1


def layouts() -> dict[str, Any]:
    wide = np.zeros((24, 8))
    wide[::2, ::2] = X
    fixed = X.copy()
    fixed.flags.writeable = False
    return {
        "Fortran order": np.asfortranarray(X),
        "negative strides": X[::-1, ::-1].copy()[::-1, ::-1],
        "strided": wide[::2, ::2],
        "read-only": fixed,
        "big-endian": X.astype(">f8"),
        "lists": X.tolist(),
        "tuples": tuple(map(tuple, X.tolist())),
        "list of rows": list(X),
        "long double": X.astype(np.longdouble),
    }


def weights_after(backend: str, x: Any, y: Any = Y, dtype: str = "float64") -> list[np.ndarray]:
    made = model(backend, dtype=dtype)
    made.fit(x, y, epochs=2, batch_size=5, verbose=0)
    return [*made.get_weights(), made.predict(x)]


@pytest.mark.parametrize("backend", support.CPU)
def test_any_layout_of_x_gives_the_same_bits(backend: str) -> None:
    wanted = weights_after(backend, X)
    for name, x in layouts().items():
        assert support.same(weights_after(backend, x), wanted), name


@pytest.mark.parametrize("backend", support.CPU)
def test_any_dtype_of_numbers_gives_the_same_bits(backend: str) -> None:
    whole = np.round(X * 3.0)
    wanted = weights_after(backend, whole)
    kinds = ("int8", "int16", "int32", "int64", "float16", "float32", ">i4", ">f4")
    for kind in kinds:
        assert support.same(weights_after(backend, whole.astype(kind)), wanted), kind
    unsigned = np.abs(whole)
    wanted = weights_after(backend, unsigned)
    for kind in ("uint8", "uint64", ">u2"):
        assert support.same(weights_after(backend, unsigned.astype(kind)), wanted), kind
    flags = X > 0
    assert support.same(weights_after(backend, flags), weights_after(backend, flags.astype(float)))


@pytest.mark.parametrize("backend", support.CPU)
def test_any_shape_and_dtype_of_labels_gives_the_same_bits(backend: str) -> None:
    wanted = weights_after(backend, X)
    columns = (
        Y.reshape(-1, 1),
        Y.astype(float),
        Y.astype("uint8"),
        Y.astype(">i8"),
        Y.tolist(),
        Y[::-1][::-1],
    )
    for y in columns:
        assert support.same(weights_after(backend, X, y), wanted)
    targets = (YB, YB.reshape(-1, 1), YB.astype(bool), YB.astype(int), YB.tolist(), YB.astype("f4"))
    results = []
    for y in targets:
        made = one(backend)
        made.fit(X, y, batch_size=5, verbose=0)
        results.append(made.get_weights())
    assert all(support.same(r, results[0]) for r in results)


def test_a_data_frame_is_an_array_of_numbers() -> None:
    class Frame:
        """What lamina needs of a pandas frame."""

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return X.copy()

    assert support.same(weights_after("numpy", Frame()), weights_after("numpy", X))


def test_what_was_given_is_not_changed() -> None:
    x, y, weights = X.copy(), Y.copy(), np.ones(12)
    for backend in support.CPU:
        made = model(backend)
        made.fit(x, y, epochs=2, batch_size=12, shuffle=False, sample_weight=weights, verbose=0)
        made.predict(x)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)
    np.testing.assert_array_equal(weights, 1.0)


def test_weights_at_the_end_of_the_range_stay_finite() -> None:
    x, y = support.classes(12)
    fitted = support.classifier()
    told = fitted.train_on_batch(
        x, y, sample_weight=np.full(12, 1e307), class_weight={0: 1e5, 1: 1e5, 2: 1e5}
    )
    assert told["loss"] == pytest.approx(support.classifier().train_on_batch(x, y)["loss"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"verbose": "loud"}, "verbose is"),
        ({"callbacks": lm.EarlyStopping()}, "callbacks is a list"),
        ({"callbacks": [print]}, "a callback is an object"),
    ],
)
def test_words_of_fit(changes: dict, says: str) -> None:
    x, y = support.classes(12)
    with pytest.raises(lm.BadInput, match=says):
        support.classifier().fit(x, y, **changes)
