"""Who may use what a model has once: a binding, and the right to train it."""

from __future__ import annotations

import threading

from ..backends.contract import Binding
from ..kernels.errors import ModelBusy


class Lease:
    """A binding that is nobody else's until it is given back; one that is not is forgotten."""

    __slots__ = ("_free", "binding")

    def __init__(self, binding: Binding, free: list[Binding]) -> None:
        self.binding = binding
        self._free = free

    def close(self) -> None:
        """Gives the binding back; once."""
        self._free.append(self.binding)

    def __enter__(self) -> Binding:
        return self.binding

    def __exit__(self, *details: object) -> None:
        self.close()


class RightToTrain:
    """The right to train a model: of one thread at a time, which may train within its training.

    Another thread is refused, not kept waiting: a callback may wait for that thread.
    lock: what `fit` and single steps take and give back themselves, without waiting, in a third of
    the time of a `with`. fits: how many are under way, each within a callback of the one before.
    """

    __slots__ = ("fits", "lock")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.fits = 0

    def __enter__(self) -> None:
        if not self.lock.acquire(False):
            raise busy()

    def __exit__(self, *details: object) -> None:
        self.lock.release()


def busy() -> ModelBusy:
    """What is raised where another thread has the right."""
    return ModelBusy(
        "another thread is training this model: train it in one thread at a time, or train a copy,"
        " copy.deepcopy(model)"
    )
