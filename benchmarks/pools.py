"""Lets the thread pools of several linear algebra libraries live side by side.

NumPy and SciPy each bring an OpenBLAS with threads of its own, and numba calls SciPy's. After a
product these threads spin for 2^26 cycles before they sleep, so where backends take turns, those of
the one are in the way of the other: on two cores a product of 128 x 128 took from 40 µs to 20 ms,
and 30 µs alone (2026-11-23, Xeon, OpenBLAS 0.3.31). With 2^20 cycles, 0.4 ms, both take what they
take alone, within 10 %.
"""

from __future__ import annotations

import os
import sys

VARIABLE = "OPENBLAS_THREAD_TIMEOUT"
CYCLES = "20"  # the logarithm


def quiet_pools() -> None:
    """Shortens the spinning of this process; what the caller's shell says stays.

    OpenBLAS reads it when it is loaded: to be called before NumPy is imported.
    """
    if "numpy" not in sys.modules:
        os.environ.setdefault(VARIABLE, CYCLES)
