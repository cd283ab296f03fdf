"""Masks made wider by a square of pixels."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import BoolArray, IntArray
from alignsvc.numerics.compiled import compiled

#: Rows taken together, so that what lies between stays in the processor's cache.
_ROWS_AT_ONCE = 64


def dilated(mask: BoolArray, reach: int) -> BoolArray:
    """Return where a True pixel lies at most `reach` pixels away along both axes.

    Beyond the edges nothing is True. Masks of few True pixels cost least: rows that have none
    near are left as they are.

    Parameters
    ----------
    mask : bool array, shape (ny, nx)
    reach : int
        0 returns a copy.
    """
    ny, nx = mask.shape
    found = np.zeros((ny, nx), bool)
    for y0 in range(0, ny, _ROWS_AT_ONCE):
        y1 = min(y0 + _ROWS_AT_ONCE, ny)
        top = max(y0 - reach, 0)
        near = mask[top : y1 + reach]
        if near.any():
            wide = np.zeros((y1 - y0 + 2 * reach, nx + 2 * reach), bool)
            first = top - (y0 - reach)
            wide[first : first + len(near), reach : reach + nx] = near
            rows = _any_in_a_row(wide.T, 2 * reach + 1).T
            found[y0:y1] = _any_in_a_row(rows, 2 * reach + 1)
    return found


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


def _any_in_a_row(mask: BoolArray, n: int) -> BoolArray:
    """Return where any of `n` pixels along the second axis is True, n - 1 columns fewer."""
    covered = 1
    while covered < n:
        step = min(covered, n - covered)
        mask = mask[:, :-step] | mask[:, step:]
        covered += step
    return mask
