"""Cosmic rays on an exposure by itself: edges sharper than any star's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from alignsvc.domain.arrays import BoolArray, Float32Array, IntArray
from alignsvc.numerics.resampling.calibrate import CalibratedChip

#: A window of 7 pixels of medians over 3, as the fine structure needs.
_REACH = 4


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

    def __call__(self, chip: CalibratedChip) -> BoolArray:
        """Return where rays are, shape (ny, nx); never where the chip is masked already.

        Masked pixels take the value of the sky.
        """
        pixels = np.where(chip.mask, np.float32(0), chip.pixels)
        edges = _positive_laplacian(pixels)
        significance = 0.5 * edges * np.sqrt(chip.weight)
        found = self._sharp(chip, edges, significance > self.sigma[0], self.sigma[0])
        near = ndimage.binary_dilation(found, np.ones((3, 3), bool)) & ~found
        beside = self._sharp(chip, edges, near & (significance > self.sigma[1]), self.sigma[1])
        return found | beside

    def _sharp(
        self, chip: CalibratedChip, edges: Float32Array, where: BoolArray, sigma: float
    ) -> BoolArray:
        """Return which pixels of `where` are too sharp for photon noise and for stars."""
        pixels = np.where(chip.mask, np.float32(0), chip.pixels)
        row, column = np.nonzero(where)
        local, fine = _smooth_and_fine(pixels, row, column)
        variance = 1.0 / chip.weight[where]
        if chip.gain is not None:
            variance = variance + np.maximum(local, 0) / chip.gain
        noise = np.sqrt(variance)
        found = where.copy()
        found[where] = (0.5 * edges[where] > sigma * noise) & (edges[where] > self.contrast * fine)
        return found


def _positive_laplacian(pixels: Float32Array) -> Float32Array:
    """Return the mean over a pixel's corners of the positive part of its second difference."""
    padded = np.pad(pixels, 1, mode="edge")
    left, right = pixels - padded[1:-1, :-2], pixels - padded[1:-1, 2:]
    below, above = pixels - padded[:-2, 1:-1], pixels - padded[2:, 1:-1]
    total = np.zeros(pixels.shape, np.float32)
    for beside in (left, right):
        for over in (below, above):
            total += np.maximum(beside + over, 0)
    total *= np.float32(0.25)
    return total


def _smooth_and_fine(
    pixels: Float32Array, row: IntArray, column: IntArray
) -> tuple[Float32Array, Float32Array]:
    """Return the median over 5 x 5, and the fine structure: median over 3 x 3 less that over 7 x 7.

    The paper's ``M3 - M7(M3)``, at some pixels only.
    """
    padded = np.pad(pixels, _REACH, mode="edge")
    local, fine = np.zeros((2, len(row)), np.float32)
    step = np.arange(2 * _REACH + 1)
    for start in range(0, len(row), 4096):
        part = slice(start, start + 4096)
        windows = padded[
            row[part, None, None] + step[:, None], column[part, None, None] + step[None, :]
        ]
        small = np.lib.stride_tricks.sliding_window_view(windows, (3, 3), axis=(1, 2))
        medians = np.median(small.reshape(len(windows), 7, 7, 9), axis=3)
        local[part] = np.median(windows[:, 2:-2, 2:-2], axis=(1, 2))
        fine[part] = medians[:, 3, 3] - np.median(medians, axis=(1, 2))
    return local, fine
