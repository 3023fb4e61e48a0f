"""Calls of operations at random: as the operation table draws them, or changed in some places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from lamina.kernels import ops
from lamina.kernels.op import REQUIRED, Op, Sample
from lamina.kernels.spec import DTYPES, FLOATS, spec_of

Generator = np.random.Generator


def numbers(rng: Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Numbers of any dtype; whole ones mostly small, now and then as large as they get."""
    if dtype == "bool":
        return np.asarray(np.asarray(rng.random(shape)) < 0.5)
    if dtype in FLOATS:
        scaled = np.asarray(rng.standard_normal(shape)) * some(rng, [0.5, 2.0, 6.0])
        return np.asarray(scaled.clip(-20, 20), dtype=dtype)
    limits = np.iinfo(dtype)
    if rng.random() < 0.1:
        drawn = rng.integers(limits.min, limits.max, shape, dtype=np.dtype(dtype), endpoint=True)
        return np.asarray(drawn)
    return np.asarray(rng.integers(0 if limits.min == 0 else -2, 7, shape)).astype(dtype)


def shape_of(rng: Generator) -> tuple[int, ...]:
    """A small shape, empty axes among them."""
    return tuple(int(d) for d in rng.integers(0, 6, rng.integers(0, 5)))


def some(rng: Generator, choices: Sequence[Any]) -> Any:
    """One of them, as it is."""
    return choices[int(rng.integers(len(choices)))]


def whole(rng: Generator) -> Any:
    """A small whole number of Python's or NumPy's, and now and then none."""
    number = int(rng.integers(-3, 8))
    return some(rng, [number, number, number, np.int64(number), np.int32(number), 1.5, True, None])


def whole_numbers(rng: Generator) -> Any:
    """Several of them, or one."""
    several = [whole(rng) for _ in range(rng.integers(0, 5))]
    order = tuple(int(i) for i in rng.permutation(int(rng.integers(1, 4))))
    return some(rng, [tuple(several), several, whole(rng), order])


def real(rng: Generator) -> Any:
    """A number, and now and then none that fits."""
    return some(rng, [float(rng.random()), float(rng.random()), 2, 0.0, -1.0, np.nan, "x", np.inf])


ATTRIBUTES: dict[str, Callable[[Generator], Any]] = {
    "axis": whole_numbers, "axes": whole_numbers, "shape": whole_numbers, "starts": whole_numbers,
    "stops": whole_numbers, "steps": whole_numbers, "rows": whole, "classes": whole,
    "stream": lambda rng: some(rng, [0, 3, -1, 2**40, 1.5]),
    "dtype": lambda rng: some(rng, [*DTYPES, "float16", "complex64", None, np.float32, 7, "x"]),
    "activation": lambda rng: some(rng, [*ops.FUSABLE, "softmax", "swish", 3]),
    "decayed": whole, "start": whole, "stop": whole,
    **dict.fromkeys(
        ("keepdims", "transpose_a", "transpose_b", "bias", "input"),
        lambda rng: some(rng, [True, False, np.True_, 1, "yes"]),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One call to try. plain: a sample as the table draws it, which must not be refused."""

    op: Op
    sample: Sample
    plain: bool

    def __str__(self) -> str:
        shown = ", ".join(
            f"{spec_of(v)}" if isinstance(v, np.ndarray) else repr(v) for v in self.sample.inputs
        )
        return f"{self.op.name}({shown}, {self.sample.attrs})"


def draw(rng: Generator, op: Op) -> Call:
    """A sample of the table, changed in one or more places or not at all; or all of it random."""
    dtype, rows = some(rng, FLOATS), int(rng.integers(0, 9))
    sample = some(rng, list(op.samples(rng, dtype, rows)))
    inputs, attrs = list(sample.inputs), dict(sample.attrs)
    how = rng.random()
    if how < 0.2:
        return Call(op, sample, True)
    for at, value in enumerate(inputs):
        if isinstance(value, np.ndarray) and rng.random() < (0.3 if how < 0.8 else 0.9):
            inputs[at] = changed(rng, value, wild=how >= 0.8)
    for name, default in op.attrs.items():
        if rng.random() < (0.15 if how < 0.8 else 0.5):
            attrs[name] = ATTRIBUTES.get(name, real)(rng)
        elif rng.random() < 0.02 and default is not REQUIRED:
            attrs.pop(name, None)
    return Call(op, Sample(tuple(inputs), attrs), False)


def changed(rng: Generator, array: np.ndarray, wild: bool) -> np.ndarray:
    """An array of another dtype, shape, or with other numbers in some places."""
    kind = some(rng, ["place", "place", "dtype", "shape"])
    if wild and kind == "shape":
        return numbers(rng, shape_of(rng), some(rng, DTYPES))
    if kind == "shape":
        shape = list(array.shape)
        if shape:
            shape[int(rng.integers(len(shape)))] = int(rng.integers(0, 6))
        return numbers(rng, tuple(shape), array.dtype.name)
    if kind == "dtype":
        with np.errstate(all="ignore"):
            return array.astype(some(rng, DTYPES))
    array = array.copy()
    if array.size and array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        far = [-1, 3, 5, 7, 10**6, -(10**8), limits.max, limits.min]
        value = min(max(some(rng, far), limits.min), limits.max)
        array.reshape(-1)[int(rng.integers(array.size))] = value
    elif array.size:
        array.reshape(-1)[int(rng.integers(array.size))] = some(rng, [0.0, 1.0, -1.0])
    return array
