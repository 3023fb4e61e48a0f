"""Times as the numbers of `data.times.features`, in the operators of ONNX."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .writing import Writer, elem_type

DAY = 86_400_000_000  # microseconds
UNITS = {False: 8.64e10, True: 3.6e9}  # of what has elapsed: days, of times of day hours
TO_MARCH = 719_468  # days from 0000-03-01 to 1970-01-01
ERA = 146_097  # days of four hundred years


def features(out: Writer, time: str, which: Sequence[str], origin: int, clock: bool) -> list[str]:
    """The features of times, (n, 1) float64 each.

    time: (n, 1) int64, microseconds since 1970. which, origin, clock: as in `times.features`.
    """
    made = []
    for part in which:
        if part == "elapsed":
            since = _double(out, out.add("Sub", time, _whole(out, origin)))
            made.append(out.add("Div", since, out.constant(UNITS[clock], "float64", "unit")))
            continue
        turn = {"month": _month, "weekday": _weekday, "hour": _hour}[part](out, time)
        angle = out.add("Mul", turn, out.constant(2.0 * np.pi, "float64", "circle"))
        quarter = out.constant(0.5 * np.pi, "float64", "quarter")
        made.append(out.add("Sin", angle))
        made.append(out.add("Sin", out.add("Add", angle, quarter)))  # not every runtime has Cos
    return made


def _whole(out: Writer, value: int) -> str:
    return out.constant(value, "int64", "whole")


def _double(out: Writer, x: str) -> str:
    return out.add("Cast", x, to=elem_type("float64"))


def _share(out: Writer, x: str, of: float) -> str:
    return out.add("Div", _double(out, x), out.constant(of, "float64", "whole"))


def _rest(out: Writer, x: str, by: int) -> str:
    """What is left of a division, from 0."""
    return out.add("Mod", x, _whole(out, by))


def _floor(out: Writer, x: str, by: int) -> str:
    """The whole part of a quotient, rounded down; ONNX rounds to 0."""
    return out.add("Div", out.add("Sub", x, _rest(out, x, by)), _whole(out, by))


def _times(out: Writer, x: str, by: int) -> str:
    return out.add("Mul", x, _whole(out, by))


def _hour(out: Writer, time: str) -> str:
    return _share(out, _rest(out, time, DAY), float(DAY))


def _weekday(out: Writer, time: str) -> str:
    days = out.add("Add", _floor(out, time, DAY), _whole(out, 3))
    return _share(out, _rest(out, days, 7), 7.0)


def _month(out: Writer, time: str) -> str:
    """The share of the year by the calendar's months, which count 31 days each.

    Years that begin in March end with the day that leap years have more (Hinnant,
    "chrono-compatible low-level date algorithms", civil_from_days).
    """
    day = out.add("Add", _floor(out, time, DAY), _whole(out, TO_MARCH))
    of_era = _rest(out, day, ERA)
    leap = out.add("Sub", of_era, _floor(out, of_era, 1460))
    leap = out.add("Add", leap, _floor(out, of_era, 36_524))
    year = _floor(out, out.add("Sub", leap, _floor(out, of_era, ERA - 1)), 365)
    before = out.add("Add", _times(out, year, 365), _floor(out, year, 4))
    before = out.add("Sub", before, _floor(out, year, 100))
    of_year = out.add("Sub", of_era, before)
    month = _floor(out, out.add("Add", _times(out, of_year, 5), _whole(out, 2)), 153)
    first = _floor(out, out.add("Add", _times(out, month, 153), _whole(out, 2)), 5)
    of_month = _share(out, out.add("Sub", of_year, first), 31.0)
    from_january = _double(out, _rest(out, out.add("Add", month, _whole(out, 2)), 12))
    twelve = out.constant(12.0, "float64", "months")
    return out.add("Div", out.add("Add", from_january, of_month), twelve)
