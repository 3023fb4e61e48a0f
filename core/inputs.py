"""What comes in from outside: features, targets, weights, checked on the host and cast once.

Every error says what is wrong, where (row and column), and the way out.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..kernels.errors import BadInput, DtypeError, ShapeError, unknown
from .checks import check_count
from .losses import Loss

CHECKED_ROWS = 65_536  # rows of a memory map looked at together
CPU_DEVICES = (1, 3)  # DLPack's numbers for main memory, plain and pinned


def host_array(what: str, data: Any) -> np.ndarray:
    """Any numeric host input as a NumPy array of numbers.

    Raises: DtypeError for arrays on another device, strings, objects, complex numbers, dates and
    masked arrays; ShapeError for ragged lists.
    """
    if hasattr(data, "__cuda_array_interface__") or _elsewhere(data):
        raise DtypeError(
            f"{what} lives on another device ({type(data).__name__}): bring it to the host first,"
            " with .get() (CuPy), .cpu().numpy() (PyTorch) or numpy.asarray (JAX)"
        )
    if isinstance(data, np.ma.MaskedArray):
        raise DtypeError(f"{what} is a masked array, whose mask would be ignored: fill it first")
    if hasattr(data, "tocsr") or hasattr(data, "tocoo"):
        raise DtypeError(f"{what} is a sparse matrix: pass {what}.toarray()")
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"{what} is ragged: every row must have the same length") from error
    if array.dtype.kind not in "biuf":
        kinds = {"c": "complex numbers", "M": "dates", "m": "durations", "U": "strings"}
        kind = kinds.get(array.dtype.kind, f"{array.dtype} objects")
        raise DtypeError(f"{what} holds {kind}, not real numbers: encode them as numbers first")
    return array


def frame_columns(data: Any, expected: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The column names of a data frame, which must be those that the model was built on.

    Anything else has no names, and passes. Raises: BadInput for other names or another order.
    """
    if not hasattr(data, "columns") or not hasattr(data, "__getitem__"):
        return None
    names = tuple(str(name) for name in data.columns)
    if expected is None or names == expected:
        return names
    for name in expected:
        if name not in names:
            raise unknown("column: the model was built on", name, names)
    if len(names) == len(expected):
        raise BadInput(
            f"the columns come in another order, {', '.join(names)}: use x[{list(expected)!r}]"
        )
    extra = ", ".join(name for name in names if name not in expected)
    raise BadInput(f"the model was not built on the column(s) {extra}: use x[{list(expected)!r}]")


def _elsewhere(data: Any) -> bool:
    if isinstance(data, np.ndarray) or not hasattr(data, "__dlpack_device__"):
        return False
    return int(data.__dlpack_device__()[0]) not in CPU_DEVICES


def cast(what: str, array: np.ndarray, dtype: str, first_row: int = 0) -> np.ndarray:
    """A C-contiguous array of the model's dtype, all of it finite.

    first_row: the number of the array's first row in the whole data, for the message.
    Raises: BadInput for NaN and infinities, and for values beyond the dtype's range, naming the
    first place.
    """
    if not _sums_up(array) and not (finite := np.isfinite(array)).all():
        where = np.unravel_index(int(np.argmin(finite)), array.shape)
        raise BadInput(
            f"{what} has {_number(array[where])} at {_place(where, first_row)}: remove or fill it"
        )
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(array, dtype=dtype)
    if array.dtype.kind == "f" and array.dtype.itemsize > result.dtype.itemsize:
        beyond = np.isinf(result)
        if beyond.any():
            where = np.unravel_index(int(np.argmax(beyond)), array.shape)
            raise BadInput(
                f"{what} has {_number(array[where])} at {_place(where, first_row)}, beyond the"
                f" range of"
                f' {dtype}: scale it, or use dtype="float64"'
            )
    return result


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


