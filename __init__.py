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

TYPE_CHECKING = False  # what type checkers take for True: `typing` would be half of this import
__version__ = "0.1.0"

# name -> module and the attribute in it ("" for the module itself)
_PUBLIC = {
    "Sequential": (".core.model", "Sequential"),
    "Layer": (".core.layers", "Layer"),
    "Parameter": (".core.layers", "Parameter"),
    "Dense": (".core.layers", "Dense"),
    "Activation": (".core.layers", "Activation"),
    "CrossEntropy": (".core.losses", "CrossEntropy"),
    "Focal": (".core.losses", "Focal"),
    "BinaryFocal": (".core.losses", "BinaryFocal"),
    "Huber": (".core.losses", "Huber"),
    "Quantile": (".core.losses", "Quantile"),
    "LayerNorm": (".core.normalization", "LayerNorm"),
    "BatchNorm": (".core.normalization", "BatchNorm"),
    "Residual": (".core.residual", "Residual"),
    "Ensemble": (".core.ensemble", "Ensemble"),
    "PiecewiseLinear": (".core.features", "PiecewiseLinear"),
    "RobustScale": (".core.features", "RobustScale"),
    "FeatureScale": (".core.features", "FeatureScale"),
    "Embedding": (".core.features", "Embedding"),
    "Clip": (".core.features", "Clip"),
    "Flatten": (".core.layers", "Flatten"),
    "Standardize": (".core.layers", "Standardize"),
    "Dropout": (".core.layers", "Dropout"),
    "initializers": (".core.initializers", ""),
    "schedules": (".core.schedules", ""),
    "metrics": (".core.metrics", ""),
    "SGD": (".core.optimizers", "SGD"),
    "RMSprop": (".core.optimizers", "RMSprop"),
    "Adam": (".core.optimizers", "Adam"),
    "AdamW": (".core.optimizers", "AdamW"),
    "NAdam": (".core.optimizers", "NAdam"),
    "Adagrad": (".core.optimizers", "Adagrad"),
    "Lion": (".core.optimizers", "Lion"),
    "LBFGS": (".core.optimizers", "LBFGS"),
    "EMA": (".core.averages", "EMA"),
    "SWA": (".core.averages", "SWA"),
    "TabularClassifier": (".core.tabular.estimators", "TabularClassifier"),
    "TabularRegressor": (".core.tabular.estimators", "TabularRegressor"),
    "Distributed": (".core.distributed", "Distributed"),
    "find_learning_rate": (".core.rates", "find_learning_rate"),
    "Callback": (".core.callbacks", "Callback"),
    "EarlyStopping": (".core.callbacks", "EarlyStopping"),
    "Checkpoint": (".core.callbacks", "Checkpoint"),
    "LogFile": (".core.callbacks", "LogFile"),
    "Plateau": (".core.callbacks", "Plateau"),
    "History": (".core.history", "History"),
    "MLPClassifier": (".core.estimators.classifier", "MLPClassifier"),
    "MLPRegressor": (".core.estimators.regressor", "MLPRegressor"),
    "load": (".core.loading", "load"),
    "export_onnx": (".core.interop.exporting", "export_onnx"),
    "load_onnx": (".core.interop.importing", "load_onnx"),
    "OnnxNetwork": (".core.interop.network", "OnnxNetwork"),
    "OnnxBackend": (".core.interop.backend", "OnnxBackend"),
    "explain": (".core.inspection", "explain"),
    "profile": (".core.inspection", "profile"),
    "check_gradients": (".core.inspection", "check_gradients"),
    "plot": (".core.plot", ""),
    "ops": (".core.graph.functions", "ops"),
    "trace": (".core.graph.autodiff", "trace"),
    "grad": (".core.graph.autodiff", "grad"),
    "value_and_grad": (".core.graph.autodiff", "value_and_grad"),
    "datasets": (".core.data.datasets", ""),
    "backends": (".backends", ""),  # the package, which can be called
    "get_backend": (".backends.selection", "get_backend"),
    "use_backend": (".backends.selection", "use_backend"),
    "set_threads": (".backends.threads", "set_threads"),
    "Backend": (".backends.contract", "Backend"),
    "Kernel": (".kernels.op", "Kernel"),  # from here to check_backend: for authors of plug-ins
    "Obstacle": (".backends.contract", "Obstacle"),
    "Executable": (".backends.contract", "Executable"),
    "Binding": (".backends.contract", "Binding"),
    "Program": (".backends.program", "Program"),
    "Instruction": (".backends.program", "Instruction"),
    "State": (".backends.state", "State"),
    "DataBlock": (".backends.state", "DataBlock"),
    "Control": (".backends.state", "Control"),
    "resolve": (".backends.dispatch", "resolve"),
    "BackendStatus": (".backends.registry", "BackendStatus"),
    "check_backend": (".core.conformance", "check_backend"),
    "LaminaError": (".kernels.errors", "LaminaError"),
    "ShapeError": (".kernels.errors", "ShapeError"),
    "DtypeError": (".kernels.errors", "DtypeError"),
    "UnknownName": (".kernels.errors", "UnknownName"),
    "BadInput": (".kernels.errors", "BadInput"),
    "NotBuilt": (".kernels.errors", "NotBuilt"),
    "ModelBusy": (".kernels.errors", "ModelBusy"),
    "NotDifferentiable": (".kernels.errors", "NotDifferentiable"),
    "BackendUnavailable": (".kernels.errors", "BackendUnavailable"),
    "CheckpointError": (".kernels.errors", "CheckpointError"),
    "DivergenceError": (".kernels.errors", "DivergenceError"),
    "OutOfDeviceMemory": (".kernels.errors", "OutOfDeviceMemory"),
}

