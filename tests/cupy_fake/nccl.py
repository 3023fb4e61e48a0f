"""The fake's `cupy.cuda.nccl`: communicators of threads, each with a device of its own.

Names and signatures are those of `cupy_backends.cuda.libs.nccl` in CuPy 14. What NCCL leaves
undefined, or waits for without end, is an error here: sums that differ between ranks in count,
dtype or operation, memory that is not of the communicator's device, another stream than the current
one, two ranks on one device, a communicator that ends while a graph names it.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from . import machine, memory

PATIENCE = 60.0  # seconds that a rank waits for the others
KINDS = {
    0: np.int8, 1: np.uint8, 2: np.int32, 3: np.uint32, 4: np.int64, 5: np.uint64, 6: np.float16,
    7: np.float32, 8: np.float64,
}  # fmt: skip
WORDS = {
    1: "NCCL_ERROR_UNHANDLED_CUDA_ERROR", 2: "NCCL_ERROR_SYSTEM_ERROR",
    3: "NCCL_ERROR_INTERNAL_ERROR", 4: "NCCL_ERROR_INVALID_ARGUMENT",
    5: "NCCL_ERROR_INVALID_USAGE",
}  # fmt: skip
CONSTANTS = {
    "NCCL_INT8": 0, "NCCL_CHAR": 0, "NCCL_UINT8": 1, "NCCL_INT32": 2, "NCCL_INT": 2,
    "NCCL_UINT32": 3, "NCCL_INT64": 4, "NCCL_UINT64": 5, "NCCL_FLOAT16": 6, "NCCL_HALF": 6,
    "NCCL_FLOAT32": 7, "NCCL_FLOAT": 7, "NCCL_FLOAT64": 8, "NCCL_DOUBLE": 8, "NCCL_BFLOAT16": 9,
    "NCCL_SUM": 0, "NCCL_PROD": 1, "NCCL_MAX": 2, "NCCL_MIN": 3, "NCCL_AVG": 4,
}  # fmt: skip
SUM, BYTES = CONSTANTS["NCCL_SUM"], 128
_numbers = itertools.count(1)
_groups: dict[bytes, Group] = {}


class NcclError(RuntimeError):
    """What NCCL says."""

    def __init__(self, status: int, told: str = "") -> None:
        self.status = status
        super().__init__(f"{WORDS[status]}: {told}")


class Group:
    """The ranks of a communicator, where they meet.

    calls: of every sum that was asked for, in order, who came with what.
    """

    def __init__(self, ranks: int) -> None:
        self.ranks, self.lock = ranks, threading.Condition()
        self.devices: dict[int, int] = {}
        self.calls: list[dict[int, Any]] = []
        self.wrong: BaseException | None = None

    def meet(self, place: dict[int, Any], rank: int, what: Any) -> list[Any]:
        """What all ranks brought to a place, once all have come."""
        with self.lock:
            place[rank] = what
            self.lock.notify_all()
            if not self.lock.wait_for(lambda: len(place) == self.ranks or self.wrong, PATIENCE):
                self.wrong = NcclError(2, f"{len(place)} of {self.ranks} ranks came")
                self.lock.notify_all()
            if self.wrong is not None and len(place) < self.ranks:
                raise NcclError(2, f"another rank failed: {self.wrong}")
            return [place[at] for at in range(self.ranks)]

    def summed(self, number: int, rank: int, one: tuple[Any, ...], values: np.ndarray) -> Any:
        """The sum of the values of all ranks at their call of that number. Raises: NcclError."""
        with self.lock:
            while len(self.calls) <= number:
                self.calls.append({})
        every = self.meet(self.calls[number], rank, (one, values))
        other = [asked for asked, _ in every if asked != one]
        if other:
            said = f"rank {rank} asks for (count, dtype, op) {one}, another for {other[0]}"
            raise NcclError(5, f"sum {number}: {said}")
        with np.errstate(all="ignore"):
            total = every[0][1].copy()
            for _, more in every[1:]:
                total += more
        return total


class NcclConfig:
    """`NcclConfig`."""

    def __init__(self, **more: Any) -> None:
        raise NotImplementedError("the fake's communicators have no configuration")


class NcclCommunicator:
    """`NcclCommunicator`, of the device that is current when it is made."""

    def __init__(
        self, ndev: int, commId: bytes, rank: int,
        config: NcclConfig | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(commId, bytes):
            kind = type(commId).__name__
            raise TypeError(f"Argument 'commId' has incorrect type (expected bytes, got {kind})")
        if len(commId) != BYTES:
            raise ValueError(f"commId length {len(commId)} != {BYTES}.")
        if machine.capturing():
            raise NcclError(5, "a communicator is made in a capture")
        if not 0 <= rank < ndev:
            raise NcclError(4, f"rank {rank} of {ndev}")
        group = _groups.get(commId)
        if group is None:
            raise NcclError(4, "an identity that nobody has given out")
        self._rank, self._device, self._calls = rank, machine.device(), itertools.count()
        self.comm, self._graphs = next(_numbers), weakref.WeakSet[Any]()
        self._group = group
        with group.lock:
            group.ranks = group.ranks or ndev
            if group.ranks != ndev:
                raise NcclError(4, f"{ndev} ranks, another says {group.ranks}")
        places = group.meet(group.devices, rank, self._device)
        if len(set(places)) < ndev:
            raise NcclError(5, f"Duplicate GPU detected: ranks are on devices {places}")

    def __del__(self) -> None:
        if getattr(self, "comm", 0):  # real ones end here, and wait for others of the host
            abandoned.append(self.comm)

    def destroy(self) -> None:
        if machine.capturing():
            raise NcclError(5, "a communicator ends in a capture")
        if self.comm and len(self._graphs):
            raise NcclError(5, "a communicator ends while a graph names it, and waits without end")
        self.comm = 0

    def abort(self) -> None:
        self.comm = 0

    def device_id(self) -> int:
        return self._device

    def rank_id(self) -> int:
        return self._rank

    def size(self) -> int:
        return self._group.ranks

    def check_async_error(self) -> None:
        return None

    def allReduce(  # noqa: N802
        self, sendbuf: int, recvbuf: int, count: int, datatype: int, op: int, stream: int
    ) -> None:
        if not self.comm:
            raise NcclError(4, "the communicator was destroyed")
        here = machine.stream()
        if machine.device() != self._device:
            raise NcclError(5, f"device {machine.device()}, but a communicator of {self._device}")
        if stream != here.ptr:
            raise machine.Race("[ncclAllReduce] a sum on another stream than the current one")
        if datatype not in KINDS or op != SUM:
            raise NcclError(4, f"datatype {datatype}, operation {op}")
        kind = np.dtype(KINDS[datatype])
        source, of_source = memory.array_at(sendbuf, count, kind, "ncclAllReduce")
        target, of_target = memory.array_at(recvbuf, count, kind, "ncclAllReduce")
        for address, piece in ((sendbuf, of_source), (recvbuf, of_target)):
            if piece.device_id != self._device:
                raise NcclError(5, f"memory of device {piece.device_id}, not of {self._device}")
            if address + count * kind.itemsize > piece.ptr + piece.asked:
                raise NcclError(4, f"{count} elements of {kind} are more than there are")
        asked, group, rank, calls = (count, str(kind), op), self._group, self._rank, self._calls

        def work() -> None:
            try:
                total = group.summed(next(calls), rank, asked, source.copy())
            except BaseException as error:
                with group.lock:
                    group.wrong = group.wrong or error
                    group.lock.notify_all()
                raise
            target[...] = total

        if here.recording is not None:
            here.recording.named_by.append(self._graphs)
        machine.do("ncclAllReduce", work, [of_source], [of_target])


abandoned: list[int] = []  # communicators that nobody destroyed before they were let go


def get_unique_id() -> bytes:
    made = next(_numbers).to_bytes(BYTES, "little")
    _groups[made] = Group(0)
    return made


def get_version() -> int:
    return 22707


def get_build_version() -> int:
    return 22707


def _lacking(name: str) -> Callable[..., Any]:
    def call(*given: Any, **more: Any) -> Any:
        raise NotImplementedError(f"the fake lacks {name} of NCCL: add it")

    return call


OTHERS = ("initAll", "allGather", "bcast", "broadcast", "commSplit", "recv", "reduce",
          "reduceScatter", "send")  # fmt: skip
for _name in OTHERS:
    setattr(NcclCommunicator, _name, _lacking(_name))
groupStart, groupEnd = _lacking("groupStart"), _lacking("groupEnd")  # noqa: N816
available = True
globals().update(CONSTANTS)
