"""What a column is: a number, yes or no, a category, a date, or nothing to learn from; and why."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...kernels.errors import BadInput
from . import cells, times
from .columns import SECONDS, Column
from .plan import Plan, Planned
from .series import Series, Table

MOST_WORDS = 64  # of a category that become a feature each
RARE = 2  # rows: words in fewer count as the others
MOST_ODD = 8  # words among numbers that get a feature each
MOSTLY = 0.8  # of the cells are numbers, then it is a column of numbers
UNIQUE = 0.95  # of the words are in one row alone: names of rows
FEW = 20  # rows, from which on that says something
LONG = 40  # characters, on average, of a free text
SAMPLE = 1 << 18  # rows that the median is taken of
ROW_NAMES = re.compile(
    r"(.*[\s_.-])?(id|uuid|guid|rowid|rownames|row_names|rownumber|unnamed: 0|index|key)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Look:
    """A column that is looked at: its cells in all rows, and the numbers of those to train on.

    asked: what it was asked for as, or "".
    """

    table: Table
    name: str
    series: Series
    part: np.ndarray
    plan: Plan
    asked: str = ""

    @property
    def gone(self) -> int:
        """How many cells are missing."""
        return self.series.gone

    @cached_property
    def lost(self) -> int:
        """How many cells are missing among those to train on."""
        if not self.gone:
            return 0
        return len(self.part) - int(np.count_nonzero(self.series.known[self.part]))

    @cached_property
    def used(self) -> np.ndarray:
        """The places of words that there are."""
        return np.unique(self.series.values[self.series.known])

    @cached_property
    def words(self) -> list[str]:
        """The words that there are, in the order of `used`."""
        return [self.series.words[at] for at in self.used]

    def cell(self, word: str) -> str:
        """The first cell with a word, for messages."""
        row = int(np.argmax(self.series.values == self.series.words.index(word)))
        return f"{self.table.place(row)}, column {self.name!r}"

    def spread(self, values: np.ndarray, nothing: object) -> np.ndarray:
        """What words became, in the order of `used`, for every row."""
        each = np.full(len(self.series.words) + 1, nothing, dtype=values.dtype)
        each[self.used] = values
        return np.asarray(each[self.series.values])

    def planned(self, column: Column, why: str, otherwise: str = "") -> Planned:
        """The column as it was taken."""
        return Planned(column, "asked for" if self.asked else why, self.gone, otherwise)

    def left_out(self, kind: str, why: str, as_kind: str = "") -> Planned:
        """The column, of which no feature is made."""
        return self.planned(Column(self.name, kind), why, as_kind and self.types(as_kind))

    def types(self, kind: str) -> str:
        """The option that takes the column for another kind."""
        return f"--types {self.name}={kind}"

    def column(self, kind: str, **more: object) -> Column:
        """A column with features, one of them for missing cells where training has some."""
        more = {"indicator": self.lost > 0 and self.plan.impute, **more}
        return Column(self.name, kind, strict=not self.plan.impute, **more)  # type: ignore[arg-type]


def decide(table: Table, name: str, part: np.ndarray, plan: Plan) -> Planned:
    """What a column is: its kind from all rows, words and middle from those to train on.

    part: numbers of these rows. Raises: BadInput where two readings fit.
    """
    series = table.glance(name).cleaned(plan.missing)
    look = Look(table, name, series, part, plan, plan.types.get(name, ""))
    if series.kind == "other" and look.asked not in ("", "identifier", "text"):
        raise BadInput(f"{table.name}, column {name!r} holds lists or bytes, and no {look.asked}")
    if look.asked:
        return _asked(look)
    if look.gone == len(series):
        return look.left_out("empty", "every cell is empty")
    if series.kind == "other":
        return look.left_out("other", "its cells are lists or bytes")
    if series.kind == "time":
        return _date(look, "its type")
    if series.kind == "number":
        return _number(look, np.asarray(series.values, np.float64), "its cells are numbers")
    if series.ordered:
        return _ordered(look, "its categories have an order")
    return _words(look)


def _words(look: Look) -> Planned:
    """What a column of words is."""
    words, series, table = look.words, look.series, look.table
    if len(words) == 1:
        return look.left_out("constant", f"every cell is {words[0]!r}", "category")
    if len(words) == 2 and {cells.truth(word) for word in words} == {True, False}:
        return _yes_no(look)
    rest = series.without(cells.weak)
    if rest is not series and rest.known.any() and _says(table, rest):
        return _words(replace(look, series=rest))
    found = _numbers(look)
    if found.found.all() and not cells.padded(words):
        _sure(look, found)
        why = f"its words are numbers {found.style}".strip()
        return _number(look, look.spread(found.values, np.nan), why, found)
    moments = times.times(words) if not found.found.any() else None
    if moments is not None:
        return _moments(look, moments)
    counts = np.bincount(series.values[series.known], minlength=len(series.words))
    numeric = int(counts[look.used][found.found].sum())
    odd = [word for word, is_number in zip(words, found.found, strict=True) if not is_number]
    for word in odd:
        if word.lstrip("+-").lower() in ("inf", "infinity", "∞"):
            raise _infinite(look.cell(word), word)
    mostly = numeric >= MOSTLY * counts.sum() and len(odd) <= MOST_ODD
    if mostly and not cells.padded(words) and found.found.sum() > 2 * len(odd):
        _sure(look, found)
        return _number(look, look.spread(found.values, np.nan), "", found, tuple(odd))
    return _category(look, found.found.sum() * 2 > len(words))


def _says(table: Table, series: Series) -> bool:
    """Whether all words of a column are numbers, or dates."""
    words = [series.words[at] for at in np.unique(series.values[series.known])]
    try:
        if cells.numbers(words, None, table.hint).found.all():
            return True
    except BadInput:
        return True
    found = times.times(words)
    return found is not None and bool(found.found.all())


def _numbers(look: Look) -> cells.Numbers:
    try:
        return cells.numbers(look.words, None, look.table.hint)
    except BadInput as error:
        raise BadInput(
            f"{look.table.name}, column {look.name!r}: {error}: make them one kind, or take the"
            f" words for categories with {look.types('category')}"
        ) from None


def _sure(look: Look, found: cells.Numbers) -> None:
    """Raises BadInput where words could be numbers with either decimal sign."""
    if found.doubtful:
        raise BadInput(
            f"{look.cell(found.doubtful)}: {found.doubtful!r} is a number with a fraction, or with"
            " thousands, and nothing in the file tells which: say it with --decimal . or --decimal"
            " ,"
        )


def _number(
    look: Look,
    values: np.ndarray,
    why: str,
    found: cells.Numbers | None = None,
    odd: tuple[str, ...] = (),
) -> Planned:
    """A column of numbers; odd: the words among them that get a feature each."""
    total = values.sum()
    if not np.isfinite(total) and np.isinf(values).any():
        row = int(np.argmax(np.isinf(values)))
        cell = f"{look.table.place(row)}, column {look.name!r}"
        raise _infinite(cell, look.series.text(row))
    sample = values[look.part[:: len(look.part) // SAMPLE + 1]]
    sample = sample[~np.isnan(sample)]
    if not len(sample) or sample.min() == sample.max():
        sample = values[look.part]
        sample = sample[~np.isnan(sample)]
    if not len(sample):
        return look.left_out("empty", "every cell to train on is empty")
    if sample.min() == sample.max() and not (odd or look.asked):
        return look.left_out("constant", f"every cell is {sample[0]:g}", "number")
    if ROW_NAMES.fullmatch(look.name) and not look.asked and _counts(values):
        why = "its name, and another whole number in every row"
        return look.left_out("identifier", why, "number")
    otherwise = look.types("category")
    if odd:
        more = f" and {len(odd) - 1} other words" if len(odd) > 1 else ""
        why = f"numbers, but {odd[0]!r}{more} ({look.cell(odd[0])}), which get a feature each"
        otherwise = f"--missing {odd[0]}"
    column = look.column(
        "number", words=odd, fill=_middle(sample), decimal="" if found is None else found.decimal
    )
    return look.planned(column, why, otherwise)


def _counts(values: np.ndarray) -> bool:
    """Whether there is another whole number in every row."""
    whole = len(values) > FEW and bool((values == np.floor(values)).all())
    return whole and len(np.unique(values)) == len(values)


def _infinite(cell: str, word: str) -> BadInput:
    return BadInput(
        f'{cell} is {word}: remove the row, or take it for missing with --missing "{word}"'
    )


def _middle(values: np.ndarray) -> float:
    """The median, of the two in the middle the lower one: a value that is there."""
    return float(np.partition(values, (len(values) - 1) // 2)[(len(values) - 1) // 2])


def _yes_no(look: Look) -> Planned:
    no, yes = sorted(look.words, key=lambda word: (cells.truth(word) or False, word))
    column = look.column("yes/no", words=(no, yes))
    return look.planned(column, f"its two words, {no} and {yes}", look.types("category"))


def _moments(look: Look, found: times.Times) -> Planned:
    """A column of words that are dates or times of day."""
    if not found.found.all():
        word = look.words[int(np.argmin(found.found))]
        raise BadInput(
            f"{look.cell(word)} is {word!r}, and most others are dates: mend it, take it for"
            f' missing with --missing "{word}", or all of them for words with'
            f" {look.types('category')}"
        )
    if found.doubtful:
        raise BadInput(
            f"{look.cell(found.doubtful)}: in {found.doubtful!r} the day or the month may come"
            f' first: say --types "{look.name}=date(%d/%m/%Y)", or %m/%d/%Y, as it is written'
        )
    values = look.spread(found.values, np.datetime64("NaT", "us"))
    made = replace(look, series=Series("time", values, clock=found.clock))
    first = f", the {found.first} first" if found.first in times.FIRST else ""
    why = f"its words are {'times of day' if found.clock else 'dates'}{first}"
    return _date(made, why, found.first)


def _date(look: Look, why: str, format: str = "") -> Planned:
    series = look.series
    values = series.values[look.part]
    values = values[~np.isnat(values)]
    if not len(values):
        return look.left_out("empty", "every cell to train on is empty")
    if values.min() == values.max():
        return look.left_out("constant", f"every cell is {values[0]}")
    middle = int(np.sort(values)[(len(values) - 1) // 2].astype(np.int64))
    column = look.column(
        "date", fill=float(middle), parts=times.parts(values, series.clock),
        origin=0 if series.clock else middle, clock=series.clock, format=format,
    )  # fmt: skip
    return look.planned(column, why, f"--drop {look.name}")


def _ordered(look: Look, why: str) -> Planned:
    known = look.series.values[look.part]
    known = known[known >= 0]
    fill = _middle(known) if len(known) else 0.0
    column = look.column("ordered", words=look.series.words, fill=fill)
    return look.planned(column, why, look.types("category"))


def _category(look: Look, mixed: bool = False) -> Planned:
    """A column of words as a category, unless nearly every row has another."""
    series, plan = look.series, look.plan
    codes = series.values[look.part]
    counts = np.bincount(codes[codes >= 0], minlength=len(series.words))
    used = np.flatnonzero(counts)
    if not len(used):
        return look.left_out("empty", "every cell to train on is empty")
    told, different = len(series) - look.gone, len(look.used)
    long = np.mean([len(word) for word in look.words]) > LONG
    if not look.asked and told >= FEW and different > UNIQUE * told:
        why = f"{different} different words in {told} rows"
        return look.left_out("text" if long else "identifier", why, "category")
    if not look.asked and different > FEW and long:
        return look.left_out("text", "its words are whole sentences", "category")
    order = sorted(used, key=lambda at: (-counts[at], series.words[at]))
    kept = [at for at in order if counts[at] >= RARE] if len(used) > FEW else order
    kept = kept or order
    embedded = plan.embed_from is not None and len(used) >= plan.embed_from
    if not embedded:
        kept = kept[:MOST_WORDS]
    why = f"{len(used)} different words"
    if cells.padded(look.words):
        why += ", digits with zeros in front"
    elif mixed:
        word = series.words[used[0]]
        why += f", such as {word!r} ({look.cell(word)}), not all of them numbers"
    if len(kept) < len(used):
        why += f"; the {len(used) - len(kept)} least frequent count as one"
    if different == 2 and len(used) == 2 and not look.asked:
        return _yes_no(look)
    more = {"rest": len(kept) < len(used)}
    if embedded:
        more |= {"embedded": True, "indicator": False}
    column = look.column("category", words=tuple(sorted(series.words[at] for at in kept)), **more)
    return look.planned(column, why, f"--drop {look.name}")


def _asked(look: Look) -> Planned:
    """A column as it was asked for. Raises: BadInput where it cannot be that."""
    asked, series = look.asked, look.series
    if asked in ("identifier", "text"):
        return look.left_out(asked, "")
    if asked == "number":
        return _asked_number(look)
    look = replace(look, series=series.spelled())
    if asked == "category":
        return _category(look)
    if asked == "yes/no":
        if len(look.words) != 2:
            raise BadInput(
                f"{look.table.name}, column {look.name!r} has {len(look.words)} words, and yes/no"
                " takes two"
            )
        return _yes_no(look)
    if "<" in asked:
        return _asked_order(look)
    if series.kind == "time":
        return _date(replace(look, series=series), "")
    found = times.times(look.words, asked[5:-1])
    if found is None or not found.found.all():
        word = look.words[0] if found is None else look.words[int(np.argmin(found.found))]
        raise BadInput(f"{look.cell(word)} is {word!r}, no date as was asked for: {asked}")
    return _moments(look, found)


def _asked_number(look: Look) -> Planned:
    series = look.series.without(cells.weak)
    look = replace(look, series=series)
    if series.kind == "time":
        seconds = np.where(series.known, series.values.astype(np.int64) / 1e6, np.nan)
        made = _number(look, seconds, "")
        return replace(made, column=replace(made.column, format=SECONDS))
    if series.kind != "word":
        return _number(look, np.asarray(series.values, np.float64), "")
    found = _numbers(look)
    _sure(look, found)
    if not found.found.all():
        word = look.words[int(np.argmin(found.found))]
        raise BadInput(
            f"{look.cell(word)} is {word!r}, not a number: where that says that nothing is known,"
            f' --missing "{word}" tells'
        )
    return _number(look, look.spread(found.values, np.nan), "", found)


def _asked_order(look: Look) -> Planned:
    order = tuple(word.strip() for word in look.asked.split("<"))
    for word in look.words:
        if word not in order:
            raise BadInput(f"{look.cell(word)} is {word!r}, which is not in the order {look.asked}")
    places = np.array([order.index(word) for word in look.words], dtype=np.int32)
    return _ordered(replace(look, series=Series("word", look.spread(places, -1), order)), "")
