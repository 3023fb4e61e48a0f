"""Two trees of lamina in turn: whether they answer alike, and what got slower beyond the spread.

    python benchmarks/maintenance/trees.py OLD NEW [--rounds 5] [--peer jax] [--keep FOLDER]

OLD and NEW are checkouts, or virtual environments in which lamina is installed. First both train
the same networks, and what they learnt is compared. Then each piece of work (a network beside the
peers, an operation of the suite, an import, a first training) runs in a new process of the one tree
and then of the other, round after round, so that a drift of the machine and the layout of a
process's memory hit both. Every piece is measured by the tree's own `lamina bench`, which checks
before it times. Peers run the same code on both sides: where they changed, the machine did.

Exit code: 0 nothing slower, 1 something slower, wrong or answered otherwise, 2 bad input.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from lamina.benchmarks.commands.compare import summary
from lamina.benchmarks.comparison import Comparison, compare
from lamina.benchmarks.memory_layout import padding
from lamina.benchmarks.networks import NETWORKS, Network
from lamina.benchmarks.peers.peer import OWN, PREPARED
from lamina.benchmarks.result import Result, Row
from lamina.benchmarks.spread import Spread, between
from lamina.benchmarks.suite import QUICK_OPS
from lamina.benchmarks.words import seconds
from lamina.core.command.console import FAILED, honest
from lamina.kernels.errors import BadInput, LaminaError, unknown
from rich.console import Console
from rich.table import Table

PARTS = ("training", "inference", "operations", "import", "warm", "cold")
SIZES = (30_000, 1_000_000)  # elements of an operation
IMPORTS, WARM_FITS = 9, 3  # processes a round; a cold one compiles, so there is one
AGREES = {"float32": 1e-3, "float64": 1e-8}  # of weights after three epochs, where bits differ

# What the trees are asked is in public names alone, so that trees of different shapes can answer.
DIGITS = """
import lamina as lm

def classifier(backend, dtype):
    layers = [lm.Dense(64, activation="relu"), lm.Dropout(0.1), lm.Dense(10, activation="softmax")]
    return lm.Sequential(
        layers, "cross_entropy", lm.Adam(1e-3), ("accuracy",), backend, dtype=dtype, seed=0
    )
"""
ANSWER = f"""{DIGITS}
import sys
import numpy as np

