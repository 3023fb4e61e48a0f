"""The processor that kernels are compiled for, as LLVM knows it."""

from __future__ import annotations

import llvmlite.binding as llvm

NAME: str = llvm.get_host_cpu_name()
_FEATURES = llvm.get_host_cpu_features()
VECTOR = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx") else 16  # bytes
AMD = NAME.startswith("znver")
