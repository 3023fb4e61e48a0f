"""Random graphs of operations, trained as layers and losses, give the oracle's numbers anywhere.

    python benchmarks/maintenance/random_graphs.py [--count 500] [--seed 0] [--backend numba]

Each graph stands in a small network. Its cost, gradients and predictions, and what plain gradient
descent makes of it in batches of which the last is smaller, with weights of rows, are held to the
references in float64 (`graph_oracle.py` says how exactly), the gradients to differences of the
cost. The numba backend computes in both dtypes, on one thread and on two, with everything shared
out that can be; a tenth of the graphs are tried on the other backends too. What fails is shrunk and
printed as Python that can be run; a process that dies is a finding too. The exit code is 1 where
anything was found.
"""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lamina as lm
import numpy as np
from lamina.backends import threads
from lamina.kernels.spec import FLOATS

if TYPE_CHECKING:
    from lamina.benchmarks.maintenance.drawn_graphs import draw
    from lamina.benchmarks.maintenance.graph_oracle import Data, Judgement, Numbers, Oracle
    from lamina.benchmarks.maintenance.graph_shrinking import EPOCHS, RATE, Case, shrunk
else:  # they lie beside this file and are not installed
    from drawn_graphs import draw
    from graph_oracle import Data, Judgement, Numbers, Oracle
    from graph_shrinking import EPOCHS, RATE, Case, shrunk


DEEP = 10  # each so many cases: on the other backends too, and `lm.check_gradients` is asked


@dataclass(frozen=True)
class Finding:
    """Something that is wrong. where: backend, dtype and threads. what: begins with its kind."""

    where: str
    what: str

    @property
    def kind(self) -> tuple[str, str]:
        """What stays the same while a case is shrunk."""
        return self.where, self.what.split(":")[0].split(" of ")[0]

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class Way:
    """How a case is computed. backend: a name or a device. threads: None where one is all."""

    backend: Any
    dtype: str
    threads: int | None = None

    def __str__(self) -> str:
        count = f" {self.threads} threads" if self.threads else ""
        return f"{getattr(self.backend, 'name', self.backend)} {self.dtype}{count}"


def ways(backend: str) -> list[Way]:
    """The ways to try on a backend."""
    counts: tuple[int | None, ...] = (1, 2) if backend == "numba" else (None,)
    return [Way(backend, dtype, count) for dtype in reversed(FLOATS) for count in counts]


@contextmanager
def on(count: int | None) -> Iterator[None]:
    """So many threads, and work shared out between them that is not worth it."""
    if count is None:
        yield
        return
    from lamina.backends.native import lowering
    from lamina.kernels import thresholds

    before = threads.count(), lowering.SHARED_ELEMENTS
    lm.set_threads(count)
    lowering.SHARED_ELEMENTS = 0
    try:
        with thresholds.using(replace(thresholds.current(), split_seconds=0.0)):
            yield
    finally:
        lm.set_threads(before[0])
        lowering.SHARED_ELEMENTS = before[1]


def judged(case: Case, dtype: str) -> tuple[Judgement, Oracle]:
    """What a case must give."""
    data = case.data(dtype)
    model = case.model("numpy", dtype).build(data.x.shape[1:])
    oracle = Oracle(model, data, RATE, EPOCHS)
    return oracle.judge(), oracle


def numbers(model: lm.Sequential, data: Data) -> Numbers:
    """What a model makes of the data, by the oracle's names."""
    found: dict[str, Any] = {}
    given = (data.x, data.y, data.weights)
    found["loss"] = np.asarray(model.evaluate(*given)["loss"])
    for layer, arrays in enumerate(model.gradients(*given)):
        found.update({f"gradient of {layer}.{name}": g for name, g in arrays.items()})
    found["prediction"] = model.predict(data.x)
    found["prediction of one row"] = model.predict(data.x[:1])
    history = model.fit(
        data.x, data.y, epochs=EPOCHS, batch_size=data.batch, shuffle=False,
        sample_weight=data.weights, verbose=0,
    )  # fmt: skip
    found["history"] = np.array(history.history["loss"])
    trained = zip(model.session.names, model.get_weights(), strict=True)
    found.update({f"trained {name}": w for name, w in trained})
    found["later loss"] = np.asarray(model.evaluate(*given)["loss"])
    found["later prediction"] = model.predict(data.x)
    return found


