"""Fields of a frozen dataclass whose value is computed when it is first used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

__all__ = ["deferrable", "deferred", "is_deferred"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Deferred(Generic[T]):
    """A value that a function will return. It can be pickled if the function can."""

    make: Callable[[], T]


class _Field:
    """A field that holds a value, or a ``_Deferred`` until it is first read."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        value = instance.__dict__[self._name]
        if isinstance(value, _Deferred):
            # Two threads that read at the same time may both call the function; it returns the same to both.
            value = instance.__dict__[self._name] = value.make()
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self._name] = value


def deferred(make: Callable[[], T]) -> T:
    """Return a stand-in for what a function returns, for a field that is ``deferrable``.

    Args:
        make: is called when the field is first read, at most once for each thread; the reader gets what it raises.
    """
    return cast("T", _Deferred(make))


def deferrable(*names: str) -> Callable[[type[T]], type[T]]:
    """Let fields of a frozen dataclass without slots be given as ``deferred(function)``; a class decorator.

    ``dataclasses.replace`` reads every field.

    Example:
        >>> from dataclasses import dataclass
        >>> @deferrable("pixels")
        ... @dataclass(frozen=True)
        ... class Photo:
        ...     pixels: list
        >>> def read():
        ...     print("reading")
        ...     return [255]
        >>> photo = Photo(deferred(read))
        >>> photo.pixels, photo.pixels
        reading
        ([255], [255])
    """

    def decorate(cls: type[T]) -> type[T]:
        # Set on the finished class: dataclass would take them for default values.
        for name in names:
            setattr(cls, name, _Field(name))
        return cls

    return decorate


def is_deferred(instance: object, name: str) -> bool:
    """Return whether a field has not been read yet."""
    return isinstance(instance.__dict__.get(name), _Deferred)
