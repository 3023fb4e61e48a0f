"""lamina: an array backend with pluggable devices for dense neural networks.

    import lamina as lm

    model = lm.Sequential(
        [lm.Dense(128, activation="relu"), lm.Dense(10, activation="softmax")],
        loss="cross_entropy", metrics=("accuracy",),
    )
    history = model.fit(x, y, epochs=10)

All public names hang on the package and are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# name -> module and the attribute in it ("" for the module itself)
_PUBLIC = {
    "Sequential": (".core.model", "Sequential"),
    "Layer": (".core.layers", "Layer"),
    "Parameter": (".core.layers", "Parameter"),
    "Dense": (".core.layers", "Dense"),
    "Flatten": (".core.layers", "Flatten"),
    "Standardize": (".core.layers", "Standardize"),
    "Dropout": (".core.layers", "Dropout"),
    "initializers": (".core.initializers", ""),
    "SGD": (".core.optimizers", "SGD"),
    "RMSprop": (".core.optimizers", "RMSprop"),
    "Adam": (".core.optimizers", "Adam"),
    "AdamW": (".core.optimizers", "AdamW"),
    "Callback": (".core.callbacks", "Callback"),
    "EarlyStopping": (".core.callbacks", "EarlyStopping"),
    "Checkpoint": (".core.callbacks", "Checkpoint"),
    "History": (".core.history", "History"),
    "load": (".core.checkpoint", "load"),
    "explain": (".core.inspection", "explain"),
    "profile": (".core.inspection", "profile"),
    "check_gradients": (".core.inspection", "check_gradients"),
    "ops": (".core.functions", "ops"),
    "trace": (".core.autodiff", "trace"),
    "grad": (".core.autodiff", "grad"),
    "value_and_grad": (".core.autodiff", "value_and_grad"),
    "datasets": (".core.datasets", ""),
    "backends": (".backends", ""),  # the package, which can be called
    "get_backend": (".backends.registry", "get_backend"),
    "use_backend": (".backends.registry", "use_backend"),
    "set_threads": (".backends.threads", "set_threads"),
    "Backend": (".backends.contract", "Backend"),
    "LaminaError": (".kernels.errors", "LaminaError"),
    "ShapeError": (".kernels.errors", "ShapeError"),
    "DtypeError": (".kernels.errors", "DtypeError"),
    "UnknownName": (".kernels.errors", "UnknownName"),
    "BadInput": (".kernels.errors", "BadInput"),
    "NotBuilt": (".kernels.errors", "NotBuilt"),
    "NotDifferentiable": (".kernels.errors", "NotDifferentiable"),
    "BackendUnavailable": (".kernels.errors", "BackendUnavailable"),
    "CheckpointError": (".kernels.errors", "CheckpointError"),
    "DivergenceError": (".kernels.errors", "DivergenceError"),
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'lamina' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    loaded = import_module(module, __name__)
    value = getattr(loaded, attribute) if attribute else loaded
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
