"""Endless batches, and how many of them are an epoch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import lamina as lm
import pytest
import support


def endless(x: Any, y: Any) -> Iterator[Any]:
    for start in itertools.cycle(range(0, 40, 10)):
        yield x[start : start + 10], y[start : start + 10]


def test_steps_per_epoch() -> None:
    x, y = support.classes(40)
    whole = support.classifier()
    wanted = whole.fit(lambda: itertools.islice(endless(x, y), 3), verbose=0)
    rest = [(x[30:], y[30:]), (x[:10], y[:10]), (x[10:20], y[10:20])]
    wanted_rest = whole.fit(lambda: rest, verbose=0)
    four = [(x[i : i + 10], y[i : i + 10]) for i in range(0, 40, 10)]

    class Anew:
        def __iter__(self) -> Iterator[Any]:
            return iter(four)

    for source in (endless(x, y), lambda: endless(x, y), Anew(), lambda: four):
        model = support.classifier()
        told = model.fit(source, epochs=2, steps_per_epoch=3, verbose=0)
        assert told.history["loss"] == wanted.history["loss"] + wanted_rest.history["loss"]
        assert support.same(model.get_weights(), whole.get_weights())
        assert model.state.step == 6


def test_steps_per_epoch_that_do_not_work() -> None:
    x, y = support.classes(40)
    model = support.classifier()
    with pytest.raises(lm.BadInput, match="for an iterable of batches, not for arrays"):
        model.fit(x, y, steps_per_epoch=3, verbose=0)
    for wrong in (0, -1, 2.5):
        with pytest.raises(lm.BadInput, match="steps_per_epoch must be a whole number"):
            model.fit(endless(x, y), steps_per_epoch=wrong, verbose=0)  # type: ignore[arg-type]
    with pytest.raises(lm.BadInput, match="ended after 1 of the 3 of an epoch"):
        model.fit(itertools.islice(endless(x, y), 4), epochs=2, steps_per_epoch=3, verbose=0)
    assert model.history is not None
    assert model.history.epochs == [1]
    with pytest.raises(lm.BadInput, match="say how many batches of it are an epoch"):
        model.fit(endless(x, y), epochs=2, verbose=0)
    with pytest.raises(lm.BadInput, match="ended after 0 of the 3"):
        model.fit(lambda: [], steps_per_epoch=3, verbose=0)
