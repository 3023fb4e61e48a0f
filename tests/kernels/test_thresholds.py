"""Thresholds: what the file says, when it counts, and what is taken where it does not."""

from __future__ import annotations

import json
import os
import threading
import warnings
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import lamina as lm
import pytest
import support
from lamina.kernels import folder, thresholds
from lamina.kernels.thresholds import NEVER, Thresholds

Plant = Callable[..., Path]
OTHERS = {
    "forward_blas": 700, "input_blas": NEVER, "weight_blas": 33, "packed_rows": 7,
    "copied_rows": 300, "aliased_rows": 200, "whole_block": 90, "split_seconds": 0.125,
    "streams": True,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _new_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if nothing had been read yet, in a folder where there is nothing."""
    monkeypatch.setenv("LAMINA_THRESHOLDS", "measured")
    monkeypatch.setenv("LAMINA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(thresholds, "_current", [])


def planted(**changes: Any) -> str:
    """What a file of this machine says."""
    made = {
        "schema": thresholds.SCHEMA, "date": "2026-01-02", **thresholds.machine(),
        "thresholds": OTHERS, "evidence": {},
    }  # fmt: skip
    return json.dumps({**made, **changes})


def test_what_was_measured_counts_and_the_rest_is_as_it_comes() -> None:
    assert set(OTHERS) == {one.name for one in fields(Thresholds)}
    thresholds.save({"packed_rows": 7, "streams": True}, "2026-01-02", {"anything": [1]})
    found = thresholds.found()
    assert found.thresholds == replace(thresholds.defaults(), packed_rows=7, streams=True)
    assert "2026-01-02" in found.origin
    told = {name: (value, by) for name, value, by in thresholds.described()}
    assert told["packed_rows"] == ("7", "measured")
    assert told["streams"] == ("yes", "measured")
    assert told["forward_blas"] == ("never", "default")
    assert thresholds.problem() == ""


def test_no_file_is_no_fault(recwarn: pytest.WarningsRecorder) -> None:
    assert thresholds.current() == thresholds.defaults()
    assert {by for _, _, by in thresholds.described()} == {"default"}
    assert thresholds.problem()
    assert not recwarn.list


def test_a_process_reads_once() -> None:
    assert thresholds.current() == thresholds.defaults()
    thresholds.save(OTHERS, "2026-01-02", {})
    assert thresholds.current() == thresholds.defaults()
    code = """
from dataclasses import asdict
from lamina.kernels import thresholds
print(asdict(thresholds.current()))
"""
    assert support.run_python(code).strip() == str(OTHERS)


@pytest.mark.long
def test_nothing_is_read_or_measured_by_an_import_or_a_first_fit() -> None:
    thresholds.path().write_text("{")  # a warning is an error in the process
    code = """
import sys, warnings
import lamina, lamina.backends.native.executor, lamina.kernels.numba.table
from lamina.kernels import thresholds
assert not thresholds._current
warnings.simplefilter("ignore")
model = lamina.Sequential([lamina.Dense(3)], "mean_squared_error", backend="numba")
model.fit([[1.0, 2.0]] * 8, [[1.0, 2.0, 3.0]] * 8, verbose=0)
assert thresholds._current
assert "lamina.benchmarks.tuning" not in sys.modules
"""
    support.run_python(code)
    assert thresholds.path().read_text() == "{"


def wrong(**changes: Any) -> dict[str, Any]:
    return {"thresholds": {**OTHERS, **changes}}


@pytest.mark.parametrize(
    ("text", "changes", "said"),
    [
        ("", {}, "damaged"),
        ("{", {}, "damaged"),
        ("[]", {}, "damaged"),
        ("[" * 100_000, {}, "damaged"),
        (None, {"thresholds": [1]}, "damaged"),
        (None, wrong(packed_rows="48"), "damaged"),
        (None, wrong(packed_rows=48.0), "damaged"),
        (None, wrong(packed_rows=-1), "damaged"),
        (None, wrong(packed_rows=True), "damaged"),
        (None, wrong(packed_rows=2**63), "damaged"),
        (None, wrong(split_seconds=float("nan")), "damaged"),
        (None, wrong(split_seconds=float("inf")), "damaged"),
        (None, wrong(streams=1), "damaged"),
        (None, wrong(invented=1), "damaged"),
        (None, {"schema": thresholds.SCHEMA + 1}, "schema 2, this version reads 1"),
        (None, {"processor": "Z80"}, "measured on Z80"),
        (None, {"target": "z80"}, "z80"),
        (None, {"cores": 4096}, "4096"),
    ],
)
def test_what_is_not_of_this_machine_and_version_is_not_taken(
    text: str | None, changes: dict[str, Any], said: str
) -> None:
    thresholds.path().write_text(planted(**changes) if text is None else text)
    with pytest.warns(RuntimeWarning, match=said) as told:
        assert thresholds.current() == thresholds.defaults()
    assert len(told) == 1
    assert "lamina warmup --measure" in str(told[0].message)
    assert said in thresholds.problem()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        thresholds.current()  # once a process


@pytest.mark.skipif(os.name != "posix", reason="owners and modes of POSIX")
def test_what_others_may_write_to_is_not_taken() -> None:
    thresholds.path().write_text(planted())
    thresholds.path().chmod(0o666)
    with pytest.warns(RuntimeWarning, match="can be written to by everybody"):
        assert thresholds.current() == thresholds.defaults()


def test_the_defaults_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    thresholds.path().write_text("{")
    monkeypatch.setenv("LAMINA_THRESHOLDS", "default")
    assert thresholds.current() == thresholds.defaults()
    assert "LAMINA_THRESHOLDS" in thresholds.found().origin
    monkeypatch.setattr(thresholds, "_current", [])
    monkeypatch.setenv("LAMINA_THRESHOLDS", "defaults")
    with pytest.raises(lm.UnknownName, match="valid: measured, default"):
        thresholds.current()


def test_nothing_wrong_is_kept() -> None:
    with pytest.raises(TypeError):
        thresholds.save({"packed_rows": "many"}, "2026-01-02", {})
    with pytest.raises(TypeError):
        thresholds.save({"invented": 1}, "2026-01-02", {})
    assert not list(folder.folder().iterdir())


def test_files_of_other_processors_lie_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    here = thresholds.path()
    monkeypatch.setattr(thresholds, "usable_cores", lambda: 4096)
    assert thresholds.path() != here
    assert thresholds.path().name.endswith("-4096.json")


@pytest.mark.slow
def test_several_writers_and_a_reader() -> None:
    """Whoever comes last wins, and nobody ever sees half a file."""
    values = [replace(thresholds.defaults(), packed_rows=n, whole_block=n) for n in range(1, 5)]
    stop, seen = threading.Event(), []

    def write(one: Thresholds) -> None:
        for _ in range(25):
            thresholds.save(asdict(one), "2026-01-02", {"long": [0.5] * 2000})

    def read() -> None:
        while not stop.is_set():
            seen.append(thresholds._look())

    thresholds.save(asdict(values[0]), "2026-01-02", {})
    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(one,)) for one in values]
    reader.start()
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    stop.set()
    reader.join()
    assert all(not isinstance(one, str) and one.thresholds in values for one in seen)


def test_others_for_a_while() -> None:
    given = replace(thresholds.defaults(), packed_rows=3)
    with thresholds.using(given):
        assert thresholds.current() == given
    assert thresholds.current() == thresholds.defaults()
