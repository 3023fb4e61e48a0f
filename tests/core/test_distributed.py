"""Training in several processes: what one would have come to, and one decision for all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.core.distributed import share
from lamina.core.shared_rows import SharedArrays
from support import CPU
from team_support import CLASSES, FEATURES, ROWS, Threads, data, near, right, together, told


@pytest.fixture(autouse=True)
def _quiet(recwarn: pytest.WarningsRecorder) -> None:
    """Threads do not share what `catch_warnings` keeps."""


def network(backend: str = "numpy", **settings: Any) -> lm.Sequential:
    layers = [
        lm.Standardize(), lm.Dense(7, "tanh", weight_decay=1e-2), lm.Dropout(0.3), lm.Dense(5),
        lm.Dropout(0.2), lm.Dense(CLASSES, "softmax"),
    ]  # fmt: skip
    settings = {
        "optimizer": lm.AdamW(1e-2, weight_decay=0.1, clip_norm=0.2), "seed": 5, **settings
    }  # fmt: skip
    return lm.Sequential(
        layers, "cross_entropy", metrics=("accuracy", "f1"), backend=backend, dtype="float64",
        **settings,
    )  # fmt: skip


def assert_same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    near(found, wanted, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("rows", [0, 1, 5, 12])
def test_parts_of_a_batch_are_all_of_it_and_never_grow_with_fewer_rows(rows: int) -> None:
    parts = [share(rows, rank, 4) for rank in range(4)]
    assert [row for start, stop in parts for row in range(start, stop)] == list(range(rows))
    fewer = [share(max(rows - 1, 0), rank, 4) for rank in range(4)]
    assert all(b - a <= stop - start for (a, b), (start, stop) in zip(fewer, parts, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "ranks", "batch"),
    [
        *((backend, *sizes) for backend in CPU for sizes in ((2, 16), (3, 16), (4, 3))),
        pytest.param("cupy", 1, 16, marks=pytest.mark.cuda),  # one thread at a time uses a GPU
    ],
)
def test_processes_come_to_what_one_comes_to(backend: str, ranks: int, batch: int) -> None:
    """Dropout, row weights, decay, clipping, a last batch of one row, processes without a row."""
    x, y, w = data()
    settings: dict[str, Any] = {
        "epochs": 4, "batch_size": batch, "sample_weight": w, "verbose": 0,
        "validation_split": 0.1,
    }  # fmt: skip

    def work(team: Any) -> dict[str, np.ndarray]:
        model = network(backend)
        found = told(model, model.fit(x, y, **settings, distributed=team))
        measured = model.evaluate(x, y, w, distributed=team)
        return {**found, **{f"of {name}": np.array(v) for name, v in measured.items()}}

    wanted = work(None)
    for found in right(together(ranks, work)):
        assert_same(found, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("piece", [64, 4096])
@pytest.mark.parametrize("hosts", [(2,), (3,), (2, 1), (1, 2, 1)])
def test_gradients_are_added_up_in_memory_that_a_host_shares(
    hosts: tuple[int, ...], piece: int
) -> None:
    """In pieces of eight numbers, or where all of them lie; the same bits in all, whatever the
    order on other hosts."""
    x, y, w = data()

    def work(team: Any) -> dict[str, np.ndarray]:
        model = network("numba")
        settings: dict[str, Any] = {"epochs": 3, "batch_size": 16, "sample_weight": w, "verbose": 0}
        return told(model, model.fit(x, y, **settings, distributed=team))

    wanted = work(None)
    found = right(together(sum(hosts), work, hosts, piece))
    for one in found:
        assert_same(one, wanted)
        np.testing.assert_array_equal(one["weights"], found[0]["weights"])


@pytest.mark.slow
def test_models_share_memory_one_after_the_other() -> None:
    """Gradients of each lie there, other in number; the update reads their sum where it is."""
    x, y, _ = data()

    def work(team: Any) -> dict[str, np.ndarray]:
        settings: dict[str, Any] = {"epochs": 2, "batch_size": 16, "verbose": 0}
        models = [
            lm.Sequential(
                [lm.Dense(width, "tanh"), lm.Dense(CLASSES, "softmax")], "cross_entropy",
                lm.Adam(1e-2), backend="numba", dtype="float64", seed=width,
            )
            for width in (5, 9)
        ]  # fmt: skip
        found = {}
        for turn, model in enumerate(2 * models):
            history = model.fit(x, y, **settings, distributed=team)
            found |= {f"{turn} {name}": v for name, v in told(model, history).items()}
        return found

    wanted = work(None)
    for found in right(together(3, work, (2, 1), 4096)):
        assert_same(found, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_short_epochs_go_many_in_one_run(backend: str) -> None:
    x, y, _ = data()

    def work(team: Any) -> dict[str, np.ndarray]:
        model = lm.Sequential(
            [lm.Dense(4, "relu"), lm.Dropout(0.5), lm.Dense(CLASSES, "softmax")], "cross_entropy",
            lm.SGD(0.1), dtype="float64", backend=backend, seed=1,
        )  # fmt: skip
        return told(model, model.fit(x, y, epochs=40, batch_size=30, verbose=0, distributed=team))

    wanted = work(None)
    for found in right(together(2, work)):
        assert_same(found, wanted)


@pytest.mark.parametrize(("shuffle", "made"), [(False, 1), (True, 3)])
def test_an_order_that_stays_is_made_once(
    shuffle: bool, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y, _ = data()
    calls, one = [], SharedArrays._one

    def counted(source: SharedArrays, epoch: int) -> Any:
        calls.append(epoch)
        return one(source, epoch)

    def work(team: Any) -> dict[str, np.ndarray]:
        settings: dict[str, Any] = {"epochs": 3, "batch_size": 9, "shuffle": shuffle, "verbose": 0}
        callback = lm.Callback()  # so each epoch is a run of its own
        model = network()
        return told(model, model.fit(x, y, **settings, callbacks=[callback], distributed=team))

    monkeypatch.setattr(SharedArrays, "_one", counted)
    wanted = work(None)
    for found in right(together(2, work)):
        assert_same(found, wanted)
    assert len(calls) == 2 * made


def test_a_memory_map_is_read_by_all(tmp_path: Any) -> None:
    x, y, w = data()
    x.astype(np.float32).tofile(tmp_path / "x")
    mapped = np.memmap(tmp_path / "x", np.float32, "r", shape=x.shape)

    def work(team: Any) -> dict[str, np.ndarray]:
        model = network("numpy")
        return told(model, model.fit(mapped, y, 2, 16, sample_weight=w, distributed=team))

    wanted = work(None)
    for found in right(together(2, work)):
        assert_same(found, wanted)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_iterables_are_joined_to_one_batch_a_step(backend: str) -> None:
    """The second has fewer batches; weights of one are a million times those of the other."""
    x, y, w = data()
    w[:30] *= 1e6
    parts = [[(0, 7), (7, 16), (16, 30)], [(30, 44), (44, 61)]]

    def model() -> lm.Sequential:
        layers = [lm.Dense(7, "tanh"), lm.Dropout(0.3), lm.Dense(CLASSES, "softmax")]
        return lm.Sequential(
            layers, "cross_entropy", lm.SGD(0.3), ("accuracy",), backend, "float64", seed=2
        )

    def batches(rank: int) -> Iterator[tuple[np.ndarray, ...]]:
        for start, stop in parts[rank]:
            yield x[start:stop], y[start:stop], w[start:stop]

    def joined() -> Iterator[tuple[np.ndarray, ...]]:
        for first, second in zip(parts[0], [*parts[1], (61, 61)], strict=True):
            rows = [*range(*first), *range(*second)]
            yield x[rows], y[rows], w[rows]

    def work(team: Threads) -> dict[str, np.ndarray]:
        one = model()
        return told(one, one.fit(lambda: batches(team.rank), epochs=3, distributed=team))

    one = model()
    wanted = told(one, one.fit(joined, epochs=3))
    for found in right(together(2, work)):
        assert_same(found, wanted)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_loss_that_is_not_finite_in_one_stops_all_at_that_step(backend: str) -> None:
    x, y = np.ones((64, 2)), np.ones(64)
    y[25] = 1e308  # its square is infinite; the rows come as they are

    def work(team: Any) -> tuple[Any, ...]:
        model = lm.Sequential(
            [lm.Dense(3), lm.Dense(1)], "mean_squared_error", lm.SGD(1e-3), backend=backend,
            dtype="float64", seed=0,
        )  # fmt: skip
        with pytest.raises(lm.DivergenceError) as caught:
            model.fit(x, y, batch_size=16, shuffle=False, distributed=team)
        error = caught.value
        return str(error), error.step, error.layer, model.state.step

    wanted = work(None)
    assert wanted[3] == 1
    for found in right(together(2, work)):
        assert found == wanted


class Notes(lm.Callback):
    """Stops after two epochs, and says what it saw."""

    def __init__(self) -> None:
        self.epochs: list[int] = []
        self.batches = 0

    def on_batch_end(self, model: lm.Sequential, batch: int, values: Any) -> None:
        self.batches += 1

    def on_epoch_end(self, model: lm.Sequential, epoch: int, values: Any) -> None:
        self.epochs.append(epoch)
        if epoch == 2:
            model.stop_training = True
            model.set_weights([np.full_like(w, 0.5) for w in model.get_weights()])
            model.optimizer = lm.SGD(0.125)


def test_callbacks_are_the_first_one_s_and_what_they_change_changes_everywhere() -> None:
    x, y, _ = data()

    def work(team: Any) -> tuple[Any, ...]:
        model, notes = network(), Notes()
        model.fit(x, y, 5, 16, callbacks=[notes], distributed=team, verbose=2)
        weights = np.concatenate([w.ravel() for w in model.get_weights()])
        return notes.epochs, notes.batches, model.optimizer, set(weights), model.state.epoch

    first, second = right(together(2, work))
    assert first == ([1, 2], 8, lm.SGD(0.125), {0.5}, 2)
    assert second == ([], 0, lm.SGD(0.125), {0.5}, 2)


def test_progress_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    x, y, _ = data()
    right(together(3, lambda team: network().fit(x, y, 2, 16, verbose=2, distributed=team)))
    assert capsys.readouterr().out.count("epoch 2/2") == 1


def test_models_begin_with_the_first_one_s_seed_and_weights() -> None:
    x, y, _ = data()

    def work(team: Threads) -> np.ndarray:
        model = network(seed=None if team.rank else 11)
        if team.rank == 0:
            model.build(FEATURES)
        return told(model, model.fit(x, y, 1, 16, distributed=team))["weights"]

    found = together(2, work)
    assert all(isinstance(one, lm.BadInput) for one in found)  # one is built, the other is not

    def both(team: Threads) -> np.ndarray:
        model = network(seed=team.rank)
        model.fit(x, y, epochs=0)
        return told(model, model.fit(x, y, 1, 16, distributed=team))["weights"]

    first, second = right(together(2, both))
    np.testing.assert_array_equal(first, second)


def test_wrong_input_in_one_is_told_to_all_and_ends_none() -> None:
    x, y, _ = data()

    def work(team: Threads) -> Any:
        return network().fit(x, y[: ROWS - team.rank], distributed=team)

    for found in together(2, work):
        assert isinstance(found, lm.BadInput)
        assert str(found).startswith(f"rank 1 of 2: x has {ROWS} rows but y has {ROWS - 1}")


def test_wrong_input_in_all_is_said_as_in_one_process() -> None:
    x, y, _ = data()
    for found in together(2, lambda team: network().fit(x, y[1:], distributed=team)):
        assert type(found) is lm.ShapeError
        assert "rank" not in str(found)


class Fails(lm.Callback):
    def on_epoch_end(self, model: lm.Sequential, epoch: int, values: Any) -> None:
        raise ValueError("the disk is full")


def test_a_callback_s_error_is_raised_by_all() -> None:
    x, y, _ = data()
    found = together(2, lambda team: network().fit(x, y, callbacks=[Fails()], distributed=team))
    assert [str(one) for one in found] == ["the disk is full"] * 2
    assert all(isinstance(one, ValueError) for one in found)


def test_an_error_of_one_alone_ends_the_job() -> None:
    x, y, _ = data()
    teams: dict[int, Threads] = {}

    def work(team: Threads) -> Any:
        teams[team.rank] = team

        def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            yield x, y
            if team.rank == 1:
                raise OSError("the file is gone")
            yield x, y

        model = lm.Sequential([lm.Dense(CLASSES, "softmax")], "cross_entropy", backend="numpy")
        return model.fit(batches, distributed=team)

    together(2, work)
    assert isinstance(teams[1].aborted, OSError)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"optimizer": lm.LBFGS()}, "LBFGS works in one process"),
        ({"layers": [lm.Dense(4), lm.BatchNorm(), lm.Dense(CLASSES, "softmax")]}, "use LayerNorm"),
        ({"layers": [lm.Dense(CLASSES, "softmax", trainable=False)]}, "all layers are frozen"),
    ],
)
def test_what_several_processes_cannot_do_is_refused(change: dict[str, Any], words: str) -> None:
    x, y, _ = data()

    def work(team: Any) -> Any:
        settings = {"layers": [lm.Dense(CLASSES, "softmax")], "optimizer": lm.Adam(), **change}
        model = lm.Sequential(**settings, loss="cross_entropy", backend="numpy")
        return model.fit(x, y, distributed=team)

    for found in together(2, work):
        assert isinstance(found, lm.BadInput)
        assert words in str(found)


def test_joined_batches_are_refused() -> None:
    x, y, _ = data()
    for found in together(2, lambda t: network().fit(x, y, accumulate=2, distributed=t)):
        assert isinstance(found, lm.BadInput)
        assert "accumulate" in str(found)


def test_what_it_takes_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, _ = data()
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(lm.BadInput, match=r'pip install "lamina\[mpi\]"'):
        network().fit(x, y, distributed=True)
    with pytest.raises(lm.BadInput, match=r"True or an lm\.Distributed"):
        network().fit(x, y, distributed="mpi")  # type: ignore[arg-type]
