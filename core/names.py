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
        "mae": "mean_absolute_error",
        "l1": "mean_absolute_error",
        "l1_loss": "mean_absolute_error",
        "absolute_error": "mean_absolute_error",
        "huber_loss": "huber",
        "smooth_l1": "huber",
        "smooth_l1_loss": "huber",
        "kullback_leibler_divergence": "kl_divergence",
        "pinball": "quantile",
        "binary_focal_crossentropy": "binary_focal",
        "categorical_focal_crossentropy": "focal",
    },
    "metric": {
        "acc": "accuracy",
        "binary_accuracy": "accuracy",
        "categorical_accuracy": "accuracy",
        "sparse_categorical_accuracy": "accuracy",
        "mae": "mean_absolute_error",
        "mse": "mean_squared_error",
    },
    "activation": {
        "logistic": "sigmoid",
        "identity": "linear",
        "swish": "silu",
        "hardswish": "hard_swish",
        "hard_silu": "hard_swish",
        "hardsigmoid": "hard_sigmoid",
    },
    "initializer": {
        "glorot_normal": "xavier",
        "xavier_normal": "xavier",
        "he_normal": "he",
        "kaiming_normal": "he",
        "lecun_normal": "lecun",
    },
}

_EITHER = '"cross_entropy" after softmax, "binary_cross_entropy" after sigmoid'
_POISSON = '"poisson" takes rates, from softplus or lm.ops.exp'
_UNIFORM = "numbers are drawn from a normal distribution here; of the same variance is"

NEAR: dict[str, dict[str, str]] = {
    "loss": {
        "log_loss": _EITHER,
        "logloss": _EITHER,
        "nll": _EITHER,
        "nll_loss": _EITHER,
        "poisson_nll": _POISSON,
        "poisson_nll_loss": _POISSON,
        "kl_div": '"kl_divergence" takes probabilities on both sides, and no logarithms',
        "squared_hinge": "pass the function"
        " loss=lambda y, p: lm.ops.maximum(1.0 - y * p, 0.0) ** 2, y -1 or 1",
        "log_cosh": "pass the function loss=lambda y, p: abs(p - y) + lm.ops.softplus(-2.0 *"
        ' abs(p - y)) - 0.6931471805599453; "huber" is close to it',
    },
    "activation": {
        "hard_tanh": "pass the function activation=lambda z: lm.ops.clip(z, low=-1.0, high=1.0)",
        "hardtanh": "pass the function activation=lambda z: lm.ops.clip(z, low=-1.0, high=1.0)",
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
