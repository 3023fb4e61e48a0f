"""The oldest dependencies that pyproject.toml admits, as exact versions for pip, one a line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

for wanted in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]):
    found = re.fullmatch(r"([A-Za-z0-9_.-]+)>=([0-9.]+)(?:; .*)?", wanted)
    if found is None:
        raise SystemExit(f"{wanted!r} in pyproject.toml has no lower bound that could be tried")
    print("==".join(found.groups()))
