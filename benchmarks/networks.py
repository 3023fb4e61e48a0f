"""The networks that are measured: a first seven, and any that the caller names.

A name reads `784-128-10`, then optionally rows a batch, activation and dtype, in any order, after
colons: `784-128-10:64`, `2-4-1:400:tanh:float64`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.layers import Dense, Layer
from ..core.model import Sequential
from ..kernels.errors import BadInput
from ..kernels.ops import FUSABLE
from ..kernels.spec import FLOATS


@dataclass(frozen=True)
class Network:
    """A dense network; one output means logistic regression, several a softmax.

    sizes: from input to output. batch: rows of a step. activation: of the hidden layers.
    """

    sizes: tuple[int, ...]
    batch: int = 64
    activation: str = "relu"
    dtype: str = "float32"

    @property
    def name(self) -> str:
        """`64-32-10`."""
        return "-".join(map(str, self.sizes))

    @property
    def case(self) -> str:
        """What is computed: `64-32-10, batch 32, relu`."""
        hidden = f", {self.activation}" if len(self.sizes) > 2 else ""
        return f"{self.name}, batch {self.batch}{hidden}"

    @property
    def binary(self) -> bool:
        """Whether it ends in one sigmoid."""
        return self.sizes[-1] == 1

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum((a + 1) * b for a, b in zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def products(self) -> float:
        """Floating-point operations of one forward pass's products."""
        pairs = zip(self.sizes, self.sizes[1:], strict=False)
        return 2.0 * self.batch * sum(a * b for a, b in pairs)

    @property
    def flops(self) -> float:
        """Of one training step's products: the first layer's input needs no gradient."""
        return 3.0 * self.products - 2.0 * self.batch * self.sizes[0] * self.sizes[1]


NETWORKS = (
    Network((2, 4, 1), 400, "tanh"),
    Network((64, 1), 256),
    Network((64, 32, 10), 32),
    Network((784, 128, 10), 64),
    Network((784, 512, 256, 10), 128),
    Network((54, 256, 256, 256, 7), 1024),
    Network((2048, 2048, 2048, 2048, 10), 1024),
)


def parse(text: str) -> Network:
    """The network that a name describes. Raises: BadInput."""
    sizes, *rest = text.split(":")
    try:
        found = tuple(int(part) for part in sizes.split("-"))
    except ValueError:
        found = ()
    if len(found) < 2 or min(found) < 1:
        raise BadInput(f"{text!r} is no network: give sizes such as 784-128-10, or 784-128-10:64")
    batch, activation, dtype = 64, "relu", "float32"
    for word in rest:
        if word.isdigit() and int(word) > 0:
            batch = int(word)
        elif word in FUSABLE:
            activation = word
        elif word in FLOATS:
            dtype = word
        else:
            known = ", ".join((*FUSABLE, *FLOATS))
            raise BadInput(f"{word!r} in {text!r} is no batch size, and none of {known}")
    return Network(found, batch, activation, dtype)


def model_for(network: Network, backend: object, seed: int = 0) -> Sequential:
    """The network as a model with Adam at its default rate of 0.001."""
    layers: list[Layer] = [Dense(size, network.activation) for size in network.sizes[1:-1]]
    layers.append(Dense(network.sizes[-1], "sigmoid" if network.binary else "softmax"))
    loss = "binary_cross_entropy" if network.binary else "cross_entropy"
    return Sequential(
        layers, loss, "adam", backend=backend, dtype=network.dtype, seed=seed  # type: ignore[arg-type]
    )  # fmt: skip


def data_for(network: Network, batches: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """So many batches of normal numbers, with random labels as int32 of shape (n,)."""
    rng = np.random.default_rng(0)
    rows = batches * network.batch
    x = rng.standard_normal((rows, network.sizes[0])).astype(network.dtype)
    return x, rng.integers(0, max(network.sizes[-1], 2), rows).astype(np.int32)
