"""Names that other libraries have for things that are here, and for some that are not.

A name that means the same is taken; where it means something near, the answer says what.
"""

from __future__ import annotations

from ..kernels.errors import UnknownName

SAME: dict[str, dict[str, str]] = {
    "loss": {
        "mse": "mean_squared_error",
        "squared_error": "mean_squared_error",
        "l2": "mean_squared_error",
        "mse_loss": "mean_squared_error",
        "crossentropy": "cross_entropy",
        "categorical_crossentropy": "cross_entropy",
        "sparse_categorical_crossentropy": "cross_entropy",
        "binary_crossentropy": "binary_cross_entropy",
        "bce": "binary_cross_entropy",
    },
    "metric": {
        "acc": "accuracy",
        "binary_accuracy": "accuracy",
        "categorical_accuracy": "accuracy",
        "sparse_categorical_accuracy": "accuracy",
        "mae": "mean_absolute_error",
        "mse": "mean_squared_error",
    },
    "activation": {"logistic": "sigmoid", "identity": "linear"},
    "initializer": {
        "glorot_normal": "xavier",
        "xavier_normal": "xavier",
        "he_normal": "he",
        "kaiming_normal": "he",
        "lecun_normal": "lecun",
    },
}

_ABSOLUTE = "pass the function loss=lambda y, p: abs(p - y)"
_EITHER = '"cross_entropy" after softmax, "binary_cross_entropy" after sigmoid'
_HUBER = (
    "pass the function loss=lambda y, p: lm.ops.where(abs(p - y) < 1.0, 0.5 * (p - y) ** 2,"
    " abs(p - y) - 0.5)"
)
_SWISH = 'pass the function activation=lambda z: z * lm.ops.sigmoid(z); "gelu" is close to it'
_UNIFORM = "numbers are drawn from a normal distribution here; of the same variance is"

NEAR: dict[str, dict[str, str]] = {
    "loss": {
        "log_loss": _EITHER,
        "logloss": _EITHER,
        "nll": _EITHER,
        "nll_loss": _EITHER,
        "mae": _ABSOLUTE,
        "l1": _ABSOLUTE,
        "absolute_error": _ABSOLUTE,
        "mean_absolute_error": _ABSOLUTE,
        "huber": _HUBER,
        "huber_loss": _HUBER,
        "smooth_l1": _HUBER,
        "hinge": "pass the function loss=lambda y, p: lm.ops.maximum(1.0 - y * p, 0.0), y -1 or 1",
        "kl_divergence": '"cross_entropy" takes rows of probabilities, and has the same gradient',
        "kullback_leibler_divergence": '"cross_entropy" takes rows of probabilities, and has the'
        " same gradient",
    },
    "activation": {
        "swish": _SWISH,
        "silu": _SWISH,
        "mish": "pass the function activation=lambda z: z * lm.ops.tanh(lm.ops.softplus(z))",
        "selu": "pass the function activation=lambda z: 1.05070099 * lm.ops.elu(z,"
        " alpha=1.67326324)",
        "softsign": "pass the function activation=lambda z: z / (abs(z) + 1.0)",
        "exponential": "pass the function activation=lm.ops.exp",
        "relu6": "pass the function activation=lambda z: lm.ops.clip(z, low=0.0, high=6.0)",
    },
    "initializer": {
        "glorot_uniform": f'{_UNIFORM} "xavier"',
        "xavier_uniform": f'{_UNIFORM} "xavier"',
        "he_uniform": f'{_UNIFORM} "he"',
        "kaiming_uniform": f'{_UNIFORM} "he"',
        "lecun_uniform": f'{_UNIFORM} "lecun"',
    },
}


def own(kind: str, name: str) -> str:
    """The name that a thing has here; a name that nobody knows comes back as it is.

    kind: "loss", "metric", "activation" or "initializer".
    Raises: UnknownName for a thing of other libraries that is not here, with what to use.

    >>> own("loss", "mse"), own("activation", "logistic"), own("metric", "f1")
    ('mean_squared_error', 'sigmoid', 'f1')
    """
    low = name.lower()
    if low in NEAR.get(kind, {}):
        raise UnknownName(f"unknown {kind} {name!r}: {NEAR[kind][low]}")
    return SAME[kind].get(low, name)
