"""The contract of a device: core reaches it only there, and an operation reaches a kernel once."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends.conformance import check_operations
from lamina.backends.dispatch import resolve
from lamina.core.conformance import PROGRAMS, check_program
from lamina.kernels.spec import Spec

# What core may ask of a device by itself; the rest is for the floor of the backends.
FOR_CORE = {"compile", "device", "name", "dtypes"}
CONTRACT = {name for name in dir(lm.Backend) if not name.startswith("_")} | {"index"}
seen: Counter[tuple[str, str]] = Counter()  # (what was touched, the module that touched it)


def caller(what: str) -> None:
    """Notes who touches the device. Raises: AssertionError when it is somebody above it."""
    frame = sys._getframe(2)
    while frame.f_globals["__name__"] == __name__ and frame.f_back is not None:
        frame = frame.f_back
    module = str(frame.f_globals["__name__"])
    seen[what, module] += 1
    floor = module.removeprefix("lamina.").split(".")[0]
    allowed = ("backends", "kernels") + (("core",) if what in FOR_CORE else ())
    assert floor in allowed, f"{module} touched the device by {what}"


class Opaque:
    """An array on a device of the tests: no way to its numbers but `to_numpy`."""

    __slots__ = ("_inside",)
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, inside: np.ndarray) -> None:
        self._inside = inside

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise AssertionError("an array of the device was taken for one of the host")

    def _never(self, *_: Any) -> Any:
        raise AssertionError("a device does not hand out single numbers")

    __bool__ = __float__ = __int__ = __index__ = __iter__ = __len__ = __buffer__ = _never

    @property
    def shape(self) -> tuple[int, ...]:
        return self._inside.shape

    @property
    def ndim(self) -> int:
        return self._inside.ndim

    @property
    def dtype(self) -> Any:
        return self._inside.dtype

    @property
    def T(self) -> Opaque:  # noqa: N802
        caller("T")
        return Opaque(self._inside.T)

    @property
    def mT(self) -> Opaque:  # noqa: N802
        caller("mT")
        return Opaque(np.swapaxes(self._inside, -1, -2))

    def __getitem__(self, index: Any) -> Opaque:
        caller("getitem")
        return Opaque(np.asarray(self._inside[index]))


def _inner(value: Any) -> Any:
    if isinstance(value, Opaque):
        return value._inside
    return tuple(map(_inner, value)) if isinstance(value, (tuple, list)) else value


def _operator(name: str) -> Callable[..., Any]:
    def apply(self: Opaque, *others: Any) -> Opaque:
        caller(name)
        assert not any(isinstance(o, np.ndarray) for o in others), "host and device were mixed"
        result = getattr(self._inside, name)(*map(_inner, others))
        assert result is not NotImplemented
        return Opaque(np.asarray(result))

    return apply


for _name in (
    "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "rpow", "matmul",
    "mod", "floordiv", "neg", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "rxor",
    "lshift", "rshift",
):  # fmt: skip
    setattr(Opaque, f"__{_name}__", _operator(f"__{_name}__"))


class Namespace:
    """NumPy's functions on opaque arrays; host arrays are refused everywhere."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if not callable(found) or isinstance(found, type) or name == "finfo":
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            caller(name)
            flat = [a for x in args for a in (x if isinstance(x, (tuple, list)) else (x,))]
            assert not any(isinstance(a, np.ndarray) for a in flat), f"{name} got a host array"
            return Opaque(
                np.asarray(found(*map(_inner, args), **{k: _inner(v) for k, v in kwargs.items()}))
            )

        return call


class Recording(lm.Backend):
    """A device of opaque arrays that notes every use of it."""

    name = "recording"
    functional = False

    def __init__(self) -> None:
        super().__init__()
        self.space = Namespace()

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name != "space":
            assert name in CONTRACT, f"{name} is not in the contract"
            if sys._getframe(1).f_globals["__name__"] != __name__:
                caller(name)
        return super().__getattribute__(name)

    @property
    def xp(self) -> Any:
        return self.space

    def asarray(self, host: np.ndarray) -> Opaque:
        assert type(host) is np.ndarray
        return Opaque(np.array(host))

    def to_numpy(self, array: Opaque) -> np.ndarray:
        assert type(array) is Opaque
        return array._inside.copy()

    def assign(self, target: Opaque, source: Opaque) -> None:
        assert not self.functional
        np.copyto(target._inside, source._inside)


