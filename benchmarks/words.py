"""Figures as people read them."""

from __future__ import annotations

import math

UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
NONE = "–"


def short(value: float) -> str:
    """Three significant digits, without an exponent: 0.123, 4.56, 12.3, 45,600."""
    if not math.isfinite(value):
        return NONE
    value = float(f"{value:.3g}")
    if abs(value) >= 100.0:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 or value == 0.0 else f"{value:.2g}"


def seconds(value: float | None) -> str:
    """A time in the unit that fits.

    >>> seconds(0.00004123), seconds(0.99996), seconds(None)
    ('41.2 µs', '1 s', '–')
    """
    if value is None or not math.isfinite(value):
        return NONE
    value = float(f"{value:.3g}")
    size, unit = next((u for u in UNITS if value >= u[0] * 0.9999), UNITS[-1])
    return f"{short(value / size)} {unit}"


def factor(value: float, guessed: bool = False) -> str:
    """How many times as fast; a wave before it where it rests on an extrapolation.

    >>> factor(312.4), factor(1.26), factor(0.4321, guessed=True)
    ('312×', '1.26×', '~0.43×')
    """
    if not math.isfinite(value):
        return NONE
    digits = 2 if value < 1.995 else 1 if value < 9.95 else 0
    told = f"{value:.{digits}f}" if digits else f"{float(f'{value:.3g}'):,.0f}"
    return f"{'~' if guessed else ''}{told}×"


def amount(value: float) -> str:
    """A size with its prefix: 1k, 65.5k, 4.19M."""
    size, prefix = next((p for p in PREFIXES if value >= p[0]), (1.0, ""))
    return f"{short(value / size)}{prefix}"


def about(value: float) -> str:
    """An estimated size, in two digits."""
    return amount(float(f"{value:.2g}"))


def count(value: float) -> str:
    """A whole number with its thousands."""
    return f"{value:,.0f}"
