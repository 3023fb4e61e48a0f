"""Comparing results: planted changes are found, noise is not, and the exit codes say so."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.__main__ import app
from lamina.benchmarks import spread as spreads
from lamina.benchmarks.comparison import Comparison, compare, holm, read
from lamina.benchmarks.result import Result, Row
from lamina.benchmarks.spread import Spread, Variance, between, prior
from lamina.kernels import folder
from typer.testing import CliRunner

NOISE = 0.02  # of a run's median, standard deviation of the logarithm
MACHINE = {"processor": "Z80", "cores": 2, "packages": {"lamina": "1", "numpy": "2.4"}}


def result(
    seed: int,
    rows: int = 60,
    factors: Mapping[int, float] | None = None,
    rounds: int = 7,
    **environment: Any,
) -> Result:
    """A run: each row's rounds scatter little around a level that is drawn for the run."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(rows):
        level = 1e-4 * math.exp(rng.normal(0.0, NOISE)) * (factors or {}).get(number, 1.0)
        seconds = tuple(level * np.exp(rng.normal(0.0, 0.005, rounds)))
        made.append(Row("op", f"case {number}", "numpy", "fused", seconds=seconds))
    return Result("bench", {**MACHINE, **environment}, made)


def key(number: int) -> str:
    return f"op/case {number}/float32/numpy/fused"


def verdicts(found: Comparison) -> dict[str, str]:
    return {c.key: c.verdict for c in found.changes if c.verdict != "same"}


@pytest.fixture
def calibrated() -> Spread:
    return Spread.of([result(1000 + i) for i in range(6)])


@pytest.mark.long
def test_a_tree_against_itself_shows_nothing(calibrated: Spread) -> None:
    for trial in range(10):
        found = compare([result(2 * trial)], [result(2 * trial + 1)], calibrated)
        assert verdicts(found) == {}
        assert not found.worse


def test_rounds_alone_would_call_most_rows_changed(calibrated: Spread) -> None:
    found = compare([result(0)], [result(1)], calibrated)
    assert sum(c.rank < 0.05 for c in found.changes) > 30  # why the spread is asked as well


@pytest.mark.slow
def test_a_planted_change_is_found_every_time(calibrated: Spread) -> None:
    for trial in range(10):
        slowed = result(2 * trial + 1, factors={7: 1.3, 9: 1 / 1.3})
        found = compare([result(2 * trial)], [slowed], calibrated)
        assert verdicts(found) == {key(7): "slower", key(9): "faster"}
        assert found.worse
        assert found.changes[0].key in (key(7), key(9))  # the largest effects come first


def test_several_runs_a_side_show_more_and_need_no_calibration() -> None:
    old, new = ([result(s + i, factors=f) for i in range(3)] for s, f in ((0, {}), (10, {7: 1.3})))
    found = compare(old, new)
    assert verdicts(found) == {key(7): "slower"}
    one = compare(old[:1], new[:1], Spread.of(old))
    assert found.changes[0].visible < one.changes[0].visible


def test_without_any_spread_the_rows_show_it() -> None:
    found = compare([result(0)], [result(1, factors={7: 1.6})])
    assert not found.calibrated
    assert verdicts(found) == {key(7): "slower"}


def test_the_same_file_twice_has_not_changed() -> None:
    found = compare([result(0)], [result(0)])
    assert {c.verdict for c in found.changes} == {"same"}
    assert {c.ratio for c in found.changes} == {1.0}


def test_a_row_that_jumps_between_two_levels_is_known_for_it() -> None:
    jumps = [1.0, 1.8, 1.0, 1.0, 1.8, 1.0]
    runs = [result(i, factors={3: jump}) for i, jump in enumerate(jumps)]
    found = compare([result(10)], [result(11, factors={3: 1.8})], Spread.of(runs))
    assert verdicts(found) == {}


def test_too_few_rounds_tell_nothing(calibrated: Spread) -> None:
    found = compare([result(0, rounds=3)], [result(1, rounds=3, factors={7: 3.0})], calibrated)
    assert {c.verdict for c in found.changes} == {"few"}


def test_a_threshold_hides_small_changes(calibrated: Spread) -> None:
    old, new = [result(0)], [result(1, factors={7: 1.3, 8: 2.0})]
    assert verdicts(compare(old, new, calibrated, threshold=0.5)) == {key(8): "slower"}


def test_rows_of_one_side_and_wrong_ones_are_named(calibrated: Spread) -> None:
    old, new = result(0), result(1, rows=61)
    old.rows.append(Row("op", "gone", "numpy", "fused", seconds=(1.0,) * 7))
    new.rows[5] = Row("op", "case 5", "numpy", "fused", status="wrong", reason="off by 3")
    new.rows[6] = Row("op", "case 6", "numpy", "fused", status="skipped", reason="no time")
    found = compare([old], [new], calibrated)
    assert found.broken == [f"{key(5)}: off by 3"]
    assert found.only_old == [key(6), "op/gone/float32/numpy/fused"]
    assert found.only_new == [key(60)]
    assert found.worse


def test_another_number_of_elements_is_not_compared() -> None:
    old, new = result(0), result(1)
    new.rows[4] = Row("op", "case 4", "numpy", "fused", seconds=(9.0,) * 7, measured=10)
    found = compare([old], [new])
    assert key(4) not in {c.key for c in found.changes}
    assert any(key(4) in note for note in found.notes)


def test_other_machines_are_refused_without_force(calibrated: Spread) -> None:
    old, new = [result(0)], [result(1, processor="6502", python="3.12")]
    with pytest.raises(lm.BadInput, match="6502 with 2 cores and Z80 with 2 cores: --force"):
        compare(old, new, calibrated)
    assert "processor: Z80 in OLD, 6502 in NEW" in compare(old, new, force=True).notes


