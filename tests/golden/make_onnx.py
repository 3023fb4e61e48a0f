"""Writes onnx/*.onnx: networks as other libraries export them, with rows and what they answer.

    python tests/golden/make_onnx.py torch      # needs torch and onnxscript
    python tests/golden/make_onnx.py keras      # needs keras as well
    python tests/golden/make_onnx.py sklearn    # needs scikit-learn and skl2onnx
    python tests/golden/make_onnx.py lamina

The rows and the answers of the library itself are in each file's metadata. The tests need none of
these libraries.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx

FOLDER = Path(__file__).with_name("onnx")


def keep(name: str, model: Any, x: Any, y: np.ndarray) -> None:
    """Writes a model with rows, or columns by name, and answers."""
    told = {"x": x if isinstance(x, dict) else x.tolist(), "y": np.asarray(y).tolist()}
    model.metadata_props.add(key="golden", value=json.dumps(told))
    for node in model.graph.node:  # traces of the exporting program
        del node.metadata_props[:]
        node.doc_string = ""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString())
    print(name, [n.op_type for n in model.graph.node])


def from_torch() -> None:
    """Networks by both of PyTorch's exporters."""
    import torch
    from torch import nn

    class Gated(nn.Module):
        """Attention over the features in groups, by products with several batches."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(8, 12), nn.Linear(12, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = self.first(x).view(-1, 3, 4)
            shares = torch.softmax(z @ z.transpose(1, 2) / 2.0, dim=-1)
            z = (shares @ z).flatten(1)
            a, b = z.chunk(2, dim=1)
            return self.last(torch.cat([a * torch.sigmoid(b), b.mean(1, keepdim=True) + a], dim=1))

    def block(activation: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Linear(8, 6), activation, nn.Linear(6, 3), nn.Softmax(dim=1))

    torch.manual_seed(0)
    norms = nn.Sequential(
        nn.Linear(8, 6), nn.BatchNorm1d(6), nn.SiLU(), nn.LayerNorm(6), nn.Dropout(0.5),
        nn.Linear(6, 2),
    )  # fmt: skip
    with torch.no_grad():
        norms.train()(torch.randn(64, 8) * 2.0)
    networks: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        "relu": (block(nn.ReLU()), (8,)),
        "gelu": (block(nn.GELU()), (8,)),
        "gelu_tanh": (block(nn.GELU(approximate="tanh")), (8,)),
        "silu": (block(nn.SiLU()), (8,)),
        "mish": (block(nn.Mish()), (8,)),
        "elu": (block(nn.ELU()), (8,)),
        "hardswish": (block(nn.Hardswish()), (8,)),
        "norms": (norms, (8,)),
        "images": (
            nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, 1), nn.Sigmoid()),
            (4, 4),
        ),
        "gated": (Gated(), (8,)),
    }
    for name, (network, shape) in networks.items():
        network.eval()
        x = torch.randn(7, *shape)
        with torch.no_grad():
            y = network(x).numpy()
        file = io.BytesIO()
        torch.onnx.export(
            network, (x,), file, dynamo=False, input_names=["x"], output_names=["y"],
            dynamic_axes={"x": {0: "n"}, "y": {0: "n"}}, opset_version=17,
        )  # fmt: skip
        keep(f"torch_script_{name}", onnx.load_from_string(file.getvalue()), x.numpy(), y)
        program = torch.onnx.export(
            network, (x,), dynamo=True, dynamic_shapes=({0: torch.export.Dim("n")},),
            verbose=False,
        )  # fmt: skip
        assert program is not None
        keep(f"torch_dynamo_{name}", program.model_proto, x.numpy(), y)
    program = torch.onnx.export(networks["relu"][0], (torch.randn(1, 8),), dynamo=True,
                                verbose=False)  # fmt: skip
    assert program is not None
    x = torch.randn(3, 8)
    with torch.no_grad():
        keep("torch_one_row", program.model_proto, x.numpy(), networks["relu"][0](x).numpy())


def from_keras() -> None:
    """Networks by Keras's own exporter, on its torch backend."""
    import os
    import tempfile

    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    networks = {
        "relu": [layers.Input((8,)), layers.Dense(6, "relu"), layers.Dense(3, "softmax")],
        "gelu": [layers.Input((8,)), layers.Dense(6, "gelu"), layers.Dense(1, "sigmoid")],
        "silu": [
            layers.Input((4, 4)), layers.Flatten(), layers.Dense(6, "silu"), layers.Dropout(0.3),
            layers.Dense(2),
        ],
        "norms": [
            layers.Input((8,)), layers.Dense(6), layers.BatchNormalization(),
            layers.Activation("elu"), layers.Dense(3, "softmax"),
        ],
    }  # fmt: skip
    for name, parts in networks.items():
        network = keras.Sequential(parts)
        x = np.random.default_rng(0).normal(size=(7, *network.input_shape[1:])).astype("float32")
        y = np.asarray(network.predict(x, verbose=0))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            network.export(str(path), format="onnx", verbose=False)
            keep(f"keras_{name}", onnx.load(path), x, y)


