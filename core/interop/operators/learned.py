"""Operators of scikit-learn's models (ai.onnx.ml)."""

from __future__ import annotations

import numpy as np

from ....kernels.spec import size
from ...graph.graph import Node, constant, make
from ..values import ML, Call, Tensor, cast, operator, real, reshape, taken

LINKS = {"NONE": None, "LOGISTIC": "sigmoid", "SOFTMAX": "softmax"}


def _features(call: Call, index: int = 0) -> Node:
    """The rows as floating numbers."""
    x = call.node(index)
    return x if real(x.dtype) else cast(x, "float32")


def _row(call: Call, name: str, x: Node) -> Node:
    found = np.asarray(call.attr(name, ()), np.float32)
    if not found.size:
        raise call.refuse(f"has no {name}")
    return constant(found, x.dtype)


@operator("Scaler", domain=ML)
def _scaler(call: Call) -> Node:
    x = _features(call)
    return (x - _row(call, "offset", x)) * _row(call, "scale", x)


@operator("Normalizer", domain=ML)
def _normalizer(call: Call) -> Node:
    x, kind = _features(call), call.attr("norm", "MAX")
    if kind == "MAX":
        size = make("max", abs(x), axis=-1, keepdims=True)
    elif kind == "L1":
        size = make("sum", abs(x), axis=-1, keepdims=True)
    else:
        size = make("sqrt", make("sum", x * x, axis=-1, keepdims=True))
    return x / make("where", make("equal", size, 0.0), call.like(x, 1), size)


@operator("Binarizer", domain=ML)
def _binarizer(call: Call) -> Node:
    x = _features(call)
    return cast(x > float(call.attr("threshold", 0.0)), x.dtype)


@operator("Imputer", domain=ML)
def _imputer(call: Call) -> Node:
    x = call.node(0)
    name = "imputed_value_floats" if real(x.dtype) else "imputed_value_int64s"
    values = constant(np.asarray(call.attr(name, ())), x.dtype)
    if real(x.dtype):
        replaced = float(call.attr("replaced_value_float", float("nan")))
        missing = make("not_equal", x, x) if np.isnan(replaced) else make("equal", x, replaced)
    else:
        missing = make("equal", x, int(call.attr("replaced_value_int64", 0)))
    return make("where", missing, values, x)


@operator("FeatureVectorizer", domain=ML)
def _feature_vectorizer(call: Call) -> Node:
    found = [_features(call, i) for i in range(len(call.inputs))]
    made = found[0]
    for other in found[1:]:
        made = make("concatenate", made, other, axis=-1)
    return made


@operator("OneHotEncoder", domain=ML)
def _one_hot_encoder(call: Call) -> Node | np.ndarray:
    given = call.tensor(0)
    if given.words:
        words = np.asarray(call.attr("cats_strings", ()), object)
        if given.host is None:
            raise call.refuse("takes words that are known")
        hits: np.ndarray = (given.host[..., None] == words).astype(np.float32)
        return hits
    x = call.node(0)
    categories = call.attr("cats_int64s")
    if categories is None:
        raise call.refuse("takes whole numbers for these categories")
    hit = make("equal", reshape(x, (*x.shape, 1)), constant(np.asarray(categories), x.dtype))
    return cast(hit, "float32")


@operator("ArrayFeatureExtractor", domain=ML)
def _array_feature_extractor(call: Call) -> Node | Tensor:
    given = call.tensor(0)
    index = call.node(1)
    index = reshape(index, (size(index.shape),))
    if given.words:
        if given.host is None:
            raise call.refuse("takes a list of words")
        return Tensor(chosen=(given.host.reshape(-1), reshape(index, (1, *index.shape))))
    x = call.node(0)
    made = taken(x, index, x.ndim - 1)
    return reshape(made, (1, *made.shape)) if made.ndim == 1 else made


