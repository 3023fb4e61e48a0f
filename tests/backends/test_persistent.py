"""Persistent kernels on the strict fake, their sources executed on the CPU; none ran on a GPU."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import lamina as lm
import numpy as np
import nvrtc
import pytest
import support
from cuda_host.fixtures import missing
from lamina.backends import fused_steps, persistent
from lamina.core import sources
from lamina.kernels import thresholds
from lamina.kernels.cuda.persistent import KERNEL, STATIC, Text, Unwritten

cupy_fake = pytest.importorskip("cupy_fake", reason="CuPy's package is not installed")
MOST = 227 << 10  # bytes that the threads of a block share on Hopper
RATES = lm.schedules.Exponential(0.02, 5, 0.9)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The backend on the fake, for which every step that fits is done by one block."""
    monkeypatch.setattr(thresholds, "PERSISTENT_FLOPS", np.inf)
    monkeypatch.setattr(sources, "POLITE_SECONDS", np.inf)  # runs get longer on any machine
    with cupy_fake.installed():
        yield lm.get_backend("cupy")


@pytest.fixture
def capturing(device: Any) -> Any:
    """The same with captured steps alone."""
    return type(device)(0, persistent=False)


def fitted(model: lm.Sequential, x: Any, y: Any, **more: Any) -> list[Any]:
    """What a training tells and leaves; 42 rows in batches of 8 end in one of two."""
    told = model.fit(x, y, **{"epochs": 3, "batch_size": 8, "verbose": 0} | more).history
    state = [model.state.read(name) for name in model.state.layout.segments if name != "gradients"]
    return [np.array(values) for values in told.values()] + state


def plain(backend: Any, **changes: Any) -> list[Any]:
    return fitted(support.classifier(backend, **changes), *support.classes(42))


def own_layer_and_loss(backend: Any) -> list[Any]:
    layers = [lm.Dense(40, "tanh"), lm.LayerNorm(), support.Scale(), lm.BatchNorm(), lm.Dense(2)]
    model = support.classifier(
        backend, layers=layers, loss=support.huber, metrics=(),
        optimizer=lm.SGD(RATES, average=lm.EMA(0.9)),
    )  # fmt: skip
    return fitted(model, *support.regression(42))


def two_classes(backend: Any) -> list[Any]:
    layers = [lm.Dense(300, "gelu"), lm.Dense(1, "sigmoid")]  # rows longer than a block
    rule = lm.SGD(0.1, momentum=0.9, nesterov=True)
    model = support.classifier(backend, layers=layers, loss="binary_cross_entropy", optimizer=rule)
    return fitted(model, *support.binary(42))


def squares(backend: Any) -> list[Any]:
    layers = [lm.Dense(5, "elu"), lm.Dense(2)]
    model = support.classifier(
        backend, layers=layers, loss="mean_squared_error", metrics=(), optimizer=lm.NAdam(RATES)
    )
    return fitted(model, *support.regression(42), batch_size=7)  # no smaller last batch: passes


TRAININGS = {one.__name__: one for one in (plain, own_layer_and_loss,
                                           two_classes, squares)}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(
    "name", [n if n == "plain" else pytest.param(n, marks=pytest.mark.slow) for n in TRAININGS]
)
def test_one_block_trains_as_captured_steps_do(name: str, device: Any, capturing: Any) -> None:
    """In float64 to rounding, and twice to the bit, though orders of threads are others.

    Layers of all other kinds, dropout and weights of rows: `test_conformance.py`, on a GPU too.
    """
    heard: list[str] = []
    cupy_fake.log.append(heard)
    found = TRAININGS[name](device)
    cupy_fake.log.remove(heard)
    assert 2 < Counter(heard)[KERNEL] < 16  # launches, for 15 full batches or 18
    wanted = TRAININGS[name](capturing)
    agree(found, wanted)
    again = TRAININGS[name](device)
    assert [a.tobytes() for a in again] == [a.tobytes() for a in found]


