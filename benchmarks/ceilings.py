"""The ceilings of each device that a run measures on."""

from __future__ import annotations

from ..backends.ceilings import copy_rate, host_copy_rate, product_rate
from ..backends.contract import Backend
from ..backends.host import HostBackend
from .result import Ceiling

SIDE = 2048


def measure_ceilings(backends: list[Backend], dtypes: list[str], side: int = SIDE) -> list[Ceiling]:
    """The ceilings of each device; all backends on NumPy arrays share the CPU's."""
    found: list[Ceiling] = []
    host_copy = 0.0
    for backend in backends:
        for dtype in dtypes:
            if isinstance(backend, HostBackend):
                if any(c.backend == "cpu" and c.dtype == dtype for c in found):
                    continue
                host_copy = host_copy or host_copy_rate()
                found.append(Ceiling("cpu", dtype, product_rate(backend, dtype, side), host_copy))
            elif dtype in backend.dtypes:
                rate = product_rate(backend, dtype, side)
                found.append(Ceiling(backend.name, dtype, rate, copy_rate(backend)))
    return found
