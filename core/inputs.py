"""What comes in from outside: features, targets, weights, checked on the host and cast once.

Every error says what is wrong, where (row and column), and the way out.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..kernels.errors import BadInput, ShapeError
from ..kernels.memory import forget
from .arrays import host_array
from .checks import check_count
from .losses import Loss
from .standardization import Shift

CHECKED_ROWS = 65_536  # rows of a memory map looked at together
MANY = 65_536  # elements from which on a sum is sooner made than a look at each
ROUNDING = 1e-4  # by which a row of probabilities may miss 1


def cast(what: str, array: np.ndarray, dtype: str, first_row: int = 0) -> np.ndarray:
    """A C-contiguous array of the model's dtype, all of it finite.

    first_row: the number of the array's first row in the whole data, for the message.
    Raises: BadInput for NaN and infinities, and for values beyond the dtype's range, naming the
    first place.
    """
    _check_finite(what, array, first_row)
    if array.dtype == dtype:  # small calls of fit are counted in microseconds
        return np.ascontiguousarray(array)
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(array, dtype=dtype)
    if array.dtype.kind == "f" and array.dtype.itemsize > result.dtype.itemsize:
        _check_range(what, array, np.isinf(result), dtype, first_row)
    return result


def check(what: str, array: np.ndarray, dtype: str) -> None:
    """Raises what `cast` does for an array of any shape, and casts nothing."""
    _check_finite(what, array, 0)
    if array.dtype.kind == "f" and array.dtype.itemsize > np.dtype(dtype).itemsize:
        _check_range(what, array, np.abs(array) > np.finfo(dtype).max, dtype, 0)


def _check_finite(what: str, array: np.ndarray, first_row: int) -> None:
    if array.size > MANY and _sums_up(array):
        return
    if not (finite := np.isfinite(array)).all():
        where = np.unravel_index(int(np.argmin(finite)), array.shape)
        raise BadInput(
            f"{what} has {_number(array[where])} at {_place(where, first_row)}: remove or fill it"
        )


def _check_range(
    what: str, array: np.ndarray, beyond: np.ndarray, dtype: str, first_row: int
) -> None:
    if beyond.any():
        where = np.unravel_index(int(np.argmax(beyond)), array.shape)
        raise BadInput(
            f"{what} has {_number(array[where])} at {_place(where, first_row)}, beyond the"
            f' range of {dtype}: scale it, or use dtype="float64"'
        )


def _sums_up(array: np.ndarray) -> bool:
    """Whether the sum is finite: then every element is, and the elements need no look each."""
    if array.dtype.kind != "f":
        return True
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.add.reduce(array, axis=None)))


def _number(value: Any) -> str:
    number = float(value)
    if math.isnan(number):
        return "NaN"
    return f"{number:g}" if math.isfinite(number) else "infinity"


def _place(where: tuple[Any, ...], first_row: int) -> str:
    where = (int(where[0]) + first_row, *where[1:]) if where else where
    if len(where) == 2:
        return f"row {where[0]}, column {where[1]}"
    return f"row {where[0]}" if len(where) == 1 else f"index {tuple(int(i) for i in where)}"


def features(
    data: Any,
    dtype: str,
    expected: tuple[int, ...] | None = None,
    shift: Shift | None = None,
    raw: bool = False,
) -> np.ndarray:
    """x as (n, features...) of the model's dtype; `expected` is the shape of a row, once known.

    shift: what the host does to x before it is rounded. raw: check x and leave it as it came.
    Raises: ShapeError, DtypeError, BadInput.
    """
    array = data if isinstance(data, np.memmap) else host_array("x", data)
    if isinstance(array, np.memmap) and array.dtype.kind not in "biuf":
        host_array("x", array[:1])  # says what is wrong with the dtype
    if array.ndim < 2:
        hint = "x.reshape(1, -1) for one row, x.reshape(-1, 1) for one feature"
        raise ShapeError(
            f"x must have one row per example, (n, features), not shape {array.shape}: use {hint}"
        )
    if array.shape[0] == 0:
        raise BadInput(f"x has no rows (shape {array.shape})")
    if 0 in array.shape:
        raise BadInput(f"x has no columns (shape {array.shape})")
    if expected is not None and array.shape[1:] != expected:
        turned = array.ndim == 2 and array.shape[:1] == expected
        hint = ": it has features in rows, as in the course; use x.T" if turned else ""
        raise ShapeError(
            f"x has {_row(array.shape[1:])} but the model was built for {_row(expected)}"
            f" (x: {array.dtype}[{', '.join(map(str, array.shape))}]){hint}"
        )
    if isinstance(array, np.memmap):
        for start in range(0, len(array), CHECKED_ROWS):  # checked now, cast when its turn comes
            cast("x", np.asarray(array[start : start + CHECKED_ROWS]), dtype, first_row=start)
            forget(array)
        return array
    if not raw and shift is None:
        return cast("x", array, dtype)
    check("x", array, dtype)
    return array if shift is None else shift(array, dtype)


def _row(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} columns" if len(shape) == 1 else f"rows of shape {shape}"


def targets(data: Any, x: np.ndarray, loss: Loss, outputs: int, dtype: str) -> np.ndarray:
    """y as the program wants it: (n, 1) int32 class numbers, or (n, outputs) of the model's dtype.

    x: the features, which have as many rows. Raises: ShapeError, DtypeError, BadInput.
    """
    array, rows = host_array("y", data), len(x)
    if array.ndim == 0 or array.shape[0] != rows:
        count = "no axis" if array.ndim == 0 else f"{array.shape[0]} rows"
        raise ShapeError(
            f"x has {rows} rows but y has {count}: one target for every row{_turned(x, array)}"
        )
    if array.ndim == 1:
        array = array.reshape(-1, 1)
    if loss.labels and array.ndim == 2 and array.shape[1] == outputs:
        return _sure(_probabilities(loss, array, dtype))
    if loss.labels:
        return _labels(loss, array, outputs)
    if array.ndim != 2 or (loss.function is None and array.shape[1] != outputs):
        hint = ': for class numbers use loss="cross_entropy"' if array.shape[1:] == (1,) else ""
        raise ShapeError(
            f"[{loss.name}] y has shape {array.shape} but the model's output has {outputs}"
            f" column{'s' if outputs > 1 else ''}"
            + (hint if loss.targets == "probabilities" else "")
        )
    if loss.targets == "probabilities":
        return _probabilities(loss, array, dtype)
    result = cast("y", array, dtype)
    _check_targets(loss, result)
    return result


def _check_targets(loss: Loss, y: np.ndarray) -> None:
    """Raises BadInput for a target that the loss does not take."""
    if loss.targets == "unit":
        outside, what = (y < 0) | (y > 1), "in [0, 1]"
        way = 'use 0 and 1 for two classes, or softmax with loss="cross_entropy" for more'
    elif loss.targets == "counts":
        outside, what = y < 0, "counts, from 0"
        way = 'use loss="mean_squared_error" or loss="huber" for numbers of either sign'
    elif loss.targets == "signs":
        outside, what = (np.abs(y) != 1) & (y != 0), "-1 and 1, or 0 and 1"
        way = 'use softmax with loss="cross_entropy" for more classes'
        if not outside.any() and (y == 0).any():
            outside = y == -1
    else:
        return
    if outside.any():
        row, column = np.unravel_index(int(np.argmax(outside)), y.shape)
        also = " among zeros" if loss.targets == "signs" and y[row, column] == -1 else ""
        raise BadInput(
            f"[{loss.name}] targets must be {what}, but y has {y[row, column]:g}{also} at row"
            f" {row}: {way}"
        )


def _turned(x: np.ndarray, y: np.ndarray) -> str:
    """A hint where x or y has examples in columns, as in the course."""
    columns = x.shape[1] if x.ndim == 2 else 0
    if y.ndim in (1, 2) and columns in y.shape and columns > 1:
        turned = "x.T" if y.shape[0] == columns else "x.T and y.T"
    elif y.ndim == 2 and y.shape[1] == len(x):
        turned = "y.T"
    else:
        return ""
    return f". Examples are rows here, columns in the course: use {turned}"


def _probabilities(loss: Loss, array: np.ndarray, dtype: str) -> np.ndarray:
    """Rows of probabilities, one a class. Raises: BadInput."""
    result = cast("y", array, dtype)
    sums = result.sum(axis=1, dtype=np.float64)
    wrong = (result < 0).any(axis=1) | (np.abs(sums - 1.0) > ROUNDING)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise BadInput(
            f"[{loss.name}] rows of y must be probabilities from 0 that add up to 1, but row"
            f" {row} adds up to {sums[row]:g}, its least is {result[row].min():g}: for several"
            ' classes at once use sigmoid with loss="binary_cross_entropy"'
        )
    return result


def _sure(y: np.ndarray) -> np.ndarray:
    """Class numbers where each row of probabilities is sure of its class, else what came."""
    if (y.max(axis=1) == 1.0).all() and (np.count_nonzero(y, axis=1) == 1).all():
        y = y.argmax(axis=1).astype(np.int32).reshape(-1, 1)
    return y


def class_labels(y: np.ndarray, loss: Loss) -> np.ndarray | None:
    """The targets where they are class numbers, one a row, (n, 1); None for any others."""
    if not loss.classes or y.shape[1] != 1:
        return None
    return y if loss.targets != "unit" or ((y == 0) | (y == 1)).all() else None


def check_classes(y: np.ndarray, loss: Loss) -> None:
    """Raises BadInput for training labels of one class only, from which nothing can be learned.

    A single row, and targets between 0 and 1, pass.
    """
    if loss.classes and len(y) > 1 and y.shape[1] == 1:
        first = y[0, 0]
        if float(first).is_integer() and (y == first).all():
            raise BadInput(
                f"[{loss.name}] every label is {first:g}:"
                " training needs rows of two classes or more"
            )


def _labels(loss: Loss, array: np.ndarray, classes: int) -> np.ndarray:
    if array.ndim != 2 or array.shape[1] != 1:
        raise ShapeError(
            f"[{loss.name}] y must hold one class number a row, (n,) or (n, 1), not shape"
            f" {array.shape}: for one-hot rows use y.argmax(axis=1)"
        )
    column = array.reshape(-1)
    if array.dtype.kind == "f":
        wrong = ~np.isfinite(column) | (column != np.floor(column))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise BadInput(
                f"[{loss.name}] labels must be whole numbers, but y has"
                f" {_number(column[row])} at row {row}"
            )
    outside = (column < 0) | (column >= classes)
    if array.dtype.kind != "b" and outside.any():
        row = int(np.argmax(outside))
        raise BadInput(
            f"[{loss.name}] y has label {column[row]:g} at row {row}, but the last layer has"
            f" {classes} outputs, so labels go from 0 to {classes - 1}"
        )
    return np.ascontiguousarray(column, dtype=np.int32).reshape(-1, 1)


def weights(sample_weight: Any, rows: int) -> tuple[np.ndarray | None, int]:
    """One non-negative float64 number a row near 1, or None when all are equal; and an exponent.

    Times 2 ** exponent the numbers are those given. Raises: ShapeError, DtypeError, BadInput.
    """
    if sample_weight is None:
        return None, 0
    array = host_array("sample_weight", sample_weight)
    if array.size != rows or array.ndim > 2:
        raise ShapeError(
            f"sample_weight has shape {array.shape} but x has {rows} rows: one weight a row"
        )
    result = cast("sample_weight", array.reshape(-1), "float64")
    if (result < 0).any():
        row = int(np.argmax(result < 0))
        raise BadInput(f"sample_weight has {result[row]:g} at row {row}: none may be negative")
    if not result.any():
        raise BadInput("sample_weight is zero everywhere: at least one row must count")
    return _even_scale(result)


def class_weights(
    given: np.ndarray | None,
    class_weight: Mapping[Any, float] | str,
    labels: np.ndarray,
    classes: Iterable[int] | None = None,
) -> np.ndarray:
    """The weights of rows times those of their classes, near 1.

    given: (n,) weights of rows, or None. class_weight: label -> factor, or "balanced"
    (n / (classes * count), as in scikit-learn). labels: the targets as `targets` returned them.
    classes: the labels that there may be; None means those that there are. Raises: BadInput.
    """
    if labels.shape[1] != 1:
        raise BadInput("class_weight needs one label a row; use sample_weight for several outputs")
    found, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise BadInput(f'class_weight is a dict or "balanced", not {class_weight!r}')
        factors = len(labels) / (len(found) * counts)
    else:
        factors = _factors(class_weight, found, found if classes is None else classes)
    each: np.ndarray = factors[inverse.reshape(-1)]
    if not (each.any() if given is None else (given * (each > 0)).any()):
        raise BadInput("class_weight makes every row's weight zero: at least one row must count")
    each = _even_scale(each)[0]
    return each if given is None else _even_scale(given * each)[0]


def _factors(
    class_weight: Mapping[Any, float], found: np.ndarray, classes: Iterable[Any]
) -> np.ndarray:
    try:
        given = {float(label): float(factor) for label, factor in class_weight.items()}
    except (AttributeError, TypeError, ValueError):
        raise BadInput(
            f'class_weight is a dict of label -> factor or "balanced", not {class_weight!r}'
        ) from None
    factors = np.array(list(given.values()), dtype=np.float64)
    if not np.isfinite(factors).all() or (factors < 0).any():
        raise BadInput(f"class_weight must hold finite numbers from 0, not {class_weight!r}")
    known = [float(label) for label in classes]
    among = set(known)
    for label in given:
        if label not in among:
            there = ", ".join(f"{one:g}" for one in known[:20])
            more = ", ..." if len(known) > 20 else ""
            raise BadInput(f"class_weight has {label:g}, but the classes are {there}{more}")
    return np.array([given.get(float(label), 1.0) for label in found], dtype=np.float64)


def _even_scale(weights: np.ndarray) -> tuple[np.ndarray, int]:
    """Weights of any scale brought near one, so that no sum of them leaves the range.

    Only their ratios count within a batch; a power of two, whose exponent is given back, changes
    no digit.
    """
    _, exponent = math.frexp(float(weights.max()))
    scaled: np.ndarray = np.ldexp(weights, -exponent)
    return scaled, exponent


def seed_of(seed: object) -> int:
    """A seed as a whole number of 64 bits; None draws one. Raises: BadInput."""
    if seed is None:
        return int.from_bytes(os.urandom(4), "little")
    check_count("seed", seed, least=0)
    if int(seed) >= 2**63:  # type: ignore[call-overload]
        raise BadInput(f"seed must be below 2**63, not {seed!r}")
    return int(seed)  # type: ignore[call-overload, no-any-return]
