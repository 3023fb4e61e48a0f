"""Numbers that decide between two ways of computing the same, measured once on a machine.

`lamina warmup` measures and keeps them (`benchmarks/tuning.py`). Here they are read, once in a
process and not before something asks, so nothing that runs is changed by a file that is written
meanwhile. What was not measured is as in `defaults`. Another way may add up in another order: with
the same thresholds results are bit-identical, with others they agree to rounding.

LAMINA_THRESHOLDS=default takes the defaults and reads no file.
"""

from __future__ import annotations

import json
import os
import re
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from . import folder
from .errors import unknown
from .host import processor, usable_cores

SCHEMA = 1  # of the file and of what is measured: another one's numbers mean something else
MODES = ("measured", "default")
COMMAND = "lamina warmup --measure"
NEVER = 2**62
ABSENT = "nothing was measured"
# Of work on a GPU, in floating-point operations of a training step. Estimates: no GPU has measured
# them. A captured step of some 60 launches takes about 0.1 ms, in which the cores of a CPU do so
# many operations; below a tenth of it, launches are most of a step.
GPU_FLOPS = 1e8
UNROLLED_FLOPS = 1e7
PERSISTENT_FLOPS = 2e6


@dataclass(frozen=True)
class Thresholds:
    """What decides which way is taken. A side is the least of rows, inner indices and columns.

    forward_blas: the side from which a share's part of x w is computed by BLAS, not in tiles.
    input_blas: the same for its part of g w^T, the gradient of a layer's input.
    weight_blas: the same for its part of x^T g, the gradient of its weights.
    packed_rows: rows of a product from which the panels of the second factor are copied together.
    copied_rows: rows of a batch from which x^T is copied for its product with g, so that what is
        summed over lies side by side, where g has columns enough.
    aliased_rows: the same where all rows of x begin in the same set of a cache.
    whole_block: inner indices and columns from which a panel is as long as a second-level cache
        holds; below, as a first-level one does.
    split_seconds: what a batch must take one thread, by `estimates`, to be split over several.
    streams: whether activations of large arrays are written past the caches.
    """

    forward_blas: int = NEVER
    input_blas: int = 512
    weight_blas: int = 512
    packed_rows: int = 48
    copied_rows: int = 512
    aliased_rows: int = 512
    whole_block: int = 512
    split_seconds: float = 25e-6
    streams: bool = False

    def __post_init__(self) -> None:
        """Raises: TypeError, ValueError for what is no threshold."""
        for one in fields(self):
            value: Any = getattr(self, one.name)
            if type(value).__name__ != one.type:
                raise TypeError(f"{one.name} is of type {one.type}, not {value!r}")
            if not 0 <= value <= NEVER:  # NaN is refused as well
                raise ValueError(f"{one.name} is a number from 0 to {NEVER}, not {value!r}")


@dataclass(frozen=True)
class Found:
    """Thresholds and where they are from: names that were measured; when, or why none was."""

    thresholds: Thresholds
    measured: frozenset[str]
    origin: str


_lock = threading.Lock()
_current: list[Found] = []


@cache
def defaults() -> Thresholds:
    """What is taken where nothing was measured: found on the processors that are named.

    Tiles of float32 reach 145 to 170 GFLOP/s on a core of a Xeon with AVX-512 from (32, 64, 32) up,
    OpenBLAS 75 to 135; from about a thousand in every dimension its copies pay for themselves: 148
    to 124 (2026-11-23). On Zen 4 they do not: (1024, 2048, 2048) on both cores, tiles 208 to 219
    GFLOP/s of 228, OpenBLAS 175 to 204 (EPYC 9004, 2026-11-28). There copies of x^T pay only where
    its rows alias, and long panels from 256 on. Streams: see `numba/streams.py`. A batch of 25
    microseconds was split on a 2-core Xeon (2026-11): the order of magnitude is what matters.
    """
    from .processor import AMD, NAME, VECTOR  # here: it loads the compiler

    streams = VECTOR == 64 and not AMD
    if NAME == "znver4":
        return Thresholds(
            input_blas=NEVER, weight_blas=NEVER, copied_rows=NEVER, aliased_rows=256,
            whole_block=256, streams=streams,
        )  # fmt: skip
    return Thresholds(streams=streams)


