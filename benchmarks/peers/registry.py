"""Which peers there are, and which are measured."""

from __future__ import annotations

from dataclasses import replace

from ...backends.registry import names, status
from ...kernels.errors import BadInput, unknown
from .peer import MODES, OWN, PREPARED, Peer

_JAX = (("jax", "jax"),)
_TORCH = (("torch", "torch"),)
_ONNX = (("onnx", "onnx"), ("onnxruntime", "onnxruntime"))
PEERS = (
    Peer("numpy by hand", "vectorised", "by_hand", ("training", "inference")),
    Peer("torch", "eager", "with_torch", MODES, _TORCH),
    Peer("torch", "compile", "with_torch", ("training",), _TORCH),
    Peer("jax", "jit per step", "with_jax", ("training",), _JAX),
    Peer("jax", "whole loop", "with_jax", ("training",), _JAX),
    Peer("jax", "jit", "with_jax", ("inference",), _JAX),
    Peer("scikit-learn", "MLPClassifier", "with_sklearn", ("inference", "epoch"),
         (("sklearn", "scikit-learn"),), loose=2e-4),  # Adam's epsilon enters before the correction
    Peer("onnxruntime", "all threads", "with_onnx", ("inference",), _ONNX),
    Peer("onnxruntime", "one thread", "with_onnx", ("inference",), _ONNX),
    Peer("products", "alone", "products", ("training",), asked=True),
)  # fmt: skip


def lamina_peer(backend: str) -> Peer:
    """One of lamina's backends as a peer."""
    return Peer(backend, OWN, "with_lamina", MODES)


def choose(mode: str, wanted: list[str], backends: list[str]) -> list[Peer]:
    """lamina's backends first, then the peers of the mode.

    wanted: names of peers (a first word does: "numpy"), all but "products" when empty. backends:
    lamina's to measure, all that can run here but loops when empty. Raises: UnknownName, BadInput.
    """
    if mode not in MODES:
        raise unknown("mode", mode, MODES)
    usable = [n for n in names() if status(n).available]
    for name in backends:
        if name not in names():
            raise unknown("backend", name, names())
        if name not in usable:
            found = status(name)
            raise BadInput(f"backend {name} cannot run here: {found.reason}; {found.fix}")
    found_peers = [lamina_peer(n) for n in backends or [n for n in usable if n != "loops"]]
    if mode == "inference":
        found_peers += [replace(peer, variant=PREPARED) for peer in found_peers]
    known = dict.fromkeys(p.name.split()[0] for p in PEERS)
    for name in wanted:
        if name.split()[0] not in (*known, OWN):
            raise unknown("peer", name, (*known, OWN))
    firsts = [name.split()[0] for name in wanted]
    return found_peers + [
        p
        for p in PEERS
        if mode in p.modes and (p.name.split()[0] in firsts or not (wanted or p.asked))
    ]
