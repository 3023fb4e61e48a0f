"""`lamina ops`: every row of the table, and where each way of computing it is written."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.__main__ import app
from lamina.core.command import operations
from lamina.core.graph.derivatives import RULES
from lamina.kernels.ops import OPS, PIECEWISE_CONSTANT
from typer.testing import CliRunner

PACKAGE = Path(lm.__file__).parent


def called(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["ops", *words])
    assert done.exit_code == code, done.output
    return done.output if code else done.stdout  # a first run compiles, and says so beside it


@cache
def definitions(file: str) -> dict[int, str]:
    """line -> the function that begins there, with its decorators; "" for a lambda's."""
    found: dict[int, str] = {}
    for node in ast.walk(ast.parse((PACKAGE / file).read_text())):
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            found[first] = node.name
        elif isinstance(node, ast.Lambda):
            found.setdefault(node.lineno, "")
    return found


def places(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(what it is, `file:line`) for all places that a description names."""
    named = {"reference": found["reference"], "native step": found["native_step"]}
    for what, place in {**named, "derivative": found["derivative"], **found["kernels"]}.items():
        told = place in (None, operations.CONSTANT, operations.GENERATED)
        if not told and not place.startswith("np."):
            yield what, place


@pytest.mark.parametrize("name", OPS)
def test_every_operation(name: str) -> None:
    op, found = OPS[name], json.loads(called(name, "--json"))
    assert found["name"] == name
    assert found["signature"] == op.signature
    assert found["cost"]["flops"] >= 0.0
    assert found["cost"]["bytes"] > 0.0
    assert found["tolerance"]["float32"]["relative"] == op.tolerance["float32"].relative
    for what, place in places(found):
        file, line = place.split(":")
        assert int(line) in definitions(file), f"{what}: no function begins at {place}"
    file, line = found["reference"].split(":")
    assert definitions(file)[int(line)] == op.reference.__name__
    assert file.startswith("kernels/vectorized/")
    assert found["kernels"]["loops"].startswith("kernels/loops/")
    constant = operations.CONSTANT if name in PIECEWISE_CONSTANT else None
    assert (found["derivative"] not in (None, constant)) == (name in RULES)
    for name_of_backend in ("numpy", "numba"):
        own = name in lm.get_backend(name_of_backend).kernels()
        assert (found["kernels"][name_of_backend] is not None) == own
    shown = called(name)
    assert max(map(len, shown.splitlines())) <= 80
    for _, place in places(found):
        assert place in shown


def test_what_leads_where() -> None:
    gelu = operations.described("gelu")
    assert gelu["kernels"]["numpy"].startswith("kernels/numpy/operations.py:")
    assert operations.described("concatenate")["kernels"]["numpy"] is None
    assert gelu["kernels"]["numba"].startswith("kernels/numba/elementwise.py:")
    assert gelu["native_step"].startswith("backends/native/")
    assert operations.described("exp")["kernels"]["numpy"] == "np.exp"
    assert operations.described("sign")["derivative"] == operations.CONSTANT
    assert operations.described("relu_backward")["derivative"] is None
    assert operations.described("momentum_update")["kernels"]["numpy"].startswith(
        "kernels/numpy/updates.py:"
    )
    assert operations.described("erf")["native_step"] == operations.GENERATED
    dense = operations.described("dense")["cost"]
    (rows, inner), columns = (8, 7), 4
    assert dense["flops"] == 2.0 * rows * inner * columns
    assert dense["bytes"] == 4.0 * (rows * inner + inner * columns + columns + rows * columns)


def test_the_table_has_a_line_for_each() -> None:
    lines = called().splitlines()
    assert max(map(len, lines)) <= 80
    header, *rows = lines
    assert [row.split()[0] for row in rows] == list(OPS)
    columns = header.split()
    known = {row.split()[0]: dict(zip(columns, row.split(), strict=True)) for row in rows}
    assert known["gelu"] == {
        **known["gelu"], "derivative": "x", "loops": "x", "numpy": "x", "numba": "x", "native": "x",
    }  # fmt: skip
    assert known["concatenate"]["numpy"] == "-"
    assert known["sign"]["derivative"] == "zero"
    assert known["relu_backward"]["derivative"] == "-"
    assert known["power"]["native"] == "-"


def test_all_as_json() -> None:
    found = json.loads(called("--json"))
    assert [one["name"] for one in found] == list(OPS)
    assert found[0] == operations.described("matmul")


def test_an_unknown_operation_says_the_nearest() -> None:
    assert "unknown operation 'gleu': did you mean 'gelu'?" in called("gleu", code=2)


def test_a_backend_that_cannot_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {"numpy": lm.get_backend("numpy").kernels(), "absent": None}
    monkeypatch.setattr(operations, "_tables", lambda: tables)
    assert "absent        not available here" in called("relu")
    assert called().splitlines()[1].split()[:4] == ["matmul", "x", "x", "?"]


def test_places_of_what_is_not_ours() -> None:
    assert operations.place(np.add) == "np.add"
    found = operations.place(test_all_as_json)
    assert found.startswith(("/", "tests/"))
    assert "test_operations_index.py:" in found


def test_help_has_examples() -> None:
    assert "lamina ops gelu" in called("--help")
