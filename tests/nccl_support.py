"""Trainings of ranks that are threads, each on a device of the fake, and what they ask of it."""

from __future__ import annotations

from typing import Any

import cupy_fake
import lamina as lm
import numpy as np
import pytest
import team_support
from lamina.backends.fused_steps import FusedStepsBinding
from team_support import CLASSES, data, right, together


def network(backend: Any = "cupy", **settings: Any) -> lm.Sequential:
    layers = [
        lm.Dense(7, "tanh", weight_decay=1e-2), lm.Dropout(0.3), lm.Dense(5), lm.Dropout(0.2),
        lm.Dense(CLASSES, "softmax"),
    ]  # fmt: skip
    settings = {
        "optimizer": lm.AdamW(1e-2, weight_decay=0.1, clip_norm=0.2), "metrics": ("accuracy",),
        "dtype": "float64", "seed": 5, **settings,
    }  # fmt: skip
    return lm.Sequential(layers, "cross_entropy", backend=backend, **settings)


def near(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray], by: float = 1e-9) -> None:
    team_support.near(found, wanted, by, by)


class Asked:
    """What each rank asks for: sums as they are launched or recorded, and replays of graphs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ways: dict[int, list[str]] = {0: [], 1: []}
        self.sums: list[tuple[Any, ...]] = []
        self.graphs: list[tuple[int, list[str]]] = []  # steps of each, and its nodes
        machine, kind = cupy_fake.machine, cupy_fake.nccl.NcclCommunicator
        plain, launch, capture = kind.allReduce, machine.Graph.launch, FusedStepsBinding._capture

        def all_reduce(one: Any, *given: Any) -> None:
            self.sums.append((one.device_id(), *given))
            self.ways[one.device_id()].append("recorded" if machine.capturing() else "launched")
            plain(one, *given)

        def launched(graph: Any, stream: Any = None) -> None:
            self.ways[machine.device()].append(f"replayed {graph.names.count('ncclAllReduce')}")
            launch(graph, stream)

        def captured(binding: Any, ready: Any, kind: Any) -> Any:
            made = capture(binding, ready, kind)
            graph = getattr(made.replay, "__self__", None)
            if isinstance(graph, machine.Graph):
                self.graphs.append((kind.count, graph.names))
            return made

        monkeypatch.setattr(kind, "allReduce", all_reduce)
        monkeypatch.setattr(machine.Graph, "launch", launched)
        monkeypatch.setattr(FusedStepsBinding, "_capture", captured)


def asked_of(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What a rank asks for in a training whose sums are checked: buffers, counts, one stream."""
    x, y, w = data()
    with monkeypatch.context() as patched:
        asked, model = Asked(patched), network()

        def work(team: Any) -> Any:
            model.fit(x, y, 6, 4, sample_weight=w, distributed=team, verbose=0)
            flat = model.state.with_loss
            place, library = flat.data.ptr, cupy_fake.nccl
            return (
                0, place, place, flat.size, library.NCCL_FLOAT64, library.NCCL_SUM,
                model.backend.stream.ptr,
            )  # fmt: skip

        (wanted,) = right(together(1, work))
    assert model.state.with_loss.size == model.state.layout.length("parameters") + 1
    assert set(asked.sums) == {wanted}
    return asked


def in_order(asked: Asked) -> None:
    """Each step sums once, after the backward pass, and before the guard, clipping and update."""
    assert {count for count, _ in asked.graphs} == {1, 8}
    for count, names in asked.graphs:
        sums = [at for at, name in enumerate(names) if name == "ncclAllReduce"]
        guards = [at for at, name in enumerate(names) if name == "judge"]
        updates = [at for at, name in enumerate(names) if name == "adam"]
        products = [at for at, name in enumerate(names) if name == "cublas"]
        assert len(sums) == count
        for number, sum in enumerate(sums):
            begin, end = (updates[number - 1] if number else -1), updates[number]
            inside = [at for at in products if begin < at < end]
            assert max(inside) < sum < min(at for at in guards if begin < at < end)


def far(y: Any, p: Any) -> Any:
    """A loss that can be infinite where its derivative is finite."""
    return 10.0 * abs(p - y)


def diverges(team: Any, backend: str, loss: Any, spoilt: int, steps_of: int) -> tuple[Any, ...]:
    """What a training says that stops at the row `spoilt`, which is one rank's."""
    x, y = np.ones((320, 2)), np.ones(320)
    x[:, 1] = np.linspace(0.0, 1.0, 320)
    y[spoilt] = 1e308
    model = lm.Sequential(
        [lm.Dense(3), lm.Dense(1)], loss, lm.SGD(1e-3), backend=backend, dtype="float64", seed=0
    )
    with pytest.raises(lm.DivergenceError) as caught:
        model.fit(x, y, 2, steps_of, shuffle=False, distributed=team, verbose=0)
    error = caught.value
    return str(error), error.step, error.layer, model.state.step, model.get_weights()
