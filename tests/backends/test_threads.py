"""How many cores an operation may use, and who decides it."""

from __future__ import annotations

import lamina as lm
import pytest
from lamina.backends import threads
from threadpoolctl import threadpool_info


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [pool["num_threads"] for pool in threadpool_info()]
    chosen = list(threads._chosen)
    try:
        for bad in (0, -1, 1.5, "two", True):
            with pytest.raises(lm.BadInput, match="set_threads takes a whole number from 1"):
                lm.set_threads(bad)  # type: ignore[arg-type]
        lm.set_threads(1)
        blas = [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]
        assert set(blas) == {1}
        monkeypatch.setenv("LAMINA_THREADS", "many")
        with pytest.raises(
            lm.BadInput, match="LAMINA_THREADS must be a whole number from 1, not 'many'"
        ):
            lm.get_backend("numpy")
    finally:
        lm.set_threads(max(before, default=1))
        threads._chosen[:] = chosen  # else all later tests would run with a number that was set
