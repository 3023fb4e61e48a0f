"""Logs of trainings, whose columns change."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import lamina as lm
import support


def logged(path: Path, *metrics: str, **options: Any) -> dict[str, list[float]]:
    x, y = support.binary(20)
    model = lm.Sequential(
        [lm.Dense(1, "sigmoid")], "binary_cross_entropy", lm.Adam(0.05), metrics, backend="numpy",
        seed=0,
    )  # fmt: skip
    log = lm.LogFile(path)
    return model.fit(x, y, batch_size=20, callbacks=[log], verbose=0, **options).history


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_log_goes_on_with_other_columns(tmp_path: Path) -> None:
    path, (x, y) = tmp_path / "l.csv", support.binary(20)
    first = logged(path, "accuracy")
    second = logged(path, validation_data=(x, y))  # another column, and one less
    third = logged(path, "mean_squared_error", "accuracy")
    fourth = logged(path)  # only fewer
    found = rows(path)
    columns = ["epoch", "step", "loss", "accuracy", "val_loss", "mean_squared_error"]
    assert all(list(row) == columns for row in found)
    for row, history in zip(found, (first, second, third, fourth), strict=True):
        for name in columns[2:]:
            assert row[name] == (str(history[name][0]) if name in history else "")
    assert [path.name for path in tmp_path.iterdir()] == ["l.csv"]


def test_a_log_with_more_columns_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.touch()
    path.chmod(0o640)
    logged(path, "accuracy")
    logged(path, "mean_squared_error")
    assert len(rows(path)) == 2
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_log_that_broke_off_goes_on_in_a_line_of_its_own(tmp_path: Path) -> None:
    for metrics in ((), ("mean_squared_error",)):
        path = tmp_path / f"{len(metrics)}.csv"
        logged(path, "accuracy")
        whole = path.read_bytes()
        path.write_bytes(whole.rstrip()[:-3])  # the last number is cut, and the end of the line
        logged(path, "accuracy", *metrics)
        assert [row["epoch"] for row in rows(path)] == ["1", "1"]
        path.write_bytes(b"")
        logged(path)
        assert list(rows(path)[0]) == ["epoch", "step", "loss"]


def test_lines_of_json_need_no_header(tmp_path: Path) -> None:
    path, (x, y) = tmp_path / "l.jsonl", support.binary(20)
    logged(path, "accuracy")
    told = logged(path, validation_data=(x, y))
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert list(found[0]) == ["epoch", "step", "loss", "accuracy"]
    assert found[1]["val_loss"] == told["val_loss"][0]