def from_sklearn() -> None:
    """Networks and linear models of scikit-learn, in pipelines."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler

    x, y = load_iris(return_X_y=True)
    x = x.astype(np.float32)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    mlp: dict[str, Any] = {"hidden_layer_sizes": (6, 5), "max_iter": 30, "random_state": 0}
    cases = {
        "classifier": (make_pipeline(StandardScaler(), MLPClassifier(**mlp)), y),
        "words": (make_pipeline(MinMaxScaler(), MLPClassifier(activation="tanh", **mlp)), names),
        "two": (make_pipeline(StandardScaler(), MLPClassifier(**mlp)), (y > 0).astype(int)),
        "regressor": (make_pipeline(StandardScaler(), MLPRegressor(**mlp)), x[:, 3] * 2.0),
        "logistic": (make_pipeline(Normalizer(), LogisticRegression()), y),
        "logistic_two": (LogisticRegression(), (y > 1).astype(int)),
        "linear": (LinearRegression(), x[:, 3] * 2.0),
    }
    columns: dict[str, np.ndarray] = {
        "size": x[:, :1], "colour": np.array(["red", "blue", "é"], object)[y][:, None],
        "width": x[:, 1:2],
    }  # fmt: skip
    mixed(columns, y, mlp)
    for name, (model, target) in cases.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(x, target)
        rows = x[::15]
        probabilities = hasattr(model, "predict_proba")
        answer = model.predict_proba(rows) if probabilities else model.predict(rows)[:, None]
        for mapped in (False, True) if probabilities else (False,):
            options = {id(model): {"zipmap": mapped}} if probabilities else None
            made = to_onnx(model, x[:1], options=options, target_opset=18)
            keep(f"sklearn_{name}{'_zipmap' * mapped}", made, rows, answer)


def mixed(columns: dict[str, np.ndarray], y: np.ndarray, settings: dict[str, Any]) -> None:
    """A pipeline that takes columns of numbers and of words."""
    import pandas as pd
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pd.DataFrame({name: column[:, 0] for name, column in columns.items()})
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    parts = [("numbers", StandardScaler(), ["size", "width"]), ("words", encoder, ["colour"])]
    model = make_pipeline(ColumnTransformer(parts), MLPClassifier(**settings))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(frame, y)
    kinds = {"size": FloatTensorType, "width": FloatTensorType, "colour": StringTensorType}
    types = [(name, kinds[name]([None, 1])) for name in columns]
    made = to_onnx(
        model, initial_types=types, options={id(model): {"zipmap": False}}, target_opset=18
    )
    rows = {name: column[::15].tolist() for name, column in columns.items()}
    keep("sklearn_columns", made, rows, model.predict_proba(frame[::15]))


def from_lamina() -> None:
    """lamina's own file, of a network with norms; lamina_table.onnx is one of version 0.1's."""
    import lamina as lm
    from lamina.core.interop.exporting import proto

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 4)), np.arange(60) % 3
    block = lm.Residual([lm.Dense(6, "gelu"), lm.LayerNorm()])
    layers = [lm.Standardize(), lm.Dense(6), lm.BatchNorm(), block, lm.Dense(3, "softmax")]
    model = lm.Sequential(layers, "cross_entropy", backend="numpy", seed=0)
    model.fit(x, y, epochs=3, verbose=0)
    keep("lamina_norms", proto(model), x[:5], model.predict(x[:5]))


if __name__ == "__main__":
    makers = {
        "torch": from_torch, "keras": from_keras, "sklearn": from_sklearn, "lamina": from_lamina,
    }  # fmt: skip
    makers[sys.argv[1]]()
