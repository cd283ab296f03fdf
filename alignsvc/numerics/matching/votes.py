"""Votes of pairs of sources for an offset, or for a rotation: where do they pile up?

Two lists of m common sources give m equal differences among all their differences, and
m (m - 1) / 2 equal turns among all turns of one pair into another of the same length; all else is
spread out. That holds whatever else is in the lists, and needs no list to be complete.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import IntArray

Complex = NDArray[np.complex128]
Votes = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Turn:
    """A rotation (radians, from x toward y) with a scale, and how many pairs vote for it."""

    angle: float
    scale: float
    votes: int

    @property
    def factor(self) -> complex:
        """What turns a difference of one list into one of the other."""
        return self.scale * complex(math.cos(self.angle), math.sin(self.angle))


def likely_offsets(
    first: Complex, second: Complex, radius: float, window: float, count: int
) -> tuple[complex, ...]:
    """Return the `count` offsets from `first` to `second` that have most votes, best first.

    Parameters
    ----------
    first, second : complex arrays
    radius : float
        Offsets are at most this long.
    window : float
        Votes within a square of this side count as one offset.
    count : int
    """
    difference = (second[None, :] - first[:, None]).ravel()
    difference = difference[np.abs(difference) <= radius]
    if not difference.size:
        return ()
    cell = 0.5 * window
    n = 2 * math.ceil(radius / cell) + 2
    column = np.floor(difference.real / cell).astype(np.int64) + n // 2
    row = np.floor(difference.imag / cell).astype(np.int64) + n // 2
    # A million cells for some ten thousand votes: it is their bytes that take the time, so they
    # have the smallest type that could hold all votes in one.
    votes = np.zeros(n * n, np.min_scalar_type(len(row)))
    np.add.at(votes, row * n + column, 1)
    peaks = _peaks(votes.reshape(n, n), count)
    # A window's middle is the corner that its four cells share.
    return tuple(complex((x + 1 - n // 2) * cell, (y + 1 - n // 2) * cell) for y, x, _ in peaks)


@dataclass(frozen=True, slots=True)
class TurnVotes:
    """Votes of pairs for the rotation between two lists, any offset apart.

    Parameters
    ----------
    extent : float
        Half the diagonal of the field: a turn is found to ``window / extent``.
    window : float
        What a source at the field's edge may be misplaced by an error of the turn.
    max_scale : float
        How much scales may differ, as a fraction.
    """

    extent: float
    window: float
    max_scale: float

    def __call__(self, first: Complex, second: Complex, count: int) -> tuple[Turn, ...]:
        """Return the `count` turns that have most votes, best first.

        Lists that are mirrored to each other find no turn: give one of them as its conjugate.
        """
        first, second = self._pairs(first), self._pairs(second)
        rows, columns = self._of_one_length(first, second)
        # One logarithm a pair, and none for the many pairs of pairs.
        turn = np.angle(second)[columns] - np.angle(first)[rows]
        stretch = np.log(np.abs(second))[columns] - np.log(np.abs(first))[rows]
        cell = 0.5 * self.window / self.extent
        n_angle = max(8, 2 * math.ceil(math.pi / cell))
        n_scale = 2 * math.ceil(self.max_scale / cell) + 2
        # A pair has no direction: it votes for a turn and for that turn plus half a circle.
        step = 2.0 * math.pi / n_angle
        row = np.mod(np.floor(turn / step).astype(np.int64), n_angle)
        column = np.floor(stretch / cell).astype(np.int64) + n_scale // 2
        once = np.bincount(row * n_scale + column, minlength=n_angle * n_scale)
        once = once.reshape(n_angle, n_scale)
        votes = once + np.roll(once, n_angle // 2, axis=0)
        around = np.concatenate([votes, votes[:1]])  # the circle closes
        return tuple(
            Turn((y + 1) * step, math.exp((x + 1 - n_scale // 2) * cell), n)
            for y, x, n in _peaks(around, count)
        )

    def _pairs(self, z: Complex) -> Complex:
        """Return the differences of all pairs that are long enough to tell a turn, by length."""
        one, other = np.triu_indices(len(z), 1)
        difference = z[other] - z[one]
        length = np.abs(difference)
        difference, length = difference[length > self.extent / 3], length[length > self.extent / 3]
        return difference[np.argsort(length, kind="stable")]

    def _of_one_length(self, first: Complex, second: Complex) -> tuple[IntArray, IntArray]:
        """Return index pairs into two lists sorted by length, of lengths that agree."""
        known = np.abs(second)
        low = np.searchsorted(known, np.abs(first) * (1.0 - self.max_scale))
        high = np.searchsorted(known, np.abs(first) * (1.0 + self.max_scale))
        n = high - low
        rows = np.repeat(np.arange(len(first)), n)
        columns = np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n) + np.repeat(low, n)
        return rows, columns


def _peaks(votes: Votes, count: int) -> list[tuple[int, int, int]]:
    """Return (row, column, votes) of the best windows of 2 x 2 cells that share no cell."""
    rows = votes[:-1] + votes[1:]
    windows = rows[:, :-1] + rows[:, 1:]
    best = list[tuple[int, int, int]]()
    # A peak's window has eight neighbours that share a cell with it.
    for index in _fullest(windows, 9 * count):
        y, x = (int(k) for k in np.unravel_index(index, windows.shape))
        if all(max(abs(y - v), abs(x - u)) > 1 for v, u, _ in best):
            best.append((y, x, int(windows[y, x])))
    return best[:count]


def _fullest(windows: Votes, count: int) -> IntArray:
    """Return where the `count` largest numbers are, the largest first; never where there is 0."""
    least = int(windows.max(initial=0))
    while least > 1 and np.count_nonzero(windows >= least) < count:
        least = (least + 1) // 2
    full = np.flatnonzero(windows >= max(least, 1))
    falling = np.argsort(-windows.take(full).astype(np.int64), kind="stable")
    return full[falling[:count]]


def chernoff_log_odds(n: int, expected: float) -> float:
    """Return minus the log of a bound on the chance to find `n` or more where few are expected.

    Parameters
    ----------
    n : int
    expected : float
        Mean of the Poisson distribution, above 0.

    Notes
    -----
    Chernoff's bound, ``P(N >= n) <= exp(n - expected) (expected / n)^n`` for ``n > expected``;
    it is too large by a factor of about ``sqrt(2 pi n)``: on the safe side. 0 for smaller n.
    """
    if n <= expected:
        return 0.0
    return n * math.log(n / expected) - n + expected
