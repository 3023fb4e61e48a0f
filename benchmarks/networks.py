"""The networks that are measured: a first seven, and any that the caller names.

A name reads `784-128-10`, then optionally words after colons, in any order: rows a batch, the
activation, the dtype, a layer behind each hidden one, the loss, a rate of dropout:
`784-128-10:64`, `2-4-1:400:tanh:float64`, `64-64-10:32:own_layer_norm:dropout=0.2:huber`.
What begins with `own_` is spelled by hand (`spellings.py`), all else built in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np

from ..core.layers import Dense, Dropout, Layer
from ..core.losses import Function
from ..core.model import Sequential
from ..kernels.errors import BadInput, unknown
from ..kernels.ops import ACTIVATIONS
from ..kernels.spec import FLOATS
from . import spellings
from .spellings import GAMMA, SMOOTHING

OWN = "own_"
WORDS = (*ACTIVATIONS, "linear", *spellings.ACTIVATIONS)  # names of activations
LAYERS = ("layer_norm", "batch_norm", "residual", *spellings.LAYERS)
NUMBERS = ("mean_squared_error", "mean_absolute_error", "huber", "gaussian")  # losses of numbers
LOSSES = (
    "cross_entropy", "mean_squared_error", "mean_absolute_error", "huber", "focal",
    "label_smoothing", *spellings.LOSSES,
)  # fmt: skip


def plain(name: str) -> str:
    """What others call a thing that may be spelled by hand.

    >>> plain("own_huber"), plain("huber"), plain("own_swish")
    ('huber', 'huber', 'silu')
    """
    name = name.removeprefix(OWN)
    return "silu" if name == "swish" else name


@dataclass(frozen=True)
class Network:
    """A dense network; one output means logistic regression, several a softmax.

    sizes: from input to output. batch: rows of a step. activation: of the hidden layers.
    layer: what stands behind each hidden layer, with its activation, or "". loss: a name of
    `LOSSES`, or "" for the cross-entropy that fits; where it is of numbers the last layer is
    linear, and the classes are rows of zeros and ones. dropout: the rate, behind all that.
    """

    sizes: tuple[int, ...]
    batch: int = 64
    activation: str = "relu"
    dtype: str = "float32"
    layer: str = ""
    loss: str = ""
    dropout: float = 0.0

    @property
    def name(self) -> str:
        """`64-32-10`."""
        return "-".join(map(str, self.sizes))

    @property
    def traits(self) -> str:
        """What there is besides sizes: `relu, own_layer_norm, dropout 0.2, huber`."""
        hidden = [self.activation] if len(self.sizes) > 2 else []
        dropout = f"dropout {self.dropout:g}" if self.dropout else ""
        return ", ".join(filter(None, [*hidden, self.layer, dropout, self.loss]))

    @property
    def case(self) -> str:
        """What is computed: `64-32-10, batch 32, relu`."""
        return ", ".join(filter(None, [self.name, f"batch {self.batch}", self.traits]))

    @property
    def binary(self) -> bool:
        """Whether it has one output."""
        return self.sizes[-1] == 1

    @property
    def numbers(self) -> bool:
        """Whether its targets are numbers, not classes."""
        return plain(self.loss) in NUMBERS

    @property
    def last(self) -> str:
        """The last layer's activation. A loss by hand is one of what is before the softmax."""
        if self.numbers or self.loss.startswith(OWN):
            return "linear"
        return "sigmoid" if self.binary else "softmax"

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The shapes of all weights, from input to output."""
        wide = {"residual": 1, "gated": 2}.get(plain(self.layer))
        found = []
        for a, b in zip(self.sizes, self.sizes[1:], strict=False):
            found.append((a, b))
            if wide:
                found.append((b, wide * b))
        return found[:-1] if wide else found

    @property
    def parameters(self) -> int:
        """All numbers that are trained."""
        norms = 2 * sum(self.sizes[1:-1]) if plain(self.layer).endswith("norm") else 0
        return norms + sum((a + 1) * b for a, b in self.pairs)

    @property
    def products(self) -> float:
        """Floating-point operations of one forward pass's products."""
        return 2.0 * self.batch * sum(a * b for a, b in self.pairs)

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
# What is asked of any graph: small, middling and large ones, and a regression.
SMALL_TO_LARGE = (
    Network((64, 64, 10), 32),
    Network((784, 256, 128, 10), 128),
    Network((54, 256, 256, 7), 1024),
    Network((13, 64, 64, 1), 256),
)
CELLS = (
    "relu", "dropout=0.2", "own_swish", "silu", "own_mish", "mish", "own_layer_norm", "layer_norm",
    "own_batch_norm", "batch_norm", "own_residual", "residual", "own_huber", "huber", "own_focal",
    "focal", "own_label_smoothing", "label_smoothing",
)  # fmt: skip


def parse(text: str) -> Network:
    """The network that a name describes. Raises: BadInput."""
    sizes, *words = text.split(":")
    try:
        found = tuple(int(part) for part in sizes.split("-"))
    except ValueError:
        found = ()
    if len(found) < 2 or min(found) < 1:
        raise BadInput(f"{text!r} is no network: give sizes such as 784-128-10, or 784-128-10:64")
    return changed(Network(found), words)