def features(data: Any, dtype: str, expected: tuple[int, ...] | None = None) -> np.ndarray:
    """x as (n, features...) of the model's dtype; `expected` is the shape of a row, once known.

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
        raise ShapeError(
            f"x has {_row(array.shape[1:])} but the model was built for {_row(expected)}"
            f" (x: {array.dtype}[{', '.join(map(str, array.shape))}])"
        )
    if not isinstance(array, np.memmap):
        return cast("x", array, dtype)
    for start in range(0, len(array), CHECKED_ROWS):  # checked now, cast when its turn comes
        cast("x", np.asarray(array[start : start + CHECKED_ROWS]), dtype, first_row=start)
    return array


def _row(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} columns" if len(shape) == 1 else f"rows of shape {shape}"


def targets(data: Any, rows: int, loss: Loss, outputs: int, dtype: str) -> np.ndarray:
    """y as the program wants it: (n, 1) int32 class numbers, or (n, outputs) of the model's dtype.

    Raises: ShapeError, DtypeError, BadInput.
    """
    array = host_array("y", data)
    if array.ndim == 0 or array.shape[0] != rows:
        count = "no axis" if array.ndim == 0 else f"{array.shape[0]} rows"
        raise ShapeError(f"x has {rows} rows but y has {count}: one target for every row")
    if array.ndim == 1:
        array = array.reshape(-1, 1)
    if loss.labels:
        return _labels(array, outputs)
    if array.ndim != 2 or (loss.function is None and array.shape[1] != outputs):
        raise ShapeError(
            f"[{loss.name}] y has shape {array.shape} but the model's output has {outputs}"
            f" column{'s' if outputs > 1 else ''}"
        )
    result = cast("y", array, dtype)
    if loss.name == "binary_cross_entropy" and loss.function is None:
        outside = (result < 0) | (result > 1)
        if outside.any():
            row, column = np.unravel_index(int(np.argmax(outside)), result.shape)
            raise BadInput(
                f"[binary_cross_entropy] targets must be in [0, 1], but y has"
                f" {result[row, column]:g} at row {row}: use 0 and 1 for two classes, or softmax"
                ' with loss="cross_entropy" for more'
            )
    return result


def check_classes(y: np.ndarray, loss: Loss) -> None:
    """Raises BadInput for training labels of one class only, from which nothing can be learned.

    A single row, and targets between 0 and 1, pass.
    """
    if loss.function is None and loss.needs is not None and len(y) > 1 and y.shape[1] == 1:
        first = y[0, 0]
        if float(first).is_integer() and (y == first).all():
            raise BadInput(
                f"[{loss.name}] every label is {first:g}:"
                " training needs rows of two classes or more"
            )


def _labels(array: np.ndarray, classes: int) -> np.ndarray:
    if array.ndim != 2 or array.shape[1] != 1:
        raise ShapeError(
            f"[cross_entropy] y must hold one class number a row, (n,) or (n, 1), not shape"
            f" {array.shape}: for one-hot rows use y.argmax(axis=1)"
        )
    column = array.reshape(-1)
    if array.dtype.kind == "f":
        wrong = ~np.isfinite(column) | (column != np.floor(column))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise BadInput(
                f"[cross_entropy] labels must be whole numbers, but y has"
                f" {_number(column[row])} at row {row}"
            )
    outside = (column < 0) | (column >= classes)
    if array.dtype.kind != "b" and outside.any():
        row = int(np.argmax(outside))
        raise BadInput(
            f"[cross_entropy] y has label {column[row]:g} at row {row}, but the last layer has"
            f" {classes} outputs, so labels go from 0 to {classes - 1}"
        )
    return np.ascontiguousarray(column, dtype=np.int32).reshape(-1, 1)


def weights(
    sample_weight: Any,
    class_weight: Mapping[Any, float] | str | None,
    labels: np.ndarray,
    rows: int,
) -> np.ndarray | None:
    """One non-negative float64 number a row, or None when all are equal.

    class_weight: label -> factor, or "balanced" (n / (classes * count), as in scikit-learn); it
    multiplies sample_weight. labels: the targets as `targets` returned them.
    Raises: ShapeError, BadInput.
    """
    result: np.ndarray | None = None
    if sample_weight is not None:
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
        result = _even_scale(result)
    if class_weight is None:
        return result
    if labels.shape[1] != 1:
        raise BadInput("class_weight needs one label a row; use sample_weight for several outputs")
    column = labels.reshape(-1)
    found, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise BadInput(f'class_weight is a dict or "balanced", not {class_weight!r}')
        factors = rows / (len(found) * counts)
    else:
        try:
            given = {float(label): float(factor) for label, factor in class_weight.items()}
        except (AttributeError, TypeError, ValueError):
            raise BadInput(
                f'class_weight is a dict of label -> factor or "balanced", not {class_weight!r}'
            ) from None
        factors = np.array([given.get(float(label), 1.0) for label in found], dtype=np.float64)
        if not np.isfinite(factors).all() or (factors < 0).any():
            raise BadInput(f"class_weight must hold finite numbers from 0, not {class_weight!r}")
    each = factors[inverse]
    if not (each.any() if result is None else (result * (each > 0)).any()):
        raise BadInput("class_weight makes every row's weight zero: at least one row must count")
    each = _even_scale(each)
    return each if result is None else _even_scale(result * each)


def _even_scale(weights: np.ndarray) -> np.ndarray:
    """Weights of any scale brought near one, so that no sum of them leaves the range.

    Only their ratios count; a power of two changes no digit.
    """
    _, exponent = math.frexp(float(weights.max()))
    scaled: np.ndarray = np.ldexp(weights, -exponent)
    return scaled


def seed_of(seed: object) -> int:
    """A seed as a whole number of 64 bits; None draws one. Raises: BadInput."""
    if seed is None:
        return secrets.randbits(32)
    check_count("seed", seed, least=0)
    if int(seed) >= 2**63:  # type: ignore[call-overload]
        raise BadInput(f"seed must be below 2**63, not {seed!r}")
    return int(seed)  # type: ignore[call-overload, no-any-return]
