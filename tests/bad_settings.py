"""Bad settings, names and operations, and calls out of turn: as in `bad_data`."""

from __future__ import annotations

import lamina as lm
import numpy as np
from bad_data import YB, Act, X, Y, fit, loss, model, nodes, ops

CATALOGUE: dict[str, tuple[Act, type[Exception], str]] = {
    # settings
    "batch size 0": (
        fit(batch_size=0),
        lm.BadInput,
        "fit: batch_size must be a whole number of at least 1, not 0",
    ),
    "batch size 2.5": (fit(batch_size=2.5), lm.BadInput, "batch_size must be a whole number"),
    "epochs -1": (
        fit(epochs=-1),
        lm.BadInput,
        "fit: epochs must be a whole number of at least 0, not -1",
    ),
    "split 1": (
        fit(validation_split=1.0),
        lm.BadInput,
        "fit: validation_split must be a number in [0, 1), not 1.0",
    ),
    "validation alone": (
        fit(validation_data=X),
        lm.BadInput,
        "validation_data must be (x, y) or (x, y, sample_weight)",
    ),
    "units 0": (
        lambda b: lm.Dense(0),
        lm.BadInput,
        "Dense: units must be a whole number of at least 1, not 0",
    ),
    "units True": (lambda b: lm.Dense(True), lm.BadInput, "units must be a whole number"),
    "rate 1": (
        lambda b: lm.Dropout(1.0),
        lm.BadInput,
        "Dropout: rate must be a number in [0, 1), not 1.0",
    ),
    "learning rate negative": (
        lambda b: lm.Adam(-1.0),
        lm.BadInput,
        "Adam: learning_rate must be a number in [0, inf), not -1.0",
    ),
    "learning rate NaN": (lambda b: lm.SGD(float("nan")), lm.BadInput, "SGD: learning_rate"),
    "a schedule of words": (
        fit(model={"optimizer": lm.SGD(lambda step: "0.1")}),  # type: ignore[arg-type,return-value]
        lm.BadInput,
        "a schedule gave the learning rate '0.1': it must be finite and from 0",
    ),
    "a schedule of nothing": (
        fit(model={"optimizer": lm.SGD(lambda step: None)}),  # type: ignore[arg-type,return-value]
        lm.BadInput,
        "a schedule gave the learning rate None",
    ),
    "a schedule of hundreds of digits": (
        fit(model={"optimizer": lm.SGD(lambda step: 10**400)}),
        lm.BadInput,
        "a schedule gave the learning rate 1000",
    ),
    "a function that returns no batches": (
        fit(x=lambda: 3, y=None),
        lm.BadInput,
        "fit's function must return an iterable of batches, not 3",
    ),
    "nesterov alone": (
        lambda b: lm.SGD(0.1, nesterov=True),
        lm.BadInput,
        "nesterov needs a momentum above 0",
    ),
    "clip 0": (lambda b: lm.SGD(0.1, clip_norm=0.0), lm.BadInput, "clip_norm must be above 0"),
    "seed negative": (
        lambda b: model(b, seed=-1),
        lm.BadInput,
        "seed must be a whole number of at least 0, not -1",
    ),
    "no layers": (
        lambda b: model(b, layers=[]),
        lm.BadInput,
        "Sequential needs at least one layer",
    ),
    "labels of one class": (
        fit(y=np.full(len(Y), 2)),
        lm.BadInput,
        "[cross_entropy] every label is 2: training needs rows of two classes or more",
    ),
    "no layer": (
        lambda b: model(b, layers=[64]),
        lm.BadInput,
        "a layer is an object such as lm.Dense(10), not 64",
    ),
    "metrics a string": (
        lambda b: model(b, metrics="accuracy"),
        lm.BadInput,
        'metrics is a sequence of names: metrics=("accuracy",)',
    ),
    "metrics of one name": (
        lambda b: model(b, metrics=("accuracy", "accuracy")),
        lm.BadInput,
        "'accuracy'",
    ),
    "metric named loss": (lambda b: model(b, metrics=(loss,)), lm.BadInput, "'loss'"),
    "precision": (
        lambda b: model(b, dtype="float32", precision="tf32"),
        lm.BadInput,
        " multiplies in float32 and float64 alone",
    ),
    "loss a number": (
        lambda b: model(b, loss=3),
        lm.BadInput,
        "a loss is a name or a function loss(y_true, y_pred), not 3",
    ),
    # names
    "activation": (
        lambda b: lm.Dense(3, "rleu"),
        lm.UnknownName,
        "unknown activation 'rleu': did you mean 'relu'? valid: sigmoid, tanh",
    ),
    "activation in capitals": (
        lambda b: lm.Dense(3, "Softmax"),
        lm.UnknownName,
        "did you mean 'softmax'?",
    ),
    "activation unheard of": (
        lambda b: lm.Dense(3, "qqqq"),
        lm.UnknownName,
        "unknown activation 'qqqq': valid: sigmoid",
    ),
    "loss": (
        lambda b: model(b, loss="cross_entrpy"),
        lm.UnknownName,
        "unknown loss 'cross_entrpy': did you mean 'cross_entropy'?",
    ),
    "optimizer": (
        lambda b: model(b, optimizer="adm"),
        lm.UnknownName,
        "unknown optimizer 'adm': did you mean 'adam'?",
    ),
    "metric": (
        lambda b: model(b, metrics=("acuracy",)),
        lm.UnknownName,
        "unknown metric 'acuracy': did you mean 'accuracy'?",
    ),
    "backend": (
        lambda b: model("nunba"),
        lm.UnknownName,
        "unknown backend 'nunba': did you mean 'numba'?",
    ),
    "initializer": (
        lambda b: lm.Dense(3, kernel_initializer="xavir"),
        lm.UnknownName,
        "unknown initializer 'xavir': did you mean 'xavier'?",
    ),
    "dtype": (
        lambda b: model(b, dtype="float46"),
        lm.UnknownName,
        "unknown dtype 'float46': did you mean 'float64'?",
    ),
    "operation": (
        lambda b: lm.ops.sofmax,
        AttributeError,
        "unknown operation 'sofmax': did you mean 'softmax'?",
    ),
    # out of turn, or not fitting
    "predict before fit": (
        lambda b: model(b).predict(X),
        lm.NotBuilt,
        "the model has no weights yet: call fit(x, y), or build(n_features)",
    ),
    "evaluate before fit": (
        lambda b: model(b).evaluate(X, Y),
        lm.NotBuilt,
        "the model has no weights yet",
    ),
    "weights before fit": (
        lambda b: model(b).get_weights(),
        lm.NotBuilt,
        "the model has no weights yet",
    ),
    "loss without softmax": (
        fit(model={"layers": [lm.Dense(3)]}),
        lm.BadInput,
        "[cross_entropy] takes probabilities from softmax, but the last layer is Dense(3): give it",
    ),
    "the way out": (
        fit(model={"layers": [lm.Dense(3, "relu")]}),
        lm.BadInput,
        'give it activation="softmax"',
    ),
    "binary without sigmoid": (
        lambda b: lm.Sequential([lm.Dense(1)], "binary_cross_entropy", backend=b).build(4),
        lm.BadInput,
        'give it activation="sigmoid"',
    ),
    "softmax over one": (
        fit(model={"layers": [lm.Dense(1, "softmax")]}),
        lm.BadInput,
        "softmax over one output is always 1",
    ),
    "accuracy of numbers": (
        lambda b: lm.Sequential(
            [lm.Dense(1)], "mean_squared_error", metrics=("accuracy",), backend=b
        ).fit(X, YB, batch_size=4),
        lm.BadInput,
        "[accuracy] counts classes",
    ),
    "images into dense": (fit(X.reshape(12, 2, 2)), lm.ShapeError, "put lm.Flatten() before it"),
    # operations: the op and both shapes
    "dense": (
        ops(lm.ops.dense, *nodes((64, 784), (512, 10))),
        lm.ShapeError,
        "[dense] x has 784 columns but weight has 512 rows"
        " (x: float32[64, 784], weight: float32[512, 10])",
    ),
    "dense bias": (
        ops(lm.ops.dense, *nodes((64, 784), (784, 10), (10,))),
        lm.ShapeError,
        "[dense] bias must have shape (1, 10)"
        " (x: float32[64, 784], weight: float32[784, 10], bias: float32[10])",
    ),
    "matmul": (
        ops(lambda a, b: a @ b, *nodes((3, 4), (5, 6))),
        lm.ShapeError,
        "[matmul] a has 4 columns but b has 5 rows (a: float32[3, 4], b: float32[5, 6])",
    ),
    "broadcast": (
        ops(lambda a, b: a + b, *nodes((3, 4), (3, 5))),
        lm.ShapeError,
        "[add] shapes do not broadcast (a: float32[3, 4], b: float32[3, 5])",
    ),
    "axis": (
        ops(lambda a: lm.ops.sum(a, axis=2), *nodes((3, 4))),
        lm.ShapeError,
        "[sum] axis 2 is out of range for float32[3, 4]",
    ),
    "reshape": (
        ops(lambda a: a.reshape(5, -1), *nodes((3, 4))),
        lm.ShapeError,
        "[reshape] float32[3, 4] does not fit into (5, -1)",
    ),
    "dtypes": (
        ops(lambda a: a + lm.ops.cast(a, "float64"), *nodes((2, 2))),
        lm.DtypeError,
        "[add] inputs must have one dtype, cast them first (a: float32[2, 2], b: float64[2, 2])",
    ),
    "labels of floats": (
        ops(lambda a: lm.ops.pick(a, a), *nodes((2, 1))),
        lm.DtypeError,
        "[pick] labels must be integers (labels: float32[2, 1])",
    ),
    "attribute": (
        ops(lambda a: lm.ops.exp(a, base=2), *nodes((2, 2))),
        lm.ShapeError,
        "[exp] has no attribute 'base': exp(x) -> y",
    ),
    "attribute missing": (
        ops(lambda a: lm.ops.clip(a, low=0.0), *nodes((2, 2))),
        lm.ShapeError,
        "[clip] needs the attribute 'high'",
    ),
    "too few inputs": (
        ops(lambda a: lm.ops.matmul(a), *nodes((2, 2))),
        lm.ShapeError,
        "[matmul] got 1 inputs: matmul(a, b; ",
    ),
    "rows of a batch cut": (
        lambda b: lm.Sequential([lm.Dense(2)], lambda y, p: (p - y)[0:1], backend=b).fit(
            X, YB, batch_size=4
        ),
        lm.ShapeError,
        "[slice] the batch axis cannot be cut",
    ),
    "loss of one number": (
        lambda b: lm.Sequential([lm.Dense(1)], lambda y, p: (p - y).sum(), backend=b).fit(
            X, YB, batch_size=4
        ),
        lm.ShapeError,
        "must return one value a row",
    ),
}
