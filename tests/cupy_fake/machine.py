"""The machine of the fake: devices, streams, events, what is counted, and what a capture records.

Work is done at once, unless the current stream is being captured. What CUDA leaves undefined is an
error here: two streams on one piece of memory without a wait between them, a graph replayed on
memory that somebody else may hold by now, the host looking while a stream is being captured.
"""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

DEVICES = 2
SHARED, SHARED_OPTIN = 48 << 10, 227 << 10  # bytes of a block, and those of a kernel that asks
counts: Counter[str] = Counter()  # launches, uploads, downloads, waits, allocations, graphs
log: list[list[str]] = []  # lists that hear the name of every launch, recorded ones included
_tickets = itertools.count(1)
_local = threading.local()


class CUDARuntimeError(RuntimeError):
    """What the CUDA runtime says."""


class Race(AssertionError):
    """What CUDA lets pass, with numbers that depend on who is faster."""


class Freed(AssertionError):
    """A graph was replayed on memory that is not its own any more."""


def device() -> int:
    """The number of this thread's current device."""
    return getattr(_local, "device", 0)


class Device:
    """`cupy.cuda.Device`."""

    def __init__(self, device: int | Device | None = None) -> None:
        number = current() if device is None else device
        self.id = number.id if isinstance(number, Device) else int(number)
        if not 0 <= self.id < DEVICES:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def __enter__(self) -> Device:
        self._stack().append(current())
        _local.device = self.id
        return self

    def __exit__(self, *details: object) -> None:
        _local.device = self._stack().pop()

    def _stack(self) -> list[int]:
        if not hasattr(_local, "devices"):
            _local.devices = []
        stack: list[int] = _local.devices
        return stack

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __int__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def use(self) -> None:
        _local.device = self.id

    def synchronize(self) -> None:
        host_waits([s for s in _streams if s.device_id in (-1, self.id)])

    @property
    def pci_bus_id(self) -> str:
        return f"0000:{self.id + 1:02X}:00.0"

    @property
    def compute_capability(self) -> str:
        return "90"

    @property
    def attributes(self) -> dict[str, int]:
        return {"MaxSharedMemoryPerBlock": SHARED, "MaxSharedMemoryPerBlockOptin": SHARED_OPTIN}


current = device


class Stream:
    """`cupy.cuda.Stream`: an order of work. seen: of other streams, up to where it has waited."""

    null: Stream

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False,
        priority: int | None = None,
    ) -> None:  # fmt: skip
        if ptds:
            raise NotImplementedError("the fake has no per-thread default stream")
        self.device_id = -1 if null else current()
        self.ptr = 0 if null else next(_tickets) * 16
        self.is_non_blocking = non_blocking
        self.recording: Recording | None = None
        self.seen: weakref.WeakKeyDictionary[Stream, int] = weakref.WeakKeyDictionary()
        self.waited = 0  # the host has waited for all before this ticket
        _streams.add(self)

    def __enter__(self) -> Stream:
        here = current()
        if self.device_id not in (-1, here):
            raise CUDARuntimeError(
                f"a stream of device {self.device_id} was made current on device {here}"
            )
        if not hasattr(_local, "stack"):
            _local.stack = []
        _local.stack.append((here, stream()))
        _currents()[here] = self
        return self

    def __exit__(self, *details: object) -> None:
        here, before = _local.stack.pop()
        _currents()[here] = before

    def use(self) -> Stream:
        _currents()[current()] = self
        return self

    @property
    def done(self) -> bool:
        return True

    def synchronize(self) -> None:
        if self.recording is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: a wait in a capture")
        host_waits([self])

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.stream, event.ticket, event.at = self, next(_tickets), time.perf_counter()
        return event

    def wait_event(self, event: Event) -> None:
        if event.stream is not None:
            self.seen[event.stream] = max(self.seen.get(event.stream, 0), event.ticket)

    def is_capturing(self) -> bool:
        return self.recording is not None

    def begin_capture(self, mode: int | None = None) -> None:
        if self.ptr == 0:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: the null stream")
        if self.recording is not None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is being captured already")
        if stream() is not self:
            raise Race("a stream was captured that is not the current one")
        if not self.is_non_blocking:
            raise Race("a stream that waits for the null stream was captured")
        self.recording = Recording()

    def end_capture(self) -> Graph:
        if self.recording is None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is not being captured")
        found, self.recording = self.recording, None
        return Graph(found)


