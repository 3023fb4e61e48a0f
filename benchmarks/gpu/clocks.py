"""Time on a device, by its own events; on a CPU by the host's clock, and named so."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from ...backends.contract import Backend


class CupyClock:
    """Events on the stream of one of lamina's devices."""

    name = "device events"

    def __init__(self, on: Backend) -> None:
        import cupy

        self.on, self.cuda = on, cupy.cuda

    def seconds(self, work: Callable[[], object]) -> float:
        """Of a piece of work."""
        on: Any = self.on
        with on.active():
            start, stop = self.cuda.Event(), self.cuda.Event()
            start.record(on.stream)
            work()
            stop.record(on.stream)
            stop.synchronize()
            return float(self.cuda.get_elapsed_time(start, stop)) / 1e3


class TorchClock:
    """Events on torch's current stream."""

    name = "device events"

    def __init__(self, torch: Any) -> None:
        self.torch = torch

    def seconds(self, work: Callable[[], object]) -> float:
        """Of a piece of work."""
        cuda = self.torch.cuda
        start, stop = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        start.record()
        work()
        stop.record()
        cuda.synchronize()
        return float(start.elapsed_time(stop)) / 1e3


class HostClock:
    """The host's clock around work that waits until it is done."""

    name = "the host's clock"

    def seconds(self, work: Callable[[], object]) -> float:
        """Of a piece of work."""
        start = time.perf_counter()
        work()
        return time.perf_counter() - start


def torch_on() -> tuple[Any, str]:
    """torch and the device that it has here, "cuda" or "cpu"; None where it is not installed."""
    if find_spec("torch") is None:
        return None, ""
    import torch

    return torch, "cuda" if torch.cuda.is_available() else "cpu"
