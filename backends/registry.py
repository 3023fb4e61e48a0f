"""Which backends there are, and which can run here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..kernels.errors import BackendUnavailable, unknown
from ..kernels.spec import Spec
from .contract import CONTRACT_VERSION, Backend, Obstacle
from .dispatch import resolve

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

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


@dataclass(frozen=True)
class BackendStatus:
    """Whether a backend can run here: its device, or the reason why not and what mends it.

    name: what `backend=` takes. available: whether it can run. device: in words. reason: why it
    cannot, fix: the command or step that mends it; both "" where it can.
    """

    name: str
    available: bool
    device: str = ""
    reason: str = ""
    fix: str = ""


def entry_points(group: str) -> Iterable[EntryPoint]:
    """Those that installed packages have in a group."""
    from importlib import metadata  # a third of what importing the registry would cost

    return metadata.entry_points(group=group)


@cache
def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def names() -> tuple[str, ...]:
    """The names of all backends, built in and plugged in."""
    return (*BUILTIN, *(n for n in _plugins() if n not in BUILTIN))


def _loader(name: str) -> Callable[[], type[Backend]]:
    """What imports the class of a backend. Raises: UnknownName."""
    if name in BUILTIN:
        module, attribute = BUILTIN[name].split(":")
        return lambda: getattr(import_module(module, __package__), attribute)
    if name in _plugins():
        return _plugins()[name].load
    raise unknown("backend", name, (*names(), *ALIASES, "auto"))


class _Probed(NamedTuple):
    """What a probe found; the backend it ran on, where it can run."""

    status: BackendStatus
    backend: Backend | None = None


def _within(seconds: float, work: Callable[[], _Probed], name: str) -> _Probed:
    """The work's result, or a status that says that it took too long.

    Work that takes too long goes on in its thread, and what it finds is dropped: so it may read
    and write nothing that others read.
    """
    result: list[_Probed] = []
    thread = threading.Thread(
        target=lambda: result.append(work()), name=f"probe of {name}", daemon=True
    )
    thread.start()
    thread.join(seconds)
    if result:
        return result[0]
    reason = f"the probe did not end within {seconds:g} s"
    return _Probed(BackendStatus(name, False, "", reason, "restart the driver"))


def _probe(name: str, index: int, load: Callable[[], type[Backend]]) -> _Probed:
    try:
        found = load()
        obstacle = found.obstacle(index)
        if obstacle is None and found.contract_version != CONTRACT_VERSION:
            version = found.contract_version
            obstacle = Obstacle(
                f"it speaks version {version} of the contract, lamina {CONTRACT_VERSION}",
                "install a version of the plug-in made for this lamina",
            )
        if obstacle is not None:
            return _Probed(BackendStatus(name, False, "", obstacle.reason, obstacle.fix))
        backend = found(index)
        _run_one(backend)
        return _Probed(BackendStatus(name, True, backend.device), backend)
    except Exception as error:  # a probe never breaks the program that asks
        reason = f"{type(error).__name__}: {error}"
        fix = f"run `lamina devices --check {name}`"
        return _Probed(BackendStatus(name, False, "", reason, fix))


def _run_one(backend: Backend) -> None:
    """Runs a real kernel and looks at its result."""
    dtype = backend.dtypes[0]
    host = np.array([[-1.0, 2.0], [3.0, -4.0]], dtype=dtype)
    got = backend.trial(host)
    if got is None:
        got = _relu(backend, host)
    if got.tolist() != [[0.0, 2.0], [3.0, 0.0]]:
        raise RuntimeError(f"relu of {host.tolist()} came back as {got.tolist()}")


def _relu(backend: Backend, host: np.ndarray) -> np.ndarray:
    dtype = str(host.dtype)
    call = resolve(backend, "relu", [Spec((2, 2), dtype)], {})
    x = backend.asarray(host)
    out = None
    if call.writes:
        out = (backend.xp.reshape(backend.zeros(4, dtype), (2, 2)),)
    with backend.active():
        return backend.to_numpy(call(out, x)[0])


@cache
def _probed(name: str, index: int) -> _Probed:
    load = _loader(name)  # here, so that a thread that is let go asks nobody
    return _within(PROBE_SECONDS, lambda: _probe(name, index, load), name)


def status(name: str, index: int = 0) -> BackendStatus:
    """Whether a backend can run here; probed once, with a real kernel, in bounded time.

    Raises: UnknownName.
    """
    if name not in names():
        raise unknown("backend", name, (*names(), *ALIASES, "auto"))
    return _probed(name, index).status


def backends(probe_again: bool = False) -> list[BackendStatus]:
    """The status of every backend: name, available, device, reason, fix."""
    if probe_again:
        _probed.cache_clear()
    return [status(name) for name in names()]


@cache
def instance(name: str, index: int = 0) -> Backend:
    """The one object of a backend that can run here; the first probe has run on it.

    Raises: UnknownName, BackendUnavailable.
    """
    found = status(name, index)
    backend = _probed(name, index).backend
    if backend is None:
        raise BackendUnavailable(
            f"backend {name!r} cannot run here. {found.reason}. To mend it: {found.fix}"
        )
    return backend


def candidates(choice: str) -> list[tuple[str, int]]:
    """Names with device numbers, in order of preference. Raises: UnknownName."""
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
