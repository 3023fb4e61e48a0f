"""`pytest benchmarks/ --benchmark-only`: the suite's cases for pytest-benchmark."""

from __future__ import annotations

from lamina.benchmarks.pools import quiet_pools

quiet_pools()
