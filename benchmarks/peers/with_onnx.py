"""ONNX Runtime: inference of the network as a graph of Gemm and activations."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from ...kernels.errors import BadInput
from .peer import Inference, Peer, Task, Workload, one_of

ACTIVATIONS = {
    "linear": "Identity", "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu",
    "leaky_relu": "LeakyRelu", "elu": "Elu", "softplus": "Softplus",
    "selu": "Selu", "mish": "Mish", "softsign": "Softsign", "softmax": "Softmax",
    "log_softmax": "LogSoftmax",
}  # fmt: skip
OPSET = 18


def graph(task: Task) -> onnx.ModelProto:
    """The network with its weights; input "x", output the probabilities "p"."""
    network, weights = task.network, task.weights
    kind = TensorProto.FLOAT if network.dtype == "float32" else TensorProto.DOUBLE
    nodes, held, last, count = [], [], "x", len(weights) // 2
    for i in range(count):
        for name, array in (("W", weights[2 * i]), ("b", weights[2 * i + 1][0])):
            held.append(numpy_helper.from_array(np.ascontiguousarray(array), f"{name}{i}"))
        nodes.append(helper.make_node("Gemm", [last, f"W{i}", f"b{i}"], [f"z{i}"]))
        act, last = one_of(ACTIVATIONS, "activation", network.activation), f"a{i}"
        if i == count - 1:
            act, last = ACTIVATIONS[network.last], "p"
        nodes.append(helper.make_node(act, [f"z{i}"], [last]))
    shapes = [("x", network.sizes[0]), ("p", network.sizes[-1])]
    x, p = (helper.make_tensor_value_info(name, kind, ["n", size]) for name, size in shapes)
    made = helper.make_graph(nodes, "network", [x], [p], held)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 8  # what readers of this operator set know
    onnx.checker.check_model(model)
    return model


class Predictions(Inference):
    """`InferenceSession.run`.

    threads: of the session; 0 leaves the choice to it.
    """

    def __init__(self, task: Task, threads: int) -> None:
        super().__init__(task)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            graph(task).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def predict(self) -> np.ndarray:
        """The probabilities."""
        found: np.ndarray = self.session.run(None, {"x": self.x})[0]
        return found


def workload(peer: Peer, task: Task) -> Workload:
    """The task in ONNX Runtime. Raises: BadInput for more than a protobuf holds."""
    if task.network.parameters * 8 > 2**31:
        raise BadInput("an ONNX file in one piece holds at most 2 GiB")
    if task.network.layer:
        raise BadInput(f"it has no layer {task.network.layer} here")
    return Predictions(task, 1 if peer.variant == "one thread" else 0)
