"""What a report tells: scores beside baselines, what columns are worth, the worst rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...kernels.errors import BadInput
from ..data.datasets import Dataset
from ..model import Sequential
from ..scores import calibration_error
from ..tabular.columns import Columns

MOST_SHOWN = 2000  # rows that columns are shuffled among
REPEATS = 5  # of a column's shuffling
WORST = 10  # rows that are listed
BINS = 10  # of the calibration
MOST_FITTED = 50_000  # rows that the baselines are fitted to
LEVEL = 0.003  # a difference in score that is none
SPLITS = {"classification": "accuracy", "regression": "R2"}  # the score of a task


@dataclass(frozen=True)
class Contestant:
    """Something that predicts, and how good it is. scores: by their names."""

    name: str
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Bin:
    """Rows whose predictions are as sure: how sure on the mean, how many are right, how many."""

    confidence: float
    right: float
    rows: int


@dataclass(frozen=True)
class Row:
    """One row that was predicted badly.

    number: of the row in the table, from 0, or among those to test. wanted, given: what it is, and
    what was said. loss: its own. cells: the columns that matter most, as features.
    """

    number: int
    wanted: str
    given: str
    loss: float
    cells: Mapping[str, float]


@dataclass(frozen=True)
class Report:
    """A training and what it came to.

    title: the data's name. task, label, classes: of the data. rows: to train and to test. network:
    in a line. seconds: of the training. history: by name, a number for each epoch. contestants: the
    network first. per_class: class, precision, recall, F1, rows. confusion: (classes, classes), a
    row for each true class. bins, calibration: where classes are told. points: (n, 2) targets and
    predictions of a regression, some of them. importance: column, what the score loses, its
    deviation. worst: rows. advice: whether the network earned its keep. notes: from the training.
    """

    title: str
    task: str
    label: str
    classes: tuple[str, ...]
    rows: tuple[int, int]
    network: str
    seconds: float
    history: Mapping[str, Sequence[float]]
    contestants: tuple[Contestant, ...]
    per_class: tuple[tuple[str, float, float, float, int], ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    bins: tuple[Bin, ...] = ()
    calibration: float = 0.0
    points: tuple[tuple[float, float], ...] = ()
    importance: tuple[tuple[str, float, float], ...] = ()
    worst: tuple[Row, ...] = ()
    advice: str = ""
    notes: tuple[str, ...] = ()


def report(
    model: Sequential,
    data: Dataset,
    history: Mapping[str, Sequence[float]],
    seconds: float,
    network: str,
    notes: Sequence[str] = (),
) -> Report:
    """Measures everything on the rows held out. Raises: BadInput without them, or scikit-learn."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise BadInput('--report is by scikit-learn: pip install "lamina[metrics]"') from None
    if not len(data.y_test):
        raise BadInput("--report needs rows held out to test: give a --test-size above 0")
    found = Report(
        data.name, data.task, data.encoding.label if data.encoding else "class",
        data.class_names, (len(data.y_train), len(data.y_test)), network, seconds, history, (),
        notes=(*data.notes, *notes),
    )  # fmt: skip
    said = predicted(model, data.x_test)
    rivals = baselines(data)
    contestants = [Contestant("the network", scored(data, said))]
    contestants += [Contestant(name, scored(data, other)) for name, other in rivals.items()]
    important = importance(model, data)
    found = replace(
        found,
        contestants=tuple(contestants),
        importance=important,
        worst=worst_rows(data, said, [name for name, *_ in important[:4]]),
        advice=advised(contestants, data),
    )
    if data.task == "regression":
        wanted, given = units(data, data.y_test), units(data, said[:, 0])
        some = np.random.default_rng(0).permutation(len(wanted))[:400]
        pairs = tuple((float(wanted[i]), float(given[i])) for i in some)
        return replace(found, points=pairs)
    per_class, confusion = by_class(data, said)
    bins = calibration(data.y_test, said)
    error = calibration_error(data.y_test, said, bins=BINS)
    return replace(
        found, per_class=per_class, confusion=confusion, bins=bins, calibration=error
    )  # fmt: skip


def predicted(model: Sequential, x: np.ndarray) -> np.ndarray:
    """What the model says of features, a column for each class, or one; float64."""
    p = np.asarray(model.predict(x), np.float64)
    if model.output == "sigmoid":
        return np.hstack([1.0 - p, p])
    return p / p.sum(axis=1, keepdims=True) if model.output == "softmax" else p


def units(data: Dataset, targets: np.ndarray) -> np.ndarray:
    """Targets of a regression in their own units."""
    return data.encoding.units(targets) if data.encoding else np.asarray(targets, np.float64)


