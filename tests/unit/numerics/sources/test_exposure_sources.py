"""Sources of one chip: where they are, however bright, and no hot pixel among them."""

from __future__ import annotations

import numpy as np

from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sources.exposure_sources import ExposureDetector

PLACES = np.array([[20.3, 30.7], [60.0, 61.5], [90.2, 25.1]])


def star_chip(saturation: float = np.inf) -> CalibratedChip:
    """Return a chip of noise 1 with three stars of FWHM 3 px, and a hot pixel."""
    y, x = np.indices((100, 120), dtype=float)
    pixels = np.random.default_rng(3).normal(0.0, 1.0, (100, 120))
    for peak, (cx, cy) in zip((400.0, 60.0, 150.0), PLACES, strict=True):
        pixels += peak * np.exp(-0.5 * ((x - cx) ** 2 + (y - cy) ** 2) / 1.3**2)
    pixels[80, 10] = 40.0
    saturated = pixels >= saturation
    pixels[saturated] = saturation
    weight = np.where(saturated, 0.0, 1.0).astype(np.float32)
    return CalibratedChip("one", pixels.astype(np.float32), weight, saturated, saturated)


def require_found(chip: CalibratedChip, within_px: float) -> None:
    found = ExposureDetector(min_area=12)(chip)
    assert len(found) == 3
    assert (np.diff(found.flux) <= 0).all()
    for cx, cy in PLACES:
        distance = np.hypot(found.points.x - cx, found.points.y - cy)
        assert distance.min() < within_px


def test_stars_are_found_where_they_are() -> None:
    require_found(star_chip(), 0.1)


def test_a_saturated_star_is_one_source_and_not_a_ring() -> None:
    require_found(star_chip(saturation=120.0), 0.3)


def test_a_chip_without_a_good_pixel_has_no_sources() -> None:
    nothing = np.zeros((20, 20), np.float32)
    bad = np.ones((20, 20), bool)
    chip = CalibratedChip("none", nothing, nothing, bad, ~bad)
    assert len(ExposureDetector()(chip)) == 0
