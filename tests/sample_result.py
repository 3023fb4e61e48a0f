"""A result with rows of every kind, made up by a simple model of a machine."""

from __future__ import annotations

import random
from typing import Any

from lamina.benchmarks.networks import NETWORKS
from lamina.benchmarks.result import Ceiling, Result, Row

ENVIRONMENT: dict[str, Any] = {
    "date": "2026-01-02 03:04:05 UTC", "processor": "Made-up processor", "cores": 2,
    "python": "3.11.7", "memory_gib": 23.5, "packages": {"numpy": "2.4.6", "numba": "0.68.1"},
    "pools": [{"internal_api": "openblas", "num_threads": 2}], "load": 0.25, "gpu": None,
    "backends": [
        {"name": "loops", "available": True, "device": "CPU", "reason": "", "fix": ""},
        {"name": "numpy", "available": True, "device": "CPU", "reason": "", "fix": ""},
        {"name": "numba", "available": True, "device": "CPU", "reason": "", "fix": ""},
        {"name": "cupy", "available": False, "device": "", "reason": "CuPy is not installed",
         "fix": "pip install cupy-cuda13x"},
    ],
}  # fmt: skip
OPS = {  # name: flops and bytes of an element
    "add": (1, 12), "sigmoid": (12, 8), "gelu": (20, 8), "softmax_cross_entropy": (25, 12),
    "dense": (256, 12), "adam_update": (14, 28), "sum": (1, 4), "relu_backward": (1, 12),
}  # fmt: skip
WAYS = (  # backend, variant, seconds of a call, share of the ceilings
    ("loops", "loops", 2e-7, 0.0004), ("numba", "compiled loops", 3e-7, 0.2),
    ("numpy", "vectorised", 1.5e-6, 0.25), ("numpy", "bound", 8e-7, 0.4),
    ("numba", "fused", 9e-7, 0.8),
)  # fmt: skip
STORY = (
    ("loops", "1 loops over examples and features", 0.0121),
    ("numpy", "2 loop over examples", 0.00213),
    ("numpy", "3 vectorised", 61e-6),
    ("numba", "4 fused", 24e-6),
)
TRAININGS = (
    ("loops", "loops", 5e-4, 900.0), ("numpy", "numpy", 35e-6, 1.02), ("numba", "numba", 2e-6, 0.9),
)  # fmt: skip
PEERS = (
    ("numpy by hand", "vectorised", 60e-6, 1.05), ("torch", "eager", 380e-6, 1.1),
    ("torch", "compile", 200e-6, 0.97), ("jax", "jit per step", 30e-6, 0.95),
    ("jax", "whole loop", 3e-6, 0.93),
)  # fmt: skip


def rounds(seconds: float, seed: str, spread: float = 0.04) -> tuple[float, ...]:
    """Seven rounds around a time."""
    rng = random.Random(seed)
    return tuple(seconds * (1.0 + spread * rng.random()) for _ in range(7))


def sample(*, ops: bool = True, peers: bool = True) -> Result:
    """The whole; without operations and story, or without peers, where not wanted."""
    ceilings = [Ceiling("numpy", "float32", 190.0, 17.0), Ceiling("numpy", "float64", 95.0, 17.0)]
    rows: list[Row] = []
    if ops:
        rows += [*story(), *operations(ceilings)]
    rows += trainings(peers)
    return Result("full", ENVIRONMENT, rows, ceilings)


def story() -> list[Row]:
    case = "logistic regression, 1000 x 64"
    rows = [
        Row("story", case, backend, variant, size=1000, unit="step", first_call=0.1,
            seconds=rounds(seconds, variant), flops=256_000, bytes=260_000)
        for backend, variant, seconds in STORY
    ]  # fmt: skip
    rows.append(
        Row("story", case, "cupy", "5 captured", size=1000, unit="step", status="skipped",
            reason="CuPy is not installed")
    )  # fmt: skip
    return rows


def operations(ceilings: list[Ceiling]) -> list[Row]:
    rows = []
    for name, (flops, moved) in OPS.items():
        for ceiling in ceilings:
            for size in (64, 1024, 65_536, 4_194_304):
                fast = max(flops / ceiling.product, moved / ceiling.copy) * 1e-9 * size
                fast /= 1.0 if size > 100_000 else 1.7  # in the caches
                for backend, variant, call, share in WAYS:
                    seed = f"{name} {size} {variant} {ceiling.dtype}"
                    own = share * random.Random(name + variant).uniform(0.5, 1.2)
                    guessed = variant == "loops" and size > 100_000
                    rows.append(
                        Row(
                            "op", f"{name} {size}", backend, variant, ceiling.dtype, size, op=name,
                            seconds=rounds(call + fast / own, seed), first_call=0.2,
                            flops=flops * size, bytes=moved * size, error=2e-7, allowed=1e-6,
                            measured=4096 if guessed else 0,
                        )
                    )  # fmt: skip
    wrong = Row(
        "op", "sum 1024", "numba", "kernels", size=1024, op="sum", error=0.25, allowed=1e-6,
        status="wrong", reason="off by 0.25 from the oracle, 1e-06 allowed",
    )  # fmt: skip
    left = Row(
        "op", "dense 64", "cupy", "fused", size=64, op="dense", status="skipped",
        reason="CuPy is not installed",
    )  # fmt: skip
    return [*rows, wrong, left]


def trainings(peers: bool) -> list[Row]:
    rows = []
    for network in NETWORKS:
        work = network.flops / 150e9
        for backend, variant, call, share in (*TRAININGS, *(PEERS if peers else ())):
            if backend != "loops" or network.flops < 1e6:
                rows.append(
                    Row(
                        "training", network.case, backend, variant, network.dtype, network.batch,
                        "step", seconds=rounds(call + work * share, network.case + variant),
                        flops=network.flops, bytes=24.0 * network.parameters,
                    )
                )  # fmt: skip
    return [*rows, *inferences(), *epochs()] if peers else rows


def inferences() -> list[Row]:
    rows = []
    ways = (
        ("numba", "lamina", 6e-6, 3e-8), ("onnxruntime", "one thread", 4e-6, 1e-7),
        ("scikit-learn", "MLPClassifier", 9e-5, 4e-8),
    )  # fmt: skip
    for size in (1, 256):
        case = f"64-32-10, {size} row{'s' * (size > 1)}, relu"
        for backend, variant, call, each in ways:
            rows.append(
                Row(
                    "inference", case, backend, variant, size=size, flops=4736.0 * size,
                    bytes=9400.0 + 300 * size, seconds=rounds(call + each * size, case + variant),
                )
            )  # fmt: skip
        rows.append(
            Row(
                "inference", case, "torch", "eager", size=size, status="skipped",
                reason="PyTorch is not installed: pip install torch",
            )
        )  # fmt: skip
    return rows


def epochs() -> list[Row]:
    case = "fashion-mnist, 784-128-10, batch 128, relu"
    return [
        Row("epoch", case, backend, variant, size=128, unit="epoch", seconds=rounds(took, backend))
        for backend, variant, took in (
            ("numba", "lamina", 0.21), ("scikit-learn", "MLPClassifier", 0.53),
        )
    ]  # fmt: skip
