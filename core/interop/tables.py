"""A table's encoding as a part of an ONNX graph: columns in, names of classes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from ..data.cells import MISSING, TRUTH, WEAK, truth
from ..data.columns import Column
from ..data.encoding import Encoding
from ..model import Sequential
from ..scores import PROBABILITIES
from .dates import features as date_features
from .writing import ML, Writer, elem_type

UNSEEN, GONE = -1, -2  # of a word that training never saw, and of a cell that says nothing
NOT_A_TIME = int(np.datetime64("NaT", "us").astype(np.int64))
WHEN = "microseconds since 1970-01-01 00:00; a missing one is the least whole number"


class Told(NamedTuple):
    """An input or an output of a graph: shape has a name where rows are counted."""

    name: str
    dtype: str
    shape: list[Any]
    doc: str = ""


def features_of(out: Writer, encoding: Encoding, dtype: str) -> tuple[list[Told], str]:
    """The columns as inputs, and the name of the features they become."""
    inputs = []
    for column in encoding.used:
        name = out.name(column.name)  # before any other, so that it is the column's
        if column.kind == "date":
            inputs.append(Told(name, "int64", ["n", 1], WHEN))
        else:
            text = column.written or column.words
            inputs.append(Told(name, "object" if text else dtype, ["n", 1]))
    numbers, words, codes = list[str](), list[str](), list[str]()
    for column, told in zip(encoding.used, inputs, strict=True):
        cells = Cells(out, column, told.name, dtype, encoding.missing)
        numbers += cells.numbers()
        words += cells.one_hot()
        codes += cells.codes()
    out.rows = inputs[0].name
    return inputs, out.add("Concat", *numbers, *words, *codes, axis=1, name="features")


class Cells:
    """The cells of a column, (n, 1), as features.

    x: the input's name. missing: the words for missing, where others were named than the usual.
    """

    def __init__(
        self, out: Writer, column: Column, x: str, dtype: str, missing: Sequence[str] | None
    ) -> None:
        self.out, self.column, self.x, self.dtype = out, column, x, dtype
        self.missing = MISSING if missing is None else {"", *missing}

    def numbers(self) -> list[str]:
        """The features that are numbers."""
        column = self.column
        if column.kind == "yes/no":
            place = self._places()
            sign = self._add("Sub", self._add("Add", place, place), self._whole(1))
            known = self._add("GreaterOrEqual", place, self._whole(0))
            features = [self._add("Where", known, self._cast(sign), self._number(0.0))]
            gone = self._add("Equal", place, self._whole(GONE))
        elif column.kind == "ordered":
            place = self._places()
            gone = self._add("Less", place, self._whole(0))
            features = [self._add("Where", gone, self._filling(), self._cast(place))]
        elif column.kind == "date":
            gone = self._add("Equal", self.x, self._whole(NOT_A_TIME))
            time = self._add("Where", gone, self._whole(int(column.fill or 0)), self.x)
            made = date_features(self.out, time, column.parts, column.origin, column.clock)
            features = [self._cast(each) for each in made]
        elif column.kind == "number":
            feature, gone = self._value()
            features = [feature]
        else:
            return []
        return [*features, self._cast(gone)] if column.indicator else features

    def one_hot(self) -> list[str]:
        """The features that are 0 or 1, in one piece."""
        column, width = self.column, len(self.column.one_hot)
        if not width:
            return []
        unseen, gone, known = UNSEEN, GONE, len(column.words)
        if column.kind == "category":
            unseen = known if column.rest else UNSEEN
            gone = known + column.rest if column.indicator else GONE
        codes = self.out.constant([list(range(width))], "int64", "codes")
        return [self._cast(self._add("Equal", self._places(unseen, gone), codes))]

    def codes(self) -> list[str]:
        """The codes of a category that is embedded, from 1."""
        if not self.column.embedded:
            return []
        return [self._cast(self._add("Add", self._places(gone=UNSEEN), self._whole(1)))]

    def _add(self, kind: str, *inputs: str) -> str:
        return self.out.add(kind, *inputs)

    def _cast(self, x: str) -> str:
        return self.out.add("Cast", x, to=elem_type(self.dtype))

    def _whole(self, value: int) -> str:
        return self.out.constant(value, "int64", "whole")

    def _number(self, value: float) -> str:
        return self.out.constant(value, self.dtype, "number")

    def _filling(self) -> str:
        return self._number(float(self.column.fill or 0.0))

    def _value(self) -> tuple[str, str]:
        """Numbers, with what stands in for missing ones, and which are."""
        column, x = self.column, self.x
        if column.words:  # those are none
            place = self._places()
            number = self._add("Equal", place, self._whole(UNSEEN))
            nothing = self.out.constant(np.array("nan", object), "object", "nothing")
            x = self._cast(self._add("Where", number, x, nothing))
        bare = self._add("IsNaN", x)
        value = (
            x
            if column.strict and column.fill is None
            else (self._add("Where", bare, self._filling(), x))
        )
        if column.words:
            bare = self._add("And", bare, self._add("Less", place, self._whole(0)))
        return value, bare

    def _places(self, unseen: int = UNSEEN, gone: int = GONE) -> str:
        """(n, 1) int64: the place of each word among the column's, or one of the two."""
        column = self.column
        if isinstance(column.fill, str):  # of files from before
            gone = column.words.index(column.fill)
        told = dict(self._alike()) | dict.fromkeys(self._nothing(), gone)
        told |= {word: at for at, word in enumerate(column.words)}
        return self.out.add(
            "LabelEncoder", self.x, domain=ML, keys_strings=list(told),
            values_int64s=list(told.values()), default_int64=unseen,
        )  # fmt: skip

    def _nothing(self) -> list[str]:
        """The words that say that nothing is known."""
        weak = {word for each in WEAK for word in _written(each)}
        return sorted({*self.missing, *(weak if self.column.kind == "number" else ())})

    def _alike(self) -> Iterator[tuple[str, int]]:
        """Other words for yes and no, and their places."""
        if self.column.kind != "yes/no":
            return
        places = {truth(word): at for at, word in enumerate(self.column.words)}
        if set(places) == {True, False}:
            for word, says in TRUTH.items():
                for letters in _written(word):
                    yield letters, places[says]


