"""The inverse on a lattice is the forward map's inverse, wherever the chip lies on the grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.wcs import WCS, Sip

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.geometry import PixelBox, Points, SkyPoints, TangentPlane
from alignsvc.domain.grid import MosaicGrid
from alignsvc.errors import DataError
from alignsvc.numerics.sky.inverse_map import COARSEST_STEP, build_inverse_map
from alignsvc.numerics.sky.pixel_map import PixelMap, build_pixel_map

NY, NX = 600, 500


def grid_about(scale_arcsec: float = 0.2) -> MosaicGrid:
    plane = TangentPlane(150.0, 2.0)
    return MosaicGrid(0, plane, scale_arcsec, 500.0, 500.0, (1000, 1000), (256, 256))


def a_map(rotation_deg: float, scale_arcsec: float = 0.2) -> PixelMap:
    """A distorted chip, turned against the grid."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    wcs.wcs.crval, wcs.wcs.crpix = [150.0, 2.0], [NX / 2, NY / 2]
    cos, sin = np.cos(np.radians(rotation_deg)), np.sin(np.radians(rotation_deg))
    wcs.wcs.cd = 0.2 / 3600 * np.array([[-cos, sin], [sin, cos]])
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    a[2, 0], a[1, 2], b[0, 2], b[2, 1] = 3e-6, 2e-8, -4e-6, 2e-8
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    wcs.wcs.set()
    return build_pixel_map(CelestialWcs(wcs, (NY, NX)), grid_about(scale_arcsec))


class Bent:
    """A chip whose WCS has a kink at column 203.3, and no sky beyond its last pixel's edge."""

    shape = (300, 400)
    has_tables = False

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def sky_from_pixel(self, pixel: Points) -> SkyPoints:
        stretched = pixel.x + self.slope * np.maximum(pixel.x - 203.3, 0.0)
        there = np.abs(pixel.x - 199.5) < 200.5
        return grid_about().sky_from_pixel(Points(np.where(there, stretched, np.nan), pixel.y))


@pytest.mark.parametrize("rotation_deg", [0.0, 45.0, 100.0])
@pytest.mark.parametrize("scale_arcsec", [0.2, 0.07, 0.5])
def test_each_grid_pixel_on_the_chip_finds_its_place_there(rotation_deg, scale_arcsec):
    pixel_map = a_map(rotation_deg, scale_arcsec)
    box = PixelBox(100, 50, 900, 1000)
    inverse = build_inverse_map(pixel_map, box)
    x, y = np.meshgrid(np.arange(box.x0, box.x1, 3.0), np.arange(box.y0, box.y1, 3.0))
    true = pixel_map.to_chip(Points(x, y))
    on_chip = (np.abs(true.x - (NX - 1) / 2) <= NX / 2) & (np.abs(true.y - (NY - 1) / 2) <= NY / 2)
    found = inverse.positions(box)[:, ::3, ::3]
    off = np.hypot(found[0] - true.x, found[1] - true.y)[on_chip]
    assert on_chip.any()
    assert off.max() < 1e-4
    assert off.max() <= 2 * inverse.error_px + 1e-9
    assert np.isnan(found).any() or scale_arcsec == 0.07 or rotation_deg == 0.0


def test_a_box_beside_the_chip_knows_no_place():
    inverse = build_inverse_map(a_map(20.0), PixelBox(0, 0, 60, 60))
    assert np.isnan(inverse.positions(PixelBox(0, 0, 60, 60))).all()


def test_kinks_make_the_lattice_finer_and_a_wcs_that_ends_at_the_chip_does_not_matter():
    pixel_map = build_pixel_map(Bent(2e-4), grid_about())
    box = PixelBox(0, 0, 1000, 1000)
    inverse = build_inverse_map(pixel_map, box)
    assert (
        max(inverse.bicubics.lattice_x.spacing, inverse.bicubics.lattice_y.spacing) < COARSEST_STEP
    )
    chip = Points(*np.meshgrid(np.arange(0.0, 400.0, 7), np.arange(0.0, 300.0, 7)))
    grid = pixel_map.to_grid(chip)
    pixel = np.rint(grid.y).astype(int), np.rint(grid.x).astype(int)
    found = inverse.positions(box)[:, pixel[0], pixel[1]]
    true = pixel_map.to_chip(Points(pixel[1].astype(float), pixel[0].astype(float)))
    assert np.hypot(found[0] - true.x, found[1] - true.y).max() < 1e-3


def test_a_map_that_no_lattice_can_invert_is_refused():
    smooth = a_map(20.0)
    noise = 0.01 * np.random.default_rng(1).normal(size=smooth.bicubics.cells.shape)
    rough = replace(smooth, bicubics=replace(smooth.bicubics, cells=smooth.bicubics.cells + noise))
    with pytest.raises(DataError, match="its inverse"):
        build_inverse_map(rough, PixelBox(450, 450, 550, 550))
