"""Variance of the differences of neighbouring pixels, cell by cell of a plane, in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray, LabelArray, contiguous
from alignsvc.numerics.compiled import compiled, compiled_sums
from alignsvc.numerics.middle_value import middle_value

#: Median of the absolute value of a normal variable.
_MEDIAN = 0.6745
#: Differences that tell of the noise, in standard deviations, and the variance of normal ones up
#: to there. (The median alone needs three times as many for the same error.)
_MOST_SIGMA, _OF_VARIANCE = 3.0, 0.9733
#: Of every so many rows the differences along x, and along y those from there to the next row.
_ROWS_APART = 4
#: Of so many differences one tells the median, which only bounds the rest: an odd number, so that
#: it is of all columns. Where that leaves too few, all do.
_OF_MEDIAN, _LEAST_OF_MEDIAN = 17, 16


@dataclass(frozen=True, slots=True, eq=False)
class NeighbourDifferences:
    """How neighbours differ in each cell of a plane, outliers left out.

    Parameters
    ----------
    variance : float64 array, shape (rows of cells, columns of cells, 2)
        Along x and along y; 0 where there are none.
    number : int64 array, same shape
        How many differences there are.
    """

    variance: FloatArray
    number: IntArray

    @classmethod
    def of(
        cls, value: Float32Array, weight: Float32Array, label: LabelArray, cell_px: int
    ) -> NeighbourDifferences:
        """Return the differences of ``value * sqrt(weight)`` where both neighbours are sky.

        Parameters
        ----------
        value : float32 array, shape (ny, nx)
        weight : float32 array, same shape
            Where it is 0 nothing is known.
        label : int32 or int64 array, same shape, or (0, 0)
            0 = sky; (0, 0) = all of it.
        cell_px : int
            Side of a cell.
        """
        cells = tuple(-(-max(n, 1) // cell_px) for n in value.shape)
        found = cls(np.zeros((*cells, 2)), np.zeros((*cells, 2), np.int64))
        planes = _Planes(*(contiguous(one) for one in (value, weight, label)))
        _measure(planes, cell_px, found.variance, found.number)
        return found


class _Planes(NamedTuple):
    """What is known of the pixels of a plane, of one shape."""

    value: Float32Array
    weight: Float32Array
    label: LabelArray


@compiled_sums
def _measure(planes: _Planes, cell_px: int, variance: FloatArray, number: IntArray) -> None:
    """Fill `variance` and add to `number`, which are those of `NeighbourDifferences`."""
    ny, nx = planes.value.shape
    n_columns = number.shape[1]
    most = cell_px * ((cell_px + _ROWS_APART - 1) // _ROWS_APART)
    differences = np.empty((n_columns, 2, most), np.float32)
    some = np.empty(most, np.float32)
    here, below = np.empty(nx, np.float32), np.empty(nx, np.float32)
    for row in range(number.shape[0]):
        _forget(differences.reshape(-1))
        # Whole rows of pixels, as they lie in memory.
        y0, y1 = row * cell_px, min((row + 1) * cell_px, ny)
        for k in range((y1 - y0 + _ROWS_APART - 1) // _ROWS_APART):
            y = y0 + k * _ROWS_APART
            _standardise(planes, y, here)
            if y + 1 < ny:
                _standardise(planes, y + 1, below)
            for column in range(n_columns):
                x0, x1 = column * cell_px, min((column + 1) * cell_px, nx)
                last, sizes = min(x1, nx - 1), differences[column, :, k * cell_px :]
                _differ(here[x0 + 1 : last + 1], here[x0:last], sizes[0])
                if y + 1 < ny:
                    _differ(below[x0:x1], here[x0:x1], sizes[1])
        for column in range(n_columns):
            for axis in range(2):
                sizes = differences[column, axis]
                n = _n_known(sizes)
                number[row, column, axis] = n
                if n:
                    variance[row, column, axis] = _variance(sizes, some)


@compiled_sums
def _standardise(planes: _Planes, row: int, found: Float32Array) -> None:
    """Fill `found` with a row in units of its noise, NaN where nothing tells of it."""
    value, weight = planes.value[row], planes.weight[row]
    for x in range(found.size):
        unit = np.sqrt(weight[x])
        found[x] = value[x] * unit if unit > 0 else np.float32(np.nan)
    if planes.label.size:
        label = planes.label[row]
        for x in range(found.size):
            found[x] = found[x] if label[x] == 0 else np.float32(np.nan)


@compiled
def _forget(sizes: Float32Array) -> None:
    for k in range(sizes.size):
        sizes[k] = np.float32(np.nan)


@compiled_sums
def _differ(one: Float32Array, other: Float32Array, sizes: Float32Array) -> None:
    """Fill the first of `sizes` with those of differences; NaN where one of the two is."""
    for x in range(one.size):
        sizes[x] = abs(one[x] - other[x])


@compiled_sums
def _n_known(sizes: Float32Array) -> int:
    n = 0
    for k in range(sizes.size):
        n += sizes[k] == sizes[k]
    return n


@compiled_sums
def _variance(sizes: Float32Array, some: Float32Array) -> float:
    """Return the mean square of the known sizes, few but the largest left out; `some` is room."""
    n_some = _take(sizes, _OF_MEDIAN, some)
    if n_some < _LEAST_OF_MEDIAN:
        n_some = _take(sizes, 1, some)
    most = np.float32(_MOST_SIGMA / _MEDIAN) * _median(some[:n_some])
    total, n = np.float32(0), 0
    for k in range(sizes.size):
        # Chosen first and added whatever it is: a sum on a condition fills no lanes.
        is_near = sizes[k] <= most
        near = sizes[k] if is_near else np.float32(0)
        total += near * near
        n += is_near
    return float(total / n / _OF_VARIANCE)


@compiled
def _take(sizes: Float32Array, every: int, some: Float32Array) -> int:
    """Put every so manieth size, if it is known, at the beginning of `some`; return how many."""
    n = 0
    for k in range(0, sizes.size, every):
        some[n] = sizes[k]
        n += sizes[k] == sizes[k]  # False for NaN, and no branch
    return n


@compiled
def _median(some: Float32Array) -> np.float32:
    """Return the median, and put the values into another order."""
    n = some.size
    half, middle = n // 2, middle_value(some)
    if n % 2:
        return middle
    below = some[0]
    for k in range(1, half):
        below = max(below, some[k])
    return np.float32(np.float32(0.5) * (below + middle))
