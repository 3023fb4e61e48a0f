"""Metrics from whole predictions, against scikit-learn's."""

from __future__ import annotations

import importlib.util
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.core import metrics
from lamina.core.directions import direction

sk = pytest.importorskip("sklearn.metrics")

NEAR = {"rel": 1e-12, "abs": 1e-12}


# Against scikit-learn

ROWS = 400


def two(backend: str = "numpy", outputs: int = 1, **options: Any) -> tuple[Any, ...]:
    """An untrained classifier of two classes with features, labels and weights."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(ROWS, 4))
    y = (x[:, 0] + rng.normal(size=ROWS) > 0.3).astype(int)
    last = lm.Dense(1, "sigmoid") if outputs == 1 else lm.Dense(outputs, "softmax")
    loss = "binary_cross_entropy" if outputs == 1 else "cross_entropy"
    model = lm.Sequential([lm.Dense(5, "tanh"), last], loss, backend=backend, seed=3, **options)
    return model.build(4), x, y, rng.uniform(0.2, 2.0, ROWS)


def three(backend: str = "numpy", classes: int = 3, **options: Any) -> tuple[Any, ...]:
    model, x, _, weights = two(backend, classes, **options)
    y = np.digitize(x[:, 0] + np.random.default_rng(2).normal(size=ROWS), [-0.7, 0.7])
    return model, x, y, weights


def numbers(backend: str = "numpy", outputs: int = 1, **options: Any) -> tuple[Any, ...]:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(ROWS, 4))
    y = np.abs(x @ rng.normal(size=(4, outputs)) + rng.normal(size=(ROWS, outputs))) + 0.1
    model = lm.Sequential(
        [lm.Dense(outputs, "softplus")], "mean_squared_error", backend=backend, seed=3, **options
    )
    return model.build(4), x, y, rng.uniform(0.2, 2.0, ROWS)


MACRO = {"average": "macro"}  # of two classes, those of class 1
CLASSES = {
    "f1": ("f1_score", MACRO), "f1_score": ("f1_score", MACRO),
    "f1_micro": ("f1_score", {"average": "micro"}),
    "precision": ("precision_score", MACRO), "recall": ("recall_score", MACRO),
    "recall_weighted": ("recall_score", {"average": "weighted"}),
    "jaccard": ("jaccard_score", MACRO), "balanced_accuracy": ("balanced_accuracy_score", {}),
    "matthews_corrcoef": ("matthews_corrcoef", {}), "cohen_kappa": ("cohen_kappa_score", {}),
    "hamming_loss": ("hamming_loss", {}), "zero_one_loss": ("zero_one_loss", {}),
    "accuracy_score": ("accuracy_score", {}), "confusion_matrix": ("confusion_matrix", {}),
}  # fmt: skip
PROBABILITIES = {
    "roc_auc": ("roc_auc_score", {"multi_class": "ovr"}),
    "auc": ("roc_auc_score", {"multi_class": "ovr"}),
    "roc_auc_ovr": ("roc_auc_score", {"multi_class": "ovr"}),
    "average_precision": ("average_precision_score", {}),
    "log_loss": ("log_loss", {}),
}  # fmt: skip
VALUES = {
    "r2": "r2_score", "rmse": "root_mean_squared_error", "explained_variance":
    "explained_variance_score", "mape": "mean_absolute_percentage_error", "median_absolute_error":
    "median_absolute_error", "mean_poisson_deviance": "mean_poisson_deviance",
    "root_mean_squared_log_error": "root_mean_squared_log_error",
    "mean_pinball_loss": "mean_pinball_loss", "d2_absolute_error_score": "d2_absolute_error_score",
}  # fmt: skip


def expected(function: str, y: Any, p: Any, weights: Any, options: Any) -> Any:
    call = getattr(sk, function)
    kept = {} if options is MACRO and np.max(y) == 1 else options
    return call(y, p, sample_weight=weights, **kept)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("make", [two, partial(two, outputs=2), three], ids=["1", "2", "3"])
def test_classification_is_scikit_learns(make: Any, weighted: bool, dtype: str) -> None:
    names = (*CLASSES, *PROBABILITIES)
    model, x, y, weights = make(metrics=names, dtype=dtype)
    weights = weights if weighted else None
    found, p, chosen = model.evaluate(x, y, weights), model.predict(x), model.predict_classes(x)
    assert list(found) == ["loss", *names]
    for name, (function, options) in CLASSES.items():
        wanted = expected(function, y, chosen, weights, options)
        np.testing.assert_allclose(found[name], wanted, rtol=1e-12, atol=1e-12, err_msg=name)
    for name, (function, options) in PROBABILITIES.items():
        given = p[:, -1] if p.shape[1] < 3 and name != "log_loss" else p
        assert found[name] == pytest.approx(expected(function, y, given, weights, options), **NEAR)
    assert type(found["f1"]) is float
    assert found["confusion_matrix"].sum() == pytest.approx(
        ROWS if weights is None else sum(weights)
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_regression_is_scikit_learns(outputs: int, weighted: bool, dtype: str) -> None:
    names = [n for n in VALUES if outputs == 1 or n != "mean_poisson_deviance"]
    model, x, y, weights = numbers(outputs=outputs, metrics=names, dtype=dtype)
    weights = weights if weighted else None
    found, p = model.evaluate(x, y, weights), model.predict(x)
    for name in names:
        wanted = getattr(sk, VALUES[name])(y, p, sample_weight=weights)
        assert found[name] == pytest.approx(wanted, **NEAR), name
    if outputs == 1:
        model = numbers(metrics=("max_error",))[0]
        assert model.evaluate(x, y)["max_error"] == sk.max_error(y, model.predict(x))


def test_binary_scores_that_know_class_one() -> None:
    for outputs in (1, 2):
        model, x, y, weights = two(outputs=outputs, metrics=("brier_score", "d2_log_loss_score"))
        found, p = model.evaluate(x, y, weights), model.predict(x)
        wanted = sk.brier_score_loss(y, p[:, -1], sample_weight=weights)
        assert found["brier_score"] == pytest.approx(wanted, **NEAR)
        wanted = sk.d2_log_loss_score(y, p, sample_weight=weights)
        assert found["d2_log_loss_score"] == pytest.approx(wanted, **NEAR)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k_is_scikit_learns(k: int) -> None:
    named, function = f"top_{k}_accuracy", partial(sk.top_k_accuracy_score, k=k)
    model, x, y, weights = three(classes=4, metrics=(named, function))  # no row is of class 3
    found = model.evaluate(x, y, weights)
    wanted = sk.top_k_accuracy_score(
        y, model.predict(x), k=k, labels=range(4), sample_weight=weights
    )
    assert found[named] == pytest.approx(wanted, **NEAR)
    assert found["top_k_accuracy_score"] == pytest.approx(wanted, **NEAR)
    tied = np.array([[0.4, 0.4, 0.2], [0.2, 0.4, 0.4], [0.3, 0.3, 0.4]])
    for y in ([0, 1, 0], [1, 2, 1]):
        wanted = sk.top_k_accuracy_score(y, tied, k=k, labels=[0, 1, 2]) if k < 3 else 1.0
        assert metrics.top_k_accuracy(np.array(y), tied, k) == pytest.approx(wanted)


def test_the_calibration_error_by_its_definition() -> None:
    rng = np.random.default_rng(0)
    p, y, w = rng.dirichlet([1, 1, 1], 300), rng.integers(0, 3, 300), rng.uniform(0.1, 2.0, 300)
    for weights in (np.ones(300), w):
        total = 0.0
        for b in range(15):
            rows = [i for i in range(300) if b / 15 < p[i].max() <= (b + 1) / 15]
            if rows:
                share = sum(weights[i] for i in rows)
                right = sum(weights[i] * (p[i].argmax() == y[i]) for i in rows) / share
                total += share * abs(right - sum(weights[i] * p[i].max() for i in rows) / share)
        found = metrics.calibration_error(y, p, weights)
        assert found == pytest.approx(total / weights.sum(), **NEAR)
    assert metrics.calibration_error(y, p) == metrics.calibration_error(y, p, np.ones(300))
    # nine of ten that are 90 % sure are right; of one column as of two
    sure, labels = np.full(10, 0.9), np.array([1] * 9 + [0])
    assert metrics.calibration_error(labels, sure) == pytest.approx(0.0, abs=1e-12)
    both = np.stack([1 - sure, sure], axis=1)
    assert metrics.calibration_error(labels[::-1], both) == pytest.approx(0.0, abs=1e-12)
    assert metrics.calibration_error(1 - labels, sure) == pytest.approx(0.8)
    model, x, y, weights = two(metrics=("calibration_error",))
    wanted = metrics.calibration_error(y, model.predict(x)[:, 0], weights)
    assert model.evaluate(x, y, weights)["calibration_error"] == pytest.approx(wanted, **NEAR)


# Functions as they are


def share_of_ones(y_true: Any, y_pred: Any) -> float:
    return float(np.mean(y_pred == 1))


def test_functions_of_scikit_learn_are_taken_as_they_are() -> None:
    given = (
        sk.f1_score, sk.roc_auc_score, sk.confusion_matrix, sk.log_loss, sk.accuracy_score,
        partial(sk.fbeta_score, beta=2.0), sk.precision_recall_fscore_support,
        metrics.calibration_error,
    )  # fmt: skip
    model, x, y, weights = two(metrics=(*given[:6], given[7]))
    found, p, chosen = model.evaluate(x, y, weights), model.predict(x), model.predict_classes(x)
    for call in (sk.f1_score, sk.accuracy_score, sk.confusion_matrix):
        wanted = call(y, chosen, sample_weight=weights)
        np.testing.assert_allclose(found[call.__name__], wanted, rtol=1e-12)
    for call in (sk.roc_auc_score, sk.log_loss):
        assert found[call.__name__] == pytest.approx(call(y, p, sample_weight=weights), **NEAR)
    wanted = sk.fbeta_score(y, chosen, beta=2.0, sample_weight=weights)
    assert found["fbeta_score"] == pytest.approx(wanted, **NEAR)
    model, x, y, _ = three(metrics=(sk.f1_score,))
    with pytest.raises(lm.BadInput, match=r"\[f1_score\] Target is multiclass but average="):
        model.evaluate(x, y)
    model, x, y, _ = three(metrics=(partial(sk.f1_score, average="micro"),))
    wanted = sk.f1_score(y, model.predict_classes(x), average="micro")
    assert model.evaluate(x, y)["f1_score"] == pytest.approx(wanted, **NEAR)


def test_functions_that_no_table_knows() -> None:
    model, x, y, weights = numbers(metrics=(sk.d2_pinball_score, sk.mean_squared_error))
    found = model.evaluate(x, y, weights)
    for call in (sk.d2_pinball_score, sk.mean_squared_error):
        wanted = call(y, model.predict(x), sample_weight=weights)
        assert found[call.__name__] == pytest.approx(wanted, **NEAR)
    assert metrics.get(sk.ndcg_score).needs == "probabilities"  # type: ignore[union-attr]
    assert metrics.get(sk.class_likelihood_ratios).needs == "classes"  # type: ignore[union-attr]


def test_functions_of_ones_own() -> None:
    def kinds(y_true: Any, y_pred: Any) -> float:
        assert y_true.shape == y_pred.shape == (ROWS,)
        return float(y_true.dtype.kind == "i") + 2.0 * (y_pred.dtype.kind == "i")

    def weighed(y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return np.array([0.0 if sample_weight is None else sample_weight.sum(), len(y_pred)])

    whole = lm.metrics.whole
    model, x, y, weights = two(
        metrics=(
            whole(kinds, "classes", name="classes"), whole(kinds, "probabilities", name="p"),
            whole(kinds, name="values"), whole(weighed), whole(share_of_ones, "classes", "max"),
        )
    )  # fmt: skip
    found = model.evaluate(x, y.astype(float), weights)
    assert (found["classes"], found["p"], found["values"]) == (3.0, 1.0, 0.0)
    assert found["weighed"].tolist() == pytest.approx([weights.sum(), ROWS])
    assert model.evaluate(x, y)["weighed"].tolist() == [0.0, ROWS]
    assert found["share_of_ones"] == model.predict_classes(x).mean()


def test_what_is_no_metric() -> None:
    make = partial(lm.Sequential, [lm.Dense(1)], "mean_squared_error", backend="numpy")
    for given, says in (
        ("f1_scor", "did you mean 'f1_score'"),
        (sk.fbeta_score, r"use functools.partial\(fbeta_score, beta=...\)"),
        (sk.make_scorer(sk.f1_score), "a metric is a function of"),
        (3, "a metric is a name or a function"),
    ):
        with pytest.raises((lm.BadInput, lm.UnknownName), match=says):
            make(metrics=(given,))
    with pytest.raises(lm.UnknownName, match="'probabilities'"):
        lm.metrics.whole(share_of_ones, "probability")  # type: ignore[arg-type]
    with pytest.raises(lm.UnknownName, match="min, max"):
        lm.metrics.whole(share_of_ones, mode="up")  # type: ignore[arg-type]
    with pytest.raises(lm.BadInput, match=r"two of the loss and the metrics are named 'f1_score'"):
        make(metrics=(sk.f1_score, "f1_score"))
    for name in ("f1", "roc_auc", "confusion_matrix", "top_2_accuracy"):
        with pytest.raises(lm.BadInput, match="the last layer must end in softmax or sigmoid"):
            make(metrics=(name,)).build(3)
    words = lm.metrics.whole(lambda y, p: "good", name="words")
    model, x, y, _ = numbers(metrics=(words,))
    with pytest.raises(lm.BadInput, match="must return a number or an array, not 'good'"):
        model.evaluate(x, y)
    with pytest.raises(TypeError) as caught:
        two(metrics=(lambda y, p: sk.f1_score(y, p),))[0].evaluate(x, y > 1)
    assert "lm.metrics.whole" in caught.value.__notes__[0]


def test_without_scikit_learn_the_name_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = importlib.util.find_spec
    lacking = lambda name: None if name == "sklearn" else found(name)  # noqa: E731
    monkeypatch.setattr(metrics, "find_spec", lacking)
    for name in ("f1", "roc_auc", "r2"):
        model, x, y, _ = two(metrics=(name,))
        for run in (model.evaluate, partial(model.fit, verbose=0)):
            with pytest.raises(lm.BadInput, match=rf"'{name}'.*pip install \"lamina\[metrics\]\""):
                run(x, y)
        assert model.state.step == 0
    model, x, y, _ = two(metrics=("calibration_error",))
    assert "calibration_error" in model.evaluate(x, y)


# In training


@pytest.mark.slow
@pytest.mark.parametrize("backend", support.EVERY)
def test_fit_measures_after_the_epoch(backend: str) -> None:
    names = ("f1", "accuracy", "roc_auc")
    model, x, y, weights = two(backend, metrics=names, optimizer=lm.Adam(0.05))
    twin = two(backend, metrics=("accuracy",), optimizer=lm.Adam(0.05))[0]
    held = (x[300:], y[300:], weights[300:])
    seen: list[float] = []

    class Look(lm.Callback):
        def on_epoch_end(self, model: Any, epoch: int, values: Any) -> None:
            chosen = model.predict_classes(x[:300])
            assert values["f1"] == pytest.approx(sk.f1_score(y[:300], chosen), **NEAR)
            wanted = sk.roc_auc_score(held[1], model.predict(held[0]), sample_weight=held[2])
            assert values["val_roc_auc"] == pytest.approx(wanted, **NEAR)
            seen.append(values["f1"])

    told = model.fit(x[:300], y[:300], 4, 32, held, callbacks=[Look()], verbose=0).history
    wanted = twin.fit(x[:300], y[:300], 4, 32, held, verbose=0).history
    assert list(told) == ["loss", *names, "val_loss", *(f"val_{n}" for n in names)]
    assert told["f1"] == seen
    assert {n: told[n] for n in wanted} == wanted  # what is a mean over rows is as it was
    assert support.same(model.get_weights(), twin.get_weights())
    stop = lm.EarlyStopping("val_f1", patience=2)
    told = model.fit(x[:300], y[:300], 30, 32, held, callbacks=[stop], verbose=0).history
    assert stop.best == max(told["val_f1"])
    assert model.evaluate(*held)["f1"] == stop.best


@pytest.mark.parametrize("metric", ["f1", "roc_auc", "log_loss"])
def test_short_epochs_that_nobody_watches_are_measured_too(metric: str) -> None:
    model, x, y, _ = two(metrics=(metric,))
    for _ in range(3):  # the later ones would go in one run
        told = model.fit(x, y, 4, 100, verbose=0).history
        assert len(told[metric]) == len(told["loss"]) == 4
        assert told[metric][-1] == model.evaluate(x, y)[metric]


def test_split_rows_keep_their_exact_targets_and_weights() -> None:
    model, x, y, weights = numbers(metrics=("r2", "rmse"))
    told = model.fit(x, y, 2, 50, validation_split=0.25, sample_weight=weights, verbose=0).history
    from lamina.core.examples import split

    kept, held = split(3, ROWS, 0.25)
    for rows, prefix in ((kept, ""), (held, "val_")):
        wanted = sk.r2_score(y[rows], model.predict(x[rows]), sample_weight=weights[rows])
        assert told[f"{prefix}r2"][-1] == pytest.approx(wanted, **NEAR)


def test_what_is_not_defined_is_nan_and_ends_nothing() -> None:
    model, x, _, _ = two(metrics=("log_loss", sk.mean_gamma_deviance))
    y = (x[:, 0] > 0).astype(int)
    with pytest.warns(RuntimeWarning, match=r"\[mean_gamma_deviance\] .*it is NaN in the history"):
        told = model.fit(x, y, epochs=2, verbose=0).history
    assert np.isnan(told["mean_gamma_deviance"]).all()
    assert np.isfinite(told["log_loss"]).all()
    with pytest.raises(lm.BadInput, match=r"\[mean_gamma_deviance\]"):
        model.evaluate(x, y)
    for make in (two, three):  # rows of one class alone have a log loss
        model, x, y, _ = make(metrics=("f1", sk.log_loss))
        assert np.isfinite(model.evaluate(x[y == 1], y[y == 1])["log_loss"])


def test_arrays_in_the_history_and_in_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, x, y, _ = three(metrics=("confusion_matrix", "accuracy"))
    logs = [lm.LogFile(tmp_path / "l.csv"), lm.LogFile(tmp_path / "l.jsonl")]
    told = model.fit(x, y, epochs=2, callbacks=logs).history
    wanted = sk.confusion_matrix(y, model.predict_classes(x))
    np.testing.assert_array_equal(told["confusion_matrix"][-1], wanted)
    printed = capsys.readouterr().out
    assert "accuracy" in printed
    assert "confusion" not in printed
    for log in logs:
        assert str(wanted.tolist()) in Path(log.path).read_text()
    with pytest.raises(lm.BadInput, match="only a number can be monitored"):
        model.fit(x, y, verbose=0, callbacks=[lm.EarlyStopping("confusion_matrix", mode="max")])


def test_batches_one_by_one_have_them_in_validation() -> None:
    model, x, y, _ = two(metrics=("f1", "accuracy"))
    told = model.fit(lambda: [(x, y)], epochs=2, validation_data=(x, y), verbose=0).history
    assert list(told) == ["loss", "accuracy", "val_loss", "val_f1", "val_accuracy"]
    assert list(model.train_on_batch(x, y)) == ["loss", "accuracy"]


def test_files_and_copies_keep_them(tmp_path: Path) -> None:
    own = lm.metrics.whole(share_of_ones, "classes", "min")
    given = ("f1_macro", "top_2_accuracy", "calibration_error", sk.roc_auc_score, own, "accuracy")
    model, x, y, _ = two(outputs=2, metrics=given)
    wanted = model.evaluate(x, y)
    with pytest.warns(UserWarning, match="custom={'share_of_ones': share_of_ones}"):
        model.save(tmp_path / "m.safetensors")
    for custom in (own, share_of_ones):
        again = lm.load(tmp_path / "m.safetensors", "numpy", {"share_of_ones": custom})
        assert again.evaluate(x, y) == wanted
        assert direction("val_share_of_ones", again.metrics) == "min"
    with pytest.raises(lm.CheckpointError, match="the metric 'share_of_ones'"):
        lm.load(tmp_path / "m.safetensors")
    assert pickle.loads(pickle.dumps(model.metrics)) == model.metrics
