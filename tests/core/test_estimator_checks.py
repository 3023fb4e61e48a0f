"""scikit-learn's own checks of an estimator, none expected to fail."""

from __future__ import annotations

import warnings
from typing import Any

import lamina as lm
import pytest

sklearn = pytest.importorskip("sklearn")
checks: Any = pytest.importorskip("sklearn.utils.estimator_checks")

NEED = {  # what an installation lacks, or an estimator of this kind has not
    "pandas is not installed", "polars is not installed", "SCIPY_ARRAY_API is not set",
    "does not have a decision_function",
}  # fmt: skip


@pytest.mark.long
@pytest.mark.skipif(
    not hasattr(checks, "estimator_checks_generator"),
    reason="scikit-learn lists what its checks found from 1.6 on",
)
@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(("kind", "least"), [("MLPClassifier", 60), ("MLPRegressor", 50)])
def test_every_check_passes(kind: str, least: int, backend: str) -> None:
    one = getattr(lm, kind)(backend=backend)
    tags = sklearn.utils.get_tags(one)
    assert tags.input_tags.sparse
    assert kind == "MLPRegressor" or tags.classifier_tags.multi_label
    assert hasattr(one, "partial_fit")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # networks of a few epochs say that they are unfinished
        found = checks.check_estimator(one, on_fail=None, on_skip=None)
    failed = [row for row in found if row["status"] not in ("passed", "skipped")]
    assert not failed, "\n".join(f"{row['check_name']}: {row['exception']!r}" for row in failed)
    for row in found:
        said = str(row["exception"])
        assert row["status"] == "passed" or any(need in said for need in NEED), said
    assert len(found) >= least
