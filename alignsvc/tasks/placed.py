"""An exposure read, cleaned of its sky and placed on the grid: where resample and measure begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import Float32Array, IntArray, read_only
from alignsvc.domain.chip_shifts import ShiftsOfChips, totals_of_chips
from alignsvc.domain.chip_sky import SkyEstimator
from alignsvc.domain.correction import Correction
from alignsvc.domain.exposure import AS_RECORDED, Chip, Exposure, ExposureLevel, ExposureRef
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.task import TableRef
from alignsvc.io.exposure_pixels import read_exposure
from alignsvc.io.image_settings import ImageSettings
from alignsvc.io.locations import RunLocations
from alignsvc.io.places import Place
from alignsvc.io.tables import read_table
from alignsvc.numerics.resampling.calibrate import CalibratedChip, calibrated
from alignsvc.numerics.sky.corrected import corrected
from alignsvc.numerics.sky.pixel_map import PixelMap, build_pixel_map
from alignsvc.numerics.sources.cosmic_rays import RaysOnChip


@dataclass(frozen=True, slots=True, eq=False)
class RayPixels:
    """Pixels of an exposure that cosmic rays hit, chip after chip.

    Parameters
    ----------
    chip : int64 array, shape (n,)
        Index of the chip in the exposure.
    pixel : int64 array, shape (n,)
        Index in the chip's pixels, row after row.
    instead : float32 array, shape (n,)
        What the others let expect there, without sky, in the units of the exposure's pixels;
        NaN where they see no source.
    """

    chip: IntArray
    pixel: IntArray
    instead: Float32Array

    @classmethod
    def of(cls, rays: Sequence[RaysOnChip], flux_scale: float) -> RayPixels:
        """Return the rays of all chips, in order of the chips, found with a flux scale."""
        found = [np.flatnonzero(one.mask) for one in rays]
        values = [
            one.instead.ravel()[at] / np.float32(flux_scale)
            for one, at in zip(rays, found, strict=True)
        ]
        chips = [np.full(len(at), index) for index, at in enumerate(found)]
        none = np.zeros(0, np.int64)
        return cls(
            np.concatenate([none, *chips]),
            np.concatenate([none, *found]),
            np.concatenate([np.zeros(0, np.float32), *values]),
        )

    def added_to(self, chip: Chip, index: int) -> Chip:
        """Return a chip whose mask is True at these pixels too."""
        mask = chip.mask.copy()
        mask.reshape(-1)[self.pixel[self.chip == index]] = True
        return replace(chip, mask=read_only(mask))

    def filled_in(self, chip: CalibratedChip, index: int, flux_scale: float) -> CalibratedChip:
        """Return a chip in which rays on sources are good pixels that hold what others expect.

        `flux_scale` is that of the chip's pixels.
        A mean of exposures with different seeing changes its shape where one of them is left
        out. A star of which one pixel is another mean than the next has no true position, and
        all exposures are measured against it.
        """
        known = (self.chip == index) & np.isfinite(self.instead)
        at = self.pixel[known]
        if not len(at):
            return chip
        pixels, weight, mask = chip.pixels.copy(), chip.weight.copy(), chip.mask.copy()
        pixels.reshape(-1)[at] = self.instead[known] * np.float32(flux_scale)
        weight.reshape(-1)[at] = np.median(chip.weight[~chip.mask])
        mask.reshape(-1)[at] = False
        return replace(chip, pixels=pixels, weight=weight, mask=mask)


@dataclass(frozen=True, slots=True)
class ExposureView:
    """All that decides what an exposure looks like on the grid.

    Parameters
    ----------
    exposure : ExposureRef
    correction : Correction
        The total correction since the input header.
    flux_scale : float
        What brings its pixels to the common flux scale, by its header.
    grid : MosaicGrid
        Of the exposure's component.
    images : ImageSettings
        How its files are read.
    sky : SkyEstimator
        How its sky is measured.
    rays : TableRef or None
        Of `RayPixels`: what counts as bad besides what its files say; None = nothing.
    chip_shifts : tuple of (float, float)
        Of each chip, before the correction (`ChipShifts.shift`); empty = none is shifted.
    level : ExposureLevel
        How its flux scale and sky are corrected so that it agrees with the others.
    """

    exposure: ExposureRef
    correction: Correction
    flux_scale: float
    grid: MosaicGrid
    images: ImageSettings
    sky: SkyEstimator
    rays: TableRef | None = None
    chip_shifts: ShiftsOfChips = ()
    level: ExposureLevel = AS_RECORDED

    def correction_of(self, chip: int) -> Correction:
        """Return the total correction of a chip, by its index."""
        return totals_of_chips(self.correction, len(self.exposure.chips), self.chip_shifts)[chip]

    @property
    def total_flux_scale(self) -> float:
        """What its pixels are multiplied by: what the header says, corrected."""
        return self.flux_scale * self.level.flux_scale

    def read(self, run: Place) -> Exposure:
        """Return the exposure with all its pixels as its files hold them, rays masked.

        Parameters
        ----------
        run : Place
            The run directory, which keeps the rays.
        """
        exposure = read_exposure(self.exposure, self.images)
        rays = self.known_rays(run)
        if rays is None:
            return exposure
        chips = tuple(rays.added_to(chip, index) for index, chip in enumerate(exposure.chips))
        return replace(exposure, chips=chips)

    def known_rays(self, run: Place) -> RayPixels | None:
        """Return the exposure's cosmic rays; None if nobody looked for any."""
        if self.rays is None:
            return None
        objects = RunLocations(run).objects
        return read_table(objects, self.rays.name, RayPixels, self.rays.checksum)


@dataclass(frozen=True, slots=True)
class PlacedChip:
    """Pixels of a chip on the common flux scale, and where they lie on the grid."""

    chip: CalibratedChip
    pixel_map: PixelMap


def place(view: ExposureView, chip: Chip, index: int) -> PlacedChip:
    """Return chip `index` without sky, on the common flux scale, with its corrected pixel map."""
    sky = view.sky(chip.pixels, chip.mask)
    return PlacedChip(
        calibrated(chip, sky, view.total_flux_scale, view.level.sky_offset),
        build_pixel_map(corrected(chip.wcs, view.correction_of(index)), view.grid),
    )
