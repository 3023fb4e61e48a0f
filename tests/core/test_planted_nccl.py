"""Captured steps with a fault in their sum over processes, each with the check that finds it.

Nothing here ran on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from lamina.backends.fused_programs import FusedSteps
from lamina.backends.fused_steps import FusedStepsBinding
from lamina.backends.recorded import Kind
from lamina.core import sources

cupy_fake = pytest.importorskip("cupy_fake", reason="CuPy's package is not installed")
import team_support  # noqa: E402
from nccl_support import (  # noqa: E402
    Asked,
    asked_of,
    diverges,
    far,
    in_order,
    near,
    network,
)
from team_support import data, right, together, told  # noqa: E402


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The fake; ranks that have parted wait for each other no longer than it takes."""
    monkeypatch.setattr(sources, "POLITE_SECONDS", np.inf)
    monkeypatch.setattr(cupy_fake.nccl, "PATIENCE", 20.0)
    monkeypatch.setattr(team_support, "PATIENCE", 30.0)
    with cupy_fake.installed():
        yield
        cupy_fake.nccl.abandoned.clear()


# Checks


def numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ranks come to what one process comes to."""
    x, y, w = data()

    def work(team: Any, backend: str = "cupy") -> dict[str, np.ndarray]:
        model = network(backend)
        return told(model, model.fit(x, y, 4, 8, sample_weight=w, distributed=team, verbose=0))

    wanted = work(None, "numpy")
    for found in right(together(2, work)):
        near(found, wanted)


def order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum a step, of the right memory on the one stream, before the guard."""
    in_order(asked_of(monkeypatch))


def flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss that is infinite on one rank stops both, at numpy's step."""
    wanted = diverges(None, "numpy", far, 147, 8)
    for found in together(2, lambda t: diverges(t, "cupy", far, 147, 8)):
        assert not isinstance(found, Exception), f"the ranks have parted: {found}"
        assert found[:4] == wanted[:4]


def alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """All ranks launch, record and replay the same sums at the same time."""
    x, y, _ = data()
    x, y = np.concatenate([x, x[:6]]), np.concatenate([y, y[:6]])
    asked = Asked(monkeypatch)
    right(together(2, lambda t: network().fit(x, y, 5, 17, distributed=t, verbose=0)))
    assert asked.ways[0] == asked.ways[1]


CHECKS: list[Callable[[pytest.MonkeyPatch], None]] = [numbers, order, flags, alike]


# Faults


class NoSum(FusedStepsBinding):
    """Each process takes the update of its own gradient."""

    def _sum(self, env: list[Any]) -> None:
        pass


class LateSum(FusedStepsBinding):
    """The sum comes after the guard, which so looks at what one process has."""

    def _sum(self, env: list[Any]) -> None:
        pass

    def _judge(self, sums: Any, limit: Any) -> None:
        super()._judge(sums, limit)
        assert self.sum is not None
        self.sum.add(self.state.with_loss)


class OtherStream(FusedStepsBinding):
    """The sum goes to a stream of its own."""

    aside: Any = None

    def _sum(self, env: list[Any]) -> None:
        import cupy

        self.aside = self.aside or cupy.cuda.Stream(non_blocking=True)
        with self.aside:
            super()._sum(env)


class ItsOwnStream(FusedStepsBinding):
    """The same, and NCCL is told so: what follows does not wait for it."""

    aside: Any = None

    def _sum(self, env: list[Any]) -> None:
        import cupy

        self.aside = self.aside or cupy.cuda.Stream(non_blocking=True)
        backend, flat = self.backend, self.state.with_loss
        with self.aside:
            inside, place, library = self.sum._inside, flat.data.ptr, cupy_fake.nccl  # type: ignore
            inside.allReduce(
                place, place, flat.size, library.NCCL_FLOAT64, library.NCCL_SUM, self.aside.ptr
            )
        assert backend.stream is not self.aside  # type: ignore[attr-defined]


class FreedMemory(FusedStepsBinding):
    """What is summed lies in memory that each run takes anew, and graphs know the first one's."""

    aside: Any = None

    def _begin(self, control: Any, first: int, steps: int) -> list[float]:
        self.aside = self.backend.zeros(self.state.with_loss.size, "float64")
        return super()._begin(control, first, steps)

    def _sum(self, env: list[Any]) -> None:
        assert self.sum is not None
        self.backend.assign(self.aside, self.state.with_loss)
        self.sum.add(self.aside)
        self.backend.assign(self.state.with_loss, self.aside)


class NoLoss(FusedStepsBinding):
    """Gradients alone are summed, and each process looks at its own loss."""

    def _sum(self, env: list[Any]) -> None:
        assert self.sum is not None
        self.sum.add(self.state.flats["gradients"])


class OwnKinds(FusedStepsBinding):
    """A process captures when it meets a number of rows, whatever the others do."""

    def _ask(self, control: Any, number: int, kind: Kind) -> list[Any]:
        return super()._ask(control, number, replace(kind, first=0, whole=1))


@dataclass(frozen=True)
class Fault:
    """kind: what is planted. check: what finds it. error, said: with what, and in which words."""

    kind: type[FusedStepsBinding]
    check: Callable[[pytest.MonkeyPatch], None]
    error: type[BaseException] = AssertionError
    said: str | None = None


FAULTS = [
    Fault(NoSum, numbers, said="Not equal to tolerance"),
    Fault(LateSum, order),
    Fault(OtherStream, order, cupy_fake.Race, "another stream than the current one"),
    Fault(ItsOwnStream, order, cupy_fake.Race, "two streams use one piece of memory"),
    Fault(FreedMemory, numbers, cupy_fake.Freed, "on memory that was let go"),
    Fault(NoLoss, flags, said="the ranks have parted"),
    Fault(OwnKinds, alike),
]


@pytest.mark.long
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_without_a_fault_nothing_is_found(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    check(monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind.__name__)
def test_a_planted_fault_is_found(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FusedSteps, "binding", fault.kind)
    with pytest.raises(fault.error, match=fault.said):
        fault.check(monkeypatch)
