"""Measuring thresholds: a clock by hand decides, and what was measured is what is computed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import support
from lamina.__main__ import app
from lamina.benchmarks import dense_products, timing, tuning
from lamina.benchmarks.networks import parse
from lamina.benchmarks.tuning import Point, Question, Unquiet
from lamina.kernels import thresholds
from lamina.kernels.numba.native import register_tile
from lamina.kernels.thresholds import NEVER
from typer.testing import CliRunner


class Hands:
    """A clock that stands still until somebody works."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls = 0

    def perf_counter(self) -> float:
        return self.now

    def work(self, seconds: float, noise: float = 0.0) -> Callable[[], None]:
        """What takes so long, each second time longer by that part."""

        def run() -> None:
            self.calls += 1
            self.now += seconds * (1.0 + noise * (self.calls // 8 % 2))

        return run


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    made = Hands()
    monkeypatch.setattr(timing, "time", made)
    monkeypatch.setattr(tuning, "time", made)
    return made


SIZES = (8.0, 16.0, 32.0, 64.0)


def question(hands: Hands, above: dict[float, float], name: str = "packed_rows") -> Question:
    """The first way takes ten milliseconds, the second what is said of each size."""
    return Question(
        name, tuple(above), lambda size: (hands.work(0.01), hands.work(0.01 * above[size]))
    )


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((2.0, 1.5, 0.9, 0.5), 32),  # slower, then faster
        ((0.5, 0.5, 0.5, 0.5), 8),
        ((2.0, 2.0, 2.0, 2.0), NEVER),
        ((0.5, 0.5, 2.0, 2.0), NEVER),  # where it counts most it is slower
        ((0.5, 2.0, 0.5, 0.5), 32),
        ((1.01, 1.01, 0.99, 1.01), 48),  # as good as each other: the default
        ((1.01, 0.99, 1.5, 0.9), 48),  # decided as the default decides
        ((1.5, 0.9, 0.99, 1.01), 48),  # no better at 32 than the default's way
        ((1.5, 0.9, 0.9, 1.01), 16),
        ((1.5, 1.5, 0.98, 1.5), NEVER),
    ],
)
def test_the_faster_way_is_taken(hands: Hands, shares: tuple[float, ...], expected: int) -> None:
    above = dict(zip(SIZES, shares, strict=True))
    values, evidence = tuning.measure([question(hands, above)])
    assert values == {"packed_rows": expected}
    assert [one.size for one in evidence["packed_rows"]] == list(SIZES)
    assert evidence["packed_rows"][0].below == pytest.approx(0.01)


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_a_question_of_one_size_is_answered_by_yes_or_no(hands: Hands, share: float) -> None:
    values, _ = tuning.measure([question(hands, {1: share}, "streams")])
    assert values == {"streams": share < 1}


def test_a_time_stays_one(hands: Hands) -> None:
    values, _ = tuning.measure(
        [question(hands, {1e-6: 2.0, 1e-5: 0.5, 1e-4: 0.5}, "split_seconds")]
    )
    assert values == {"split_seconds": 1e-5}
    values, _ = tuning.measure([question(hands, {1e-6: 2.0, 1e-4: 2.0}, "split_seconds")])
    assert values == {"split_seconds": float(NEVER)}
    assert isinstance(values["split_seconds"], float)


