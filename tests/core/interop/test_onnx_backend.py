"""lamina as a backend of ONNX: its own conformance cases, with the count."""

from __future__ import annotations

import unittest
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import lamina as lm
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from lamina.core.interop.backend import missing  # noqa: E402
from lamina.core.interop.reading import parse  # noqa: E402
from lamina.kernels.spec import DTYPES  # noqa: E402

AT_LEAST = 400  # cases that pass; 1112 did with onnx 1.23
RANDOM = "drops numbers at random"


@cache
def cases() -> list[Any]:
    """The node cases of the onnx library, made by its own generators, which warn."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [case for case in collect_testcases(None) if case.kind == "node"]


def host(value: Any) -> Any:
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def supported(model: Any) -> bool:
    """Whether lamina has a case's operators, and the dtypes of all that goes in and out."""
    try:
        parsed = parse(model)
    except lm.LaminaError:
        return False
    ports = (*parsed.inputs, *parsed.outputs)
    return not missing(parsed) and all(port.dtype in DTYPES for port in ports)


def outcome(case: Any, backend: str) -> str:
    """ "" where a case passes, what lamina refuses it for, or what is wrong."""
    from onnx.backend.test.runner import Runner

    try:
        prepared = lm.OnnxBackend.prepare(case.model, backend=backend)
        for inputs, outputs in case.data_sets:
            made = prepared.run([host(each) for each in inputs])
            wanted = [host(each) for each in outputs]
            Runner.assert_similar_outputs(wanted, list(made), case.rtol, case.atol)
    except lm.LaminaError as error:
        return f"refused: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def failing(backend: str, some: list[Any]) -> Iterator[tuple[str, str]]:
    for case in some:
        with np.errstate(all="ignore"):
            what = outcome(case, backend)
        if what:
            yield case.name, what


@pytest.mark.long
def test_the_node_cases_whose_operators_lamina_has() -> None:
    known = [case for case in cases() if supported(case.model)]
    found = dict(failing("numpy", known))
    wrong = {n: w for n, w in found.items() if not w.startswith("refused: ")}
    assert not wrong
    random = [n for n, w in found.items() if RANDOM in w]
    assert all("dropout" in name for name in random)
    # operators that ONNX defines by others, of which lamina lacks one
    lacking = [n for n, w in found.items() if "lamina has no operator" in w]
    others = {n: w for n, w in found.items() if n not in (*random, *lacking)}
    assert not others
    passed = len(known) - len(found)
    print(f"{passed} node cases pass; {len(random)} drop numbers at random")
    assert passed >= AT_LEAST


SOME = (
    "add", "matmul_2d", "gemm_all_attributes", "softmax_axis_1", "layer_normalization_2d_axis0",
    "batchnorm_example_training_mode", "nesterov_momentum", "adam", "adagrad_multiple",
    "sce_mean_weight_ii", "nllloss_NCd1d2_weight", "gather_2d_indices",
    "reduce_log_sum_exp_default_axes_keepdims_random", "slice_neg_steps", "where_example",
    "pow_types_int64_float32",
    "attention_4d", "instancenorm_example", "rms_normalization_2d_axis1", "logsoftmax_axis_0",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "loops"])
def test_some_node_cases(backend: str) -> None:
    some = [case for case in cases() if case.name.removeprefix("test_") in SOME]
    assert len(some) >= 16
    assert dict(failing(backend, some)) == {}


@pytest.mark.slow
def test_a_wrong_answer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from lamina.core.graph.graph import make
    from lamina.core.interop import values

    wrong = {**values.OPERATORS, ("", "Add"): lambda call: make("subtract", *call.nodes())}
    monkeypatch.setattr("lamina.core.interop.tracer.OPERATORS", wrong)
    (case,) = (case for case in cases() if case.name == "test_add")
    assert dict(failing("numpy", [case]))["test_add"].startswith("AssertionError")


@pytest.mark.slow
def test_onnx_s_own_runner_takes_it() -> None:
    from onnx.backend.test.runner import Runner

    cases()  # without their warnings
    runner = Runner(lm.OnnxBackend, __name__)
    runner.include("^test_(gemm|relu|softmax|leakyrelu)_.*cpu$")
    suite = runner.test_suite
    result = unittest.TestResult()
    suite.run(result)
    ran = result.testsRun - len(result.skipped)
    assert ran >= 10
    assert result.failures == []
    assert result.errors == []


def test_a_gradient_is_a_part_of_a_graph() -> None:
    helper = onnx.helper
    nodes = [
        helper.make_node("Mul", ["a", "b"], ["c"]), helper.make_node("Add", ["c", "a"], ["d"]),
        helper.make_node(
            "Gradient", ["a", "b"], ["da", "db"], domain="ai.onnx.preview.training",
            xs=["a", "b"], y="d",
        ),
    ]  # fmt: skip
    info = [helper.make_tensor_value_info(n, 1, []) for n in ("a", "b", "d", "da", "db")]
    graph = helper.make_graph(nodes, "g", info[:2], info[2:])
    sets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.preview.training", 1)]
    model = helper.make_model(graph, opset_imports=sets)
    made = lm.OnnxBackend.run_model(model, [np.float32(2.0), np.float32(5.0)], backend="numpy")
    assert [float(each) for each in made] == [12.0, 6.0, 2.0]


@pytest.mark.slow
def test_a_single_node_and_devices() -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    (made,) = lm.OnnxBackend.run_node(node, [np.float32([-1.0, 2.0])], backend="numpy")
    assert made.tolist() == [0.0, 2.0]
    assert lm.OnnxBackend.supports_device("CPU")
    assert not lm.OnnxBackend.supports_device("TPU")
    names = lm.OnnxBackend.operators()
    assert {"Gemm", "ai.onnx.ml.Scaler", "ai.onnx.preview.training.Adam"} <= set(names)


def test_what_is_not_compatible() -> None:
    helper = onnx.helper
    port = helper.make_tensor_value_info
    for kind, dtype, compatible in (("Relu", 1, True), ("Cos", 1, False), ("Relu", 10, False)):
        graph = helper.make_graph(
            [helper.make_node(kind, ["x"], ["y"])], "g",
            [port("x", dtype, [2])], [port("y", dtype, [2])],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        assert lm.OnnxBackend.is_compatible(model) is compatible
    graph = helper.make_graph(
        [helper.make_node("Cos", ["x"], ["y"])], "g", [port("x", 1, [2])], [port("y", 1, [2])]
    )
    model, x = helper.make_model(graph), np.float32([1.0, 2.0])
    with pytest.raises(lm.CheckpointError, match=r"\(Cos -> y\): lamina has no operator 'Cos'"):
        lm.OnnxBackend.run_model(model, [x], backend="numpy")
