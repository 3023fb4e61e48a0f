"""What lamina's estimators take from scikit-learn, in the versions from 1.5 on."""

from __future__ import annotations

from numbers import Number
from operator import attrgetter
from typing import Any

import numpy as np

from ...kernels.errors import BadInput

try:
    from sklearn.base import BaseEstimator as BaseEstimator
    from sklearn.base import ClassifierMixin as ClassifierMixin
    from sklearn.base import RegressorMixin as RegressorMixin
    from sklearn.exceptions import ConvergenceWarning as ConvergenceWarning
    from sklearn.metrics import r2_score as r2_score
    from sklearn.model_selection import train_test_split as train_test_split
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import LabelBinarizer as LabelBinarizer
    from sklearn.utils import check_consistent_length, validation
    from sklearn.utils import check_random_state as check_random_state
    from sklearn.utils import column_or_1d as column_or_1d
    from sklearn.utils.class_weight import compute_sample_weight as compute_sample_weight
    from sklearn.utils.metaestimators import available_if as available_if
    from sklearn.utils.multiclass import type_of_target as type_of_target
    from sklearn.utils.multiclass import unique_labels as unique_labels
    from sklearn.utils.validation import check_is_fitted as check_is_fitted
except ImportError as error:
    raise ImportError(
        "lamina's estimators, such as lm.MLPClassifier and lm.TabularClassifier, are"
        " scikit-learn's on lamina's networks: pip install \"lamina[sklearn]\""
    ) from error


def constraints(*others: str) -> dict[str, Any]:
    """What scikit-learn asks of its own settings. others: those that lamina looks at itself."""
    known: dict[str, Any] = attrgetter("_parameter_constraints")(MLPClassifier)
    return {**known, **dict.fromkeys(others, "no_validation")}


def validate_data(estimator: Any, *data: Any, **checks: Any) -> Any:
    """X, or X and y, checked and cast; names and number of the features remembered or compared.

    estimator: whose data. data, checks: as `sklearn.utils.validation.validate_data` takes them,
        which was a method before version 1.6.
    """
    if hasattr(validation, "validate_data"):
        return validation.validate_data(estimator, *data, **checks)
    return attrgetter("_validate_data")(estimator)(*data, **checks)


def row_weights(sample_weight: Any, X: Any) -> np.ndarray:
    """Weights of rows, (n,) of X's dtype: finite numbers, one for each row. Raises: BadInput."""
    if isinstance(sample_weight, Number):
        sample_weight = np.full(X.shape[0], sample_weight)
    found: np.ndarray = validation.check_array(
        sample_weight, ensure_2d=False, dtype=X.dtype, input_name="sample_weight"
    )
    if found.ndim != 1:
        raise BadInput(f"Sample weights must be 1D array or scalar, got {found.ndim}D array.")
    check_consistent_length(found, X)
    if not found.any():
        raise BadInput("sample_weight is zero everywhere: at least one row must count")
    return found
