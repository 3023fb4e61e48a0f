"""Which backends there are, which can run here, and which one is chosen.

Order of choosing: argument, `use_backend`, the environment variable LAMINA_BACKEND, "auto". What
"auto" takes is decided by order of preference, or, with LAMINA_AUTO=measured, by measurement.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Union

import numpy as np

from ..kernels.errors import BackendUnavailable, unknown
from ..kernels.spec import Spec
from .contract import CONTRACT_VERSION, Backend, Obstacle, resolve

BUILTIN = {
    "loops": ".loops:LoopsBackend",
    "numpy": ".numpy:NumpyBackend",
    "numba": ".numba:NumbaBackend",
    "cupy": ".cupy:CupyBackend",
}
ENTRY_POINTS = "lamina.backends"
AUTO = ("cupy", "numba", "numpy")
ALIASES = {"cpu": ("numba", "numpy"), "cuda": ("cupy",), "gpu": ("cupy",)}
PROBE_SECONDS = 60.0  # the first CUDA context of a cold machine takes many seconds

Choice = Union[str, Backend, None]


@dataclass(frozen=True)
class BackendStatus:
    """Whether a backend can run here: its device, or the reason why not and what mends it."""

    name: str
    available: bool
    device: str = ""
    reason: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Selection:
    """A backend and why it was taken.

    open: "auto" took it by preference, and what was measured may take another one when the work
        is known (see `measured.py`).
    """

    backend: Backend
    why: str
    open: bool = False


_chosen: ContextVar[Choice] = ContextVar("lamina_backend", default=None)


@cache
def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def names() -> tuple[str, ...]:
    """The names of all backends, built in and plugged in."""
    return (*BUILTIN, *(n for n in _plugins() if n not in BUILTIN))


def backend_class(name: str) -> type[Backend]:
    """The class of a backend. Raises: UnknownName."""
    if name in BUILTIN:
        module, attribute = BUILTIN[name].split(":")
        return getattr(import_module(module, __package__), attribute)  # type: ignore[no-any-return]
    if name in _plugins():
        return _plugins()[name].load()  # type: ignore[no-any-return]
    raise unknown("backend", name, (*names(), *ALIASES, "auto"))


def _within(seconds: float, work: Callable[[], BackendStatus], name: str) -> BackendStatus:
    """The work's result, or a status that says that it took too long."""
    result: list[BackendStatus] = []
    thread = threading.Thread(target=lambda: result.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    if result:
        return result[0]
    return BackendStatus(
        name, False, "", f"the probe did not end within {seconds:g} s", "restart the driver"
    )


def _probe(name: str, index: int) -> BackendStatus:
    try:
        found = backend_class(name)
        obstacle = found.obstacle(index)
        if obstacle is None and found.contract_version != CONTRACT_VERSION:
            version = found.contract_version
            obstacle = Obstacle(
                f"it speaks version {version} of the contract, lamina {CONTRACT_VERSION}",
                "install a version of the plug-in made for this lamina",
            )
        if obstacle is not None:
            return BackendStatus(name, False, "", obstacle.reason, obstacle.fix)
        backend = _instance(name, index)
        _run_one(backend)
        return BackendStatus(name, True, backend.device)
    except Exception as error:  # a probe never breaks the program that asks
        reason = f"{type(error).__name__}: {error}"
        return BackendStatus(name, False, "", reason, f"run `lamina devices --check {name}`")


def _run_one(backend: Backend) -> None:
    """Runs a real kernel and looks at its result."""
    dtype = backend.dtypes[0]
    host = np.array([[-1.0, 2.0], [3.0, -4.0]], dtype=dtype)
    call = resolve(backend, "relu", [Spec((2, 2), dtype)], {})
    x = backend.asarray(host)
    out = None
    if call.writes:
        out = (backend.xp.reshape(backend.zeros(4, dtype), (2, 2)),)
    with backend.active():
        got = backend.to_numpy(call(out, x)[0])
    if got.tolist() != [[0.0, 2.0], [3.0, 0.0]]:
        raise RuntimeError(f"relu of {host.tolist()} came back as {got.tolist()}")


@cache
def _status(name: str, index: int) -> BackendStatus:
    return _within(PROBE_SECONDS, lambda: _probe(name, index), name)


def status(name: str, index: int = 0) -> BackendStatus:
    """Whether a backend can run here; probed once, with a real kernel, in bounded time.

    Raises: UnknownName.
    """
    if name not in names():
        raise unknown("backend", name, (*names(), *ALIASES, "auto"))
    return _status(name, index)


def backends(probe_again: bool = False) -> list[BackendStatus]:
    """The status of every backend: name, available, device, reason, fix."""
    if probe_again:
        _status.cache_clear()
    return [status(name) for name in names()]


@cache
def _instance(name: str, index: int) -> Backend:
    return backend_class(name)(index)


def _candidates(choice: str) -> list[tuple[str, int]]:
    """Names with device numbers, in order of preference."""
    found: list[tuple[str, int]] = []
    for part in choice.split(","):
        name, _, number = part.strip().partition(":")
        if number and not number.isdigit():
            raise unknown("backend", part.strip(), (*names(), *ALIASES, "auto"))
        index = int(number or 0)
        if name == "auto":
            plugged = [n for n in names() if n not in BUILTIN]
            found += [(n, 0) for n in (*AUTO, *plugged)]
        elif name in ALIASES:
            found += [(n, index) for n in ALIASES[name]]
        elif name in names():
            found.append((name, index))
        else:
            raise unknown("backend", name, (*names(), *ALIASES, "auto"))
    return found


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
    undecided = choice == "auto" and _measured()
    refused: list[BackendStatus] = []
    for name, index in _candidates(choice):
        found = status(name, index)
        if found.available:
            said = "auto" if choice == "auto" else f"{origin} {choice!r}"
            skipped = "".join(f"; {s.name} not available: {s.reason}" for s in refused)
            later = "; LAMINA_AUTO=measured decides when training begins" if undecided else ""
            return Selection(_instance(name, index), f"{said}{skipped}{later}", undecided)
        refused.append(found)
    reasons = "; ".join(f"{s.name}: {s.reason}. To mend it: {s.fix}" for s in refused)
    where = "" if origin == "asked for" else f" (from {origin})"
    raise BackendUnavailable(f"backend {choice!r}{where} cannot run here. {reasons}")


def _measured() -> bool:
    """Whether "auto" goes by what was measured."""
    if not os.environ.get("LAMINA_AUTO"):
        return False
    from .measured import mode

    return mode() == "measured"


def _apply_threads() -> None:
    if os.environ.get("LAMINA_THREADS"):
        from .threads import apply_environment

        apply_environment()


def get_backend(choice: Choice = None) -> Backend:
    """The backend for a choice; see `select`."""
    return select(choice).backend


class use_backend(contextlib.AbstractContextManager["use_backend"]):  # noqa: N801
    """Makes a choice the default, from now on or inside a `with` block.

    Raises: UnknownName or BackendUnavailable at once.
    """

    def __init__(self, choice: Choice) -> None:
        select(choice)
        self._token = _chosen.set(choice)

    def __enter__(self) -> use_backend:
        return self

    def __exit__(self, *details: object) -> None:
        _chosen.reset(self._token)
