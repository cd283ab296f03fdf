"""A line through all cells of a square that leads from neighbour to neighbour."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from alignsvc.domain.arrays import IntArray


def hilbert_index(column: ArrayLike, row: ArrayLike, bits: int) -> IntArray:
    """Return how far along Hilbert's curve cells lie: 0, 1, ...

    Cells that follow each other share an edge, and those of any short run lie together (Hilbert
    1891, Math. Ann. 38, 459).

    Parameters
    ----------
    column, row : int arrays of one shape
        From 0 to ``2**bits - 1``; what lies beyond counts as the nearest cell.
    bits : int
        At most 31.

    Returns
    -------
    int64 array of that shape
    """
    side = 1 << bits
    x = np.clip(np.asarray(column, np.int64), 0, side - 1)
    y = np.clip(np.asarray(row, np.int64), 0, side - 1)
    index = np.zeros(x.shape, np.int64)
    # From the coarsest quarters to the finest: each is entered turned or mirrored.
    for level in reversed(range(bits)):
        half = 1 << level
        right, upper = (x >> level) & 1, (y >> level) & 1
        index += (half * half) * ((3 * right) ^ upper)
        mirrored = (upper == 0) & (right == 1)
        x, y = np.where(mirrored, side - 1 - x, x), np.where(mirrored, side - 1 - y, y)
        x, y = np.where(upper == 0, y, x), np.where(upper == 0, x, y)
    return index