class Event:
    """`cupy.cuda.Event`."""

    def __init__(
        self, block: bool = False, disable_timing: bool = False, interprocess: bool = False
    ) -> None:
        self.stream: Stream | None = None
        self.ticket = 0
        self.at = 0.0  # of the host's clock: it says nothing of a GPU

    @property
    def done(self) -> bool:
        return True

    def record(self, stream: Stream | None = None) -> None:
        (globals()["stream"]() if stream is None else stream).record(self)

    def synchronize(self) -> None:
        counts["waits"] += 1
        if self.stream is not None:
            self.stream.waited = max(self.stream.waited, self.ticket)


def elapsed(start: Event, stop: Event) -> float:
    """Milliseconds between two events."""
    return 1e3 * (stop.at - start.at)


_streams: weakref.WeakSet[Stream] = weakref.WeakSet()
Stream.null = Stream(null=True)


def _currents() -> dict[int, Stream]:
    if not hasattr(_local, "streams"):
        _local.streams = {}
    found: dict[int, Stream] = _local.streams
    return found


def stream() -> Stream:
    """The current stream of this thread's current device."""
    return _currents().get(current(), Stream.null)


def host_waits(streams: list[Stream]) -> None:
    """The host waits for all that was asked of these streams."""
    if stream().recording is not None:
        raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: a wait in a capture")
    counts["waits"] += 1
    now = next(_tickets)
    for one in streams:
        one.waited = now


def ordered(before: Stream, ticket: int, after: Stream) -> bool:
    """Whether work on a stream, with that ticket, is over before what comes next on another."""
    if before is after or before.waited >= ticket or after.seen.get(before, 0) >= ticket:
        return True
    return before.ptr * after.ptr == 0 and not (before.is_non_blocking or after.is_non_blocking)


class Recording:
    """What a stream was asked while it was captured.

    nodes: (name, work, memory that it names). named_by: sets of graphs that name something, which
    the graph joins.
    """

    def __init__(self) -> None:
        self.nodes: list[tuple[str, Callable[[], Any], list[Any]]] = []
        self.named_by: list[weakref.WeakSet[Any]] = []


class Graph:
    """`cupy.cuda.Graph`: addresses, and what is done with them. It holds no memory."""

    def __init__(self, recording: Recording) -> None:
        self.nodes = recording.nodes
        if not self.nodes:
            raise CUDARuntimeError("an empty capture")
        for one in recording.named_by:
            one.add(self)

    @property
    def names(self) -> list[str]:
        """The nodes' names, which a real graph has not."""
        return [name for name, _, _ in self.nodes]

    def debug_dot_str(self, flags: int = 0) -> str:
        lines = [f'"graph_1_node_{at}"[label="{name}"];' for at, name in enumerate(self.names)]
        return "\n".join(["digraph dot {", *lines, "}"])

    def upload(self, stream: Stream | None = None) -> None:
        counts["graph uploads"] += 1

    def launch(self, stream: Stream | None = None) -> None:
        where = globals()["stream"]() if stream is None else stream
        if where.recording is not None:
            raise CUDARuntimeError("the fake has no graphs inside graphs")
        counts["graphs"] += 1
        counts["nodes"] += len(self.nodes)
        ticket = next(_tickets)
        for name, work, memory in self.nodes:
            for one in memory:
                one.replayed(name, where, ticket)
            work()


def do(name: str, work: Callable[[], Any], reads: list[Any], writes: list[Any]) -> None:
    """One launch on the current stream: done, or recorded where the stream is captured.

    reads, writes: pieces of memory (`memory.Piece`).
    """
    here = stream()
    for listener in log:
        listener.append(name)
    if here.recording is not None:
        here.recording.nodes.append((name, work, [p.named() for p in (*reads, *writes)]))
        return
    counts["launches"] += 1
    ticket = next(_tickets)
    for piece in reads:
        piece.touched(name, here, ticket, written=False)
    for piece in writes:
        piece.touched(name, here, ticket, written=True)
    work()


def capturing() -> bool:
    """Whether the current stream is being captured."""
    return stream().recording is not None
