"""Processes on GPUs: which has which, and whether these sum gradients by themselves."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..backends.contract import Backend
from ..backends.parts import Collectives, DeviceSum
from ..backends.selection import Selection
from .session import Session

if TYPE_CHECKING:
    from .distributed import Distributed


def placed(team: Distributed, session: Session) -> None:
    """Gives the processes of a host devices of their own, where they were to share one.

    The number of a process on its host, modulo the devices there, says which one. All call it.
    """
    backend = session.backend
    mine = (socket.gethostname(), backend.place)
    every = team.gathered(mine)
    if not backend.place or Counter(every)[mine] < 2:
        return
    number = sum(host == mine[0] for host, _ in every[: team.rank])
    other = backend.beside(number)
    if other is not backend:
        why = f"{session.backend_reason}; {other.name}:{other.index} for rank {team.rank}"
        with session.right_to_train:
            session.adopt(Selection(other, why, session.chosen.open))


@contextmanager
def summing(team: Distributed, session: Session) -> Iterator[None]:
    """While this lasts, devices sum gradients by themselves, where those of all processes can.

    Sums end with it, in all processes; where an error ends one alone, the job ends.
    """
    team.on_device, team.way = _agreed(team, session.backend)
    session.shared_by = team.brief()
    over = True
    try:
        yield
    except BaseException as error:
        over = not team.alone(error)
        raise
    finally:
        ended, team.on_device = team.on_device, None
        if over and ended is not None:
            ended.close()


def _agreed(team: Distributed, backend: Backend) -> tuple[DeviceSum | None, str]:
    """How the devices of all processes sum, and in words; None: through the host."""
    found, host = backend.collectives(), socket.gethostname()
    mine = None if found is None else (found.name, found.obstacle(), (host, found.place))
    every = team.gathered(mine)
    if not any(every):
        return None, ""
    why, identity, joined = _obstacle(every), b"", None
    if found is not None and not why:
        why, identity = team.same(_identity(found) if team.rank == 0 else ("", b""))
    if found is not None and not why:
        try:
            joined = found.join(identity, team.ranks, team.rank)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        why = next(filter(None, team.gathered(why)), "")
        if why and joined is not None:
            joined.abort()
        elif joined is not None:
            return joined, f"gradients summed by {found.name}"
    return None, f"gradients summed through the host: {why}"


def _obstacle(every: Sequence[tuple[str, str, tuple[str, str]] | None]) -> str:
    """Why devices cannot sum. every: what each process has."""
    for rank, one in enumerate(every):
        if one is None:
            return f"rank {rank} computes on another kind of device"
        if one[1]:
            return f"rank {rank}: {one[1]}"
    places = Counter(one[2] for one in every if one is not None)
    (_, place), most = places.most_common(1)[0]
    return f"{most} ranks share the GPU {place}" if most > 1 else ""


def _identity(found: Collectives) -> tuple[str, bytes]:
    """Why there is nothing by which processes find each other, or that."""
    try:
        return "", found.identity()
    except Exception as error:
        return f"rank 0: {type(error).__name__}: {error}", b""
