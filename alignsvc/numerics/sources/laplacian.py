"""Cosmic rays on an exposure by itself: edges sharper than any star's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, IntArray, contiguous
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sources.spread_masks import any_about, dilated


@dataclass(frozen=True, slots=True)
class LaplacianRejection:
    """Find pixels with sharper edges than a point source has (van Dokkum 2001, PASP 113, 1420).

    Parameters
    ----------
    sigma : (float, float)
        Least significance of the Laplacian, alone and beside a ray.
    contrast : float
        Least ratio of the Laplacian to the fine structure of well-sampled sources, the paper's
        f_lim; 2 suits stars of FWHM 3 px and more, 5 those of 2 px; sharper ones look like rays.

    Notes
    -----
    The paper's Laplacian of the image resampled twice as fine, negative values set to 0 and
    binned back, is for each pixel the mean over its four corners of ``max(0, 2 c - h - v)``
    with h and v the neighbours beside that corner. Medians are taken at the few pixels where
    that is significant, not over the image; there is one iteration, as a mosaic forgives.
    """

    sigma: tuple[float, float] = (4.5, 2.0)
    contrast: float = 3.0

    def __call__(self, chip: CalibratedChip, where: BoolArray) -> BoolArray:
        """Return which pixels of `where` are rays, shape (ny, nx); never masked ones.

        Masked pixels take the value of the sky. Only what touches `where` is looked at.
        """
        found = np.zeros(chip.shape, bool)
        # A ray beside a pixel may make it one, wherever that ray lies.
        at = np.flatnonzero(dilated(where, 1))
        edges = _positive_laplacian(_planes(chip), at)
        significance = 0.5 * edges * np.sqrt(chip.weight.take(at))
        alone = significance > self.sigma[0]
        alone[alone] = self._sharp(chip, edges[alone], at[alone], self.sigma[0])
        found.reshape(-1)[at[alone]] = True
        beside = ~alone & (significance > self.sigma[1]) & where.take(at)
        beside[beside] = any_about(found, at[beside])
        beside[beside] = self._sharp(chip, edges[beside], at[beside], self.sigma[1])
        found.reshape(-1)[at[beside]] = True
        return found & where

    def _sharp(
        self, chip: CalibratedChip, edges: Float32Array, at: IntArray, sigma: float
    ) -> BoolArray:
        """Return which of some pixels are too sharp for photon noise and for stars."""
        variance = 1.0 / chip.weight.take(at)
        if chip.gain is not None:
            variance = variance + np.maximum(_smooth(_planes(chip), at), 0) / chip.gain
        found = np.asarray(0.5 * edges > sigma * np.sqrt(variance), bool)
        # The fine structure costs most, and few get so far.
        found[found] = edges[found] > self.contrast * _fine(_planes(chip), at[found])
        return found


class _Planes(NamedTuple):
    """A chip as compiled functions take it."""

    pixels: Float32Array
    mask: BoolArray


def _planes(chip: CalibratedChip) -> _Planes:
    return _Planes(*(contiguous(of) for of in (chip.pixels, chip.mask)))


@compiled
def _value(chip: _Planes, y: int, x: int) -> np.float32:
    """Return a pixel, a masked one as the sky; beyond the chip's edge its nearest."""
    ny, nx = chip.pixels.shape
    y, x = min(max(y, 0), ny - 1), min(max(x, 0), nx - 1)
    return np.float32(0) if chip.mask[y, x] else chip.pixels[y, x]


@compiled
def _positive_laplacian(chip: _Planes, at: IntArray) -> Float32Array:
    """Return the mean over a pixel's corners of the positive part of its second difference."""
    nx = chip.pixels.shape[1]
    edges, none, quarter = np.empty(at.size, np.float32), np.float32(0), np.float32(0.25)
    for k in range(at.size):
        y = at[k] // nx
        x = at[k] - y * nx
        centre = _value(chip, y, x)
        left, right = centre - _value(chip, y, x - 1), centre - _value(chip, y, x + 1)
        below, above = centre - _value(chip, y - 1, x), centre - _value(chip, y + 1, x)
        corners = max(left + below, none)
        corners += max(left + above, none)
        corners += max(right + below, none)
        corners += max(right + above, none)
        edges[k] = quarter * corners
    return edges


@compiled
def _smooth(chip: _Planes, at: IntArray) -> Float32Array:
    """Return the median over 5 x 5 at some pixels."""
    nx = chip.pixels.shape[1]
    local, window = np.empty(at.size, np.float32), np.empty((5, 5), np.float32)
    for k in range(at.size):
        y = at[k] // nx
        _fill(window, chip, y, at[k] - y * nx)
        local[k] = _middle(window.reshape(-1))
    return local


@compiled
def _fine(chip: _Planes, at: IntArray) -> Float32Array:
    """Return the fine structure at some pixels: median over 3 x 3 less that over 7 x 7 of those.

    The paper's ``M3 - M7(M3)``.
    """
    nx = chip.pixels.shape[1]
    fine, window = np.empty(at.size, np.float32), np.empty((9, 9), np.float32)
    medians, columns = np.empty((7, 7), np.float32), np.empty((3, 9), np.float32)
    for k in range(at.size):
        y = at[k] // nx
        _fill(window, chip, y, at[k] - y * nx)
        for row in range(7):
            _medians_of_nine(window[row : row + 3], columns, medians[row])
        fine[k] = medians[3, 3] - _middle(medians.reshape(-1))
    return fine


@compiled
def _fill(window: Float32Array, chip: _Planes, y: int, x: int) -> None:
    """Write a square about a pixel."""
    side = window.shape[0]
    for j in range(side):
        for i in range(side):
            window[j, i] = _value(chip, y + j - side // 2, x + i - side // 2)


@compiled
def _medians_of_nine(rows: Float32Array, columns: Float32Array, medians: Float32Array) -> None:
    """Write the medians over 3 x 3 of three rows of nine, and the nine `columns` sorted.

    Of three sorted columns it is the middle one of the highest of the lowest, the middle of the
    middle and the lowest of the highest.
    """
    low, middle, high = columns[0], columns[1], columns[2]
    for i in range(9):
        a, b, c = rows[0, i], rows[1, i], rows[2, i]
        low[i], middle[i], high[i] = min(min(a, b), c), _middle_of_three(a, b, c), max(max(a, b), c)
    for i in range(7):
        medians[i] = _middle_of_three(
            max(max(low[i], low[i + 1]), low[i + 2]),
            _middle_of_three(middle[i], middle[i + 1], middle[i + 2]),
            min(min(high[i], high[i + 1]), high[i + 2]),
        )


@compiled
def _middle_of_three(a: np.float32, b: np.float32, c: np.float32) -> np.float32:
    return max(min(a, b), min(max(a, b), c))


@compiled
def _middle(values: Float32Array) -> np.float32:
    """Return the median of an odd number of values: that with as many below as above."""
    half = values.size // 2
    for k in range(values.size):
        below, same = np.int32(0), np.int32(0)
        for i in range(values.size):
            below += np.int32(values[i] < values[k])
            same += np.int32(values[i] == values[k])
        if below <= half < below + same:
            return np.float32(values[k])
    return np.float32(np.nan)
