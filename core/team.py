"""Who trains a model: one process, or several that agree on every decision."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..backends.state import Control
from .callbacks import Callback, Listeners
from .examples import Examples
from .interrupt import Interrupt

if TYPE_CHECKING:
    from .model import Sequential

T = TypeVar("T")


class Team:
    """One process, which does everything itself; `Distributed` is of several.

    rank: which process this is, from 0. ranks: how many there are.
    """

    rank = 0
    ranks = 1

    def brief(self) -> str:
        """In words."""
        return "one process"

    def working(self) -> AbstractContextManager[object]:
        """While this lasts, the processes work together."""
        return nullcontext()

    def interrupt(self) -> Interrupt:
        """Ctrl-C, kept until all are between two steps."""
        return Interrupt()

    def same(self, value: T) -> T:
        """What the first process has, for all."""
        return value

    def checked(self, prepare: Callable[[], T]) -> T:
        """What each process prepares for itself; where that fails in one, all know why."""
        return prepare()

    def raised(self, error: BaseException) -> BaseException:
        """An error that all processes raise now."""
        return error

    def act(self, model: Sequential, action: Callable[[], object]) -> None:
        """Does what only one process may do, such as to write; what it changed changes for all."""
        action()

    def told(self, model: Sequential, hooked: tuple[Callback, ...]) -> Listeners:
        """Who is told of every batch."""
        return Listeners(model, hooked)

    def measured(self, model: Sequential, examples: Examples) -> Control:
        """The sums of loss and metrics over all rows."""
        return model.session.measured(examples)

    def predicted(self, model: Sequential, x: np.ndarray) -> np.ndarray:
        """The prediction of checked features, (n, outputs)."""
        return model.prepare().run(x)


ALONE = Team()
