"""Words as times, and times as the numbers that people would make of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...kernels.errors import BadInput

MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
DATE = re.compile(
    rf"\d{{4}}[-/.]\d{{1,2}}[-/.]\d|\d{{4}}[-/]\d{{1,2}}$|\d{{1,2}}[-/]\d{{4}}$"
    rf"|\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{2}}|\d{{1,2}}:\d\d"
    rf"|\d{{1,2}}[-/. ](?:{MONTHS})|(?:{MONTHS})[a-z]*\.? \d{{1,2}}",
    re.IGNORECASE,
)
OFFSET = re.compile(r"\s*(?:Z|([+-])(\d\d):?(\d\d)?)$")
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %H:%M:%S.%g", "T%H:%M:%S")
MONTHLY = ("%Y-%m", "%Y/%m", "%m/%Y", "%m-%Y")
FIRST = {  # which of day and month comes first
    "day": (
        "%d/%m/%y", "%d/%m/%Y", "%d-%m-%y", "%d-%m-%Y", "%d.%m.%y", "%d.%m.%Y", "%d %b %Y",
        "%d %B %Y", "%d-%b-%y", "%d-%b-%Y", "%d/%b/%Y", "%d %b %y", "%b %d, %Y", "%B %d, %Y",
        "%b %d %Y", "%B %d %Y", "%Y.%m.%d", *MONTHLY,
    ),
    "month": ("%m/%d/%y", "%m/%d/%Y", "%m-%d-%y", "%m-%d-%Y", *MONTHLY),
}  # fmt: skip
LIKELY = 0.8  # of the words, from which on a column is one of times
DAYS, SECONDS = np.timedelta64(1, "D"), np.timedelta64(1, "s")


@dataclass(frozen=True)
class Times:
    """Words as times.

    values: (n,) datetime64[us], NaT for a word that is none. first: "day" or "month" where that had
    to be found out, else "". doubtful: the first word that is another day with the month first,
    where nothing tells which. clock: whether they are times of day.
    """

    values: np.ndarray
    first: str = ""
    doubtful: str = ""
    clock: bool = False

    @property
    def found(self) -> np.ndarray:
        """Which of the words are times."""
        return np.asarray(~np.isnat(self.values))


def times(words: Sequence[str], given: str = "") -> Times | None:
    """Words as times, or None where most of them are none.

    words: different ones. given: "day" or "month", whichever comes first, or a format such as
    "%d/%m/%Y", where that is known. Words that are no times are NaT. Raises: BadInput for what is
    no format.
    """
    shown = words[:50]
    if not given and sum(DATE.match(word) is not None for word in shown) < LIKELY * len(shown):
        return None
    if "%" in given:
        return Times(_read(words, _formatted([given])), given)
    clock = all(re.fullmatch(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?", word) for word in shown)
    if clock:
        made = _read(words, "epoch_us(DATE '1970-01-01' + try_cast(w AS TIME))")
        return Times(made, clock=True)
    iso = _iso(words)
    if not np.isnat(iso).any():
        return Times(iso)
    found = {}
    for first, dates in FIRST.items():
        made = _read(words, _formatted([date + clock for date in dates for clock in CLOCKS]))
        found[first] = np.where(np.isnat(iso), made, iso)
    if given:
        return Times(found[given], given)
    count = {first: int((~np.isnat(made)).sum()) for first, made in found.items()}
    either = ~(np.isnat(found["day"]) & np.isnat(found["month"]))
    if either.sum() < LIKELY * len(words):  # that some are one and some the other is told of
        return None
    if count["day"] == count["month"]:
        known = ~np.isnat(found["day"]) & ~np.isnat(found["month"])
        differ = known & (found["day"] != found["month"])
        doubtful = words[int(np.argmax(differ))] if differ.any() else ""
        return Times(found["day"], "day", doubtful)
    first = max(count, key=lambda one: count[one])
    return Times(found[first], first)


def _iso(words: Sequence[str]) -> np.ndarray:
    """Words as ISO 8601 has them; those that tell how far they are from UTC become that."""
    bare, away = [], np.zeros(len(words), dtype=np.int64)
    for at, word in enumerate(words):
        found = OFFSET.search(word) if ":" in word else None
        if found:
            minutes = int(found[2] or 0) * 60 + int(found[3] or 0)
            away[at] = minutes * (-60_000_000 if found[1] == "-" else 60_000_000)
            word = word[: found.start()]
        bare.append(word)
    made = _read(bare, "epoch_us(try_cast(w AS TIMESTAMP))")
    return np.where(np.isnat(made), made, made - away.astype("timedelta64[us]"))


def _formatted(formats: Sequence[str]) -> str:
    told = ", ".join("'" + one.replace("'", "''") + "'" for one in formats)
    return f"epoch_us(try_strptime(w, [{told}]))"


def _read(words: Sequence[str], expression: str) -> np.ndarray:
    """An expression of DuckDB's over words `w`, microseconds since 1970, as times."""
    import duckdb

    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("words", {"w": np.array([*words, None], dtype=object)[:-1]})
        try:
            found = connection.execute(f"SELECT {expression} AS t FROM words").fetchnumpy()["t"]
        except duckdb.InvalidInputException as error:
            told = str(error).split("\n")[0].removeprefix("Invalid Input Error: ")
            raise BadInput(f"a format in --types is none: {told}") from None
    values: np.ndarray = np.ma.filled(found, np.iinfo(np.int64).min)
    return np.asarray(values.astype(np.int64)).view("datetime64[us]")


# Features


def parts(values: np.ndarray, clock: bool) -> tuple[str, ...]:
    """The features that times become: what changes among them.

    values: (n,) datetime64[us], none of them missing. clock: times of day.
    """
    if clock:
        return ("elapsed", "hour")
    found = ["elapsed"]
    days = values.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    if len(np.unique(months.astype(np.int64) % 12)) > 1:
        found.append("month")
    if len(np.unique(days.astype(np.int64) % 7)) > 1:
        found.append("weekday")
    if len(np.unique((values - days).astype("timedelta64[m]"))) > 1:
        found.append("hour")
    return tuple(found)


def names(column: str, which: Sequence[str]) -> list[str]:
    """The names of the features: a sine and a cosine of what comes round."""
    found = []
    for part in which:
        if part == "elapsed":
            found.append(f"{column} elapsed")
        else:
            found += [f"{column} {part} sin", f"{column} {part} cos"]
    return found


def features(values: np.ndarray, which: Sequence[str], origin: int, clock: bool) -> np.ndarray:
    """(n, features) of times: days since the origin (hours of a day), and what comes round.

    values: (n,) datetime64[us] without NaT. origin: microseconds since 1970.
    """
    found = np.empty((len(values), len(names("", which))))
    since = values.astype(np.int64) - origin
    days = values.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    turn = {  # from 0 to 1
        "month": (months.astype(np.int64) % 12 + (days - months) / DAYS / 31.0) / 12.0,
        "weekday": (days.astype(np.int64) + 3) % 7 / 7.0,
        "hour": (values - days) / DAYS,
    }
    at = 0
    for part in which:
        if part == "elapsed":
            found[:, at] = since / (3.6e9 if clock else 8.64e10)
            at += 1
            continue
        angle = 2.0 * np.pi * turn[part]
        found[:, at], found[:, at + 1] = np.sin(angle), np.cos(angle)
        at += 2
    return found
