"""The features of one column for some rows of a table, and what is said of unknown words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...kernels.errors import BadInput
from . import cells, times
from .columns import SECONDS, Column
from .series import Series, Table


def listed(words: Sequence[str]) -> str:
    """The first ten words."""
    return ", ".join(words[:10]) + (", ..." if len(words) > 10 else "")


class Counted:
    """What was met in a column that training never saw."""

    def __init__(self) -> None:
        self.words: dict[str, int] = {}
        self.gone = 0

    def note(self, name: str) -> str:
        """What to say of it, "" where there was nothing."""
        told = []
        if self.words:
            rows, first = sum(self.words.values()), next(iter(self.words))
            more = f" and {len(self.words) - 1} others" if len(self.words) > 1 else ""
            line = f"{rows} row{'s' if rows > 1 else ''}"
            told.append(f"{first!r}{more} in {line}, which training never saw")
        if self.gone:
            cells = f"{self.gone} missing cell{'s' if self.gone > 1 else ''}"
            told.append(f"{cells}, of which training had none")
        return f"column {name!r} has {'; '.join(told)}" if told else ""


class Writer:
    """The features of one column for some rows."""

    def __init__(
        self, column: Column, table: Table, series: Series, strict: bool, told: Counted
    ) -> None:
        self.column, self.table, self.series = column, table, series
        self.strict, self.told = strict, told
        if series.kind == "other" and series.gone < len(series):
            raise BadInput(
                f"{table.name}, column {column.name!r} holds lists or bytes: no feature can be"
                " made of them"
            )
        learned = column.indicator or column.embedded
        if column.strict or (strict and not learned):
            self._refuse_missing()

    def _refuse_missing(self) -> None:
        known = self.series.known
        if not known.all():
            raise BadInput(
                f"{self.where(int(np.argmin(known)))} is empty: fill it, remove the row, or train"
                " with imputation"
            )

    def where(self, row: int) -> str:
        """A cell, for messages."""
        return f"{self.table.place(row)}, column {self.column.name!r}"

    def numbers(self, out: np.ndarray) -> None:
        """Writes the features that are numbers."""
        column = self.column
        if not out.shape[1]:
            return
        if column.kind == "yes/no":
            known = self._truths(out)
        elif column.kind == "ordered":
            codes = self._places()
            known = codes >= 0
            out[:, 0] = np.where(known, codes, column.fill if column.fill is not None else 0.0)
        elif column.kind == "date":
            values = self._times()
            known = ~np.isnat(values)
            middle = np.int64(column.fill or 0).view("datetime64[us]")
            filled = np.where(known, values, middle)
            width = out.shape[1] - column.indicator
            out[:, :width] = times.features(filled, column.parts, column.origin, column.clock)
        else:
            values = self.values()
            known = ~np.isnan(values)
            out[:, 0] = np.where(known, values, column.fill if column.fill is not None else 0.0)
            if column.words:  # words among the numbers are no missing cells
                known = known | (self._places() >= 0)
        gone = len(known) - int(known.sum())
        if column.indicator:
            out[:, -1] = ~known
        elif gone and column.kind != "yes/no":
            self.told.gone += gone

    def values(self) -> np.ndarray:
        """The numbers, NaN where there is none. Raises: BadInput for words that are none."""
        series, column = self.series, self.column
        if series.kind == "time" and series.known.any():
            if column.format != SECONDS:
                row = int(np.argmax(series.known))
                raise BadInput(f"{self.where(row)} is {series.text(row)}, a time and no number")
            return np.where(series.known, series.values.astype(np.int64) / 1e6, np.nan)
        if series.kind in ("time", "other"):
            return np.full(len(series), np.nan)
        if series.kind != "word":
            values = series.values.astype(np.float64)
            if np.isinf(values).any():
                row = int(np.argmax(np.isinf(values)))
                raise BadInput(f"{self.where(row)} is {values[row]:g}: remove the row, or fill it")
            return values
        try:
            found = cells.numbers(series.words, None, self.table.hint or column.decimal)
        except BadInput as error:
            raise BadInput(f"{self.table.name}, column {column.name!r}: {error}") from None
        if found.doubtful:
            raise BadInput(
                f"{self.table.name}, column {column.name!r}: {found.doubtful!r} is a number with a"
                " fraction, or with thousands: say which with --decimal . or --decimal ,"
            )
        known = np.array(
            [word in column.words or cells.weak(word) for word in series.words], dtype=bool
        )
        odd = ~found.found & ~known
        if odd.any():
            row = int(np.argmax(np.append(odd, False)[series.values]))
            word = series.text(row)
            raise BadInput(
                f"{self.where(row)} is {word!r}, not a number: where that says that nothing is"
                f' known, --missing "{word}" tells'
            )
        return np.asarray(np.append(found.values, np.nan)[series.values])

    def _times(self) -> np.ndarray:
        series, column = self.series, self.column
        if series.kind == "time":
            return series.values
        nat = np.datetime64("NaT", "us")
        if series.kind == "word":
            series = series.without(cells.weak)
        if not series.known.any():
            return np.full(len(series), nat)
        told = times.times(series.words, column.format) if series.kind == "word" else None
        if told is None or not told.found.all():
            bad = ~told.found if told is not None else np.ones(len(series.words), dtype=bool)
            odd = np.append(bad, False)[series.values] if series.kind == "word" else series.known
            row = int(np.argmax(odd))
            raise BadInput(f"{self.where(row)} is {series.text(row)!r}, not a date as in training")
        return np.asarray(np.append(told.values, nat)[series.values])

    def _places(self) -> np.ndarray:
        """(n,) places of the cells' words among the column's, -1 for any other."""
        series = self.series.spelled()
        places = {word: at for at, word in enumerate(self.column.words)}
        codes = np.array([*(places.get(w, -1) for w in series.words), -1])
        return np.asarray(codes[series.values])

    def _seen(self) -> tuple[np.ndarray, np.ndarray]:
        """Places of words, -1 for others; and which cells are missing. Others are told of."""
        column, series = self.column, self.series.spelled()
        places, gone = self._places(), ~series.known
        if isinstance(column.fill, str):  # of files from before
            places[gone] = column.words.index(column.fill)
            gone = np.zeros_like(gone)
        odd = (places < 0) & ~gone
        if odd.any() and not column.rest:  # else they count as one, which training knew
            if self.strict:
                row = int(np.argmax(odd))
                raise BadInput(
                    f"{self.where(row)} is {series.text(row)!r}, which training never saw: it"
                    f" knows {listed(column.words)}"
                )
            codes, counts = np.unique(series.values[odd], return_counts=True)
            for code, count in zip(codes, counts, strict=True):
                word = series.words[code]
                self.told.words[word] = self.told.words.get(word, 0) + int(count)
        if gone.any() and not column.indicator and not column.embedded:
            self.told.gone += int(gone.sum())
        return places, gone

    def _truths(self, out: np.ndarray) -> np.ndarray:
        no, yes = self.column.words
        series = self.series.spelled()
        known = {no: -1.0, yes: 1.0}
        signs = {cells.truth(no): -1.0, cells.truth(yes): 1.0}
        both = set(signs) == {True, False}
        made = [
            known.get(word, signs.get(cells.truth(word), 0.0) if both else 0.0)
            for word in series.words
        ]
        counts = np.bincount(series.values[series.known], minlength=len(series.words)).tolist()
        for code, word in enumerate(series.words):
            if made[code] or not counts[code]:
                continue
            if self.strict:
                row = int(np.argmax(series.values == code))
                raise BadInput(
                    f"{self.where(row)} is {word!r}, which training never saw: it knows {no}, {yes}"
                )
            self.told.words[word] = self.told.words.get(word, 0) + counts[code]
        out[:, 0] = np.array([*made, 0.0])[series.values]
        return series.known

    def one_hot(self, out: np.ndarray) -> None:
        """Writes a 1 for each row's word."""
        column = self.column
        if column.kind == "number":
            places = self._places()
        else:
            places, gone = self._seen()
            if column.rest:
                places = np.where((places < 0) & ~gone, len(column.words), places)
            if column.indicator:
                places = np.where(gone, len(column.words) + column.rest, places)
        rows = np.flatnonzero(places >= 0)
        out[rows, places[rows]] = 1.0

    def codes(self) -> np.ndarray:
        """(n,) codes from 1; 0 for a word that is none of the column's, or none at all."""
        return self._seen()[0] + 1
