"""Cosmic rays on an exposure by itself: edges sharper than any star's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, IntArray, contiguous
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.middle_value import middle_value
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sources.spread_masks import any_about, squares_about


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

    def __call__(self, chip: CalibratedChip, at: IntArray) -> BoolArray:
        """Return which of some pixels, shape (n,), are rays; never masked ones.

        Masked pixels take the value of the sky, but saturated ones that of the pixel at least: the
        rim of a star's core is no edge. Only what touches the pixels is looked at.

        Parameters
        ----------
        chip : CalibratedChip
        at : int64 array, shape (n,)
            Indices of pixels, row after row.
        """
        found, asked = np.zeros(chip.shape, bool), np.zeros(chip.shape, bool)
        asked.reshape(-1)[at] = True
        # A ray beside a pixel may make it one, wherever that ray lies.
        near = np.flatnonzero(squares_about(at, 1, chip.shape))
        edges = _positive_laplacian(_planes(chip), near)
        significance = 0.5 * edges * np.sqrt(chip.weight.take(near))
        alone = significance > self.sigma[0]
        alone[alone] = self._sharp(chip, edges[alone], near[alone], self.sigma[0])
        found.reshape(-1)[near[alone]] = True
        beside = ~alone & (significance > self.sigma[1]) & asked.take(near)
        beside[beside] = any_about(found, near[beside])
        beside[beside] = self._sharp(chip, edges[beside], near[beside], self.sigma[1])
        found.reshape(-1)[near[beside]] = True
        return found.take(at)

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
    saturated: BoolArray


def _planes(chip: CalibratedChip) -> _Planes:
    return _Planes(*(contiguous(of) for of in (chip.pixels, chip.mask, chip.saturated)))


@compiled
def _fill(window: Float32Array, chip: _Planes, y: int, x: int) -> None:
    """Write a square about a pixel; beyond the edge its nearest."""
    (ny, nx), side = chip.pixels.shape, window.shape[0]
    top, left, centre = y - side // 2, x - side // 2, chip.pixels[y, x]
    is_inside = top >= 0 and left >= 0 and top + side <= ny and left + side <= nx
    for j in range(side):
        row = top + j if is_inside else min(max(top + j, 0), ny - 1)
        for i in range(side):
            column = left + i if is_inside else min(max(left + i, 0), nx - 1)
            if chip.saturated[row, column]:
                window[j, i] = max(centre, chip.pixels[row, column])
            else:
                masked = chip.mask[row, column]
                window[j, i] = np.float32(0) if masked else chip.pixels[row, column]


@compiled
def _positive_laplacian(chip: _Planes, at: IntArray) -> Float32Array:
    """Return the mean over a pixel's corners of the positive part of its second difference."""
    nx = chip.pixels.shape[1]
    edges, none, quarter = np.empty(at.size, np.float32), np.float32(0), np.float32(0.25)
    window = np.empty((3, 3), np.float32)
    for k in range(at.size):
        y = at[k] // nx
        _fill(window, chip, y, at[k] - y * nx)
        centre = window[1, 1]
        left, right = centre - window[1, 0], centre - window[1, 2]
        below, above = centre - window[0, 1], centre - window[2, 1]
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
        local[k] = middle_value(window.reshape(-1))
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
        fine[k] = medians[3, 3] - middle_value(medians.reshape(-1))
    return fine


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