def mode() -> str:
    """What LAMINA_THRESHOLDS says: "measured" where it says nothing. Raises: UnknownName."""
    found = os.environ.get("LAMINA_THRESHOLDS") or MODES[0]
    if found not in MODES:
        raise unknown("LAMINA_THRESHOLDS", found, MODES)
    return found


def current() -> Thresholds:
    """Those in force, the same for as long as the process lives. Raises: UnknownName."""
    return (_current[-1] if _current else found()).thresholds


def found() -> Found:
    """Those in force, and where they are from; one warning where a file is not taken."""
    if not _current:
        with _lock:
            if not _current:
                _current.append(_read())
    return _current[-1]


@contextmanager
def using(given: Thresholds) -> Iterator[None]:
    """Has others in force: for measurements and tests. Plans that are there stay as they are."""
    _current.append(Found(given, frozenset(), "given"))
    try:
        yield
    finally:
        _current.pop()


# The file


def machine() -> dict[str, Any]:
    """What the numbers hold for: processor, the target that code is compiled for, cores."""
    from .processor import NAME

    return {"processor": processor(), "target": NAME, "cores": usable_cores()}


def path() -> Path:
    """Where this machine's are kept: it is called by its processor, as a container has no name."""
    here = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(map(str, machine().values())))
    return folder.folder() / f"thresholds-{here}.json"


def problem() -> str:
    """Why there is no file that can be used, in words; an empty text where there is one."""
    made = _look()
    return made if isinstance(made, str) else ""


def save(values: Mapping[str, Any], date: str, evidence: Mapping[str, Any]) -> Path:
    """Keeps what was measured for the processes that start later, whole or not at all.

    values: by the names of `Thresholds`. date: of the measurement. evidence: what it saw, which
    nobody reads here. Raises: TypeError, ValueError for values that are none; OSError.
    """
    replace(defaults(), **values)
    made = {
        "schema": SCHEMA, "date": date, **machine(), "thresholds": dict(values),
        "evidence": dict(evidence),
    }  # fmt: skip
    return folder.write(path(), json.dumps(made, indent=1) + "\n")


def described() -> list[tuple[str, str, str]]:
    """(name, value, "measured" or "default") of those in force."""
    here = found()
    return [
        (name, told(value), "measured" if name in here.measured else "default")
        for name, value in asdict(here.thresholds).items()
    ]


def told(value: float | bool) -> str:
    """A threshold in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "never" if value >= NEVER else f"{value:g}"


def _read() -> Found:
    if mode() == "default":
        return Found(defaults(), frozenset(), "LAMINA_THRESHOLDS=default")
    made = _look()
    if isinstance(made, Found):
        return made
    if made != ABSENT:
        warnings.warn(
            f"{path()}: {made}; the defaults are used. To measure anew: {COMMAND}",
            RuntimeWarning, stacklevel=4,
        )  # fmt: skip
    return Found(defaults(), frozenset(), f"not measured: {COMMAND}")


def _look() -> Found | str:
    """What the file says, or what is wrong with it."""
    try:
        text = folder.read(path())
    except FileNotFoundError:
        return ABSENT
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    except ValueError:
        return "it is damaged"
    try:
        made = json.loads(text)
        if made["schema"] != SCHEMA:
            return f"it has schema {made['schema']!r}, this version reads {SCHEMA}"
        here, there = machine(), {name: made[name] for name in machine()}
        if there != here:
            told = (", ".join(map(str, one.values())) for one in (there, here))
            return "it was measured on {}; this is {}".format(*told)
        values = dict(made["thresholds"])
        return Found(
            replace(defaults(), **values), frozenset(values), f"measured on {made['date']!s:.40}"
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return "it is damaged"
