"""Ranks of MPI watch each other, so that one that has stopped ends the work of all.

MPI ends a job where a rank dies. One that lives and does nothing (stopped, or on a host that is
gone) it does not notice: the others wait for it in the next sum, for ever. Here a thread of each
rank says to the next rank, twice a second, that this process runs, and listens to the one before.
That tells a process that stands still from one that is busy with a long step of its own, which a
limit on the time of a sum could not; a process whose own code never returns is, to others, busy.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from types import TracebackType
from typing import Any

from ..backends import mpi
from ..kernels.errors import BadInput
from .meeting import Meeting

TIMEOUT = 10.0  # seconds of silence
TICK = 0.5  # seconds between two signs of life
BRIEF = 0.001  # seconds between two looks for the last one
SHORT = 1.0  # seconds that a rank with an error waits for the others'
ALIVE, LAST = 1, 2  # tags: a sign of life, and the last one


class Heartbeat:
    """Watches over the ranks of a communicator for as long as its block lasts.

    communicator: mpi4py's; the block begins and ends on all of its ranks, and may lie in another.
    timeout: seconds without a sign of life from a rank after which all are ended, 0 for no watch.
    They are counted in this process's own waking ticks: what stops all ranks for a while, such as a
    suspended machine, is no rank's fault. Without MPI's support for several threads there is no
    watch. meeting: where the ranks wait for each other before the block.
    """

    def __init__(self, communicator: Any, timeout: float, meeting: Meeting | None = None) -> None:
        self.communicator, self.timeout, self.depth = communicator, timeout, 0
        self.meeting = meeting
        self.thread: threading.Thread | None = None
        self.over = threading.Event()

    def __enter__(self) -> Heartbeat:
        self.depth += 1
        if self.depth == 1 and self.meeting is not None:
            self.meeting.work()
        alone = self.communicator.Get_size() < 2
        if self.depth > 1 or alone or not self.timeout or not _several_threads():
            return self
        self.own = self.communicator.Dup()
        self.names = self.own.allgather(f"host {socket.gethostname()}, process {os.getpid()}")
        self.over.clear()
        self.thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.depth -= 1
        if self.depth or self.thread is None:
            return
        self.over.set()
        # An error of this rank alone is told, and ends all, while the others still work.
        self.thread.join(None if error is None else SHORT)
        if not self.thread.is_alive():
            self.own.Free()
        self.thread = None

    def _watch(self) -> None:
        """Until the block is over here and at the rank before, whose last sign is the end."""
        from mpi4py import MPI

        own = self.own
        before, after = (own.rank - 1) % own.size, (own.rank + 1) % own.size
        status, heard, sign = MPI.Status(), bytearray(1), bytearray(1)
        sent, silent, ended = own.Isend(sign, after, ALIVE), 0.0, False

        def listen() -> None:
            nonlocal silent, ended
            while own.Iprobe(before, status=status):
                own.Recv(heard, before, status=status)
                silent, ended = 0.0, ended or status.tag == LAST
            if not ended and silent > self.timeout:
                self._end(before)

        while not self.over.wait(TICK):
            silent += TICK
            if sent.Test():
                sent = own.Isend(sign, after, ALIVE)
            listen()
        sent.Wait()
        sent = own.Isend(sign, after, LAST)
        while not ended:
            time.sleep(BRIEF)
            silent += BRIEF
            listen()
        sent.Wait()

    def _end(self, rank: int) -> None:
        sys.stderr.write(
            f"lamina: rank {rank} of {self.own.size} ({self.names[rank]}) has given no sign of life"
            f" for {self.timeout:g} s: rank {self.own.rank} ends the work of all ranks\n"
        )
        mpi.abort(self.communicator)


def checked(timeout: Any) -> float:
    """Seconds of silence that are allowed. Raises: BadInput for a timeout that is none."""
    if (
        isinstance(timeout, bool)
        or not isinstance(timeout, int | float)
        or not (timeout == 0.0 or timeout >= 2 * TICK)
    ):
        raise BadInput(
            f"timeout is in seconds, {2 * TICK:g} or more, or 0 for none, not {timeout!r}"
        )
    return timeout


def _several_threads() -> bool:
    """Whether any thread may call MPI at any time."""
    from mpi4py import MPI

    return bool(MPI.Query_thread() == MPI.THREAD_MULTIPLE)
