"""Updates that are split between the processes of a host come to the bits of whole ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.backends.native import sharing
from lamina.backends.parts import own
from team_support import CLASSES, FEATURES, data, right, together

PIECE, ROOM = 4096, 1 << 15
STEPS = 3  # of a run that is split here
SETTINGS: dict[str, Callable[[], dict[str, Any]]] = {
    "clipped": lambda: {"optimizer": lm.AdamW(1e-2, weight_decay=0.1, clip_norm=0.2)},
    "averaged": lambda: {"optimizer": lm.Adam(1e-2, average=lm.EMA(0.9))},
    "momentum": lambda: {"optimizer": lm.SGD(0.05, momentum=0.9, average=lm.SWA(start=3))},
    "plain": lambda: {"optimizer": lm.SGD(0.05)},
    "lion": lambda: {"optimizer": lm.Lion(1e-3, weight_decay=0.1)},
}


@pytest.fixture(autouse=True)
def _quiet(recwarn: pytest.WarningsRecorder) -> None:
    """Threads do not share what `catch_warnings` keeps."""


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each run was split, while gradients of any size are."""
    found: list[bool] = []
    begin = sharing.Sharing.begin

    def noted(one: sharing.Sharing) -> None:
        begin(one)
        found.append(one.begun)

    monkeypatch.setattr(sharing.Sharing, "begin", noted)
    monkeypatch.setattr(sharing, "SPLIT_BYTES", (0, ROOM))
    monkeypatch.setattr(sharing, "STEPS", STEPS)
    return found


def trained(team: Any, dtype: str = "float64", *, special: bool = False, **made: Any) -> Any:
    """The state's numbers after fits between which weights and rates are changed."""
    x, y, w = data()
    layers = [lm.Dense(17, "tanh", weight_decay=1e-2), lm.Dense(11), lm.Dense(CLASSES, "softmax")]
    model = lm.Sequential(layers, "cross_entropy", backend="numba", dtype=dtype, seed=5, **made)
    model.build(FEATURES)
    settings: dict[str, Any] = {"sample_weight": w, "verbose": 0, "distributed": team}
    model.fit(x, y, epochs=6, batch_size=8, **settings)
    model.set_weights([0.5 * one for one in model.get_weights()])
    if special:
        model.freeze(0)
        model.set_rates({1: 0.1})
    model.fit(x, y, epochs=6, batch_size=5, shuffle=False, **settings)
    return model.session.state.numbers()


def assert_same_bits(found: Any, wanted: Any) -> None:
    assert found[:4] == wanted[:4]
    for name, numbers in wanted[4].items():
        if name not in ("gradients", "before"):  # which no step reads from the one before
            np.testing.assert_array_equal(found[4][name], numbers, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SETTINGS)
def test_two_that_split_updates_come_to_the_bits_of_whole_ones(
    name: str, dtype: str, runs: list[bool]
) -> None:
    def work(team: Any) -> Any:
        return trained(team, dtype, **SETTINGS[name]())

    wanted = right(together(2, work, (2,), PIECE))
    assert not any(runs)  # there is no room
    for one in right(together(2, work, (2,), PIECE, ROOM)):
        assert_same_bits(one, wanted[0])
    assert any(runs)
    assert not all(runs)  # the first ones are short


@pytest.mark.slow
@pytest.mark.parametrize("hosts", [(3,), (2, 1), (1, 2, 1)])
def test_on_several_hosts_with_frozen_layers_and_rates(
    hosts: tuple[int, ...], runs: list[bool]
) -> None:
    """Of five processes some have no row of the last batch."""

    def work(team: Any) -> Any:
        return trained(team, special=True, **SETTINGS["clipped"]())

    wanted = right(together(sum(hosts), work, hosts, PIECE))
    for one in right(together(sum(hosts), work, hosts, PIECE, ROOM)):
        assert_same_bits(one, wanted[0])
    assert any(runs)


@pytest.mark.slow
def test_several_threads_in_each_process(many_threads: Any, runs: list[bool]) -> None:
    wanted = right(together(2, lambda team: trained(team, **SETTINGS["averaged"]()), (2,), PIECE))
    many_threads(2)
    found = together(2, lambda team: trained(team, **SETTINGS["averaged"]()), (2,), PIECE, ROOM)
    for one in right(found):
        for name in ("parameters", *one[0].slots):
            np.testing.assert_allclose(one[4][name], wanted[0][4][name], rtol=1e-9, atol=1e-12)
    assert any(runs)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("large", [1e120, 1e200])
def test_what_is_not_finite_in_one_stops_all_before_that_step(
    rank: int, large: float, runs: list[bool]
) -> None:
    """A loss, or a gradient too large to square, which is in the second process's part alone."""
    x, y, _ = data()
    x, y = x[:48], np.linspace(-1.0, 1.0, 48)[:, None]
    x[24 + 4 * rank + 1, -1] = large  # of the fourth batch
    layers = [lm.Dense(30, use_bias=False), lm.Dense(1)]

    def work(team: Any) -> Any:
        model = lm.Sequential(
            layers, "mean_squared_error", lm.Adam(1e-3), backend="numba", dtype="float64", seed=2
        )
        model.build(FEATURES)
        model.fit(x[:24], y[:24], epochs=4, batch_size=8, shuffle=False, verbose=0,
                  distributed=team)  # fmt: skip
        with pytest.raises(lm.DivergenceError) as told:
            model.fit(x, y, epochs=4, batch_size=8, shuffle=False, verbose=0, distributed=team)
        return str(told.value), told.value.step, model.session.state.numbers()

    wanted = right(together(2, work, (2,), PIECE))
    found = right(together(2, work, (2,), PIECE, ROOM))
    assert any(runs)
    for words, step, numbers in found:
        assert (words, step) == wanted[0][:2]
        assert_same_bits(numbers, wanted[0][2])


def test_parts_are_all_elements_once() -> None:
    for count in (1, 15, 16, 33, 1000):
        for ranks in (1, 2, 3, 7):
            parts = [own(count, rank, ranks) for rank in range(ranks)]
            assert [at for a, b in parts for at in range(a, b)] == list(range(count))


def test_a_run_of_one_step_keeps_the_state_where_it_is(runs: list[bool]) -> None:
    """Someone who is told of each batch looks at the weights after it."""
    x, y, _ = data()

    class Batches(lm.Callback):
        def on_batch_end(self, model: Any, batch: int, values: Any) -> None:
            """Told of each."""

    def work(team: Any) -> None:
        model = lm.Sequential([lm.Dense(CLASSES, "softmax")], "cross_entropy", backend="numba")
        model.build(FEATURES)
        settings: dict[str, Any] = {"verbose": 0, "distributed": team, "callbacks": [Batches()]}
        model.fit(x, y, epochs=2, batch_size=4, **settings)

    right(together(2, work, (2,), PIECE, ROOM))
    assert runs
    assert not any(runs)
