"""The benchmark's tables at the widths that terminals have."""

from __future__ import annotations

import io

import pytest
from lamina.benchmarks import suite_table
from lamina.benchmarks.peers import table as peers
from rich.console import Console

from ..sample_result import sample

WIDTHS = (40, 60, 80, 90, 130)


def shown(width: int) -> list[str]:
    text = io.StringIO()
    suite_table.show(sample(), Console(file=text, width=width))
    return text.getvalue().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut(width: int) -> None:
    lines = shown(width)
    assert "…" not in "\n".join(lines)
    assert max(map(len, lines)) <= width
    for who in ("loops: loops", "numpy: vectorised", "numba: fused", "numba: compiled"):
        found = [line for line in lines if who in line]
        assert len(found) >= 3, who
        assert any("µs" in line or "ms" in line for line in found)
    for case in ("add 64", "784-128-10, batch 64", "logistic regression"):
        assert any(case in line for line in lines), case


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "there", "hidden"),
    [
        (130, ["GB/s", "GFLOP/s", "from–to", "ceiling", "×", "time"], None),
        (90, ["ceiling", "×", "time"], "from–to, GFLOP/s, GB/s"),
        (80, ["×", "time"], "from–to, GFLOP/s, GB/s, ceiling"),
        (60, ["×", "time"], "from–to, GFLOP/s, GB/s, ceiling"),
        (40, ["time"], "×, from–to, GFLOP/s, GB/s, ceiling"),
    ],
)
def test_the_least_important_numbers_go_first(
    width: int, there: list[str], hidden: str | None
) -> None:
    lines = shown(width)
    heads = [line for line in lines if line.strip().startswith("work")]
    assert len(heads) == 3
    assert all(name in head for head in heads for name in there)
    told = " ".join(" ".join(lines).split())
    if hidden is None:
        assert "No room for" not in told
    else:
        gone = set(told.split("No room for ")[1].split(" everywhere")[0].split(", "))
        assert gone == set(hidden.split(", "))


@pytest.mark.long
def test_a_work_of_several_rows_is_named_once() -> None:
    for width in WIDTHS:
        named = [line for line in shown(width) if "784-128-10, batch 64" in line]
        assert len(named) == 1


@pytest.mark.parametrize(("width", "spread"), [(40, False), (60, False), (80, True), (130, True)])
def test_peers_are_named_whole(width: int, spread: bool) -> None:
    rows = [row for row in sample().rows if row.kind == "training" and row.case.startswith("784-5")]
    text = io.StringIO()
    Console(file=text, width=width).print(peers.case_table(rows, width))
    lines = text.getvalue().splitlines()
    assert "…" not in text.getvalue()
    assert max(map(len, lines)) <= width
    assert ("low .. high" in text.getvalue()) == spread
    assert all(word in text.getvalue() for word in ("vectorised", "compile", "of lamina's"))