def changed(network: Network, words: Sequence[str]) -> Network:
    """The network with what single words say put in place. Raises: BadInput."""
    for word in words:
        known: dict[str, Sequence[str]] = {
            "activation": WORDS, "dtype": FLOATS, "layer": LAYERS, "loss": LOSSES
        }  # fmt: skip
        field = next((name for name, names in known.items() if word in names), "")
        if field:
            network = replace(network, **{field: word})  # type: ignore[arg-type]
        elif word.startswith("dropout="):
            network = replace(network, dropout=_rate(word.removeprefix("dropout=")))
        elif word.isdigit() and int(word) > 0:
            network = replace(network, batch=int(word))
        else:
            names = ", ".join(name for names in known.values() for name in names)
            raise BadInput(
                f"{word!r} behind {network.name} is no batch size, no dropout=0.2, and none of"
                f" {names}"
            )
    return network


def _rate(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0.0 <= found < 1.0:
        raise BadInput(f"dropout={text}: a rate is a number from 0, below 1")
    return found


def check(network: Network) -> None:
    """Raises: BadInput, UnknownName for a network that cannot be made, with the way out."""
    behind = network.layer or ("dropout" if network.dropout else "")
    if behind and len(network.sizes) < 3:
        raise BadInput(f"{network.name} has no hidden layer for {behind} to stand behind")
    if plain(network.loss) == "gaussian" and network.sizes[-1] % 2:
        raise BadInput(
            f"{network.loss} takes means and variances, so {network.name} needs an even number of"
            f" outputs: use {'-'.join(map(str, (*network.sizes[:-1], 2 * network.sizes[-1])))}"
        )
    model_for(network, "numpy")


def model_for(network: Network, backend: object, seed: int = 0) -> Sequential:
    """The network as a model with Adam at its default rate of 0.001. Raises: UnknownName."""
    return Sequential(
        layers_of(network), loss_of(network), "adam", backend=backend,  # type: ignore[arg-type]
        dtype=network.dtype, seed=seed,
    )  # fmt: skip


def layers_of(network: Network) -> list[Layer]:
    """Its layers, first to last. Raises: UnknownName for one that is not there."""
    name = network.activation
    activation = spellings.ACTIVATIONS.get(name, name)
    found: list[Layer] = []
    for size in network.sizes[1:-1]:
        found.append(Dense(size, activation))
        if network.layer.startswith(OWN):
            found.append(spellings.LAYERS[network.layer](activation))
        elif network.layer == "residual":
            found.append(_public("layer", "residual", "Residual")([Dense(size, activation)]))
        elif network.layer:
            kind = {"layer_norm": "LayerNorm", "batch_norm": "BatchNorm"}[network.layer]
            found.append(_public("layer", network.layer, kind)(epsilon=spellings.EPSILON))
        if network.dropout:
            found.append(Dropout(network.dropout))
    return [*found, Dense(network.sizes[-1], network.last)]


def loss_of(network: Network) -> str | Function:
    """What lamina takes as its loss. Raises: UnknownName for one that is not there."""
    name = network.loss or "cross_entropy"
    if name in spellings.LOSSES:
        return spellings.LOSSES[name]
    if name == "label_smoothing" and network.binary:
        return spellings.smoothed_binary
    made: Any
    if name == "label_smoothing":
        made = _public("loss", name, "CrossEntropy")(label_smoothing=SMOOTHING)
    elif name == "focal" and network.binary:
        made = _public("loss", name, "BinaryFocal")(gamma=GAMMA, alpha=None)
    elif name == "focal":
        made = _public("loss", name, "Focal")(gamma=GAMMA)
    else:
        made = "binary_cross_entropy" if name == "cross_entropy" and network.binary else name
    return made  # type: ignore[no-any-return]


def _public(kind: str, name: str, attribute: str) -> Callable[..., Any]:
    """A class of lamina's by its name. Raises: UnknownName where this version has none."""
    lamina = import_module(__package__.rpartition(".")[0])
    found: Callable[..., Any] | None = getattr(lamina, attribute, None)
    if found is None:
        raise unknown(kind, name, spellings.LAYERS if kind == "layer" else spellings.LOSSES)
    return found


def data_for(network: Network, batches: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """So many batches of normal numbers, with random labels as `targets` makes them."""
    rng = np.random.default_rng(0)
    rows = batches * network.batch
    x = rng.standard_normal((rows, network.sizes[0])).astype(network.dtype)
    return x, targets(network, rng.integers(0, max(network.sizes[-1], 2), rows).astype(np.int32))


def targets(network: Network, labels: np.ndarray) -> np.ndarray:
    """What the loss wants of labels: (n,) int32. They as they are, or as numbers.

    Numbers are (n, outputs) of zeros and a one each; for one output the labels themselves. A normal
    density has half as many: its outputs are means and variances.
    """
    if not network.numbers:
        return labels
    columns = network.sizes[-1] // (2 if plain(network.loss) == "gaussian" else 1)
    if columns == 1:
        return labels[:, None].astype(network.dtype)
    rows: np.ndarray = np.eye(columns, dtype=network.dtype)[labels % columns]
    return rows
