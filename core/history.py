"""What a training tells: the history, and lines on the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..kernels.compilation import clock
from ..kernels.errors import BadInput

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

GAP = "  "  # between the parts of the progress line
ALWAYS = 2  # parts of it that are never dropped: the epoch and the loss
BAR, BAR_LEAST, BAR_MOST = "bar", 6, 24
PLAIN_LINES = 20  # where there is no terminal, at most about so many lines a fit


@dataclass
class History:
    """What one call of `fit` measured.

    history: name -> one number per epoch. "loss" and training metrics are running means over the
        epoch, each batch taken before its update; "val_..." are taken after the epoch, and so are
        metrics from whole predictions, which may be arrays, such as a confusion matrix.
    epochs: the numbers of the epochs, counted over the model's life from 1. seconds: per epoch.
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    epochs: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, epoch: int, seconds: float, values: Mapping[str, float]) -> None:
        """Appends one epoch: its number (from 1), its seconds, and its values by name."""
        self.epochs.append(epoch)
        self.seconds.append(seconds)
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)

    def _repr_html_(self) -> str:
        from . import notebook

        last = numbers({name: values[-1] for name, values in self.history.items()})
        told = (f"{value:.4f}" for value in last.values())
        return notebook.curves(self, [("epoch", *last), (str(len(self.epochs)), *told)])


def numbers(values: Mapping[str, float]) -> dict[str, float]:
    """The values that are numbers, not arrays such as a confusion matrix."""
    return {name: value for name, value in values.items() if not hasattr(value, "shape")}


def describe(values: Mapping[str, float]) -> str:
    """`loss 0.1234  accuracy 0.9700`."""
    return "  ".join(f"{name} {value:.4f}" for name, value in values.items())


class Reporter:
    """What shows a training while it runs; this one, the base of the others, shows nothing."""

    def batches(self, seen: int, values: Mapping[str, float]) -> None:
        """Some batches of an epoch are done."""

    def epoch(self, number: int, seconds: float, values: Mapping[str, float]) -> None:
        """An epoch is done."""

    def close(self) -> None:
        """The training is done."""


