"""`python -m cupy_fake MODULE ...`: a program with the fake in the place of CuPy."""

from __future__ import annotations

import runpy
import sys

import cupy_fake

with cupy_fake.installed():
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
