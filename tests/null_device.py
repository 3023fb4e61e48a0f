"""A device that records and replays as CUDA graphs do, on NumPy: what a capture must not do fails.

While it records, nothing is done, and the host may read nothing and give nothing but numbers that
are written in a program. A capture holds memory that it made itself; of all other memory it knows
the address alone, so a replay fails when somebody has let it go in the meantime. What was written
into a recording (scalars, slices, shapes) can be looked at: two recordings of a step are equal.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import lamina as lm
import numpy as np
from lamina.backends.captured import Captured
from lamina.backends.contract import Executable
from lamina.backends.program import Program
from lamina.kernels import ops
from lamina.kernels.op import Kernel

READ_NUMBERS = (  # the operations that read the step's numbers: from memory, when they run
    "dropout_mask", "sgd_update", "momentum_update", "nesterov_update", "rmsprop_update",
    "adam_update", "adamw_update",
)  # fmt: skip


class Freed(AssertionError):
    """A replay read or wrote memory that nobody holds any more."""


class HostRead(AssertionError):
    """The host wanted a number, or gave an array, while the device recorded."""


class Memory:
    """One allocation."""

    __slots__ = ("__weakref__",)


class Held:
    """An array of the device; views share its memory."""

    __slots__ = ("device", "inside", "memory")
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, device: NullBackend, inside: Any, memory: Memory | None = None) -> None:
        self.device, self.inside = device, np.asarray(inside)
        self.memory = memory or Memory()

    def _never(self, *_: Any) -> Any:
        raise HostRead("the host took an array of the device for a number")

    __array__ = __bool__ = __float__ = __int__ = __index__ = __iter__ = __len__ = _never

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inside.shape

    @property
    def ndim(self) -> int:
        return self.inside.ndim

    @property
    def dtype(self) -> Any:
        return self.inside.dtype

    @property
    def T(self) -> Held:  # noqa: N802
        return self.device.ask("T", lambda x: x.T, self)

    def __getitem__(self, index: Any) -> Held:
        return self.device.ask("getitem", lambda x, i: x[i], self, index)


def _operator(name: str) -> Callable[..., Held]:
    def apply(self: Held, *others: Any) -> Held:
        function = getattr(np.ndarray, name)
        return self.device.ask(name, function, self, *others)

    return apply


for _name in (
    "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "mod", "floordiv",
    "pow", "rpow", "matmul", "neg",
    "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "invert",
):  # fmt: skip
    setattr(Held, f"__{_name}__", _operator(f"__{_name}__"))


def _in_place(function: Callable[..., Any]) -> Callable[..., Held]:
    def apply(self: Held, other: Held) -> Held:
        to, given = self.inside, other.inside
        self.device._do([self, other], lambda: function(to, given, out=to))
        return self

    return apply


Held.__iadd__ = _in_place(np.add)  # type: ignore[attr-defined]
Held.__iand__ = _in_place(np.bitwise_and)  # type: ignore[attr-defined]


class Namespace:
    """NumPy's functions on the device's arrays."""

    def __init__(self, device: NullBackend) -> None:
        self._device = device
        self._constants: dict[int, Any] = {}

    def asarray(self, value: Any, dtype: Any = None) -> Any:
        """A constant that nobody writes is uploaded once."""
        if not isinstance(value, np.ndarray):
            return self._device.ask("asarray", np.asarray, value, dtype=dtype)
        if value.flags.writeable:
            return self._device.asarray(value)
        if id(value) not in self._constants:
            self._constants[id(value)] = (value, self._device.asarray(value))
        return self._constants[id(value)][1]

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if not callable(found) or isinstance(found, type) or name == "finfo":
            return found
        return partial(self._device.ask, name, found)


Work = Callable[[], None]


class Recording:
    """What was asked, in order; constants: what of it was neither memory nor a function."""

    def __init__(self) -> None:
        self.work: list[Work] = []
        self.constants: list[str] = []
        self.own: list[Memory] = []
        self.addresses: list[weakref.ref[Memory]] = []

    def names(self, one: Held) -> None:
        """Notes the address of memory that the capture did not make."""
        known = [*self.own, *(address() for address in self.addresses)]
        if not any(one.memory is memory for memory in known):
            self.addresses.append(weakref.ref(one.memory))

    def replay(self) -> None:
        for address in self.addresses:
            if address() is None:
                raise Freed("a capture was replayed on memory that was let go")
        for work in self.work:
            work()


class NullBackend(lm.Backend):
    """A device of recorded work. recordings: all that were made; replays: how many there were."""

    name = "null"
    functional = False

    def __init__(self) -> None:
        super().__init__()
        self.space = Namespace(self)
        self.recording: Recording | None = None
        self.recordings: list[Recording] = []
        self.replays = self.reads = 0
        self.captured: type[Captured] = Captured

    @property
    def xp(self) -> Any:
        return self.space

    def compile(self, program: Program) -> Executable:
        return self.captured(self, program, self)

    def kernels(self) -> Mapping[str, Kernel]:
        return {name: Kernel(name, partial(self._launch, name)) for name in READ_NUMBERS}

    def asarray(self, host: np.ndarray) -> Held:
        if self.recording is not None:
            raise HostRead("numbers of the host were written into a capture")
        return Held(self, np.array(host))

    def to_numpy(self, array: Held) -> np.ndarray:
        if self.recording is not None:
            raise HostRead("the host read from the device while it recorded")
        self.reads += 1
        return array.inside.copy()

    def zeros(self, length: int, dtype: str) -> Held:
        return Held(self, np.zeros(length, dtype))

    def assign(self, target: Held, source: Held) -> None:
        assert target.shape == source.shape, f"{source.shape} was copied to {target.shape}"
        to, given = target.inside, source.inside
        self._do([target, source], lambda: np.copyto(to, given, casting="same_kind"))

    def ask(self, name: str, function: Callable[..., Any], *given: Any, **options: Any) -> Held:
        """A function of the array namespace: done at once, or recorded."""
        flat = [a for x in given for a in (x if isinstance(x, (tuple, list)) else (x,))]
        held = [one for one in flat if isinstance(one, Held)]
        assert not any(isinstance(one, np.ndarray) for one in flat), f"{name} got a host array"
        inside = [_inside(one) for one in given]
        with np.errstate(all="ignore"):
            made = np.asarray(function(*inside, **options))
        if self.recording is not None:
            rest = [one for one in flat if not isinstance(one, Held)]
            self.recording.constants.append(f"{name} {rest} {options}")
        for one in held:
            if np.shares_memory(made, one.inside):
                return Held(self, made, one.memory)
        result = Held(self, made)
        if self.recording is not None:
            result.inside = np.full(made.shape, _garbage(made.dtype), made.dtype)
            self.recording.own.append(result.memory)
            target = result.inside
            self._do(held, lambda: np.copyto(target, function(*inside, **options)))
        return result

    def _launch(self, name: str, out: tuple[Held, ...], *inputs: Any, **attrs: Any) -> None:
        held = [one for one in inputs if isinstance(one, Held)]
        seeds = name == "dropout_mask"  # which a state has for good
        if self.recording is not None and len(held) + seeds < len(inputs):
            raise HostRead(f"{name} was given a number of the host in a capture")
        given, targets = [_inside(one) for one in inputs], [one.inside for one in out]

        def work() -> None:
            numbers = [np.asarray(one).item() if np.ndim(one) == 0 else one for one in given]
            made = ops.get(name).reference(np, *numbers, **attrs)
            results = made if isinstance(made, tuple) else (made,)
            for target, one in zip(targets, results, strict=True):
                np.copyto(target, one, casting="same_kind")

        if self.recording is not None:
            self.recording.constants.append(f"{name} {attrs}")
        self._do([*held, *out], work)

    def _do(self, held: list[Held], work: Work) -> None:
        if self.recording is None:
            work()
            return
        for one in held:
            self.recording.names(one)
        self.recording.work.append(work)

    # What a capture needs

    def capture(self, work: Work) -> Work:
        made = Recording()
        with self._into(made):
            work()
        self.recordings.append(made)

        def replay() -> None:
            self.replays += 1
            made.replay()

        return replay

    def pool(self) -> Any:
        return nullcontext()

    def put(self, going: Held, target: Held, source: Held) -> None:
        assert target.shape == source.shape, f"{source.shape} was copied to {target.shape}"
        flag, to, given = going.inside, target.inside, source.inside

        def work() -> None:
            if flag.all():
                np.copyto(to, given, casting="same_kind")

        self._do([going, target, source], work)

    @contextmanager
    def _into(self, recording: Recording) -> Any:
        assert self.recording is None
        self.recording = recording
        try:
            yield
        finally:
            self.recording = None


def _inside(value: Any) -> Any:
    if isinstance(value, Held):
        return value.inside
    return type(value)(map(_inside, value)) if isinstance(value, (tuple, list)) else value


def _garbage(dtype: np.dtype[Any]) -> Any:
    """What is in memory before the first replay."""
    return np.nan if dtype.kind == "f" else dtype.kind == "b"
