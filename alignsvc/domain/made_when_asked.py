"""Sequences whose members are made when they are asked for, and held by nobody."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class MadeWhenAsked(Sequence[T], Generic[T]):
    """A sequence of which a subclass tells the length, and makes one member at a time."""

    __slots__ = ()

    @abstractmethod
    def _made(self, index: int) -> T:
        """Return a member; `index` is from 0 to the length."""

    def column(self, index: int, name: str) -> NDArray[Any]:
        """Return one array of a member, by the name of its field.

        The same as of the whole member; subclasses make no more than it, where they can.
        """
        return np.asarray(getattr(self[index], name))

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...

    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        if isinstance(index, slice):
            return tuple(self._made(i) for i in range(len(self))[index])
        return self._made(range(len(self))[index])


def column_of(sequence: Sequence[Any], index: int, name: str) -> NDArray[Any]:
    """Return one array of a member of any sequence, by the name of its field."""
    if isinstance(sequence, MadeWhenAsked):
        return sequence.column(index, name)
    return np.asarray(getattr(sequence[index], name))
