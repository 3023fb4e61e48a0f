"""The machine: what `environment` says, what nvidia-smi says, and every backend's state."""

from __future__ import annotations

import shutil
import subprocess

from ..environment import environment
from .writing import argument, backend, write

if __name__ == "__main__":
    found = environment()
    if shutil.which("nvidia-smi"):
        done = subprocess.run(
            ["nvidia-smi", "-q"], capture_output=True, text=True, timeout=15, check=False
        )
        found["nvidia_smi"] = done.stdout
    write(argument(), found)
    print(f"{backend()!r}")