class Functional(Recording):
    """The same, and its arrays cannot be written."""

    name = "functional"
    functional = True

    def assign(self, target: Any, source: Any) -> None:
        raise AssertionError("a functional device was written to")


@pytest.mark.long
@pytest.mark.parametrize("kind", [Recording, Functional])
def test_core_reaches_a_device_only_through_the_contract(kind: type[Recording]) -> None:
    seen.clear()
    got = support.everything(kind())
    touched = Counter(what for what, _ in seen.elements())
    for what in ("compile", "asarray", "to_numpy", "zeros", "xp", "kernels"):
        assert touched[what] > 0, what
    assert (touched["assign"] > 0) is (kind is Recording)
    assert {module.split(".")[1] for what, module in seen if what not in FOR_CORE} == {
        "backends",
        "kernels",
    }
    assert {what for what, module in seen if module.startswith("lamina.core")} <= FOR_CORE
    for a, b in zip(got, support.everything("numpy"), strict=True):
        assert type(a) is np.ndarray
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("kind", [Recording, Functional])
def test_the_kit_s_programs_pass_there(kind: type[Recording], name: str, dtype: str) -> None:
    assert check_program(kind(), name, dtype) == []


def test_functions_of_one_s_own_too() -> None:
    seen.clear()
    backend = Recording()

    def f(a: Any, b: Any) -> Any:
        return lm.ops.log_softmax(a @ b)[:, 0:2].sum()

    a, b = np.ones((2, 3)), np.arange(12.0).reshape(3, 4) / 7
    got, wanted = (lm.value_and_grad(f, backend=d)(a, b) for d in (backend, "numpy"))
    assert got[0] == pytest.approx(wanted[0], rel=1e-12)
    for one, other in zip(got[1], wanted[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    assert {what for what, module in seen if module.startswith("lamina.core")} == {"compile"}


def test_the_recording_backend_does_catch() -> None:
    backend = Recording()
    array = backend.asarray(np.ones(3))
    host = np.ones(3)
    for touch in (
        lambda: np.asarray(array), lambda: float(array), lambda: array + host, lambda: bool(array),
        lambda: backend.xp.add(host, host), lambda: backend.secret,
    ):  # fmt: skip
        with pytest.raises(AssertionError):
            touch()
    namespace = {"__name__": "lamina.core.sneaky", "backend": backend, "array": array}
    for code in ("array + 1.0", "array[0:1]", "backend.xp", "backend.asarray", "backend.kernels()"):
        with pytest.raises(AssertionError, match=r"lamina\.core\.sneaky touched the device"):
            eval(code, namespace)
    eval("backend.compile", namespace)


@pytest.mark.long
@pytest.mark.parametrize("kind", [Recording, Functional])
def test_the_kit_s_operations_pass_without_kernels(kind: type[lm.Backend]) -> None:
    failed = [str(f) for _, failures in check_operations(kind()) for f in failures]
    assert failed == []


def test_one_dispatch() -> None:
    """A kernel that supports the call runs; else the reference, and the specs are checked first."""
    from lamina.kernels.op import Kernel

    ran: list[str] = []

    def relu(out: Any, x: Any) -> None:
        ran.append("kernel")
        np.maximum(x, 0.0, out=out[0])

    class Half(type(lm.get_backend("numpy"))):  # type: ignore[misc]
        name = "half"

        def kernels(self) -> Any:
            return {"relu": Kernel("relu", relu, lambda specs, attrs: specs[0].dtype == "float32")}

    backend = Half()
    for dtype, kernel in (("float32", True), ("float64", False)):
        x = np.array([[-1.0, 2.0]], dtype=dtype)
        call = resolve(backend, "relu", [Spec((1, 2), dtype)], {})
        assert (call.by_kernel, call.writes) == (kernel, kernel)
        out = (np.empty_like(x),)
        result = call(out, x)
        np.testing.assert_array_equal(result[0], [[0.0, 2.0]])
        assert (result[0] is out[0]) is kernel
    assert ran == ["kernel"]
    with pytest.raises(lm.ShapeError, match="inputs must have one shape"):
        resolve(backend, "relu_backward", [Spec((1, 2), "float32"), Spec((2, 2), "float32")], {})
    with pytest.raises(lm.UnknownName, match="unknown operation 'rlu'"):
        resolve(backend, "rlu", [Spec((1,), "float32")], {})
