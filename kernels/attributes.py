"""Attributes of operations as users give them, made into what the table takes, or refused in words.

Whole numbers of any integer type become Python's, lists become tuples, dtypes become names.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .errors import BadInput, DtypeError, ShapeError, unknown
from .ops import FUSABLE
from .spec import DTYPES, Rows

Reader = Callable[[str, str, Any], Any]  # (operation, attribute, value) -> the value to use


def whole(op: str, name: str, value: Any) -> Any:
    """A whole number, or a number of rows that is not known yet. Raises: ShapeError."""
    if isinstance(value, Rows):
        return value
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise ShapeError(f"[{op}] {name} must be whole numbers, not {value!r}") from None


def wholes(op: str, name: str, value: Any) -> tuple[Any, ...]:
    """One whole number or several, as a tuple. Raises: ShapeError."""
    several = isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.ndim)
    return tuple(whole(op, name, v) for v in (value if several else (value,)))


def axis(op: str, name: str, value: Any) -> Any:
    """None for all axes; one axis where the operation has one, else a tuple."""
    if value is None and op != "concatenate":
        return None
    return whole(op, name, value) if op in ("argmax", "concatenate") else wholes(op, name, value)


def lengths(op: str, name: str, value: Any) -> tuple[Any, ...]:
    """A shape. Raises: ShapeError."""
    shape = wholes(op, name, value)
    if any(isinstance(d, int) and d < 0 for d in shape):
        raise ShapeError(f"[{op}] {name} {shape} has a negative length")
    return shape


def length(op: str, name: str, value: Any) -> Any:
    """The length of one axis. Raises: ShapeError."""
    return lengths(op, name, [value])[0]


def period(op: str, name: str, value: Any) -> Any:
    """A number of steps from 1 on. Raises: ShapeError, BadInput."""
    found = length(op, name, value)
    if found == 0:
        raise BadInput(f"[{op}] {name} must be at least 1, not {value!r}")
    return found


def number(op: str, name: str, value: Any) -> float | int:
    """A real number that is not NaN. Raises: BadInput."""
    real = isinstance(value, (int, float, np.integer, np.floating)) or (
        isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf"
    )
    if not real or isinstance(value, bool) or math.isnan(value):
        raise BadInput(f"[{op}] {name} must be a number, not {value!r}")
    found: float | int = value if isinstance(value, (int, float)) else value.item()
    return found


def slope(op: str, name: str, value: Any) -> float:
    """A slope below zero, whose sign the derivative relies on. Raises: BadInput."""
    found = float(number(op, name, value))
    if not 0.0 <= found < math.inf:
        raise BadInput(
            f"[{op}] {name} must be finite and at least 0, not {value!r}: the derivative takes the"
            f" sign of x from the output; for other slopes write lm.ops.where(x > 0, x, {name} * x)"
        )
    return found


def amount(op: str, name: str, value: Any) -> float:
    """A finite number of at least 0. Raises: BadInput."""
    found = float(number(op, name, value))
    if not 0.0 <= found < math.inf:
        raise BadInput(f"[{op}] {name} must be finite and at least 0, not {value!r}")
    return found


def share(op: str, name: str, value: Any) -> float:
    """A number in [0, 1): at 1 a running mean would never begin. Raises: BadInput."""
    found = float(number(op, name, value))
    if not 0.0 <= found < 1.0:
        raise BadInput(f"[{op}] {name} must be in [0, 1), not {value!r}")
    return found


def dtype(op: str, name: str, value: Any) -> str:
    """The name of a dtype that arrays can have. Raises: DtypeError."""
    try:
        found = value if value is None else np.dtype(value).name  # NumPy takes None for float64
    except (TypeError, ValueError):
        found = value
    if not isinstance(found, str) or found not in DTYPES:
        raise DtypeError(f"[{op}] {unknown(name, found, DTYPES)}")
    return str(found)


def activation(op: str, name: str, value: Any) -> str:
    """The name of an activation that `dense` applies. Raises: UnknownName."""
    if not isinstance(value, str) or value not in FUSABLE:
        raise unknown(name, value, FUSABLE)
    return value


def truth(op: str, name: str, value: Any) -> bool:
    """True or False. Raises: BadInput."""
    if not isinstance(value, (bool, np.bool_)):
        raise BadInput(f"[{op}] {name} must be True or False, not {value!r}")
    return bool(value)


READERS: dict[str, Reader] = {
    "axis": axis, "axes": wholes, "shape": lengths, "starts": wholes, "stops": wholes,
    "steps": wholes, "rows": length, "classes": length, "stream": whole, "alpha": slope,
    "low": number, "high": number, "rate": number, "dtype": dtype, "activation": activation,
    "decayed": length, "start": length, "stop": length, "rho": share, "beta1": share,
    "beta2": share, "epsilon": amount, "maximum": amount, "momentum": number,
    "weight_decay": number, "coefficient": number, "factor": number, "momentum_decay": number,
    "decay": share, "every": period,
    "keepdims": truth, "transpose_a": truth, "transpose_b": truth, "bias": truth, "input": truth,
}  # fmt: skip


def normal(op: str, attrs: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes as the table's rules and kernels take them.

    Raises: ShapeError, DtypeError, BadInput, UnknownName.
    """
    return {n: READERS[n](op, n, v) if n in READERS else v for n, v in attrs.items()}


def whole_array(what: str, value: Any, dtype: str) -> np.ndarray:
    """Whole numbers as an array of a narrower dtype. Raises: BadInput where one would wrap."""
    array, limits = np.asarray(value), np.iinfo(dtype)
    if array.size and not limits.min <= int(array.min()) <= int(array.max()) <= limits.max:
        worst = array.max() if int(array.max()) > limits.max else array.min()
        raise BadInput(f"{what}: {worst} is beyond the range of {dtype}")
    return array.astype(dtype)
