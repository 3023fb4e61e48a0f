"""A table's encoding as a part of an ONNX graph: columns in, names of classes out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from ..data.cells import MISSING
from ..data.columns import Column
from ..data.encoding import Encoding
from ..model import Sequential
from ..scores import PROBABILITIES
from .writing import ML, Writer, elem_type

Told = tuple[str, str, list[Any]]  # name, dtype, shape
UNKNOWN = -1  # the number of a word that training never saw


def features_of(out: Writer, encoding: Encoding, dtype: str) -> tuple[list[Told], str]:
    """The columns as inputs, and the name of the features they become."""
    inputs: list[Told] = []
    parts = []
    for column in encoding.columns:
        name = out.name(column.name)  # before any other, so that it is the column's
        inputs.append((name, "object" if column.categories else dtype, ["n", 1]))
    for column, (name, _, _) in zip(encoding.columns, inputs, strict=True):
        parts.append(_encoded(out, column, name, dtype))
    out.rows = inputs[0][0]
    return inputs, out.add("Concat", *parts, axis=1, name="features")


def _encoded(out: Writer, column: Column, x: str, dtype: str) -> str:
    """One column as features, (n, 1) or (n, categories)."""
    if column.categories:
        keys, values = zip(*_codes(column), strict=True)
        code = out.add(
            "LabelEncoder", x, domain=ML, keys_strings=list(keys), values_int64s=list(values),
            default_int64=UNKNOWN,
        )  # fmt: skip
        codes = out.constant([list(range(len(column.categories)))], "int64", "codes")
        return out.add("Cast", out.add("Equal", code, codes), to=elem_type(dtype))
    if column.fill is None:
        return x
    fill = out.constant(np.asarray(float(column.fill), dtype), dtype, "fill")
    return out.add("Where", out.add("IsNaN", x), fill, x)


def _codes(column: Column) -> Iterator[tuple[str, int]]:
    """(word, number) for each category, and for what says that nothing is known."""
    for number, word in enumerate(column.categories):
        yield word, number
    if column.fill in column.categories:
        fill = column.categories.index(str(column.fill))
        for word in sorted(MISSING):
            for letters in product(*({c.lower(), c.upper()} for c in word)):
                yield "".join(letters), fill


def answers(out: Writer, model: Sequential, prediction: str) -> list[Told]:
    """The outputs: the prediction, or what it says in the words of the table."""
    dtype, encoding, op = model.dtype, model.encoding, model.output
    width = model.n_outputs
    shape = ["n", *(d for d in model.session.graph().prediction.shape[1:])]
    if encoding is None or len(shape) > 2:
        return [(out.add("Identity", prediction, name="prediction"), dtype, shape)]
    if op not in PROBABILITIES:
        scale = out.constant(np.asarray(encoding.scale, dtype), dtype, "scale")
        mean = out.constant(np.asarray(encoding.mean, dtype), dtype, "mean")
        value = out.add("Mul", prediction, scale)
        return [(out.add("Add", value, mean, name="value"), dtype, shape)]
    if op == "sigmoid" and width > 1:
        return [(out.add("Identity", prediction, name="prediction"), dtype, shape)]
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
    return [(label, "object", ["n"]), (probabilities, dtype, ["n", count])]
