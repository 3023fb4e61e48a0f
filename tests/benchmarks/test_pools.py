"""The spinning of BLAS threads is shortened before NumPy loads, and the caller's word stays."""

from __future__ import annotations

import pytest
import support

CODE = """
import os, sys
from lamina.benchmarks.pools import quiet_pools
if len(sys.argv) > 1:
    import numpy
quiet_pools()
print(os.environ.get("OPENBLAS_THREAD_TIMEOUT"), "numpy" in sys.modules)
"""


@pytest.mark.slow
def test_before_numpy() -> None:
    assert support.run_python(CODE, OPENBLAS_THREAD_TIMEOUT="7").split() == ["7", "False"]
    code = "import os; os.environ.pop('OPENBLAS_THREAD_TIMEOUT', None)\n" + CODE
    assert support.run_python(code).split() == ["20", "False"]
    assert support.run_python(code, "late").split() == ["None", "True"]


def test_the_command_line_has_not_loaded_numpy_by_then() -> None:
    code = "import sys, lamina.__main__; print('numpy' in sys.modules)"
    assert support.run_python(code).strip() == "False"
