"""The index of operations: what a row says, and where each way of computing it is written."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ...backends import registry
from ...kernels import ops
from ...kernels.errors import BackendUnavailable
from ...kernels.op import Kernel, Op
from ...kernels.spec import Spec, spec_of
from ..graph.derivatives import RULES

ROOT = Path(__file__).parents[2]
SAMPLE_ROWS = 8  # of the sample that the cost is told for
GENERATED = "generated from the reference"
CONSTANT = "zero: constant almost everywhere"
WIDTH = 80
LABEL = 14  # columns in front of what is told


def place(function: Callable[..., Any]) -> str:
    """Where a function is written: `file:line` within the package, or the name of one in C."""
    while True:
        if isinstance(function, partial):
            function = function.func
        elif hasattr(function, "py_func"):  # compiled by Numba
            function = function.py_func
        elif hasattr(function, "__wrapped__"):
            function = inspect.unwrap(function)
        else:
            break
    if isinstance(function, np.ufunc):
        return f"np.{function.__name__}"
    code = function.__code__
    path = Path(code.co_filename)
    inside = path.is_relative_to(ROOT)
    return f"{path.relative_to(ROOT).as_posix() if inside else path}:{code.co_firstlineno}"


@cache
def _tables() -> dict[str, Mapping[str, Kernel] | None]:
    """The kernels of every backend by its name; None for one that cannot run here."""
    found: dict[str, Mapping[str, Kernel] | None] = {}
    for name in registry.names():
        try:
            found[name] = registry.instance(name).kernels()
        except BackendUnavailable:
            found[name] = None
    return found


@cache
def _native_rules() -> Mapping[str, Callable[..., Any]]:
    """What turns an instruction into native steps, by operation; nothing where Numba is missing."""
    try:
        rules: Mapping[str, Callable[..., Any]] = import_module(
            "...backends.native.rules", __package__
        ).RULES
    except ImportError:
        return {}
    return rules


def _written(name: str, kernels: Mapping[str, Kernel] | None) -> str | None:
    """Where a backend's kernel is written; None where it has none or cannot run here."""
    if kernels is None or name not in kernels:
        return None
    return place(kernels[name].source or kernels[name].function)


def _derivative(name: str) -> str | None:
    """Where an operation's gradient rule is written; None where it has no derivative."""
    if name in ops.PIECEWISE_CONSTANT:
        return CONSTANT
    return place(RULES[name]) if name in RULES else None


def _cost(op: Op) -> dict[str, Any]:
    """Operations and bytes for the row's first sample in float32."""
    sample = next(iter(op.samples(np.random.default_rng(0), "float32", SAMPLE_ROWS)))
    attrs = op.complete(sample.attrs)
    given = [
        None if x is None else spec_of(x) if isinstance(x, np.ndarray) else Spec((), "float64")
        for x in sample.inputs
    ]
    made = op.check(given, attrs)
    inputs = [s for s in given if s is not None]
    cost = op.cost(inputs, made, attrs)
    named = {n.rstrip("?"): str(s) for n, s in zip(op.inputs, given, strict=False) if s}
    return {"inputs": named, "flops": cost.flops, "bytes": cost.bytes}


def described(name: str) -> dict[str, Any]:
    """All that is known of an operation, in words of JSON.

    Raises: UnknownName with the nearest spelling.
    """
    op = ops.get(name)
    rules = _native_rules()
    return {
        "name": name,
        "signature": op.signature,
        "summary": (inspect.getdoc(op.reference) or "").split("\n")[0],
        "cost": _cost(op),
        "tolerance": {
            kind: {"relative": t.relative, "absolute": t.absolute}
            for kind, t in op.tolerance.items()
        },
        "independent": op.independent,
        "derivative": _derivative(name),
        "reference": place(op.reference),
        "kernels": {each: _written(name, kernels) for each, kernels in _tables().items()},
        "native_step": place(rules[name]) if name in rules else GENERATED if rules else None,
    }


def _line(label: str, told: str) -> str:
    return f"  {label:<{LABEL}}{told}".rstrip()


def text(found: Mapping[str, Any]) -> str:
    """A description for the screen."""
    cost, tables = found["cost"], _tables()
    lines = textwrap.wrap(found["signature"], WIDTH, subsequent_indent="    ")
    lines += [
        *textwrap.wrap(found["summary"], WIDTH, initial_indent="  ", subsequent_indent="  "),
        "",
    ]
    lines.append(_line("cost", f"{cost['flops']:,.0f} flops, {cost['bytes']:,.0f} bytes for"))
    lines += [_line("", f"{name}: {spec}") for name, spec in cost["inputs"].items()]
    for kind, t in found["tolerance"].items():
        lines.append(_line(kind, f"within {t['relative']:g} of the largest + {t['absolute']:g}"))
    apart = found["independent"]
    lines.append(_line("independent", f"its {apart}" if apart else "no part of it"))
    lines.append(_line("derivative", found["derivative"] or "none"))
    lines.append(_line("reference", found["reference"]))
    for name, written in found["kernels"].items():
        missing = "the reference" if tables[name] is not None else "not available here"
        lines.append(_line(name, written or missing))
    lines.append(_line("native step", found["native_step"] or "not available here"))
    return "\n".join(lines)


def table() -> str:
    """All operations, a line each: whether there is a derivative, and who has a kernel of its own.

    A dash: the reference serves, as it is or, natively, as what code is generated from; a question
    mark: the backend cannot run here.
    """
    tables, rules, width = _tables(), _native_rules(), max(map(len, ops.OPS)) + 1
    columns = [*tables, "native"]
    lines = [f"{'operation':<{width}}derivative " + " ".join(columns)]
    for name in ops.OPS:
        derivative = _derivative(name)
        marks = {
            each: "?" if kernels is None else "x" if name in kernels else "-"
            for each, kernels in tables.items()
        }
        marks["native"] = "x" if name in rules else "-"
        told = "-" if derivative is None else "zero" if derivative == CONSTANT else "x"
        cells = " ".join(f"{marks[each]:<{len(each)}}" for each in columns)
        lines.append(f"{name:<{width}}{told:<10} {cells}".rstrip())
    return "\n".join(lines)
