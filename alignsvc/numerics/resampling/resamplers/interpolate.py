"""Interpolation of the chip at the centres of grid pixels, by the lattice of the inverse map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.grid import MosaicGrid
from alignsvc.errors import ConfigError
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.resampling.gathering import KERNELS, gather, kernel_table, mended
from alignsvc.numerics.resampling.grid_units import bands, chip_box
from alignsvc.numerics.resampling.resamplers import RESAMPLERS
from alignsvc.numerics.resampling.resamplers.drizzle import DrizzleResampler
from alignsvc.numerics.sky.inverse_map import build_inverse_map
from alignsvc.numerics.sky.pixel_map import PixelMap


@RESAMPLERS.register("interpolate")
@dataclass(frozen=True, slots=True)
class InterpolatingResampler:
    """Reads each grid pixel off the chip at its centre.

    Sharper than drizzle: a star is not widened by the pixel once more. For the mosaic that is left;
    the loop drizzles. For chips sampled well enough (FWHM of 2 px and more) on a grid of
    about their own scale: on a coarser one pixels between centres are left out.

    Parameters
    ----------
    kernel : str
        ``lanczos3`` (the default), ``cubic`` (less ringing at saturated stars) or ``bilinear``.
    most_bad : float
        Bad pixels are replaced by the mean of their neighbours; where they carry more than this
        part of the kernel's weights, or the nearest pixel is bad, a grid pixel has weight 0.
    """

    kernel: str = "lanczos3"
    most_bad: float = 0.1

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise ConfigError(
                f"resampler interpolate: kernel {self.kernel!r}, wanted one of {', '.join(KERNELS)}"
            )
        if not 0.0 <= self.most_bad <= 1.0:
            raise ConfigError(
                f"resampler interpolate: most_bad {self.most_bad}, wanted from 0 to 1"
            )

    def patches(self) -> None:
        """Return None: contributions are made whole."""

    def for_templates(self) -> DrizzleResampler:
        """Return turbo drizzle: sources are measured against it more exactly.

        Against the mean of exposures gathered by Lanczos3, a stack of eight was aligned 1.3 times
        the bound, and one with cosmic rays 2.2 times; against drizzled ones 1.08 and 1.25 times.
        """
        return DrizzleResampler().for_templates()

    def __call__(self, chip: CalibratedChip, pixel_map: PixelMap, grid: MosaicGrid) -> Contribution:
        """Return the chip's contribution to its bounding box in the grid, float32.

        Weights are per grid pixel's area, so that their sum is that of the chip's: where a grid
        pixel is half a chip pixel, two share one chip pixel's weight.
        """
        box = chip_box(pixel_map, 0).intersect(grid.box)
        numerator, weight = np.zeros(box.shape, np.float32), np.zeros(box.shape, np.float32)
        if box.is_empty:
            return Contribution(box, numerator, weight)
        whole, inverse = mended(chip, pixel_map), build_inverse_map(pixel_map, box)
        kernel = (kernel_table(self.kernel), self.most_bad)
        room = np.empty((2, 0, 0))
        for band in bands(box):
            room = room if room.shape[1:] == band.shape else np.empty((2, *band.shape))
            rows = slice(band.y0 - box.y0, band.y1 - box.y0)
            positions = inverse.positions(band, room)
            gather(whole, positions, kernel, (numerator[rows], weight[rows]))
        return Contribution(box, numerator, weight)
