"""A training step of each network on each backend, and logistic regression in five steps."""

from __future__ import annotations

from typing import Any

import pytest
from lamina.backends.registry import names, status
from lamina.backends.selection import get_backend
from lamina.benchmarks import story, trainings
from lamina.benchmarks.networks import Network
from lamina.benchmarks.result import Row
from lamina.benchmarks.timing import Contender

AVAILABLE = [name for name in names() if status(name).available]


def timed(benchmark: Any, row: Row, contender: Contender | None) -> None:
    if row.status == "skipped":
        pytest.skip(row.reason)
    assert row.status == "ok", row.reason
    assert contender is not None
    benchmark.group = f"{row.kind}: {row.case}"
    benchmark.extra_info.update(
        backend=row.backend, variant=row.variant, steps_a_call=contender.units, flops=row.flops
    )

    def once() -> None:
        contender.perform()
        contender.synchronize()

    benchmark(once)


@pytest.mark.parametrize("network", trainings.chosen(quick=True), ids=lambda n: n.name)
@pytest.mark.parametrize("name", AVAILABLE)
def test_step(benchmark: Any, network: Network, name: str) -> None:
    expected = trainings.reference_loss(network)
    timed(benchmark, *trainings.prepare(network, get_backend(name), expected))


@pytest.mark.parametrize("number", range(len(story.STEPS)), ids=story.STEPS)
def test_story(benchmark: Any, number: int) -> None:
    timed(benchmark, *story.prepare()[number])
