"""Averages of the weights over a training, kept by the optimizer beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..kernels.errors import BadInput
from .checks import check_count, check_number

AVERAGE = "average"  # the flat segment that it is kept in


class Average:
    """The common part: which updates count; `start` and `every` are as in `SWA`."""

    start: int
    every: int

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_count(f"{name}: start", self.start, least=0)
        check_count(f"{name}: every", self.every)

    def attributes(self) -> dict[str, Any]:
        """Those of the row `average_update`; a decay of 0 is the mean of all that count."""
        return {"decay": 0.0, "start": int(self.start), "every": int(self.every)}


@dataclass(frozen=True)
class SWA(Average):
    """The mean of the weights after all updates that count (Izmailov et al. 2018).

    average = average + (w - average) / n at the n-th that counts, as torch.optim.swa_utils has it.

    start: updates (optimizer steps, over the model's life) before the first that may count, from 0.
    every: of those that follow each so many-th counts, from 1; with the number of batches of an
        epoch, the ends of epochs do.
    Raises: BadInput.
    """

    start: int = 0
    every: int = 1


@dataclass(frozen=True)
class EMA(Average):
    """A running mean of the weights (Polyak and Juditsky 1992).

    average = decay * average + (1 - decay) * w at each update that counts, and w at the first, as
    torch.optim.swa_utils has it.

    decay: what is kept of the average, in (0, 1). start, every: as in SWA. Raises: BadInput.
    """

    decay: float = 0.999
    start: int = 0
    every: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("EMA: decay", self.decay, 0.0, 1.0, open_high=True)
        if not self.decay:
            raise BadInput("EMA: decay must be above 0, or the average is the weights themselves")

    def attributes(self) -> dict[str, Any]:
        """Those of the row `average_update`."""
        return {**super().attributes(), "decay": float(self.decay)}


BUILTIN = {c.__name__: c for c in (EMA, SWA)}