@pytest.mark.slow
def test_other_versions_and_a_foreign_spread_are_noted(calibrated: Spread) -> None:
    packages = {"lamina": "2", "numpy": "2.5"}
    found = compare([result(0)], [result(1, packages=packages)], calibrated)
    assert found.notes == ["numpy: 2.4 in OLD, 2.5 in NEW"]
    here = {"processor": "6502"}
    found = compare([result(0, **here)], [result(1, **here)], calibrated)
    assert not found.calibrated
    assert "is of another machine (Z80)" in found.notes[0]


def test_nothing_in_common() -> None:
    with pytest.raises(lm.BadInput, match="no row in common"):
        compare([result(0)], [Result("bench", dict(MACHINE))])


def test_holm_against_the_definition() -> None:
    assert holm([]) == []
    assert holm([0.5, 0.001, 0.02, 0.9]) == pytest.approx([1.0, 0.004, 0.06, 1.0])


def test_the_prior_is_that_of_the_draws() -> None:
    rng = np.random.default_rng(0)
    equal = [Variance(0.04 * rng.chisquare(5) / 5, 5.0) for _ in range(4000)]
    found = prior(equal)
    assert found.value == pytest.approx(0.04, rel=0.05)
    assert found.freedom > 100
    mixed = [Variance(v.value * 6.0 / rng.chisquare(6), 5.0) for v in equal]
    found = prior(mixed)
    assert found.value == pytest.approx(0.04, rel=0.1)
    assert found.freedom == pytest.approx(6.0, rel=0.3)
    with pytest.raises(lm.BadInput, match="fewer than two rows"):
        prior([Variance(1.0, 1.0)])


def test_between_runs() -> None:
    assert between([1.0]).freedom == 0.0
    assert between([1.0, 3.0]) == Variance(2.0, 1.0)
    assert Variance(2.0, 1.0).joined(Variance(5.0, 2.0)) == Variance(4.0, 3.0)


# The command


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LAMINA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["bench", "compare", *map(str, arguments)])
    return done.exit_code, done.output


@pytest.mark.long
def test_exit_codes_and_the_table(cache: Path) -> None:
    files = [cache / f"{i}.json" for i in range(8)]
    for number, file in enumerate(files):
        result(number, factors={7: 1.4} if number == 7 else None).write(file)
    code, text = run("--calibrate", *files[:6])
    assert code == 0, text
    assert "6 runs" in text
    assert spreads.path().is_file()
    code, text = run(files[0], files[6])
    assert code == 0, text
    assert "0 slower, 0 faster, 60 within the noise" in text
    code, text = run(files[0], files[7])
    assert code == 1, text
    assert f"{key(7)} slower" in text
    code, text = run(files[7], files[0])  # faster is no failure
    assert code == 0, text
    assert "0 slower, 1 faster" in text
    code, text = run(files[0], files[7], "--threshold", "60")
    assert code == 0, text
    code, text = run(files[0], files[7], "--json")
    document = json.loads(text)
    assert code == 1
    assert document["worse"] is True
    assert document["changes"][0]["key"] == key(7)


def test_baselines_and_folders(cache: Path) -> None:
    saved = cache / "cache" / "benchmarks"
    (saved / "main").mkdir(parents=True)
    for number in range(3):
        result(number).write(saved / "main" / f"{number}.json")
    result(5).write(saved / "before.json")
    assert len(read("main")) == 3
    assert len(read("before")) == 1
    code, text = run("main", "before")
    assert code == 0, text
    assert "3 and 1 runs" in text
    assert "lamina bench compare --calibrate" in text


@pytest.mark.slow
def test_bad_input(cache: Path) -> None:
    result(0).write(cache / "a.json")
    (cache / "empty").mkdir()
    (cache / "cache" / "benchmarks" / "main").mkdir(parents=True)
    (cache / "broken.json").write_text("{")
    result(1, processor="6502").write(cache / "b.json")
    for arguments, said in (
        (["a.json"], "takes OLD and NEW"),
        (["a.json", "nowhere"], "saved baselines: main"),
        (["a.json", "empty"], "no results in the folder"),
        (["a.json", "broken.json"], "is no result of lamina bench"),
        (["a.json", "b.json"], "--force"),
        (["a.json", "a.json", "--threshold", "-1"], "--threshold"),
        (["--calibrate", "a.json", "a.json"], "three results"),
        (["--calibrate", "a.json", "a.json", "b.json"], "of one tree on one machine"),
    ):
        named = [str(cache / a) if "." in a or a == "empty" else a for a in arguments]
        code, text = run(*named)
        assert code == 2, (arguments, text)
        assert said in text


@pytest.mark.slow
def test_a_damaged_spread_says_what_to_do(cache: Path) -> None:
    result(0).write(cache / "a.json")
    spreads.path().parent.mkdir()
    for text in ("{", "[]", '{"schema": 99}', '{"schema": 1, "rows": {"a": 3}}'):
        spreads.path().write_text(text)
        code, told = run(cache / "a.json", cache / "a.json")
        assert code == 2
        assert "calibrate again" in told


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_a_spread_that_others_may_write_to_is_not_believed(cache: Path) -> None:
    result(0).write(cache / "a.json")
    folder.write(spreads.path(), "{}")
    assert spreads.path().stat().st_mode & 0o777 == 0o600
    assert spreads.path().parent.stat().st_mode & 0o777 == 0o700
    spreads.path().chmod(0o622)
    code, told = run(cache / "a.json", cache / "a.json")
    assert code == 2
    assert "can be written to by" in told
