"""The process of a rank: rank 0 reads orders and answers for all, the others do the same work."""

from __future__ import annotations

import os
import sys

from ..peers.worker import serve
from .launch import orders, world


def main() -> None:
    """Serves orders; the first argument says how many ranks were started."""
    communicator = world(int(sys.argv[1]))
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        serve(
            orders(communicator, sys.stdin),
            answers if communicator.rank == 0 else _Silent(communicator),
        )


class _Silent:
    """Where the other ranks' answers go: rank 0 tells the same, unless this rank failed alone."""

    def __init__(self, communicator: object) -> None:
        self.communicator = communicator

    def write(self, line: str) -> None:
        """Ends all ranks where this one failed: rank 0 may wait for it."""
        if '"failed"' in line:
            sys.stderr.write(line)
            sys.stderr.flush()
            self.communicator.Abort(1)  # type: ignore[attr-defined]

    def flush(self) -> None:
        """Nothing was kept."""
