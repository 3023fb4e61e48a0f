"""Points of the plane in two classes, drawn around curves."""

from __future__ import annotations

import numpy as np


def flower(rows: int = 400, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The course's flower with two kinds of petals: (rows, 2) points, (rows,) labels 0 and 1.

    seed: of NumPy's legacy generator; the course draws with 1.
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
    """Two half moons that reach into each other: (rows, 2) points, (rows,) labels 0 and 1.

    noise: the standard deviation of what the seed's generator adds to each coordinate.
    """
    rng = np.random.default_rng(seed)
    each = rows // 2
    angle = np.linspace(0.0, np.pi, each)
    upper = np.c_[np.cos(angle), np.sin(angle)]
    lower = np.c_[1.0 - np.cos(angle), 0.5 - np.sin(angle)]
    points = np.r_[upper, lower] + rng.normal(scale=noise, size=(2 * each, 2))
    return points, np.repeat([0, 1], each)


def rings(rows: int = 400, seed: int = 1, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """A circle of radius 0.8 inside one of radius 1: (rows, 2) points, (rows,) labels 0 and 1.

    noise: the standard deviation of what the seed's generator adds to each coordinate.
    """
    rng = np.random.default_rng(seed)
    each = rows // 2
    angle = np.linspace(0.0, 2.0 * np.pi, each, endpoint=False)
    circle = np.c_[np.cos(angle), np.sin(angle)]
    points = np.r_[circle, 0.8 * circle] + rng.normal(scale=noise, size=(2 * each, 2))
    return points, np.repeat([0, 1], each)
