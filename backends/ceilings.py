"""What the machine can do at best: the rate of a large product, and of a copy past the caches."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from .contract import Backend
from .host import HostBackend
from .threads import count

COPIED = 256 * 2**20  # bytes: several times a last-level cache, or a good part of it
ROUNDS = 5


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


def product_rate(backend: Backend, dtype: str, side: int) -> float:
    """GFLOP/s of a product of two squares."""
    rng = np.random.default_rng(0)
    a, b = (backend.asarray(rng.standard_normal((side, side)).astype(dtype)) for _ in range(2))
    with backend.active():
        seconds = _best(lambda: backend.xp.matmul(a, b), backend)
    return 2.0 * side**3 / seconds / 1e9


def host_copy_rate() -> float:
    """GB/s of main memory, read and written: a copy by one thread or by all, the better one."""
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


def copy_rate(backend: Backend) -> float:
    """GB/s of the device's memory, read and written."""
    source = backend.asarray(np.ones(COPIED // 4, dtype=np.float32))
    target = backend.zeros(COPIED // 4, "float32")
    with backend.active():
        if backend.functional:
            seconds = _best(lambda: source + 0.0, backend)
        else:
            seconds = _best(lambda: backend.assign(target, source), backend)
    return 2.0 * COPIED / seconds / 1e9


def ceiling(backend: Backend, dtype: str, side: int = 1024) -> tuple[float, float]:
    """A backend's product rate in GFLOP/s and copy rate in GB/s."""
    host = isinstance(backend, HostBackend)
    return product_rate(backend, dtype, side), host_copy_rate() if host else copy_rate(backend)
