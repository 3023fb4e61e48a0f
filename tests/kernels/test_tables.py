"""What the tables say of operations is true, and their kernels take what the rows name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from lamina.kernels import vectorized
from lamina.kernels.cuda.naive import naive_kernels
from lamina.kernels.cuda.table import cuda_kernels
from lamina.kernels.loops import drivers
from lamina.kernels.loops.table import DRIVERS
from lamina.kernels.numba.elementwise import ELEMENTWISE
from lamina.kernels.numba.table import numba_kernels
from lamina.kernels.numpy.table import numpy_kernels
from lamina.kernels.op import Op, Sample
from lamina.kernels.ops import ACTIVATIONS, FUSABLE, OPS

Function = Callable[..., Any]
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def wrong_names(op: Op, function: Function, lead: int, source: Function | None) -> list[str]:
    """Where a kernel's parameters differ from its row's inputs and attributes.

    lead: parameters in front of the inputs. source: the function whose parameters count where the
    kernel takes any inputs; its own begin with the inputs, then the attributes that it takes.
    """
    parameters = list(inspect.signature(function).parameters.values())[lead:]
    kinds = {p.kind for p in parameters}
    found = []
    plain = [name.rstrip("?") for name in op.inputs]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        given = [p for p in parameters if p.kind in POSITIONAL]
        if [p.name for p in given] != plain:
            found.append(f"inputs {[p.name for p in given]}")
        optional = [p.name for p in given if p.default is None]
        if optional != [name.rstrip("?") for name in op.inputs if name.endswith("?")]:
            found.append(f"optional {optional}")
    elif isinstance(source, np.ufunc):
        if source.nin != len(plain):
            found.append(f"{source} takes {source.nin} inputs")
    elif source is not None:
        names = list(inspect.signature(getattr(source, "py_func", source)).parameters)
        wanted = [*plain, *op.attrs]
        if names[: len(plain)] != plain or not set(wanted) <= {*names, *op.attrs}:
            found.append(f"{source.__name__} takes {names}")
    keywords = {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    missing = op.attrs.keys() - keywords.keys()
    if missing and inspect.Parameter.VAR_KEYWORD not in kinds:
        found.append(f"no attributes {sorted(missing)}")
    for name in keywords.keys() - op.attrs.keys():
        if keywords[name].default is inspect.Parameter.empty:
            found.append(f"asks for {name}")
    return found


def kernels() -> Iterator[tuple[str, str, Function, int, Function | None]]:
    """(table, operation, function, parameters in front of the inputs, source)."""
    for name, op in OPS.items():
        yield "vectorized", name, op.reference, 1, None
    for name, (driver, loop) in DRIVERS.items():
        yield "loops", name, driver, 2, loop
    tables = {
        "numpy": numpy_kernels(), "numba": numba_kernels(), "cuda": cuda_kernels(),
        "naive": naive_kernels(),
    }  # fmt: skip
    for table, made in tables.items():
        for name, kernel in made.items():
            yield table, name, kernel.function, 1, kernel.source


@pytest.mark.parametrize(
    ("table", "name", "function", "lead", "source"),
    [pytest.param(*row, id=f"{row[0]}-{row[1]}") for row in kernels()],
)
def test_kernels_take_what_their_row_names(
    table: str, name: str, function: Function, lead: int, source: Function | None
) -> None:
    assert wrong_names(OPS[name], function, lead, source) == []


def test_loops_take_attributes_and_outputs_in_the_row_s_order() -> None:
    """They come by position: a swap of two numbers would go unseen."""
    checked = 0
    for name, op in OPS.items():
        driver, loop = DRIVERS[name]
        kind = driver.func if isinstance(driver, partial) else driver
        if kind not in (drivers.elements, drivers.whole):
            continue
        names, wanted = list(inspect.signature(loop).parameters), [*op.inputs, *op.attrs]
        assert names[: len(wanted)] == wanted, name
        rest = names[len(wanted) :]
        if kind is drivers.elements:
            assert rest in ([], ["alpha"]), name
        else:
            assert rest in (["out"], [f"new_{out}" for out in op.outputs]), name
        checked += 1
    assert checked > 45


def fine(out: Any, x: Any, *, low: float, high: float) -> None: ...
def misnamed(out: Any, x: Any, *, low: float, upper: float) -> None: ...
def forgetful(out: Any, x: Any, *, low: float) -> None: ...
def swapped(out: Any, b: Any, a: Any) -> None: ...
def required(
    out: Any, x: Any, weight: Any, bias: Any, *, activation: str, alpha: float
) -> None: ...
def generic(out: Any, *inputs: Any) -> None: ...


@pytest.mark.parametrize(
    ("name", "function", "source", "says"),
    [
        ("clip", fine, None, ""),
        ("clip", misnamed, None, "no attributes ['high']"),
        ("clip", misnamed, None, "asks for upper"),
        ("clip", forgetful, None, "no attributes ['high']"),
        ("add", swapped, None, "inputs ['b', 'a']"),
        ("dense", required, None, "optional []"),
        ("add", generic, np.negative, "takes 1 inputs"),
        ("subtract", generic, swapped, "swapped takes"),
        ("clip", generic, None, "no attributes ['high', 'low']"),
    ],
)
def test_a_planted_name_is_seen(
    name: str, function: Function, source: Function | None, says: str
) -> None:
    found = wrong_names(OPS[name], function, 1, source)
    assert (found == []) if not says else any(says in one for one in found)


# Facts of rows


def results(op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> tuple[Any, ...]:
    with np.errstate(all="ignore"):
        made = op.reference(np, *inputs, **attrs)
    return made if isinstance(made, tuple) else (made,)


def same_shape(sample: Sample) -> bool:
    """Whether all arrays have as many axes and rows, as `shared` asks before it cuts them."""
    arrays = [x for x in sample.inputs if isinstance(x, np.ndarray)]
    return len({(x.ndim, x.shape[:1]) for x in arrays}) == 1


def by_rows(op: Op, sample: Sample, attrs: dict[str, Any]) -> bool:
    """Whether the rows, computed in two parts, are those computed together."""
    whole = results(op, sample.inputs, attrs)
    parts = []
    for cut in (slice(0, 3), slice(3, None)):
        some = tuple(x[cut] if isinstance(x, np.ndarray) else x for x in sample.inputs)
        parts.append(results(op, some, attrs))
    for first, second, right in zip(*parts, whole, strict=True):
        joined = np.concatenate([first, second]) if np.ndim(right) else first + second
        if joined.shape != right.shape or not np.allclose(joined, right, rtol=1e-12):
            return False
    return True


@pytest.mark.parametrize("name", OPS)
def test_independent_is_what_the_reference_is(name: str) -> None:
    op, checked = OPS[name], 0
    for sample in op.samples(np.random.default_rng(6), "float64", 7):
        attrs = op.complete(sample.attrs)
        if not any(isinstance(x, np.ndarray) for x in sample.inputs) or not same_shape(sample):
            continue
        if op.independent is not None:
            assert by_rows(op, sample, attrs), (name, attrs)
            checked += 1
        shapes = {x.shape for x in sample.inputs if isinstance(x, np.ndarray)}
        if op.independent == "elements" and len(shapes) == 1:
            flat = tuple(x.reshape(-1) if isinstance(x, np.ndarray) else x for x in sample.inputs)
            pairs = zip(results(op, flat, attrs), results(op, sample.inputs, attrs), strict=True)
            for one, other in pairs:
                np.testing.assert_array_equal(one, other.reshape(-1))
    assert checked or op.independent is None


# A sum over all elements, and places that count.
@pytest.mark.parametrize("name", ["adamw_update", "clip_norm", "add_decay"])
def test_what_is_not_independent_is_not(name: str) -> None:
    op = OPS[name]
    assert op.independent is None
    sample = next(iter(op.samples(np.random.default_rng(6), "float64", 7)))
    assert not by_rows(op, sample, op.complete(sample.attrs))


def test_whole_rows_are_no_elements() -> None:
    for name, op in OPS.items():
        if op.independent == "rows" and name in ACTIVATIONS:
            sample = next(iter(op.samples(np.random.default_rng(6), "float64", 7)))
            flat = results(op, (sample.inputs[0].reshape(-1),), {})
            assert not np.allclose(flat[0], results(op, sample.inputs, {})[0].reshape(-1)), name


def test_activations_have_the_derivative_that_they_name() -> None:
    assert ACTIVATIONS == (
        "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "selu", "hard_sigmoid",
        "softsign", "gelu", "gelu_tanh", "silu", "mish", "hard_swish", "softmax", "log_softmax",
    )  # fmt: skip
    assert FUSABLE == (
        "linear", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "selu",
        "hard_sigmoid", "softsign",
    )  # fmt: skip
    for name in FUSABLE[1:]:  # a layer keeps its output alone
        assert (OPS[name].derivative, OPS[name].independent) == ("y", "elements")
    for name in ACTIVATIONS:
        assert OPS[f"{name}_backward"].inputs == ("gradient", OPS[name].derivative)
        assert OPS[f"{name}_backward"].attrs == OPS[name].attrs


def test_elementwise_loops_are_called_like_operations_of_elements() -> None:
    assert ELEMENTWISE
    for name in ELEMENTWISE:
        assert OPS[name].independent == "elements"


def test_every_reference_is_found_by_its_name() -> None:
    for name, op in OPS.items():
        assert op.reference.__name__ == ("absolute" if name == "abs" else name)
    with pytest.raises(LookupError, match="no reference is called 'nothing'"):
        vectorized.reference("nothing")


@pytest.mark.parametrize("name", ["dense", "dense_backward"])
def test_a_layer_leaves_activations_that_it_does_not_know_to_the_reference(name: str) -> None:
    for table in (numpy_kernels(), numba_kernels()):
        assert table[name].supports([], {"activation": "relu"})
        assert not table[name].supports([], {"activation": "written tomorrow"})
