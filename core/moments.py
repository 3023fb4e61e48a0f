"""What an action of the first process changed in a model, for the others to do the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..kernels.errors import BadInput

if TYPE_CHECKING:
    from .model import Sequential


class Moment:
    """What a model was before an action."""

    def __init__(self, model: Sequential) -> None:
        self.state, self.optimizer = model.state if model.built else None, model.optimizer
        self.version = self._version(model)

    def changes(self, model: Sequential) -> dict[str, Any]:
        """What the action changed. Raises: BadInput for what cannot be told to others."""
        if self.state is not None and model.state is not self.state:
            raise BadInput(
                "a callback moved the model or froze some of it, which several processes cannot"
                " follow: do it before fit"
            )
        found: dict[str, Any] = {"stop": model.stop_training}
        if model.optimizer is not self.optimizer:
            found["optimizer"] = model.optimizer
        if self._version(model) != self.version:
            found["state"] = model.state.numbers()
        return found

    @staticmethod
    def _version(model: Sequential) -> tuple[int, ...]:
        return (*model.state.version, model.state.epoch) if model.built else ()


def apply(model: Sequential, changes: dict[str, Any]) -> None:
    """Makes the changes that another process made."""
    model.stop_training = changes["stop"]
    if "optimizer" in changes:
        model.optimizer = changes["optimizer"]
    if "state" in changes:
        write(model, changes["state"])


def write(model: Sequential, numbers: Any) -> None:
    """Makes the numbers of a model's state those."""
    state = model.state
    _, _, state.seed, (state.step, state.epoch), segments = numbers
    for name, flat in segments.items():
        state.write(name, flat)