def walked(model: lm.Sequential, capacity: int, outputs: int) -> list[str]:
    """The operations that have no native step, in the programs that a model runs."""
    kinds: tuple[Any, ...] = ("train", "gradients", "evaluate", "predict")
    programs = [model.session.program(kind, capacity, outputs) for kind in kinds]
    lines = [line for p in programs for line in model.backend.compile(p).explain()]
    return sorted({op for _, op, how in lines if how.startswith("walked")})


class Checker:
    """Tries cases. walks: whether an operation that numba walks is a finding.

    seen: operations that were walked, and cases that nothing could be said of, with their number.
    differences: whether `lm.check_gradients` is asked too.
    """

    def __init__(self, tried: list[Way], walks: bool = False, differences: bool = False) -> None:
        self.tried, self.walks, self.differences = tried, walks, differences
        self.walked: Counter[str] = Counter()
        self.loose: Counter[str] = Counter()

    def check(self, case: Case) -> Iterator[Finding]:
        """What is wrong with a case."""
        judgements: dict[str, Judgement] = {}
        for dtype in sorted({way.dtype for way in self.tried}, reverse=True):
            try:
                judgements[dtype], oracle = judged(case, dtype)
            except Exception as error:
                yield Finding(f"graph {dtype}", f"{type(error).__name__}: {error}")
                return
            if judgements[dtype].loose:
                self.loose[dtype] += 1
                del judgements[dtype]
            elif dtype == "float64":
                yield from (Finding("derivatives", what) for what in oracle.differences())
        for way in self.tried:
            with on(way.threads):
                yield from self.compared(case, way, judgements.get(way.dtype))

    def compared(self, case: Case, way: Way, wanted: Judgement | None) -> Iterator[Finding]:
        """What a backend gets wrong. wanted: None where only errors can be found."""
        data = case.data(way.dtype)
        try:
            model = case.model(way.backend, way.dtype).build(data.x.shape[1:])
            if way.backend == "numba":
                ops = walked(model, case.batch, data.y.shape[1])
                self.walked.update(ops)
                if ops and self.walks:
                    yield Finding(str(way), f"walked: {', '.join(ops)}")
            if self.differences and wanted is not None and not wanted.narrow:
                yield from self.by_differences(model, data, way, wanted)
            got = numbers(model, data)
        except lm.DivergenceError as error:
            if wanted is not None:
                yield Finding(str(way), f"DivergenceError: {error}")
            return
        except Exception as error:
            yield Finding(str(way), f"{type(error).__name__}: {error}")
            return
        for name in wanted.numbers if wanted is not None else ():
            what = wanted.difference(name, got[name]) if wanted is not None else ""
            if what:
                yield Finding(str(way), what)

    def by_differences(
        self, model: lm.Sequential, data: Data, way: Way, wanted: Judgement
    ) -> Iterator[Finding]:
        """What `lm.check_gradients` says, with two lengths of a step: one may be over an edge."""
        bad: list[set[str]] = []
        for epsilon in (1e-5, 3e-6):
            check = lm.check_gradients(
                model, data.x, data.y, data.weights, epsilon=epsilon, samples=4, tolerance=1e-4
            )
            bad.append({name for name, error in check.errors.items() if error > check.tolerance})
        for name in sorted(bad[0] & bad[1]):
            if np.abs(wanted.numbers[f"gradient of {name}"]).max() > 1e-3:  # else rounding is all
                yield Finding(str(way), f"check_gradients of {name}: not what differences say")

    def shrink(self, case: Case, finding: Finding) -> Case:
        """The smallest case that fails in the same way."""
        quick = [way for way in self.tried if str(way) == finding.where] or self.tried
        other = Checker(quick, self.walks, self.differences)

        def fails(candidate: Case) -> bool:
            return any(found.kind == finding.kind for found in other.check(candidate))

        return shrunk(case, fails)


def drawn(seed: int, number: int) -> Case:
    """The case of that number: of one seed, always the same."""
    rng = np.random.default_rng([seed, number])
    graph = draw(rng)
    rows, batch = int(rng.integers(5, 14)), int(rng.integers(3, 6))
    if rng.random() < 0.1:  # enough for vectors, tiles and shares of several rows
        rows, batch = int(rng.integers(60, 90)), int(rng.integers(30, 45))
    return Case(graph, rows, batch, bool(rng.random() < 0.6), bool(rng.random() < 0.8), number)