class Lines(Reporter):
    """Plain lines, for files and pipes: every epoch of a short training, some of a long one.

    before: epochs of the model's life that are done; epochs: how many are to come.
    """

    def __init__(self, epochs: int, rows: int, before: int = 0) -> None:
        self.rows, self.first, self.last = rows, before + 1, before + epochs
        self.every = max(1, epochs // PLAIN_LINES)

    def epoch(self, number: int, seconds: float, values: Mapping[str, float]) -> None:
        """Prints a line when it is due."""
        count = number - self.first + 1
        if count % self.every == 0 or number in (self.first, self.last):
            line = f"epoch {number}/{self.last}  {describe(values)}"
            line += f"  {seconds:.2f} s"
            if self.rows and seconds > 0:  # batches that come one by one are not counted before
                line += f"  {self.rows / seconds:,.0f} examples/s"
            print(line, flush=True)


@dataclass(frozen=True)
class Piece:
    """A part of the progress line. rank: its importance, 0 the greatest."""

    rank: int
    text: str
    style: str = ""


def fitted(pieces: Sequence[Piece], width: int) -> list[Piece]:
    """The pieces that a width has room for, in their order: the least important go first.

    The two of the greatest importance always stay.
    """
    kept: list[Piece] = []
    used = -len(GAP)
    for piece in sorted(pieces, key=lambda piece: piece.rank):
        used += len(GAP) + len(piece.text)
        if used > width and len(kept) >= ALWAYS:
            break
        kept.append(piece)
    return [piece for piece in pieces if piece in kept]


def minutes(seconds: float) -> str:
    """`1:05`, or `2:00:09`."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


class Progress(Reporter):
    """How far a training is, and the words for it; what shows them derives from it."""

    def __init__(self, epochs: int, rows: int, before: int = 0) -> None:
        self.epochs, self.rows, self.before = epochs, rows, before
        self.done, self.seen, self.rows_before = 0, 0, 0
        self.values: Mapping[str, float] = {}
        self.start, self.spent = clock(), 0.0

    def batches(self, seen: int, values: Mapping[str, float]) -> None:
        """Moves the line within an epoch."""
        self.seen, self.values = seen, values
        self.spent = clock() - self.start  # here, not where it is drawn, in another thread

    def epoch(self, number: int, seconds: float, values: Mapping[str, float]) -> None:
        """Moves the line to the epoch's end."""
        self.rows_before += self.rows or self.seen
        self.done += 1
        self.batches(0, values)

    def pieces(self) -> list[Piece]:
        """All parts of the line, from left to right."""
        last = str(self.before + self.epochs)
        number = min(self.before + self.done + 1, self.before + self.epochs)
        found = [
            Piece(0, f"epoch {number:>{len(last)}}/{last}"),
            Piece(3, " " * BAR_LEAST, BAR),
        ]
        values = [f"{name} {value:.4f}" for name, value in self.values.items()]
        found += [Piece(3 + at if at else 1, text) for at, text in enumerate(values)]
        if self.spent > 0 and self.values:
            rate = (self.rows_before + self.seen) / self.spent
            found.append(Piece(1000, f"{rate:,.0f} examples/s", "dim"))
        if self.done == self.epochs:
            found.append(Piece(2, f"in {minutes(self.spent)}", "cyan"))
        elif share := self.share():
            left = self.spent * (1.0 - share) / share
            found.append(Piece(2, f"{minutes(left)} left", "cyan"))
        return found

    def share(self) -> float:
        """How much of the training is done."""
        return (self.done + (self.seen / self.rows if self.rows else 0.0)) / self.epochs


class Bar(Progress):
    """One progress line on a terminal, as much of it as there is room for."""

    def __init__(self, epochs: int, rows: int, before: int = 0) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(epochs, rows, before)
        self.live = Live(self, console=Console(), refresh_per_second=10)
        self.live.start()

    def close(self) -> None:
        """Leaves the line as it is."""
        self.live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        from rich.text import Text

        line = Text(no_wrap=True, overflow="ellipsis", end="")
        kept = fitted(self.pieces(), options.max_width)
        room = options.max_width - sum(len(p.text) for p in kept) - len(GAP) * (len(kept) - 1)
        for number, piece in enumerate(kept):
            line.append(GAP if number else "")
            if piece.style != BAR:
                line.append(piece.text, piece.style)
                continue
            width = min(BAR_LEAST + max(room, 0), BAR_MOST)
            full = int(width * self.share())
            mark = "-" if options.ascii_only else "━"
            line.append(mark * full, "bar.complete")
            # without colours the rest of the bar would look like what is done
            plain = console.no_color or console.color_system is None
            line.append((" " if plain else mark) * (width - full), "bar.back")
        yield line


class Cell(Progress):
    """One progress line below a notebook's cell."""

    def __init__(self, epochs: int, rows: int, before: int = 0) -> None:
        from IPython.display import display

        super().__init__(epochs, rows, before)
        self.drawn = self.start
        self.handle = display(self, display_id=True)

    def batches(self, seen: int, values: Mapping[str, float]) -> None:
        """Moves the line, ten times a second at most."""
        super().batches(seen, values)
        if self.spent + self.start - self.drawn > 0.1:
            self.drawn = self.spent + self.start
            self.handle.update(self)

    def close(self) -> None:
        """Leaves the line as it is."""
        self.handle.update(self)

    def __repr__(self) -> str:
        return GAP.join(piece.text for piece in self.pieces() if piece.style != BAR)

    def _repr_html_(self) -> str:
        from .markup import element

        bar = element(
            "progress", value=f"{self.share():.3f}", max=1, style="vertical-align: middle"
        )
        return element("span", bar, " ", repr(self), style="font-variant-numeric: tabular-nums")


def in_notebook() -> bool:
    """Whether a Jupyter kernel shows what this process displays."""
    found = sys.modules.get("IPython")
    shell = found.get_ipython() if found is not None else None
    return shell is not None and hasattr(shell, "kernel")


def check_verbose(verbose: object) -> None:
    """Raises BadInput for a word that is none."""
    if isinstance(verbose, str) and verbose != "auto":
        raise BadInput(f'verbose is "auto", True or False, not {verbose!r}')


def reporter(verbose: bool | int | str, epochs: int, rows: int, before: int) -> Reporter:
    """What shows the training: "auto" is a line on a terminal and plain lines elsewhere.

    before: the epochs that the model has behind it; they are counted over its life.
    """
    if verbose is False or verbose == 0 or epochs == 0 or sys.stdout is None:
        return Reporter()
    if in_notebook():
        return Cell(epochs, rows, before)
    drawn = sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    return (Bar if drawn else Lines)(epochs, rows, before)
