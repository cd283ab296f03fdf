"""The loops over the pixels of levels: each row of the planes is looked at once, for all of them.

Apertures of a chip's sources cover most of it, and patches of sky the rest: to fetch pixels from
memory for one after the other takes longer than all that is done with them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray, LabelArray
from alignsvc.numerics.compiled import compiled, compiled_sums

#: Of rows and columns, only each fourth one tells the sky: medians are what takes time.
EVERY = 4


class LevelPlanes(NamedTuple):
    """What an exposure and the others hold of the same pixels, shape (ny, nx).

    Parameters
    ----------
    own, weight : float32 arrays
        Sums of the exposure.
    others, share : float32 arrays
        Mean of the others, and the exposure's part of the weight of all.
    label : int32 or int64 array
        Of shape (0, 0) where nobody knows.
    """

    own: Float32Array
    weight: Float32Array
    others: Float32Array
    share: Float32Array
    label: LabelArray


class Discs(NamedTuple):
    """Sums in apertures, and in these with the rings about them.

    Parameters
    ----------
    where : int64 array, shape (n, 3)
        Label, row and column of the middles, in order of rows.
    reach : int64 array, shape (2, side)
        How many columns aperture and whole disc reach from the middle, in each row of it; -1: none.
    sums : float64 array, shape (n, 2, 5)
        To be added to: pixels that are nobody else's, those of them that the exposure knows, its
        values, the mean of all there, and the variance of its values.
    """

    where: IntArray
    reach: IntArray
    sums: FloatArray


class Patches(NamedTuple):
    """What every other pixel of squares holds.

    Parameters
    ----------
    row : int64 array, shape (ny, 2)
        Which row of squares looks at this row of the box, and as its how manieth; -1 = none.
    column : int64 array, shape (n,)
        Where squares begin.
    difference : float32 array, shape (rows of squares, n, side, side)
        To be filled: exposure less mean of all; NaN where not known, or a source's.
    sums : float32 array, shape (rows of squares, n, 3)
        To be added to: pixels that are known and no source's, those that are no source's, and the
        weight of the former.
    """

    row: IntArray
    column: IntArray
    difference: Float32Array
    sums: Float32Array


class _Row(NamedTuple):
    """Some pixels of a row: the exposure's values, the mean of all, 1 / weight; 0 = not known."""

    value: Float32Array
    mean: Float32Array
    inverse: Float32Array


@compiled
def look_at_rows(seen: LevelPlanes, y0: int, discs: Discs, patches: Patches) -> None:
    """Add some rows of the box, from `y0` on, to `discs` and `patches`."""
    ny, nx = seen.weight.shape
    half, n_discs = discs.reach.shape[1] // 2, len(discs.where)
    row = _Row(np.empty(nx, np.float32), np.empty(nx, np.float32), np.empty(nx, np.float32))
    mine = np.ones(nx, np.float32)
    first, after = 0, 0
    for k in range(ny):
        y = y0 + k
        while after < n_discs and discs.where[after, 1] - half <= y:
            after += 1
        while first < after and discs.where[first, 1] + half < y:
            first += 1
        if first < after or patches.row[y, 0] >= 0:
            _read((seen.own[k], seen.weight[k]), (seen.others[k], seen.share[k]), row)
        for i in range(first, after):
            label, middle, x = discs.where[i]
            for size in range(1, -1, -1):
                reach = discs.reach[size, y - middle + half]
                if reach >= 0:
                    here = slice(x - reach, x + reach + 1)
                    if size == 1 and seen.label.size:
                        _tell_mine(seen.label[k, here], label, mine[here])
                    part = _Row(row.value[here], row.mean[here], row.inverse[here])
                    _add(part, mine[here], discs.sums[i, size])
        if patches.row[y, 0] >= 0:
            if seen.label.size:
                _tell_mine(seen.label[k], 0, mine)
            _add_to_squares(row, mine, patches, (patches.row[y, 0], patches.row[y, 1]))


@compiled_sums
def _read(
    own: tuple[Float32Array, Float32Array], others: tuple[Float32Array, Float32Array], row: _Row
) -> None:
    """Fill a row from numerators and weights, and the others' means and shares."""
    none = np.float32(0)
    for x in range(row.value.size):
        weight, other = own[1][x], others[0][x]
        inverse = np.float32(1) / weight
        inverse = inverse if weight > 0 else none
        value = own[0][x] * inverse
        mean = other + others[1][x] * (value - other)
        row.value[x], row.inverse[x] = value, inverse
        row.mean[x] = mean if weight > 0 else none


@compiled_sums
def _tell_mine(labels: LabelArray, label: int, mine: Float32Array) -> None:
    """Write 1 for pixels that are nobody's or of this label, 0 for the others."""
    for x in range(labels.size):
        is_mine = (labels[x] == 0) | (labels[x] == label)
        mine[x] = np.float32(1) if is_mine else np.float32(0)


@compiled_sums
def _add(row: _Row, mine: Float32Array, sums: FloatArray) -> None:
    """Add pixels; what does not count is multiplied by 0: sums on a condition fill no lanes."""
    none = np.float32(0)
    n, n_known, of_own, of_all, variance = none, none, none, none, none
    for x in range(mine.size):
        is_counted = mine[x]
        n += is_counted
        n_known += is_counted if row.inverse[x] > 0 else none
        of_own += is_counted * row.value[x]
        of_all += is_counted * row.mean[x]
        variance += is_counted * row.inverse[x]
    sums[0] += n
    sums[1] += n_known
    sums[2] += of_own
    sums[3] += of_all
    sums[4] += variance


@compiled_sums
def _add_to_squares(
    row: _Row, free: Float32Array, patches: Patches, which: tuple[int, int]
) -> None:
    """Add a row to a row of squares, as the k-th that they look at."""
    squares, k = which
    width = EVERY * (patches.difference.shape[3] - 1) + 1
    for j in range(len(patches.column)):
        here = slice(patches.column[j], patches.column[j] + width)
        part = _Row(row.value[here], row.mean[here], row.inverse[here])
        into = patches.difference[squares, j, k]
        _add_to_square(part, free[here], into, patches.sums[squares, j])


@compiled_sums
def _add_to_square(row: _Row, free: Float32Array, into: Float32Array, sums: Float32Array) -> None:
    none = np.float32(0)
    n, n_free, of_weight = none, none, none
    for k in range(into.size):
        x = EVERY * k
        is_known = free[x] if row.inverse[x] > 0 else none
        difference = row.value[x] - row.mean[x]
        into[k] = difference if is_known > 0 else np.float32(np.nan)
        weight = np.float32(1) / row.inverse[x] if is_known > 0 else none
        n += is_known
        n_free += free[x]
        of_weight += weight
    sums[0] += n
    sums[1] += n_free
    sums[2] += of_weight
