"""The mosaic of all the others at chosen pixels of a chip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray, contiguous
from alignsvc.domain.geometry import Points
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.sky.pixel_map import PixelMap

#: Rows of which the brightest pixels are sought at once: they stay in the processor's cache.
_ROWS_AT_ONCE = 48


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


class PixelBlots(NamedTuple):
    """The others at n pixels of a chip, in units of the chip's; arrays of shape (n,).

    Parameters
    ----------
    at : int64 array
        Indices of the chip's pixels, row after row.
    value, variance : float32 arrays
        0 where they are not known.
    is_known : bool array
        False where nobody else was.
    """

    at: IntArray
    value: Float32Array
    variance: Float32Array
    is_known: BoolArray

    def select(self, chosen: BoolArray) -> PixelBlots:
        """Return those of the pixels that are `chosen`, shape (n,)."""
        return PixelBlots(
            self.at[chosen], self.value[chosen], self.variance[chosen], self.is_known[chosen]
        )


def interpolated(others: Others, at: IntArray) -> PixelBlots:
    """Return the others at some pixels of the chip, by cubics (Keys 1981, a = -1/2).

    A pixel is known if all sixteen about it have weight. Few pixels are asked for, so that
    nothing is done for the whole chip, no prefilter either.

    Parameters
    ----------
    others : Others
    at : int64 array, shape (n,)
        Indices of the chip's pixels, row after row.
    """
    row, column = np.divmod(at, others.pixel_map.shape[1])
    place = _on_grid(others, row, column)
    value, weight = _cubics(_sums(others.mean), place.x, place.y)
    area = others.pixel_map.areas_at(row, column).astype(np.float64)
    return _in_units_of_the_chip(at, value, weight, area)


@dataclass(frozen=True, slots=True, eq=False)
class BrightestNearby:
    """The others' brightest pixel near any pixel of a chip; 0 at least.

    Parameters
    ----------
    others : Others
    reach : int
        How far is looked along both axes.
    brightest : float32 array
        At each pixel of the others' mean the highest value near.
    """

    others: Others
    reach: int
    brightest: Float32Array

    @classmethod
    def within(cls, others: Others, reach: int) -> BrightestNearby:
        """Look at most `reach` pixels away along both axes."""
        return cls(others, reach, _highest(others.mean, reach))

    def at(self, pixels: IntArray) -> PixelBlots:
        """Return the brightest near some pixels of the chip, given as for `interpolated`."""
        ny, nx = self.brightest.shape
        row, column = np.divmod(pixels, self.others.pixel_map.shape[1])
        place = _on_grid(self.others, row, column)
        x, y = (np.rint(axis).astype(np.int64) for axis in (place.x, place.y))
        inside = (x >= 0) & (y >= 0) & (x < nx) & (y < ny)
        nearest = np.where(inside, y * nx + x, 0)
        weight = np.where(inside, np.take(self.others.mean.weight, nearest), 0)
        area = self.others.pixel_map.areas_at(row, column).astype(np.float64)
        brightest = np.maximum(np.take(self.brightest, nearest), 0)
        return _in_units_of_the_chip(pixels, brightest, weight, area)


def _in_units_of_the_chip(
    at: IntArray,
    value: NDArray[np.floating[Any]],
    weight: NDArray[np.floating[Any]],
    area: FloatArray,
) -> PixelBlots:
    is_known = weight > 0
    variance = np.zeros(area.shape)
    np.divide(area**2, weight, out=variance, where=is_known)
    return PixelBlots(
        at,
        np.where(is_known, value * area, 0).astype(np.float32),
        variance.astype(np.float32),
        is_known,
    )


def _on_grid(others: Others, row: IntArray, column: IntArray) -> Points:
    """Return where pixels of the chip lie in the box of the mean."""
    found = others.pixel_map.to_grid(Points(column.astype(float), row.astype(float)))
    return Points(found.x - others.mean.box.x0, found.y - others.mean.box.y0)


class _Sums(NamedTuple):
    """Planes of a contribution as compiled functions take them."""

    numerator: NDArray[np.floating[Any]]
    weight: NDArray[np.floating[Any]]


def _sums(mean: Contribution) -> _Sums:
    return _Sums(contiguous(mean.numerator), contiguous(mean.weight))


@compiled
def _cubics(mean: _Sums, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the mean interpolated at points, and the nearest pixel's weight; 0 if not known."""
    ny, nx = mean.weight.shape
    values, weights = np.zeros(x.size), np.zeros(x.size)
    across, along = np.empty(4), np.empty(4)
    for k in range(x.size):
        # False for NaN too.
        if not (x[k] >= 1 and y[k] >= 1 and x[k] < nx - 2 and y[k] < ny - 2):
            continue
        column, row = int(x[k]), int(y[k])
        _keys(x[k] - column, across)
        _keys(y[k] - row, along)
        total = 0.0
        least = np.inf
        for j in range(4):
            for i in range(4):
                weight = mean.weight[row + j - 1, column + i - 1]
                least = min(least, weight)
                value = mean.numerator[row + j - 1, column + i - 1] / weight
                total += across[i] * along[j] * value
        if least > 0:
            values[k] = total
            weights[k] = mean.weight[row + (y[k] - row > 0.5), column + (x[k] - column > 0.5)]
    return values, weights


@compiled
def _keys(u: float, weights: FloatArray) -> None:
    """Write the weights of the four pixels about a position `u` beyond the second of them."""
    weights[0] = u * (-0.5 + u * (1.0 - 0.5 * u))
    weights[1] = 1.0 + u * u * (-2.5 + 1.5 * u)
    weights[2] = u * (0.5 + u * (2.0 - 1.5 * u))
    weights[3] = u * u * (-0.5 + 0.5 * u)


def _highest(mean: Contribution, reach: int) -> Float32Array:
    """Return the highest mean at most `reach` pixels away along both axes; 0 beyond the box."""
    ny, nx = mean.weight.shape
    found = np.empty((ny, nx), np.float32)
    sums = _sums(mean)
    for y0 in range(0, ny, _ROWS_AT_ONCE):
        y1 = min(y0 + _ROWS_AT_ONCE, ny)
        top = max(y0 - reach, 0)
        wide = np.zeros((y1 - y0 + 2 * reach, nx + 2 * reach), np.float32)
        _write_means(sums, top, reach, wide[top - (y0 - reach) :])
        rows = _highest_in_a_row(wide.T, 2 * reach + 1).T
        found[y0:y1] = _highest_in_a_row(rows, 2 * reach + 1)
    return found


@compiled
def _write_means(mean: _Sums, first: int, margin: int, wide: Float32Array) -> None:
    """Write the means of the rows from `first` on, as many as there are and as there is room."""
    ny, nx = mean.weight.shape
    for row in range(min(wide.shape[0], ny - first)):
        for x in range(nx):
            weight = mean.weight[first + row, x]
            value = mean.numerator[first + row, x] / weight
            wide[row, margin + x] = value if weight > 0 else 0.0


def _highest_in_a_row(plane: Float32Array, n: int) -> Float32Array:
    """Return the highest of `n` pixels along the second axis, n - 1 columns fewer."""
    covered = 1
    while covered < n:
        step = min(covered, n - covered)
        plane = np.maximum(plane[:, :-step], plane[:, step:])
        covered += step
    return plane
