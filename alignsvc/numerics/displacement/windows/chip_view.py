"""A chip as it is measured, and the sources that it should show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sky.pixel_map import PixelMap

#: What is narrower than this is not a source but a pixel.
_LEAST_FWHM_PX = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class ChipView:
    """A chip with the way from its pixels to the grid's.

    Parameters
    ----------
    chip : CalibratedChip
    pixel_map : PixelMap
    index : int
        Of the chip in its exposure.
    """

    chip: CalibratedChip
    pixel_map: PixelMap
    index: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Sources on a chip, in chip pixels.

    Parameters
    ----------
    source : int64, shape (n,)
        Ids.
    position : Points, shape (n,)
        Where they should lie by the present WCS.
    fwhm_px, radius_px : float64, shape (n,)
        Width, and half side of the box that holds the isophote.
    snr : float64, shape (n,)
        In the mosaic.
    scale : float64, shape (n,)
        Grid pixels along a pixel of the chip, at the source.
    """

    source: IntArray
    position: Points
    fwhm_px: FloatArray
    radius_px: FloatArray
    snr: FloatArray
    scale: FloatArray

    @property
    def grid_per_chip_px(self) -> float:
        """Grid pixels along a pixel of the chip, at the typical source."""
        return float(np.median(self.scale))

    @classmethod
    def on_chip(cls, view: ChipView, sources: SourceCatalog) -> Targets:
        """Return the sources that should lie on a chip by its present WCS."""
        ny, nx = view.chip.pixels.shape
        where = view.pixel_map.to_chip(Points(sources.x, sources.y))
        # NaN, for what the map does not reach, compares as False.
        inside = (where.x >= -0.5) & (where.x < nx - 0.5) & (where.y >= -0.5) & (where.y < ny - 0.5)
        position = Points(where.x[inside], where.y[inside])
        scale = np.sqrt(np.abs(np.linalg.det(view.pixel_map.jacobian(position))))
        fwhm = np.nan_to_num(sources.fwhm[inside]) / scale
        radius = np.nan_to_num(sources.radius[inside]) / scale
        fwhm = np.maximum(fwhm, _LEAST_FWHM_PX)
        snr = np.nan_to_num(sources.snr[inside])
        return cls(sources.id[inside], position, fwhm, radius, snr, scale)

    def select(self, which: IntArray) -> Targets:
        """Return the sources at indices."""
        return Targets(
            self.source[which],
            Points(self.position.x[which], self.position.y[which]),
            self.fwhm_px[which],
            self.radius_px[which],
            self.snr[which],
            self.scale[which],
        )
