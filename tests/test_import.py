"""`import lamina` is cheap, and every public name is there when it is asked for."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import lamina as lm
import pytest
import support

HEAVY = (
    "numba", "llvmlite", "cupy", "scipy", "rich", "numpy", "typer", "safetensors", "threadpoolctl",
    "onnx", "onnxruntime",
)  # fmt: skip
LOADED = "import json, sys; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"


def loaded_after(code: str, **environment: str) -> set[str]:
    out = support.run_python(f"{code}\n{LOADED}", **environment)
    return set(json.loads(out.splitlines()[-1]))


def test_import_loads_nothing_heavy() -> None:
    loaded = loaded_after("import lamina")
    assert "lamina" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.slow
def test_the_names_of_a_model_load_no_library_that_only_others_need() -> None:
    found = loaded_after("import lamina as lm; lm.Sequential, lm.Dense, lm.Adam")
    more = found - loaded_after("import numpy")
    assert "lamina" in more
    assert more.isdisjoint({"decimal", "difflib", "fractions", "hashlib", "random", "secrets"})


def test_a_data_set_by_name_loads_nothing_that_reads_tables() -> None:
    modules = "print([m for m in sys.modules if m.startswith('lamina.core.data.')])"
    code = "import sys, lamina; lamina.datasets.load('digits'); " + modules
    found = support.run_python(code).splitlines()[-1]
    assert "lamina.core.data.datasets" in found
    assert not any(name in found for name in ("tables", "engine", "encoding", "plan", "opening"))


def test_looking_at_the_names_loads_nothing_either() -> None:
    assert loaded_after("import lamina; dir(lamina); lamina.__version__").isdisjoint(HEAVY)


def test_the_version_is_written_once() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "lamina.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", lm.__version__)


def test_a_bad_environment_does_not_break_the_import() -> None:
    bad = {"LAMINA_BACKEND": "nonsense", "LAMINA_THREADS": "many"}
    assert "lamina" in loaded_after("import lamina", **bad)


@pytest.mark.long
def test_training_on_a_table_loads_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    """From kept machine code, not even Numba's rules of types."""
    rows = "".join(f"{n % 7},{n % 5},{'yes' if n % 7 > n % 5 else 'no'}\n" for n in range(60))
    (tmp_path / "table.csv").write_text(f"a,b,kind\n{rows}")
    code = f"""
import json, sys
sys.argv = ["lamina", "train", {str(tmp_path / "table.csv")!r}, "--epochs", "2"]
from lamina.__main__ import main
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted(sys.modules)))
"""
    numba = {"LAMINA_BACKEND": "numba"}
    support.run_python(code, **numba)  # which compiles
    loaded = set(json.loads(support.run_python(code, **numba).splitlines()[-1]))
    assert {"lamina.kernels.kept", "duckdb"} <= loaded
    unused = {
        "scipy.optimize", "scipy.linalg", "scipy.special", "sklearn", "pandas", "cupy",
        "numba.np.arraymath", "numba.cpython.unicode", "lamina.core.interop", "matplotlib",
    }  # fmt: skip
    assert loaded.isdisjoint(unused)


@pytest.mark.slow
def test_training_on_numpy_loads_no_compiler_and_no_gpu() -> None:
    code = """
import lamina as lm
model = lm.Sequential([lm.Dense(2, activation="softmax")], "cross_entropy", backend="numpy")
model.fit([[0.0], [1.0]], [0, 1], batch_size=2, verbose=0)
"""
    loaded = loaded_after(code)
    assert "numpy" in loaded
    assert loaded.isdisjoint({"numba", "cupy", "scipy", "rich", "typer", "safetensors"})


@pytest.mark.slow
def test_importing_starts_no_probe() -> None:
    code = """
import threading
import lamina as lm
lm.Sequential, lm.ops, lm.backends
assert threading.active_count() == 1
"""
    assert loaded_after(code).isdisjoint({"numba", "cupy", "scipy", "rich"})


@pytest.mark.parametrize("name", sorted(lm.__all__))
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(lm, name) is not None
    assert name in dir(lm)


def test_the_contract_s_names() -> None:
    names = {
        "Sequential", "Dense", "Flatten", "Standardize", "Dropout", "initializers", "schedules",
        "SGD", "RMSprop", "Adam", "AdamW", "EarlyStopping", "Checkpoint", "load", "backends",
        "get_backend", "use_backend", "explain", "profile", "set_threads", "ops", "grad",
        "value_and_grad", "trace", "check_gradients", "datasets",
    }  # fmt: skip
    assert names <= set(lm.__all__)


def test_what_a_plug_in_needs_hangs_on_lamina_and_is_told() -> None:
    names = {
        "Backend", "Obstacle", "BackendStatus", "Kernel", "Program", "Instruction", "resolve",
        "Executable", "Binding", "State", "DataBlock", "Control", "check_backend",
    }  # fmt: skip
    assert names <= set(lm.__all__)
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    section = readme.split("## Add a backend")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `lm\.(\w+)` \|", section, re.MULTILINE)) == names


def test_unknown_public_names() -> None:
    with pytest.raises(AttributeError, match="module 'lamina' has no attribute 'Dens'"):
        lm.Dens  # noqa: B018
    with pytest.raises(ImportError):
        from lamina import Dens  # noqa: F401
