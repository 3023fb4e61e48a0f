"""Predictions as arrays: the classes they say, and metrics of them that are lamina's own."""

from __future__ import annotations

import numpy as np

from ..kernels.errors import BadInput

PROBABILITIES = ("softmax", "sigmoid")  # operations that a prediction of classes ends in


def classes_of(p: np.ndarray, op: str) -> np.ndarray:
    """Class numbers of probabilities, int32: the one rule for all that says a class.

    p: (n, outputs), what the operation `op` gave. Of several outputs of a softmax the likeliest,
    the first of equals: (n,). Of a sigmoid 1 from one half on, as the metric "accuracy" counts:
    (n,) for one output, (n, outputs) for several.
    """
    chosen: np.ndarray = np.argmax(p, axis=1) if op == "softmax" else p >= 0.5
    if chosen.ndim == 2 and chosen.shape[1] == 1:
        chosen = chosen[:, 0]
    return chosen.astype(np.int32)


def calibration_error(
    y_true: np.ndarray, y_prob: np.ndarray, sample_weight: np.ndarray | None = None, bins: int = 15
) -> float:
    """The expected calibration error: how far confidence and accuracy are apart, in [0, 1].

    The confidence of a row is the probability of the class that is chosen. Rows are put into bins
    of equal width by it, each (low, high]; the error is the mean over bins, weighted by their rows,
    of |accuracy - mean confidence|. Definition: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, *On
    Calibration of Modern Neural Networks*, ICML 2017, equation 3, there with 15 bins.

    y_true: (n,) class numbers. y_prob: (n, classes), or (n,) the probability of class 1.
    """
    p = np.asarray(y_prob, np.float64)
    if p.ndim == 1:
        chosen, confidence = p >= 0.5, np.maximum(p, 1.0 - p)
    else:
        chosen, confidence = p.argmax(axis=1), p.max(axis=1)
    right = (chosen == np.asarray(y_true)).astype(np.float64)
    weights = np.ones(len(p)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    gaps = np.bincount(place, weights * (right - confidence), minlength=bins)
    return float(np.abs(gaps).sum() / weights.sum())


def top_k_accuracy(
    y_true: np.ndarray, y_prob: np.ndarray, k: int = 5, sample_weight: np.ndarray | None = None
) -> float:
    """The share of rows whose class is among the k likeliest, in [0, 1].

    Of equals the later class counts as the likelier, as in scikit-learn's `top_k_accuracy_score`.

    y_true: (n,) class numbers. y_prob: (n, classes). Raises: BadInput for a single column.
    """
    p = np.asarray(y_prob)
    if p.ndim != 2:
        raise BadInput("[top_k_accuracy] needs the probabilities of several classes")
    best = np.argsort(p, axis=1, kind="stable")[:, ::-1][:, :k]
    found = (best == np.asarray(y_true).reshape(-1, 1)).any(axis=1)
    return float(np.average(found, weights=sample_weight))