def scored(data: Dataset, said: np.ndarray) -> dict[str, float]:
    """The scores of predictions of the rows to test on, by name."""
    from sklearn import metrics

    if data.task == "regression":
        wanted, given = units(data, data.y_test), units(data, said[:, 0])
        return {
            "R2": float(metrics.r2_score(wanted, given)) if len(wanted) > 1 else float("nan"),
            "RMSE": float(np.sqrt(np.mean((wanted - given) ** 2))),
            "MAE": float(np.abs(wanted - given).mean()),
        }
    y, numbers = data.y_test, np.arange(said.shape[1])
    found = {
        "accuracy": float((said.argmax(1) == y).mean()),
        "log loss": float(metrics.log_loss(y, said, labels=numbers)),
    }
    if len(np.unique(y)) == said.shape[1]:  # else the area under the curve is not defined
        each = said[:, 1] if said.shape[1] == 2 else said / said.sum(axis=1, keepdims=True)
        found["AUC"] = float(metrics.roc_auc_score(y, each, multi_class="ovr", labels=numbers))
    return found


def baselines(data: Dataset) -> dict[str, np.ndarray]:
    """What simpler models, and boosting, say of the rows to test on, by their names."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    classes = data.task != "regression"
    x, test = (each.reshape(len(each), -1) for each in (data.x_train, data.x_test))
    y = data.y_train
    if len(y) > MOST_FITTED:
        some = np.random.default_rng(0).choice(len(y), MOST_FITTED, replace=False)
        x, y = x[some], y[some]
    columns = columns_of(data)
    codes = list(range(columns.width - len(columns.embedded), columns.width))
    front = make_column_transformer(
        (StandardScaler(), list(range(columns.width - len(codes)))),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), codes),
    )
    wide = [n for n, count in zip(codes, columns.embedded, strict=True) if count > 250]
    coded = [n for n in codes if n not in wide]  # boosting takes no more than 255 codes
    simple = LogisticRegression(max_iter=1000) if classes else Ridge()
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    models = {
        "a linear model": make_pipeline(front, simple),
        "boosting": kind(categorical_features=coded, random_state=0),
    }
    found = {}
    width = len(data.class_names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the linear model did not converge
        for name, one in models.items():
            one.fit(x, y)
            if not classes:
                found[name] = np.asarray(one.predict(test), np.float64).reshape(-1, 1)
                continue
            found[name] = np.zeros((len(test), width))
            found[name][:, np.asarray(one.classes_, int)] = one.predict_proba(test)
    if classes:
        shares = np.bincount(data.y_train, minlength=width) / len(data.y_train)
        found["the most frequent class"] = np.tile(shares, (len(test), 1))
    else:
        found["the mean"] = np.full((len(test), 1), float(data.y_train.mean()))
    return found


def columns_of(data: Dataset) -> Columns:
    """What the features of a data set are."""
    if data.encoding is not None and data.encoding.columns:
        return Columns.of(data.encoding)
    return Columns(int(np.prod(data.x_train.shape[1:])))


class Shuffled:
    """A model whose columns are taken from different rows, for scikit-learn to shuffle.

    Its input is a matrix of row numbers, a column for each column of the table: the features of
    that column come from the row of that number.
    """

    def __init__(self, model: Sequential, x: np.ndarray, groups: Sequence[Sequence[int]]) -> None:
        self.model, self.x, self.groups = model, x, groups

    def fit(self, X: Any, y: Any) -> None:
        """Nothing is left to do."""

    def loss(self, X: np.ndarray, y: np.ndarray) -> float:
        """Minus the mean loss: the higher the better. X: (n, columns) row numbers."""
        x = self.x.copy()
        for place, features in enumerate(self.groups):
            x[:, features] = self.x[np.asarray(X[:, place], int)][:, features]
        p = predicted(self.model, x)
        if p.shape[1] == 1:
            return -float(np.mean((p[:, 0] - y) ** 2))
        chosen = p[np.arange(len(y)), y.astype(int)]
        return float(np.log(np.maximum(chosen, 1e-12)).mean())


def importance(model: Sequential, data: Dataset) -> tuple[tuple[str, float, float], ...]:
    """Columns by what their shuffling costs: log loss, or R2; the mean and its deviation.

    Permutation importance (Breiman 2001) by scikit-learn, on rows held out.
    """
    from sklearn.inspection import permutation_importance

    if data.x_test.ndim != 2:
        return ()  # a picture's points are no columns
    groups = columns_of(data).groups()
    rows = min(len(data.y_test), MOST_SHOWN)
    some = np.random.default_rng(0).permutation(len(data.y_test))[:rows]
    one = Shuffled(model, np.asarray(data.x_test[some]), list(groups.values()))
    numbers = np.tile(np.arange(rows)[:, None], (1, len(groups)))
    found = permutation_importance(
        one, numbers, data.y_test[some], n_repeats=REPEATS, random_state=0,
        scoring=lambda each, X, y: each.loss(X, y),
    )  # fmt: skip
    spread = float(np.var(data.y_test)) if data.task == "regression" else 1.0
    scale = 1.0 / spread if spread else 1.0
    named = zip(groups, found.importances_mean, found.importances_std, strict=True)
    listed = [(name, float(mean) * scale, float(std) * scale) for name, mean, std in named]
    return tuple(sorted(listed, key=lambda each: -each[1]))


def by_class(
    data: Dataset, said: np.ndarray
) -> tuple[tuple[tuple[str, float, float, float, int], ...], tuple[tuple[int, ...], ...]]:
    """Precision, recall and F1 of each class, and who was taken for whom."""
    from sklearn import metrics

    numbers, chosen = np.arange(len(data.class_names)), said.argmax(axis=1)
    each = metrics.precision_recall_fscore_support(
        data.y_test, chosen, labels=numbers, zero_division=0.0
    )
    table = tuple(
        (name, float(p), float(r), float(f), int(n))
        for name, p, r, f, n in zip(data.class_names, *each, strict=True)
    )
    confusion = metrics.confusion_matrix(data.y_test, chosen, labels=numbers)
    return table, tuple(tuple(map(int, row)) for row in confusion)


def calibration(y: np.ndarray, said: np.ndarray) -> tuple[Bin, ...]:
    """Rows by how sure the prediction is of its class: how many of them are right."""
    sure, right = said.max(axis=1), said.argmax(axis=1) == y
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(float(sure[rows].mean()), float(right[rows].mean()), int(rows.sum()))
        for number in range(BINS)
        if (rows := place == number).any()
    )


def worst_rows(data: Dataset, said: np.ndarray, columns: Sequence[str]) -> tuple[Row, ...]:
    """The rows to test on with the largest losses. columns: whose features are shown."""
    y, names = data.y_test, data.class_names
    if data.task == "regression":
        targets, answers = units(data, y), units(data, said[:, 0])
        losses = np.abs(targets - answers)
        told = [(f"{a:.6g}", f"{b:.6g}") for a, b in zip(targets, answers, strict=True)]
    else:
        losses = -np.log(np.maximum(said[np.arange(len(y)), y], 1e-12))
        chosen = said.argmax(axis=1)
        told = [
            (names[a], f"{names[b]} ({p:.0%})")
            for a, b, p in zip(y, chosen, said.max(axis=1), strict=True)
        ]
    groups = columns_of(data).groups() if data.x_test.ndim == 2 else {}
    shown = [number for name in columns for number in groups.get(name, [])][:8]
    found = []
    for row in np.argsort(-losses, kind="stable")[:WORST]:
        cells = {data.feature_names[n]: float(data.x_test[row, n]) for n in shown}
        number = int(data.held[row]) if data.held is not None else int(row)
        wanted, given = told[row]
        found.append(Row(number, wanted, given, float(losses[row]), cells))
    return tuple(found)


def advised(contestants: Sequence[Contestant], data: Dataset) -> str:
    """Whether the network earned its keep, and where something else is likely to be better."""
    name = SPLITS[data.task]
    own, *others = ((one.name, one.scores[name]) for one in contestants)
    rival, best = max(others, key=lambda each: each[1])
    gap, noise = own[1] - best, max(chance(own[1], data), chance(best, data))
    if gap > max(LEVEL, noise):
        return f"The network is ahead of {rival} by {gap:.3f} in {name}: it earned its keep."
    if gap >= -max(LEVEL, noise):
        return (
            f"The network and {rival} are level in {name} ({own[1]:.3f} and {best:.3f}; {noise:.3f}"
            f" is chance among {len(data.y_test)} rows): take the simpler one, or more rows."
        )
    return (
        f"{rival.capitalize()} is ahead by {-gap:.3f} in {name}: on a table like this one it is"
        " likely to stay so. " + BOOSTING * (rival == "boosting")
    ).strip()


BOOSTING = (
    "Measured on real tables (python -m lamina.benchmarks.tables), boosting was ahead where two or"
    " three thousand rows have more than fifty columns."
)


def chance(score: float, data: Dataset) -> float:
    """The standard error of an accuracy, or of R2 by the usual approximation."""
    rows = max(len(data.y_test), 2)
    if data.task != "regression":
        return float(np.sqrt(max(score * (1.0 - score), 0.0) / rows))
    inside = min(max(score, 0.0), 1.0)
    return float(np.sqrt(4.0 * inside * (1.0 - inside) ** 2 / rows))