def test_a_busy_machine_is_not_measured(hands: Hands, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("LAMINA_CACHE_DIR", str(tmp_path))
    noisy = Question("packed_rows", (8.0,), lambda _: (hands.work(0.01, 0.5), hands.work(0.01)))
    with pytest.raises(Unquiet, match=r"packed_rows at 8: .*lamina warmup --measure"):
        tuning.measure([noisy])
    monkeypatch.setattr(tuning, "questions", lambda crew: [noisy])
    with pytest.raises(Unquiet):
        tuning.measure_and_keep()
    assert not list(tmp_path.iterdir())


def test_measuring_has_an_end(hands: Hands) -> None:
    slow = Question("packed_rows", (8.0,), lambda _: (hands.work(30.0), hands.work(30.0)))
    with pytest.raises(Unquiet, match="takes longer than"):
        tuning.measure([slow, slow])


def test_what_is_measured_is_kept(hands: Hands, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("LAMINA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(
        tuning, "questions", lambda crew: [question(hands, dict.fromkeys(SIZES, 0.5))]
    )
    path = tuning.measure_and_keep()
    assert path == thresholds.path()
    made = json.loads(path.read_text())
    assert made["thresholds"] == {"packed_rows": 8}
    first = made["evidence"]["packed_rows"][0]
    assert first == pytest.approx({"size": 8.0, "below": 0.01, "above": 0.005})
    assert thresholds.problem() == ""


def test_the_default_holds_where_ways_are_alike() -> None:
    alike = [Point(size, 1.0, 1.0) for size in SIZES]
    for default in (0, 8, 20, 64, 100, NEVER):
        assert tuning.threshold(alike, default) == default


def both(ways: Any) -> None:
    for way in ways:
        way()


@pytest.mark.parametrize("kind", ["forward", "input", "weight"])
def test_both_ways_compute_the_same_product(kind: str) -> None:
    with tuning.Crew(2) as crew:
        bench = tuning.Bench(crew)
        made: list[Any] = []
        matrices = bench.matrices
        bench.matrices = lambda *sizes: made.append(matrices(*sizes)) or made[-1]  # type: ignore
        in_tiles, by_blas = bench.blas(kind, 70)
        results = []
        for way in (in_tiles, by_blas):
            for arrays, _ in made:
                arrays[2][:] = 7.0
            way()
            results.append([arrays[2].copy() for arrays, _ in made])
    assert len(made) == 2
    for number, (arrays, _) in enumerate(made):
        a, b = (one.reshape(70, 70).astype("float64") for one in arrays[:2])
        a, b = a.T if kind == "weight" else a, b.T if kind == "input" else b
        for result in results:
            np.testing.assert_allclose(result[number].reshape(70, 70), a @ b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch", [40, 600])
def test_a_copied_factor_gives_the_same_product(batch: int) -> None:
    with tuning.Crew(1) as crew:
        bench = tuning.Bench(crew)
        made: list[Any] = []
        matrices = bench.matrices
        bench.matrices = lambda *sizes: made.append(matrices(*sizes)) or made[-1]  # type: ignore
        ways = bench.copied(1024, batch)
        ((x, g, out), _) = made[0]
        results = []
        for way in ways:
            out[:] = 7.0
            way()
            results.append(out[: 512 * 512].reshape(512, 512).copy())
            assert (out[512 * 512 :] == 7.0).all()
    expected = x.reshape(-1, 1024)[:batch, :512].T @ g.reshape(1024, 512)[:batch]
    np.testing.assert_allclose(results[0], expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(results[0], results[1])


def test_ways_differ_in_what_they_are_asked_about() -> None:
    with tuning.Crew(1) as crew:
        bench = tuning.Bench(crew)
        made: list[Any] = []
        ready = tuning.ready
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tuning, "ready", lambda *of: made.append(of[0]) or ready(*of))
            both(bench.packed(24))
            assert [11 in task.scratch for task in made] == [False, True]
            made.clear()
            both(bench.whole(256))  # with narrow vectors one length of panels does
            assert (made[0].record[10] < made[1].record[10]) == (register_tile.WIDE != 2)
            made.clear()
            patch.setattr(tuning, "STREAMED", 2**12)
            both(bench.streams())
            assert [task.record[-1] for task in made] == [0, 0, 1, 1]


@pytest.mark.slow
def test_steps_are_split_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    support.decided(monkeypatch)
    monkeypatch.setattr(tuning.threads, "_chosen", [2])
    batches = tuning.Batches(tuning.NETWORKS[-1])
    explained: list[int] = []
    plan = tuning.threads.crew.take
    monkeypatch.setattr(
        tuning.threads.crew, "take", lambda shares: explained.append(shares) or plan(shares)
    )
    both(batches.ways())
    assert explained == [1, 2]


@pytest.mark.slow
def test_warmup_measures_where_nothing_was(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("LAMINA_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("LAMINA_THRESHOLDS", "measured")
    monkeypatch.setattr(thresholds, "_current", [])
    monkeypatch.setattr("lamina.backends.numba.NumbaBackend.warmup", lambda self: iter(["x"]))
    times: list[int] = []

    def keep() -> Path:
        times.append(1)
        return thresholds.save({"packed_rows": 8}, "2026-01-02", {})

    def warmup(*arguments: str) -> str:
        return CliRunner().invoke(app, ["warmup", "--backend", "numba", *arguments]).output

    monkeypatch.setattr(tuning, "measure_and_keep", keep)
    assert "measured in" not in warmup("--no-measure")
    assert "for programs that start now" in warmup()
    assert str(thresholds.path()) not in warmup()  # there is one now
    assert len(times) == 1
    warmup("--measure")
    assert len(times) == 2
    monkeypatch.setattr(thresholds, "_current", [])
    text = warmup()
    assert "measured on 2026-01-02" in text
    assert "measured: packed_rows 8" in text
    assert "default: forward_blas never" in text

    def busy() -> Path:
        raise Unquiet("something else is running")

    monkeypatch.setattr(tuning, "measure_and_keep", busy)
    assert "no file written: something else is running" in warmup("--measure")
    monkeypatch.setenv("LAMINA_THRESHOLDS", "default")
    monkeypatch.setattr(tuning, "measure_and_keep", keep)
    warmup()
    assert len(times) == 2
    assert "numpy" in CliRunner().invoke(app, ["warmup", "--backend", "numpy"]).output
    assert len(times) == 2


@pytest.mark.slow
def test_a_table_of_a_network_s_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_products, "SIDE", 64)
    network = parse("40-70-600-3:96")
    rows = dense_products.table(network, [1, 2])
    body = [row for row in rows[1:] if row[2] != "ceiling"]
    kinds = [(0, "x w"), (0, "x^T g"), (1, "g w^T"), (1, "x w"), (1, "x^T g"), (2, "g w^T"),
             (2, "x w"), (2, "x^T g")]  # fmt: skip
    assert [(int(row[1]), row[2]) for row in body] == kinds * 2
    sizes = {(row[1], row[2]): row[3:6] for row in body}
    assert sizes["1", "g w^T"] == ("96", "600", "70")
    assert sizes["1", "x^T g"] == ("70", "96", "600")
    assert all(float(row[6]) > 0 for row in body)


def test_a_network_with_other_products_has_no_table() -> None:
    with pytest.raises(Exception, match="more than those of dense layers"):
        dense_products.measured(parse("4-4-2:8:own_gated"), 1)
