"""What got faster or slower between two trees, beyond the noise of the machine.

A row has changed when two things hold.

1. Its rounds differ by a rank test (Mann and Whitney). That alone is weak: rounds of one process
   share its memory layout, so two processes of one tree differ by it all the time.
2. The ratio of its medians is larger than the machine's own spread from run to run (`spread.py`),
   by a t test whose p-values are corrected for the number of rows after Holm. Holm bounds the
   chance of a single false row in the whole table, which is what a red light in CI must be held to;
   Benjamini and Hochberg's procedure bounds their share only, and lets more through the more rows
   really changed.

The rank test's p-values are not corrected themselves: with seven rounds a side they cannot fall
below 1/1716, so that over a hundred rows nothing would ever be found.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from ..kernels.errors import BadInput
from ..kernels.folder import folder
from .result import Result, Row
from .spread import NONE, Spread, Variance, between, identity, prior, timed_by_key

ALPHA = 0.01  # the chance that a comparison of a tree with itself calls any row changed
RANKED = 0.05  # of the rank test, for one row


@dataclass(frozen=True)
class Change:
    """One row in both.

    old, new: medians over the runs, in seconds. rank: the p-value of the rank test of the rounds.
    p: that of the ratio against the machine's spread, corrected for the number of rows.
    visible: the ratio from which on a change of this row would be called one.
    verdict: "slower", "faster" or "same"; "few" where too few rounds can show nothing.
    """

    key: str
    old: float
    new: float
    rank: float
    p: float
    visible: float
    verdict: str

    @property
    def ratio(self) -> float:
        """New over old: above one is slower."""
        return self.new / self.old


@dataclass(frozen=True)
class Comparison:
    """changes: largest effect first. only_old, only_new: keys that one side lacks.

    broken: rows that had figures in OLD and are wrong in NEW, with the reason.
    notes: what differs between the sides besides the code.
    calibrated: whether the spread was measured on this machine beforehand.
    drift: the median ratio over all rows.
    """

    changes: list[Change]
    only_old: list[str]
    only_new: list[str]
    broken: list[str]
    notes: list[str]
    calibrated: bool
    drift: float
    runs: tuple[int, int] = field(default=(1, 1))

    def called(self, verdict: str) -> list[Change]:
        """The rows with that verdict."""
        return [c for c in self.changes if c.verdict == verdict]

    @property
    def worse(self) -> bool:
        """Whether anything got slower or wrong."""
        return bool(self.called("slower") or self.broken)

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {**asdict(self), "worse": self.worse}


def read(name: str) -> list[Result]:
    """The results that a name stands for: a file, a folder of files, or a saved baseline.

    Raises: BadInput.
    """
    saved = folder() / "benchmarks"
    for found in (Path(name), saved / name, saved / f"{name}.json"):
        if found.is_dir():
            files = sorted(found.glob("*.json"))
            if not files:
                raise BadInput(f"there are no results in the folder {found}")
            return [Result.read(each) for each in files]
        if found.is_file():
            return [Result.read(found)]
    known = sorted({p.stem for p in saved.glob("*") if p.is_dir() or p.suffix == ".json"})
    told = f"; saved baselines: {', '.join(known)}" if known else "; no baseline is saved here"
    raise BadInput(f"{name!r} is neither a file nor a folder nor a baseline{told}")


def compare(
    old: Sequence[Result],
    new: Sequence[Result],
    spread: Spread | None = None,
    *,
    threshold: float = 0.0,
    force: bool = False,
) -> Comparison:
    """Row by row; each side is one run or several of one tree.

    spread: the machine's, where it was measured. threshold: changes below this share of the old
    figure are not called, however certain. force: compare across machines all the same.
    Raises: BadInput for different machines, and where no row is in both.
    """
    notes = _differences(old, new)
    machines = {identity(r) for r in (*old, *new)}
    if len(machines) > 1 and not force:
        told = " and ".join(f"{name} with {cores} cores" for name, cores in sorted(machines))
        raise BadInput(f"these were measured on {told}: --force compares them all the same")
    if spread is not None and (spread.processor, spread.cores) not in machines:
        notes.append(f"the spread kept here is of another machine ({spread.processor}): not used")
        spread = None
    sides = [[timed_by_key(r) for r in side] for side in (old, new)]
    keys = [dict.fromkeys(chain(*side)) for side in sides]
    broken = [
        f"{row.key}: {row.reason}"
        for row in {r.key: r for result in new for r in result.rows}.values()
        if row.status == "wrong" and row.key in keys[0]
    ]
    resized = [k for k in keys[0] if len({r[k].measured for r in chain(*sides) if k in r}) > 1]
    notes += [f"{key} was measured on another number of elements: left out" for key in resized]
    both = [key for key in keys[0] if key in keys[1] and key not in resized]
    if not both:
        raise BadInput("the two have no row in common: were they made with the same options?")
    pairs = [tuple([r[k] for r in side if k in r] for side in sides) for k in both]
    changes = _judged(both, pairs, spread, threshold)
    return Comparison(
        sorted(changes, key=lambda c: -abs(math.log(c.ratio))),
        [key for key in keys[0] if key not in keys[1] and not _names(broken, key)],
        [key for key in keys[1] if key not in keys[0]],
        broken, notes, spread is not None,
        statistics.median(c.ratio for c in changes), (len(old), len(new)),
    )  # fmt: skip


def _names(broken: Sequence[str], key: str) -> bool:
    return any(text.startswith(f"{key}: ") for text in broken)


def _judged(
    keys: Sequence[str], pairs: Sequence[Any], spread: Spread | None, threshold: float
) -> list[Change]:
    """The verdicts on rows that both sides have."""
    from scipy.stats import t

    sides = [tuple([math.log(r.median) for r in side] for side in pair) for pair in pairs]
    effects = [statistics.median(b) - statistics.median(a) for a, b in sides]
    counts = [1.0 / len(a) + 1.0 / len(b) for a, b in sides]
    kept = spread.rows if spread is not None else {}
    own = [
        between(a).joined(between(b)).joined(kept.get(key, NONE))
        for key, (a, b) in zip(keys, sides, strict=True)
    ]
    found = [
        v.joined(common) for v, common in zip(own, _common(own, kept, effects, counts), strict=True)
    ]
    scales = [math.sqrt(v.value * n) for v, n in zip(found, counts, strict=True)]
    raw = [
        float(2.0 * t.sf(abs(effect) / scale, v.freedom)) if scale else float(effect == 0.0)
        for effect, scale, v in zip(effects, scales, found, strict=True)
    ]
    changes = []
    for key, pair, effect, p, scale, v in zip(
        keys, pairs, effects, holm(raw), scales, found, strict=True
    ):
        least = scale * float(t.isf(ALPHA / len(keys) / 2.0, v.freedom)) if scale else 0.0
        rank, can = _ranks(*pair)
        verdict = "same" if can else "few"
        if can and rank < RANKED and p < ALPHA and abs(math.expm1(effect)) >= threshold:
            verdict = "slower" if effect > 0.0 else "faster"
        before, after = (statistics.median(r.median for r in side) for side in pair)
        visible = max(math.exp(min(least, 700.0)), 1.0 + threshold)
        changes.append(Change(key, before, after, rank, p, visible, verdict))
    return changes


def _common(
    own: Sequence[Variance], kept: Any, effects: Sequence[float], counts: Sequence[float]
) -> list[Variance]:
    """What is known of the spread of each row besides its own: from runs of one tree.

    Where there are none, from the two sides themselves, as if no row but the one in question had
    changed: changes in a few rows hardly hide each other, but one of all rows stays unseen.
    """
    for known in (kept.values(), own):
        if sum(v.freedom > 0.0 and v.value > 0.0 for v in known) > 1:
            return [prior(known)] * len(own)
    if not any(effects):  # the same figures twice
        return [NONE] * len(own)
    shift = statistics.median(effects)
    seen = [
        Variance((effect - shift) ** 2 / n, 1.0) for effect, n in zip(effects, counts, strict=True)
    ]
    return [prior(seen[:i] + seen[i + 1 :]) for i in range(len(seen))]


def _ranks(old: Sequence[Row], new: Sequence[Row]) -> tuple[float, bool]:
    """The rank test's p-value for all rounds, and whether so few rounds could show anything."""
    from scipy.stats import mannwhitneyu

    a, b = ([s for row in side for s in row.seconds] for side in (old, new))
    if 2.0 / math.comb(len(a) + len(b), len(a)) >= RANKED:
        return 1.0, False
    method = "exact" if len({*a, *b}) == len(a) + len(b) and len(a) + len(b) < 100 else "auto"
    return float(mannwhitneyu(a, b, method=method).pvalue), True


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for their number: the chance of any false one is bounded by the level.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(values), 0.0
    for rank, number in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[number]))
        corrected[number] = largest
    return corrected


