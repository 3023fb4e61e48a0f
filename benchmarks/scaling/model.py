"""What a step on more ranks takes, from what single ranks and sums of gradients take.

A step on p ranks is the work on its share of the rows, then the sum of the gradients over all
ranks, of which a share may lie behind the work. The work is that of single ranks by the program of
several, each with its part of an update that these split, measured as many at once as the host has
cores, between the measured numbers of rows along straight lines; that of more ranks than cores is
measured with as many at once, which give their cores away after each step. The sum on one host is
what it was measured to take behind such work; of more ranks than cores what it takes back to back,
for who waits there for others lets them work. Work and sum are measured in turns with the steps
that they are to predict: how fast a core of a virtual machine is, and how far two are apart, may be
another half as much in the next second. Between hosts it is that of recursive halving and doubling
(Rabenseifner 2004; Thakur, Rabenseifner and Gropp 2005): 2 ceil(log2 p) messages one after another
and 2 (p - 1) / p times the bytes.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...kernels.errors import BadInput

GAIN = 0.1  # twice the ranks that shorten a step by less than this do not pay
MOST_HOSTS = 4096
_TIME = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_RATE = {  # bytes a second
    "bit": 0.125, "kbit": 125.0, "mbit": 125e3, "gbit": 125e6, "tbit": 125e9,
    "kb": 1e3, "mb": 1e6, "gb": 1e9,
}  # fmt: skip


@dataclass(frozen=True)
class Link:
    """A way between ranks. latency: seconds a message; bandwidth: bytes a second each way."""

    latency: float
    bandwidth: float

    def sum(self, ranks: int, size: float) -> float:
        """Seconds to add up `size` bytes over so many ranks."""
        if ranks < 2:
            return 0.0
        messages = 2.0 * math.ceil(math.log2(ranks))
        return messages * self.latency + 2.0 * (ranks - 1) / ranks * size / self.bandwidth

    @classmethod
    def fitted(cls, ranks: int, points: Sequence[tuple[float, float]]) -> Link:
        """The link that fits (bytes, seconds) of sums over so many ranks best, relatively.

        Weighted least squares in two unknowns, neither below zero.
        """
        messages, share = 2.0 * math.ceil(math.log2(ranks)), 2.0 * (ranks - 1) / ranks
        rows = [(messages / seconds, share * size / seconds) for size, seconds in points]
        aa, ab, bb = (sum(r[i] * r[j] for r in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
        a, b = (sum(r[i] for r in rows) for i in (0, 1))
        spread = aa * bb - ab * ab
        latency = (a * bb - b * ab) / spread if spread > 0.0 else 0.0
        pace = (b * aa - a * ab) / spread if spread > 0.0 else 0.0
        if latency <= 0.0:
            latency, pace = 0.0, b / bb
        elif pace <= 0.0:
            latency, pace = a / aa, 0.0
        return cls(latency, 1.0 / pace if pace > 0.0 else math.inf)


def between(points: Sequence[tuple[float, float]], at: float) -> float:
    """A value between measured ones along straight lines; beyond them the last line goes on.

    points: (where, value), ascending. Below the first point the value is at least half of what is
    proportional there.

    >>> between([(8, 1.0), (16, 1.5), (32, 3.5)], 24), between([(8, 1.0), (16, 1.5)], 4)
    (2.5, 0.75)
    """
    if len(points) == 1:
        return points[0][1] * at / points[0][0]
    places = [place for place, _ in points]
    right = min(max(bisect_left(places, at), 1), len(points) - 1)
    (a, low), (b, high) = points[right - 1], points[right]
    value = low + (high - low) * (at - a) / (b - a)
    return max(value, 0.5 * low * at / a) if at < a else value


@dataclass(frozen=True)
class Machine:
    """One host and what was measured on it, for one network.

    cores: of the host. work: by threads a rank, (rows of a rank, seconds) of single ranks that
    train alone, so many at once that they fill the cores. turns: by ranks, the same of more ranks
    than cores, which take turns. sums: by ranks, (bytes, seconds) of sums
    over the ranks of this host, back to back. gradients: bytes to add up in a step. behind: by
    ranks, seconds to add these up behind as much work as a step has. overlap: the share of a step's
    work behind which its sum can hide.
    """

    cores: int
    work: Mapping[int, Sequence[tuple[float, float]]]
    sums: Mapping[int, Sequence[tuple[float, float]]]
    gradients: float
    turns: Mapping[int, Sequence[tuple[float, float]]] = field(default_factory=dict)
    behind: Mapping[int, float] = field(default_factory=dict)
    overlap: float = 0.0

    def told(
        self, batch: int, ranks: int, threads: int, work: float, sums: float
    ) -> Machine:  # fmt: skip
        """The same, with what the ranks of this host took for parts of a step in the same minute.

        work: seconds of a rank's share of the batch. sums: of the gradients, behind such work.
        """
        rows, behind = math.ceil(batch / ranks), {**self.behind, ranks: sums}
        if ranks * threads > self.cores:
            turns = {**self.turns, ranks: [(float(rows), work)]}
            return replace(self, turns=turns, behind=behind)
        others = [one for one in self.work.get(threads, ()) if one[0] != rows]
        points = {**self.work, threads: sorted([*others, (float(rows), work)])}
        return replace(self, work=points, behind=behind)

    def alone(self, rows: float, ranks: int, threads: int) -> float:
        """Seconds of the work of a rank on so many rows, beside the others of its host.

        Ranks that have less than a core each take turns.
        """
        if ranks in self.turns:
            return between(self.turns[ranks], rows)
        return between(self.work[threads], rows) * max(ranks * threads / self.cores, 1.0)

    def local(self, ranks: int) -> float:
        """Seconds to add up the gradients over ranks of this host."""
        if ranks < 2:
            return 0.0
        if ranks in self.behind:
            return self.behind[ranks]
        if ranks in self.sums:
            return between(self.sums[ranks], self.gradients)
        known = max(self.sums)
        return Link.fitted(known, self.sums[known]).sum(ranks, self.gradients)

    def step(
        self, batch: int, ranks: int, threads: int, hosts: int = 1, link: Link | None = None
    ) -> float:
        """Seconds of a step of a batch on so many ranks of so many threads on each of the hosts."""
        work = self.alone(math.ceil(batch / (ranks * hosts)), ranks, threads)
        sums = self.local(ranks)
        if hosts > 1:
            assert link is not None
            sums += link.sum(hosts, self.gradients)
        return work + max(sums - self.overlap * work, 0.0)

    def most(self, batch: int, ranks: int, threads: int, link: Link) -> tuple[int, int]:
        """How many hosts pay, and how many make a step shortest, doubling from one.

        A doubling pays where it shortens the step by more than a tenth.
        """
        pays, shortest, hosts = 1, 1, 1
        least = before = self.step(batch, ranks, threads)
        paying = True
        while 2 * hosts * ranks <= batch and hosts < MOST_HOSTS:
            hosts *= 2
            now = self.step(batch, ranks, threads, hosts, link)
            paying = paying and now < (1.0 - GAIN) * before
            pays = hosts if paying else pays
            least, shortest = min((least, shortest), (now, hosts))
            before = now
        return pays, shortest


def latency(text: str) -> float:
    """Seconds from `20us`. Raises: BadInput.

    >>> latency("20us"), latency("1.5 ms")
    (2e-05, 0.0015)
    """
    return _unit("--latency", text, _TIME, "20us")


def bandwidth(text: str) -> float:
    """Bytes a second from `10Gbit` or `1.25GB`, with or without `/s`. Raises: BadInput.

    >>> bandwidth("10Gbit"), bandwidth("1.25 GB/s")
    (1250000000.0, 1250000000.0)
    """
    return _unit("--bandwidth", text.removesuffix("/s"), _RATE, "10Gbit")


def _unit(option: str, text: str, units: Mapping[str, float], example: str) -> float:
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?(?:e[+-]?\d+)?)\s*([a-zµ]+)\s*", text.lower())
    if found is None or found[2] not in units or not 0.0 < float(found[1]) < math.inf:
        raise BadInput(
            f"{option} {text!r} is no number above 0 with a unit ({', '.join(units)}): give one"
            f" such as {example}"
        )
    return float(found[1]) * units[found[2]]
