"""Where tables come from: files, patterns, queries; and tables that memory is too small for."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.backends import state
from lamina.core.command import jobs, networks, predictions
from lamina.core.data import engine, opening, spill, stream, texts
from lamina.core.data.database import Chunked, Database, Stored, quoted
from lamina.kernels import memory
from lamina.kernels.memory import forget

pytestmark = pytest.mark.slow

duckdb = pytest.importorskip("duckdb")

QUERY = """
    SELECT i AS id, i * 0.5 AS size, CASE i % 3 WHEN 0 THEN 'Ulm' WHEN 1 THEN 'Bonn' ELSE 'Köln' END
    AS town, TIMESTAMP '2020-01-01' + INTERVAL (i) HOUR AS seen, i % 7 = 0 AS old,
    CASE WHEN i % 2 = 0 THEN 'p' ELSE 'q' END AS y FROM range({rows}) t(i)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for files, another for what is spilled; nothing is left in that."""
    spilled = tmp_path / "spilled"
    spilled.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spilled))
    return tmp_path


def made(folder: Path, name: str, rows: int = 60, options: str = "") -> Path:
    """A file of a table, as DuckDB writes it."""
    path = folder / name
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({QUERY.format(rows=rows)}) TO {quoted(str(path))} {options}")
    return path


def packed(folder: Path) -> Path:
    path = folder / "packed.csv.gz"
    path.write_bytes(gzip.compress(made(folder, "t.csv").read_bytes()))
    return path


def parted(folder: Path) -> Path:
    head, *lines = made(folder, "t.csv").read_text().splitlines(keepends=True)
    for name, some in (("part1.csv", lines[:20]), ("part2.csv", lines[20:])):
        (folder / name).write_text(head + "".join(some))
    return folder / "part*.csv"


SOURCES: dict[str, Callable[[Path], Any]] = {  # the same table in all formats
    "CSV": lambda folder: made(folder, "t.csv"),
    "packed": packed,
    "semicolons": lambda folder: made(folder, "s.csv", options="(DELIMITER ';')"),
    "TSV": lambda folder: made(folder, "t.tsv", options="(FORMAT CSV, DELIMITER '\t')"),
    "Parquet": lambda folder: made(folder, "t.parquet"),
    "JSON lines": lambda folder: made(folder, "t.jsonl", options="(FORMAT JSON)"),
    "a pattern": parted,
    "a query": lambda folder: f"SELECT * FROM {quoted(str(made(folder, 't.csv')))} ORDER BY id",
    "a query of a Parquet": lambda folder: f"from {quoted(str(made(folder, 't.parquet')))}",
}


@pytest.mark.parametrize("name", SOURCES)
def test_the_same_table_in_all_formats(folder: Path, name: str) -> None:
    csv, source = made(folder, "table.csv"), SOURCES[name](folder)
    wanted, data = lm.datasets.load(csv), lm.datasets.load(str(source))
    assert data.feature_names == wanted.feature_names == (
        "size", "seen elapsed", "seen weekday sin", "seen weekday cos", "seen hour sin",
        "seen hour cos", "old=true", "town=Bonn", "town=Köln", "town=Ulm",
    )  # fmt: skip
    assert data.class_names == ("p", "q")
    for found, array in zip(data, wanted, strict=True):
        np.testing.assert_allclose(found, array)
    x = wanted.encoding.features(str(source))
    np.testing.assert_allclose(x, data.encoding.features(csv))
    assert list((folder / "spilled").iterdir()) == []


def test_columns_of_parts_in_another_order(folder: Path) -> None:
    (folder / "a1.csv").write_text("x,y\n1,p\n2,q\n")
    (folder / "a2.csv").write_text("y;x\nr;four\nq;5\n")
    data = lm.datasets.load(str(folder / "a*.csv"), test_size=0, types="x=category")
    assert data.feature_names == ("x=1", "x=2", "x=5", "x=four")
    assert data.class_names == ("p", "q", "r")
    table = engine.open_table(str(folder / "a*.csv"))
    assert [table.place(row) for row in range(4)] == [
        "a1.csv, line 2", "a1.csv, line 3", "a2.csv, line 2", "a2.csv, line 3",
    ]  # fmt: skip
    (folder / "a3.csv").write_text("x,z\n1,p\n")
    with pytest.raises(lm.BadInput, match=r"a3.csv has other columns than a1.csv: y, z"):
        lm.datasets.load(str(folder / "a*.csv"))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("SELECT * FROM 'nowhere.parquet'", "the query cannot be answered"),
        ("SELECT 1 AS a, 2 AS y WHERE false", "the query has no rows"),
        ("SELECT 1; DROP TABLE t", "the query cannot be answered"),
        ("from rows", "the query cannot be answered"),
        ("*.csv", "no file is named like"),
        ("no.parquet", "there is no file"),
        ("no.arrow", "there is no file"),
    ],
)
def test_sources_that_are_none(
    folder: Path, source: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    rows = {"a": [1]}  # no variable of a program is a table
    assert rows
    with pytest.raises(lm.BadInput, match=says):
        lm.datasets.load(source)
    assert list((folder / "spilled").iterdir()) == []


def test_files_of_two_formats(folder: Path) -> None:
    made(folder, "t.csv")
    made(folder, "t.parquet")
    with pytest.raises(lm.BadInput, match="different formats"):
        lm.datasets.load(str(folder / "t.*"))


def test_arrow_files(folder: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import feather, parquet

    path = folder / "t.feather"
    feather.write_feather(parquet.read_table(made(folder, "t.parquet")), path)
    data, wanted = lm.datasets.load(path), lm.datasets.load(folder / "t.parquet")
    for found, array in zip(data, wanted, strict=True):
        np.testing.assert_allclose(found, array)


def test_a_job_on_a_query(folder: Path) -> None:
    path = made(folder, "t.parquet", 200)
    query, file = f"SELECT * EXCLUDE (id) FROM {quoted(str(path))}", folder / "m.safetensors"
    settings = jobs.Settings(
        query, hidden=(4,), epochs=2, backend="numpy", drop="seen", recipe="simple"
    )
    report = jobs.train(settings, lambda text: None, save=file, verbose=0)
    assert [one["kind"] for one in report["columns"]] == ["number", "category", "dropped", "yes/no"]
    more = jobs.Settings(query, epochs=3, backend="numpy")
    again = jobs.train(
        more, lambda text: None, save=file, resume=True, verbose=0, given={"data", "epochs"}
    )
    assert again["epochs_before"] == 2
    with pytest.raises(lm.BadInput, match="begun with a query, and none is run"):
        jobs.train(more, lambda text: None, save=file, resume=True, verbose=0, given={"epochs"})
    told = predictions.predict(lm.load(file, "numpy"), f"{query} WHERE town = 'Ulm' LIMIT 3")
    assert len(told.splitlines()) == 4


@pytest.mark.parametrize("name", ["CSV", "packed", "Parquet", "a query", "a pattern"])
def test_what_memory_is_too_small_for(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = str(SOURCES[name](folder))
    wanted = lm.datasets.load(source)
    for module in (texts, engine, opening):
        monkeypatch.setattr(module, "room", lambda: 100.0)
    with engine.open_table(source) as table:
        assert isinstance(table, Stored)
        assert [part.rows for _, part in table.batches(["size"])] == [60]
        assert table.series("town").text(2) == "Köln"
    data = lm.datasets.load(source)
    assert isinstance(data.x_train, np.memmap)
    assert list((folder / "spilled").iterdir()) == []
    for found, array in zip(data, wanted, strict=True):
        np.testing.assert_array_equal(found, array)
    monkeypatch.setattr(state, "MAPPED", 0)  # as a file that is as large
    monkeypatch.setattr(memory, "SCATTERED", 5)
    settings = networks.plain(jobs.Settings(hidden=(4,), backend="numpy", seed=1), data)
    answers = []
    for one in (data, wanted):
        model = networks.network(settings, one)
        model.fit(one.x_train, one.y_train, epochs=2, batch_size=8, verbose=0)
        answers.append(model.predict(one.x_test))
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-6)


def test_pieces_give_way(folder: Path) -> None:
    table = engine.open_table(made(folder, "t.csv"))
    assert isinstance(table, Chunked)
    assert len(table.series("size")) == 60
    table.once = True
    assert sum(part.rows for _, part in table.batches(["size"])) == 60
    assert table._chunks == [[]]


def test_words_among_numbers_far_down(folder: Path) -> None:
    rows = [f"{i},{i % 5},{'pq'[i % 2]}" for i in range(3000)] + ["late,1,p"]
    one, two = folder / "b1.csv", folder / "b2.csv"
    for path in (one, two):
        path.write_text("a,b,y\n" + "\n".join(rows if path is two else rows[:-1]) + "\n")
    data = lm.datasets.load(str(folder / "b*.csv"), test_size=0)
    assert data.feature_names == ("a", "b", "a=late")
    assert "b2.csv, line 3002" in data.plan[0].why
    assert data.x_train[[0, 2999, 3000, 6000], 0].tolist() == [0, 2999, 0, 1499]


def test_lines_longer_than_usual(folder: Path) -> None:
    path = folder / "long.csv"
    path.write_text(
        "a,y\n" + "".join(f"{i % 3}{'x' * 2_500_000},{'pq'[i % 2]}\n" for i in range(4))
    )
    with engine.open_table(path) as table:
        assert [len(table.series("a").text(row)) for row in range(4)] == [2_500_001] * 4


def test_answers_in_batches() -> None:
    with duckdb.connect() as connection:
        query = (
            "SELECT i::DOUBLE a, nullif(i, 1)::DOUBLE b, CASE WHEN i = 2 THEN NULL ELSE 'ä'||i"
            " END c, CASE WHEN i > 1 THEN TIMESTAMP '2020-01-01' END d, nullif(i = 0, i = 2) e,"
            " nullif(i, 0)::INTEGER f FROM range({}) t(i)"
        )
        ((a, b, c, d, e, f),) = stream.batches(connection, query.format(3))
        np.testing.assert_array_equal(a, [0.0, 1.0, 2.0])
        np.testing.assert_array_equal(b, [0.0, np.nan, 2.0])
        assert c == ["ä0", "ä1", None]
        assert [str(t)[:10] for t in d] == ["NaT", "NaT", "2020-01-01"]
        assert (e.dtype, e.tolist()) == (np.int8, [1, -1, 0])
        assert (f.dtype, f.tolist()) == (np.int32, [-1, 1, 2])
        whole = [part[0] for part in stream.batches(connection, query.format(300_000))]
        np.testing.assert_array_equal(np.concatenate(whole), np.arange(300_000.0))
        begun = stream.batches(connection, query.format(300_000))
        next(begun)
        begun.close()
        assert list(stream.batches(connection, query.format(0))) == []
        with pytest.raises(duckdb.Error, match="Conversion"):
            list(stream.batches(connection, "SELECT ('x' || i)::DOUBLE FROM range(3) t(i)"))
        late = "SELECT (CASE WHEN i < 299999 THEN '1' ELSE 'x' END)::DOUBLE FROM range(300000) t(i)"
        with pytest.raises((duckdb.Error, RuntimeError), match="Conversion"):
            list(stream.batches(connection, late))


def test_whole_numbers_as_words() -> None:
    with duckdb.connect() as connection:
        told = "SELECT CASE WHEN i < 3 THEN i * {0} END::BIGINT FROM range(5) t(i)"
        for step in (7, 2**60):  # counted, and sorted
            (((codes, words),),) = stream.batches(connection, told.format(step))
            assert codes.tolist() == [0, 1, 2, -1, -1]
            assert words == ("0", str(step), str(2 * step))


@pytest.mark.long
def test_a_parquet_of_numbers_is_not_kept(folder: Path) -> None:
    path = folder / "t.parquet"
    cells = "CASE WHEN i % 7 > 0 THEN i * 0.5 END AS a, i * 1.5 AS b, i % 3 AS y"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT {cells} FROM range(300000) t(i)) TO {quoted(str(path))}")
        connection.execute(f"COPY (FROM {quoted(str(path))}) TO {quoted(str(folder / 't.csv'))}")
    with engine.open_table(path) as table:
        assert isinstance(table, Stored)
    data, wanted = lm.datasets.load(path), lm.datasets.load(folder / "t.csv")
    assert data.class_names == wanted.class_names == ("0", "1", "2")
    assert data.feature_names == ("a", "a=(missing)", "b")
    for found, array in zip(data, wanted, strict=True):
        np.testing.assert_array_equal(found, array)
    damaged = bytearray(path.read_bytes())
    half = len(damaged) // 2
    path.write_bytes(damaged[:half] + bytes(400) + damaged[half + 400 :])
    with pytest.raises(lm.BadInput, match=r"t\.parquet cannot be read as a table"):
        lm.datasets.load(path)


def test_parquets_that_do_not_fit(folder: Path) -> None:
    def written(name: str, cells: str) -> None:
        with duckdb.connect() as connection:
            told = f"SELECT {cells} FROM range(30) t(i)"
            connection.execute(f"COPY ({told}) TO {quoted(str(folder / name))}")

    written("a1.parquet", "i * 0.5 AS a, i % 2 AS y")
    written("a2.parquet", "i * 0.5 AS a, i AS b, i % 2 AS y")
    with pytest.raises(lm.BadInput, match=r"a2.parquet has other columns than a1.parquet: b"):
        lm.datasets.load(str(folder / "a*.parquet"))
    written("b1.parquet", "i * 0.5 AS a, i % 2 AS y")
    written("b2.parquet", "'w' || i AS a, i % 2 AS y")
    with pytest.raises(lm.BadInput, match=r"b\*.parquet cannot be read as a table"):
        lm.datasets.load(str(folder / "b*.parquet"))
    written("c.parquet", "INTERVAL (i) HOUR AS a, [i] AS y")
    assert engine.open_table(folder / "c.parquet").series("a").text(2) == "7200"
    with pytest.raises(lm.BadInput, match="label 'y' holds lists"):
        lm.datasets.load(folder / "c.parquet")
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"a": [1], "A": [2], "y": [3]}), folder / "d.parquet")
    with pytest.raises(lm.BadInput, match="like 'A', but for the case"):
        lm.datasets.load(folder / "d.parquet")


def test_json_lines_of_several_types(folder: Path) -> None:
    path = folder / "t.jsonl"
    lines = [f'{{"a": {i}, "y": {i % 2}}}' for i in range(30_000)]
    path.write_text("\n".join([*lines, '{"y": 1, "a": "x", "late": 1}']))
    with engine.open_table(path) as table:
        assert table.columns == ("a", "y", "late")
        assert [table.series("a").text(row) for row in (1, 30_000)] == ["1", "x"]


def test_a_query_with_a_comment_and_a_pipe(folder: Path) -> None:
    query = f"SELECT * FROM {quoted(str(made(folder, 't.csv')))} -- all of it"
    with engine.open_table(query) as table:
        assert table.rows == 60
    os.mkfifo(folder / "pipe.csv")
    with pytest.raises(lm.BadInput, match="no regular file"):
        engine.open_table(folder / "pipe.csv")


def test_a_database_leaves_nothing(folder: Path) -> None:
    database = Database()
    told = database.connection.execute("SELECT current_setting('enable_progress_bar')").fetchall()
    assert told == [(False,)]  # nothing is written between the lines of --json
    database.keep("SELECT 1.5::DOUBLE AS c0")
    database.keep("SELECT 2.5::DOUBLE AS c0", first=False)
    assert database.count("disk.kept") == 2
    assert (database.folder / "table.duckdb").exists()
    database.close()
    assert list((folder / "spilled").iterdir()) == []


def test_spilled_arrays(folder: Path) -> None:
    array = spill.spilled(3, 2)
    array[:] = 1.0
    assert array.sum() == 6.0
    assert isinstance(array, np.memmap)
    assert list((folder / "spilled").iterdir()) == []
    assert spill.spilled(0, 2).shape == (0, 2)
    assert 1 << 20 < spill.room() <= spill.MOST


def test_reading_imports_duckdb_and_constructing_does_not() -> None:
    import subprocess
    import sys

    told = "import sys, lamina as lm; lm.datasets.load('moons'); print('duckdb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_options_as_words() -> None:
    from lamina.core.data.plan import parted_words, typed

    assert parted_words("NA, -") == ["NA", "-"]
    assert typed({"a": "number"}) == typed("a=number")
    assert typed(None) == {}
    with pytest.raises(lm.BadInput, match="name=kind"):
        typed("a")


def test_pages_of_a_file_are_given_back(folder: Path) -> None:
    def held() -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.split("RssFile:")[1].split()[0]) * 1024

    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell what memory files stand for")
    array = spill.spilled(1 << 16, 64)
    array[:] = np.arange(64.0)
    full = held()
    forget(array[:, :3])
    assert held() < full - array.nbytes // 2
    np.testing.assert_array_equal(array[[0, -1]], [np.arange(64.0)] * 2)
    np.save(folder / "a.npy", np.zeros(1000))
    mine = np.load(folder / "a.npy", mmap_mode="c")
    mine[:] = 1.0
    forget(mine)  # its writes are in no file
    forget(np.ones(3))
    assert mine.sum() == 1000.0


@pytest.mark.parametrize("problem", [AttributeError, ValueError])
def test_what_does_not_tell_its_free_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch, problem: type[Exception]
) -> None:
    def untold(name: str) -> int:
        raise problem(name)

    monkeypatch.setattr("os.sysconf", untold)
    (folder / "t.csv").write_text("n,y\n" + "1,a\n2,b\n" * 8)
    assert lm.datasets.load(folder / "t.csv", test_size=0).x_train.shape == (16, 1)
