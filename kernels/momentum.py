"""Numbers of an update that follow from the step alone: NAdam's momentum, shares of averages."""

from __future__ import annotations

from functools import cache
from numbers import Integral
from typing import Any

import numpy as np

BASE = 0.96  # of the momentum's warm-up, as Dozat 2016 and torch have it
NEGLIGIBLE = 1e-18  # beside one


def warmed(step: int, beta1: float, decay: float) -> float:
    """The momentum of a step, from 1: beta1 (1 - 0.96 ** (step decay) / 2)."""
    return float(beta1 * (1.0 - 0.5 * BASE ** (step * decay)))


@cache
def products(beta1: float, decay: float) -> np.ndarray:
    """The products of the momenta up to each step, (n,) float64.

    It ends where a product is nothing beside one, or where the momenta are beta1: from there on
    each is the one before times beta1. That is after some 3,000 steps at most.
    """
    found = [warmed(1, beta1, decay)]
    while found[-1] > NEGLIGIBLE and BASE ** (len(found) * decay) > NEGLIGIBLE:
        found.append(found[-1] * warmed(len(found) + 1, beta1, decay))
    made = np.array(found)
    made.flags.writeable = False  # it is the same for whoever asks
    return made


def shares(step: int, beta1: float, decay: float) -> tuple[float, float]:
    """What NAdam's step takes of the gradient and of its running mean, at a step from 1.

    (1 - mu_t) / (1 - mu_1 ... mu_t) and mu_(t+1) / (1 - mu_1 ... mu_(t+1)).
    """
    known, now = products(beta1, decay), warmed(step, beta1, decay)
    ahead = warmed(step + 1, beta1, decay)
    place = min(step, len(known))
    product = float(known[place - 1]) * beta1 ** (step - place)
    return (1.0 - now) / (1.0 - product), ahead / (1.0 - product * ahead)


def shares_at(xp: Any, step: Any, beta1: float, decay: float) -> tuple[Any, Any]:
    """`shares`, of a step that may be an array of rank 0 on a device: then they are as well."""
    if isinstance(step, Integral):
        return shares(int(step), beta1, decay)
    known = xp.asarray(products(beta1, decay))
    now, ahead = (beta1 * (1.0 - 0.5 * BASE ** (n * decay)) for n in (step, step + 1))
    place = xp.clip(step, 1, known.shape[0])
    found = xp.reshape(xp.take(known, xp.reshape(place - 1, (1,)), axis=0), ())
    product = found * beta1 ** (step - place)
    return (1.0 - now) / (1.0 - product), ahead / (1.0 - product * ahead)


def average_share(step: int, decay: float, start: int, every: int) -> float:
    """How far an average goes towards the parameters of a step, from 1; 0 where it stays.

    It takes those of every `every`-th step after `start`, the first ones as they are. decay: what
    is then kept of the average; 0: all that were taken weigh the same.
    """
    past = step - start
    if past <= 0 or past % every:
        return 0.0
    taken = past // every
    return 1.0 - decay if decay > 0.0 and taken > 1 else 1.0 / taken


def average_share_at(xp: Any, step: Any, decay: float, start: int, every: int) -> Any:
    """`average_share`, of a step that may be an array of rank 0 on a device: then it is as well."""
    if isinstance(step, Integral):
        return average_share(int(step), decay, start, every)
    past = step - start
    taken, due = past // every, (past > 0) & (past % every == 0)
    share = 1.0 / taken
    if decay > 0.0:
        share = xp.where(taken > 1, xp.full_like(share, 1.0 - decay), share)
    return xp.where(due, share, xp.zeros_like(share))
