"""In which order to eliminate exposures from a sparse system: nested dissection on the sky.

A set of exposures is cut across its longer side; those of one half that share sources with the
other are the *separator*. They come last, the halves before them, each cut in the same way. Of n
exposures on an area the factors then have some n log n blocks, in any other order more
(George 1973, SIAM J. Numer. Anal. 10, 345).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray

#: Sets no larger than this are eliminated at once.
_LEAF = 16
#: A separator larger than this part of its set saves nothing.
_LARGEST_SEPARATOR = 0.4


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Which exposures share sources, each with all that it shares some with.

    Parameters
    ----------
    start : int64, shape (n + 1,)
        Exposure i has the entries from ``start[i]`` to ``start[i + 1]``.
    other : int64, shape (k,)
        Rising within an exposure; with every (i, j) there is (j, i).
    """

    start: IntArray
    other: IntArray

    @classmethod
    def of(cls, first: IntArray, second: IntArray, n: int) -> Links:
        """Return the links of pairs that are sorted, with both orders of each among them."""
        return cls(np.concatenate([[0], np.cumsum(np.bincount(first, minlength=n))]), second)

    def entries(self, members: IntArray) -> IntArray:
        """Return the indices of the entries of some exposures, one exposure after the other."""
        lengths = self.start[members + 1] - self.start[members]
        before = np.cumsum(lengths) - lengths
        return np.repeat(self.start[members] - before, lengths) + np.arange(int(lengths.sum()))


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """Exposures that are eliminated together, after those of `parts`.

    Parameters
    ----------
    pivots : int64, shape (k,)
    boundary : int64, shape (b,)
        Exposures eliminated later that are linked with these, or with what came before them.
    parts : tuple of Step
        Not linked with one another.
    size : int
        Exposures eliminated once this is done.
    """

    pivots: IntArray
    boundary: IntArray
    parts: tuple[Step, ...]
    size: int

    def all(self) -> Iterator[Step]:
        """Yield the steps in their order, this one last."""
        for part in self.parts:
            yield from part.all()
        yield self


def dissected(links: Links, members: IntArray, places: FloatArray) -> Step:
    """Return how to eliminate a connected set of exposures.

    Parameters
    ----------
    links : Links
    members : int64, shape (k,)
        Rising; linked with nobody else.
    places : array, shape (n, 2)
        Of all exposures. They decide where to cut, and so how much work it is, no more.
    """
    n = len(links.start) - 1
    return _Dissection(links, places, np.zeros(n, bool), np.zeros(n, bool)).of(members)


@dataclass(frozen=True, slots=True, eq=False)
class _Dissection:
    """`in_half` and `is_done` are scratch: the other half, and who is eliminated already."""

    links: Links
    places: FloatArray
    in_half: BoolArray
    is_done: BoolArray

    def of(self, members: IntArray) -> Step:
        parts, pivots = self._cut(members)
        before = tuple(self.of(part) for part in parts)
        self.is_done[pivots] = True
        linked = [self.links.other[self.links.entries(pivots)], *(one.boundary for one in before)]
        boundary = np.unique(np.concatenate(linked))
        boundary = boundary[~self.is_done[boundary]]
        return Step(pivots, boundary, before, len(members))

    def _cut(self, members: IntArray) -> tuple[tuple[IntArray, ...], IntArray]:
        """Return the sets on both sides of a separator, and it."""
        if len(members) <= _LEAF:
            return (), members
        places = self.places[members]
        axis = int(np.argmax(np.ptp(places, axis=0)))
        order = np.argsort(places[:, axis], kind="stable")
        halves = [np.sort(members[some]) for some in np.array_split(order, 2)]
        at_edge = [self._linked(halves[k], halves[1 - k]) for k in (0, 1)]
        side = int(np.count_nonzero(at_edge[1]) < np.count_nonzero(at_edge[0]))
        separator = halves[side][at_edge[side]]
        if len(separator) > _LARGEST_SEPARATOR * len(members):
            return (), members
        parts = (halves[side][~at_edge[side]], halves[1 - side])
        return tuple(part for part in parts if len(part)), separator

    def _linked(self, some: IntArray, others: IntArray) -> BoolArray:
        """Return which of `some` are linked with any of `others`."""
        self.in_half[others] = True
        hits = self.in_half[self.links.other[self.links.entries(some)]]
        self.in_half[others] = False
        whose = np.repeat(np.arange(len(some)), np.diff(self.links.start)[some])
        return np.asarray(np.bincount(whose[hits], minlength=len(some)) > 0)
