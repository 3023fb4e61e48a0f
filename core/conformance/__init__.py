"""The conformance kit's second half: whole programs on a device, against NumPy in float64.

A program is made from layers, so this half lives here, above the operations' half in
`backends/conformance`. Each check builds small networks, runs them on the device and, from the
same numbers, plainly (`backends/conformance/plain.py`), and compares all that a run leaves behind:
sums, state, outputs, and where and why it stopped. `lamina devices --check NAME` runs both halves.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...backends.conformance import Failure, check_operations
from ...backends.contract import Backend
from ...backends.selection import Choice, get_backend
from .programs import PROGRAMS


def check_program(backend: Backend, name: str, dtype: str) -> list[Failure]:
    """Runs one check in one dtype; the list is empty when all agrees with the oracle."""
    failures = []
    try:
        for what in PROGRAMS[name](backend, dtype):
            failures.append(Failure(name, dtype, "", what))
    except Exception as error:
        failures.append(Failure(name, dtype, "", f"{type(error).__name__}: {error}"))
    return failures


def check_programs(backend: Backend) -> Iterator[tuple[str, list[Failure]]]:
    """(name, failures) for every check of whole programs, in every dtype of the backend."""
    for name in PROGRAMS:
        yield name, [f for dtype in backend.dtypes for f in check_program(backend, name, dtype)]


def check_backend(backend: Choice) -> Iterator[tuple[str, list[Failure]]]:
    """The conformance kit: (name, failures) for every operation, then for whole programs.

    backend: a name, or a `Backend` object of one's own. A backend is right when no list has
    anything in it; `str(failure)` says what differs and by how much.
    Raises: UnknownName, BackendUnavailable.
    """
    chosen = get_backend(backend)
    yield from check_operations(chosen)
    yield from check_programs(chosen)
