"""Sums over the GPUs of several processes, by NCCL through CuPy.

A sum is work of the stream like a kernel, and a node of a graph where the stream is captured. NCCL
works each element of a sum out once and sends it to all, so all have the same bits.
"""

from __future__ import annotations

import warnings
from typing import Any

from .device import Array
from .parts import DeviceSum

INSTALL = 'pip install "nvidia-nccl-cu13" (or -cu12, as your CuPy is)'


class Nccl:
    """NCCL for the GPU of a backend: `parts.Collectives`.

    backend: of CuPy, with the `stream` that all of its work goes to.
    """

    name = "NCCL"

    def __init__(self, backend: Any, place: str) -> None:
        self._backend, self.place = backend, place

    def obstacle(self) -> str:
        """See `Collectives.obstacle`."""
        try:
            library = _library()
        except Exception as error:
            return f"cupy.cuda.nccl cannot be imported ({error}): {INSTALL}"
        return "" if library.available else f"there is no NCCL: {INSTALL}"

    def identity(self) -> bytes:
        """See `Collectives.identity`; 128 bytes."""
        found: bytes = _library().get_unique_id()
        return found

    def join(self, identity: bytes, ranks: int, rank: int) -> DeviceSum:
        """See `Collectives.join`."""
        return NcclSum(self._backend, identity, ranks, rank)


class NcclSum(DeviceSum):
    """A communicator, on the stream of a backend."""

    def __init__(self, backend: Any, identity: bytes, ranks: int, rank: int) -> None:
        super().__init__()
        self._backend, self._library = backend, _library()
        with backend.active():  # the communicator is of the current device
            self._inside = self._library.NcclCommunicator(ranks, identity, rank)

    def add(self, flat: Array) -> None:
        """See `DeviceSum.add`. flat: of float32 or float64."""
        library, place = self._library, flat.data.ptr
        kind = {"float32": library.NCCL_FLOAT32, "float64": library.NCCL_FLOAT64}[str(flat.dtype)]
        stream = self._backend.stream.ptr
        self._inside.allReduce(place, place, flat.size, kind, library.NCCL_SUM, stream)

    def end(self) -> None:
        """See `DeviceSum.end`. The processes of a host wait for each other in it."""
        with self._backend.active():
            self._backend.synchronize()
            self._inside.destroy()

    def abort(self) -> None:
        """See `DeviceSum.abort`."""
        self._inside.abort()


def _library() -> Any:
    """CuPy's module. Raises: ImportError."""
    with warnings.catch_warnings():  # it says at every import what it lacks
        warnings.simplefilter("ignore")
        from cupy.cuda import nccl
    return nccl
