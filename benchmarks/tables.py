"""`python -m lamina.benchmarks.tables`: what networks and boosting score on real tables.

Every contestant has its defaults, the same rows to train on and the same to be tested on. What is
measured is written after each fit, and what is there already is not measured again, so that a run
can be stopped, and be shared out by table, split or contestant; `--take` puts the parts together.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..core.command.console import honest
from ..kernels.errors import unknown
from ..kernels.files import write
from .environment import environment
from .named_tables import NAMED, Named, read, split
from .whole_command import WholeCommand

NEAR = 0.003  # a difference in score that is none
MOST_WORDS = 250  # of a column that scikit-learn's boosting takes for a category
NUMBERS = "biuf"  # kinds of columns
Results = dict[str, dict[str, float]]  # by table, number of the split and contestant


def _lamina(task: str) -> Any:
    from ..core.tabular.estimators import TabularClassifier, TabularRegressor

    kind = TabularClassifier if task == "classification" else TabularRegressor
    return kind(random_state=0)


def _words(X: Any) -> list[str]:
    return [name for name in X.columns if X[name].dtype.kind not in NUMBERS]


def _boosting(task: str, X: Any) -> Any:
    """Histogram gradient boosting, told which columns are categories."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    words = _words(X)
    coded = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan
    )
    front = make_column_transformer(
        (coded, words), remainder="passthrough", verbose_feature_names_out=False
    )
    categories = [n for n, name in enumerate(words) if X[name].nunique() <= MOST_WORDS]
    classes = task == "classification"
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    return make_pipeline(front, kind(categorical_features=categories, random_state=0))


def _perceptron(task: str, X: Any) -> Any:
    """The multi-layer perceptron behind imputing, scaling and one-hot columns."""
    from sklearn.compose import TransformedTargetRegressor, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    words = _words(X)
    front = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), words),
        remainder=make_pipeline(SimpleImputer(), StandardScaler()),
        sparse_threshold=0.0,
    )
    if task == "classification":
        return make_pipeline(front, MLPClassifier(random_state=0))
    inner = make_pipeline(front, MLPRegressor(random_state=0))
    return TransformedTargetRegressor(inner, transformer=StandardScaler())


def _real_mlp(task: str, X: Any) -> Any:
    """pytabkit's RealMLP-TD-S; words are its categories."""
    pytabkit = import_module("pytabkit")

    classes = task == "classification"
    kind = pytabkit.RealMLP_TD_S_Classifier if classes else pytabkit.RealMLP_TD_S_Regressor
    return kind(random_state=0, device="cpu")


CONTESTANTS: dict[str, Callable[[str, Any], Any]] = {
    "lamina": lambda task, X: _lamina(task),
    "boosting": _boosting,
    "perceptron": _perceptron,
    "realmlp": _real_mlp,
    "command": lambda task, X: WholeCommand(task),
}


def measure(table: Named, number: int, contestant: str) -> dict[str, float]:
    """Score (accuracy or R^2), log loss or mean absolute error, and seconds of one fit."""
    X, y = read(table)
    classes = table.task == "classification"
    y = y.astype(str) if classes else y.astype(float)
    train, test = split(y, table.task, number)
    made = CONTESTANTS[contestant](table.task, X)
    if contestant == "realmlp":  # takes categories, and no missing numbers
        X = _complete(X, train)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of peers: that they did not converge
        made.fit(X.iloc[train], y.iloc[train])
        seconds = getattr(made, "seconds", time.perf_counter() - start)
        found = {"score": float(made.score(X.iloc[test], y.iloc[test])), "seconds": seconds}
        if classes:
            from sklearn.metrics import log_loss

            p = made.predict_proba(X.iloc[test])
            found["log_loss"] = float(log_loss(y.iloc[test], p, labels=made.classes_))
        else:
            error = np.abs(np.asarray(made.predict(X.iloc[test])).reshape(-1) - y.iloc[test])
            found["mean_absolute_error"] = float(error.mean())
    return found


def _complete(X: Any, train: np.ndarray) -> Any:
    """The columns with missing numbers as medians of the rows to train on, words as categories."""
    X = X.copy()
    for name in X.columns:
        if X[name].dtype.kind in NUMBERS:
            X[name] = X[name].fillna(X[name].iloc[train].median()).astype(float)
        else:
            X[name] = X[name].astype(object).where(X[name].notna(), "missing").astype("category")
    return X


