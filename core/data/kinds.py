"""What a column is: a number, yes or no, a category, a date, or nothing to learn from; and why."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ...kernels.errors import BadInput
from . import cells, times
from .columns import Column
from .plan import Plan, Planned
from .series import Series, Table

MOST_WORDS = 64  # of a category that become a feature each
RARE = 2  # rows: words in fewer count as the others
MOST_ODD = 8  # words among numbers that get a feature each
MOSTLY = 0.8  # of the cells are numbers, then it is a column of numbers
UNIQUE = 0.95  # of the words are in one row alone: names of rows
FEW = 20  # rows, from which on that says something
LONG = 40  # characters, on average, of a free text
ROW_NAMES = re.compile(
    r"(.*[\s_.-])?(id|uuid|guid|rowid|rownames|row_names|rownumber|unnamed: 0|index|key)",
    re.IGNORECASE,
)


def decide(table: Table, name: str, part: np.ndarray, plan: Plan) -> Planned:
    """What a column is: its kind from all rows, words and middle from those to train on.

    part: numbers of these rows. Raises: BadInput where two readings fit.
    """
    series = table.series(name).cleaned(plan.missing)
    gone = len(series) - int(series.known.sum())
    asked = plan.types.get(name, "")
    if asked:
        return _asked(table, name, series, part, plan, asked, gone)
    if gone == len(series):
        return Planned(Column(name, "empty"), "every cell is empty", gone)
    if series.kind == "other":
        return Planned(Column(name, "other"), "its cells are lists or bytes", gone)
    if series.kind == "time":
        return _date(name, series, part, gone, plan, "its type")
    if series.kind == "number":
        return _number(table, name, series, part, gone, plan, "its cells are numbers")
    if series.ordered:
        return _ordered(name, series, part, gone, plan, "its categories have an order")
    return _words(table, name, series, part, gone, plan)


def _words(
    table: Table, name: str, series: Series, part: np.ndarray, gone: int, plan: Plan
) -> Planned:
    """What a column of words is."""
    used = np.unique(series.values[series.known])
    words = [series.words[at] for at in used]
    if len(words) == 1:
        return Planned(Column(name, "constant"), f"every cell is {words[0]!r}", gone,
                       f"--types {name}=category")  # fmt: skip
    both = {cells.truth(word) for word in words}
    if len(words) == 2 and both == {True, False}:
        return _yes_no(name, words, series, part, gone, plan)
    rest = series.without(cells.weak)
    if rest is not series and rest.known.any() and _says(table, rest):
        return _words(table, name, rest, part, len(rest) - int(rest.known.sum()), plan)
    found = _numbers(table, name, words)
    if found.found.all() and not cells.padded(words):
        _sure(table, name, series, found)
        why = f"its words are numbers {found.style}".strip()
        return _number(table, name, series, part, gone, plan, why, found)
    moments = times.times(words) if not found.found.any() else None
    if moments is not None:
        return _moments(table, name, series, moments, words, part, gone, plan)
    counts = np.bincount(series.values[series.known], minlength=len(series.words))
    numeric = int(counts[used][found.found].sum())
    odd = [word for word, is_number in zip(words, found.found, strict=True) if not is_number]
    for word in odd:
        if word.lstrip("+-").lower() in ("inf", "infinity"):
            _refuse_infinite(table, name, series, series.words.index(word))
    mostly = numeric >= MOSTLY * counts.sum() and len(odd) <= MOST_ODD
    if mostly and not cells.padded(words) and found.found.sum() > 2 * len(odd):
        _sure(table, name, series, found)
        return _number(table, name, series, part, gone, plan, "", found, tuple(odd))
    return _category(table, name, series, part, gone, plan, found.found.sum() * 2 > len(words))


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


def _numbers(table: Table, name: str, words: Sequence[str]) -> cells.Numbers:
    try:
        return cells.numbers(words, None, table.hint)
    except BadInput as error:
        raise BadInput(
            f"{table.name}, column {name!r}: {error}: make them one kind, or take the words for"
            f" categories with --types {name}=category"
        ) from None


def _sure(table: Table, name: str, series: Series, found: cells.Numbers) -> None:
    """Raises BadInput where words could be numbers with either decimal sign."""
    if found.doubtful:
        row = int(np.argmax(series.values == series.words.index(found.doubtful)))
        raise BadInput(
            f"{table.place(row)}, column {name!r}: {found.doubtful!r} is a number with a fraction,"
            " or with thousands, and nothing in the file tells which: say it with --decimal . or"
            " --decimal ,"
        )


def _number(
    table: Table,
    name: str,
    series: Series,
    part: np.ndarray,
    gone: int,
    plan: Plan,
    why: str,
    found: cells.Numbers | None = None,
    odd: tuple[str, ...] = (),
    asked: bool = False,
) -> Planned:
    if found is None:
        values = series.values.astype(np.float64)
        decimal = ""
    else:
        used = np.unique(series.values[series.known])
        each = np.full(len(series.words) + 1, np.nan)
        each[used] = found.values
        values, decimal = each[series.values], found.decimal
    if np.isinf(values).any():
        _refuse_infinite(table, name, series, values[int(np.argmax(np.isinf(values)))])
    known = values[part][~np.isnan(values[part])]
    if odd:
        word = odd[0]
        row = int(np.argmax(series.values == series.words.index(word)))
        more = f" and {len(odd) - 1} other words" if len(odd) > 1 else ""
        why = f"numbers, but {word!r}{more} ({table.place(row)}), which get a feature each"
    if not len(known):
        return Planned(Column(name, "empty"), "every cell to train on is empty", gone)
    if known.min() == known.max() and not (odd or asked):
        return Planned(Column(name, "constant"), f"every cell is {known[0]:g}", gone,
                       f"--types {name}=number")  # fmt: skip
    whole = len(values) > FEW and not gone and bool((values == np.floor(values)).all())
    if not asked and ROW_NAMES.fullmatch(name) and whole and len(np.unique(values)) == len(values):
        return Planned(
            Column(name, "identifier"), "its name, and another whole number in every row", gone,
            f"--types {name}=number",
        )  # fmt: skip
    lost = int(np.isnan(values[part]).sum()) - _odd_rows(series.taken(part), odd)
    column = Column(
        name, "number", odd, _middle(known), indicator=lost > 0 and plan.impute, decimal=decimal,
        strict=not plan.impute,
    )  # fmt: skip
    other = f"--missing {odd[0]}" if odd else f"--types {name}=category"
    return Planned(column, why, gone, other)


def _refuse_infinite(table: Table, name: str, series: Series, value: float) -> None:
    """Raises BadInput for a cell with a value that no network can learn from."""
    row = int(np.argmax(series.values == value))
    word = series.text(row)
    raise BadInput(
        f"{table.place(row)}, column {name!r} is {word}: remove the row, or take it for missing"
        f' with --missing "{word}"'
    )


def _lost(series: Series, part: np.ndarray) -> int:
    """How many cells are missing among those to train on."""
    return len(part) - int(series.known[part].sum())


def _odd_rows(series: Series, odd: Sequence[str]) -> int:
    if not odd:
        return 0
    at = [series.words.index(word) for word in odd]
    return int(np.isin(series.values, at).sum())


def _middle(values: np.ndarray) -> float:
    """The median, of the two in the middle the lower one: a value that is there."""
    return float(np.partition(values, (len(values) - 1) // 2)[(len(values) - 1) // 2])


def _yes_no(
    name: str, words: Sequence[str], series: Series, part: np.ndarray, gone: int, plan: Plan,
    why: str = "",
) -> Planned:  # fmt: skip
    lost = _lost(series, part)
    no, yes = sorted(words, key=lambda word: (cells.truth(word) or False, word))
    column = Column(
        name, "yes/no", (no, yes), indicator=lost > 0 and plan.impute, strict=not plan.impute
    )
    return Planned(
        column, why or f"its two words, {no} and {yes}", gone, f"--types {name}=category"
    )


def _moments(
    table: Table,
    name: str,
    series: Series,
    found: times.Times,
    words: Sequence[str],
    part: np.ndarray,
    gone: int,
    plan: Plan,
) -> Planned:
    otherwise = f"--types {name}=category"
    if not found.found.all():
        word = words[int(np.argmin(found.found))]
        row = int(np.argmax(series.values == series.words.index(word)))
        raise BadInput(
            f"{table.place(row)}, column {name!r} is {word!r}, and most others are dates: mend it,"
            f' take it for missing with --missing "{word}", or all of them for words with'
            f" {otherwise}"
        )
    if found.doubtful:
        row = int(np.argmax(series.values == series.words.index(found.doubtful)))
        raise BadInput(
            f"{table.place(row)}, column {name!r}: in {found.doubtful!r} the day or the month may"
            f' come first: say --types "{name}=date(%d/%m/%Y)", or %m/%d/%Y, as it is written'
        )
    each = np.full(len(series.words) + 1, np.datetime64("NaT", "us"))
    each[np.unique(series.values[series.known])] = found.values
    made = Series("time", each[series.values], clock=found.clock)
    first = f", the {found.first} first" if found.first in times.FIRST else ""
    why = f"its words are {'times of day' if found.clock else 'dates'}{first}"
    return _date(name, made, part, gone, plan, why, found.first)


def _date(
    name: str, series: Series, part: np.ndarray, gone: int, plan: Plan, why: str, format: str = ""
) -> Planned:
    lost = _lost(series, part)
    values = series.values[part]
    values = values[~np.isnat(values)]
    if not len(values):
        return Planned(Column(name, "empty"), "every cell to train on is empty", gone)
    if values.min() == values.max():
        return Planned(Column(name, "constant"), f"every cell is {values[0]}", gone)
    middle = int(np.sort(values)[(len(values) - 1) // 2].astype(np.int64))
    column = Column(
        name, "date", fill=float(middle), indicator=lost > 0 and plan.impute,
        parts=times.parts(values, series.clock), origin=0 if series.clock else middle,
        clock=series.clock, format=format, strict=not plan.impute,
    )  # fmt: skip
    return Planned(column, why, gone, f"--drop {name}")


def _ordered(
    name: str, series: Series, part: np.ndarray, gone: int, plan: Plan, why: str
) -> Planned:
    known, lost = series.values[part], _lost(series, part)
    known = known[known >= 0]
    column = Column(
        name, "ordered", series.words, _middle(known) if len(known) else 0.0,
        indicator=lost > 0 and plan.impute, strict=not plan.impute,
    )  # fmt: skip
    return Planned(column, why, gone, f"--types {name}=category")


def _category(
    table: Table,
    name: str,
    series: Series,
    part: np.ndarray,
    gone: int,
    plan: Plan,
    mixed: bool = False,
    asked: bool = False,
) -> Planned:
    """A column of words as a category, unless nearly every row has another."""
    codes, lost = series.values[part], _lost(series, part)
    counts = np.bincount(codes[codes >= 0], minlength=len(series.words))
    used = np.flatnonzero(counts)
    if not len(used):
        return Planned(Column(name, "empty"), "every cell to train on is empty", gone)
    everywhere = len(np.unique(series.values[series.known]))
    told = int(series.known.sum())
    if not asked and told >= FEW and everywhere > UNIQUE * told:
        long = np.mean([len(word) for word in series.words]) > LONG
        kind = "text" if long else "identifier"
        return Planned(
            Column(name, kind), f"{everywhere} different words in {told} rows", gone,
            f"--types {name}=category",
        )  # fmt: skip
    if not asked and everywhere > FEW and np.mean([len(word) for word in series.words]) > LONG:
        return Planned(Column(name, "text"), "its words are whole sentences", gone,
                       f"--types {name}=category")  # fmt: skip
    embedded = plan.embed_from is not None and len(used) >= plan.embed_from
    order = sorted(used, key=lambda at: (-counts[at], series.words[at]))
    rare = [at for at in order if counts[at] < RARE] if len(used) > FEW else []
    kept = order[: len(order) - len(rare)] if len(rare) < len(order) else order
    if not embedded:
        kept = kept[:MOST_WORDS]
    words = tuple(sorted(series.words[at] for at in kept))
    why = f"{len(used)} different words"
    if mixed:
        row = int(np.argmax(series.values == used[0]))
        why += f", such as {series.words[used[0]]!r} ({table.place(row)}), not all of them numbers"
    if len(kept) < len(used):
        why += f"; the {len(used) - len(kept)} least frequent count as one"
    if len(used) == 2 and not asked:
        return _yes_no(name, [series.words[at] for at in used], series, part, gone, plan, why)
    column = Column(
        name, "category", words, indicator=lost > 0 and plan.impute and not embedded,
        rest=len(kept) < len(used) and not embedded, embedded=embedded, strict=not plan.impute,
    )  # fmt: skip
    return Planned(column, why, gone, f"--drop {name}")


def _asked(
    table: Table,
    name: str,
    series: Series,
    part: np.ndarray,
    plan: Plan,
    asked: str,
    gone: int,
) -> Planned:
    """A column as it was asked for."""
    why = "asked for"
    if asked in ("identifier", "text"):
        return Planned(Column(name, asked), why, gone)
    if asked == "category":
        return _category(table, name, series.spelled(), part, gone, plan, asked=True)
    if "<" in asked:
        order = tuple(word.strip() for word in asked.split("<"))
        spelled = series.spelled()
        odd = [word for word in spelled.words if word not in order]
        if odd:
            row = int(np.argmax(spelled.values == spelled.words.index(odd[0])))
            raise BadInput(
                f"{table.place(row)}, column {name!r} is {odd[0]!r}, which is not in the order"
                f" {asked}"
            )
        table_of = np.array([*(order.index(word) for word in spelled.words), -1], dtype=np.int32)
        made = Series("word", table_of[spelled.values], order, ordered=True)
        return _ordered(name, made, part, gone, plan, why)
    if asked == "yes/no":
        spelled = series.spelled()
        words = [spelled.words[at] for at in np.unique(spelled.values[spelled.known])]
        if len(words) != 2:
            raise BadInput(
                f"{table.name}, column {name!r} has {len(words)} words: yes/no takes two"
            )
        return _yes_no(name, words, spelled, part, gone, plan, why)
    if asked.startswith("date"):
        return _asked_date(table, name, series, part, plan, asked, gone)
    if series.kind == "word":
        used = np.unique(series.values[series.known])
        words = [series.words[at] for at in used]
        found = _numbers(table, name, words)
        _sure(table, name, series, found)
        odd = [word for word, ok in zip(words, found.found, strict=True) if not ok]
        if odd:
            row = int(np.argmax(series.values == series.words.index(odd[0])))
            raise BadInput(
                f"{table.place(row)}, column {name!r} is {odd[0]!r}, not a number: where that says"
                f' that nothing is known, --missing "{odd[0]}" tells'
            )
        return _number(table, name, series, part, gone, plan, why, found, asked=True)
    if series.kind == "time":
        values = np.where(series.known, series.values.astype(np.int64) / 1e6, np.nan)
        series = Series("number", values)
    return _number(table, name, series, part, gone, plan, why, asked=True)


def _asked_date(
    table: Table, name: str, series: Series, part: np.ndarray, plan: Plan, asked: str, gone: int
) -> Planned:
    if series.kind == "time":
        return _date(name, series, part, gone, plan, "asked for")
    spelled = series.spelled()
    words = [spelled.words[at] for at in np.unique(spelled.values[spelled.known])]
    format = asked[5:-1]
    found = times.times(words, format)
    if found is None or not found.found.all():
        word = words[0] if found is None else words[int(np.argmin(found.found))]
        row = int(np.argmax(spelled.values == spelled.words.index(word)))
        raise BadInput(
            f"{table.place(row)}, column {name!r} is {word!r}, no date as was asked for: {asked}"
        )
    return _moments(table, name, spelled, found, words, part, gone, plan)
