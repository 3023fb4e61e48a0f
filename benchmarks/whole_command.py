"""`lamina train TABLE` as a contestant: a fresh process, from its start to its end."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..core.command.predictions import predict
from ..core.loading import load
from ..kernels.isolated import PACKAGE, path

COMPILED = f"{PACKAGE}: compiled"  # what a process says that found no kept machine code


class WholeCommand:
    """The command on a CSV of the rows, with what an estimator has to be measured by.

    task: "classification" or "regression". After `fit`, `seconds` are those of the process that
    found all machine code on disk; writing the CSV is not among them.
    """

    def __init__(self, task: str) -> None:
        self.task = task
        self.seconds = 0.0

    def fit(self, X: Any, y: Any) -> WholeCommand:
        """Runs the command, once more where it had to compile.

        X: a data frame of n rows; y: its label, a named series of n rows. Raises: RuntimeError
        with what the command said, where it fails.
        """
        with TemporaryDirectory() as folder:
            table, saved = Path(folder, "table.csv"), Path(folder, "model.safetensors")
            X.assign(**{y.name: y}).to_csv(table, index=False)
            words = [
                sys.executable, "-m", PACKAGE, "train", str(table), "--label", y.name,
                "--task", self.task, "--test-size", "0", "--save", str(saved), "--overwrite",
            ]  # fmt: skip
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path())}
            for _ in range(2):
                start = time.perf_counter()
                done = subprocess.run(
                    words, capture_output=True, text=True, cwd=folder, env=environment, check=False
                )
                self.seconds = time.perf_counter() - start
                if done.returncode:
                    raise RuntimeError(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
                if COMPILED not in done.stderr:
                    break
            self.model = load(saved)
        encoding = self.model.encoding
        assert encoding is not None
        self.classes_ = np.array(encoding.classes)
        return self

    def _answers(self, X: Any) -> tuple[list[str], np.ndarray]:
        """Classes as they are written, and what is said of each; or values twice."""
        with TemporaryDirectory() as folder:
            table = Path(folder, "new.csv")
            X.to_csv(table, index=False)
            _, *rows = csv.reader(predict(self.model, table).splitlines())
        first = 1 if self.task == "classification" else 0
        return [row[0] for row in rows], np.array([row[first:] for row in rows], float)

    def predict(self, X: Any) -> np.ndarray:
        """(n,) values of a regression. X: a data frame of n rows."""
        return self._answers(X)[1][:, 0]

    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, classes) probabilities. X: a data frame of n rows."""
        return self._answers(X)[1]

    def score(self, X: Any, y: Any) -> float:
        """Accuracy, or R^2. X: a data frame of n rows; y: (n,) labels."""
        said, values = self._answers(X)
        if self.task == "classification":
            return float(np.mean(np.array(said) == np.asarray(y, str)))
        y = np.asarray(y, float)
        return float(1.0 - ((y - values[:, 0]) ** 2).sum() / ((y - y.mean()) ** 2).sum())
