"""Every hot operation, on every backend, in every variant: one benchmark each, in groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lamina.backends.registry import names, status
from lamina.backends.selection import get_backend
from lamina.benchmarks.cases import Case, Way, hot_ops, prepare, ways

SIZE = 30_000


def cases() -> Iterator[Any]:
    for op in hot_ops():
        case = Case(op, SIZE, "float32")
        for name in names():
            if status(name).available:
                for way in ways(get_backend(name), op, case.sample(256)):
                    yield pytest.param(case, way, id=f"{op.name}-{name}-{way.variant}")


@pytest.mark.parametrize(("case", "way"), list(cases()))
def test_op(benchmark: Any, case: Case, way: Way) -> None:
    row, contender = prepare(case, way)
    assert row.status == "ok", row.reason
    assert contender is not None
    benchmark.group = f"{case.name}, {case.dtype}"
    benchmark.extra_info.update(
        backend=row.backend, variant=row.variant, flops=row.flops, bytes=row.bytes,
        measured=row.measured or case.elements, error=row.error, allowed=row.allowed,
    )  # fmt: skip

    def once() -> None:
        contender.perform()
        contender.synchronize()

    with way.backend.active():
        benchmark(once)
