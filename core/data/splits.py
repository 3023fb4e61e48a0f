"""Which rows of a table are for training, and which for testing."""

from __future__ import annotations

import numpy as np

from ...kernels.errors import BadInput

TASKS = ("classification", "regression")


def stratified_split(y: np.ndarray, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and testing, each class in its share, drawn by the seed.

    y: (n,) labels. test_size: the share for testing. Of every class at least one row is for
    training.
    """
    rng = np.random.default_rng(seed)
    test: list[np.ndarray] = []
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        test.append(rows[: min(round(len(rows) * test_size), len(rows) - 1)])
    held = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(y)), held), held


def random_split(count: int, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of `count` rows for training and testing, drawn by the seed.

    test_size: the share for testing; of two rows and more, either part has one.
    """
    order = np.random.default_rng(seed).permutation(count)
    held = min(max(round(count * test_size), 1), count - 1)
    tested = np.zeros(count, dtype=bool)
    tested[order[:held]] = True
    return np.flatnonzero(~tested), np.flatnonzero(tested)


def parts(
    label: str, y: np.ndarray, task: str, test_size: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The split for a task. Raises: BadInput when one of the parts would be empty."""
    if not test_size:
        return np.arange(len(y)), np.arange(0)
    if len(y) < 2:
        raise BadInput("one row is too few to train and to test on")
    if task != TASKS[0]:
        return random_split(len(y), test_size, seed)
    train, test = stratified_split(y, test_size, seed)
    if not len(test):  # every class is too small for its share: a row of some of them
        classes, counts = np.unique(y, return_counts=True)
        rng = np.random.default_rng(seed)
        rows = [rng.choice(np.flatnonzero(y == one)) for one in classes[counts > 1]]
        if not rows:
            raise BadInput(
                f"the label {label!r} is different in every row: choose another label or task"
            )
        test = np.sort(rng.permutation(rows)[: max(round(len(y) * test_size), 1)])
        train = np.setdiff1d(np.arange(len(y)), test)
    return train, test
