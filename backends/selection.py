"""Which backend is chosen.

Order of choosing: argument, `use_backend`, the environment variable LAMINA_BACKEND, "auto". What
"auto" takes is decided by order of preference, or, with LAMINA_AUTO=measured, by measurement.
"""

from __future__ import annotations

import contextlib
import copyreg
import os
import warnings
from contextvars import ContextVar
from typing import NamedTuple, Union

from ..kernels.errors import BackendUnavailable, BadInput, UnknownName, unknown
from ..kernels.spec import Spec
from . import measured
from .contract import Backend
from .dispatch import check_dtype
from .registry import ALIASES, BackendStatus, candidates, instance, names, status
from .threads import apply_environment

Choice = Union[str, Backend, None]


class Selection(NamedTuple):
    """A backend and why it was taken.

    open: "auto" took it by preference, and may take another one when the work is known (see
        `choose_for`).
    """

    backend: Backend
    why: str
    open: bool = False


_chosen: ContextVar[Choice] = ContextVar("lamina_backend", default=None)


def select(choice: Choice = None) -> Selection:
    """The backend for a choice, with the reason why it was taken.

    choice: a name, a name with a device number ("cuda:1"), a list ("cupy,numba"), "auto", a
        Backend, or None for `use_backend`, then LAMINA_BACKEND, then "auto".
    Raises: UnknownName, also for LAMINA_AUTO; BackendUnavailable with the reason and the fix.
    """
    origin = "asked for"
    if choice is None:
        choice, origin = _chosen.get(), "use_backend"
    if choice is None:
        choice, origin = os.environ.get("LAMINA_BACKEND") or None, "LAMINA_BACKEND"
    if choice is None:
        choice, origin = "auto", "auto"
    if isinstance(choice, Backend):
        return Selection(choice, f"{origin}: a Backend object")
    if not isinstance(choice, str):
        kind = type(choice).__name__
        raise unknown("backend", f"of type {kind}", (*names(), *ALIASES, "auto"))
    _apply_threads()
    undecided = choice == "auto" and measured.mode() == "measured"
    refused: list[BackendStatus] = []
    for name, index in candidates(choice):
        found = status(name, index)
        if found.available:
            said = "auto" if choice == "auto" else f"{origin} {choice!r}"
            skipped = "".join(f"; {s.name} not available: {s.reason}" for s in refused)
            backend, later = _named(name, index), ""
            if undecided:
                later = "; LAMINA_AUTO=measured decides when training begins"
            elif choice == "auto" and backend.least_flops:
                later = "; the work of a step decides when training begins"
            return Selection(backend, f"{said}{skipped}{later}", bool(later))
        refused.append(found)
    reasons = "; ".join(f"{s.name}: {s.reason}. To mend it: {s.fix}" for s in refused)
    where = "" if origin == "asked for" else f" (from {origin})"
    raise BackendUnavailable(f"backend {choice!r}{where} cannot run here. {reasons}")


def _named(name: str, index: int) -> Backend:
    """The one object of a backend, which pickles as its name and the device's number."""
    backend = instance(name, index)
    copyreg.pickle(type(backend), lambda one: (restored, (name, one.index)))
    return backend


def restored(name: str, index: int) -> Backend:
    """The backend that was pickled; where it cannot run, that of "auto", with a warning."""
    try:
        return select(f"{name}:{index}").backend
    except (BackendUnavailable, UnknownName) as error:
        other = select(None).backend
        warnings.warn(f"{error}. What was pickled there is on {other.name} now", stacklevel=2)
        return other


def preferred(choice: Choice = None) -> Selection:
    """What `select` says, where "auto" leaves the choice to `use_backend`, then LAMINA_BACKEND.

    choice, and what is raised: see `select`.
    """
    return select(None if isinstance(choice, str) and choice == "auto" else choice)


def select_for(dtype: str, choice: Choice, precision: str | None = None) -> Selection:
    """The backend for a choice, "auto" leaving it to the later ones; it must know the dtype.

    precision: of products, see `Sequential`. Raises: BadInput where the backend has none such.
    """
    chosen = preferred(choice)
    check_dtype(chosen.backend, "Sequential", Spec((1,), dtype))
    if precision is None:
        return chosen
    if dtype != "float32":
        raise BadInput(f"precision={precision!r} is for products of float32, not of {dtype}")
    return Selection(chosen.backend.computing(precision), chosen.why, False)


def _apply_threads() -> None:
    if os.environ.get("LAMINA_THREADS"):
        apply_environment()


def choose_for(flops: float, dtype: str, ordinary: Backend) -> Selection:
    """The backend for a training whose steps are so much work, where "auto" left it open.

    ordinary: what "auto" took by preference. dtype: what the backend must compute in.
    """
    if measured.mode() == "measured":
        return choose_measured(flops, dtype, ordinary)
    least = ordinary.least_flops
    told = f"a training step is {flops:.3g} flops, {ordinary.name} from {least:.3g} on"
    why = f"auto: {told} (an estimate; to measure: {measured.COMMAND})"
    if flops < least:
        for name, index in candidates("auto"):
            if status(name, index).available:
                other = _named(name, index)
                if other.least_flops <= flops and dtype in other.dtypes:
                    return Selection(other, why)
    return Selection(ordinary, why)


def choose_measured(flops: float, dtype: str, ordinary: Backend) -> Selection:
    """The backend that wins at so much work a training step; the ordinary one if that is unknown.

    dtype: what the backend must compute in. The figures are for float32.
    """
    found = measured.read()
    if found is not None and not found.training:
        measured.warn(f"{measured.path()} has no figures for training")
    if found is None or not found.training:
        return Selection(
            ordinary, f"auto; LAMINA_AUTO=measured, but without figures: {measured.COMMAND}"
        )
    best = measured.winner(found.training, flops)
    told = f"{best.backend} wins from {best.start:.3g} flops a step (here {flops:.3g})"
    why = f"auto, LAMINA_AUTO=measured: measured on {found.date}: {told}"
    backend = _named(best.backend, 0)
    if dtype not in backend.dtypes:
        return Selection(ordinary, f"auto; {why}, but it has no {dtype}")
    return Selection(backend, why)


def get_backend(choice: Choice = None) -> Backend:
    """The backend for a choice.

    choice: "loops", "numpy", "numba", "cupy" or a plug-in's name; "cpu", "cuda"; with a device
        number, "cuda:1"; a list of which the first available is taken, "cupy,numba"; "auto"; a
        Backend; or None for `use_backend`, then LAMINA_BACKEND, then "auto".
    Raises: UnknownName; BackendUnavailable with the reason and what mends it.
    """
    return select(choice).backend


class use_backend(contextlib.AbstractContextManager["use_backend"]):  # noqa: N801
    """Makes a choice the default, from now on or inside a `with` block.

    choice: as in `get_backend`.
    Raises: UnknownName or BackendUnavailable at once.
    """

    def __init__(self, choice: Choice) -> None:
        select(choice)
        self._token = _chosen.set(choice)

    def __enter__(self) -> use_backend:
        return self

    def __exit__(self, *details: object) -> None:
        _chosen.reset(self._token)
