"""The sources of one exposure by itself, where its header puts them on the sky."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray, hold_read_only
from alignsvc.domain.chip_sky import KeptSky, SkyEstimator
from alignsvc.domain.correction import Correction
from alignsvc.domain.digest import digest_of
from alignsvc.domain.exposure import Chip, ExposureRef
from alignsvc.domain.geometry import SkyPoints
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.errors import DataError
from alignsvc.io.exposure_pixels import read_exposure
from alignsvc.io.image_settings import ImageSettings
from alignsvc.io.locations import TABLES, RunLocations
from alignsvc.io.places import Place
from alignsvc.io.tables import write_table
from alignsvc.numerics.resampling.calibrate import calibrated
from alignsvc.numerics.sky.corrected import corrected
from alignsvc.numerics.sky.footprints import footprint
from alignsvc.numerics.sources.exposure_sources import ExposureDetector
from alignsvc.reasons import FailureKind
from alignsvc.tasks.skies import SkyOfExposure

#: The fact that tells exposures of the same pixels, whatever their files are called.
PIXELS = "pixels"
#: Of so many rows one tells: of two exposures no row has the same noise.
_ROWS_APART = 16
#: Hexadecimal digits of a digest that a float holds without rounding.
_DIGITS = 13


@dataclass(frozen=True, slots=True, eq=False)
class SourceList:
    """Sources of an exposure, the brightest first.

    Parameters
    ----------
    ra, dec : float64 arrays, shape (n,)
        ICRS degrees, by the header.
    flux : float64 array, shape (n,)
        On the run's flux scale.
    outline_ra, outline_dec : float64 arrays, shape (m,)
        Corners of the chips' areas, by the header.
    outline_chip : int64 array, shape (m,)
        Which chip a corner belongs to, rising.
    """

    ra: FloatArray
    dec: FloatArray
    flux: FloatArray
    outline_ra: FloatArray
    outline_dec: FloatArray
    outline_chip: IntArray

    def __post_init__(self) -> None:
        hold_read_only(self)

    def __len__(self) -> int:
        return len(self.flux)

    @property
    def sky(self) -> SkyPoints:
        """Where the header puts them."""
        return SkyPoints(self.ra, self.dec)

    @property
    def outlines(self) -> tuple[SkyPoints, ...]:
        """The areas of the chips, a polygon each."""
        corners = (self.outline_chip == chip for chip in np.unique(self.outline_chip))
        return tuple(SkyPoints(self.outline_ra[k], self.outline_dec[k]) for k in corners)


@dataclass(frozen=True)
class ListSourcesTask:
    """Read an exposure, take its sky off, list its sources; product: a `SourceList`.

    Parameters
    ----------
    run : Place
        The run directory.
    exposure : ExposureRef
    flux_scale : float
        What brings its pixels to the common flux scale.
    images : ImageSettings
    sky : SkyEstimator
    detector : ExposureDetector
    correction : Correction or None
        Of an exposure of which more is known than its header; None = as that has it.
    """

    run: Place
    exposure: ExposureRef
    flux_scale: float
    images: ImageSettings
    sky: SkyEstimator
    detector: ExposureDetector
    correction: Correction | None = None

    @cached_property
    def key(self) -> TaskKey:
        """Identity: the exposure and how its sources are found."""
        settings = (self.flux_scale, self.images, self.sky, self.detector, self.correction)
        digest = digest_of("list_sources", self.exposure, *settings)
        return TaskKey("list_sources", self.exposure.id, digest)

    @property
    def exposure_read(self) -> ExposureRef:
        """What it reads the pixels of."""
        return self.exposure

    def __call__(self) -> TaskOutcome:
        """Write the list."""
        exposure = read_exposure(self.exposure, self.images)
        chips = {
            index: self._placed(chip)
            for index, chip in enumerate(exposure.chips)
            if not chip.mask.all()
        }
        if not chips:
            raise DataError(
                FailureKind.ALL_MASKED, f"exposure {self.exposure.id}: no pixel is usable"
            )
        kept = SkyOfExposure(self.exposure, self.images, self.sky)(self.run, lambda: exposure)
        listed = [self._listed(chip, kept.of_chip(index)) for index, chip in chips.items()]
        ra, dec, flux = (np.concatenate(column) for column in zip(*listed, strict=True))
        order = np.argsort(-flux, kind="stable")
        outlines = footprint(chip.wcs for chip in chips.values()).outlines
        found = SourceList(
            ra[order],
            dec[order],
            flux[order],
            np.concatenate([outline.ra for outline in outlines]),
            np.concatenate([outline.dec for outline in outlines]),
            np.repeat(np.arange(len(outlines)), [len(outline.ra) for outline in outlines]),
        )
        name = f"{TABLES}{self.key.stage}/{self.key.digest}.npz"
        checksum = write_table(RunLocations(self.run).products, name, found)
        facts = (("sources", float(len(found))), (PIXELS, _told_by_pixels(chips.values())))
        return TaskOutcome(self.key, TaskStatus.OK, product=name, checksum=checksum, facts=facts)

    def _placed(self, chip: Chip) -> Chip:
        """Return a chip that lies where the correction puts it."""
        if self.correction is None:
            return chip
        return replace(chip, wcs=corrected(chip.wcs, self.correction))

    def _listed(self, chip: Chip, kept: KeptSky) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return right ascension, declination and flux of a chip's sources."""
        ny, nx = chip.mask.shape
        ready = calibrated(chip, self.sky.again(kept, (ny, nx)), self.flux_scale)
        found = self.detector(ready)
        sky = chip.wcs.sky_from_pixel(found.points)
        known = np.isfinite(sky.ra) & np.isfinite(sky.dec)
        return sky.ra[known], sky.dec[known], found.flux[known]


def _told_by_pixels(chips: Iterable[Chip]) -> float:
    """Return a number that exposures share if their pixels are the same."""
    digest = digest_of(tuple(chip.pixels[::_ROWS_APART] for chip in chips))
    return float(int(digest[:_DIGITS], 16))
