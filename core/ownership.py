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


class Training:
    """The right to train a model: of one thread at a time, which may train within its training.

    Another thread is refused, not kept waiting: a callback may wait for that thread.
    lock: what a single step takes and gives back itself, without waiting, in a third of the time
    of a `with`.
    """

    __slots__ = ("_depth", "lock")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._depth = 0

    @property
    def nested(self) -> bool:
        """Whether this is a training within another one, for who has the right."""
        return self._depth > 1

    def __enter__(self) -> None:
        if not self.lock.acquire(False):
            raise busy()
        self._depth += 1

    def __exit__(self, *details: object) -> None:
        self._depth -= 1
        self.lock.release()


def busy() -> ModelBusy:
    """What is raised where another thread has the right."""
    return ModelBusy(
        "another thread is training this model: train it in one thread at a time, or train a copy,"
        " copy.deepcopy(model)"
    )
