"""Several processes as threads of one: what `Distributed` asks of MPI, without MPI."""

from __future__ import annotations

import ctypes
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import lamina as lm
import numpy as np
from lamina.backends.parts import Held, own
from lamina.core.distributed import Distributed
from lamina.kernels.memory import address, aligned
from lamina.kernels.numba.native import slots
from support import PATIENCE

PIECE, BARRIER = 64, 512  # bytes
ROWS, FEATURES, CLASSES = 61, 6, 3
CALL = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int64] * 6)


class Exchange:
    """Where the threads meet.

    hosts: how many of them are on each host that they are said to be on, where they share memory,
    so many bytes for each, and `room` bytes for segments of a state.
    """

    def __init__(
        self, ranks: int, hosts: Sequence[int] = (), piece: int = PIECE, room: int = 0
    ) -> None:  # fmt: skip
        self.ranks, self.barrier, self.piece = ranks, threading.Barrier(ranks), piece
        self.slots: list[Any] = [None] * ranks
        self.hosts = [Exchange(count, piece=piece, room=room) for count in hosts]
        self.leaders = Exchange(len(hosts)) if hosts else None
        self.memory = aligned(BARRIER + (ranks + 1) * piece, "uint8")
        self.room = aligned(room, "uint8")

    def place(self, rank: int) -> tuple[int, int]:
        """The host of a thread, and which of those there it is."""
        ends = [*accumulate(host.ranks for host in self.hosts)]
        host = bisect_right(ends, rank)
        return host, rank - (ends[host] - self.hosts[host].ranks)

    def all(self, rank: int, value: Any) -> list[Any]:
        self.slots[rank] = value
        self.barrier.wait(PATIENCE)
        found = list(self.slots)
        self.barrier.wait(PATIENCE)
        return found


class Threads(Distributed):
    """One of the threads, as a process."""

    def __init__(self, exchange: Exchange, rank: int) -> None:
        self.exchange, self.rank, self.ranks = exchange, rank, exchange.ranks
        self.here, self.threads, self._known = exchange.ranks, 1, None
        self.aborted: BaseException | None = None
        self.sums = 0
        self._interrupt = super().interrupt()
        self.calls = {kind: CALL(self._call(kind)) for kind in ("float32", "float64")}

    def _call(self, dtype: str) -> Callable[..., int]:
        number = ctypes.c_float if dtype == "float32" else ctypes.c_double

        def call(send: int, receive: int, count: int, *handles: int) -> int:
            assert send == -1
            flat = np.frombuffer((number * count).from_address(receive), dtype)
            leaders = self.exchange.leaders
            try:
                if leaders is None:
                    self.add(flat)
                else:
                    host, _ = self.exchange.place(self.rank)
                    flat[...] = np.sum(leaders.all(host, flat.copy()), axis=0)
            except threading.BrokenBarrierError:
                return 1
            return 0

        return call

    def add(self, flat: np.ndarray) -> None:
        self.sums += 1
        flat[...] = np.sum(self.exchange.all(self.rank, flat.copy()), axis=0)

    def native(self, dtype: str) -> np.ndarray:
        place = ctypes.cast(self.calls[dtype], ctypes.c_void_p).value
        made = np.zeros(slots.SUM_SLOTS, np.int64)
        made[slots.CALL], made[slots.IN_PLACE], made[slots.MOST_BYTES] = place, -1, PIECE
        if self.exchange.leaders is not None:
            number, made[slots.RANK] = self.exchange.place(self.rank)
            host = self.exchange.hosts[number]
            made[slots.MEETING] = address(host.memory)
            made[slots.PIECES] = made[slots.MEETING] + BARRIER
            made[slots.PIECE], made[slots.RANKS] = host.piece, host.ranks
            made[slots.HOSTS] = len(self.exchange.hosts)
        return made

    def window(self, dtype: str, count: int) -> tuple[np.ndarray, np.ndarray] | None:
        if self.exchange.leaders is None:
            return None
        number, here = self.exchange.place(self.rank)
        host = self.exchange.hosts[number]
        if count * np.dtype(dtype).itemsize > host.piece:
            return None
        pieces = host.memory[BARRIER:].view(dtype).reshape(host.ranks + 1, -1)
        return pieces[here, :count], pieces[-1, :count]

    def held(self, dtype: str, count: int, number: int) -> Held | None:
        if self.exchange.leaders is None:
            return None
        host, here = self.exchange.place(self.rank)
        rows = self.exchange.hosts[host].room.view(dtype)
        if number * count > len(rows):
            return None
        segments = list(rows[: number * count].reshape(number, count))
        return Held(segments, own(count, here, self.exchange.hosts[host].ranks))

    def make_room(self, session: Any, lasting: bool = False) -> None:
        """`Exchange` has it, or has not."""

    def gathered(self, value: Any) -> list[Any]:
        return self.exchange.all(self.rank, value)

    def same(self, value: Any) -> Any:
        return self.gathered(value)[0]

    @contextmanager
    def working(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            if error is not self._known:
                self.abort(error)
            raise

    def abort(self, error: BaseException) -> None:
        self.aborted = error
        self.exchange.barrier.abort()


def together(
    ranks: int, work: Callable[[Threads], Any], hosts: Sequence[int] = (), piece: int = PIECE,
    room: int = 0,
) -> list[Any]:  # fmt: skip
    """What `work` gives in each of so many threads; an error in place of what one raised.

    hosts: how many of them are on each host, where they add up in memory that they share, so many
    bytes for each, and `room` for segments of a state.
    """
    exchange, found = Exchange(ranks, hosts, piece, room), [None] * ranks

    def one(rank: int) -> None:
        team = Threads(exchange, rank)
        try:
            found[rank] = work(team)
        except BaseException as error:
            found[rank] = error
            if error is not team._known:  # the others would wait in vain
                exchange.barrier.abort()

    threads = [threading.Thread(target=one, args=(rank,), daemon=True) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
        assert not thread.is_alive()
    return found


def right(found: list[Any]) -> list[Any]:
    """The same, where nothing was raised; else what broke it, not that another waited in vain."""
    raised = [one for one in found if isinstance(one, BaseException)]
    for one in sorted(raised, key=lambda one: isinstance(one, threading.BrokenBarrierError)):
        raise one
    return found


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, classes and weights of rows."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, FEATURES)) * 3.0 + 1.0
    return x, rng.integers(0, CLASSES, ROWS), rng.uniform(0.0, 2.0, ROWS)


def told(model: lm.Sequential, history: lm.History) -> dict[str, np.ndarray]:
    """What a training told, and the weights that it came to."""
    found = {name: np.array(values) for name, values in history.history.items()}
    return {**found, "weights": np.concatenate([w.ravel() for w in model.get_weights()])}


def near(
    found: dict[str, np.ndarray], wanted: dict[str, np.ndarray], rtol: float, atol: float
) -> None:
    """Asserts that two trainings came to the same."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=rtol, atol=atol, err_msg=name)
