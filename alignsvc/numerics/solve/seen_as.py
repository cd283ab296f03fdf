"""Factors seen through a function: made when they are asked for, and held by nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.made_when_asked import MadeWhenAsked, column_of
from alignsvc.domain.measurement import Factors

#: What no change of factors touches: which rows there are, and what a step does to them.
_KEPT = frozenset({"source", "chip", "jacobian"})


@dataclass(frozen=True, slots=True, eq=False)
class SeenAs(MadeWhenAsked[Factors]):
    """Exposures' factors, each changed in one way.

    A set of ten thousand exposures has a gigabyte of them: a solve looks at those of some
    exposures at a time, again and again, and whatever is changed in them is changed each time.

    Parameters
    ----------
    change : callable
        Returns the factors of an exposure, given its index and what they were; the same rows,
        with the same sources, chips and jacobians.
    factors : sequence of Factors
    """

    change: Callable[[int, Factors], Factors]
    factors: Sequence[Factors]

    def __len__(self) -> int:
        return len(self.factors)

    def column(self, index: int, name: str) -> NDArray[Any]:
        """Return one array of an exposure's factors."""
        if name in _KEPT:
            return column_of(self.factors, index, name)
        return MadeWhenAsked.column(self, index, name)

    def _made(self, index: int) -> Factors:
        return self.change(index, self.factors[index])


@dataclass(frozen=True, slots=True, eq=False)
class WithOneMore(MadeWhenAsked[Factors]):
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

    def column(self, index: int, name: str) -> NDArray[Any]:
        """Return one array of the factors of one of them."""
        if index == len(self.factors):
            return np.asarray(getattr(self.last, name))
        return column_of(self.factors, index, name)

    def _made(self, index: int) -> Factors:
        return self.last if index == len(self.factors) else self.factors[index]
