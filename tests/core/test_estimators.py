"""`lm.MLPClassifier` and `lm.MLPRegressor` beside scikit-learn's: the same numbers to rounding."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import lamina as lm
import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.neural_network import MLPClassifier, MLPRegressor  # noqa: E402

VERSION = tuple(int(part) for part in sklearn.__version__.split(".")[:2])
WEIGHTED = pytest.mark.skipif(
    VERSION < (1, 7), reason="scikit-learn takes sample_weight and poisson from 1.7 on"
)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((150, 6))
NUMBER = np.sin(X @ RNG.standard_normal(6)) + 2.0
LABEL = np.digitize(NUMBER, [1.5, 2.5])
WEIGHT = RNG.uniform(0.1, 3.0, len(X))
TARGETS = {
    "several classes": LABEL,
    "two classes": LABEL > 1,
    "labels": np.column_stack([LABEL > 0, LABEL > 1, NUMBER > 2.2]).astype(int),
    "a number": NUMBER,
    "numbers": np.column_stack([NUMBER, NUMBER**2]),
}
SOLVERS: dict[str, dict[str, Any]] = {
    "adam": {},
    "sgd": {"solver": "sgd", "momentum": 0.0},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False},
    "nesterov": {"solver": "sgd"},
    "lbfgs": {"solver": "lbfgs"},
}


@pytest.fixture(autouse=True)
def _unfinished() -> Iterator[None]:
    """Ten epochs are few, and both say so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # of a scikit-learn that is older than its SciPy
        warnings.filterwarnings("ignore", "scipy.optimize: The `disp`", DeprecationWarning)
        yield


def pair(target: str, backend: str = "numba", **settings: Any) -> tuple[Any, Any]:
    """Theirs and ours, not trained."""
    numbers = target in ("a number", "numbers")
    settings = {"hidden_layer_sizes": (9, 5), "max_iter": 10, "random_state": 3, **settings}
    kinds = (MLPRegressor, lm.MLPRegressor) if numbers else (MLPClassifier, lm.MLPClassifier)
    return kinds[0](**settings), kinds[1](**settings, backend=backend)


def off(theirs: Any, ours: Any) -> float:
    """The largest difference of weights and losses."""
    assert theirs.n_iter_ == ours.n_iter_
    assert theirs.out_activation_ == ours.out_activation_
    weights = zip(theirs.coefs_ + theirs.intercepts_, ours.coefs_ + ours.intercepts_, strict=True)
    found = [float(np.abs(a - b).max()) for a, b in weights]
    for name in ("loss_", "best_loss_", "loss_curve_", "validation_scores_", "t_"):
        both = [getattr(one, name, None) for one in (theirs, ours)]
        assert (both[0] is None) == (both[1] is None), name
        if both[0] is not None:
            found.append(float(np.abs(np.subtract(*both)).max()))
    return max(found)


def fitted(target: str, backend: str = "numba", weighted: bool = False, **settings: Any) -> float:
    theirs, ours = pair(target, backend, **settings)
    options = {"sample_weight": WEIGHT} if weighted else {}
    y = TARGETS[target]
    if settings.get("loss") == "poisson":
        y = np.floor(y)
    return off(theirs.fit(X, y, **options), ours.fit(X, y, **options))


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("solver", SOLVERS)
def test_weights_after_ten_iterations(solver: str, shuffle: bool, backend: str) -> None:
    settings = {"shuffle": shuffle, "batch_size": 40, **SOLVERS[solver]}
    assert fitted("several classes", backend, **settings) < 1e-9


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_every_kind_of_target(target: str, solver: str) -> None:
    assert fitted(target, solver=solver, early_stopping=False) < 1e-9


@WEIGHTED
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_weights_of_rows(target: str, solver: str) -> None:
    assert fitted(target, weighted=True, solver=solver, batch_size=40, alpha=0.1) < 1e-9