def table_of(results: Results) -> str:
    """The results' page: a row for each table, means over its splits, and what they come to."""
    names = [one for one in CONTESTANTS if any(key.endswith(f"/{one}") for key in results)]
    times = {name: any("seconds" in row for row in _rows(results, name).values()) for name in names}
    heads = [f"{name} | s" if times[name] else name for name in names]
    lines = [
        "| table | " + " | ".join(heads) + " |",
        "| --- |" + "".join(" ---: | ---: |" if times[name] else " ---: |" for name in names),
    ]
    for table in NAMED:
        found = [_rows(results, name, table.name) for name in names]
        if not any(found):
            continue
        most, cells = max(map(len, found)), []
        for name, rows in zip(names, found, strict=True):
            few = f" (of {len(rows)})" if 0 < len(rows) < most else ""
            cells.append(f"{_mean(rows, 'score', 4)}{few}")
            cells += [_mean(rows, "seconds", 1)] if times[name] else []
        lines.append(f"| {table.name} | " + " | ".join(cells) + " |")
    for name in names[1:]:
        lines += ["", _compared(results, name)]
    if {"command", "realmlp"} <= set(names):
        lines += ["", _compared(results, "realmlp", "command")]
    return "\n".join(lines)


def _rows(results: Results, contestant: str, table: str = "") -> Results:
    """What a contestant was measured at, by the table and the number of the split."""
    return {
        key.rsplit("/", 1)[0]: row
        for key, row in results.items()
        if key.endswith(f"/{contestant}") and key.startswith(f"{table}/" if table else "")
    }


def _mean(rows: Results, name: str, digits: int) -> str:
    values = [row[name] for row in rows.values() if name in row]
    return f"{np.mean(values):.{digits}f}" if values else ""


def _compared(results: Results, other: str, one: str = "lamina") -> str:
    """How one did beside another, over the splits that both were measured on."""
    ours, theirs = _rows(results, one), _rows(results, other)
    pairs = [key for key in ours if key in theirs]
    if not pairs:
        return f"{one} and {other}: no table in common"
    by_table: dict[str, list[float]] = {}
    for key in pairs:
        gap = ours[key]["score"] - theirs[key]["score"]
        by_table.setdefault(key.split("/")[0], []).append(gap)
    gaps = [float(np.mean(each)) for each in by_table.values()]
    above, level = sum(gap > 0 for gap in gaps), sum(gap >= -NEAR for gap in gaps)
    said = (
        f"{one} beside {other} ({len(pairs)} splits): above on {above} of {len(gaps)} tables, not"
        f" below ({NEAR}) on {level}, mean difference {np.mean(gaps):+.4f}"
    )
    timed = [key for key in pairs if "seconds" in ours[key] and "seconds" in theirs[key]]
    if not timed:
        return said
    ratios: dict[str, list[float]] = {}
    for key in timed:
        ratio = math.log(theirs[key]["seconds"] / ours[key]["seconds"])
        ratios.setdefault(key.split("/")[0], []).append(ratio)
    means = [float(np.mean(each)) for each in ratios.values()]
    each = f"({math.exp(min(means)):.2f} to {math.exp(max(means)):.2f} on single tables)"
    return f"{said}; {math.exp(float(np.mean(means))):.2f} times its speed {each}"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    results: Annotated[Path, typer.Argument(help="JSON that grows; made where there is none.")],
    table: Annotated[list[str] | None, typer.Option(help="A table; all without.")] = None,
    splits: Annotated[int, typer.Option(min=1, help="How many splits.")] = 5,
    contestant: Annotated[
        list[str] | None, typer.Option(help="lamina, boosting, perceptron, realmlp, command.")
    ] = None,
    take: Annotated[list[Path] | None, typer.Option(help="Another run's JSON to take in.")] = None,
    times: Annotated[
        bool, typer.Option(help="Write seconds; not where the machine has other work.")
    ] = True,
    show: Annotated[bool, typer.Option("--show", help="Print the table, and measure no more.")] = (
        False
    ),
) -> None:
    """Measures what is not in the results yet, and prints the table for the results' page."""
    with honest():
        known = {one.name: one for one in NAMED}
        found: dict[str, Any] = {"environment": environment(), "results": {}}
        if results.is_file():
            found = json.loads(results.read_text(encoding="utf-8"))
        for name in (*(table or ()), *(contestant or ())):
            if name not in known and name not in CONTESTANTS:
                raise unknown("table or contestant", name, (*known, *CONTESTANTS))
        for path in take or ():
            other = json.loads(path.read_text(encoding="utf-8"))["results"]
            found["results"] = {**other, **found["results"]}
        if take:
            write(results, json.dumps(found, indent=1) + "\n")
        if not show:
            wanted = (table or list(known), splits, contestant or CONTESTANTS)
            _measure_all(found, results, *wanted, times)
        typer.echo(table_of(found["results"]))


def _measure_all(
    found: dict[str, Any], path: Path, tables: Sequence[str], splits: int, contestants: Any,
    times: bool,
) -> None:  # fmt: skip
    known = {one.name: one for one in NAMED}
    for number in range(splits):
        for name in tables:
            for contestant in contestants:
                key = f"{name}/{number}/{contestant}"
                if key in found["results"]:
                    continue
                try:
                    row = measure(known[name], number, contestant)
                except ImportError as error:
                    typer.echo(f"{key}: {error}", err=True)
                    continue
                typer.echo(f"{key}: {row['score']:.4f} in {row['seconds']:.1f} s", err=True)
                if not times:
                    del row["seconds"]
                found["results"][key] = row
                write(path, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    app()
