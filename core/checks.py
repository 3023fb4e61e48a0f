"""Checks of settings, with one wording for every error."""

from __future__ import annotations

import numpy as np

from ..kernels.errors import BadInput


def check_count(what: str, value: object, least: int = 1) -> None:
    """Raises BadInput unless the value is a whole number of at least `least`.

    what: the setting, for the message. A boolean is none.
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:  # type: ignore[operator]
        raise BadInput(f"{what} must be a whole number of at least {least}, not {value!r}")


def check_number(what: str, value: object, low: float, high: float, *, open_high: bool) -> None:
    """Raises BadInput unless the value is a finite number in [low, high], or in [low, high).

    what: the setting, for the message. open_high: `high` itself is none of them.
    """
    number = float("nan")
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # a whole number of hundreds of digits
            number = float("inf")
    if not (low <= number and (number < high if open_high else number <= high)):
        end = ")" if open_high else "]"
        raise BadInput(f"{what} must be a number in [{low:g}, {high:g}{end}, not {value!r}")
