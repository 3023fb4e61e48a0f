"""Networks that are used in turn: what fits are run by, and predictions.

A network's programs and plans take longer to make than a small fit takes. So an estimator owns
arrays alone, and borrows a network of its description; a grid search makes one for each structure.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from ...backends.selection import Choice, preferred
from ..model import Sequential
from ..optimizers import Optimizer
from .costs import Cost
from .networks import LOSSES, Description

KEPT = 16  # networks
LARGEST = 1 << 17  # numbers of a network that is worth keeping


@dataclass(frozen=True)
class Work:
    """What a network is wanted for.

    cost: what it lowers, or None for predictions, which any will do for. optimizer: by which rule;
    None where SciPy does that.
    """

    description: Description
    cost: Cost | None = None
    optimizer: Optimizer | None = None


class Workshop:
    """Networks that nobody uses now, those used last at the end."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.idle: list[tuple[Work, Sequential]] = []

    @contextmanager
    def borrowed(
        self,
        work: Work,
        backend: Choice,
        segments: Mapping[str, np.ndarray],
        shared: bool = True,
    ) -> Iterator[Sequential]:
        """A network on that backend with these numbers, which is nobody else's meanwhile.

        segments: parameters, and the optimizer's slots where they are not zero. shared: whether it
        may have been used before, and will be again. One that raised is not.
        Raises: UnknownName, BackendUnavailable.
        """
        chosen = preferred(backend)
        shared = shared and not chosen.open  # what was measured may still move it elsewhere
        kind, model = work, None
        if work.optimizer is not None:
            kind = replace(work, optimizer=replace(work.optimizer, learning_rate=0.0))
        if shared:
            kind, model = self._taken(kind, chosen.backend)
        if model is None:
            loss = work.cost or LOSSES[work.description.last]
            model = work.description.made(loss, work.optimizer or "sgd", backend)
        state = model.state
        state.write("parameters", segments["parameters"])
        if work.optimizer is not None:
            model.optimizer = work.optimizer
            for name in work.optimizer.segments():
                given = segments.get(name)
                state.write(name, np.zeros(state.layout.length(name)) if given is None else given)
        yield model
        if shared and state.layout.length("parameters") <= LARGEST:
            forget_rows(model)
            with self.lock:
                self.idle.append((kind, model))
                del self.idle[:-KEPT]

    def _taken(self, wanted: Work, backend: object) -> tuple[Work, Sequential | None]:
        """A network, and what it was made for."""
        with self.lock:
            for at in range(len(self.idle) - 1, -1, -1):
                kind, model = self.idle[at]
                fits = kind == wanted or wanted.cost is None
                if fits and kind.description == wanted.description and model.backend is backend:
                    del self.idle[at]
                    return kind, model
        return wanted, None


def forget_rows(model: Sequential) -> None:
    """Lets go of the data that programs were bound to last, and of what was told of it."""
    session = model.session
    model.history = None
    session.forget_data()
    model.prepare().forget_data()


workshop = Workshop()
