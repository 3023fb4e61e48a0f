"""Bad features, targets and weights: what is done, the exception, a fragment of what it says."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import lamina as lm
import numpy as np
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
    "digits by the hundred": (
        fit([[1, 2], [3, 10**400]] * 6),
        lm.BadInput,
        "x has at row 1 a number (int) that float64 cannot hold: scale, remove or fill it",
    ),
    "a fraction beyond": (
        fit([[Fraction(10**400)], [1]] * 6),
        lm.BadInput,
        "row 0 a number (Fraction)",
    ),
    "a NaN that signals": (
        fit([[1], [Decimal("sNaN")]] * 6),
        lm.BadInput,
        "row 1 a number (Decimal)",
    ),
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
        fit(X, np.eye(4)[Y]),
        lm.ShapeError,
        "a row, (n,) or (n, 1), not shape (12, 4): for one-hot rows use y.argmax(axis=1)",
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
}
