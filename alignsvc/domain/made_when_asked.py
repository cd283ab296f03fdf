"""Sequences whose members are made when they are asked for, and held by nobody."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar, overload

T = TypeVar("T")


class MadeWhenAsked(Sequence[T], Generic[T]):
    """A sequence of which a subclass tells the length, and makes one member at a time."""

    __slots__ = ()

    @abstractmethod
    def _made(self, index: int) -> T:
        """Return a member; `index` is from 0 to the length."""

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...

    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        if isinstance(index, slice):
            return tuple(self._made(i) for i in range(len(self))[index])
        return self._made(range(len(self))[index])
