"""The mosaic of all the others at chosen pixels of a chip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.sky.pixel_map import PixelMap

#: Pixels interpolated together: what lies between stays in the processor's cache.
_POINTS_AT_ONCE = 1 << 13


@dataclass(frozen=True, slots=True, eq=False)
class Others:
    """The mosaic of all the others about a chip, and how the chip lies on it.

    Parameters
    ----------
    mean : Contribution
        Without the exposure; weight 0 where nobody else was.
    pixel_map : PixelMap
        From the chip's pixels to the grid's.
    misalignment_px : int or None
        How far a source may lie from where the others see it, chip pixels, if the exposure was
        never aligned with them; None = it was.
    """

    mean: Contribution
    pixel_map: PixelMap
    misalignment_px: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ChipBlot:
    """The others at the pixels asked for, in units of the chip's pixels; 0 elsewhere.

    Parameters
    ----------
    value, variance : float32 arrays, shape (ny, nx)
    is_known : bool array, shape (ny, nx)
        False where nobody else was, or nobody asked.
    """

    value: Float32Array
    variance: Float32Array
    is_known: BoolArray

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> ChipBlot:
        """Return a blot that knows nothing yet, its arrays writable."""
        value, variance = np.zeros((2, *shape), np.float32)
        return cls(value, variance, np.zeros(shape, bool))


def interpolated(others: Others, where: BoolArray) -> ChipBlot:
    """Return the others at the pixels of `where`, by cubics (Keys 1981, a = -1/2).

    A pixel is known if all sixteen about it have weight. Few pixels are asked for, so that
    nothing is done for the whole chip, no prefilter either.
    """
    blot = ChipBlot.empty(others.pixel_map.shape)
    row, column = np.nonzero(where)
    value, hole = others.mean.mean()
    ny, nx = value.shape
    at = _on_grid(others, row, column)
    x, y = np.floor(at.x).astype(np.int64), np.floor(at.y).astype(np.int64)
    inside = (x >= 1) & (y >= 1) & (x < nx - 2) & (y < ny - 2)
    row, column, x, y = row[inside], column[inside], x[inside], y[inside]
    u, v = at.x[inside] - x, at.y[inside] - y
    total, good = np.zeros(len(row)), np.ones(len(row), bool)
    flat, bad = value.ravel(), hole.ravel()
    for start in range(0, len(row), _POINTS_AT_ONCE):
        part = slice(start, start + _POINTS_AT_ONCE)
        first = y[part] * nx + x[part]
        weights = _keys(u[part])
        for j, along in enumerate(_keys(v[part]), start=-1):
            for i, across in enumerate(weights, start=-1):
                index = first + (j * nx + i)
                total[part] += across * along * flat[index]
                good[part] &= ~bad[index]
    row, column, total = row[good], column[good], total[good]
    nearest = (np.rint(v) + y).astype(np.int64)[good], (np.rint(u) + x).astype(np.int64)[good]
    area = _area(others, row, column)
    blot.value[row, column] = total * area
    blot.variance[row, column] = area**2 / others.mean.weight[nearest]
    blot.is_known[row, column] = True
    return blot


def brightest_nearby(others: Others, where: BoolArray, reach: int) -> ChipBlot:
    """Return the others' brightest pixel within `reach` of the pixels of `where`; 0 at least."""
    blot = ChipBlot.empty(others.pixel_map.shape)
    row, column = np.nonzero(where)
    value = others.mean.mean().value.astype(np.float32)
    brightest = ndimage.maximum_filter(value, 2 * reach + 1, mode="constant")
    at = _on_grid(others, row, column)
    ny, nx = value.shape
    x, y = np.rint(at.x).astype(np.int64), np.rint(at.y).astype(np.int64)
    inside = (x >= 0) & (y >= 0) & (x < nx) & (y < ny)
    row, column, x, y = row[inside], column[inside], x[inside], y[inside]
    weight = others.mean.weight[y, x]
    seen = weight > 0
    row, column, x, y = row[seen], column[seen], x[seen], y[seen]
    area = _area(others, row, column)
    blot.value[row, column] = np.maximum(brightest[y, x] * area, 0)
    blot.variance[row, column] = area**2 / weight[seen]
    blot.is_known[row, column] = True
    return blot


def _on_grid(others: Others, row: IntArray, column: IntArray) -> Points:
    """Return where pixels of the chip lie in the box of the mean."""
    found = others.pixel_map.to_grid(Points(column.astype(float), row.astype(float)))
    return Points(found.x - others.mean.box.x0, found.y - others.mean.box.y0)


def _area(others: Others, row: IntArray, column: IntArray) -> FloatArray:
    return np.asarray(others.pixel_map.areas_at(row, column), float)


def _keys(u: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return the weights of the four pixels about a position `u` beyond the second of them."""
    return (
        u * (-0.5 + u * (1.0 - 0.5 * u)),
        1.0 + u * u * (-2.5 + 1.5 * u),
        u * (0.5 + u * (2.0 - 1.5 * u)),
        u * u * (-0.5 + 0.5 * u),
    )
