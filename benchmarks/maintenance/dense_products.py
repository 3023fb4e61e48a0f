"""The products of a network's dense layers, each as a share of what a large product reaches.

    python benchmarks/maintenance/dense_products.py [512-1024-512-20:256 ...] [--threads 1,2]

Networks are named as in `lamina bench peers`; products are measured inside native training steps.
LAMINA_THRESHOLDS=default measures with the thresholds that are built in.
"""

from __future__ import annotations

import argparse

from lamina.backends import threads
from lamina.benchmarks.dense_products import table
from lamina.benchmarks.networks import parse
from lamina.core.columns import table as columns

NETWORKS = ("512-1024-512-20:256", "1024-1024-1024-1024-10:256")


def main() -> None:
    """Prints a table for each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--threads", default="", help="Numbers such as 1,2; one and all if none.")
    given = parser.parse_args()
    counts = [int(part) for part in given.threads.split(",") if part]
    for name in given.networks:
        network = parse(name)
        print(network.case)
        print(columns(table(network, counts or sorted({1, threads.count()}))), flush=True)


if __name__ == "__main__":
    main()
