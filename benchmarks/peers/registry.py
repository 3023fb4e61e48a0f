"""Which peers there are, and which are measured."""

from __future__ import annotations

from dataclasses import replace

from ...backends.registry import names, status
from ...kernels.errors import BadInput, unknown
from .peer import MODES, OWN, PREPARED, Peer

BOTH = ("cpu", "cuda")
ON_CUDA = ("cupy",)  # lamina's backends that are measured beside others on the GPU
_JAX = (("jax", "jax"),)
_TORCH = (("torch", "torch"),)
_ONNX = (("onnx", "onnx"), ("onnxruntime", "onnxruntime"))
PEERS = (
    Peer("numpy by hand", "vectorised", "by_hand", ("training", "inference")),
    Peer("torch", "eager", "with_torch", MODES, _TORCH, devices=BOTH),
    Peer("torch", "compile", "with_torch", ("training",), _TORCH, devices=BOTH),
    Peer("jax", "jit per step", "with_jax", ("training",), _JAX, devices=BOTH),
    Peer("jax", "whole loop", "with_jax", ("training",), _JAX, devices=BOTH),
    Peer("jax", "jit", "with_jax", ("inference",), _JAX, devices=BOTH),
    Peer("scikit-learn", "MLPClassifier", "with_sklearn", ("inference", "epoch"),
         (("sklearn", "scikit-learn"),), loose=2e-4),  # Adam's epsilon enters before the correction
    Peer("onnxruntime", "all threads", "with_onnx", ("inference",), _ONNX),
    Peer("onnxruntime", "one thread", "with_onnx", ("inference",), _ONNX),
    Peer("products", "alone", "products", ("training",), asked=True),
)  # fmt: skip


def lamina_peer(backend: str) -> Peer:
    """One of lamina's backends as a peer."""
    return Peer(backend, OWN, "with_lamina", MODES, device=device_of(backend))


def device_of(backend: str) -> str:
    """The kind of device that one of lamina's backends works on."""
    return "cuda" if backend in ON_CUDA else "cpu"


def choose(mode: str, wanted: list[str], backends: list[str]) -> list[Peer]:
    """lamina's backends first, then the peers of the mode.

    wanted: names of peers (a first word does: "numpy"), all but "products" when empty. backends:
    lamina's to measure, all that can run on this CPU but loops when empty. A table is of one
    device: that of these backends. Raises: UnknownName, BadInput.
    """
    if mode not in MODES:
        raise unknown("mode", mode, MODES)
    usable = [n for n in names() if status(n).available]
    for name in backends:
        if name not in names():
            raise unknown("backend", name, names())
        if name not in usable:
            state = status(name)
            raise BadInput(f"backend {name} cannot run here: {state.reason}; {state.fix}")
    found = {device_of(name) for name in backends} or {"cpu"}
    if len(found) > 1:
        raise BadInput(
            f"{', '.join(backends)} work on two devices, and a table is of one: measure"
            f" {', '.join(ON_CUDA)} by itself, --backend {ON_CUDA[0]}, beside the peers on the GPU"
        )
    (device,) = found
    ours = backends or [n for n in usable if n != "loops" and device_of(n) == device]
    found_peers = [lamina_peer(n) for n in ours]
    if mode == "inference":
        found_peers += [replace(peer, variant=PREPARED) for peer in found_peers]
    known = dict.fromkeys(p.name.split()[0] for p in PEERS)
    for name in wanted:
        if name.split()[0] not in (*known, OWN):
            raise unknown("peer", name, (*known, OWN))
    firsts = [name.split()[0] for name in wanted]
    return found_peers + [
        replace(p, device=device)
        for p in PEERS
        if mode in p.modes
        and device in p.devices
        and (p.name.split()[0] in firsts or not (wanted or p.asked))
    ]
