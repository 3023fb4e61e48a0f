"""The options of `lamina train`: checked, told in the shell's words, kept in the model's file."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ...kernels.errors import BadInput, CheckpointError, unknown
from ...kernels.spec import FLOATS
from .. import losses
from ..checks import check_count, check_number
from ..data.splits import TASKS
from ..layers import check_activation


@dataclass(frozen=True)
class Settings:
    """Everything that a training depends on: with the same settings it can be repeated.

    None and "auto" are left to the recipe, which goes by the task and by how many rows there are.
    """

    data: str = "digits"
    label: str | None = None
    task: str = "auto"
    impute: bool = True
    test_size: float = 0.2
    hidden: tuple[int, ...] | None = None
    activation: str = "auto"
    backend: str = "auto"
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    dropout: float | None = None
    dtype: str = "float32"
    seed: int = 0
    loss: str = "auto"
    types: str | None = None
    missing: str | None = None
    header: bool | None = None
    drop: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    recipe: str = "auto"
    members: int | None = None
    time: float | None = None

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Settings:
        """The settings of a report; a backend that was chosen then is asked for now.

        Raises: BadInput.
        """
        try:
            words = dict(told["settings"])
            words.setdefault("recipe", "simple")  # the only one that older versions knew
            if words["hidden"] is not None:
                words["hidden"] = tuple(words["hidden"])
            found = cls(**words)
            if found.backend == "auto" or "," in found.backend:
                found = replace(found, backend=told["backend"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"this is no report of lamina train --json: {error!r}") from None
        for field in fields(cls):
            value = getattr(found, field.name)
            if not _fits(value, field.default, OPTIONAL.get(field.name, "")):
                raise BadInput(f"this report's setting {field.name!r} cannot be {value!r}")
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain words and numbers."""
        return {**asdict(self), "hidden": None if self.hidden is None else list(self.hidden)}

    def check(self) -> None:
        """Raises BadInput or UnknownName for what no training can have, in the shell's words."""
        check_number("--test-size", self.test_size, 0.0, 1.0, open_high=True)
        most = {"dropout": 1.0, "learning_rate": math.inf, "time": math.inf}
        for name, high in most.items():
            if (value := getattr(self, name)) is not None:
                check_number(option(name), value, 0.0, high, open_high=True)
        if self.time == 0:
            raise BadInput("--time must be above 0 seconds")
        for name in ("epochs", "batch_size", "members"):
            if (value := getattr(self, name)) is not None:
                check_count(option(name), value, least=0 if name == "epochs" else 1)
        check_count("--seed", self.seed, least=0)
        if self.seed >= 2**63:
            raise BadInput(f"--seed must be below 2**63, not {self.seed}")
        if self.activation != "auto":
            check_activation(self.activation)
        if self.loss != "auto":
            losses.get(self.loss)
        if self.dtype not in FLOATS:
            raise unknown("dtype", self.dtype, FLOATS)
        if self.task not in (*TASKS, "auto"):
            raise unknown("task", self.task, (*TASKS, "auto"))
        if self.recipe not in (*RECIPES, "auto"):
            raise unknown("recipe", self.recipe, (*RECIPES, "auto"))
        if self.recipe == "simple" and (self.members is not None or self.time is not None):
            odd = "--members" if self.members is not None else "--time"
            raise BadInput(f"{odd} is for --recipe tabular: the simple one trains one network")


def _fits(value: Any, default: Any, other: Any = None) -> bool:
    """Whether a setting has the type of its default, or of another value where that is None."""
    if default is None:
        return value is None or _fits(value, other)
    if isinstance(default, tuple):
        return isinstance(value, tuple) and all(_fits(v, default[0]) for v in value)
    if isinstance(value, bool) or isinstance(default, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    return isinstance(value, (int, float) if isinstance(default, float) else type(default))


RECIPES = ("tabular", "simple")
OPTIONAL: dict[str, Any] = {  # an example of each setting that may be None and is no word
    "header": True, "hidden": (1,), "epochs": 1, "batch_size": 1, "learning_rate": 1.0,
    "dropout": 1.0, "members": 1, "time": 1.0,
}  # fmt: skip
NAMES = tuple(field.name for field in fields(Settings))
READING = (  # how a table is read
    "label", "task", "impute", "types", "missing", "header", "drop", "delimiter", "decimal",
    "encoding",
)  # fmt: skip
KEPT = (
    *READING, "test_size", "hidden", "activation", "loss", "dropout", "dtype", "seed", "recipe",
)  # fmt: skip


SWITCHES = {  # settings that are said, and denied, in a word each
    "impute": ("", "--strict"),
    "header": ("--header", "--no-header"),
}


def option(name: str) -> str:
    """A setting as the shell knows it.

    >>> option("test_size")
    '--test-size'
    """
    if name in SWITCHES:
        return SWITCHES[name][1]
    return "the data" if name == "data" else "--" + name.replace("_", "-")


def words(settings: Settings, names: Iterable[str]) -> str:
    """Settings as one would type them; those that say nothing are left out.

    >>> words(Settings(hidden=(8, 4)), ("hidden", "label", "impute"))
    '--hidden 8,4'
    """
    found = []
    for name in names:
        value = getattr(settings, name)
        if name in SWITCHES and value is not None:
            found += [SWITCHES[name][not value]] if SWITCHES[name][not value] else []
        elif value is True:
            found.append(option(name))
        elif value is not None and value is not False:
            found.append(f"{option(name)} {_word(value)}")
    return " ".join(found)


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or '""'
    return str(value)


def begun(told: Any, path: str) -> tuple[Settings, str]:
    """The settings that a model's file was begun with, and the digest of its rows.

    told: what the file says. Raises: BadInput when it was written in another way, CheckpointError.
    """
    if told is None:
        raise BadInput(
            f"{path} was not written by lamina train, so which rows it was trained on is not"
            " known: go on in Python, with lm.load and fit"
        )
    try:
        found = Settings.from_json({"settings": told["settings"], "backend": "auto"})
        return found, str(told["rows"])
    except (BadInput, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} does not say how it was trained: {error}") from None


def refuse_others(
    kept: Settings, asked: Settings, given: Collection[str], names: Iterable[str], path: str
) -> None:
    """Raises BadInput where options that were given are not those that a file was begun with."""
    odd = [
        name
        for name in names
        if name in given
        and getattr(asked, name) not in (None, "auto", getattr(kept, name))  # as it comes
    ]
    if not odd:
        return
    told = "; ".join(
        f"{words(kept, [name]) or 'no ' + option(name)}, not"
        f" {words(asked, [name]) or 'no ' + option(name)}"
        for name in odd
    )
    raise BadInput(
        f"--resume goes on with what {path} was begun with: {told}. Leave"
        f" {', '.join(map(option, odd))} away, or begin anew with --overwrite"
    )
