"""Ranks of MPI wait for each other where nobody watches them: before a training, and at the end.

Before a training a rank may be busy with code of its own for as long as it likes, so none is ended
for being late; but who waits for long says for whom. A rank that ends where others wait for it ends
all: it would do so in `MPI_Finalize`, and they in their next sum, for ever.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from ..backends import mpi

WORK, END = 1, 2  # what a rank comes for
TAG = 3
LOOKS = 1000  # for the others, before one sleeps between two
BRIEF = 0.001  # seconds between two looks


class Meeting:
    """Where the ranks of a communicator meet.

    communicator: mpi4py's, of two ranks or more, which all make this together. seconds: of waiting
    after which it is said for whom, 0 for never.
    """

    def __init__(self, communicator: Any, seconds: float) -> None:
        self.communicator, self.seconds, self.process = communicator, seconds, os.getpid()
        self.own, made = communicator.Idup()
        self._wait([made], "the others to come to lm.Distributed()")
        atexit.register(self._end)

    def work(self) -> None:
        """Returns once all ranks have come here; where one has ended, all do."""
        self._meet(WORK)

    def _end(self) -> None:
        """Comes to the end of this process, for the others to see."""
        if os.getpid() == self.process and mpi.running():
            self.seconds = 0.0
            self._meet(END)

    def _meet(self, purpose: int) -> None:
        own, mine = self.own, bytearray([purpose])
        if own.rank:
            sent, answer = own.Isend(mine, 0, TAG), own.Irecv(bytearray(1), 0, TAG)
            self._wait([sent, answer], "rank 0, where all meet")
            return
        others = range(1, own.size)
        came = {rank: bytearray(1) for rank in others}
        self._wait([own.Irecv(came[rank], rank, TAG) for rank in others], "", others)
        purposes = [purpose, *(one[0] for one in came.values())]
        if len(set(purposes)) > 1:
            ended = ", ".join(str(rank) for rank, one in enumerate(purposes) if one == END)
            self._say(f"rank {ended} of {own.size} has ended where others work: so all end")
            mpi.abort(self.communicator)
        for sent in [own.Isend(mine, rank, TAG) for rank in others]:
            sent.Wait()

    def _wait(self, requests: Sequence[Any], whom: str, ranks: Sequence[int] = ()) -> None:
        """Waits for messages. whom: says for whom; else it is ranks, one for each message."""
        looks, since, told = 0, time.monotonic(), not self.seconds
        waiting = list(range(len(requests)))
        while waiting := [at for at in waiting if not requests[at].Test()]:
            looks += 1
            if looks < LOOKS:
                continue
            time.sleep(BRIEF)
            if not told and time.monotonic() - since > self.seconds:
                told = True
                late = whom or "rank " + ", ".join(str(ranks[at]) for at in waiting)
                size = self.communicator.Get_size()
                who = f"rank {self.communicator.Get_rank()} of {size}"
                self._say(f"{who} has waited {self.seconds:g} s for {late}, and waits on")

    def _say(self, words: str) -> None:
        sys.stderr.write(f"lamina: {words}\n")
        sys.stderr.flush()


def meeting(communicator: Any, seconds: float) -> Meeting | None:
    """Where the ranks of a communicator meet, None for a rank alone. seconds: as in `Meeting`."""
    if communicator.Get_size() < 2:
        return None
    found = mpi.kept(communicator, "meeting", lambda: Meeting(communicator, seconds))
    found.seconds = seconds
    return found