@operator("LabelEncoder", domain=ML)
def _label_encoder(call: Call) -> Node | Tensor | np.ndarray:
    names = ("tensor", "int64s", "floats", "strings")
    keys = next((call.attr(f"keys_{n}") for n in names if call.attr(f"keys_{n}") is not None), None)
    values = next(
        (call.attr(f"values_{n}") for n in names if call.attr(f"values_{n}") is not None), None
    )
    if keys is None or values is None or len(keys) != len(values):
        raise call.refuse("needs as many keys as values")
    if call.tensor(0).words:
        return _encoded_words(call, [str(key) for key in keys], np.asarray(values))
    x = call.node(0)
    hits = make("equal", reshape(x, (*x.shape, 1)), call.constant(np.asarray(keys).astype(x.dtype)))
    place = make("argmax", cast(hits, "int32"), axis=-1, keepdims=False)
    if np.asarray(values).dtype.kind in "OUST":
        words = [*np.asarray(values, object), call.attr("default_string", "_Unused")]
        known = make("max", cast(hits, "int32"), axis=-1, keepdims=False)
        place = make("where", make("greater", known, 0), place, len(words) - 1)
        return Tensor(chosen=(np.array(words, object), place))
    found = _values(call, np.asarray(values))
    given = taken(found, place, 0)
    known = make("max", cast(hits, "int32"), axis=-1, keepdims=False)
    fill = call.like(found, _default(call, real(found.dtype)))
    return make("where", make("greater", known, 0), given, fill)


def _default(call: Call, floating: bool) -> float:
    """What stands for a key that is none."""
    given = call.attr("default_tensor")
    if given is None:
        given = call.attr("default_float", -0.0) if floating else call.attr("default_int64", -1)
    found: float = np.asarray(given).reshape(-1)[0]
    return found


def _encoded_words(call: Call, keys: list[str], values: np.ndarray) -> np.ndarray:
    """Values for words, on the host."""
    host = call.tensor(0).host
    if host is None:
        raise call.refuse("takes words that are known")
    words = values.dtype.kind in "OUST"
    default = call.attr("default_string", "_Unused") if words else _default(
        call, values.dtype.kind == "f"
    )  # fmt: skip
    table = dict(zip(keys, values.tolist(), strict=True))
    found = [table.get(str(word), default) for word in host.reshape(-1)]
    kind = object if words else "float32" if values.dtype.kind == "f" else "int64"
    return np.array(found, kind).reshape(host.shape)


def _values(call: Call, values: np.ndarray) -> Node:
    kind = {"f": "float32", "i": "int64"}.get(values.dtype.kind, values.dtype.name)
    kind = values.dtype.name if values.dtype.name in ("float32", "int32") else kind
    return call.constant(values.astype(kind))


@operator("LinearRegressor", domain=ML)
def _linear_regressor(call: Call) -> Node:
    x = _features(call)
    return _linked(call, _linear(call, x, int(call.attr("targets", 1))))


@operator("LinearClassifier", domain=ML)
def _linear_classifier(call: Call) -> list[Node | Tensor]:
    x = _features(call)
    labels = call.attr("classlabels_ints")
    words = call.attr("classlabels_strings")
    names = np.asarray(labels, np.int64) if labels else np.asarray(words or (), object)
    scores = len(np.asarray(call.attr("intercepts", ()))) or len(names)
    z = _linear(call, x, scores)
    if scores == 1:
        raise call.refuse("one score for two classes is not known: export with two")
    place = make("argmax", z, axis=-1, keepdims=False)
    chosen: Node | Tensor
    chosen = taken(constant(names), place, 0) if labels else Tensor(chosen=(names, place))
    return [chosen, _linked(call, z)]


def _linear(call: Call, x: Node, outputs: int) -> Node:
    weights = np.asarray(call.attr("coefficients", ()), np.float32)
    if not outputs or weights.size % outputs:
        raise call.refuse("its coefficients do not fit its outputs")
    kernel = np.ascontiguousarray(weights.reshape(outputs, -1).T)
    z = make("matmul", x, constant(kernel, x.dtype))
    shift = np.asarray(call.attr("intercepts", ()), np.float32)
    return z + constant(shift.reshape(1, -1), x.dtype) if shift.size else z


def _linked(call: Call, z: Node) -> Node:
    link = call.attr("post_transform", "NONE")
    if link not in LINKS:
        raise call.refuse(f"post_transform {link!r} is not known here")
    return z if LINKS[link] is None else make(str(LINKS[link]), z)


@operator("ZipMap", domain=ML)
def _zip_map(call: Call) -> Tensor:
    return call.tensor(0)  # the probabilities, whose columns it names
