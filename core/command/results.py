"""What a training came to: the test on rows held out, and the report in words of JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ...kernels.errors import BadInput
from ...kernels.files import write
from ..data import plan
from ..data.datasets import Dataset
from ..model import Sequential
from .settings import Settings

Say = Callable[[str], None]


def tested(model: Sequential, data: Dataset) -> dict[str, float]:
    """Loss and accuracy, or mean absolute error and R^2 in the label's own units.

    Nothing where no rows were held out.
    """
    if not len(data.y_test):
        return {}
    found = model.evaluate(data.x_test, data.y_test)
    if data.task != "regression":
        return found
    assert data.encoding is not None  # every regression comes from a file
    wanted = data.encoding.units(data.y_test)
    given = data.encoding.units(model.predict(data.x_test)[:, 0])
    return {
        "loss": found["loss"],
        "mean_absolute_error": float(np.abs(wanted - given).mean()),
        "r2": r2_score(wanted, given),
    }


def r2_score(wanted: np.ndarray, given: np.ndarray) -> float:
    """1 - squared error / spread, as scikit-learn defines it where the spread is zero.

    A constant that is met exactly scores 1, one that is missed 0; one row alone has no score: NaN.
    """
    if len(wanted) < 2:
        return math.nan
    spread = float(((wanted - wanted.mean()) ** 2).sum())
    error = float(((wanted - given) ** 2).sum())
    if not spread:
        return 0.0 if error else 1.0
    return 1.0 - error / spread


def conclude(data: Dataset, results: Mapping[str, float], seconds: float, say: Say) -> None:
    """Says how long it took, and what the test says."""
    if not results:
        say(f"trained in {seconds:.1f} s; no rows were held out to test on")
        return
    say(f"trained in {seconds:.1f} s; test loss {results['loss']:.4f}")
    if data.task == "regression":
        assert data.encoding is not None
        unit = f"in units of {data.encoding.label!r}"
        say(f"test mean absolute error {results['mean_absolute_error']:.4g} ({unit})")
        say(f"test R2 {results['r2']:.4f}")
    else:
        say(f"test accuracy {results['accuracy']:.4f}")


def report(
    settings: Settings, data: Dataset, model: Sequential, done: int, history: Mapping[str, Any],
    seconds: float, results: Mapping[str, float], save: Path | None,
) -> dict[str, Any]:  # fmt: skip
    """What `train` gives back, in words of JSON."""
    return {
        "settings": settings.to_json(),
        "task": data.task,
        "why": data.why,
        "notes": list(data.notes),
        "columns": [plan.to_json(one) for one in data.plan],
        "backend": model.backend.name,
        "device": model.backend.device,
        "chosen_by": model.backend_reason,
        "rows": len(data.x_train),
        "features": int(np.prod(data.x_train.shape[1:])),
        "classes": list(data.class_names),
        "epochs_before": done,
        "history": history,
        "seconds": seconds,
        "test": {name: None if math.isnan(value) else value for name, value in results.items()},
        "saved": None if save is None else str(save),
    }


def check_report(page: Path | None, settings: Settings) -> None:
    """Raises BadInput, before any work is done, where no report can be written."""
    if page is None:
        return
    if page.suffix.lower() not in (".html", ".htm", ".txt"):
        raise BadInput(f"--report writes .html or .txt, not {str(page)!r}")
    if find_spec("sklearn") is None:
        raise BadInput('--report is by scikit-learn: pip install "lamina[metrics]"')
    if not settings.test_size:
        raise BadInput("--report needs rows held out to test: give a --test-size above 0")


def write_report(
    page: Path, model: Sequential, data: Dataset, history: Mapping[str, Any], seconds: float,
    network: str, say: Say,
) -> None:  # fmt: skip
    """Measures, says and writes the report: HTML, or text for a .txt. Raises: OSError, BadInput."""
    from ..report import measures, words  # loaded by those who want one
    from ..report import page as pages

    found = measures.report(model, data, history, seconds, network)
    told = words.text(found)
    for line in told.splitlines():
        say(line)
    if page.suffix.lower() == ".txt":
        write(page, told)
    else:
        pages.write(found, page)
    say(f"report written to {page}")
