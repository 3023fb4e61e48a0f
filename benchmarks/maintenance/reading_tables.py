"""How long it takes to read tables into arrays, and how much memory, beside DuckDB itself.

    python benchmarks/maintenance/reading_tables.py [--rows 200000] [--parquet-rows 5000000]

Each reading is a process of its own, in turns; memory is the process's peak above what it has when
everything is imported. The aim: 1.5 times DuckDB's own time, and twice the arrays' size.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CHILD = """
import json, sys, time
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024
import duckdb, numpy, numpy.ma, lamina as lm
from lamina.core.data import opening, texts  # what `load` would import
duckdb.connect().close()
before, start = peak(), time.perf_counter()
if sys.argv[1] == "duckdb":
    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false")
    found = connection.execute(f"FROM '{sys.argv[2]}'").fetchnumpy()
    size = sum(array.nbytes for array in found.values())
else:
    found = lm.datasets.load(sys.argv[2])
    size = found.x_train.nbytes + found.x_test.nbytes
print(json.dumps([time.perf_counter() - start, peak() - before, size]))
"""


def written(path: Path, rows: int, columns: int) -> None:
    """A table of random numbers, the label among them."""
    import duckdb

    told = ", ".join(f"round(random() * 200 - 100, 4) AS x{i}" for i in range(columns))
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT {told} FROM range({rows})) TO '{path}'")


def measured(who: str, path: Path) -> tuple[float, float, float]:
    """Seconds, bytes at the peak, and bytes of the arrays."""
    words = [sys.executable, "-c", CHILD, who, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    seconds, memory, size = json.loads(done.stdout)
    return seconds, memory, size


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=200_000, help="of the CSV, of 50 columns")
    parser.add_argument("--parquet-rows", type=int, default=5_000_000, help="of 30; 0: no file")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = [(Path(folder) / "table.csv", given.rows, 50)]
        if given.parquet_rows:
            files.append((Path(folder) / "table.parquet", given.parquet_rows, 30))
        for path, rows, columns in files:
            written(path, rows, columns)
            found: dict[str, list[tuple[float, float, float]]] = {"duckdb": [], "lamina": []}
            for _ in range(given.runs):
                for who, runs in found.items():
                    runs.append(measured(who, path))
            print(f"{path.name}: {rows:,} x {columns}, {path.stat().st_size / 1e6:.0f} MB")
            for who, runs in found.items():
                seconds = statistics.median(run[0] for run in runs)
                memory, size = max(run[1] for run in runs), runs[0][2]
                spread = f"{min(run[0] for run in runs):.2f} to {max(run[0] for run in runs):.2f}"
                print(
                    f"  {who:<8} {seconds:.2f} s ({spread}), peak {memory / 1e6:.0f} MB,"
                    f" {memory / size:.2f} times the arrays' {size / 1e6:.0f} MB"
                )
            times = [statistics.median(run[0] for run in runs) for runs in found.values()]
            print(f"  lamina takes {times[1] / times[0]:.2f} times as long")


if __name__ == "__main__":
    main()
