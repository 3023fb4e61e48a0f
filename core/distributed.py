"""Several processes that train one model together, over MPI.

Each runs the same program on its rows of every batch, and the gradients are summed before the
update: so all have the same weights after each step, those that one process would have. What is
decided (a stop, a learning rate, an error) is decided once, and told to all.
"""

from __future__ import annotations

import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..backends import mpi, threads
from ..backends.parts import Held, Reducer
from ..backends.state import Control
from ..kernels.errors import BadInput, LaminaError
from ..kernels.spec import ITEMSIZE
from .callbacks import Callback, Listeners
from .device_sums import placed, summing
from .examples import Examples
from .heartbeat import TIMEOUT, Heartbeat, checked
from .history import History
from .interrupt import Interrupt
from .meeting import meeting
from .metrics import of_rows
from .moments import Moment, apply, write
from .session import Session
from .team import ALONE, Team
from .training import Fit, evaluated, train

if TYPE_CHECKING:
    from .model import Sequential

T = TypeVar("T")


def trace(error: BaseException) -> str:
    """Where an error came from."""
    return "".join(traceback.format_exception(error))


def share(rows: int, rank: int, ranks: int) -> tuple[int, int]:
    """The rows [start, stop) of a batch that are a process's: parts that differ by one at most.

    >>> [share(5, rank, 3) for rank in range(3)]
    [(0, 2), (2, 4), (4, 5)]
    """
    each, left = divmod(rows, ranks)
    start = rank * each + min(rank, left)
    return start, start + each + (rank < left)


