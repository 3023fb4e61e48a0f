"""Whole programs on every backend, and executors with a planted fault, each of which is found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import lamina as lm
import pytest
from lamina.backends.conformance import Plain, check
from lamina.backends.registry import BUILTIN, status
from lamina.core.conformance import PROGRAMS, check_program, check_programs
from planted import FAULTS, Made, Uncompiled, Whole, device

DTYPES = ("float32", "float64")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize(
    "backend", [pytest.param(n, marks=pytest.mark.cuda if n == "cupy" else ()) for n in BUILTIN]
)
def test_every_program(backend: str, name: str, dtype: str) -> None:
    if backend == "cupy" and not status(backend).available:
        pytest.skip(status(backend).reason)
    failures = check_program(lm.get_backend(backend), name, dtype)
    assert not failures, "\n".join(map(str, failures))


@pytest.mark.long
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [Plain, Whole])
def test_an_executor_without_a_fault_passes(kind: type[Plain], dtype: str) -> None:
    backend = device(kind)
    for name in PROGRAMS:
        assert check_program(backend, name, dtype) == []


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "name", "what"), FAULTS)
def test_a_planted_fault_is_found(
    kind: type[Made] | type[Plain], name: str, what: str, dtype: str
) -> None:
    failures = [str(f) for f in check_program(device(kind), name, dtype)]
    assert failures
    assert all(f.startswith(f"[{name}] {dtype}: ") for f in failures)
    found = "\n".join(failures)
    with pytest.raises(AssertionError, match=what):
        raise AssertionError(found)


@pytest.mark.slow
def test_a_broken_compile_fails_every_program_and_no_operation() -> None:
    found = dict(check_programs(Uncompiled()))
    assert set(found) == set(PROGRAMS)
    for name, failures in found.items():
        assert list(map(str, failures)) == [
            f"[{name}] {dtype}: NotImplementedError: later" for dtype in DTYPES
        ]


def few_operations(backend: lm.Backend) -> Iterator[tuple[str, list[Any]]]:
    """The operations' half, shortened."""
    for name in ("relu", "dense"):
        yield name, check(backend, name, "float32", "contiguous")


@pytest.mark.long
def test_the_kit_as_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.core.conformance.check_operations", few_operations)
    names = ["relu", "dense", *PROGRAMS]
    assert list(lm.check_backend("numpy")) == [(name, []) for name in names]
    failed = [name for name, failures in lm.check_backend(Uncompiled()) if failures]
    assert failed == list(PROGRAMS)
    with pytest.raises(lm.UnknownName, match="did you mean 'numpy'"):
        next(lm.check_backend("nunpy"))


@pytest.mark.long
@pytest.mark.parametrize("broken", [False, True])
def test_the_command_tells_of_both(
    broken: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lamina.benchmarks.commands.devices import _check

    monkeypatch.setattr("lamina.backends.conformance.check_operations", few_operations)
    backend = Uncompiled() if broken else lm.get_backend("numpy")
    assert _check(backend, as_json=False) == (1 if broken else 0)
    lines = capsys.readouterr().out.splitlines()
    told = [line for line in lines if not line.startswith("      ")]
    word, count = ("FAIL", 0) if broken else ("PASS", len(PROGRAMS))
    assert told[:-1] == ["PASS  relu", "PASS  dense", *(f"{word}  {name}" for name in PROGRAMS)]
    assert told[-1].endswith(f"2 of 2 operations and {count} of {len(PROGRAMS)} programs pass")
    assert len(lines) - len(told) == (2 * len(PROGRAMS) if broken else 0)
    _check(backend, as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["operations"] == {"passed": 2, "checked": 2}
    assert report["programs"] == {"passed": count, "checked": len(PROGRAMS)}
    assert report["passed"] == 2 + count
    assert list(report["failures"]) == (list(PROGRAMS) if broken else [])
