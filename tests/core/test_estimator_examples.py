"""scikit-learn's examples that use its MLPs, with the import line changed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import lamina as lm
import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")
from sklearn import datasets, neural_network  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import MinMaxScaler, StandardScaler  # noqa: E402

pytestmark = pytest.mark.slow

SGD = {"solver": "sgd", "learning_rate_init": 0.2}
ROWS = {  # of plot_mlp_training_curves -> settings, and the score that is published for digits
    "constant": ({**SGD, "learning_rate": "constant", "momentum": 0}, 0.9560),
    "momentum": (
        {**SGD, "learning_rate": "constant", "momentum": 0.9, "nesterovs_momentum": False},
        0.9928,
    ),
    "nesterov": (
        {**SGD, "learning_rate": "constant", "momentum": 0.9, "nesterovs_momentum": True},
        0.9939,
    ),
    "invscaling": ({**SGD, "learning_rate": "invscaling", "momentum": 0}, None),
    "invscaling, momentum": (
        {**SGD, "learning_rate": "invscaling", "momentum": 0.9, "nesterovs_momentum": False},
        None,
    ),
    "invscaling, nesterov": (
        {**SGD, "learning_rate": "invscaling", "momentum": 0.9, "nesterovs_momentum": True},
        None,
    ),
    "adam": ({"solver": "adam", "learning_rate_init": 0.01}, 0.9917),
}


@pytest.fixture(autouse=True)
def _unfinished() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def training_curves(kind: Any, name: str, settings: dict[str, Any]) -> tuple[float, list[float]]:
    """plot_mlp_training_curves: the score on the training set, and the curve."""
    sets = {
        "iris": lambda: datasets.load_iris(return_X_y=True),
        "digits": lambda: datasets.load_digits(return_X_y=True),
        "circles": lambda: datasets.make_circles(noise=0.2, factor=0.5, random_state=1),
        "moons": lambda: datasets.make_moons(noise=0.3, random_state=0),
    }
    x, y = sets[name]()
    x = MinMaxScaler().fit_transform(x)
    mlp = kind(random_state=0, max_iter=15 if name == "digits" else 400, **settings)
    mlp.fit(x, y)
    return mlp.score(x, y), mlp.loss_curve_


@pytest.mark.long
@pytest.mark.parametrize("row", ROWS)
def test_training_curves_on_digits(row: str) -> None:
    settings, published = ROWS[row]
    score, curve = training_curves(lm.MLPClassifier, "digits", settings)
    assert published is None or abs(score - published) < 0.005
    theirs, wanted = training_curves(neural_network.MLPClassifier, "digits", settings)
    assert score == theirs
    assert np.allclose(curve, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["iris", "circles", "moons"])
@pytest.mark.parametrize("row", ["constant", "adam"])
def test_training_curves_on_small_sets(row: str, name: str) -> None:
    score, curve = training_curves(lm.MLPClassifier, name, ROWS[row][0])
    theirs, wanted = training_curves(neural_network.MLPClassifier, name, ROWS[row][0])
    assert score == theirs
    assert np.allclose(curve, wanted, rtol=0, atol=1e-7)


def filters(kind: Any) -> Any:
    """plot_mnist_filters, on the digits that scikit-learn brings."""
    x, y = datasets.load_digits(return_X_y=True)
    x = x / 16.0
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=0, test_size=0.7)
    mlp = kind(
        hidden_layer_sizes=(40,), max_iter=8, alpha=1e-4, solver="sgd", verbose=10,
        random_state=1, learning_rate_init=0.2,
    )  # fmt: skip
    mlp.fit(x_train, y_train)
    return mlp, mlp.score(x_train, y_train), mlp.score(x_test, y_test)


def test_filters(capsys: pytest.CaptureFixture[str]) -> None:
    ours, *scores = filters(lm.MLPClassifier)
    said = capsys.readouterr().out
    theirs, *wanted = filters(neural_network.MLPClassifier)
    assert scores == wanted
    assert said == capsys.readouterr().out
    vmin, vmax = ours.coefs_[0].min(), ours.coefs_[0].max()
    assert np.allclose([vmin, vmax], [theirs.coefs_[0].min(), theirs.coefs_[0].max()], atol=1e-9)
    assert ours.coefs_[0].T[0].reshape(8, 8).shape == (8, 8)


def varied(kind: Any) -> list[float]:
    """plot_mlp_alpha: the scores of five strengths of the penalty on three sets."""
    x, y = datasets.make_classification(
        n_features=2, n_redundant=0, n_informative=2, random_state=0, n_clusters_per_class=1
    )
    x += 2 * np.random.RandomState(2).uniform(size=x.shape)
    sets = [
        datasets.make_moons(noise=0.3, random_state=0),
        datasets.make_circles(noise=0.2, factor=0.5, random_state=1),
        (x, y),
    ]
    scores = []
    for x, y in sets:
        x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.4, random_state=42)
        for alpha in np.logspace(-1, 1, 5):
            pipe = make_pipeline(
                StandardScaler(),
                kind(
                    solver="lbfgs", alpha=alpha, random_state=1, max_iter=2000,
                    early_stopping=True, hidden_layer_sizes=[10, 10],
                ),
            )  # fmt: skip
            pipe.fit(x_train, y_train)
            scores.append(pipe.score(x_test, y_test))
            assert np.isfinite(pipe.predict_proba(x_test)[:, 1]).all()
    return scores


@pytest.mark.long
def test_alphas() -> None:
    ours, theirs = varied(lm.MLPClassifier), varied(neural_network.MLPClassifier)
    # hundreds of iterations of lbfgs make much of a rounding: a row of forty more or less
    assert np.abs(np.subtract(ours, theirs)).max() <= 0.05
    assert abs(np.mean(ours) - np.mean(theirs)) < 0.01
