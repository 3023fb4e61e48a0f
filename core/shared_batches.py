"""Batches that come one by one, from an iterable of each process, joined to one batch a step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends import batching
from ..backends.parts import Part
from ..backends.state import Control
from ..kernels.errors import BadInput
from .callbacks import Listeners
from .distributed import Distributed, check_shared, refuse_accumulation
from .examples import Examples
from .history import Reporter
from .interrupt import Interrupt
from .session import Session, means
from .sources import Account, StreamSource
from .team import Team


def shared(
    session: Session, stream: Any, epochs: int, steps: int | None, accumulate: int, team: Team
) -> StreamSource:
    """The source for an iterable in each process. Raises: BadInput."""
    assert isinstance(team, Distributed)
    refuse_accumulation(accumulate)
    return SharedStream(session, stream, epochs, steps, team)


class SharedStream(StreamSource):
    """An iterable in each process: what all give at a time is one batch.

    One that has ended goes on without weight until all have.
    """

    def __init__(
        self, session: Session, stream: Any, epochs: int, steps: int | None, team: Distributed
    ) -> None:
        super().__init__(session, stream, epochs, steps)
        self.team = team

    def epoch(self, interrupt: Interrupt, reporter: Reporter, told: Listeners | None) -> Control:
        """One pass over the batches of all processes."""
        account, seen, examples = Account(), 0, None
        batches = self.batches()
        while not interrupt.asked:
            batch = next(batches, None)
            if batch is not None:
                examples = self.checked(batch)
            rows = 0 if examples is None or batch is None else examples.rows
            every = self.team.gathered((rows, *_weight(examples)))
            if not any(count for count, _, _ in every):
                break
            if examples is None:
                raise BadInput("the iterable has no batches")
            if not seen:
                check_shared(self.session)
                self.team.make_room(self.session)
            one = self.joined(examples, every, self.team.rank)
            self.team.slowest(0.0)  # all come to know of Ctrl-C
            whole = Control(1, weight_sum=one.weight_sum, sums=self.team.total(one.sums))
            whole.stop, whole.nonfinite_layer = one.stop, one.nonfinite_layer
            whole.nonfinite_instruction = one.nonfinite_instruction
            account.add(whole, max(exponent for _, _, exponent in every))
            seen += sum(count for count, _, _ in every)
            reporter.batches(seen, means(account.whole))
            if told is not None and told.ends(one):
                break
            if one.stop:
                self.team.blame(account.whole)
                break
        if not seen and not interrupt.asked:
            raise self.team.raised(BadInput("the iterable has no batches"))
        self.rows = seen
        return account.whole

    def joined(self, examples: Examples, every: list[tuple[int, float, int]], rank: int) -> Control:
        """One step on the batches of all. every: the rows of each, their weight, its unit."""
        session, unit = self.session, max(exponent for _, _, exponent in every)
        total = sum(math.ldexp(w, e - unit) for rows, w, e in every if rows)
        first, rows = sum(rows for rows, _, _ in every[:rank]), every[rank][0]
        scale = math.ldexp(1.0, examples.exponent - unit) / total if rows and total else 0.0
        session.settle(max(rows for rows, _, _ in every))
        state, block = session.state, examples.block(session.backend, session.dtype, session.casts)
        one = Control(examples.rows, learning_rates=session.optimizer.rates(state.step, 1))
        one.part = Part(np.array([[total, scale, first]]), self.team)
        capacity = batching.whole(examples.rows)
        with session.lease("shared", capacity, block, examples.outputs) as binding, state.turn:
            binding.run(one)
        return one


def _weight(examples: Examples | None) -> tuple[float, int]:
    """The sum of the rows' weights, and the power of two that is its unit."""
    if examples is None:
        return 0.0, -(1 << 20)
    if examples.weights is None:
        return float(examples.rows), 0
    return float(examples.weights.sum()), examples.exponent
