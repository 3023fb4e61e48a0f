"""scikit-learn's MLP estimators on lamina's networks: the same numbers, on any backend."""
