"""The conformance kit: what a device computes, against the float64 oracle.

`operations` runs every row of the table; `plain` runs a program as it reads, which is what whole
programs on a device are held against (core makes them: see `core/conformance/`).
"""

from __future__ import annotations

from .operations import (
    LAYOUTS,
    Failure,
    check,
    check_operations,
    deviation,
    oracle,
    specs,
)
from .plain import Plain

__all__ = [
    "LAYOUTS",
    "Failure",
    "Plain",
    "check",
    "check_operations",
    "deviation",
    "oracle",
    "specs",
]
