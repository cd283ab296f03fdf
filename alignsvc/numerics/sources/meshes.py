"""Meshes of sky cells: robust statistics of a cell, mending, smoothing and interpolation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray, read_only
from alignsvc.numerics.compiled import compiled, compiled_sums

#: The cut of the clipping, in standard deviations: the value of Bertin & Arnouts (1996).
CLIP_SIGMA = 3.0
_MAX_ITERATIONS = 20
#: Parts of a Gaussian that lie below minus 1 and minus 2 rms.
_LOWER_SIDE = ((0.15866, 1.0), (0.02275, 2.0))
#: Mean and median this close (in rms) mean a symmetric histogram: the mode formula holds
#: (SExtractor's rule; beyond it the field is crowded and the median is the safer number).
_SYMMETRIC = 0.3


@dataclass(frozen=True, slots=True)
class CellValue:
    """Robust statistics of a set of pixels: `level` (mode), `rms` and how many were given.

    `level` and `rms` are NaN where there are no pixels.
    """

    level: float
    rms: float
    count: int


def statistics_where(
    pixels: NDArray[np.floating], good: BoolArray, clip_sigma: float = CLIP_SIGMA
) -> CellValue:
    """Return `clipped_statistics` of the `good` pixels; both of one shape."""
    # Either way a copy, which may be sorted where it lies.
    if good.all():
        values = pixels.flatten()
    else:
        values = np.empty(pixels.size + 1, pixels.dtype)
        values = values[: _gather(read_only(pixels), read_only(good), values)]
    values.sort()
    return _statistics_of_sorted(values, clip_sigma)


@compiled
def _gather(pixels: NDArray[np.floating], good: BoolArray, out: NDArray[np.floating]) -> int:
    """Write the good pixels, and anything into the one after them; return how many they are."""
    n = 0
    for r in range(pixels.shape[0]):
        row, is_good = pixels[r], good[r]
        for c in range(len(row)):
            out[n] = row[c]
            n += is_good[c]
    return n


def clipped_statistics(values: NDArray[np.floating], clip_sigma: float = CLIP_SIGMA) -> CellValue:
    """Return the mode and noise of `values` after clipping about the median.

    Parameters
    ----------
    values : array
        Finite pixels in any order; sources are allowed, they are the upper tail.
    clip_sigma : float
        Values farther from the median than this many rms are left out, until none is.

    Notes
    -----
    The mode is ``2.5 median - 1.5 mean`` (Bertin & Arnouts 1996) of a nearly symmetric
    histogram, the median of another. The first cut takes its rms from the lower side, which
    sources hardly touch, and no later cut is narrower: in integers with little noise most pixels
    equal the median, and cut after cut would leave nothing else. A Gaussian cut at ``k`` has the
    variance ``1 - 2 k phi(k) / (2 Phi(k) - 1)``: the rms is divided by the root of that.
    """
    return _statistics_of_sorted(np.sort(values, axis=None), clip_sigma)


def _statistics_of_sorted(ordered: NDArray[np.floating], clip_sigma: float) -> CellValue:
    """Return the `clipped_statistics` of values in ascending order."""
    n = ordered.size
    if n == 0:
        return CellValue(math.nan, math.nan, 0)
    if ordered.dtype != np.float32:
        ordered = ordered.astype(np.float64, copy=False)
    level, rms = _clipped(ordered, clip_sigma, _clipped_deviation(clip_sigma))
    return CellValue(level, rms, n)


@compiled
def _clipped(
    ordered: NDArray[np.floating], clip_sigma: float, narrowing: float
) -> tuple[float, float]:
    """Return mode and rms, as `clipped_statistics` says, of one or more ascending values."""
    n = ordered.size
    centre = np.float64(ordered[n // 2])
    lower = 0.0
    for part, depth in _LOWER_SIDE:
        lower = max(lower, (centre - np.float64(ordered[int(part * n)])) / depth)
    # In sorted order the pixels that are kept are a slice, of which a cut moves only the ends.
    low, high = n // 2, n // 2
    median, mean, total, squares, rms = 0.0, 0.0, 0.0, 0.0, lower
    for _ in range(_MAX_ITERATIONS):
        reach = clip_sigma * max(rms, lower)
        new_low = _first_at_least(ordered, centre, median - reach)
        new_high = _first_above(ordered, centre, median + reach)
        if (low, high) == (new_low, new_high) or new_high <= new_low:
            break
        for old, new, sign in ((low, new_low, -1.0), (high, new_high, 1.0)):
            more, more_squares = _sums(ordered[min(old, new) : max(old, new)], centre)
            sign = sign if new > old else -sign
            total += sign * more
            squares += sign * more_squares
        low, high = new_low, new_high
        kept = high - low
        mean = total / kept
        rms = math.sqrt(max(squares / kept - mean * mean, 0.0)) / narrowing
        below, above = ordered[low + (kept - 1) // 2], ordered[low + kept // 2]
        median = 0.5 * ((np.float64(below) - centre) + (np.float64(above) - centre))
    mode = 2.5 * median - 1.5 * mean if abs(mean - median) < _SYMMETRIC * rms else median
    return centre + mode, rms


@compiled_sums
def _sums(values: NDArray[np.floating], centre: float) -> tuple[float, float]:
    """Return the sums of deviations from `centre`, and of their squares."""
    total, squares = 0.0, 0.0
    for i in range(values.size):
        deviation = np.float64(values[i]) - centre
        total += deviation
        squares += deviation * deviation
    return total, squares


@compiled
def _first_at_least(ordered: NDArray[np.floating], centre: float, deviation: float) -> int:
    """Return how many of the ascending values lie below `centre` plus `deviation`."""
    low, high = 0, ordered.size
    while low < high:
        middle = (low + high) // 2
        if np.float64(ordered[middle]) - centre < deviation:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _first_above(ordered: NDArray[np.floating], centre: float, deviation: float) -> int:
    """Return how many of the ascending values lie at or below `centre` plus `deviation`."""
    low, high = 0, ordered.size
    while low < high:
        middle = (low + high) // 2
        if np.float64(ordered[middle]) - centre <= deviation:
            low = middle + 1
        else:
            high = middle
    return low


@cache
def _clipped_deviation(clip_sigma: float) -> float:
    """Return the standard deviation of a unit Gaussian cut at plus and minus `clip_sigma`."""
    density = math.exp(-0.5 * clip_sigma**2) / math.sqrt(2.0 * math.pi)
    inside = math.erf(clip_sigma / math.sqrt(2.0))
    return math.sqrt(1.0 - 2.0 * clip_sigma * density / inside)


def mended(mesh: FloatArray, trusted: BoolArray) -> FloatArray:
    """Return `mesh` with the cells that are not `trusted` continued from their nearest trusted one.

    The continuation is the odd reflection about that cell, ``2 m(nearest) - m(mirror)``, which
    keeps a gradient; where the mirror cell is not trusted either, the nearest one's value.
    """
    if trusted.all() or not trusted.any():
        return mesh
    nearest = ndimage.distance_transform_edt(~trusted, return_distances=False, return_indices=True)
    mirror = 2 * nearest - np.indices(mesh.shape)
    inside = (mirror >= 0).all(axis=0) & (mirror[0] < len(mesh)) & (mirror[1] < mesh.shape[1])
    mirror = np.where(inside, mirror, nearest)
    mirror = np.where(trusted[tuple(mirror)], mirror, nearest)
    values: FloatArray = np.where(trusted, mesh, 0.0)
    continued: FloatArray = 2.0 * values[tuple(nearest)] - values[tuple(mirror)]
    return continued


def median_filtered(mesh: FloatArray, size: int) -> FloatArray:
    """Return the running median over `size` x `size` cells (odd); a plane is unchanged.

    The mesh is continued linearly beyond its border, so that the median of a gradient is the
    gradient there too, even for 2 x 2 cells.
    """
    if size == 1:
        return mesh
    padded = extrapolated(mesh, size // 2)
    medians: FloatArray = np.median(sliding_window_view(padded, (size, size)), axis=(2, 3))
    return medians


def extrapolated(mesh: FloatArray, margin: int) -> FloatArray:
    """Return `mesh` continued linearly by `margin` cells on every side.

    An axis of one cell is continued by its value.
    """
    for axis in (0, 1):
        first, last = mesh.take([0], axis), mesh.take([-1], axis)
        step = min(1, mesh.shape[axis] - 1)
        before, after = first - mesh.take([step], axis), last - mesh.take([-1 - step], axis)
        lower = [first + k * before for k in range(margin, 0, -1)]
        upper = [last + k * after for k in range(1, margin + 1)]
        mesh = np.concatenate([*lower, mesh, *upper], axis=axis)
    return mesh


@dataclass(frozen=True, slots=True, eq=False)
class MeshSurface:
    """A mesh between its nodes, row by row as it is asked for.

    Parameters
    ----------
    lines : float32 array, shape (lines, nx)
        The mesh's rows, continued beyond its ends, at the columns wanted.
    first : int64 array, shape (ny,)
        Of the four lines that make up a row.
    weights : float32 array, shape (4, ny)
        Of these lines.

    Notes
    -----
    Cubic convolution with a = -1/2 (Keys 1981, IEEE ASSP 29, 1153): through the nodes, exact
    for parabolas. Every output is the same four products and three sums of the same numbers,
    whatever else is asked for: a pixel has the same bits in every box that holds it.
    """

    lines: Float32Array
    first: IntArray
    weights: Float32Array

    @classmethod
    def of(cls, mesh: FloatArray, rows: FloatArray, columns: FloatArray) -> MeshSurface:
        """Return the surface of a mesh at ``rows x columns``.

        Parameters
        ----------
        mesh : float64 array, shape (n_rows, n_columns)
        rows, columns : float64 arrays, shapes (ny,) and (nx,)
            Coordinates in cells, 0 = centre of the first: within one cell of the mesh's
            centres, outside which it is continued linearly.
        """
        padded = extrapolated(mesh, 3)
        first_rows, row_weights = _cubic_taps(rows, mesh.shape[0])
        first_columns, column_weights = _cubic_taps(columns, mesh.shape[1])
        along_x = np.zeros((len(padded), columns.size))
        for tap in range(4):
            along_x += column_weights[tap] * padded[:, first_columns + tap]
        return cls(along_x.astype(np.float32), first_rows, row_weights.astype(np.float32))

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        return self.first.size, self.lines.shape[1]

    def rows_into(self, y0: int, out: Float32Array) -> None:
        """Fill `out`, shape (n, nx), with the n rows from `y0` on."""
        _add_lines(self.lines, self.first, self.weights, y0, out)


def interpolated(mesh: FloatArray, rows: FloatArray, columns: FloatArray) -> Float32Array:
    """Return the mesh at ``rows x columns``, shape (ny, nx), as `MeshSurface.of` takes them."""
    out = np.empty((rows.size, columns.size), np.float32)
    MeshSurface.of(mesh, rows, columns).rows_into(0, out)
    return out


@compiled
def _add_lines(
    lines: Float32Array, first: IntArray, weights: Float32Array, y0: int, out: Float32Array
) -> None:
    """Fill each row of `out` with four lines from its first on, weighted, in their order."""
    for row in range(out.shape[0]):
        y = y0 + row
        k = first[y]
        a, b, c, d = weights[0, y], weights[1, y], weights[2, y], weights[3, y]
        for x in range(out.shape[1]):
            total = a * lines[k, x] + b * lines[k + 1, x]
            total += c * lines[k + 2, x]
            out[row, x] = total + d * lines[k + 3, x]


def _cubic_taps(position: FloatArray, n_cells: int) -> tuple[IntArray, FloatArray]:
    """Return the first of four taps in a mesh padded by 3, and the weights, shape (4, n)."""
    below = np.clip(np.floor(position), -2, n_cells)
    t = position - below
    weights = np.stack(
        [
            ((-0.5 * t + 1.0) * t - 0.5) * t,
            (1.5 * t - 2.5) * t * t + 1.0,
            ((-1.5 * t + 2.0) * t + 0.5) * t,
            (0.5 * t - 0.5) * t * t,
        ]
    )
    return below.astype(np.int64) + 2, weights
