"""Regions as launches: where several instructions of a walked program are one call.

A walker joins the launches of a region to one when a plan is made. While it is watched, it walks
the instructions one by one; what is not finite is looked for by one that joins none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .dispatch import Call
from .program import Instruction, Region, ValueId
from .walker import Launch, WalkerBinding, WalkPlan

Run = Callable[..., Any]


class JoinedBinding(WalkerBinding):
    """A walked program of which some regions are one launch each."""

    def chosen(self, rows: int) -> Iterable[Region]:
        """The regions to join, for batches of so many rows."""
        raise NotImplementedError

    def made(self, region: Region, rows: int) -> Run:
        """What computes a region: (outputs, *inputs) -> None."""
        raise NotImplementedError

    def _joined(self, plan: WalkPlan, rows: int) -> None:
        """Chosen regions become one launch each."""
        start = 0
        joined: set[int] = set()
        chosen = {r.start: r for r in self.chosen(rows)}
        for name in ("forward", "backward"):
            launches = plan.stages[name]
            found: list[Launch] = []
            for at, launch in enumerate(launches, start):
                region = chosen.get(at)
                if region is not None:
                    found.append(self._launch(region, rows))
                    found[-1].parts = launches[at - start : region.stop - start]
                    for part in found[-1].parts:
                        if set(part.outputs) <= set(region.outputs):
                            part.out = tuple(self.buffers.array(id, rows) for id in part.outputs)
                            part.pinned = True  # others find it there
                    joined.update(range(region.start, region.stop))
                elif at not in joined:
                    found.append(launch)
            start += len(launches)
            plan.stages[name] = found

    def _launch(self, region: Region, rows: int) -> Launch:
        out = [self.buffers.array(id, rows) for id in region.outputs]
        return joint(self, region.inputs, region.outputs, self.made(region, rows), out)

    def _walk(self, launches: list[Launch], env: list[Any]) -> None:
        if self.watch is not None:
            launches = apart(launches)
        super()._walk(launches, env)


def joint(
    binding: WalkerBinding,
    inputs: Sequence[ValueId | None],
    outputs: Sequence[ValueId],
    run: Run,
    out: Sequence[Any],
) -> Launch:
    """One launch for several instructions, which writes into those arrays."""
    specs = tuple(binding.program.values[id].spec for id in outputs)
    launch = Launch(
        Instruction("region", tuple(inputs), tuple(outputs), {}),
        Call("region", True, True, specs, run, {}, ()),
    )
    launch.out = tuple(out)
    return launch


def apart(launches: list[Launch]) -> list[Launch]:
    """The launches of single instructions."""
    return [part for launch in launches for part in launch.parts or [launch]]
