"""The contract of a backend: a device, and how it makes programs ready and runs them.

A backend needs an array namespace; all else has a default. What it can do
better it says by overriding: kernels for single operations, `compile` for whole programs.
"""

from __future__ import annotations

import io
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np

from ..kernels.errors import BadInput
from ..kernels.op import Kernel
from .device import Device
from .parts import Collectives
from .program import Instruction, Program, Region
from .state import Control, DataBlock, State

CONTRACT_VERSION = 1


@dataclass(frozen=True)
class Obstacle:
    """Why a backend cannot run here (reason), and the command or step that mends it (fix)."""

    reason: str
    fix: str


class Binding(ABC):
    """An executable bound to a state and a data block.

    watch: told the instruction and the seconds of each one that ran, where the executor can tell.
    pace: steps that a run may have and still be over soon; whoever trains adapts it.
    """

    pace: int = 1
    watch: Callable[[Instruction, float], None] | None = None

    @abstractmethod
    def run(self, control: Control) -> None:
        """Runs up to `control.steps` batches from `control.cursor` on, and tells in `control`.

        A loss (a watched sum) or a gradient that is not finite ends the run before that step's
        update, with `control.stop`; see `guard`. A metric never does. By the time this returns the
        host must know, not sooner: a flag on the device that is read once a run is enough, where
        nothing of the later steps is done while it is set. To wait at every sum and norm, as the
        walker does, is the default, not the rule.
        """

    @abstractmethod
    def use(self, block: DataBlock) -> None:
        """Exchanges the data for a block with the same columns; buffers stay.

        Raises: BadInput where a column that becomes indices is out of range: `bounds.check` says.
        """

    @abstractmethod
    def read(self, name: str) -> np.ndarray:
        """The output `name` of the program: stacked over the run's batches, or of the last one."""

    def passes(self, control: Control, count: int) -> list[dict[str, float]] | None:
        """Runs `count` whole passes over the order, as `control` says, and gives the means of each.

        The order has the rows of all passes, or is None. No batch has rows of two passes: the last
        one of each may be smaller. None where the executor cannot; then nothing has run. After a
        stop the list is short.
        """
        return None

    def apply(self, x: np.ndarray) -> np.ndarray | None:
        """The stacked output for the rows of one host array, by a short cut for small calls.

        x: row-major, of the column's dtype and row shape, of at most the program's capacity of
        rows. None where there is no short cut: then `use`, `run` and `read` do it.
        """
        return None


class Executable(ABC):
    """A program made ready for one device."""

    @abstractmethod
    def bind(self, state: State, block: DataBlock) -> Binding:
        """Ties the program to a state and to a block of data."""

    @abstractmethod
    def explain(self) -> list[tuple[str, str, str]]:
        """(stage, operation, how it is run) for every instruction."""

    def regions(self) -> Sequence[Region]:
        """The program's regions that it runs as such, each over memory once; by default none."""
        return ()


class Others(pickle.Pickler):
    """Pickles what an object holds, itself left out."""

    def __init__(self, one: object) -> None:
        super().__init__(io.BytesIO())
        self.one = one

    def persistent_id(self, found: object) -> str | None:
        """Something for the object itself."""
        return "itself" if found is self.one else None


class Backend(Device):
    """A device that runs programs.

    contract_version: the version of this contract that it was written for.

    A copied model keeps this very backend object. Pickles name a backend that was chosen by name;
    any other is pickled as Python does it, its class by name.
    """

    contract_version: int = CONTRACT_VERSION

    @classmethod
    def obstacle(cls, index: int = 0) -> Obstacle | None:
        """What keeps device number `index` from running here, or None.

        May import the device's library, and may raise: that is an obstacle as well.
        """
        return None

    def trial(self, x: np.ndarray) -> np.ndarray | None:
        """relu(x), which a probe looks at, by the least that shows that the backend works.

        x: a small matrix on the host. None, as here: an operation is run as any other.
        """
        return None

    def computing(self, precision: str) -> Backend:
        """The same device, which rounds the factors of its products of float32 to less.

        precision: "tf32" or "bfloat16". Raises: BadInput where it does not.
        """
        if precision in self.precisions:
            raise NotImplementedError(f"{self.name} says that it computes in {precision}")
        can = ", ".join(map(repr, self.precisions))
        raise BadInput(
            f"precision={precision!r}: this device multiplies in"
            f" {can or 'float32 and float64 alone'}; use None, or backend='cuda' on a GPU of"
            " compute capability 8.0 or more with 'tf32' or 'bfloat16'"
        )

    @property
    def place(self) -> str:
        """Which device this is, where processes of a host should not share it; "" where they may.

        Another process calls it the same, whatever its number is there.
        """
        return ""

    def beside(self, number: int) -> Backend:
        """The device of a process that is that number on its host, where each is to have its own.

        By default there is one for all.
        """
        return self

    def collectives(self) -> Collectives | None:
        """How devices of several processes sum by themselves; by default the host does it."""
        return None

    def variants(self) -> Mapping[str, Mapping[str, Kernel]]:
        """Ways of computing, slowest first, each with its kernels by operation: for benchmarks.

        An operation without a kernel is computed by its vectorised reference.
        """
        return {"vectorised": {}, "kernels": self.kernels()}

    def compile(self, program: Program) -> Executable:
        """Makes a program ready to run; the default walks it instruction by instruction."""
        from .walker import Walker  # here: the walker is written against this contract

        return Walker(self, program)

    def warmup(self) -> Iterator[str]:
        """Compiles ahead what programs may need; yields the name of each thing done."""
        yield from ()

    def thresholds(self) -> tuple[str, list[tuple[str, str, str]]]:
        """What decides between two ways of computing the same; by default there is nothing.

        Returns where it is from, in words, and (name, value, "measured" or "default") of each.
        """
        return "", []

    def __copy__(self) -> Backend:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Backend:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        told = super().__reduce_ex__(protocol)
        try:
            Others(self).dump(told[2:])
        except Exception as error:
            raise BadInput(
                f"the backend {self.name!r} cannot be pickled ({error}): leave out what it makes"
                " anew, in its __getstate__, or bring the model to another: model.to('numpy')"
            ) from error
        return told

    def __repr__(self) -> str:
        return f"<{self.name} backend on {self.device}>"
