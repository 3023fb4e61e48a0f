"""The data sets: sizes, seeds, splits, spelling."""

from __future__ import annotations

import lamina as lm
import numpy as np
import pytest


def test_digits() -> None:
    data = lm.datasets.load("digits")
    x_train, y_train, x_test, y_test = data
    assert len(x_train) + len(x_test) == 1797
    assert x_train.shape[1] == len(data.feature_names) == 64
    assert 0.0 <= x_train.min() <= x_train.max() == 1.0
    assert set(np.unique(y_train)) == set(np.unique(y_test)) == set(range(10))
    shares = [np.mean(y_test == label) - np.mean(y_train == label) for label in range(10)]
    assert np.abs(shares).max() < 0.005


def test_the_split_follows_the_seed() -> None:
    first, same, other = (lm.datasets.load("digits", seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(first.x_test, same.x_test)
    assert not np.array_equal(first.y_test, other.y_test)
    rows = {row.tobytes() for row in first.x_test} & {row.tobytes() for row in first.x_train}
    assert len(rows) <= 2  # the data hold few images twice


def test_planar_is_the_course_s() -> None:
    data = lm.datasets.load("planar")
    # the first point that the course's notebook draws with NumPy's legacy seed 1
    np.testing.assert_allclose(data.x_train[0], [1.20444229, 3.57611415], rtol=1e-8)
    assert data.y_train.tolist() == [0] * 200 + [1] * 200
    assert not np.array_equal(data.x_train, data.x_test)


@pytest.mark.parametrize("name", ["moons", "circles"])
def test_drawn(name: str) -> None:
    data = lm.datasets.load(name)
    assert data.x_train.shape == data.x_test.shape == (400, 2)
    assert np.bincount(data.y_train).tolist() == [200, 200]


def test_wrong_words() -> None:
    with pytest.raises(lm.UnknownName, match="did you mean 'digits'"):
        lm.datasets.load("digist")
    with pytest.raises(lm.BadInput, match="test_size"):
        lm.datasets.load("digits", test_size=1.5)