# The command line


@dataclass
class Summary:
    """What was tried, as it goes from one process to another."""

    found: list[str] = field(default_factory=list)
    walked: Counter[str] = field(default_factory=Counter)
    loose: Counter[str] = field(default_factory=Counter)
    ops: Counter[str] = field(default_factory=Counter)
    reached: int = 0

    def add(self, other: Summary) -> None:
        """What another process tried as well."""
        self.found += other.found
        self.walked.update(other.walked)
        self.loose.update(other.loose)
        self.ops.update(other.ops)


def report(case: Case, finding: Finding, checker: Checker | None) -> str:
    """A finding and its case, shrunk where there is a checker to do so, as text."""
    small = checker.shrink(case, finding) if checker is not None else case
    told = [f for f in checker.check(small) if f.kind == finding.kind] if checker else []
    return f"{told[0] if told else finding}\n{small}"


def try_cases(given: argparse.Namespace, log: Path) -> None:
    """Tries cases in this process; the file says how far it came."""
    every = Checker(ways(given.backend), given.native)
    others = [Way(name, "float64") for name in ("numpy", "loops") if name != given.backend]
    deep = Checker([*every.tried, *others], given.native, differences=True)
    deep.walked, deep.loose = every.walked, every.loose
    summary = Summary(walked=every.walked, loose=every.loose)
    for number in range(given.start, given.count):
        summary.reached = number
        log.write_bytes(pickle.dumps(summary))
        case = drawn(given.seed, number)
        summary.ops.update(one.op for one in case.graph.statements)
        checker = deep if number % DEEP == 0 else every
        kinds: set[tuple[str, str]] = set()
        for finding in checker.check(case):
            if finding.kind[1] not in {kind for _, kind in kinds}:  # one way of several is enough
                summary.found.append(f"case {number}: {report(case, finding, checker)}")
            kinds.add(finding.kind)
    summary.reached = given.count
    log.write_bytes(pickle.dumps(summary))


def python(*arguments: object) -> int:
    """The exit code of this tool in another process: negative where a signal ended it."""
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.run(command, check=False).returncode


def dies(case: Case, backend: str) -> bool:
    """Whether a process that tries a case is ended by a signal."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "case"
        file.write_bytes(pickle.dumps(case))
        return python("--backend", backend, "--case", file) < 0


def in_processes(given: argparse.Namespace) -> Summary:
    """Tries all cases, each process as far as it comes."""
    total, start = Summary(), given.start
    while start < given.count:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            code = python(
                "--backend", given.backend, "--seed", given.seed, "--start", start,
                "--count", given.count, "--log", log, *["--native"] * given.native,
            )  # fmt: skip
            part: Summary = pickle.loads(log.read_bytes()) if log.exists() else Summary()
        total.add(part)
        start = part.reached
        if code < 0:
            case = drawn(given.seed, start)
            small = shrunk(case, lambda c: dies(c, given.backend), tries=100)
            finding = Finding(given.backend, f"signal {-code}")
            total.found.append(f"case {start}: {report(small, finding, None)}")
            start += 1
        elif code:
            total.found.append(f"case {start}: the tool ended with exit code {code}")
            break
    return total


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Random graphs of operations, trained.")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="the number of the first case")
    parser.add_argument("--backend", default="numba")
    parser.add_argument("--native", action="store_true", help="what numba walks is a finding")
    parser.add_argument(
        "--only", type=int, default=-1, help="the number of one case to show and try"
    )
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--case", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.log:
        try_cases(given, given.log)
        return 0
    if given.case or given.only >= 0:
        stored = given.case is not None
        case = pickle.loads(given.case.read_bytes()) if stored else drawn(given.seed, given.only)
        found = list(Checker(ways(given.backend), given.native, True).check(case))
        if not stored:
            print(case, *found, sep="\n")
        return int(bool(found))
    total = in_processes(given)
    for text in total.found:
        print(text)
    print(f"{given.count - given.start} graphs, {len(total.found)} findings")
    print("operations:", ", ".join(f"{op} {count}" for op, count in total.ops.most_common()))
    print("too uncertain to compare:", dict(total.loose))
    if total.walked:
        print("walked:", ", ".join(f"{op} {count}" for op, count in total.walked.most_common()))
    return int(bool(total.found))


if __name__ == "__main__":
    sys.exit(main())
