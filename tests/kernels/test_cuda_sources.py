"""The compile gate: NVRTC takes every source, for every architecture, without a driver.

That a kernel compiles, spills nothing and has the signature that its launches are held to is all
that is said here; nothing runs.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import nvrtc
import pytest
from cuda_host import compiling
from cuda_host.fixtures import missing
from lamina.kernels.cuda import activations, sources
from lamina.kernels.cuda.launch import checked
from lamina.kernels.cuda.sources import FILES, HERE, Source, entries

ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100")
SWEEP = [
    pytest.param(dtype, architecture, files, id=f"{dtype}-{architecture}-{len(files)}",
                 marks=pytest.mark.slow if files is FILES else ())
    for dtype, architecture, files in (
        *((d, a, FILES) for d in ("float32", "float64") for a in ARCHITECTURES),
        ("float32", "sm_90", ("layers", "rows", "updates")),
    )
]  # fmt: skip


needs_compiler = pytest.mark.usefixtures("compiler")


@pytest.fixture
def compiler() -> None:
    if nvrtc.library() is None:
        missing(nvrtc.MISSING)


def declared(source: Source) -> str:
    """The kernels once more, as they were read: another signature is refused by the compiler."""
    lines = []
    for entry in source.entries.values():
        taken = ", ".join(p.declared for p in entry.parameters)
        lines.append(f'extern "C" __global__ void {entry.name}({taken});\n')
    return "".join(lines)


def faults(source: Source, architecture: str) -> str:
    threads = {entry.name: entry.threads for entry in source.entries.values()}
    code = source.code + declared(source)
    return nvrtc.faults(code, architecture, source.options, threads)


@pytest.mark.long
@needs_compiler
@pytest.mark.parametrize(("dtype", "architecture", "files"), SWEEP)
def test_every_source_compiles(dtype: str, architecture: str, files: tuple[str, ...]) -> None:
    given = [sources.source(file, dtype) for file in files]
    for source in given:
        assert len(source.entries) == source.text.count("__global__") > 0
    with ThreadPoolExecutor(2) as pool:  # it lets go of the interpreter
        assert "".join(pool.map(partial(faults, architecture=architecture), given)) == ""


PLANTED = {
    "spill": (
        "__launch_bounds__(1024) spill(real* x) {\n  real all[64];\n"
        "  for (int i = 0; i < 64; i++) all[i] = x[i * blockDim.x];\n"
        "  for (int k = 0; k < 3; k++) for (int i = 0; i < 64; i++) all[i] += all[63 - i] * all[0];"
        "\n  for (int i = 0; i < 64; i++) x[i * blockDim.x] = all[i];\n}",
        "spills|registers",
    ),
    "unknown name": ("unknown(real* x) { x[0] = expq(x[0]); }", "expq"),
    "unused": ("unused(real* x) { int left = 3; x[0] = 1; }", "never referenced"),
    "host function": ("host(real* x) { printf_s(x); }", "printf_s"),
}  # fmt: skip


@needs_compiler
@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_refused(fault: str) -> None:
    text, words = PLANTED[fault]
    source = Source("planted", "float64", f'extern "C" __global__ void {text}\n')
    assert re.search(words, faults(source, "sm_90"))


@needs_compiler
@pytest.mark.parametrize(
    ("given", "told"),
    [("real* z, const real* bias", "const real* z, const real* bias"),
     ("long long n, int columns", "int n, int columns"), ("real alpha)", "double alpha)")],
)  # fmt: skip
def test_another_signature_is_refused(given: str, told: str) -> None:
    """What launches are held to is what the compiler reads."""
    source = sources.source("layers", "float32")
    read = entries(source.text.replace(given, told))
    taken = {e.name: ", ".join(p.declared for p in e.parameters) for e in read}
    lines = (f'extern "C" __global__ void {name}({each});\n' for name, each in taken.items())
    made = nvrtc.compiled(source.code + "".join(lines), "sm_90", source.options)
    assert not made.succeeded


def test_no_number_is_added_up_by_an_atomic_operation() -> None:
    """The order of such a sum is another one in every run; blocks may be counted."""
    assert forbidden("atomicAdd(x, 1.0f)") == forbidden("atomicAdd(count, 1)") == ["atomicAdd"]
    assert forbidden('asm("red.global.add.f32")') == ["asm", "red."]
    for path in HERE.glob("*.cu*"):
        assert forbidden(path.read_text()) == [], path.name


def forbidden(text: str) -> list[str]:
    """What a text adds up in no order of its own."""
    return re.findall(r"\batomic(?!Inc\(arrived)\w*|\bred\.|\basm\b", text)


def test_every_kernel_has_one_name_and_one_file() -> None:
    names = [name for file in FILES for name in sources.source(file, "float32").entries]
    assert len(names) == len(set(names)) > 30
    assert {p.stem for p in HERE.glob("*.cu")} == set(FILES)
    for name in names:
        assert name in sources.source(sources.file_of(name), "float64").entries
    with pytest.raises(LookupError):
        sources.file_of("no_kernel")


def test_arguments_are_held_to_the_signature() -> None:
    entry = sources.source("updates", "float32").entries["sgd"]
    with pytest.raises(TypeError, match="takes p, gradient"):
        checked(entry, "float32", (1, 2))
    entry = sources.source("rows", "float32").entries["softmax_rows"]
    with pytest.raises((ValueError, OverflowError)):
        checked(entry, "float32", (None, None, 2**40, 3, False))
    with pytest.raises(ValueError, match="columns"):
        checked(entry, "float32", (None, None, 2, 3.5, False))


def test_activations_are_written_once() -> None:
    """Their formulas are the references', executed: CUDA C++ has no second copy."""
    text = activations.code("float32")
    for name in activations.CODES.keys() - {"linear"}:
        assert text.count(f"real {name}_of(") == text.count(f"real {name}_backward_of(") == 1


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_flat_segments_are_read_and_written_as_vectors(dtype: str) -> None:
    """16 bytes at once: the compiler makes no vector of what only lies side by side."""
    source = sources.source("updates", dtype)
    made = nvrtc.compiled(source.code, "compute_90", source.options)
    parts = re.split(r"\.entry (\w+)", made.assembly)[1:]
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        arrays = [p for p in source.entries[name].parameters if p.pointer and p.type == "real"]
        for sign, written in (("ld", False), ("st", True)):
            some = [p for p in arrays if p.constant is not written]
            assert len(re.findall(rf"{sign}\.global\S*\.v[24]", text)) >= len(some), name


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a skip with the reason; where the gates are required, a failure."""
    monkeypatch.setattr(compiling, "compiler", lambda: None)
    told = compiling.obstacle()
    assert told
    assert "ziglang" in told or "Linux" in told
    monkeypatch.delenv(compiling.REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="ziglang"):
        missing(compiling.MISSING)
    monkeypatch.setenv(compiling.REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="ziglang"):
        missing(compiling.MISSING)
