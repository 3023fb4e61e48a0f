"""scikit-learn's MLP estimators on lamina's networks: the same numbers, on any backend."""

from . import scikit as scikit  # first of all: it says what to install
