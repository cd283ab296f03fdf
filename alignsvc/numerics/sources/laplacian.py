"""Cosmic rays on an exposure by itself: edges sharper than any star's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, IntArray
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sources.spread_masks import dilated


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
        # A ray beside a pixel may make it one, wherever that ray lies.
        row, column = np.nonzero(dilated(where, 1))
        edges = _positive_laplacian(chip, row, column)
        significance = 0.5 * edges * np.sqrt(chip.weight[row, column])
        found = np.zeros(chip.shape, bool)
        alone = significance > self.sigma[0]
        at = row[alone], column[alone]
        found[at] = self._sharp(chip, edges[alone], at, self.sigma[0])
        near = where & dilated(found, 1) & ~found
        beside = near[row, column] & (significance > self.sigma[1])
        at = row[beside], column[beside]
        found[at] = self._sharp(chip, edges[beside], at, self.sigma[1])
        return found & where

    def _sharp(
        self,
        chip: CalibratedChip,
        edges: Float32Array,
        at: tuple[IntArray, IntArray],
        sigma: float,
    ) -> BoolArray:
        """Return which pixels (rows, columns) are too sharp for photon noise and for stars."""
        variance = 1.0 / chip.weight[at]
        if chip.gain is not None:
            variance = variance + np.maximum(_smooth(chip, *at), 0) / chip.gain
        found = np.asarray(0.5 * edges > sigma * np.sqrt(variance), bool)
        # The fine structure costs most, and few get so far.
        row, column = (one[found] for one in at)
        found[found] = edges[found] > self.contrast * _fine(chip, row, column)
        return found


def _values(chip: CalibratedChip, row: IntArray, column: IntArray) -> Float32Array:
    """Return pixels, masked ones as the sky; beyond the chip's edge its nearest."""
    ny, nx = chip.shape
    index = np.clip(row, 0, ny - 1) * nx + np.clip(column, 0, nx - 1)
    return np.where(np.take(chip.mask, index), np.float32(0), np.take(chip.pixels, index))


def _positive_laplacian(chip: CalibratedChip, row: IntArray, column: IntArray) -> Float32Array:
    """Return the mean over a pixel's corners of the positive part of its second difference."""
    centre = _values(chip, row, column)
    left, right = (centre - _values(chip, row, column + step) for step in (-1, 1))
    below, above = (centre - _values(chip, row + step, column) for step in (-1, 1))
    total = np.zeros(len(row), np.float32)
    for beside in (left, right):
        for over in (below, above):
            total += np.maximum(beside + over, 0)
    total *= np.float32(0.25)
    return total


def _smooth(chip: CalibratedChip, row: IntArray, column: IntArray) -> Float32Array:
    """Return the median over 5 x 5 at some pixels."""
    local = np.zeros(len(row), np.float32)
    for part in _portions(len(row)):
        local[part] = np.median(_windows(chip, row[part], column[part], 2), axis=(1, 2))
    return local


def _fine(chip: CalibratedChip, row: IntArray, column: IntArray) -> Float32Array:
    """Return the fine structure at some pixels: median over 3 x 3 less that over 7 x 7 of those.

    The paper's ``M3 - M7(M3)``.
    """
    fine = np.zeros(len(row), np.float32)
    for part in _portions(len(row)):
        windows = _windows(chip, row[part], column[part], 4)
        small = np.lib.stride_tricks.sliding_window_view(windows, (3, 3), axis=(1, 2))
        medians = np.median(small.reshape(len(windows), 7, 7, 9), axis=3)
        fine[part] = medians[:, 3, 3] - np.median(medians, axis=(1, 2))
    return fine


def _windows(chip: CalibratedChip, row: IntArray, column: IntArray, reach: int) -> Float32Array:
    """Return squares about pixels, shape (n, side, side)."""
    step = np.arange(-reach, reach + 1)
    return _values(chip, row[:, None, None] + step[:, None], column[:, None, None] + step)


def _portions(n: int) -> Iterator[slice]:
    """Return slices of pixels worked on at once: their windows stay small."""
    return (slice(start, start + 4096) for start in range(0, n, 4096))
