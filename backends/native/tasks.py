"""Tasks: one step on one share of the work, and where the shares must wait for each other."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...kernels.llvm.library import Code
from ...kernels.memory import Address
from .spans import ByteCount, Span


@dataclass
class Task:
    """One step on one share.

    record: its slots, as plain integers. batch: slot -> (column, offset), for addresses inside a
        batch column, which `load` fills in. scratch: slot -> bytes that its share alone uses, while
        it runs. owner: the position of the instruction that it belongs to, or -1. dtype: what the
        step is compiled for; "": the program's. code: what is generated for it, in place of a step
        of the table. calls: slot -> a step whose address goes there.
    """

    step: str
    record: list[int]
    reads: list[Span] = field(default_factory=list)
    writes: list[Span] = field(default_factory=list)
    batch: dict[int, tuple[str, ByteCount]] = field(default_factory=dict)
    scratch: dict[int, ByteCount] = field(default_factory=dict)
    owner: int = -1
    dtype: str = ""
    code: Code | None = None
    calls: dict[int, str] = field(default_factory=dict)


Shares = list[Task | None]


@dataclass(frozen=True)
class Look:
    """Where the shares leave what they found of the indices that an instruction reads.

    place: three numbers of 64 bits for each share: whether one is out of range, which, its value.
    """

    position: int
    place: Address


def stretches(rows: list[Shares], shares: int) -> list[list[Shares]]:
    """Cuts rows of tasks where one share touches what another one has written, or is to write."""
    found: list[list[Shares]] = [[]]
    reads: list[list[Span]] = [[] for _ in range(shares)]
    writes: list[list[Span]] = [[] for _ in range(shares)]
    for row in rows:
        if shares > 1 and _clash(row, reads, writes):
            found.append([])
            reads, writes = [[] for _ in range(shares)], [[] for _ in range(shares)]
        found[-1].append(row)
        for share, task in enumerate(row):
            if task is not None:
                reads[share] += task.reads
                writes[share] += task.writes
    return found


def _clash(row: Shares, reads: list[list[Span]], writes: list[list[Span]]) -> bool:
    for share, task in enumerate(row):
        if task is None:
            continue
        for other in range(len(row)):
            if other != share and (
                _meet(task.reads, writes[other])
                or _meet(task.writes, writes[other])
                or _meet(task.writes, reads[other])
            ):
                return True
    return False


def _meet(some: list[Span], others: list[Span]) -> bool:
    return any(a < d and c < b for a, b in some for c, d in others)
