"""Orders to the processes of the peers."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

from ...kernels.errors import LaminaError
from ...kernels.isolated import command
from ..scaling import launch
from ..timing import ROUND_SECONDS, Contender
from .peer import Peer, Task


class PeerFailed(LaminaError, RuntimeError):
    """A peer's library raised an error, or its process ended."""


def started(peer: Peer) -> list[str]:
    """What starts a peer's process, or its ranks. Raises: BadInput where there is no MPI."""
    if peer.ranks < 2:
        return command(f"from {__package__}.worker import main\nmain()")
    code = f"from {launch.__package__}.worker import main\nmain()"
    return launch.ranks(peer.ranks, command(code, str(peer.ranks)))


class Process:
    """One peer's process; it takes one order at a time, and serves one task after another."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  closed by close
        self.process = subprocess.Popen(
            started(peer), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            text=True, env=launch.environment() if peer.ranks > 1 else None,
        )  # fmt: skip

    def ask(self, order: str, **more: Any) -> dict[str, Any]:
        """The answer to an order. Raises: PeerFailed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"do": order, **more}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise PeerFailed(f"its process ended: {self._last_words()}")
        told: dict[str, Any] = json.loads(line)
        if "failed" in told:
            raise PeerFailed(told["failed"])
        return told

    def start(self, task: Task) -> dict[str, Any]:
        """Makes a task ready and returns what is compared. Raises: PeerFailed."""
        return self.ask(
            "start", mode=task.mode, network=asdict(task.network), rows=task.rows, data=task.data,
            peer=asdict(self.peer),
        )  # fmt: skip

    def _last_words(self) -> str:
        code = self.process.wait(10)
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines() or [f"exit code {code}"]
        return lines[-1]

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.close()
            self.process.wait(10)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()


class Processes:
    """One process for each peer, started when first asked for; ended with the block."""

    def __init__(self) -> None:
        self._running: dict[Peer, Process] = {}

    def __getitem__(self, peer: Peer) -> Process:
        found = self._running.get(peer)
        if found is None or found.process.poll() is not None:
            if found is not None:
                found.close()
            found = self._running[peer] = Process(peer)
        return found

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for process in self._running.values():
            process.close()


@dataclass
class Remote(Contender):
    """A contender whose rounds are done and timed in its own process.

    failed: why it has no more rounds, if its process ended on the way; the others go on.
    """

    process: Process | None = None
    failed: str = ""

    def warm(self, round_seconds: float = ROUND_SECONDS) -> None:
        """Sizes the rounds."""
        assert self.process is not None
        self.units = self.process.ask("warm", seconds=round_seconds)["units"]

    def round(self) -> float:
        """One round; returns how long it took altogether."""
        assert self.process is not None
        if self.failed:
            return 0.0
        try:
            seconds: float = self.process.ask("round")["seconds"]
        except PeerFailed as error:
            self.failed = str(error)
            return 0.0
        self.seconds.append(seconds)
        return seconds * self.units
