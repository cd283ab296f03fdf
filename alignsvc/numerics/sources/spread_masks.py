"""Masks made wider by a square of pixels."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import BoolArray, IntArray
from alignsvc.numerics.compiled import compiled


def dilated(mask: BoolArray, reach: int) -> BoolArray:
    """Return where a True pixel lies at most `reach` pixels away along both axes.

    Beyond the edges nothing is True. Masks of few True pixels cost least.

    Parameters
    ----------
    mask : bool array, shape (ny, nx)
    reach : int
        0 returns a copy.
    """
    return squares_about(np.flatnonzero(mask), reach, mask.shape)


def squares_about(at: IntArray, reach: int, shape: tuple[int, ...]) -> BoolArray:
    """Return a mask of `shape` (ny, nx) that is True where `dilated` is, for True pixels `at`.

    Parameters
    ----------
    at : int64 array, shape (n,)
        Indices of pixels, row after row; quickest if they rise.
    reach : int
    shape : tuple of int
    """
    mask = np.zeros(shape, bool)
    _mark_squares(mask, at, reach)
    return mask


@compiled
def _mark_squares(mask: BoolArray, at: IntArray, reach: int) -> None:
    """Mark squares about pixels, those of neighbours along a row at once."""
    ny, nx = mask.shape
    k = 0
    while k < at.size:
        y = at[k] // nx
        first = at[k] - y * nx
        last = first
        k += 1
        while k < at.size and last < nx - 1 and at[k] == y * nx + last + 1:
            last += 1
            k += 1
        for row in range(max(y - reach, 0), min(y + reach + 1, ny)):
            for x in range(max(first - reach, 0), min(last + reach + 1, nx)):
                mask[row, x] = True


@compiled
def any_about(mask: BoolArray, at: IntArray) -> BoolArray:
    """Return which of some pixels are True, or one of the eight about them.

    Parameters
    ----------
    mask : bool array, shape (ny, nx)
        In order of rows, writable: with anything else it is compiled again.
    at : int64 array, shape (n,)
        Indices of pixels, row after row.
    """
    ny, nx = mask.shape
    found = np.zeros(at.size, np.bool_)
    for k in range(at.size):
        y = at[k] // nx
        x = at[k] - y * nx
        for row in range(max(y - 1, 0), min(y + 2, ny)):
            for column in range(max(x - 1, 0), min(x + 2, nx)):
                found[k] |= mask[row, column]
    return found
