"""The estimators among scikit-learn's tools: searches, pipelines, frames, pickles and workers."""

from __future__ import annotations

import copy
import io
import os
import pickle
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import scipy.sparse
import support

sklearn = pytest.importorskip("sklearn")
from lamina.backends import threads  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.calibration import CalibratedClassifierCV  # noqa: E402
from sklearn.compose import make_column_selector, make_column_transformer  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, NotFittedError  # noqa: E402
from sklearn.experimental import enable_halving_search_cv  # noqa: E402, F401
from sklearn.impute import SimpleImputer  # noqa: E402
from sklearn.inspection import permutation_importance  # noqa: E402
from sklearn.model_selection import (  # noqa: E402
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import OneHotEncoder, StandardScaler  # noqa: E402

X, LABEL = support.classes(150, 6)
GRID = {"alpha": [1e-4, 1e-1], "hidden_layer_sizes": [(4,), (8,)]}


@pytest.fixture(autouse=True)
def _unfinished() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def classifier(**settings: Any) -> lm.MLPClassifier:
    """Eight neurons, ten epochs."""
    known = {
        "hidden_layer_sizes": (8,), "max_iter": 10, "random_state": 0, "backend": "numpy",
        "learning_rate_init": 0.02,
    }  # fmt: skip
    return lm.MLPClassifier(**{**known, **settings})


def same(a: Any, b: Any) -> bool:
    return support.same(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_)


def test_a_pickle_is_arrays_and_goes_on() -> None:
    one = classifier().partial_fit(X, LABEL, classes=[0, 1, 2])
    other = pickle.loads(pickle.dumps(one))
    assert (other.predict_proba(X) == one.predict_proba(X)).all()
    assert same(other.partial_fit(X, LABEL), one.partial_fit(X, LABEL))
    assert b"Sequential" not in pickle.dumps(one)


def test_a_copy_and_a_clone_train_alike() -> None:
    one = classifier(callbacks=[lm.EarlyStopping("loss")], dropout=0.2, class_weight={0: 2.0})
    assert same(clone(one).fit(X, LABEL), copy.deepcopy(one.fit(X, LABEL)))
    with pytest.raises(NotFittedError):
        clone(one).predict(X)


def test_a_pickle_of_another_device_predicts_here_with_a_warning() -> None:
    one = classifier(backend="numpy").fit(X, LABEL)
    found = one.predict_proba(X)
    one.backend = "cupy"
    if next(status for status in lm.backends() if status.name == "cupy").available:
        pytest.skip("cupy runs here")
    other = pickle.loads(pickle.dumps(one))
    with pytest.warns(UserWarning, match="The prediction is made on another backend"):
        assert np.allclose(other.predict_proba(X), found, atol=1e-12)
    with pytest.raises(lm.BackendUnavailable):
        other.fit(X, LABEL)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("form", ["csr_matrix", "csc_array"])
def test_sparse_rows_are_made_dense_a_batch_at_a_time(
    form: str, backend: str, solver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.where(np.abs(X) > 1.0, X, 0.0)
    settings = {"solver": solver, "backend": backend, "batch_size": 40}
    dense = classifier(**settings).fit(x, LABEL)
    found, made = getattr(scipy.sparse, form)(x), []
    kind = type(found.tocsr())
    toarray = kind.toarray

    def noted(rows: Any) -> Any:
        made.append(rows.shape[0])
        return toarray(rows)

    monkeypatch.setattr(kind, "toarray", noted)
    monkeypatch.setattr("lamina.backends.batching.LARGEST", 64)
    sparse = classifier(**settings).fit(found, LABEL)
    assert np.allclose(sparse.coefs_[0], dense.coefs_[0], atol=1e-12)
    assert np.allclose(sparse.predict_proba(found), dense.predict_proba(x), atol=1e-12)
    assert 0 < max(made) <= 64


@pytest.mark.long
def test_searches_and_scores() -> None:
    search = GridSearchCV(classifier(), GRID, cv=3).fit(X, LABEL)
    again = GridSearchCV(classifier(), GRID, cv=3).fit(X, LABEL)
    assert search.best_score_ == again.best_score_ > 0.5
    halved = HalvingGridSearchCV(classifier(), GRID, cv=3, random_state=0).fit(X, LABEL)
    assert halved.best_params_["hidden_layer_sizes"] in GRID["hidden_layer_sizes"]
    calibrated = CalibratedClassifierCV(classifier(), cv=3).fit(X, LABEL)
    assert calibrated.predict_proba(X).shape == (len(X), 3)
    found = permutation_importance(search.best_estimator_, X, LABEL, n_repeats=2, random_state=0)
    assert found.importances_mean.max() > 0.0
    assert cross_val_score(classifier(), X, LABEL, cv=3).mean() > 0.5


@pytest.mark.slow
def test_weights_are_routed() -> None:
    with sklearn.config_context(enable_metadata_routing=True):
        one = classifier().set_fit_request(sample_weight=True)
        one = one.set_score_request(sample_weight=True)
        weights = np.linspace(0.1, 1.0, len(X))
        search = GridSearchCV(one, GRID, cv=3).fit(X, LABEL, sample_weight=weights)
    plain = GridSearchCV(classifier(), GRID, cv=3).fit(X, LABEL)
    assert not same(search.best_estimator_, plain.best_estimator_)


PARALLEL = """
import warnings; warnings.simplefilter("ignore")
import numpy as np, sys, lamina as lm
from joblib import Parallel, delayed
from lamina.backends import threads
from sklearn.model_selection import GridSearchCV
x = np.random.default_rng(0).standard_normal((300, 6))
one = lm.MLPClassifier(max_iter=5, random_state=0, backend="numba", batch_size=90)
found = [
    GridSearchCV(one, {"hidden_layer_sizes": [(5,), (150,)]}, cv=2, n_jobs=n).fit(x, x[:, 0] > 0)
    for n in (1, 2)
]
assert all((found[0].best_estimator_.coefs_[i] == found[1].best_estimator_.coefs_[i]).all()
           for i in (0, 1))
assert (found[0].cv_results_["mean_test_score"] == found[1].cv_results_["mean_test_score"]).all()
def limit():
    return threads.count(), threads.crew.limit
print(Parallel(n_jobs=2)(delayed(limit)() for _ in range(2)), threads.count())
"""


@pytest.mark.long
def test_two_workers_find_the_same_on_half_the_cores_each(tmp_path: Path) -> None:
    script = tmp_path / "parallel.py"
    script.write_text(PARALLEL)
    environment = {key: value for key, value in os.environ.items() if "THREADS" not in key}
    path = os.pathsep.join([str(Path(lm.__file__).parents[1]), environment.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(script)], env={**environment, "PYTHONPATH": path},
        capture_output=True, text=True, timeout=support.PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    workers, here = eval(done.stdout.strip().replace("] ", "], "))
    assert all(count == here and limit == max(here // 2, 1) for count, limit in workers)


def test_a_pool_bounds_the_threads_and_not_the_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_chosen", [])
    monkeypatch.setattr(threads, "usable_cores", lambda: 8)
    for word, limit in (("3", 3), ("2,1", 2), ("16", 8), ("0", 1), ("many", 8), ("", 8)):
        monkeypatch.setenv("OMP_NUM_THREADS", word)
        assert threads.count() == 8
        assert threads.at_once() == threads.crew.limit == limit
    monkeypatch.setattr(threads, "_chosen", [4])
    assert threads.count() == threads.crew.limit == 4


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_names_of_columns_are_kept_and_checked(library: str) -> None:
    frames = pytest.importorskip(library)
    names = list("abcdef")
    frame = frames.DataFrame(dict(zip(names, X.T, strict=True)))
    one = classifier().fit(frame, LABEL)
    assert list(one.feature_names_in_) == names
    assert same(one, classifier().fit(X, LABEL))
    with pytest.raises(ValueError, match="feature names should match"):
        one.predict(frame[names[::-1]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        one.predict(X)


CSV = "size,colour,weight,kind\n" + "\n".join(
    f"{'' if n % 7 == 3 else n % 5},{('red', 'blue', 'green')[n % 3]},{n % 4 + 0.5},{'ab'[n % 2]}"
    for n in range(60)
)


def encoded() -> Any:
    """Imputer, encoder and scaler, as `lamina train` does it: numbers are standardised."""
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (OneHotEncoder(sparse_output=False), make_column_selector(dtype_exclude="number")),
    )


def test_a_pipeline_does_to_a_table_what_lamina_train_does() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(io.StringIO(CSV))
    x, y = frame.drop(columns="kind"), frame["kind"]
    pipe = make_pipeline(encoded(), classifier(solver="sgd", momentum=0.0, alpha=0.0))
    pipe.fit(x, y)
    data = lm.datasets.load(frame, 0.0, label="kind", types={"size": "number"})
    assert data.encoding is not None
    features = data.x_train[:, [0, 2, 1, 3, 4, 5]]  # which cells are missing comes later there
    labels = data.y_train

    network = lm.Sequential(
        [lm.Standardize(data.encoding.numeric), lm.Dense(8, "relu"), lm.Dense(1, "sigmoid")],
        "binary_cross_entropy", lm.SGD(0.02), dtype="float64", backend="numpy", seed=0,
    )  # fmt: skip
    network.fit(features, labels, epochs=0)
    started = clone(pipe[-1]).set_params(max_iter=1, learning_rate_init=1e-300)
    started.fit(pipe[:-1].transform(x), y)  # its first weights, but for nothing
    network.set_weights(
        [one for two in zip(started.coefs_, started.intercepts_, strict=True) for one in two]
    )
    history = network.fit(features, labels, epochs=10, batch_size=60, shuffle=False, verbose=0)
    assert np.allclose(history.history["loss"], pipe[-1].loss_curve_, rtol=0, atol=1e-12)
    assert np.allclose(network.predict(features)[:, 0], pipe.predict_proba(x)[:, 1], atol=1e-12)
    assert set(pipe.predict(x)) <= {"a", "b"}


def test_the_last_step_of_a_pipeline_that_gives_frames() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    pipe = make_pipeline(StandardScaler(), classifier()).set_output(transform="pandas")
    assert list(pipe.fit(frame, LABEL)[-1].feature_names_in_) == list("abcdef")


def test_class_weight_multiplies_the_weights_of_rows() -> None:
    heavy = np.where(LABEL == 1, 4.0, 1.0)
    one = classifier(class_weight={1: 4.0}).fit(X, LABEL)
    assert same(one, classifier().fit(X, LABEL, sample_weight=heavy))
    halves = np.linspace(0.5, 1.5, len(X))
    one = classifier(class_weight={1: 4.0}).fit(X, LABEL, sample_weight=halves)
    assert same(one, classifier().fit(X, LABEL, sample_weight=heavy * halves))
    words = np.array(["a", "b", "c"])[LABEL]
    even = classifier(class_weight="balanced").fit(X[:120], words[:120])
    assert even.score(X, words) > 0.3


def test_dropout_is_drawn_by_the_random_state() -> None:
    one, again, other = (
        classifier(dropout=0.5, random_state=seed).fit(X, LABEL) for seed in (0, 0, 1)
    )
    assert same(one, again)
    assert not same(one, other)
    assert not same(one, classifier().fit(X, LABEL))
    assert (one.predict_proba(X) == one.predict_proba(X)).all()


class Notes(lm.Callback):
    """What it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_fit_begin(self, model: lm.Sequential) -> None:
        self.told.append("begin")

    def on_epoch_end(self, model: lm.Sequential, epoch: int, values: Any) -> None:
        self.told.append((epoch, dict(values)))
        model.stop_training = epoch == 3

    def on_fit_end(self, model: lm.Sequential, history: lm.History) -> None:
        self.told.append(list(history.history["loss"]))


def test_callbacks_are_told_and_may_end_the_training() -> None:
    notes = Notes()
    one = classifier(callbacks=[notes], early_stopping=True).fit(X, LABEL)
    assert one.n_iter_ == 3
    begin, *epochs, end = notes.told
    assert begin == "begin"
    assert [epoch for epoch, _ in epochs] == [1, 2, 3]
    assert end == one.loss_curve_ == [values["loss"] for _, values in epochs]
    scores = [values["validation_score"] for _, values in epochs]
    assert scores == one.validation_scores_
    with pytest.raises(lm.BadInput, match="a callback is an object"):
        classifier(callbacks=[print]).fit(X, LABEL)
    with pytest.raises(lm.BadInput, match="keep an estimator with pickle"):
        classifier(callbacks=[lm.Checkpoint("model.safetensors")]).fit(X, LABEL)


class Impatient(lm.Callback):
    """Ctrl-C after the second epoch."""

    def on_epoch_end(self, model: lm.Sequential, epoch: int, values: Any) -> None:
        if epoch == 2:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("default_interrupt")
def test_an_interrupted_training_keeps_what_it_has() -> None:
    one = classifier(callbacks=[Impatient()])
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        one.fit(X, LABEL)
    assert one.n_iter_ == len(one.loss_curve_) == 2
    assert same(one, classifier(max_iter=2).fit(X, LABEL))


def test_lines_of_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    one = classifier(verbose=True, max_iter=2, early_stopping=True).fit(X, LABEL)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Iteration 1, loss = {one.loss_curve_[0]:.8f}"
    assert lines[1] == f"Validation score: {one.validation_scores_[0]:f}"


def test_a_network_of_its_own(tmp_path: Path) -> None:
    one = classifier().fit(X, LABEL)
    model = one.to_sequential()
    model.save(tmp_path / "one.safetensors")
    assert (
        lm.load(tmp_path / "one.safetensors", backend="numpy").predict(X) == model.predict(X)
    ).all()
    assert np.allclose(model.predict(X), one.predict_proba(X), atol=1e-12)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    assert (classifier().fit(X, LABEL).predict_proba(X) == one.predict_proba(X)).all()


@pytest.mark.long
def test_networks_are_borrowed_and_hold_no_rows() -> None:
    import gc
    import weakref

    from lamina.core.estimators.workshop import KEPT, workshop

    x = np.ascontiguousarray(X.copy())
    gone = weakref.ref(x)
    one = classifier(backend="numba").fit(x, LABEL)
    one.predict(x)
    del x
    gc.collect()
    assert gone() is None
    for units in range(3, 3 + KEPT + 2):
        classifier(hidden_layer_sizes=(units,), max_iter=1).fit(X, LABEL)
    assert len(workshop.idle) <= KEPT


def test_threads_train_different_estimators_at_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    wanted = [classifier(random_state=seed).fit(X, LABEL) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: classifier(random_state=seed).fit(X, LABEL), range(4)))
    assert all(same(a, b) for a, b in zip(wanted, found, strict=True))


@pytest.mark.slow
def test_without_scikit_learn_the_names_say_what_to_install() -> None:
    program = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import lamina as lm\n"
        "from lamina import *\n"
        "for name in ('MLPClassifier', 'MLPRegressor', 'TabularClassifier'):\n"
        "    try: getattr(lm, name)\n"
        "    except ImportError as error: print(error)\n"
    )
    path = os.pathsep.join([str(Path(lm.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, timeout=support.PATIENCE, check=False,
    )  # fmt: skip
    assert done.stdout.count('pip install "lamina[sklearn]"') == 3, done.stderr