# name -> the library without which it only says what to install: no part of `import *` then
_ESTIMATORS = ("MLPClassifier", "MLPRegressor", "TabularClassifier", "TabularRegressor")
_NEEDS = dict.fromkeys(_ESTIMATORS, "sklearn")

if TYPE_CHECKING:  # what a type checker and an editor see of the lazy names
    from typing import Any

    from . import backends as backends
    from .backends.contract import Backend as Backend
    from .backends.contract import Binding as Binding
    from .backends.contract import Executable as Executable
    from .backends.contract import Obstacle as Obstacle
    from .backends.dispatch import resolve as resolve
    from .backends.program import Instruction as Instruction
    from .backends.program import Program as Program
    from .backends.registry import BackendStatus as BackendStatus
    from .backends.selection import get_backend as get_backend
    from .backends.selection import use_backend as use_backend
    from .backends.state import Control as Control
    from .backends.state import DataBlock as DataBlock
    from .backends.state import State as State
    from .backends.threads import set_threads as set_threads
    from .core import initializers as initializers
    from .core import metrics as metrics
    from .core import plot as plot
    from .core import schedules as schedules
    from .core.averages import EMA as EMA
    from .core.averages import SWA as SWA
    from .core.callbacks import Callback as Callback
    from .core.callbacks import Checkpoint as Checkpoint
    from .core.callbacks import EarlyStopping as EarlyStopping
    from .core.callbacks import LogFile as LogFile
    from .core.callbacks import Plateau as Plateau
    from .core.conformance import check_backend as check_backend
    from .core.data import datasets as datasets
    from .core.distributed import Distributed as Distributed
    from .core.ensemble import Ensemble as Ensemble
    from .core.estimators.classifier import MLPClassifier as MLPClassifier
    from .core.estimators.regressor import MLPRegressor as MLPRegressor
    from .core.features import Clip as Clip
    from .core.features import Embedding as Embedding
    from .core.features import FeatureScale as FeatureScale
    from .core.features import PiecewiseLinear as PiecewiseLinear
    from .core.features import RobustScale as RobustScale
    from .core.graph.autodiff import grad as grad
    from .core.graph.autodiff import trace as trace
    from .core.graph.autodiff import value_and_grad as value_and_grad
    from .core.graph.functions import ops as ops
    from .core.history import History as History
    from .core.inspection import check_gradients as check_gradients
    from .core.inspection import explain as explain
    from .core.inspection import profile as profile
    from .core.interop.backend import OnnxBackend as OnnxBackend
    from .core.interop.exporting import export_onnx as export_onnx
    from .core.interop.importing import load_onnx as load_onnx
    from .core.interop.network import OnnxNetwork as OnnxNetwork
    from .core.layers import Activation as Activation
    from .core.layers import Dense as Dense
    from .core.layers import Dropout as Dropout
    from .core.layers import Flatten as Flatten
    from .core.layers import Layer as Layer
    from .core.layers import Parameter as Parameter
    from .core.layers import Standardize as Standardize
    from .core.loading import load as load
    from .core.losses import BinaryFocal as BinaryFocal
    from .core.losses import CrossEntropy as CrossEntropy
    from .core.losses import Focal as Focal
    from .core.losses import Huber as Huber
    from .core.losses import Quantile as Quantile
    from .core.model import Sequential as Sequential
    from .core.normalization import BatchNorm as BatchNorm
    from .core.normalization import LayerNorm as LayerNorm
    from .core.optimizers import LBFGS as LBFGS
    from .core.optimizers import SGD as SGD
    from .core.optimizers import Adagrad as Adagrad
    from .core.optimizers import Adam as Adam
    from .core.optimizers import AdamW as AdamW
    from .core.optimizers import Lion as Lion
    from .core.optimizers import NAdam as NAdam
    from .core.optimizers import RMSprop as RMSprop
    from .core.rates import find_learning_rate as find_learning_rate
    from .core.residual import Residual as Residual
    from .core.tabular.estimators import TabularClassifier as TabularClassifier
    from .core.tabular.estimators import TabularRegressor as TabularRegressor
    from .kernels.errors import BackendUnavailable as BackendUnavailable
    from .kernels.errors import BadInput as BadInput
    from .kernels.errors import CheckpointError as CheckpointError
    from .kernels.errors import DivergenceError as DivergenceError
    from .kernels.errors import DtypeError as DtypeError
    from .kernels.errors import LaminaError as LaminaError
    from .kernels.errors import ModelBusy as ModelBusy
    from .kernels.errors import NotBuilt as NotBuilt
    from .kernels.errors import NotDifferentiable as NotDifferentiable
    from .kernels.errors import OutOfDeviceMemory as OutOfDeviceMemory
    from .kernels.errors import ShapeError as ShapeError
    from .kernels.errors import UnknownName as UnknownName
    from .kernels.op import Kernel as Kernel


def _all() -> list[str]:
    """The public names whose libraries are installed."""
    from importlib.util import find_spec  # loaded by those who ask for all names

    missing = {name for name, library in _NEEDS.items() if not find_spec(library)}
    return ["__version__", *(name for name in _PUBLIC if name not in missing)]


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return _all()
    if name not in _PUBLIC:
        raise AttributeError(f"module 'lamina' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    loaded = import_module(module, __name__)
    value = getattr(loaded, attribute) if attribute else loaded
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_all())
