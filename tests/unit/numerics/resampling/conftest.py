"""A small sky: distorted chips at known places on one grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from astropy.wcs import WCS, Sip

from alignsvc.domain.arrays import Float32Array
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.geometry import TangentPlane
from alignsvc.domain.grid import MosaicGrid
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sky.pixel_map import PixelMap, build_pixel_map

NY, NX = 90, 110
GRID_SCALE = 0.2


@dataclass(frozen=True)
class SmallSky:
    """A grid of 0.2 arcsec and chips that can be laid on it."""

    grid: MosaicGrid

    def pixel_map(
        self,
        scale_arcsec: float = GRID_SCALE,
        rotation_deg: float = 20.0,
        offset_px: tuple[float, float] = (0.0, 0.0),
        distortion: float = 3e-5,
    ) -> PixelMap:
        """Return the map of a chip of 90 x 110 pixels near the grid's middle."""
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
        wcs.wcs.crval = [self.grid.plane.ra_deg, self.grid.plane.dec_deg]
        wcs.wcs.crpix = [NX / 2 + offset_px[0], NY / 2 + offset_px[1]]
        cos, sin = np.cos(np.radians(rotation_deg)), np.sin(np.radians(rotation_deg))
        wcs.wcs.cd = scale_arcsec / 3600 * np.array([[-cos, sin], [sin, cos]])
        a, b = np.zeros((3, 3)), np.zeros((3, 3))
        a[2, 0], b[1, 1] = distortion, -distortion
        wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
        wcs.wcs.set()
        return build_pixel_map(CelestialWcs(wcs, (NY, NX)), self.grid)


@pytest.fixture(scope="session")
def small_sky() -> SmallSky:
    plane = TangentPlane(150.0, 2.0)
    return SmallSky(MosaicGrid(0, plane, GRID_SCALE, 120.0, 125.0, (250, 240), (64, 64)))


ChipMaker = Callable[..., CalibratedChip]


@pytest.fixture(scope="session")
def make_chip() -> ChipMaker:
    """Return a maker of calibrated chips: weight 1 unless given."""

    def make(pixels: Float32Array, weight: Float32Array | None = None) -> CalibratedChip:
        if weight is None:
            weight = np.ones_like(pixels)
        bad = weight == 0
        return CalibratedChip("HDU 0", pixels, weight, bad, np.zeros_like(bad))

    return make
