"""One column of a table as features: what a model keeps of it."""

from __future__ import annotations

from dataclasses import dataclass

from . import times

LEAVES = ("identifier", "text", "constant", "empty", "other", "dropped")  # no features
KINDS = ("number", "yes/no", "category", "ordered", "date", *LEAVES)
OTHER, GONE = "(other)", "(missing)"
SECONDS = "seconds"  # since 1970: the format of times that are taken for numbers


@dataclass(frozen=True)
class Column:
    """One column of a table as features.

    kind: "number", "yes/no" (the second word is +1, the first -1), "category", "ordered" (the place
    of a word in its order) or "date"; or what is left out: "identifier", "text", "constant",
    "empty", "other". words: of a category, in order; of a number those that are none and have a
    column each. fill: what stands in for a missing number; of old files also a word, None refuses.
    indicator: whether being missing is a feature. rest: whether all other words are one. embedded:
    a category as one column of codes, from 1; 0 is any other word, or none. parts, origin, clock:
    see `times.features`. format: which of day and month comes first; of a number,
    whether it is a time's. decimal: as in the training's file. strict: missing cells are refused.
    """

    name: str
    kind: str = "number"
    words: tuple[str, ...] = ()
    fill: float | str | None = None
    indicator: bool = False
    rest: bool = False
    embedded: bool = False
    parts: tuple[str, ...] = ()
    origin: int = 0
    clock: bool = False
    format: str = ""
    decimal: str = ""
    strict: bool = False

    @property
    def numbers(self) -> tuple[str, ...]:
        """The names of its features that are numbers."""
        more = (f"{self.name}={GONE}",) if self.indicator else ()
        if self.kind in ("number", "ordered"):
            return (self.name, *more)
        if self.kind == "yes/no":
            return (f"{self.name}={self.words[1]}", *more)
        if self.kind == "date":
            return (*times.names(self.name, self.parts), *more)
        return ()

    @property
    def one_hot(self) -> tuple[str, ...]:
        """The names of its features that are 0 or 1, one for each word."""
        if self.kind == "number":
            return tuple(f"{self.name}={word}" for word in self.words)
        if self.kind != "category" or self.embedded:
            return ()
        known = [*self.words, *([OTHER] if self.rest else []), *([GONE] if self.indicator else [])]
        return tuple(f"{self.name}={word}" for word in known)

    @property
    def written(self) -> bool:
        """Whether its cells are to be kept as they are written in a file."""
        return self.kind in ("yes/no", "category", "ordered")