def agree(found: list[Any], wanted: list[Any]) -> None:
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.long
def test_float32_to_its_rounding(device: Any, capturing: Any) -> None:
    for one, other in zip(
        plain(device, dtype="float32"), plain(capturing, dtype="float32"), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def program(**changes: Any) -> Any:
    """That of a training in batches of eight."""
    model = support.classifier("numpy", **changes)
    model.fit(*support.classes(16), batch_size=8, verbose=0)
    return next(
        b.program for free in model.session._free.values() for b in free if b.program.update
    )


@pytest.mark.slow
def test_bits_do_not_depend_on_how_a_run_is_cut(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pace of runs goes by the clock: one step at a time is the same kernel."""
    wanted = plain(device)
    seen = []
    real = fused_steps.FusedStepsBinding._many

    def single(binding: Any, rows: int, steps: int) -> int:
        seen.append(steps)
        return real(binding, rows, min(steps, 1))

    monkeypatch.setattr(fused_steps.FusedStepsBinding, "_many", single)
    assert [a.tobytes() for a in plain(device)] == [a.tobytes() for a in wanted]
    assert max(seen) > 1


@pytest.mark.long
def test_inside_a_run_there_is_one_launch(device: Any) -> None:
    from cupy_steps import again, dense, training

    binding, _ = training(dense(8, 10), 8, 4, backend=device)
    before, heard = Counter(cupy_fake.counts), []  # type: ignore[var-annotated]
    cupy_fake.log.append(heard)
    again(binding, 4, 24)
    cupy_fake.log.remove(heard)
    spent = cupy_fake.counts - before
    assert heard.count(KERNEL) == 1
    assert heard[-1] == KERNEL  # before it the numbers of the run are written
    assert (spent["graphs"], spent["allocations"]) == (0, 0)
    assert (spent["uploads"], spent["downloads"]) == (2, 2)


@pytest.mark.slow
def test_divergence_stops_at_numpys_step_with_its_words(device: Any) -> None:
    x, y = support.classes(42)
    told = []
    for backend in ("numpy", device):
        model = support.classifier(backend, optimizer=lm.SGD(1e250))
        with pytest.raises(lm.DivergenceError) as caught:
            model.fit(x, y, epochs=5, batch_size=8, shuffle=False, verbose=0)
        told.append((str(caught.value), model.state.step))
        assert all(np.isfinite(w).all() for w in model.get_weights())
    assert told[0] == told[1]


FAULTS = {
    # what is replaced in the kernel, by what
    "no barrier after a step's rows": (r"(begin_step\(.*\);\n +)__syncthreads\(\);", r"\1"),
    "no barrier after a product": (r"(product<.*\);\n +)__syncthreads\(\);", r"\1"),
    "no barrier between image and state": (r"__syncthreads\(\);  // the image is there.*", ""),
    "an update after a stop": (r"\*going = fine;", "*going = true;"),
    "parameters that are not written back": (r"  copy\(\(double\*\)\(memory \+ 0\), flat0.*", ""),
    "a seed that nobody reads": (r"\(memory \+ \d+\) = seed;", "(memory) = seed;"),
    "tiles that overlap": (r"i \* tall", "i"),
    "memory behind its end": (r"copy\(counters, \(long long\*\)\(memory \+ \d+\)",
                              "copy(counters, (long long*)(memory + {end})"),
}  # fmt: skip
QUICK = {"no barrier after a step's rows"}


def with_dropout(backend: Any) -> list[Any]:
    layers = [lm.Dense(40, "relu"), lm.Dropout(0.5), lm.Dense(30, "tanh"), lm.Dense(3, "softmax")]
    found = plain(backend, layers=layers)
    model = support.classifier(backend, layers=layers, optimizer=lm.SGD(1e250))
    with pytest.raises(lm.DivergenceError):
        model.fit(*support.classes(42), epochs=5, batch_size=8, shuffle=False, verbose=0)
    return [*found, model.state.read("parameters")]


@pytest.mark.long
@pytest.mark.parametrize(
    "fault", [f if f in QUICK else pytest.param(f, marks=pytest.mark.slow) for f in FAULTS]
)
def test_a_planted_fault_is_found(fault: str, device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = with_dropout(device)
    old, new = FAULTS[fault]
    real, seen = Text.kernel, []

    def planted(text: Text, *given: Any) -> Any:
        made = real(text, *given)
        code, count = re.subn(old, new.replace("{end}", str(made.bytes)), made.source.text)
        seen.append(count)
        return replace(made, source=replace(made.source, text=code))

    monkeypatch.setattr(Text, "kernel", planted)
    found = (AssertionError, RuntimeError, lm.DivergenceError, pytest.fail.Exception)
    with pytest.raises(found):
        agree(with_dropout(device), wanted)
    assert any(seen)


def metric(power: int) -> Any:
    """A metric of one's own, by another name each."""

    def off(y: Any, p: Any) -> Any:
        return (p * 0.5) * (power + 1.0)

    off.__name__ = f"off{power}"
    return off


def test_what_one_block_cannot_do_is_captured(device: Any) -> None:
    """No room, an expression, an output that is read, no update: no kernel."""
    one = program()
    assert persistent.written(one, 8, False, MOST) is not None
    assert persistent.written(one, 8, False, STATIC + 1000) is None
    assert persistent.written(replace(one, outputs={"p": 0}), 8, False, MOST) is None
    assert persistent.written(replace(one, update=()), 8, False, MOST) is None
    several = ("accuracy", *(metric(k) for k in range(4)))
    assert persistent.written(program(metrics=several), 8, False, MOST) is None  # sums: five
    with pytest.raises(Unwritten, match="cumsum"):
        persistent.Names().cumsum  # noqa: B018
    wide = program(layers=[lm.Dense(200), lm.Dense(200), lm.Dense(3, "softmax")])
    assert persistent.written(wide, 8, False, MOST) is None


@pytest.mark.slow
def test_a_kernel_that_the_device_refuses_is_told(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cupy_fake.machine, "SHARED_OPTIN", 99 << 10)
    monkeypatch.setattr(type(device), "shared_bytes", MOST)
    layers = [lm.Dense(60, "relu"), lm.Dense(60, "relu"), lm.Dense(3, "softmax")]
    with pytest.warns(RuntimeWarning, match="a persistent kernel cannot be loaded"):
        plain(device, layers=layers)


def test_explain_says_which_steps_are_persistent(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = support.classifier(device)
    x, y = support.classes(16)
    model.fit(x, y, batch_size=8, verbose=0)
    assert "persistent: cupy kernel" in str(lm.explain(model))
    monkeypatch.setattr(thresholds, "PERSISTENT_FLOPS", 0.0)
    model = support.classifier(device)
    model.fit(x, y, batch_size=8, verbose=0)
    assert "persistent" not in str(lm.explain(model))


GATE = [
    pytest.param(dtype, architecture, marks=pytest.mark.slow)
    for dtype, architecture in (
        ("float32", "sm_75"), ("float32", "sm_90"), ("float64", "sm_100"),
    )
]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(("dtype", "architecture"), GATE)
def test_a_persistent_kernel_compiles(dtype: str, architecture: str) -> None:
    """With the signature that its launch is held to, and so much memory of its own.

    It may spill a little around a power, which is a function that is called.
    """
    if nvrtc.library() is None:
        missing(nvrtc.MISSING)
    layers = [lm.Dense(20, "gelu"), lm.Dropout(0.5), lm.LayerNorm(), lm.Dense(3, "softmax")]
    one = program(dtype=dtype, layers=layers, optimizer=lm.AdamW(0.01, clip_norm=1.0))
    source = persistent.written(one, 8, True, MOST).source  # type: ignore[union-attr]
    (entry,) = source.entries.values()
    declared = ", ".join(p.declared for p in entry.parameters)
    code = f'{source.code}\nextern "C" __global__ void {entry.name}({declared});\n'
    made = nvrtc.compiled(code, architecture, source.options)
    assert made.succeeded
    assert "warning" not in made.log
    assert made.spilled[KERNEL] <= 64
    assert made.registers[KERNEL] <= 128
    (own,) = re.findall(r"(\d+) bytes smem", made.log)
    assert 1000 < int(own) <= STATIC
    shared, some = (len(re.findall(rf"\bld{kind}\.", made.assembly)) for kind in (".shared", ""))
    assert shared > some / 2  # the compiler knows where memory is
