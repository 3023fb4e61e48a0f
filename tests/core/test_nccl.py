"""Gradients summed by NCCL in captured steps: two ranks are two threads, each on a fake device.

Nothing here ran on a GPU.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends import threads
from lamina.backends.cupy import CupyBackend
from lamina.core import device_sums, sources

cupy_fake = pytest.importorskip("cupy_fake", reason="CuPy's package is not installed")
from nccl_support import (  # noqa: E402
    Asked,
    asked_of,
    diverges,
    far,
    in_order,
    near,
    network,
)  # fmt: skip
from team_support import CLASSES, FEATURES, ROWS, data, right, together, told  # noqa: E402


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The backend on the fake's first device; runs get longer on any machine."""
    monkeypatch.setattr(sources, "POLITE_SECONDS", np.inf)
    with cupy_fake.installed():
        cupy_fake.nccl.abandoned.clear()
        yield lm.get_backend("cupy")
        assert not cupy_fake.nccl.abandoned


@pytest.mark.long
@pytest.mark.parametrize(("ranks", "batch"), [(1, 16), (2, 16), (2, 17), (2, 3)])
def test_ranks_come_to_what_one_process_comes_to(ranks: int, batch: int) -> None:
    """Over 50 steps and more: dropout, row weights, decay, clipping, a partial batch."""
    x, y, w = data()
    epochs = -(-50 // -(-ROWS // batch))
    settings: dict[str, Any] = {
        "epochs": epochs, "batch_size": batch, "sample_weight": w, "verbose": 0,
    }  # fmt: skip

    def work(team: Any) -> Any:
        model = network()
        found = told(model, model.fit(x, y, **settings, distributed=team))
        return found, model.backend.index, str(lm.explain(model)).splitlines()[2]

    one = network("numpy")
    wanted = told(one, one.fit(x, y, **settings))
    before = cupy_fake.counts["graphs"]
    every = right(together(ranks, work))
    assert cupy_fake.counts["graphs"] > before
    for rank, (found, index, said) in enumerate(every):
        near(found, wanted)
        assert index == rank
        assert said.endswith("gradients summed by NCCL")
        np.testing.assert_array_equal(found["weights"], every[0][0]["weights"])


# What is asked of a device


@pytest.mark.slow
def test_a_step_sums_gradients_and_loss_once_between_backward_and_guard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_order(asked_of(monkeypatch))


@pytest.mark.long
def test_a_step_is_one_node_more_than_without(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, w = data()
    asked = Asked(monkeypatch)
    network().fit(x, y, 6, 4, sample_weight=w, verbose=0)
    alone = {count: len(names) for count, names in asked.graphs}
    asked.graphs.clear()
    right(together(1, lambda t: network().fit(x, y, 6, 4, sample_weight=w, distributed=t)))
    shared = {count: len(names) for count, names in asked.graphs}
    assert shared == {count: nodes + count for count, nodes in alone.items()}
    assert set(shared) == {1, 8}


@pytest.mark.long
def test_inside_a_run_nothing_goes_to_the_host_or_comes_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y, _ = data()
    between: list[Counter[str]] = []
    launch = cupy_fake.machine.Graph.launch

    def watched(graph: Any, stream: Any = None) -> None:
        between.append(Counter(cupy_fake.counts))
        launch(graph, stream)

    monkeypatch.setattr(cupy_fake.machine.Graph, "launch", watched)
    x, y = np.repeat(x, 8, axis=0), np.repeat(y, 8)
    model = lm.Sequential(
        [lm.Dense(5, "relu"), lm.Dropout(0.2), lm.Dense(CLASSES, "softmax")], "cross_entropy",
        backend="cupy", seed=0,
    )  # fmt: skip
    right(together(1, lambda t: model.fit(x[:480], y[:480], 3, 4, distributed=t, verbose=2)))
    runs = [new - old for old, new in itertools.pairwise(between)]
    inside = [one for one in runs if one["nodes"] and not one["waits"]]
    assert len(inside) > 20
    assert all(set(one) == {"graphs", "nodes"} for one in inside)  # no upload, no allocation


@pytest.mark.slow
@pytest.mark.parametrize("batch", [16, 17, 15])
def test_all_ranks_launch_record_and_replay_the_same_sums_at_once(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one has as many rows of the last batch as of all, and another has not."""
    asked = Asked(monkeypatch)
    x, y, _ = (one[:61] for one in data())
    x, y = np.concatenate([x, x[:6]]), np.concatenate([y, y[:6]])  # 67 rows: 3 * 17 + 16
    right(together(2, lambda t: network().fit(x, y, 5, batch, distributed=t, verbose=0)))
    assert asked.ways[0] == asked.ways[1]
    assert {"launched", "recorded"} < set(asked.ways[0])


@pytest.mark.long
@pytest.mark.parametrize("expressions", [False, True])
def test_captured_and_launched_agree_bit_for_bit(expressions: bool) -> None:
    from cupy_fake.expressions import Expressions

    x, y, w = data()
    kind = Expressions if expressions else CupyBackend

    def trained(graphs: bool) -> list[dict[str, np.ndarray]]:
        backends = [kind(0, graphs=graphs), kind(1, graphs=graphs)]

        def work(team: Any) -> dict[str, np.ndarray]:
            model = network(backends[team.rank], dtype="float32")
            return told(
                model, model.fit(x, y, 7, 8, sample_weight=w, distributed=team, verbose=0)
            )  # fmt: skip

        return right(together(2, work))

    before = cupy_fake.counts["graphs"]
    launched = trained(graphs=False)
    assert cupy_fake.counts["graphs"] == before
    captured = trained(graphs=True)
    assert cupy_fake.counts["graphs"] > before
    for one, other in zip(launched, captured, strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(other[name], value, err_msg=name)


# Divergence


@pytest.mark.slow
@pytest.mark.parametrize("loss", [far, "mean_squared_error"])
@pytest.mark.parametrize("spoilt", [5, 147, 319])  # of the first rank, of the second
def test_a_loss_that_is_not_finite_on_one_rank_stops_all_at_numpys_step(
    loss: Any, spoilt: int
) -> None:
    wanted = diverges(None, "numpy", loss, spoilt, 8)
    assert wanted[3] == spoilt // 8
    first, second = right(together(2, lambda t: diverges(t, "cupy", loss, spoilt, 8)))
    assert first[:4] == second[:4] == wanted[:4]
    for one, other, weight in zip(first[4], second[4], wanted[4], strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(one, weight, rtol=1e-9)


def test_a_rate_that_is_too_large_stops_all_at_numpys_step() -> None:
    x, y = support.regression(64, 3)

    def work(team: Any, backend: str = "cupy") -> tuple[Any, ...]:
        layers = [lm.Dense(4), lm.Dense(2)]
        model = lm.Sequential(
            layers, "mean_squared_error", lm.SGD(1e160), backend=backend, dtype="float64", seed=0
        )
        with pytest.raises(lm.DivergenceError) as caught:
            model.fit(x, y, 99, 8, distributed=team, verbose=0)
        return str(caught.value), caught.value.step, caught.value.layer

    wanted = work(None, "numpy")
    assert right(together(2, work)) == [wanted, wanted]


@pytest.mark.long
def test_short_epochs_go_many_in_one_run() -> None:
    x, y, _ = data()

    def work(team: Any, backend: str = "cupy") -> dict[str, np.ndarray]:
        layers = [lm.Dense(4, "relu"), lm.Dropout(0.5), lm.Dense(CLASSES, "softmax")]
        model = lm.Sequential(
            layers, "cross_entropy", lm.SGD(0.1), dtype="float64", backend=backend, seed=1
        )
        return told(model, model.fit(x[:60], y[:60], 40, 20, verbose=0, distributed=team))

    wanted = work(None, "numpy")
    for found in right(together(2, work)):
        near(found, wanted)


@pytest.mark.slow
def test_a_memory_map_and_iterables_are_summed_as_well(tmp_path: Any) -> None:
    """What comes from an iterable is launched: each rank's batches have sizes of their own."""
    x, y, w = data()
    x.astype(np.float32).tofile(tmp_path / "x")
    mapped = np.memmap(tmp_path / "x", np.float32, "r", shape=x.shape)
    parts = [[(0, 7), (7, 16), (16, 30)], [(30, 44), (44, 61)]]

    def work(team: Any, backend: str = "cupy") -> list[dict[str, np.ndarray]]:
        one, other = network(backend), network(backend)
        found = [told(one, one.fit(mapped, y, 2, 16, sample_weight=w, distributed=team))]
        pieces = [[*range(*p)] for p in parts[team.rank]] if team else []
        if not team:
            pieces = [[*range(7), *range(30, 44)], [*range(7, 16), *range(44, 61)]]
            pieces.append([*range(16, 30)])
        batches = [(x[rows], y[rows], w[rows]) for rows in pieces]
        return [*found, told(other, other.fit(lambda: batches, epochs=3, distributed=team))]

    wanted = work(None, "numpy")
    for found in right(together(2, work)):
        for one, other in zip(found, wanted, strict=True):
            near(one, other)


@pytest.mark.slow
def test_a_training_goes_on_and_evaluates_on_the_same_devices() -> None:
    """Each fit has sums of its own, which end with it: no graph that names them is left."""
    x, y, w = data()

    def work(team: Any, backend: str = "cupy") -> dict[str, np.ndarray]:
        model = network(backend)
        before = model.fit(x, y, 2, 16, distributed=team, verbose=0).history["loss"]
        found = told(model, model.fit(x, y, 3, 16, distributed=team, verbose=0))
        measured = model.evaluate(x, y, w, distributed=team)
        return {**found, "before": np.array(before), **{f"of {k}": v for k, v in measured.items()}}

    wanted = work(None, "numpy")
    for found in right(together(2, work)):
        near(found, wanted)


# Which device, and which way


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [
        (("cuda", "cuda", "cuda", "cuda"), [0, 0, 1, 1]),
        (("cuda:1", "cuda", "cuda", "cuda"), [1, 0, 0, 1]),
    ],
)
def test_ranks_of_a_host_take_its_devices_in_turn(
    chosen: Any, wanted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the hosts a and b, in turn; one that is alone on its device keeps it."""
    models = [network(choice).build(FEATURES) for choice in chosen]
    weights = models[0].get_weights()
    places = [(host, m.backend.place) for host, m in zip("abab", models, strict=True)]
    for rank, model in enumerate(models):
        monkeypatch.setattr(device_sums.socket, "gethostname", lambda: "abab"[rank])  # noqa: B023
        team: Any = SimpleNamespace(rank=rank, gathered=lambda mine: places)
        device_sums.placed(team, model.session)
    assert [model.backend.index for model in models] == wanted
    assert support.same(models[0].get_weights(), weights)
    assert models[3].session.backend_reason == "asked for 'cuda'; cupy:1 for rank 3"


@pytest.mark.slow
def test_devices_that_were_chosen_are_kept() -> None:
    x, y, _ = data()

    def work(team: Any) -> tuple[int, str]:
        model = network(f"cuda:{1 - team.rank}")
        model.fit(x, y, 1, 16, distributed=team, verbose=0)
        return model.backend.index, model.session.shared_by

    (first, said), (second, _) = right(together(2, work))
    assert (first, second) == (1, 0)
    assert said.endswith("gradients summed by NCCL")


def fails(*given: Any) -> None:
    raise cupy_fake.nccl.NcclError(2, "no network")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("available", False), "rank 0: there is no NCCL: pip install"),
        (("get_unique_id", fails), "rank 0: NcclError: NCCL_ERROR_SYSTEM_ERROR: no network"),
        (("NcclCommunicator", fails), "NcclError: NCCL_ERROR_SYSTEM_ERROR: no network"),
        (None, "rank 0: cupy.cuda.nccl cannot be imported (cannot import name 'nccl'"),
        (("pci_bus_id", "0000:01:00.0"), "2 ranks share the GPU 0000:01:00.0"),
        ((), "rank 1 computes on another kind of device"),
    ],
    ids=["missing", "no identity", "no communicator", "no import", "one GPU", "a CPU"],
)
def test_where_nccl_cannot_the_host_sums_and_says_so(
    change: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "share" in why:
        monkeypatch.setattr(cupy_fake.machine.Device, *change)
    elif change:
        monkeypatch.setattr(cupy_fake.nccl, *change)
    elif change is None:
        monkeypatch.delattr(cupy_fake.module().cuda, "nccl")
        monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", None)
    x, y, w = data()

    def work(team: Any, backend: Any = None) -> Any:
        cpu = "computes" in why and team and team.rank
        model = network(backend or ("numpy" if cpu else "cupy"))
        found = told(model, model.fit(x, y, 3, 16, sample_weight=w, distributed=team, verbose=0))
        return found, str(lm.explain(model)).splitlines()[2], getattr(team, "sums", 0)

    wanted, *_ = work(None, "numpy")
    before = cupy_fake.counts["graphs"]
    for found, said, sums in right(together(2, work)):
        near(found, wanted)
        assert f"gradients summed through the host: {why}" in said
        assert sums >= 12  # one a step
    assert cupy_fake.counts["graphs"] == before


def test_nothing_is_said_of_gradients_where_no_gpu_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_chosen", [])
    x, y, _ = data()

    def work(team: Any) -> str:
        model = network("numpy")
        model.fit(x, y, 1, 16, distributed=team, verbose=0)
        return model.session.shared_by

    said = [one.partition(" on this host, ")[2] for one in right(together(2, work))]
    assert said == ["1 thread each"] * 2


def computed(y: Any, p: Any) -> Any:
    """`far`, with indices that are looked at, so that its steps are walked."""
    return 10.0 * abs(lm.ops.pick(p, lm.ops.cast(y * 0.0, "int32")) - y)


@pytest.mark.long
def test_steps_that_are_walked_are_summed_by_devices_as_well() -> None:
    x, y, w = data()

    def work(team: Any, backend: str = "cupy") -> Any:
        model = lm.Sequential(
            [lm.Dense(5, "tanh"), lm.Dense(1)], computed, lm.SGD(0.1), backend=backend,
            dtype="float64", seed=3,
        )  # fmt: skip
        found = model.fit(x, y, 3, 16, sample_weight=w, distributed=team, verbose=0)
        return told(model, found), getattr(team, "sums", 0)

    wanted, _ = work(None, "numpy")
    for found, sums in right(together(2, work)):
        near(found, wanted)
        assert sums <= 3 * 4  # of losses, after each run, and none of gradients
    stopped = diverges(None, "numpy", computed, 147, 8)
    for found in right(together(2, lambda t: diverges(t, "cupy", computed, 147, 8))):
        assert found[:4] == stopped[:4]
