"""What a measurement says: rows, ceilings and the machine, in one JSON document.

`schema.json` describes the document; `Result.write` and `Result.read` are the only way in and out.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from ..kernels.errors import BadInput
from ..kernels.files import write

SCHEMA = 1

Key = TypeVar("Key")


@dataclass(frozen=True)
class Row:
    """One way of doing one piece of work.

    kind: "op", "story" (the five steps from loops to fused), "training" (one step: forward,
        backward, update), "epoch" (through `fit`), "inference" (one call), "scaling" (one step on
        ranks of MPI) or "reduction" (a sum over ranks).
    case: what is computed, with its size: rows of one kind, case and dtype did the same work.
    backend: the backend's name, or the peer's. variant: how it computes ("loops", "fused", ...).
    size: elements of the largest array of an op, or rows of a batch.
    unit: what `seconds` are for: "call", "step" or "epoch". seconds: one number a round.
    status: "ok", "wrong" (off from the oracle, so not timed) or "skipped"; reason says why.
    first_call: seconds of the first call, compilation included. transfer: seconds to bring the
        inputs to the device. flops, bytes: of one unit, each array touched once.
    measured: the size that was run, where `seconds` were extrapolated from fewer elements, else 0.
    error, allowed: the largest difference from the oracle, and the one allowed.
    predicted: the seconds that `scaling/model.py` says, beside those measured or where none were.
    """

    kind: str
    case: str
    backend: str
    variant: str
    dtype: str = "float32"
    size: int = 0
    unit: str = "call"
    op: str = ""
    status: str = "ok"
    reason: str = ""
    seconds: tuple[float, ...] = ()
    first_call: float | None = None
    transfer: float | None = None
    flops: float = 0.0
    bytes: float = 0.0
    measured: int = 0
    error: float | None = None
    allowed: float | None = None
    predicted: float | None = None

    @property
    def key(self) -> str:
        """Names the row: the same in every run of the same work."""
        return f"{self.kind}/{self.case}/{self.dtype}/{self.backend}/{self.variant}"

    @property
    def work(self) -> tuple[str, str, str]:
        """What rows that can be compared share."""
        return self.kind, self.case, self.dtype

    @property
    def median(self) -> float:
        """The median of the rounds, in seconds; NaN without any."""
        return statistics.median(self.seconds) if self.seconds else float("nan")

    @property
    def low(self) -> float:
        """The fastest round."""
        return min(self.seconds, default=float("nan"))

    @property
    def high(self) -> float:
        """The slowest round."""
        return max(self.seconds, default=float("nan"))

    def overlaps(self, other: Row) -> bool:
        """Whether the rounds of both overlap: then neither is called faster."""
        return self.low <= other.high and other.low <= self.high


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Rows by key, both in the order of their first appearance."""
    found: dict[Key, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


@dataclass(frozen=True)
class Ceiling:
    """What a backend's device does at best: a large product, and a copy larger than its caches.

    product: GFLOP/s. copy: GB/s, bytes read and bytes written both counted.
    """

    backend: str
    dtype: str
    product: float
    copy: float

    def share(self, row: Row) -> tuple[float, str]:
        """The share of the ceiling that binds a row, and that ceiling: "product" or "copy"."""
        if not row.seconds or not (row.flops or row.bytes):
            return float("nan"), ""
        product = row.flops / (self.product * 1e9)
        copy = row.bytes / (self.copy * 1e9)
        return max(product, copy) / row.median, "product" if product > copy else "copy"


@dataclass
class Result:
    """What one run measured. environment: see `environment.py`. mode: which command made it."""

    mode: str
    environment: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    ceilings: list[Ceiling] = field(default_factory=list)

    def ceiling(self, row: Row) -> Ceiling | None:
        """The ceiling of the row's backend and dtype; CPU libraries share the CPU's."""
        same = [c for c in self.ceilings if c.dtype == row.dtype]
        own = [c for c in same if c.backend == row.backend]
        return next(iter(own or same), None)

    def to_json(self) -> str:
        """The document; medians and extremes are written for readers, and made anew on reading."""
        rows = []
        for row in self.rows:
            found: dict[str, Any] = {"key": row.key, **asdict(row)}
            if row.seconds:
                found.update(median=row.median, low=row.low, high=row.high)
            rows.append(found)
        document = {
            "schema": SCHEMA, "mode": self.mode, "environment": self.environment,
            "ceilings": [asdict(c) for c in self.ceilings], "rows": rows,
        }  # fmt: skip
        return json.dumps(document, indent=1, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        """Writes the document."""
        write(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Result:
        """Reads a document. Raises: BadInput for a file that is none."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["schema"] != SCHEMA:
                raise BadInput(f"{path} has schema {found['schema']}; this version reads {SCHEMA}")
            names = {f.name for f in fields(Row)}
            rows = []
            for each in found["rows"]:
                known: dict[str, Any] = {k: v for k, v in each.items() if k in names}
                rows.append(Row(**{**known, "seconds": tuple(known["seconds"])}))
            ceilings = [Ceiling(**c) for c in found["ceilings"]]
            return cls(found["mode"], found["environment"], rows, ceilings)
        except OSError as error:
            raise BadInput(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadInput(f"{path} is no result of lamina bench ({error})") from None