def _differences(old: Sequence[Result], new: Sequence[Result]) -> list[str]:
    """What the environments differ in, in words."""

    def each(side: Sequence[Result], of: Any) -> str:
        return " or ".join(sorted({str(of(r.environment)) for r in side}))

    def package(name: str) -> Any:
        return lambda e: (e.get("packages") or {}).get(name, "not installed")

    def states(e: dict[str, Any]) -> str:
        return ", ".join(b["name"] for b in e.get("backends", ()) if b["available"])

    def pools(e: dict[str, Any]) -> str:
        return ", ".join(f"{p.get('internal_api')} {p.get('num_threads')}" for p in e["pools"])

    looked: dict[str, Any] = {
        "processor": lambda e: e.get("processor"), "cores": lambda e: e.get("cores"),
        "usable cores": lambda e: e.get("usable_cores"), "system": lambda e: e.get("system"),
        "Python": lambda e: e.get("python"), "GPU": lambda e: (e.get("gpu") or {}).get("name"),
        "variables": lambda e: e.get("variables") or "none",
        "thread pools": lambda e: pools(e) if e.get("pools") else "unknown",
        "backends": states,
    }  # fmt: skip
    names = {name for r in (*old, *new) for name in r.environment.get("packages") or {}}
    looked.update({name: package(name) for name in sorted(names - {"lamina"})})
    told = []
    for what, of in looked.items():
        before, after = each(old, of), each(new, of)
        if before != after:
            told.append(f"{what}: {before} in OLD, {after} in NEW")
    return told
