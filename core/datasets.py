"""Data sets to start with: arrays for training and testing, with names.

digits: Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak 1998, UCI Machine
    Learning Repository (doi 10.24432/C50P49), licence CC BY 4.0; the 1,797 images of 8 x 8 pixels
    of its test set. Embedded in the package.
planar: the flower of the course's section 3, from its formula.
moons, circles: two interleaved half moons, and a circle inside another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources

import numpy as np

from ..kernels.errors import BadInput, unknown
from .layers import check_count, check_number


@dataclass(frozen=True)
class Dataset:
    """Arrays for training and testing; unpacks into x_train, y_train, x_test, y_test.

    x: (n, features) floating. y: (n,) class numbers. feature_names, class_names: what they mean.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.x_train, self.y_train, self.x_test, self.y_test))

    def __repr__(self) -> str:
        rows, columns = self.x_train.shape
        classes = len(self.class_names)
        size = f"{rows} + {len(self.x_test)} rows, {columns} features, {classes} classes"
        return f"<{self.name}: {size}>"


def stratified_split(y: np.ndarray, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and testing, each class in its share, drawn by the seed."""
    rng = np.random.default_rng(seed)
    test: list[np.ndarray] = []
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        test.append(rows[: round(len(rows) * test_size)])
    held = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(y)), held), held


def flower(rows: int = 400, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The course's flower with two kinds of petals: (rows, 2) points, (rows,) labels 0 and 1.

    The course draws with NumPy's legacy generator, seed 1.
    """
    rng = np.random.RandomState(seed)
    each = rows // 2
    x, y = np.zeros((2 * each, 2)), np.zeros(2 * each, dtype=np.int64)
    for label in range(2):
        part = slice(each * label, each * (label + 1))
        angle = np.linspace(label * 3.12, (label + 1) * 3.12, each) + rng.randn(each) * 0.2
        radius = 4.0 * np.sin(4.0 * angle) + rng.randn(each) * 0.2
        x[part] = np.c_[radius * np.sin(angle), radius * np.cos(angle)]
        y[part] = label
    return x, y


def half_moons(rows: int = 400, seed: int = 1, noise: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Two half moons that reach into each other."""
    rng = np.random.default_rng(seed)
    each = rows // 2
    angle = np.linspace(0.0, np.pi, each)
    upper = np.c_[np.cos(angle), np.sin(angle)]
    lower = np.c_[1.0 - np.cos(angle), 0.5 - np.sin(angle)]
    points = np.r_[upper, lower] + rng.normal(scale=noise, size=(2 * each, 2))
    return points, np.repeat([0, 1], each)


def rings(rows: int = 400, seed: int = 1, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """A circle of radius 0.8 inside one of radius 1."""
    rng = np.random.default_rng(seed)
    each = rows // 2
    angle = np.linspace(0.0, 2.0 * np.pi, each, endpoint=False)
    circle = np.c_[np.cos(angle), np.sin(angle)]
    points = np.r_[circle, 0.8 * circle] + rng.normal(scale=noise, size=(2 * each, 2))
    return points, np.repeat([0, 1], each)


def _digits(test_size: float, seed: int) -> Dataset:
    with (
        resources.as_file(resources.files(__package__) / "digits.npz") as path,
        np.load(path) as file,
    ):
        x, y = file["x"].astype(np.float32) / 16.0, file["y"].astype(np.int64)
    train, test = stratified_split(y, test_size, seed)
    pixels = tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))
    classes = tuple(str(label) for label in range(10))
    return Dataset("digits", x[train], y[train], x[test], y[test], pixels, classes)


def _drawn(name: str, draw: Callable[..., tuple[np.ndarray, np.ndarray]]) -> Dataset:
    """Points of a formula for training, and as many new ones for testing."""
    return Dataset(name, *draw(seed=1), *draw(seed=1001), ("x1", "x2"), ("0", "1"))


NAMES = ("digits", "planar", "moons", "circles")


def load(name: str, test_size: float = 0.2, seed: int = 0) -> Dataset:
    """A data set by name: "digits", "planar", "moons" or "circles".

    test_size, seed: the share of rows held out for testing, each class in its share, and the seed
        that draws them; formulas draw new points for testing instead.
    Raises: UnknownName with the nearest spelling; BadInput.

    >>> load("planar")
    <planar: 400 + 400 rows, 2 features, 2 classes>
    """
    check_number("datasets.load: test_size", test_size, 0.0, 1.0, open_high=True)
    if test_size == 0:
        raise BadInput("datasets.load: test_size must be above 0")
    check_count("datasets.load: seed", seed, least=0)
    formulas = {"planar": flower, "moons": half_moons, "circles": rings}
    if name == "digits":
        return _digits(test_size, seed)
    if name in formulas:
        return _drawn(name, formulas[name])
    raise unknown("data set", name, NAMES)
