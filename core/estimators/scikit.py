"""What the estimators take from scikit-learn, in the versions from 1.5 on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    from sklearn.utils import validation
except ImportError as error:
    raise ImportError(
        "lm.MLPClassifier and lm.MLPRegressor are scikit-learn's estimators on lamina's networks:"
        ' pip install "lamina[sklearn]"'
    ) from error

if TYPE_CHECKING:
    import numpy as np


def validate_data(estimator: Any, *data: Any, **checks: Any) -> Any:
    """X, or X and y, checked and cast; names and number of the features remembered or compared.

    estimator: whose data. data, checks: as `sklearn.utils.validation.validate_data` takes them,
        which was a method before version 1.6.
    """
    if hasattr(validation, "validate_data"):
        return validation.validate_data(estimator, *data, **checks)
    return estimator._validate_data(*data, **checks)


def row_weights(sample_weight: Any, X: np.ndarray) -> np.ndarray:
    """Weights of rows, (n,) of X's dtype, checked as all of scikit-learn's estimators do it."""
    found: np.ndarray = validation._check_sample_weight(sample_weight, X, dtype=X.dtype)
    return found
