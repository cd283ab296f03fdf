"""Variance of the differences of neighbouring pixels, cell by cell of a plane, in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray, contiguous
from alignsvc.numerics.compiled import compiled, compiled_sums

#: Median of the absolute value of a normal variable.
_MEDIAN = 0.6745
#: Differences that tell of the noise, in standard deviations, and the variance of normal ones up
#: to there. (The median alone needs three times as many for the same error.)
_MOST_SIGMA, _OF_VARIANCE = 3.0, 0.9733
#: Of every so many rows the differences along x, and along y those from there to the next row.
_ROWS_APART = 2
#: Of so many differences one tells the median, which only bounds the rest.
_OF_MEDIAN = 16


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
        cls, value: Float32Array, weight: Float32Array, sky: BoolArray, cell_px: int
    ) -> NeighbourDifferences:
        """Return the differences of ``value * sqrt(weight)`` where both neighbours are sky.

        Parameters
        ----------
        value : float32 array, shape (ny, nx)
        weight : float32 array, same shape
            Where it is 0 nothing is known.
        sky : bool array, same shape
        cell_px : int
            Side of a cell.
        """
        cells = tuple(-(-max(n, 1) // cell_px) for n in value.shape)
        found = cls(np.zeros((*cells, 2)), np.zeros((*cells, 2), np.int64))
        planes = _Planes(*(contiguous(one) for one in (value, weight, sky)))
        _measure(planes, cell_px, found.variance, found.number)
        return found


class _Planes(NamedTuple):
    """What is known of the pixels of a plane, of one shape."""

    value: Float32Array
    weight: Float32Array
    sky: BoolArray


@compiled_sums
def _measure(planes: _Planes, cell_px: int, variance: FloatArray, number: IntArray) -> None:
    """Fill `variance` and add to `number`, which are those of `NeighbourDifferences`."""
    ny, nx = planes.value.shape
    n_columns = number.shape[1]
    most = cell_px * (cell_px // _ROWS_APART + 1)
    differences = np.empty((n_columns, 2, most), np.float32)
    here, below = np.empty(nx, np.float32), np.empty(nx, np.float32)
    for row in range(number.shape[0]):
        # Whole rows of pixels, as they lie in memory.
        for y in range(row * cell_px, min((row + 1) * cell_px, ny), _ROWS_APART):
            _standardise(planes, y, here)
            if y + 1 < ny:
                _standardise(planes, y + 1, below)
            for column in range(n_columns):
                sizes, n = differences[column], number[row, column]
                x0, x1 = column * cell_px, min((column + 1) * cell_px, nx)
                last = min(x1, nx - 1)
                n[0] = _append(here[x0 + 1 : last + 1], here[x0:last], sizes[0], n[0])
                if y + 1 < ny:
                    n[1] = _append(below[x0:x1], here[x0:x1], sizes[1], n[1])
        for column in range(n_columns):
            for axis in range(2):
                n_sizes = number[row, column, axis]
                if n_sizes:
                    variance[row, column, axis] = _variance(differences[column, axis, :n_sizes])


@compiled_sums
def _standardise(planes: _Planes, row: int, found: Float32Array) -> None:
    """Fill `found` with a row in units of its noise, NaN where nothing tells of it."""
    value, weight, sky = planes.value[row], planes.weight[row], planes.sky[row]
    for x in range(found.size):
        known = sky[x] and weight[x] > 0
        found[x] = value[x] * np.sqrt(weight[x]) if known else np.float32(np.nan)


@compiled_sums
def _append(one: Float32Array, other: Float32Array, differences: Float32Array, n: int) -> int:
    """Put sizes of differences that are none of NaN behind the `n` first; return their number."""
    for x in range(one.size):
        size = abs(one[x] - other[x])
        differences[n] = size
        n += size == size  # False for NaN, and no branch
    return n


@compiled_sums
def _variance(sizes: Float32Array) -> float:
    """Return the mean square of the sizes of differences, few but the largest left out."""
    most = np.float32(_MOST_SIGMA / _MEDIAN) * _median(sizes)
    total, n = np.float32(0), 0
    for size in sizes:
        is_near = size <= most
        total += size * size if is_near else np.float32(0)
        n += is_near
    return float(total / n / _OF_VARIANCE)


@compiled
def _median(sizes: Float32Array) -> np.float32:
    """Return the median of some of the sizes: Hoare's selection, which is little to compile."""
    n = (sizes.size + _OF_MEDIAN - 1) // _OF_MEDIAN
    some = np.empty(n, np.float32)
    for k in range(n):
        some[k] = sizes[k * _OF_MEDIAN]
    low, high, half = 0, n - 1, n // 2
    while low < high:
        pivot, left, right = some[half], low, high
        while left <= right:
            while some[left] < pivot:
                left += 1
            while pivot < some[right]:
                right -= 1
            if left <= right:
                some[left], some[right] = some[right], some[left]
                left, right = left + 1, right - 1
        if right < half:
            low = left
        if half < left:
            high = right
    if n % 2:
        return np.float32(some[half])
    below = some[0]
    for k in range(1, half):
        below = max(below, some[k])
    return np.float32(np.float32(0.5) * (below + some[half]))
