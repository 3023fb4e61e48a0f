"""What a training tells: the history, and lines on the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..kernels.errors import BadInput

PLAIN_LINES = 20  # where there is no terminal, at most about so many lines a fit


@dataclass
class History:
    """What one call of `fit` measured.

    history: name -> one number per epoch. "loss" and training metrics are running means over the
        epoch, each batch taken before its update; "val_..." are taken after the epoch.
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


def describe(values: Mapping[str, float]) -> str:
    """`loss 0.1234  accuracy 0.9700`."""
    return "  ".join(f"{name} {value:.4f}" for name, value in values.items())


class Silent:
    """Says nothing."""

    def batches(self, seen: int, values: Mapping[str, float]) -> None:
        """Some batches of an epoch are done."""

    def epoch(self, number: int, seconds: float, values: Mapping[str, float]) -> None:
        """An epoch is done."""

    def close(self) -> None:
        """The training is done."""


class Lines(Silent):
    """Plain lines, for files and pipes: every epoch of a short training, some of a long one."""

    def __init__(self, epochs: int, rows: int) -> None:
        self.epochs, self.rows, self.count = epochs, rows, 0
        self.every = max(1, epochs // PLAIN_LINES)

    def epoch(self, number: int, seconds: float, values: Mapping[str, float]) -> None:
        """Prints a line when it is due."""
        self.count += 1
        if self.count % self.every == 0 or self.count in (1, self.epochs):
            line = f"epoch {self.count}/{self.epochs}  {describe(values)}"
            line += f"  {seconds:.2f} s"
            if self.rows and seconds > 0:  # batches that come one by one are not counted before
                line += f"  {self.rows / seconds:,.0f} examples/s"
            print(line, flush=True)


class Bar(Silent):
    """One progress line on a terminal: loss, metrics, examples per second, time left."""

    def __init__(self, epochs: int, rows: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.epochs, self.rows, self.done = epochs, rows, 0
        self.start = time.perf_counter()
        self.progress = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[values]}  {task.fields[rate]:,.0f} examples/s"),
            TimeRemainingColumn(compact=True),
        )
        fields: dict[str, Any] = {"epoch": 1, "epochs": epochs, "values": "", "rate": 0.0}
        self.task = self.progress.add_task("", total=epochs * rows or None, **fields)
        self.progress.start()

    def _show(self, seen: int, values: Mapping[str, float]) -> None:
        total = self.done * self.rows + seen
        rate = total / max(time.perf_counter() - self.start, 1e-9)
        number = min(self.done + 1, self.epochs)
        self.progress.update(
            self.task, completed=total, epoch=number, values=describe(values), rate=rate
        )

    def batches(self, seen: int, values: Mapping[str, float]) -> None:
        """Moves the line within an epoch."""
        self._show(seen, values)

    def epoch(self, number: int, seconds: float, values: Mapping[str, float]) -> None:
        """Moves the line to the epoch's end."""
        self.done += 1
        self._show(0, values)

    def close(self) -> None:
        """Leaves the line as it is."""
        self.progress.stop()


def check_verbose(verbose: object) -> None:
    """Raises BadInput for a word that is none."""
    if isinstance(verbose, str) and verbose != "auto":
        raise BadInput(f'verbose is "auto", True or False, not {verbose!r}')


def reporter(verbose: bool | int | str, epochs: int, rows: int) -> Silent:
    """What shows the training: "auto" is a line on a terminal and plain lines elsewhere."""
    if verbose is False or verbose == 0 or epochs == 0:
        return Silent()
    return Bar(epochs, rows) if sys.stdout.isatty() else Lines(epochs, rows)
