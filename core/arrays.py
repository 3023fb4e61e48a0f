"""Arrays of other libraries as NumPy's: data frames, tensors, lists; what is none says what it is.

Every error names the column and the row where there are some, and the way out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.errors import BadInput, DtypeError, ShapeError, unknown

CPU_DEVICES = (1, 3)  # DLPack's numbers for main memory, plain and pinned
MISSING = ("NoneType", "NAType", "NaTType")  # types of what stands where nothing is known
KINDS = {
    "c": "complex numbers", "M": "dates", "m": "durations",
    "U": "strings", "S": "strings", "T": "strings",
}  # fmt: skip


def host_array(what: str, data: Any) -> np.ndarray:
    """Any numeric host input as a NumPy array of numbers, of the shape and dtype that it has.

    what: its name in messages, such as "x". A data frame may mix columns of booleans, integers and
    floats, however it stores them.
    Raises: DtypeError for arrays on another device, strings, objects, complex numbers, dates,
    masked arrays and tensors that require a gradient; BadInput for missing values; ShapeError for
    ragged lists.
    """
    if type(data) is np.ndarray and data.dtype.kind in "biuf":
        return data
    if hasattr(data, "__cuda_array_interface__") or _elsewhere(data):
        raise DtypeError(
            f"{what} lives on another device ({type(data).__name__}): bring it to the host first,"
            " with .get() (CuPy), .cpu().numpy() (PyTorch) or numpy.asarray (JAX)"
        )
    if isinstance(data, np.ma.MaskedArray):
        raise DtypeError(f"{what} is a masked array, whose mask would be ignored: fill it first")
    if hasattr(data, "tocsr") or hasattr(data, "tocoo"):
        raise DtypeError(f"{what} is a sparse matrix: pass {what}.toarray()")
    if getattr(data, "requires_grad", False) is True:
        raise DtypeError(
            f"{what} is a tensor that requires a gradient, which would end here: pass"
            f" {what}.detach()"
        )
    if str(getattr(data, "dtype", "")) == "torch.bfloat16":
        data = data.float()  # NumPy has no such type; every one of its numbers is a float32
    array = _as_array(what, data)
    if array.dtype.kind == "V" and "float" in array.dtype.name:  # bfloat16 and float8 of JAX
        array = array.astype(np.float32)
    if array.dtype.kind in "biuf":
        return array
    names = _names(data)
    own = isinstance(data, np.ndarray)  # whoever made an array of objects meant objects
    looked = array.dtype.kind in "OUST" if names else array.dtype.kind == "O" and not own
    if looked and array.ndim in (1, 2):
        return _numbers(what, array, names)
    kind = KINDS.get(array.dtype.kind, f"{array.dtype} objects")
    raise _no_numbers(f"column {names[0]!r} of {what}" if names else what, kind)


def _as_array(what: str, data: Any) -> np.ndarray:
    try:
        return np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"{what} is ragged: every row must have the same length") from error
    except (TypeError, RuntimeError) as error:
        raise DtypeError(
            f"{what} ({type(data).__name__}) cannot be read as an array: {error}"
        ) from error


def _no_numbers(what: str, kind: str) -> DtypeError:
    way = "encode them as numbers first"
    if kind == "object objects":
        way += ", or use .astype(float) where they are some"
    if what == "y" and kind == "strings":
        way = (
            "`names, y = np.unique(y, return_inverse=True)` numbers the classes, and"
            " `names[model.predict_classes(x)]` gives them back"
        )
    return DtypeError(f"{what} holds {kind}, not real numbers: {way}")


def _numbers(what: str, array: np.ndarray, names: tuple[str, ...] | None) -> np.ndarray:
    """An array of objects as one of numbers, column by column."""
    if array.ndim == 1:
        return _column(what, None if names is None else names[0], array.tolist())
    columns = [
        _column(what, None if names is None else names[at], array[:, at].tolist())
        for at in range(array.shape[1])
    ]
    return np.stack(columns, axis=1) if columns else np.zeros(array.shape)


def _column(what: str, name: str | None, values: list[Any]) -> np.ndarray:
    from decimal import Decimal  # loaded by those who have objects
    from fractions import Fraction

    numbers = (bool, int, float, Decimal, Fraction, np.number, np.bool_)
    odd = tuple(kind for kind in {type(v) for v in values} if not issubclass(kind, numbers))
    if not odd:
        try:
            found = np.array(values)
            return found if found.dtype.kind in "biuf" else np.array(values, dtype=np.float64)
        except (OverflowError, ValueError):  # hundreds of digits, or a NaN that signals
            raise _no_float(
                what if name is None else f"column {name!r} of {what}", values
            ) from None
    row = next(at for at, value in enumerate(values) if isinstance(value, odd))
    value, where = values[row], what if name is None else f"column {name!r} of {what}"
    if type(value).__name__ in MISSING:
        raise BadInput(f"{where} has a missing value at row {row}: remove or fill it")
    strings = isinstance(value, (str, bytes))
    if name is None or what == "y":
        raise _no_numbers(what, "strings" if strings else "object objects")
    if strings:
        raise DtypeError(
            f"{where} holds words, such as {value!r}: number them with pandas.get_dummies({what})"
            f" or polars' {what}.to_dummies(), or leave the column out; lm.datasets.load reads a"
            " CSV with words as it is"
        )
    if hasattr(value, "isoformat"):
        raise DtypeError(f"{where} holds dates: make it a number, such as days since the first one")
    raise DtypeError(f"{where} holds {type(value).__name__} objects: encode them as numbers first")


def _no_float(where: str, values: list[Any]) -> BadInput:
    """What to raise where Python's numbers are none of float64's."""

    def fits(value: Any) -> bool:
        try:
            float(value)
        except (OverflowError, ValueError):
            return False
        return True

    row = next(at for at, value in enumerate(values) if not fits(value))
    return BadInput(
        f"{where} has at row {row} a number ({type(values[row]).__name__}) that float64 cannot"
        " hold: scale, remove or fill it"
    )


def _elsewhere(data: Any) -> bool:
    if isinstance(data, np.ndarray) or not hasattr(data, "__dlpack_device__"):
        return False
    try:
        return int(data.__dlpack_device__()[0]) not in CPU_DEVICES
    except (ValueError, TypeError, RuntimeError, BufferError):  # the array has to say it itself
        return False


def _names(data: Any) -> tuple[str, ...] | None:
    """The column names of a data frame or an Arrow table; None for anything else."""
    if not hasattr(data, "columns") or not hasattr(data, "__getitem__"):
        return None
    return tuple(str(name) for name in getattr(data, "column_names", data.columns))


def frame_columns(data: Any, expected: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The column names of a data frame, which must be those that the model was built on.

    expected: these, in order, or None where they are not known. Anything else than a frame has no
    names, and passes. Raises: BadInput for other names or another order.
    """
    names = _names(data)
    if names is None or expected is None or names == expected:
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