def _written(word: str) -> Iterator[str]:
    """A word in large and small letters of all kinds."""
    for letters in product(*({c.lower(), c.upper()} for c in word)):
        yield "".join(letters)


def answers(out: Writer, model: Sequential, prediction: str) -> list[Told]:
    """The outputs: the prediction, or what it says in the words of the table."""
    dtype, encoding, op = model.dtype, model.encoding, model.output
    width = model.n_outputs
    shape = ["n", *(d for d in model.session.graph().prediction.shape[1:])]
    if encoding is None or len(shape) > 2:
        return [Told(out.add("Identity", prediction, name="prediction"), dtype, shape)]
    if op not in PROBABILITIES:
        scale = out.constant(np.asarray(encoding.scale, dtype), dtype, "scale")
        mean = out.constant(np.asarray(encoding.mean, dtype), dtype, "mean")
        value = out.add("Mul", prediction, scale)
        return [Told(out.add("Add", value, mean, name="value"), dtype, shape)]
    if op == "sigmoid" and width > 1:
        return [Told(out.add("Identity", prediction, name="prediction"), dtype, shape)]
    if op == "sigmoid":
        one = out.constant(np.asarray(1.0, dtype), dtype, "one")
        half = out.constant(np.asarray(0.5, dtype), dtype, "half")
        rest = out.add("Sub", one, prediction)
        probabilities = out.add("Concat", rest, prediction, axis=1, name="probabilities")
        chosen = out.add("GreaterOrEqual", prediction, half)
        place = out.add("Squeeze", out.add("Cast", chosen, to=elem_type("int64")), out.wholes([1]))
    else:
        probabilities = out.add("Identity", prediction, name="probabilities")
        place = out.add("ArgMax", prediction, axis=1, keepdims=0)
    count = 2 if op == "sigmoid" else width
    classes = encoding.classes[:count]
    label = out.add(
        "LabelEncoder", place, domain=ML, name="label", keys_int64s=list(range(len(classes))),
        values_strings=list(classes), default_string="",
    )  # fmt: skip
    return [Told(label, "object", ["n"]), Told(probabilities, dtype, ["n", count])]
