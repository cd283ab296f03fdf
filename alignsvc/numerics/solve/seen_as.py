"""Factors seen through a function: made when they are asked for, and held by nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

from alignsvc.domain.measurement import Factors


@dataclass(frozen=True, slots=True, eq=False)
class SeenAs(Sequence[Factors]):
    """Exposures' factors, each changed in one way.

    A set of ten thousand exposures has a gigabyte of them: a solve looks at those of some
    exposures at a time, again and again, and whatever is changed in them is changed each time.

    Parameters
    ----------
    change : callable
        Returns the factors of an exposure, given its index and what they were.
    factors : sequence of Factors
    """

    change: Callable[[int, Factors], Factors]
    factors: Sequence[Factors]

    def __len__(self) -> int:
        return len(self.factors)

    @overload
    def __getitem__(self, index: int) -> Factors: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Factors, ...]: ...

    def __getitem__(self, index: int | slice) -> Factors | tuple[Factors, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(len(self))[index])
        return self.change(range(len(self))[index], self.factors[index])


@dataclass(frozen=True, slots=True, eq=False)
class WithOneMore(Sequence[Factors]):
    """Exposures' factors, and others behind them: a catalogue's.

    Parameters
    ----------
    factors : sequence of Factors
    last : Factors
    """

    factors: Sequence[Factors]
    last: Factors

    def __len__(self) -> int:
        return len(self.factors) + 1

    @overload
    def __getitem__(self, index: int) -> Factors: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Factors, ...]: ...

    def __getitem__(self, index: int | slice) -> Factors | tuple[Factors, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(len(self))[index])
        place = range(len(self))[index]
        return self.last if place == len(self.factors) else self.factors[place]
