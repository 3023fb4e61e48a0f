"""Forged and damaged model files by the thousand, loaded in a process that may take little memory.

Run as a program: file, seed, how many. Prints how many were refused, and how many went on; fails
with the first that raises anything but `CheckpointError`, or that cannot be trained for a step.
"""

from __future__ import annotations

import contextlib
import copy
import json
import random
import resource
import struct
import sys
import warnings
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
from lamina.core.checkpoint import digest

ROOM = 300 << 20  # bytes beyond what the process has when it begins
NUMBERS = [
    -1, 0, 1, 2, 3, 4, 7, 255, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63),
    10**13, 10**30, 10**400, 0.5, -0.0, 1e308, 1e-320, float("inf"), float("-inf"), float("nan"),
]  # fmt: skip
WORDS = [
    "", "x", "Dense", "Constant", "Cosine", "WarmUp", "SGD", "Lion",
    "LBFGS", "1.weight", "0.mean", "relu", "softmax", "float32", "int8",
    "mean_squared_error", "accuracy", "=1+1", "\x00", "²", "\ud800", "é" * 50,
]  # fmt: skip
OBJECTS: list[Any] = [
    {"class": "Constant", "value": 1e300}, {"class": "VarianceScaling", "gain": -1.0},
    {"class": "Cosine", "initial": 0.1, "steps": 5}, {"class": "Step", "initial": 1, "every": 1},
    {"class": "WarmUp", "steps": 10**30, "after": 0.1},
    {"class": "WarmUp", "steps": 1, "after": {"class": "Constant"}},
    {"class": "Dense", "units": 50_000}, {"class": "Dropout", "rate": 0.5},
    {"class": "Standardize"}, {"class": "RMSprop"}, {"function": "x"},
    {"class": "LBFGS", "iterations": 2}, {"class": "SWA", "start": 2**63 - 1}, {"class": "EMA"},
    {"class": "NAdam", "momentum_decay": 1e300},
    {"class": ["Dense"]}, {"class": {}}, {},
]  # fmt: skip


def value(chance: random.Random, depth: int = 0) -> Any:
    """Anything that JSON can say."""
    kind = chance.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return chance.choice(NUMBERS)
    if kind == 1:
        return chance.choice(WORDS)
    if kind == 2:
        return chance.choice([None, True, False])
    if kind == 3:
        return copy.deepcopy(chance.choice(OBJECTS))
    if kind == 4:
        return chance.randrange(-(10**6), 10**6)
    if kind == 5:
        return {chance.choice(WORDS): value(chance, depth + 1)}
    return [value(chance, depth + 1) for _ in range(chance.randrange(4))]


def places(told: Any) -> list[tuple[Any, Any]]:
    """Everything that can be replaced: (container, key)."""
    if isinstance(told, dict):
        pairs = list(told.items())
    elif isinstance(told, list):
        pairs = list(enumerate(told))
    else:
        return []
    found = [(told, key) for key, _ in pairs]
    for _, inner in pairs:
        found += places(inner)
    return found


def changed(told: Any, chance: random.Random) -> None:
    """Replaces, removes, repeats or wraps one value."""
    container, key = chance.choice(places(told))
    how = chance.randrange(8)
    if how == 0:
        del container[key]
    elif how == 1 and isinstance(container, list):
        container += [container[key]] * chance.randrange(1, 5)
    elif how == 2:
        container[key] = [container[key]]
    elif isinstance(container[key], int) and how < 6:
        container[key] = chance.choice(NUMBERS)
    else:
        container[key] = value(chance)


def forged(data: bytes, chance: random.Random) -> bytes:
    """A file with one or a few changes; most of them with a checksum that fits."""
    length = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])
    how = chance.randrange(10)
    if how == 0:  # bits, anywhere
        bad = bytearray(data)
        for _ in range(chance.choice((1, 2, 8))):
            bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        return bytes(bad)
    if how == 1:  # cut, or longer
        return data[: chance.randrange(len(data))] + b"\x00" * chance.choice((0, 9))
    if how == 2:  # the file's own header
        for _ in range(chance.randrange(1, 4)):
            changed(header, chance)
    elif how == 3:  # numbers that are none
        at = 4 * chance.randrange(len(body) // 4)
        body[at : at + 4] = chance.choice([b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\x01\0\0\0"])
    else:
        told = json.loads(header["__metadata__"]["model"])
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            changed(told, chance)
        text = json.dumps(told)
        if chance.randrange(20) == 0:  # nested as deep as the file is long
            deep = 60_000
            text = text.replace("null", "[" * deep + "]" * deep, 1)
        header["__metadata__"]["model"] = text
    with contextlib.suppress(Exception):  # where no checksum can be made, the old one stays
        tensors = {}
        for name, entry in header.items():
            if name != "__metadata__":
                kind = {"F32": "float32", "F64": "float64"}[entry["dtype"]]
                start, stop = entry["data_offsets"]
                tensors[name] = np.frombuffer(body[start:stop], kind).reshape(entry["shape"])
        header["__metadata__"]["digest"] = digest(tensors, header["__metadata__"]["model"])
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + bytes(body)


def tried(path: Path) -> str:
    """Loads a file and trains for a step; "refused" or "loaded". Raises nothing else."""
    try:
        model = lm.load(path, backend="numpy")
    except lm.CheckpointError:
        return "refused"
    rows = np.ones((3, *(model.features or ())))
    with contextlib.suppress(lm.LaminaError):  # a loss that fits no such labels
        model.predict(rows)
        model.fit(rows, np.zeros((3, model.n_outputs)), epochs=1, batch_size=3, verbose=0)
    return "loaded"


def main() -> None:
    source, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    data, chance = source.read_bytes(), random.Random(seed)
    warnings.simplefilter("ignore")
    target = source.with_name("forged.safetensors")
    assert tried(source) == "loaded"  # imports what it needs
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, taken + ROOM))
    counts = {"refused": 0, "loaded": 0}
    for number in range(count):
        target.write_bytes(forged(data, chance))
        try:
            counts[tried(target)] += 1
        except BaseException:
            print(f"number {number} of seed {seed}", file=sys.stderr)
            raise
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
