"""An exposure read, cleaned of its sky and placed on the grid: where resample and measure begin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import Float32Array, IntArray
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.chip_shifts import ShiftsOfChips, totals_of_chips
from alignsvc.domain.chip_sky import SkyEstimator
from alignsvc.domain.correction import Correction
from alignsvc.domain.digest import digest_of
from alignsvc.domain.exposure import AS_RECORDED, ExposureLevel, ExposureRef
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.task import TableRef
from alignsvc.io.exposure_pixels import opened_exposure
from alignsvc.io.image_settings import ImageSettings
from alignsvc.io.kept_in_memory import KeptInMemory
from alignsvc.io.locations import TABLES, RunLocations
from alignsvc.io.places import Place
from alignsvc.io.tables import read_table
from alignsvc.numerics.resampling.calibrate import CalibratedChip, calibrated, sky_weight
from alignsvc.numerics.sky.corrected import corrected
from alignsvc.numerics.sky.pixel_map import PixelMap, build_pixel_map
from alignsvc.numerics.sources.cosmic_rays import RaysOnChip
from alignsvc.tasks.skies import SkyOfExposure

_NO_INDEX = np.zeros(0, np.int64)
#: Bytes of the maps that a process keeps: of 500 chips, if their distortions are smooth.
_MOST_BYTES = 16e6
#: Maps by all that they follow from: a chip is drizzled, measured and searched for rays in the
#: same place.
_MAPS: KeptInMemory[str, PixelMap] = KeptInMemory(lambda: _MOST_BYTES)


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
    def of(cls, rays: Mapping[int, RaysOnChip], flux_scale: float) -> RayPixels:
        """Return the rays of chips by their indices, in order of the chips.

        `flux_scale` is that of the pixels that they were found in.
        """
        found = [(index, rays[index]) for index in sorted(rays)]
        return cls(
            np.concatenate([_NO_INDEX, *(np.full(len(one.pixel), index) for index, one in found)]),
            np.concatenate([_NO_INDEX, *(one.pixel for _, one in found)]),
            np.concatenate(
                [
                    np.zeros(0, np.float32),
                    *(one.instead / np.float32(flux_scale) for _, one in found),
                ]
            ),
        )

    @property
    def table_name(self) -> str:
        """The name of their table, which their content gives: equal masks are one table."""
        return f"{TABLES}reject/{digest_of(self.chip, self.pixel, self.instead)}.npz"

    def on_chip(self, index: int) -> IntArray:
        """Return the indices of the pixels hit on a chip."""
        found: IntArray = self.pixel[self.chip == index]
        return found

    def part_of(self, placed: Sequence[PlacedChip]) -> float:
        """Return which part of all pixels of an exposure's chips are hit."""
        return len(self.pixel) / max(sum(one.chip.mask.size for one in placed), 1)

    def filled_in(self, placed: PlacedChip, flux_scale: float) -> CalibratedChip:
        """Return a chip without rays; those on sources are pixels that hold what others expect.

        `flux_scale` is that of the chip's pixels. Where nothing is known instead, they are bad.
        A mean of exposures with different seeing changes its shape where one of them is left
        out. A star of which one pixel is another mean than the next has no true position, and
        all exposures are measured against it.
        """
        chip, at = placed.chip, self.on_chip(placed.index)
        if not len(at):
            return chip
        values = self.instead[self.chip == placed.index] * np.float32(flux_scale)
        is_known = np.isfinite(values)
        pixels, weight, mask = chip.pixels.copy(), chip.weight.copy(), chip.mask.copy()
        pixels.reshape(-1)[at] = np.where(is_known, values, np.float32(0))
        weight.reshape(-1)[at] = np.where(is_known, placed.sky_weight, 0.0)
        mask.reshape(-1)[at] = ~is_known
        return replace(chip, pixels=pixels, weight=weight, mask=mask)


#: The table of an exposure in which no ray was found: it looks as if nobody had looked for any.
NO_RAYS = RayPixels.of({}, 1.0)
NO_RAYS_TABLE = NO_RAYS.table_name


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

    def placed(self, run: Place, left_out: RayPixels = NO_RAYS) -> Iterator[PlacedChip]:
        """Yield the chips that have a good pixel, placed.

        Parameters
        ----------
        run : Place
            The run directory, which keeps the sky.
        left_out : RayPixels
            Bad besides what the files say is.
        """
        with opened_exposure(self.exposure, self.images) as opened:
            kept = SkyOfExposure(self.exposure, self.images, self.sky)(run, opened.read)
            indices = kept.chip.tolist()
            for index, chip in zip(indices, opened.chips(indices), strict=True):
                sky = self.sky.again(kept.of_chip(index), chip.shape)
                scale, offset = self.total_flux_scale, self.level.sky_offset
                weight = sky_weight(f"{chip.name} of exposure {self.exposure.id}", sky, scale)
                yield PlacedChip(
                    index,
                    calibrated(chip, sky, scale, offset, left_out.on_chip(index)),
                    weight,
                    self._pixel_map(index, chip.wcs),
                )

    def _pixel_map(self, index: int, wcs: CelestialWcs) -> PixelMap:
        """Return the map of a chip with its WCS by the header."""
        correction = self.correction_of(index)
        key = digest_of(self.exposure, index, self.images, self.grid, correction)
        known = _MAPS.find(key)
        if known is None:
            known = build_pixel_map(corrected(wcs, correction), self.grid)
            _MAPS.keep(key, known, known.size_bytes)
        return known

    def known_rays(self, run: Place) -> RayPixels:
        """Return the exposure's cosmic rays; none if nobody looked for any."""
        if self.rays is None:
            return NO_RAYS
        objects = RunLocations(run).objects
        return read_table(objects, self.rays.name, RayPixels, self.rays.checksum)


@dataclass(frozen=True, slots=True)
class PlacedChip:
    """Pixels of a chip on the common flux scale, and where they lie on the grid.

    Parameters
    ----------
    index : int
        Of the chip in its exposure.
    chip : CalibratedChip
        Without sky.
    sky_weight : float
        The weight of a pixel that has the sky's noise.
    pixel_map : PixelMap
        Corrections included.
    """

    index: int
    chip: CalibratedChip
    sky_weight: float
    pixel_map: PixelMap
