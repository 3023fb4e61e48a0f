"""Every operation on every backend, in every dtype and layout, against the float64 oracle."""

from __future__ import annotations

import pytest
from lamina.backends.conformance import LAYOUTS, check
from lamina.backends.registry import BUILTIN, status
from lamina.backends.selection import get_backend
from lamina.kernels import ops


def device(name: str):
    found = status(name)
    if name == "cupy" and not found.available:
        pytest.skip(found.reason)
    assert found.available, found  # no machine lacks the CPU backends
    return get_backend(name)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", ops.OPS)
@pytest.mark.parametrize(
    "backend", [pytest.param(n, marks=pytest.mark.cuda if n == "cupy" else ()) for n in BUILTIN]
)
def test_every_op(backend: str, op: str, dtype: str, layout: str) -> None:
    failures = check(device(backend), op, dtype, layout)
    assert not failures, "\n".join(map(str, failures))
