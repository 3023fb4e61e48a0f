"""`lm.MLPClassifier` beside scikit-learn's: the same fits, checked, then timed in turns."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.data import datasets
from ..kernels.errors import BadInput, LaminaError, unknown

OURS, THEIRS = "lamina", "scikit-learn"
SAME_ACCURACY = 0.01  # of means over three seeds, in float32
SAME_WEIGHTS = 1e-6  # after 200 epochs in float64
FEW = 3  # rounds of fits that take long: theirs then has none that is not timed
GRID = {
    "hidden_layer_sizes": [(8,), (16,), (32,)],
    "alpha": [1e-4, 1e-3, 1e-2, 1e-1],
    "learning_rate_init": [1e-3, 1e-2],
}


@dataclass
class Case:
    """A fit that both do.

    name: what it is. wanted: how many times as fast lamina is to be. rounds: of each.
    fit: (kind of estimator, round) -> what was fitted. check: raises LaminaError where what both
    fitted, by round, is not the same.
    """

    name: str
    wanted: float
    rounds: int
    fit: Callable[[Any, int], Any]
    check: Callable[[list[Any], list[Any]], str]
    seconds: dict[str, list[float]] = field(default_factory=lambda: {OURS: [], THEIRS: []})

    @property
    def factor(self) -> float:
        """How many times as fast lamina is, by medians."""
        return statistics.median(self.seconds[THEIRS]) / statistics.median(self.seconds[OURS])


def fashion(backend: str) -> Case:
    """Fashion-MNIST, (128,), batches of 128, five epochs, another seed each round; float32."""
    data = datasets.load("fashion-mnist")
    x, x_test = (a.reshape(len(a), -1).astype(np.float32) for a in (data.x_train, data.x_test))
    scale = np.float32(max(float(x.max()), 1.0))
    x, x_test = x / scale, x_test / scale

    def fit(kind: Any, number: int) -> Any:
        one = kind((128,), batch_size=128, max_iter=5, random_state=number)
        return _on(one, backend).fit(x, data.y_train)

    def check(ours: list[Any], theirs: list[Any]) -> str:
        means = [
            statistics.mean(one.score(x_test, data.y_test) for one in all_)
            for all_ in (ours, theirs)
        ]
        if abs(means[0] - means[1]) > SAME_ACCURACY:
            raise LaminaError(f"mean accuracies {means[0]:.4f} and {means[1]:.4f} are not equal")
        return f"mean test accuracies {means[0]:.4f} and {means[1]:.4f}"

    return Case("fashion-mnist, (128,), batch 128, 5 epochs", 2.5, 3, fit, check)


def table(backend: str) -> Case:
    """1,000 rows of 20 numbers, with defaults: float64."""
    x, y = _rows()

    def fit(kind: Any, number: int) -> Any:
        return _on(kind(random_state=0), backend).fit(x, y)

    def check(ours: list[Any], theirs: list[Any]) -> str:
        found = zip(ours[0].coefs_, theirs[0].coefs_, strict=True)
        off = max(float(np.abs(a - b).max()) for a, b in found)
        if off > SAME_WEIGHTS or ours[0].n_iter_ != theirs[0].n_iter_:
            raise LaminaError(f"the weights are {off:.2g} apart after {ours[0].n_iter_} epochs")
        return f"{ours[0].n_iter_} epochs, weights {off:.1g} apart"

    return Case("1,000 x 20, defaults", 5.0, 9, fit, check)


def search(backend: str) -> Case:
    """GridSearchCV over 24 small networks, two workers, three folds, up to 50 epochs."""
    from sklearn.model_selection import GridSearchCV

    x, y = _rows()

    def fit(kind: Any, number: int, workers: int = 2) -> Any:
        one = _on(kind(max_iter=50, random_state=0), backend)
        return GridSearchCV(one, GRID, cv=3, n_jobs=workers).fit(x, y)

    def check(ours: list[Any], theirs: list[Any]) -> str:
        from .. import MLPClassifier

        alone = fit(MLPClassifier, 0, workers=1)
        scores = [one.cv_results_["mean_test_score"] for one in (ours[0], theirs[0], alone)]
        if not (scores[0] == scores[2]).all():
            raise LaminaError("two workers find other scores than one")
        off = float(np.abs(scores[0] - scores[1]).max())
        if off > SAME_ACCURACY:
            raise LaminaError(f"the scores are {off:.2g} apart")
        return f"scores {off:.1g} apart; the same with one worker"

    return Case("GridSearchCV, 24 networks, n_jobs=2", 3.0, 5, fit, check)


CASES: dict[str, Callable[[str], Case]] = {"fashion": fashion, "table": table, "search": search}


def measure(wanted: list[str], backend: str, tell: Callable[[str], None]) -> Iterator[Case]:
    """The cases, each measured: a fit untimed, the answers compared, rounds in turn.

    Raises: UnknownName, BadInput; LaminaError where the answers differ.
    """
    try:
        from sklearn.neural_network import MLPClassifier as Theirs
    except ImportError:
        raise BadInput('scikit-learn is not installed: pip install "lamina[sklearn]"') from None
    from .. import MLPClassifier

    for name in wanted or CASES:
        if name not in CASES:
            raise unknown("case", name, CASES)
        case = CASES[name](backend)
        kinds = {OURS: MLPClassifier, THEIRS: Theirs}
        fitted: dict[str, list[Any]] = {OURS: [], THEIRS: []}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few epochs are unfinished, and both say so
            for number in range(-1, case.rounds):
                order = list(kinds) if number % 2 else list(kinds)[::-1]
                if number < 0 and case.rounds <= FEW:
                    order = [OURS]  # which compiles; theirs has nothing to warm
                for who in order:
                    tell(f"{case.name}: {who}, round {max(number, 0)}")
                    start = time.perf_counter()
                    one = case.fit(kinds[who], max(number, 0))
                    took = time.perf_counter() - start
                    fitted[who] = [*fitted[who], one] if number else [one]
                    if number >= 0:
                        case.seconds[who].append(took)
                if number == 0 and case.rounds > FEW:
                    tell(case.check(fitted[OURS], fitted[THEIRS]))
            told = case.check(fitted[OURS], fitted[THEIRS])
        case.name = f"{case.name} ({told})"
        yield case


def _rows() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import make_classification

    x, y = make_classification(1000, 20, random_state=0)
    return x, y


def _on(one: Any, backend: str) -> Any:
    """On that backend, where it is lamina's."""
    return one.set_params(backend=backend) if "backend" in one.get_params() else one