class Distributed(Team, Reducer):
    """The processes that a training is shared between: `fit(..., distributed=lm.Distributed())`.

    All run the same script under `mpiexec`. Each batch of `batch_size` rows is parted between them,
    and the result is what one process would have come to, but for roundings.

    communicator: an mpi4py intracommunicator; None is COMM_WORLD. rank, ranks: which of its
        processes this is, from 0, and how many there are. threads: the cores that each computes
        with, those of its host divided by the processes there, unless `set_threads` or
        LAMINA_THREADS says otherwise.
    timeout: seconds without a sign of life from a process after which all are ended, 0 for none; in
        a training. Before it, a process that waits so long for another says so.
    Raises: BadInput where mpi4py or an MPI is missing, or for what is no communicator.
    """

    def __init__(self, communicator: Any = None, timeout: float = TIMEOUT) -> None:
        seconds = checked(timeout)
        self.communicator = mpi.communicator(communicator, seconds)
        mpi.end_all_with_errors()
        met = meeting(self.communicator, seconds)
        self.heartbeat = Heartbeat(self.communicator, seconds, met)
        self.rank, self.ranks = self.communicator.Get_rank(), self.communicator.Get_size()
        self.here, self.threads = mpi.cores(self.communicator)
        self._interrupt = _InterruptOfAll()
        self._known: BaseException | None = None  # an error that all processes raise

    def __copy__(self) -> Distributed:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Distributed:
        return self

    def brief(self) -> str:
        """In words: how many processes there are, their threads, and how GPUs sum gradients."""
        found = threads.chosen() or self.threads
        word = "thread" if found == 1 else "threads"
        way = f"; {self.way}" if self.way else ""
        return f"{self.ranks} over MPI, {self.here} on this host, {found} {word} each{way}"

    def __repr__(self) -> str:
        return f"<rank {self.rank} of {self.brief()}>"

    # Sums

    def add(self, flat: np.ndarray) -> None:
        """Makes an array the sum of those of all processes. flat: it, contiguous."""
        mpi.add(self.communicator, flat)

    def native(self, dtype: str) -> np.ndarray:
        """The same for compiled code; see `Reducer`. dtype: of the array."""
        return mpi.native(self.communicator, dtype)

    def window(self, dtype: str, count: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Memory that the processes of a host share; see `Reducer`. count: of the numbers."""
        return mpi.window(self.communicator, dtype, count)

    def held(self, dtype: str, count: int, number: int) -> Held | None:
        """The same for segments of a state; see `Reducer`. number: of them."""
        return mpi.held(self.communicator, dtype, count, number)

    def make_room(self, session: Session, lasting: bool = False) -> None:
        """Has the processes of each host share memory for a session's gradient; all call it.

        lasting: and for its parameters and slots, see `Part`.
        """
        layout = session.state.layout
        size = layout.length("gradients") * ITEMSIZE[session.dtype]
        mpi.make_room(self.communicator, size, lasting * (1 + len(layout.slots)))

    def gathered(self, value: T) -> list[T]:
        """What each process has, in the order of their ranks. value: this one's."""
        return list(self.communicator.allgather(value))

    def joined(self, array: Any) -> np.ndarray:
        """All processes' rows, in the order of their ranks. array: this one's, (rows, ...).

        Raises: BadInput where they differ in more than the number of rows.
        """
        found = self.gathered(np.asarray(array))
        if len({one.shape[1:] if one.ndim else None for one in found} - {None}) != 1:
            shapes = ", ".join(str(one.shape) for one in found)
            raise self.raised(BadInput(f"the processes' rows do not fit together: {shapes}"))
        return np.concatenate(found)

    def total(self, sums: dict[str, float]) -> dict[str, float]:
        """Sums over all processes. sums: this one's by name; each has the same names."""
        flat = np.array(list(sums.values()), np.float64)
        self.add(flat)
        return dict(zip(sums, flat.tolist(), strict=True))

    # Agreement

    def same(self, value: T) -> T:
        """What the first process has, for all. value: this one's."""
        return self.communicator.bcast(value)  # type: ignore[no-any-return]

    def raised(self, error: BaseException) -> BaseException:
        """Marks an error that all processes raise: it ends none. error: this one's."""
        self._known = error
        return error

    def checked(self, prepare: Callable[[], T]) -> T:
        """What each process prepares; where that fails in one, all raise why. prepare: does it."""
        found: Any = None
        error: Exception | None = None
        try:
            found = prepare()
        except Exception as one:
            error = one
        told = self.gathered(_sent(error))
        wrong = [rank for rank, one in enumerate(told) if one is not None]
        if not wrong:
            return found  # type: ignore[no-any-return]
        if error is None or len(wrong) < self.ranks:
            first, which = told[wrong[0]], ", ".join(map(str, wrong))
            other = BadInput(f"rank {which} of {self.ranks}: {first}")
            other.__cause__ = error
            raise self.raised(other)
        raise self.raised(error)

    def act(self, model: Sequential, action: Callable[[], object]) -> None:
        """Lets the first process act; what it changed in the model changes in all.

        model: whose changes count. action: what only one may do. Its error is raised by all.
        """
        before = Moment(model)
        changes: dict[str, Any] = {}
        error: BaseException | None = None
        if self.rank == 0:
            try:
                action()
                changes = before.changes(model)
            except BaseException as one:
                error = one
        sent, changes = self.same((_sent(error), changes))
        if sent is not None:
            raise self.raised(error if error is not None else sent)
        if self.rank:
            apply(model, changes)

    def told(self, model: Sequential, hooked: tuple[Callback, ...]) -> Listeners:
        """Who is told of every batch. model: it trains. hooked: the callbacks that want it."""
        return _ListenersTogether(model, hooked, self)

    def interrupt(self) -> Interrupt:
        """Ctrl-C, of whichever process notes it."""
        self._interrupt = _InterruptOfAll()
        return self._interrupt

    def slowest(self, seconds: float) -> float:
        """Those of the slowest process; all come to know of Ctrl-C. seconds: of a run here."""
        every = self.gathered((seconds, self._interrupt.noted))
        self._interrupt.asked = any(noted for _, noted in every)
        return max(seconds for seconds, _ in every)

    def together(self, model: Sequential) -> None:
        """Gives all the first one's seed, and weights if it has some. model: of each process."""
        session = model.session
        layers = tuple(layer.brief() for layer in session.layers)
        mine = (layers, session.dtype, session.features, session.built)
        if any(one != mine for one in self.gathered(mine)):
            raise self.raised(
                BadInput("the processes have different models: build the same in each, or load it")
            )
        session.seed, session.shared_by = self.same(session.seed), self.brief()
        if session.built:
            moment = session.state.numbers() if self.rank == 0 else None
            found = self.same((moment, session.learned, session.rates, session.shift))
            if self.rank:
                moment, session.learned, rates, session.shift = found
                if rates != session.rates:
                    session.set_rates(rates)
                assert moment is not None
                write(model, moment)

    # Work

    @contextmanager
    def working(self) -> Iterator[None]:
        """While this lasts, an error that only this process knows of ends all of them."""
        with self.heartbeat:
            try:
                with threads.at_most(self.threads), warnings.catch_warnings():
                    if self.rank:  # one process says it
                        warnings.simplefilter("ignore")
                    yield
            except BaseException as error:
                if self.alone(error) and self.ranks > 1:
                    self.abort(error)
                raise

    def alone(self, error: BaseException) -> bool:
        """Whether no other process raises an error, so that it ends all. error: raised here."""
        return error is not self._known

    def abort(self, error: BaseException) -> None:
        """Says what went wrong here, and ends all processes. error: what was raised."""
        told = "" if isinstance(error, (LaminaError, OSError, KeyboardInterrupt)) else trace(error)
        what = str(error) or type(error).__name__
        sys.stderr.write(f"{told}lamina: rank {self.rank} of {self.ranks} ends the job: {what}\n")
        mpi.abort(self.communicator)

    def measured(self, model: Sequential, examples: Examples) -> Control:
        """Sums of loss and metrics, each process taking some of the examples of the model."""
        start, stop = share(examples.rows, self.rank, self.ranks)
        names = ("loss", *(metric.name for metric in of_rows(model.metrics)))
        control = Control(batch=1)
        if start < stop:
            control = model.session.measured(_slice(examples, start, stop))
        sums = {name: control.sums.get(name, 0.0) for name in names}
        found = self.total({**sums, "": control.weight_sum})
        return Control(batch=1, weight_sum=found.pop(""), sums=found)

    def blame(self, control: Control) -> None:
        """Has each control say what was not finite in the first process that knows."""
        if control.stop:
            told = (control.nonfinite_instruction, control.nonfinite_layer)
            every = self.gathered(told)
            lost = [one for one in every if one[0] >= 0]
            control.nonfinite_instruction, control.nonfinite_layer = (lost or every)[0]

    def predicted(self, model: Sequential, x: np.ndarray) -> np.ndarray:
        """The model's prediction, each process making some rows. x: all of them, checked."""
        start, stop = share(len(x), self.rank, self.ranks)
        return np.concatenate(self.gathered(model.prepare().run(x[start:stop])))


def of(distributed: Any) -> Team:
    """The processes that a `distributed=` argument means. Raises: BadInput."""
    if distributed is None or distributed is False:
        return ALONE
    if isinstance(distributed, Distributed):
        return distributed
    if distributed is not True:
        raise BadInput(
            f"distributed is True or an lm.Distributed of a communicator, not {distributed!r}"
        )
    return Distributed()


def fit(model: Sequential, distributed: Any, prepare: Callable[[Team], Fit]) -> History:
    """`Sequential.fit` of several processes. prepare: what makes the training ready in each."""
    team = of(distributed)
    with team.working():
        assert isinstance(team, Distributed)  # else `Sequential.fit` comes not here
        placed(team, model.session)
        team.together(model)
        made = team.checked(lambda: prepare(team))
        if model.built:
            team.make_room(model.session, lasting=True)
        with summing(team, model.session):
            return train(made)


def evaluate(
    model: Sequential, distributed: Any, prepare: Callable[[], Examples]
) -> dict[str, Any]:
    """`Sequential.evaluate` of several processes. prepare: what checks the examples in each."""
    team = of(distributed)
    with team.working():
        if isinstance(team, Distributed):
            placed(team, model.session)
        return evaluated(model, team.checked(prepare), team=team)


def refuse_accumulation(accumulate: int) -> None:
    """Raises BadInput for gradients that are joined over batches."""
    if accumulate > 1:
        raise BadInput(
            "several processes share each batch, so accumulate is for one alone: a batch_size that"
            " is as many times larger is the same step"
        )


def check_shared(session: Session) -> None:
    """Raises BadInput for layers whose step needs all rows of a batch in one place."""
    entries = session.state.layout.entries
    if any(e.moving for e in entries):
        raise BadInput(
            "BatchNorm takes its statistics from all rows of a batch, which several processes"
            " share: use LayerNorm, or freeze the layer"
        )
    if not any(e.trainable for e in entries):
        raise BadInput("all layers are frozen: there is nothing that processes could share")


def _slice(examples: Examples, start: int, stop: int) -> Examples:
    """Rows [start, stop), where they lie."""
    weights = None if examples.weights is None else examples.weights[start:stop]
    return replace(examples, x=examples.x[start:stop], y=examples.y[start:stop], weights=weights)


def _sent(error: BaseException | None) -> BaseException | None:
    """An error as it can go to another process: itself, or one with its words."""
    if error is None:
        return None
    bare = copy(error).with_traceback(None) if type(error).__module__ == "builtins" else error
    try:
        pickle.loads(pickle.dumps(bare))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return bare


class _InterruptOfAll(Interrupt):
    """Ctrl-C: `noted` here, `asked` when all processes have come to know of it."""

    def __init__(self) -> None:
        super().__init__()
        self.noted = False

    def _note(self, number: int, frame: Any) -> None:
        if self.noted:
            signal.default_int_handler(number, frame)
        self.noted = True


class _ListenersTogether(Listeners):
    """Callbacks of the first process are told; whether they end the epoch holds for all."""

    def __init__(
        self, model: Sequential, callbacks: tuple[Callback, ...], team: Distributed
    ) -> None:
        super().__init__(model, callbacks)
        self.team = team

    def ends(self, one: Control) -> bool:
        """Tells of a batch; returns whether a callback ended the epoch here."""
        whole = replace(one, sums=self.team.total(one.sums))
        self.team.act(self.model, lambda: super(_ListenersTogether, self).ends(whole))
        return self.model.stop_training
