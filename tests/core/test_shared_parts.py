"""A file for each process: the same as one process with all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.core.command import jobs
from lamina.core.command.settings import Settings
from lamina.core.data.datasets import Dataset, load
from lamina.core.shared_parts import whole
from lamina.core.team import ALONE
from team_support import Threads, right, together

ROWS = 60


def table(folder: Path, ranks: int) -> list[Path]:
    """Words, dates and gaps, of which the last file alone has some; the second has one row."""
    rng = np.random.default_rng(0)
    lines = [
        f"{rng.normal():.3f},{'north' if row < 50 else 'south'},2024-0{1 + row % 9}-11,"
        f"{'' if row % 17 == 16 else row % 5},{'yes' if row < 45 and row % 3 else 'never'}"
        for row in range(ROWS)
    ]
    cuts = [0, 20, 21, ROWS][: ranks + 1] if ranks == 3 else [0, 20, ROWS]
    paths = [folder / f"part-{rank}.csv" for rank in range(ranks)]
    for path, start, stop in zip(paths, cuts, cuts[1:], strict=False):
        path.write_text("\n".join(["a,where,day,n,label", *lines[start:stop]]) + "\n")
    (folder / "one.csv").write_text("\n".join(["a,where,day,n,label", *lines]) + "\n")
    return paths


def assert_same(found: Dataset, wanted: Dataset) -> None:
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert found.class_names == wanted.class_names
    assert found.feature_names == wanted.feature_names
    assert found.encoding == wanted.encoding


def read(source: str, team: Any) -> Dataset:
    with whole(source, team) as place:
        return load(place, embed_from=None)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_parts_of_a_table_are_the_whole_table(ranks: int, tmp_path: Path) -> None:
    table(tmp_path, ranks)
    wanted = load(tmp_path / "one.csv")
    pattern = str(tmp_path / "part-{rank}.csv")
    for found in right(together(ranks, lambda team: read(pattern, team))):
        assert_same(found, wanted)


@pytest.mark.parametrize("ranks", [2, 3])
def test_parts_of_arrays_are_the_whole_arrays(ranks: int, tmp_path: Path) -> None:
    """The last class is in the last file alone."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(ROWS, 4)), np.arange(ROWS) * 3 // ROWS
    for rank, rows in enumerate(np.array_split(np.arange(ROWS), ranks)):
        np.savez(tmp_path / f"{rank}.npz", x=x[rows], y=y[rows])
    np.savez(tmp_path / "one.npz", x=x, y=y)
    wanted = load(tmp_path / "one.npz")
    for found in right(together(ranks, lambda team: read(str(tmp_path / "{rank}.npz"), team))):
        assert_same(found, wanted)
        assert found.class_names == ("0", "1", "2")


@pytest.mark.slow
def test_training_is_that_on_the_whole_file(tmp_path: Path) -> None:
    table(tmp_path, 2)
    chosen: dict[str, Any] = {
        "backend": "numpy", "epochs": 3, "recipe": "simple", "dtype": "float64", "batch_size": 16,
        "hidden": (5,),
    }  # fmt: skip

    def work(team: Any) -> dict[str, Any]:
        name = "one.csv" if team is ALONE else "part-{rank}.csv"
        settings = Settings(data=str(tmp_path / name), **chosen)
        return jobs.train(settings, lambda text: None, team=team, verbose=0)

    wanted = work(ALONE)
    found = right(together(2, work))[0]
    assert found["settings"]["data"].endswith("part-{rank}.csv")
    np.testing.assert_allclose(found["history"]["loss"], wanted["history"]["loss"], rtol=1e-10)
    assert found["test"] == pytest.approx(wanted["test"], rel=1e-10)
    json.dumps(found)


def refused(source: str, ranks: int = 2) -> list[str]:
    found = together(ranks, lambda team: read(source, team))
    assert all(isinstance(one, lm.BadInput) for one in found)
    return [str(one) for one in found]


def test_what_does_not_fit_is_refused_by_all(tmp_path: Path) -> None:
    _, second = table(tmp_path, 2)
    pattern = str(tmp_path / "part-{rank}.csv")
    second.write_text("a,elsewhere,day,n,label\n1,x,2024-01-11,2,yes\n")
    for said in refused(pattern):
        assert "part-1.csv" in said
        assert "elsewhere" in said
    second.unlink()
    for said in refused(pattern):
        assert said.startswith("rank 1 of 2: there is no file")
    np.savez(tmp_path / "0.npz", x=np.ones((3, 2)), y=np.ones(3))
    np.savez(tmp_path / "1.npz", x=np.ones((3, 4)), y=np.ones(3))
    for said in refused(str(tmp_path / "{rank}.npz")):
        assert said.startswith("x has the shape (3, 4) in 1.npz, and (3, 2) in 0.npz")
    np.savez(tmp_path / "1.npz", x=np.ones((3, 2)))
    for said in refused(str(tmp_path / "{rank}.npz")):
        assert said.startswith("1.npz has x, and 0.npz has x, y")
    for source in ("SELECT * FROM 'part-{rank}.csv'", str(tmp_path / "*-{rank}.csv")):
        assert "one file of each process" in refused(source)[0]


def test_without_ranks_a_file_of_each_is_refused() -> None:
    with pytest.raises(lm.BadInput, match="--distributed"), whole("part-{rank}.csv", ALONE):
        pass


def test_rows_of_each_are_joined_in_order() -> None:
    def work(team: Threads) -> np.ndarray:
        return team.joined(np.full((team.rank + 1, 2), team.rank))

    for found in right(together(3, work)):
        np.testing.assert_array_equal(found[:, 0], [0, 1, 1, 2, 2, 2])
    for found in together(2, lambda team: team.joined(np.ones((3, 2 + team.rank)))):
        assert isinstance(found, lm.BadInput)
        assert "(3, 2), (3, 3)" in str(found)
