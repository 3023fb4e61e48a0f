"""The process of one peer: reads orders as JSON lines, does them, and answers with a line each.

Between orders it waits for the next line, and its library's threads sleep: each library runs with
its own defaults, undisturbed by its neighbours' pools. (All in one process, the rounds interleaved
in the same way, JAX's whole loop took 11 to 33 % longer on the networks with hidden layers of 256;
two cores of a Xeon, 2026-11-23.)
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..networks import Network
from .masks import pack
from .peer import Peer, Task

QUIET = 0.005  # seconds: a process that spins would use as much processor time
LEAD_IN = 0.25  # seconds: a round of longer units needs no unmeasured unit before it
SAMPLED = 500  # entries of each weight array that are compared


class TimedWorkload:
    """A task made ready, and how many of its units make a round."""

    def __init__(self, peer: Peer, task: Task) -> None:
        self.task, self.workload = task, peer.prepare(task)
        self.grain = self.units = getattr(self.workload, "grain", task.grain)
        self.agreed: Callable[[float], float] = getattr(self.workload, "agreed", float)

    def _time(self, units: int) -> float:
        start = time.perf_counter()
        self.workload.perform(units)
        return self.agreed(time.perf_counter() - start)

    def check(self) -> dict[str, Any]:
        """What is compared with float64, the seconds of the first units, and where they ran."""
        first = self._time(self.grain)
        self.workload.reset()
        told = {"first_call": first, "machine": getattr(self.workload, "machine", "")}
        return {**told, **digest(self.task, self.workload.answer())}

    def warm(self, round_seconds: float) -> None:
        """Sizes a round."""
        self.workload.reset()
        took = self._time(self.units)
        while took < round_seconds:
            wanted = int(1.2 * round_seconds / max(took, 1e-6)) + 1
            self.units *= min(max(wanted, 2), 50)
            took = self._time(self.units)
        self.unit = took / self.units

    def round(self) -> float:
        """The seconds of one unit. Every round starts from the initial weights.

        Else a library would be measured on a network that has long learnt its rows by heart.
        """
        self.workload.reset()
        gc.collect()
        gc.disable()
        try:
            if self.unit * self.grain < LEAD_IN:  # the neighbours left the caches cold
                self._time(self.grain)
            return self._time(self.units) / self.units
        finally:
            gc.enable()

    def accuracy(self) -> float:
        """Of the test set after one training."""
        self.workload.reset()
        self.workload.perform(self.task.grain)
        return self.workload.accuracy()


def digest(task: Task, answer: dict[str, Any]) -> dict[str, Any]:
    """An answer small enough for a line: of the weights, how far some of them moved.

    Numbers are lists; masks of dropout a word, see `masks.pack`.
    """
    found: dict[str, Any] = {
        name: np.ravel(answer[name]).tolist()
        for name in ("losses", "output", "statistics")
        if name in answer
    }
    moved = [
        (np.ravel(new) - np.ravel(old))[:: max(old.size // SAMPLED, 1)]
        for new, old in zip(answer.get("weights", ()), task.weights, strict=False)
    ]
    if moved:
        found["moved"] = np.concatenate(moved).tolist()
    if "masks" in answer:
        found["masks"] = pack(answer["masks"])
    return found


def settle(limit: float = 1.0) -> None:
    """Waits until this process's threads sleep, so that the next peer has the machine."""
    until = time.perf_counter() + limit
    while time.perf_counter() < until:
        before = time.process_time()
        time.sleep(QUIET)
        if time.process_time() - before < QUIET / 5:
            return


def serve(orders: Any, answers: Any) -> None:
    """Until the orders end."""
    timed: TimedWorkload | None = None
    for line in orders:
        order = json.loads(line)
        told: dict[str, Any] = {}
        try:
            if order["do"] == "start":
                timed = None  # the memory of the last task goes first
                gc.collect()
                network = Network(**{**order["network"], "sizes": tuple(order["network"]["sizes"])})
                task = Task(order["mode"], network, order["rows"], order["data"])
                timed = TimedWorkload(Peer(**order["peer"]), task)
                told = timed.check()
            elif timed is not None and order["do"] == "warm":
                timed.warm(order["seconds"])
                told = {"units": timed.units}
            elif timed is not None and order["do"] == "round":
                told = {"seconds": timed.round()}
            elif timed is not None and order["do"] == "accuracy":
                told = {"accuracy": timed.accuracy()}
        except Exception as error:  # whatever a library raises is told, and the others go on
            text = str(error).strip().splitlines() or [""]
            told = {"failed": f"{type(error).__name__}: {text[0]}"}
        settle()
        answers.write(json.dumps(told) + "\n")
        answers.flush()


def main() -> None:
    """Answers go to the standard output; what the libraries print goes to the error stream."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
