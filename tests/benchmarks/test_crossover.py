"""From which size on which backend wins: the arithmetic, the ladder, and a real small run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lamina as lm
import pytest
from lamina.__main__ import app
from lamina.backends import measured
from lamina.backends.selection import get_backend
from lamina.benchmarks import crossover
from lamina.benchmarks.crossover import Point, ladder, thresholds
from lamina.kernels import ops
from typer.testing import CliRunner


def curve(*points: tuple[float, float, float]) -> list[Point]:
    return [Point(size, {"a": a, "b": b}) for size, a, b in points]


def test_one_that_wins_everywhere() -> None:
    found = thresholds(curve((10, 1.0, 2.0), (100, 3.0, 9.0), (1000, 5.0, 6.0)))
    assert [(t.start, t.backend) for t in found] == [(0.0, "a")]


def test_the_crossing_lies_where_the_lines_cross() -> None:
    # a takes size, b takes sqrt(size) * 10: equal at 100
    found = thresholds(curve((10, 10.0, 10 * 10**0.5), (1000, 1000.0, 10 * 1000**0.5)))
    assert found[0].backend == "a"
    assert found[1].backend == "b"
    assert found[1].start == pytest.approx(100.0)


def test_noise_dethrones_nobody() -> None:
    found = thresholds(curve((1, 1.0, 1.01), (10, 1.02, 1.0), (100, 1.0, 1.03), (1000, 1.05, 1.0)))
    assert [t.backend for t in found] == ["a"]


def test_one_that_was_as_good_before() -> None:
    found = thresholds(curve((1, 1.0, 2.0), (10, 1.0, 0.98), (100, 2.0, 1.0)))
    assert [(t.start, t.backend) for t in found] == [(0.0, "a"), (10, "b")]


def test_back_and_forth() -> None:
    found = thresholds(curve((1, 1.0, 2.0), (10, 2.0, 1.0), (100, 1.0, 2.0)))
    assert [t.backend for t in found] == ["a", "b", "a"]
    assert [t.start for t in found] == sorted(t.start for t in found)


def test_a_backend_that_has_lost_is_not_measured_any_more() -> None:
    asked: list[tuple[int, tuple[str, ...]]] = []

    def at(size: int, names: Any) -> Point:
        asked.append((size, tuple(names)))
        return Point(size, {n: {"slow": float(size), "fast": 1.0, "near": 5.0}[n] for n in names})

    points = ladder((10, 100, 1000), ("slow", "fast", "near"), at)
    assert asked == [
        (10, ("slow", "fast", "near")), (100, ("slow", "fast", "near")), (1000, ("fast", "near"))
    ]  # fmt: skip
    assert [t.backend for t in thresholds(points)] == ["fast"]


def test_a_wrong_kernel_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from lamina.kernels.op import Kernel

    def wrong(out: Any, x: Any) -> None:
        out[0][...] = 0.5

    monkeypatch.setattr(get_backend("numpy"), "_kernels", {"relu": Kernel("relu", wrong)})
    with pytest.raises(lm.LaminaError, match=r"\[relu\] numpy is off from the oracle"):
        crossover.op_point(ops.get("relu"), 10, ["numpy"])


@pytest.mark.long
def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMINA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(crossover, "SAMPLE_ROWS", (2, 20))
    monkeypatch.setattr(crossover, "FAMILY", crossover.FAMILY[:2])
    monkeypatch.setattr(crossover, "ROUNDS", 3)
    file = tmp_path / "figures.json"
    done = CliRunner().invoke(app, ["bench", "crossover", "--op", "relu", "--json", str(file)])
    assert done.exit_code == 0, done.output
    assert "relu" in done.output
    document = json.loads(file.read_text())
    assert document["training"] is None
    assert [p["size"] for p in document["ops"]["relu"]["points"]] == [10.0, 100.0]
    done = CliRunner().invoke(app, ["bench", "crossover", "--training"])
    assert done.exit_code == 0, done.output
    found = measured.read()
    assert found is not None
    assert list(found.ops) == ["relu"]
    assert found.training[0].start == 0.0


def test_an_unknown_operation() -> None:
    done = CliRunner().invoke(app, ["bench", "crossover", "--op", "rellu"])
    assert done.exit_code == 2
    assert "did you mean 'relu'" in done.output
