"""Choosing a backend: names, lists, device numbers, plug-ins, and what is said when none fits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends import registry, selection
from lamina.backends.contract import Obstacle
from lamina.backends.host import HostBackend

BUILTIN = ["loops", "numpy", "numba", "cupy"]


class Plugged(HostBackend):
    """A device from another package."""

    name = "plugged"
    probes = 0

    @classmethod
    def obstacle(cls, index: int = 0) -> Obstacle | None:
        Plugged.probes += 1
        return Obstacle(f"there is no device {index}", "plug it in") if index > 1 else None


class Broken(HostBackend):
    name = "broken"

    @classmethod
    def obstacle(cls, index: int = 0) -> Obstacle | None:
        return Obstacle("it fell apart", "glue it together")


class Raising(HostBackend):
    name = "raising"

    @classmethod
    def obstacle(cls, index: int = 0) -> Obstacle | None:
        raise OSError("libdevice.so: cannot open shared object file")


class Wrong(HostBackend):
    """It answers, but not with the right numbers."""

    name = "wrong"

    def to_numpy(self, array: Any) -> np.ndarray:
        return np.array(array) + 1.0


class Old(HostBackend):
    name = "old"
    contract_version = 0


class Hanging(HostBackend):
    name = "hanging"
    release = threading.Event()

    @classmethod
    def obstacle(cls, index: int = 0) -> Obstacle | None:
        cls.release.wait(20.0)
        return None


class Point:
    """An entry point of an installed package."""

    def __init__(self, kind: type[lm.Backend]) -> None:
        self.name, self.kind = kind.name, kind

    def load(self) -> type[lm.Backend]:
        return self.kind


def forget() -> None:
    for found in vars(registry).values():
        if hasattr(found, "cache_clear"):
            found.cache_clear()


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """No choice of an earlier test is in force."""
    token = selection._chosen.set(None)
    yield
    selection._chosen.reset(token)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    kinds = (Plugged, Broken, Raising, Wrong, Old)

    def entry_points(group: str) -> list[Point]:
        return [Point(kind) for kind in kinds] if group == "lamina.backends" else []

    monkeypatch.setattr(registry, "entry_points", entry_points)
    forget()
    Plugged.probes = 0
    yield
    forget()


# Names


def test_names_and_objects() -> None:
    for name in support.CPU:
        backend = lm.get_backend(name)
        assert isinstance(backend, lm.Backend)
        assert backend.name == name
        assert lm.get_backend(backend) is backend
        assert lm.get_backend(name) is backend  # one of each
        assert support.classifier(name).backend is backend
        assert repr(backend).startswith(f"<{name} backend on CPU")


def test_aliases() -> None:
    assert lm.get_backend("cpu") is lm.get_backend("numba")
    cupy = registry.status("cupy")
    for alias in ("cuda", "gpu", "cuda:0"):
        if cupy.available:
            assert lm.get_backend(alias).name == "cupy"
        else:
            with pytest.raises(lm.BackendUnavailable, match="cupy: "):
                lm.get_backend(alias)


def test_auto_takes_the_first_that_can_run() -> None:
    found = {s.name: s.available for s in lm.backends()}
    wanted = next(n for n in ("cupy", "numba", "numpy") if found[n])
    assert lm.get_backend().name == lm.get_backend("auto").name == wanted
    chosen = selection.select("auto")
    assert chosen.why.startswith("auto")
    if wanted != "cupy":
        assert f"cupy not available: {registry.status('cupy').reason}" in chosen.why


def test_unknown_names_tell_the_nearest_and_the_valid_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, nearest in (
        ("nunpy", "numpy"),
        ("Numba", "numba"),
        ("lops", "loops"),
        ("cupyy", "cupy"),
    ):
        with pytest.raises(
            lm.UnknownName, match=f"unknown backend {name!r}: did you mean {nearest!r}"
        ):
            lm.get_backend(name)
    with pytest.raises(
        lm.UnknownName, match="valid: loops, numpy, numba, cupy, cpu, cuda, gpu, auto"
    ):
        lm.get_backend("tpu7")
    with pytest.raises(lm.UnknownName, match="unknown backend 'cuda:one'"):
        lm.get_backend("cuda:one")
    with pytest.raises(lm.UnknownName, match="'nonsense'"):
        lm.get_backend("numpy,nonsense")  # although numpy would do
    with pytest.raises(lm.UnknownName):
        lm.get_backend(3)  # type: ignore[arg-type]
    monkeypatch.setenv("LAMINA_BACKEND", "nunba")
    with pytest.raises(lm.UnknownName, match="did you mean 'numba'"):
        lm.get_backend()


# The order of choosing


def test_argument_then_use_backend_then_environment_then_auto(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAMINA_BACKEND", "numpy")
    assert selection.select().why == "LAMINA_BACKEND 'numpy'"
    assert support.classifier("auto").backend.name == "numpy"
    with lm.use_backend("loops"):
        assert selection.select().why == "use_backend 'loops'"
        assert support.classifier("auto").backend.name == "loops"
        assert support.classifier("numba").backend.name == "numba"
        assert lm.get_backend().name == "loops"
        with lm.use_backend("numba"):
            assert lm.get_backend().name == "numba"
        assert lm.get_backend().name == "loops"
    assert lm.get_backend().name == "numpy"
    monkeypatch.setenv("LAMINA_BACKEND", "loops")  # read when it is used
    assert lm.get_backend().name == "loops"
    monkeypatch.setenv("LAMINA_BACKEND", "")
    assert selection.select().why.startswith("auto")


def test_use_backend_without_with_stays() -> None:
    lm.use_backend("loops")
    assert lm.get_backend().name == "loops"
    lm.use_backend("numpy")
    assert lm.get_backend().name == "numpy"
    assert lm.grad(lambda x: x * x)(3.0) == 6.0


def test_use_backend_is_undone_by_an_exception_and_checks_at_once() -> None:
    before = lm.get_backend()
    with pytest.raises(KeyError), lm.use_backend("loops"):
        raise KeyError
    assert lm.get_backend() is before
    with pytest.raises(lm.UnknownName):
        lm.use_backend("lopes")
    assert lm.get_backend() is before


def test_a_list_takes_the_first_available_and_says_why(plugins: None) -> None:
    chosen = selection.select("broken,numpy")
    assert chosen.backend.name == "numpy"
    assert chosen.why == "asked for 'broken,numpy'; broken not available: it fell apart"
    assert lm.get_backend(" numpy , broken ").name == "numpy"
    text = lm.explain(support.classifier("broken,numpy").build(4))
    assert "broken not available: it fell apart" in text
    with pytest.raises(lm.BackendUnavailable) as caught:
        lm.get_backend("broken,raising")
    for part in (
        "broken: it fell apart. To mend it: glue it together",
        "raising: OSError: libdevice.so",
    ):
        assert part in str(caught.value)


# What cannot run here


def test_unavailable_says_reason_and_fix_wherever_the_name_came_from(
    plugins: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "cannot run here. broken: it fell apart. To mend it: glue it together"
    with pytest.raises(lm.BackendUnavailable, match=f"backend 'broken' {said}"):
        support.classifier("broken")
    with pytest.raises(lm.BackendUnavailable, match=f"backend 'broken' {said}"):
        lm.use_backend("broken")
    with pytest.raises(lm.BackendUnavailable, match=said):
        support.classifier("numpy").to("broken")
    monkeypatch.setenv("LAMINA_BACKEND", "broken")
    with pytest.raises(lm.BackendUnavailable, match=r"\(from LAMINA_BACKEND\) cannot run here"):
        support.classifier("auto")


def test_a_failing_move_leaves_the_model_where_it_was(plugins: None) -> None:
    x, y = support.classes(16)
    model = support.classifier("numpy")
    model.fit(x, y, batch_size=8, verbose=0)
    with pytest.raises(lm.BackendUnavailable):
        model.to("broken")
    assert model.backend.name == "numpy"
    model.fit(x, y, batch_size=8, verbose=0)


def test_status_of_every_backend(plugins: None) -> None:
    found = {s.name: s for s in lm.backends()}
    assert list(found)[:4] == BUILTIN
    for name in support.CPU:
        assert found[name].available
        assert found[name].device.startswith("CPU")
        assert (found[name].reason, found[name].fix) == ("", "")
    for name, reason in (
        ("broken", "it fell apart"), ("raising", "OSError: libdevice.so"),
        ("wrong", "RuntimeError: relu of"), ("old", "it speaks version 0 of the contract"),
    ):  # fmt: skip
        assert not found[name].available
        assert found[name].reason.startswith(reason)
        assert found[name].fix
    cupy = found["cupy"]
    assert cupy.available or (cupy.reason and cupy.fix)
    if not cupy.available and "not installed" in cupy.reason:
        assert "cupy-cuda13x[ctk]" in cupy.fix


def test_a_probe_is_made_once(plugins: None) -> None:
    lm.backends()
    lm.backends()
    lm.get_backend("plugged")
    support.classifier("plugged")
    assert Plugged.probes == 1
    lm.backends(probe_again=True)
    assert Plugged.probes == 2
    lm.get_backend("plugged:1")  # another device, another probe
    assert Plugged.probes == 3


def test_a_probe_is_bounded_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [Point(Hanging)])
    monkeypatch.setattr(registry, "PROBE_SECONDS", 0.1)
    forget()
    try:
        found = registry.status("hanging")
        assert not found.available
        assert found.reason == "the probe did not end within 0.1 s"
    finally:
        late = [thread for thread in threading.enumerate() if thread.name == "probe of hanging"]
        forget()
        Hanging.release.set()
    assert len(late) == 1
    late[0].join(20.0)
    assert not late[0].is_alive()
    filled = {
        name: found.cache_info().currsize
        for name, found in vars(registry).items()
        if hasattr(found, "cache_info")
    }
    assert filled == dict.fromkeys(filled, 0)  # what the probe found too late reached nobody


# Devices by number, plug-ins, side by side


def test_device_numbers(plugins: None) -> None:
    zero, one = lm.get_backend("plugged"), lm.get_backend("plugged:1")
    assert (zero.index, one.index) == (0, 1)
    assert zero is not one
    assert lm.get_backend("plugged:0") is zero
    with pytest.raises(
        lm.BackendUnavailable, match=r"there is no device 2\. To mend it: plug it in"
    ):
        lm.get_backend("plugged:2")
    assert lm.get_backend("plugged:2,plugged:1") is one


@pytest.mark.slow
def test_a_plug_in_is_a_backend_like_any_other(
    plugins: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "plugged" in [s.name for s in lm.backends()]
    x, y = support.classes(16)
    monkeypatch.setenv("LAMINA_BACKEND", "plugged")
    model = support.classifier("auto")
    assert type(model.backend) is Plugged
    model.fit(x, y, batch_size=8, verbose=0)
    other = support.classifier("numpy")
    other.fit(x, y, batch_size=8, verbose=0)
    np.testing.assert_allclose(model.predict(x), other.predict(x), rtol=1e-12)
    with pytest.raises(lm.UnknownName, match="did you mean 'plugged'"):
        lm.get_backend("plugd")
    forget()
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    with pytest.raises(lm.UnknownName):
        lm.get_backend("plugged")


def test_a_plug_in_never_hides_a_built_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Impostor(HostBackend):
        name = "numpy"

    monkeypatch.setattr(registry, "entry_points", lambda group: [Point(Impostor)])
    forget()
    try:
        assert type(lm.get_backend("numpy")) is not Impostor
        assert [s.name for s in lm.backends()] == BUILTIN
    finally:
        forget()


def test_instances_of_one_s_own_live_side_by_side() -> None:
    kind = type(lm.get_backend("numpy"))
    a, b = kind(), kind()
    models = [support.classifier(backend) for backend in (a, b)]
    x, y = support.classes(16)
    for model in models:
        model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    assert models[0].backend is a
    assert models[1].backend is b
    assert support.same(models[0].get_weights(), models[1].get_weights())


# lamina.backends is the package and can be called


def test_backends_is_a_package_and_a_function() -> None:
    import lamina.backends.registry as again

    assert again is registry
    assert lm.backends.registry is registry  # type: ignore[attr-defined]
    assert [s.name for s in lm.backends()][:4] == BUILTIN
