"""What the machine can do at best: the rate of a large product, and of a copy past the caches."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from ..backends.contract import Backend
from ..backends.host import HostBackend
from ..backends.threads import count
from .result import Ceiling

SIDE = 2048
COPIED = 256 * 2**20  # bytes: several times a last-level cache, or a good part of it
ROUNDS = 5


def ceilings(backends: list[Backend], dtypes: list[str], side: int = SIDE) -> list[Ceiling]:
    """The ceilings of each device; all backends on NumPy arrays share the CPU's."""
    found: list[Ceiling] = []
    host_copy = 0.0
    for backend in backends:
        for dtype in dtypes:
            if isinstance(backend, HostBackend):
                if any(c.backend == "cpu" and c.dtype == dtype for c in found):
                    continue
                host_copy = host_copy or _host_copy()
                found.append(Ceiling("cpu", dtype, _product(backend, dtype, side), host_copy))
            elif dtype in backend.dtypes:
                rate = _product(backend, dtype, side)
                found.append(Ceiling(backend.name, dtype, rate, _copy(backend)))
    return found


def _best(run: Any, backend: Backend | None = None) -> float:
    """The shortest of some rounds: a ceiling is what can be reached."""
    times = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        run()
        if backend is not None:
            backend.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _product(backend: Backend, dtype: str, side: int) -> float:
    rng = np.random.default_rng(0)
    a, b = (backend.asarray(rng.standard_normal((side, side)).astype(dtype)) for _ in range(2))
    with backend.active():
        seconds = _best(lambda: backend.xp.matmul(a, b), backend)
    return 2.0 * side**3 / seconds / 1e9


def _host_copy() -> float:
    """The better of a copy by one thread and one by all."""
    source = np.ones(COPIED // 8)
    target = np.empty_like(source)
    threads = count()
    marks = np.linspace(0, len(source), threads + 1).astype(int)
    parts = [slice(a, b) for a, b in pairwise(marks)]
    one = _best(lambda: np.copyto(target, source))
    with ThreadPoolExecutor(threads) as pool:

        def together() -> None:
            list(pool.map(lambda part: np.copyto(target[part], source[part]), parts))

        several = _best(together)
    return 2.0 * source.nbytes / min(one, several) / 1e9


def _copy(backend: Backend) -> float:
    source = backend.asarray(np.ones(COPIED // 4, dtype=np.float32))
    target = backend.zeros(COPIED // 4, "float32")
    with backend.active():
        if backend.functional:
            seconds = _best(lambda: source + 0.0, backend)
        else:
            seconds = _best(lambda: backend.assign(target, source), backend)
    return 2.0 * COPIED / seconds / 1e9
