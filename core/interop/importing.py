"""`load_onnx`: a network from an ONNX file, ready to predict, or to go on training."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from ...backends.contract import Backend
from ...backends.selection import Choice, preferred
from ...kernels.errors import CheckpointError, LaminaError
from ..data.encoding import Encoding
from ..loading import check_encoding
from ..model import Sequential
from .chains import chain_of, model_of
from .network import OnnxNetwork
from .reading import Parsed, Port, read
from .tracing import chosen_output
from .values import Unknown

FEATURES, PREDICTION, ENCODING = "lamina.features", "lamina.prediction", "lamina.encoding"
COLUMNS = "lamina.columns"


def load_onnx(
    path: str | os.PathLike[str], backend: Choice = "auto", output: str | None = None
) -> Sequential | OnnxNetwork:
    """The network of an ONNX file, on the given backend.

    A plain chain of dense layers (flattened and standardized before, activations between) becomes
    an `lm.Sequential`, ready to predict and to train on: its loss is the one that the file names,
    or the one that fits the last layer. Any other graph of operators that lamina has becomes an
    `lm.OnnxNetwork`, ready to predict. Data beside the file is read from its own folder alone.

    path: of the file: PyTorch's, Keras's, scikit-learn's, or one that `lm.export_onnx` wrote, whose
        table's encoding comes with it. backend: as in `Sequential`. output: the name of the output
        to predict; None takes the only one, or a classifier's probabilities.
    Raises: CheckpointError for a file that is damaged, or whose graph has an operator that lamina
        has not, named with its node; BadInput; UnknownName, BackendUnavailable.
    """
    parsed, encoding = _inner(read(path), str(path))
    chosen = preferred(backend)
    try:
        network = _loaded(parsed, chosen.backend, output, encoding)
        if isinstance(network, Sequential):
            network.session.adopt(chosen)
        return network
    except CheckpointError as error:
        raise CheckpointError(f"{str(path)!r}: {error}") from None
    except (LaminaError, MemoryError):
        raise
    except Unknown:
        raise CheckpointError(
            f"{str(path)!r} computes shapes from numbers that only its inputs say"
        ) from None
    except Exception as error:  # words of a stranger's may break anything
        raise CheckpointError(f"{str(path)!r} cannot be computed here: {error}") from error


def _loaded(
    parsed: Parsed, backend: Backend, output: str | None, encoding: Encoding | None
) -> Sequential | OnnxNetwork:
    found = chain_of(parsed, chosen_output(parsed, output))
    model: Sequential | OnnxNetwork
    if found is not None:
        model = model_of(found, backend, parsed.metadata)
        model.columns = _columns(parsed.metadata, found.features)
    else:
        model = OnnxNetwork(parsed, backend, output)
    model.encoding = encoding
    return model


def _columns(told: Mapping[str, str], features: tuple[int, ...]) -> tuple[str, ...] | None:
    """The names of the data frame's columns that a model was trained on, where the file says it."""
    if COLUMNS not in told:
        return None
    names = json.loads(told[COLUMNS])
    if not isinstance(names, list) or len(features) != 1 or len(names) != features[0]:
        raise CheckpointError(f"its features {features} have other columns than {COLUMNS} names")
    return tuple(str(name) for name in names)


def _inner(parsed: Parsed, path: str) -> tuple[Parsed, Encoding | None]:
    """The network itself of a file with a table's encoding around it, and the encoding.

    Raises: CheckpointError for words that say no encoding.
    """
    told: Mapping[str, str] = parsed.metadata
    if ENCODING not in told:
        return parsed, None
    try:
        encoding = Encoding.from_json(json.loads(told[ENCODING]))
        check_encoding(encoding)
    except Exception as error:  # of any kind of JSON
        raise CheckpointError(f"{path!r} does not describe its table: {error}") from None
    made = {name for node in parsed.nodes for name in node.output}
    made |= {port.name for port in parsed.inputs}
    features, prediction = told.get(FEATURES, ""), told.get(PREDICTION, "")
    if features not in made or prediction not in made:
        raise CheckpointError(f"{path!r} names features or a prediction that its graph has not")
    if encoding.columns:
        dtype = told.get("lamina.features_dtype", "float32")
        if dtype not in ("float32", "float64"):
            raise CheckpointError(f"{path!r} names the dtype {dtype!r} for its features")
        port = Port(features, dtype, (None, len(encoding.feature_names)))
        inputs: tuple[Port, ...] = (port,)
    else:
        inputs = parsed.inputs
    outputs = (Port(prediction, told.get("lamina.dtype", "float32"), None),)
    return Parsed(
        parsed.nodes, inputs, outputs, parsed.weights, parsed.opsets, parsed.functions, told
    ), encoding
