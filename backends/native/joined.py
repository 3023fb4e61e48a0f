"""The regions of a program that run as one, and which of their values must be in memory."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from ..program import Program, Region, ValueId


class Joined:
    """Regions that run as one, by their start; none before `only`."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.instructions = [one for _, one in program.instructions()]
        self.regions: dict[int, Region] = {}

    def only(self, regions: Iterable[Region]) -> None:
        """Takes these."""
        self.regions = {region.start: region for region in regions}

    def at(self, position: int) -> Region | None:
        """The region in which an instruction is."""
        for region in self.regions.values():
            if region.start <= position < region.stop:
                return region
        return None

    @cached_property
    def readers(self) -> dict[ValueId, list[int]]:
        """The positions of the instructions that read a value."""
        found: dict[ValueId, list[int]] = {}
        for at, one in enumerate(self.instructions):
            for id in one.inputs:
                if id is not None:
                    found.setdefault(id, []).append(at)
        return found

    @cached_property
    def kept(self) -> set[ValueId]:
        """Values that are read after the program, or by the update."""
        one = self.program
        named = (one.outputs, one.sums, one.gradients, one.observed)
        return {id for values in named for id in values.values()}

    def written(self, region: Region, output: ValueId) -> bool:
        """Whether somebody reads an output of a region from memory, who does not make it again."""
        if output in self.kept or any(output in other.sources for other in self.regions.values()):
            return True
        own = range(region.start, region.stop)
        others = [self.at(at) for at in self.readers.get(output, []) if at not in own]
        maker = next(at for at in own if output in self.instructions[at].outputs)
        return not others or any(other is None or maker not in other.again for other in others)