@WEIGHTED
@pytest.mark.parametrize("target", ["a number", "numbers"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("weighted", [False, True])
def test_poisson(target: str, solver: str, weighted: bool) -> None:
    assert fitted(target, weighted=weighted, solver=solver, loss="poisson") < 1e-9


@pytest.mark.parametrize("target", TARGETS)
def test_early_stopping_holds_out_the_same_rows(target: str) -> None:
    settings = {"early_stopping": True, "max_iter": 30, "n_iter_no_change": 2, "tol": 0.05}
    assert fitted(target, **settings) < 1e-9


@WEIGHTED
def test_early_stopping_weighs_the_rows_held_out() -> None:
    assert fitted("several classes", weighted=True, early_stopping=True) < 1e-9


@pytest.mark.parametrize("policy", ["invscaling", "adaptive"])
@pytest.mark.parametrize("nesterov", [False, True])
def test_policies_of_the_learning_rate(policy: str, nesterov: bool) -> None:
    settings = {
        "solver": "sgd", "learning_rate": policy, "learning_rate_init": 0.2, "max_iter": 60,
        "n_iter_no_change": 1, "tol": 0.02, "nesterovs_momentum": nesterov,
    }  # fmt: skip
    assert fitted("several classes", **settings) < 1e-9


@pytest.mark.parametrize(
    "settings",
    [
        {"activation": "identity"}, {"activation": "logistic"}, {"activation": "tanh"},
        {"alpha": 0.0}, {"alpha": 3.0}, {"batch_size": 7}, {"hidden_layer_sizes": ()},
        {"hidden_layer_sizes": 4}, {"beta_1": 0.0, "beta_2": 0.0}, {"epsilon": 0.1},
        {"solver": "sgd", "momentum": 1.0}, {"n_iter_no_change": np.inf},
        {"random_state": None}, {"max_iter": 200, "tol": 1e-2},
    ],
    ids=str,
)  # fmt: skip
def test_settings(settings: dict[str, Any]) -> None:
    theirs, ours = pair("several classes", **settings)
    if "random_state" in settings:  # one that goes on from fit to fit
        theirs.random_state, ours.random_state = (np.random.RandomState(5) for _ in range(2))
        assert off(theirs.fit(X, LABEL), ours.fit(X, LABEL)) < 1e-9
    assert off(theirs.fit(X, LABEL), ours.fit(X, LABEL)) < 1e-9


def test_a_batch_larger_than_the_rows_is_clipped_with_the_same_words() -> None:
    for one in pair("several classes", batch_size=1000):
        with pytest.warns(UserWarning, match="It is going to be clipped"):
            one.fit(X, LABEL)


@pytest.mark.parametrize(
    "settings", [{}, {"solver": "sgd", "learning_rate": "invscaling"}, {"batch_size": 16}], ids=str
)
def test_partial_fit_goes_on(settings: dict[str, Any]) -> None:
    theirs, ours = pair("several classes", **settings)
    for start in (0, 30, 75, 20):
        rows = slice(start, start + 75)
        theirs.partial_fit(X[rows], LABEL[rows], classes=np.arange(3))
        ours.partial_fit(X[rows], LABEL[rows], classes=np.arange(3))
        assert off(theirs, ours) < 1e-9
    assert off(theirs.partial_fit(X, LABEL), ours.partial_fit(X, LABEL)) < 1e-9


@pytest.mark.parametrize("target", ["labels", "numbers"])
def test_partial_fit_after_fit(target: str) -> None:
    y = TARGETS[target]
    theirs, ours = (one.fit(X, y).partial_fit(X, y) for one in pair(target))
    assert off(theirs, ours) < 1e-9


def test_epochs_after_lbfgs() -> None:
    ours = pair("several classes", solver="lbfgs")[1].fit(X, LABEL)
    loss = ours.loss_
    ours.set_params(solver="adam", learning_rate_init=1e-4).partial_fit(X, LABEL)
    assert ours.loss_curve_ == [ours.loss_] == [pytest.approx(loss, rel=1e-2)]


def test_lbfgs_takes_no_settings_of_epochs() -> None:
    for settings in ({"dropout": 0.1}, {"callbacks": [lm.EarlyStopping("loss")]}):
        with pytest.raises(lm.BadInput, match="lbfgs has no epochs"):
            pair("several classes", solver="lbfgs")[1].set_params(**settings).fit(X, LABEL)


def test_warm_start_goes_on_with_a_fresh_optimizer() -> None:
    theirs, ours = (
        one.fit(X, LABEL).set_params(max_iter=3).fit(X, LABEL)
        for one in pair("several classes", warm_start=True)
    )
    assert off(theirs, ours) < 1e-9
    assert len(ours.loss_curve_) == 13


def test_what_partial_fit_refuses() -> None:
    ours = pair("several classes")[1]
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        ours.partial_fit(X, LABEL)
    ours.partial_fit(X, LABEL, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="is not the same as on last call"):
        ours.partial_fit(X, LABEL, classes=[0, 1])
    with pytest.raises(ValueError, match="has classes not in"):
        ours.partial_fit(X, LABEL + 1)
    with pytest.raises(ValueError, match="does not support early_stopping"):
        ours.set_params(early_stopping=True).partial_fit(X, LABEL)
    with pytest.raises(ValueError, match="'balanced' is not supported for partial_fit"):
        ours.set_params(class_weight="balanced").partial_fit(X, LABEL)
    assert not hasattr(lm.MLPClassifier(solver="lbfgs"), "partial_fit")


def test_float32_stays_float32() -> None:
    theirs, ours = pair("several classes")
    x = X.astype(np.float32)
    assert off(theirs.fit(x, LABEL), ours.fit(x, LABEL)) < 1e-5
    assert ours.coefs_[0].dtype == ours.predict_proba(x).dtype == np.float32
    assert ours.set_params(dtype="float64").fit(x, LABEL).coefs_[0].dtype == np.float64
    assert ours.set_params(dtype="float32").fit(X, LABEL).coefs_[0].dtype == np.float32


def test_predictions() -> None:
    theirs, ours = (one.fit(X, np.array(["a", "b", "c"])[LABEL]) for one in pair("several classes"))
    assert (theirs.predict(X) == ours.predict(X)).all()
    assert np.allclose(theirs.predict_proba(X), ours.predict_proba(X), atol=1e-12)
    assert np.allclose(theirs.predict_log_proba(X), ours.predict_log_proba(X), atol=1e-9)
    assert theirs.score(X, theirs.predict(X)) == ours.score(X, theirs.predict(X)) == 1.0


def test_predictions_follow_the_weights_that_somebody_writes() -> None:
    ours = pair("several classes")[1].fit(X, LABEL)
    ours.coefs_[-1][...] = 0.0
    ours.intercepts_[-1][...] = 0.0
    assert np.allclose(ours.predict_proba(X), 1.0 / 3.0)


def test_training_that_leaves_the_numbers_raises() -> None:
    ours = pair("a number", solver="sgd", learning_rate_init=1e100)[1]
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        ours.fit(X, NUMBER)
    assert ours.set_params(learning_rate_init=1e-3).fit(X, NUMBER).n_iter_ == 10


def test_lbfgs_that_starts_outside_the_numbers_raises() -> None:
    ours = pair("a number", solver="lbfgs")[1]
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        ours.fit(X, NUMBER * 1e200)


def test_a_batch_without_weight_is_refused() -> None:
    ours = pair("several classes", shuffle=False, batch_size=50)[1]
    with pytest.raises(ValueError, match="all weights of a batch are zero"):
        ours.fit(X, LABEL, sample_weight=np.arange(150) < 100)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"alpha": -1.0}, "'alpha' parameter"), ({"solver": "newton"}, "'solver' parameter"),
        ({"backend": "nump"}, "unknown backend 'nump'"), ({"dtype": "int8"}, "dtype must be"),
        ({"dropout": 1.5}, "Dropout: rate"), ({"precision": "half"}, "precision='half'"),
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must be > 0"),
    ],
)  # fmt: skip
def test_settings_that_nobody_can_have(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        lm.MLPClassifier(**settings).fit(X, LABEL)
    if "loss" not in settings:
        with pytest.raises(ValueError, match="loss must be one of"):
            lm.MLPRegressor(loss="absolute").fit(X, NUMBER)