file, backend, dtype = sys.argv[1:]
x, y, x_test, y_test = lm.datasets.load("digits")
model = classifier(backend, dtype)
history = model.fit(x, y, 3, 50, validation_data=(x_test, y_test), verbose=0)
numbers = [*history.history["loss"], *history.history["val_loss"]]
np.savez(file, np.array(numbers, dtype), model.predict(x_test), *model.get_weights())
"""
IMPORT = """
import time
start = time.perf_counter()
import lamina
print(time.perf_counter() - start)
"""
NAMES = """
import time
start = time.perf_counter()
import lamina
lamina.Sequential, lamina.Dense, lamina.datasets
print(time.perf_counter() - start)
"""
FIRST_FIT = f"""
import sys, time
start = time.perf_counter()
{DIGITS}
x, y, *_ = lm.datasets.load("digits")
classifier(sys.argv[1], "float32").fit(x, y, 1, verbose=0)
print(time.perf_counter() - start)
"""


@dataclass(frozen=True)
class Tree:
    """One side: the interpreter, and the folder in front of its path ("" for what is installed).

    label: "old" or "new". work: a folder of its own, with the machine code that it compiled.
    """

    label: str
    python: str
    path: str
    work: Path

    @classmethod
    def of(cls, label: str, place: Path, python: str, work: Path) -> Tree:
        """The tree at a place. Raises: BadInput for what is none."""
        own = work / label
        own.mkdir(parents=True, exist_ok=True)
        interpreter = place / "bin" / "python"
        if interpreter.is_file():
            return cls(label, str(interpreter.absolute()), "", own)
        found = next((p for p in (place, place / "lamina") if (p / "__main__.py").is_file()), None)
        if found is None:
            raise BadInput(f"{place} is neither a checkout nor a virtual environment")
        link = own / "lamina"  # a checkout may have any name
        link.unlink(missing_ok=True)
        link.symlink_to(found.resolve())
        return cls(label, python, str(own), own)

    def process(self, *arguments: str, cache: Path | None = None) -> str:
        """What a new process of the tree prints. Raises: LaminaError where it fails."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if name == "LAMINA_THREADS" or not name.startswith(("LAMINA_", "PYTHONPATH"))
        }
        environment |= {"LAMINA_CACHE_DIR": str(cache or self.work / "cache"), "PAD": padding()}
        if self.path:
            environment["PYTHONPATH"] = self.path
        done = subprocess.run(
            [self.python, *arguments], env=environment, cwd=self.work, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        if done.returncode not in (0, FAILED) or (done.returncode and arguments[0] == "-c"):
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise LaminaError(f"{self.label}: {' '.join(arguments[1:])[:80]!r} failed: {last}")
        return done.stdout

    def bench(self, *arguments: str) -> Result:
        """What `lamina bench` with these arguments found; rows that are wrong are among it."""
        file = self.work / "piece.json"
        file.unlink(missing_ok=True)
        self.process("-m", "lamina", "bench", *arguments, "--json", str(file))
        found = Result.read(file)
        found.environment["variables"].pop("LAMINA_CACHE_DIR", None)  # each tree has its own
        return found


Piece = tuple[str, Callable[[Tree], Result]]  # a name, and what measures it


@dataclass(frozen=True)
class Options:
    """What is measured; see the command's help."""

    parts: Sequence[str]
    networks: Sequence[str]
    ops: Sequence[str]
    sizes: Sequence[int]
    peers: Sequence[str]
    backends: Sequence[str]
    rounds: int

    def pieces(self) -> Iterator[Piece]:
        """Every piece of work of the chosen parts."""
        backends = [word for name in self.backends for word in ("--backend", name)]
        peers = [word for name in self.peers for word in ("--peer", name)]
        for mode in ("training", "inference"):
            for network in self.networks if mode in self.parts else ():
                words = ["peers", network, "--mode", mode, "--rounds", "5", *peers, *backends]
                yield f"{mode}, {network}", partial(_bench, words)
        sizes = [word for size in self.sizes for word in ("--size", str(size))]
        for op in self.ops if "operations" in self.parts else ():
            yield op, partial(_bench, ["--quick", "--op", op, *sizes, *backends])
        if "import" in self.parts:
            yield "import", _imports
        for name in self.backends:
            if "warm" in self.parts:
                yield f"first fit, warm, {name}", partial(_first_fit, name, False)
            if "cold" in self.parts:
                yield f"first fit, cold, {name}", partial(_first_fit, name, True)


def _bench(words: Sequence[str], tree: Tree) -> Result:
    return tree.bench(*words)


def _start(case: str, backend: str, timed: Callable[[], str], processes: int) -> Row:
    """A row about a process's first moments, of a kind that no command of lamina writes."""
    found = tuple(float(timed().split()[-1]) for _ in range(processes))
    return Row("start", case, backend, OWN, seconds=found)


def _imports(tree: Tree) -> Result:
    rows = [
        _start(case, "python", partial(tree.process, "-c", code), IMPORTS)
        for case, code in (("import lamina", IMPORT), ("import lamina, its names", NAMES))
    ]
    return Result("start", {}, rows)


def _first_fit(backend: str, cold: bool, tree: Tree) -> Result:
    """From a bare interpreter to the end of an epoch of the digits."""

    def timed() -> str:
        if not cold:
            return tree.process("-c", FIRST_FIT, backend)
        with tempfile.TemporaryDirectory(dir=tree.work) as empty:
            return tree.process("-c", FIRST_FIT, backend, cache=Path(empty))

    case = f"first fit of the digits, {'cold' if cold else 'warm'} cache"
    if not cold:
        timed()  # compiles, where the tree has not done so
    return Result("start", {}, [_start(case, backend, timed, 1 if cold else WARM_FITS)])


def answers(tree: Tree, backend: str, dtype: str) -> list[np.ndarray]:
    """Losses, predictions and weights after three epochs of the digits."""
    file = tree.work / "answer.npz"
    tree.process("-c", ANSWER, str(file), backend, dtype)
    with np.load(file) as found:
        return [found[name] for name in found.files]


def difference(old: Sequence[np.ndarray], new: Sequence[np.ndarray]) -> float:
    """The largest distance of two arrays, relative to the old one's norm; 0.0: the same bits."""
    if [(a.shape, a.dtype) for a in old] != [(b.shape, b.dtype) for b in new]:
        return math.inf
    if all(a.tobytes() == b.tobytes() for a, b in zip(old, new, strict=True)):
        return 0.0
    far = [
        float(np.linalg.norm(b - a)) / max(float(np.linalg.norm(a)), 1e-30)
        for a, b in zip(old, new, strict=True)
    ]
    return max(sys.float_info.min, *(d if math.isfinite(d) else math.inf for d in far))


def check_answers(trees: Sequence[Tree], backends: Sequence[str], identical: bool) -> list[str]:
    """How the trees' answers compare, in sentences. Raises: LaminaError where they disagree."""
    told = []
    for backend in backends:
        for dtype, allowed in AGREES.items():
            off = difference(*(answers(tree, backend, dtype) for tree in trees))
            where = f"{backend}, {dtype}"
            if off > (0.0 if identical else allowed):
                raise LaminaError(f"{where}: the trees' answers differ by {off:.1e}: not timed")
            told.append(f"{where}: {'bit-identical' if not off else f'differ by {off:.1e}'}")
    return told


@dataclass
class Runs:
    """What was measured: for each side one result a round."""

    results: dict[str, list[Result]] = field(default_factory=dict)

    def measure(
        self, trees: Sequence[Tree], options: Options, progress: Callable[[str], None]
    ) -> None:
        """All rounds; who comes first changes from round to round."""
        pieces = list(options.pieces())
        for number in range(options.rounds):
            here = {tree.label: Result("trees", {}) for tree in trees}
            for name, measured in pieces:
                for tree in trees if number % 2 == 0 else reversed(trees):
                    progress(f"round {number + 1} of {options.rounds}: {name}, {tree.label}")
                    found = measured(tree)
                    here[tree.label].rows += found.rows
                    here[tree.label].environment.update(found.environment)
            for label, result in here.items():
                self.results.setdefault(label, []).append(result)

    def compared(self, threshold: float) -> Comparison:
        """By what `lamina bench compare` goes by. Raises: BadInput."""
        old, new = self.results["old"], self.results["new"]
        return compare(old, new, Spread.read(), threshold=threshold)

    def deviation(self, key: str, label: str) -> float:
        """How much a row's median varies from run to run: the standard deviation of its log."""
        medians = [
            math.log(row.median)
            for result in self.results[label]
            for row in result.rows
            if row.key == key and row.seconds
        ]
        return math.sqrt(between(medians).value)


def is_control(key: str) -> bool:
    """Whether a row is of a peer, which is the same code in both trees."""
    kind, *_, variant = key.split("/")
    return kind in ("training", "inference") and variant not in (OWN, PREPARED)


def slower(found: Comparison) -> list[str]:
    """The rows of lamina that got slower or wrong."""
    keys = [change.key for change in found.called("slower")] + found.broken
    return [key for key in keys if not is_control(key.partition(": ")[0])]


def table(runs: Runs, found: Comparison, control: bool) -> Table:
    """Medians of both, their spread from run to run, and the ratio; largest changes first."""
    title = "peers: a change is the machine's" if control else "lamina"
    made = Table(title=title, title_justify="left")
    made.add_column("row", overflow="fold", min_width=30)
    for name in ("old", "±", "new", "±", "new : old", "visible from", ""):
        made.add_column(name, justify="right", no_wrap=True)
    for change in found.changes:
        if is_control(change.key) == control:
            made.add_row(
                change.key, seconds(change.old), f"{runs.deviation(change.key, 'old'):.1%}",
                seconds(change.new), f"{runs.deviation(change.key, 'new'):.1%}",
                f"{change.ratio:.3f}", f"{min(change.visible, 99.0):.2f}",
                "" if change.verdict == "same" else change.verdict,
            )  # fmt: skip
    return made


def report(runs: Runs, threshold: float, console: Console) -> int:
    """Prints the tables and the outcome; the exit code."""
    found = runs.compared(threshold)
    for note in found.notes:
        console.print(f"differs: {note}", markup=False, highlight=False)
    for control in (False, True):
        made = table(runs, found, control)
        if made.row_count:
            console.print(made)
    rows = [row for results in runs.results.values() for r in results for row in r.rows]
    untimed = {f"{row.key}: {row.status}, {row.reason}": None for row in rows if not row.seconds}
    gone = [f"only in {side}: {key}" for side, keys in
            (("old", found.only_old), ("new", found.only_new)) for key in keys]  # fmt: skip
    worse = slower(found)
    for line in (*untimed, *gone, *summary(found), *(f"WORSE: {key}" for key in worse)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return FAILED if worse else 0


app = typer.Typer(add_completion=False)
Names = list[str] | None


@app.command()
def main(
    old: Annotated[Path, typer.Argument(help="A checkout or a virtual environment.")],
    new: Annotated[Path, typer.Argument(help="Another.")],
    rounds: Annotated[int, typer.Option(min=2, help="Runs of each tree.")] = 5,
    only: Annotated[Names, typer.Option(help=f"Of {', '.join(PARTS)}; all if none.")] = None,
    network: Annotated[
        Names, typer.Option(help="784-128-10:64 and the like; seven if none.")
    ] = None,
    op: Annotated[Names, typer.Option(help="Of the suite's; its quick ones if none.")] = None,
    size: Annotated[list[int] | None, typer.Option(help="Elements of an operation.")] = None,
    peer: Annotated[Names, typer.Option(help="As controls; NumPy by hand if none.")] = None,
    backend: Annotated[Names, typer.Option(help="numpy and numba if none.")] = None,
    threshold: Annotated[float, typer.Option(min=0.0, help="Percent; smaller is no change.")] = 0.0,
    identical: Annotated[bool, typer.Option("--identical", help="Answers to the bit.")] = False,
    python: Annotated[str, typer.Option(help="The interpreter of checkouts.")] = sys.executable,
    keep: Annotated[
        Path | None, typer.Option(help="A new folder for results and compiled code.")
    ] = None,
) -> None:
    """Runs two trees in turn, compares their answers and then their times."""
    with honest(), tempfile.TemporaryDirectory() as temporary:
        for name in only or ():
            if name not in PARTS:
                raise unknown("part", name, PARTS)
        options = Options(
            only or PARTS, network or [_argument(n) for n in NETWORKS], op or QUICK_OPS,
            size or SIZES, peer or ["numpy"], backend or ["numpy", "numba"], rounds,
        )  # fmt: skip
        work, console = keep or Path(temporary), Console()
        if not console.is_terminal:  # a file or a pipe has no width of its own
            console = Console(width=130)
        trees = [
            Tree.of(label, place, python, work.absolute())
            for label, place in (("old", old), ("new", new))
        ]
        runs = Runs()
        with Console(stderr=True).status("answers") as status:
            for line in check_answers(trees, options.backends, identical):
                console.print(line)
            runs.measure(trees, options, status.update)
        if keep is not None:
            for label, results in runs.results.items():
                for number, result in enumerate(results, 1):
                    result.write(keep / label / f"{number}.json")
        raise typer.Exit(report(runs, threshold, console))


def _argument(network: Network) -> str:
    """A network as the command line names it."""
    return f"{network.name}:{network.batch}:{network.activation}"


if __name__ == "__main__":
    app()
