"""How much the figures of one tree differ from run to run on a machine.

Rounds within one process share its memory layout, its threads and the machine's load, so their
scatter says nothing about the next process. What counts is the scatter of whole runs: the variance
of the logarithm of each row's median over runs of the same tree. A few runs tell little about one
row, so each row's variance is drawn towards that of all rows (empirical Bayes: Smyth, Statistical
Applications in Genetics and Molecular Biology 3, 2004).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..kernels import folder
from ..kernels.errors import BadInput
from .result import Result, Row

SCHEMA = 1
MOST = 1e3  # degrees of freedom above which the rows' variances count as equal


@dataclass(frozen=True)
class Variance:
    """A variance of log seconds, and the degrees of freedom that it was measured with."""

    value: float
    freedom: float

    def joined(self, other: Variance) -> Variance:
        """Both together, each by its degrees of freedom."""
        freedom = self.freedom + other.freedom
        total = self.value * self.freedom + other.value * other.freedom
        return Variance(total / freedom if freedom else 0.0, freedom)


NONE = Variance(0.0, 0.0)


def timed_by_key(result: Result) -> dict[str, Row]:
    """The rows with figures, by key."""
    return {row.key: row for row in result.rows if row.status == "ok" and row.seconds}


def between(runs: Sequence[float]) -> Variance:
    """The variance between runs; of the logarithms of their medians."""
    if len(runs) < 2:
        return NONE
    mean = sum(runs) / len(runs)
    return Variance(sum((x - mean) ** 2 for x in runs) / (len(runs) - 1), len(runs) - 1.0)


def prior(variances: Iterable[Variance]) -> Variance:
    """What the rows' variances have in common: a scaled F distribution fitted to their logarithms.

    Raises: BadInput without two measured variances.
    """
    from scipy.optimize import brentq
    from scipy.special import digamma, polygamma

    usable = [v for v in variances if v.freedom and v.value > 0.0]
    if len(usable) < 2:
        raise BadInput("the spread of this machine cannot be told from fewer than two rows")
    told = [_expected(v.freedom) for v in usable]
    logs = [math.log(v.value) - mean for v, (mean, _) in zip(usable, told, strict=True)]
    mean = sum(logs) / len(logs)
    scatter = sum((x - mean) ** 2 for x in logs) / (len(logs) - 1)
    scatter -= sum(variance for _, variance in told) / len(usable)
    if scatter <= float(polygamma(1, MOST / 2)):
        return Variance(math.exp(mean), MOST)
    half = brentq(lambda x: float(polygamma(1, x)) - scatter, 1e-3, MOST)
    return Variance(math.exp(mean + digamma(half) - math.log(half)), 2.0 * half)


@cache
def _expected(freedom: float) -> tuple[float, float]:
    """Mean and variance of the logarithm of a variance that was estimated of one."""
    from scipy.special import digamma, polygamma

    half = freedom / 2.0
    return float(digamma(half)) - math.log(half), float(polygamma(1, half))


@dataclass(frozen=True)
class Spread:
    """What runs of one tree on one machine showed.

    processor, cores: the machine's. date: when. runs: how many. rows: key -> variance.
    """

    processor: str
    cores: int
    date: str
    runs: int
    rows: Mapping[str, Variance]

    @classmethod
    def of(cls, results: Sequence[Result]) -> Spread:
        """The spread among results of one tree. Raises: BadInput."""
        if len(results) < 3:
            raise BadInput("a calibration takes three results of one tree at least; six are better")
        machines = {identity(r) for r in results}
        trees = {tree(r) for r in results}
        if len(machines) > 1 or len(trees) > 1:
            raise BadInput("a calibration takes results of one tree on one machine, not of several")
        found: dict[str, list[float]] = {}
        for result in results:
            for key, row in timed_by_key(result).items():
                found.setdefault(key, []).append(math.log(row.median))
        rows = {key: between(logs) for key, logs in found.items() if len(logs) > 1}
        prior(rows.values())  # refuses what nothing can be told from
        processor, cores = machines.pop()
        return cls(processor, cores, time.strftime("%Y-%m-%d"), len(results), rows)

    def save(self) -> Path:
        """Keeps it as this machine's; returns the file."""
        document = {"schema": SCHEMA, **asdict(self)}
        return folder.write(path(), json.dumps(document, indent=1) + "\n")

    @classmethod
    def read(cls) -> Spread | None:
        """This machine's, or None where none was measured.

        Raises: BadInput for a damaged file.
        """
        try:
            found = json.loads(folder.read(path()))
            if found.pop("schema") != SCHEMA:
                raise BadInput(f"{path()} is of another version: calibrate again")
            rows = {key: Variance(**v) for key, v in found.pop("rows").items()}
            return cls(**found, rows=rows)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadInput(f"{path()} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, BadInput):
                raise
            raise BadInput(f"{path()} is damaged: calibrate again ({error})") from None


def path() -> Path:
    """Where this machine's spread is kept."""
    return folder.folder() / f"spread-{folder.machine()}.json"


def identity(result: Result) -> tuple[str, int]:
    """What makes two machines the same: processor and number of cores."""
    found: Mapping[str, Any] = result.environment
    return str(found.get("processor")), int(found.get("cores") or 0)


def tree(result: Result) -> str:
    """The version and commit that were measured."""
    packages = result.environment.get("packages") or {}
    return f"{packages.get('lamina')} {result.environment.get('commit')}"
