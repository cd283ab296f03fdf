"""An exposure read, cleaned of its sky and placed on the grid: where resample and measure begin."""

from __future__ import annotations

from dataclasses import dataclass

from alignsvc.domain.correction import Correction
from alignsvc.domain.exposure import Chip, Exposure, ExposureRef
from alignsvc.domain.grid import MosaicGrid
from alignsvc.io.exposure_pixels import read_exposure
from alignsvc.io.image_settings import ImageSettings
from alignsvc.numerics.resampling.calibrate import CalibratedChip, calibrated
from alignsvc.numerics.sky.corrected import corrected
from alignsvc.numerics.sky.pixel_map import PixelMap, build_pixel_map
from alignsvc.numerics.sources.background import SkyEstimator


@dataclass(frozen=True, slots=True)
class ExposureView:
    """All that decides what an exposure looks like on the grid.

    Parameters
    ----------
    exposure : ExposureRef
    correction : Correction
        The total correction since the input header.
    flux_scale : float
        What brings its pixels to the common flux scale.
    grid : MosaicGrid
        Of the exposure's component.
    images : ImageSettings
        How its files are read.
    sky : SkyEstimator
        How its sky is measured.
    """

    exposure: ExposureRef
    correction: Correction
    flux_scale: float
    grid: MosaicGrid
    images: ImageSettings
    sky: SkyEstimator

    def read(self) -> Exposure:
        """Return the exposure with all its pixels, as its files hold them."""
        return read_exposure(self.exposure, self.images)


@dataclass(frozen=True, slots=True)
class PlacedChip:
    """Pixels of a chip on the common flux scale, and where they lie on the grid."""

    chip: CalibratedChip
    pixel_map: PixelMap


def place(view: ExposureView, chip: Chip) -> PlacedChip:
    """Return `chip` without its sky, on the common flux scale, with its corrected pixel map."""
    sky = view.sky(chip.pixels, chip.mask)
    return PlacedChip(
        calibrated(chip, sky, view.flux_scale),
        build_pixel_map(corrected(chip.wcs, view.correction), view.grid),
    )
