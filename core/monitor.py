"""A number of the history that is watched: which way it is better, and whether it is now."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from ..kernels.errors import BadInput, unknown
from .checks import check_count, check_number
from .directions import Mode, direction


def check_monitor(who: str, mode: str, min_delta: float, start_epoch: int) -> None:
    """Raises UnknownName or BadInput for settings of a callback that none can have."""
    if mode not in ("auto", *get_args(Mode)):
        raise unknown(f"{who} mode", mode, ("auto", *get_args(Mode)))
    check_number(f"{who}: min_delta", min_delta, 0.0, math.inf, open_high=True)
    check_count(f"{who}: start_epoch", start_epoch)


class Monitor:
    """The best so far of one number.

    who: the callback, for messages. name: in the history; None is "val_loss", or "loss" without
    validation. mode: "min", "max" or "auto". min_delta: what a better number must be better by.
    """

    def __init__(self, who: str, name: str | None, mode: str, min_delta: float) -> None:
        self.who, self.name, self.mode, self.min_delta = who, name, mode, min_delta
        self.best = math.nan

    def check(self, metrics: Iterable[Any]) -> None:
        """Raises BadInput before the training where nobody said which way a metric is better."""
        metrics = list(metrics)
        names = [metric.name for metric in metrics]
        if self.name is not None and self.name.removeprefix("val_") in names:
            self.rising(metrics, self.name)

    def rising(self, metrics: Iterable[Any], name: str) -> bool:
        """Whether more is better. Raises: BadInput where nobody said."""
        found = direction(name, metrics) if self.mode == "auto" else self.mode
        if found is None:
            raise BadInput(
                f'{self.who}: is more of {name!r} better, or less? Say mode="max" or mode="min"'
            )
        return found == "max"

    def improved(self, metrics: Iterable[Any], values: Mapping[str, float]) -> bool:
        """Whether the number is the best so far, which it then is; NaN never is.

        Raises: BadInput for a name that the history lacks, or that is an array there.
        """
        name = self.name or ("val_loss" if "val_loss" in values else "loss")
        if name not in values:
            raise BadInput(f"{self.who}: no {name!r} in the history; it has {', '.join(values)}")
        value, sign = values[name], 1.0 if self.rising(metrics, name) else -1.0
        if hasattr(value, "shape"):
            raise BadInput(f"{self.who}: {name!r} is an array, and only a number can be monitored")
        better = not math.isnan(value) and (
            math.isnan(self.best) or sign * value > sign * self.best + self.min_delta
        )
        if better:
            self.best = value
        return better
