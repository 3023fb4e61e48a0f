"""The exceptions of lamina, and the nearest spelling for a name that nobody knows.

Every error is a `LaminaError` and also the built-in exception that a caller would expect.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class LaminaError(Exception):
    """Base of every exception that lamina raises on purpose."""


class ShapeError(LaminaError, ValueError):
    """The shapes of an operation's inputs do not fit together."""


class DtypeError(LaminaError, TypeError):
    """The dtypes of an operation's inputs do not fit together, or the device lacks one."""


class UnknownName(LaminaError, ValueError):
    """A name that is none of the valid ones; the message lists them and the nearest."""


class BadInput(LaminaError, ValueError):
    """Data, labels, weights or a setting that training cannot use."""


class NotBuilt(LaminaError, RuntimeError):
    """The model has no weights yet."""


class ModelBusy(LaminaError, RuntimeError):
    """Another thread is training the model."""


class NotDifferentiable(LaminaError, TypeError):
    """A derivative was asked of an operation that has none."""


class BackendUnavailable(LaminaError, RuntimeError):
    """The backend that was asked for cannot run here; the message says why and what mends it."""


class OutOfDeviceMemory(LaminaError, MemoryError):
    """A device has less memory left than is wanted; the model is as it was after its last step.

    message: the bytes wanted and those that are free, and the batch size that would fit.
    wanted, free: in bytes; 0 where it is not known.
    """

    def __init__(self, message: str, wanted: int = 0, free: int = 0) -> None:
        super().__init__(message)
        self.wanted, self.free = wanted, free


class CheckpointError(LaminaError, ValueError):
    """A file that is no model of lamina, is damaged, or does not fit."""


class DivergenceError(LaminaError, FloatingPointError):
    """Training came to a loss or a gradient that is not finite, and did not take that step.

    message: what happened, and what to try. step: the optimizer step whose parameters the model
    has. layer: the number of the first layer whose output or gradient was not finite, or None.
    history: of the epochs before, or None.
    """

    def __init__(
        self,
        message: str,
        step: int = 0,
        layer: int | None = None,
        history: Any = None,
    ) -> None:
        super().__init__(message)
        self.step, self.layer, self.history = step, layer, history


def unknown(kind: str, name: object, valid: Iterable[str]) -> UnknownName:
    """The error for a name that is not among the valid ones.

    >>> str(unknown("activation", "rleu", ["relu", "tanh"]))
    "unknown activation 'rleu': did you mean 'relu'? valid: relu, tanh"
    """
    import difflib  # loaded by those who misspell

    names = list(valid)
    near = difflib.get_close_matches(str(name).lower(), [n.lower() for n in names], n=1, cutoff=0.5)
    hint = ""
    if near:
        nearest = next(n for n in names if n.lower() == near[0])
        hint = f": did you mean {nearest!r}?"
    separator = "" if hint else ":"
    return UnknownName(f"unknown {kind} {name!r}{hint}{separator} valid: {', '.join(names)}")
