"""What the model's face hands on to its session: attributes, and the right to train."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from .ownership import busy
from .session import Session

P = ParamSpec("P")
T = TypeVar("T")


class Served(Protocol):
    """A model: what has a session."""

    session: Session


M = TypeVar("M", bound=Served)


class Kept(Generic[T]):
    """An attribute of the model that its session keeps."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, model: None, owner: type) -> Self: ...
    @overload
    def __get__(self, model: Served, owner: type) -> T: ...
    def __get__(self, model: Served | None, owner: type) -> Self | T:
        return self if model is None else getattr(model.session, self.name)

    def __set__(self, model: Served, value: T) -> None:
        setattr(model.session, self.name, value)


def trains(method: Callable[Concatenate[M, P], T]) -> Callable[Concatenate[M, P], T]:
    """A method that is called only by who has the right to train the model."""

    @wraps(method)
    def alone(model: M, /, *args: P.args, **kwargs: P.kwargs) -> T:
        lock = model.session.right_to_train.lock
        if not lock.acquire(False):
            raise busy()
        try:
            return method(model, *args, **kwargs)
        finally:
            lock.release()

    return alone
