"""Pixels without sky, on a common scale, with weights that mean something."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from astropy.wcs import WCS

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.chip_sky import SkyModel
from alignsvc.domain.exposure import Chip
from alignsvc.errors import DataError
from alignsvc.numerics.resampling.calibrate import CalibratedChip, calibrated
from alignsvc.reasons import FailureKind

SHAPE = (20, 30)


def make_wcs() -> CelestialWcs:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cdelt = [-1e-4, 1e-4]
    wcs.wcs.set()
    return CelestialWcs(wcs, SHAPE)


def make_chip(
    pixels: np.ndarray,
    variance: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    saturated: np.ndarray | None = None,
    gain: float | None = None,
) -> Chip:
    nothing = np.zeros(SHAPE, bool)
    saturated = nothing if saturated is None else saturated
    mask = (nothing if mask is None else mask) | saturated
    return Chip("HDU 0", pixels.astype(np.float32), variance, mask, saturated, make_wcs(), gain)


@dataclass(frozen=True)
class FlatSurface:
    """The same level everywhere."""

    level: float
    shape: tuple[int, int] = SHAPE

    def rows_into(self, y0: int, out: np.ndarray) -> None:
        out.fill(self.level)


def sky_of(level: float, rms: float) -> SkyModel:
    mesh = np.full((1, 1), level)
    return SkyModel(FlatSurface(level), rms, mesh, np.full((1, 1), rms))


def one_pixel(row: int, column: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[row, column] = True
    return mask


def test_the_sky_goes_and_the_scale_comes() -> None:
    chip = calibrated(make_chip(np.full(SHAPE, 110.0)), sky_of(100.0, 2.0), 3.0)
    np.testing.assert_allclose(chip.pixels, 30.0)
    np.testing.assert_allclose(chip.weight, 1 / (2.0 * 3.0) ** 2)
    assert chip.pixels.dtype == chip.weight.dtype == np.float32


def test_a_bad_pixel_is_zero_and_weighs_nothing() -> None:
    mask = one_pixel(3, 4)
    pixels = np.where(mask, 0.0, 110.0)
    chip = calibrated(make_chip(pixels, mask=mask), sky_of(100.0, 2.0), 1.0)
    assert chip.pixels[3, 4] == 0.0
    assert chip.weight[3, 4] == 0.0
    assert np.count_nonzero(chip.weight) == chip.weight.size - 1


def test_a_saturated_pixel_keeps_its_clipped_value_and_weighs_nothing() -> None:
    saturated = one_pixel(3, 4)
    pixels = np.where(saturated, 60000.0, 110.0)
    chip = calibrated(make_chip(pixels, saturated=saturated), sky_of(100.0, 2.0), 2.0)
    assert chip.pixels[3, 4] == pytest.approx(2 * 59900.0)
    assert chip.weight[3, 4] == 0.0
    zeroed = make_chip(np.where(saturated, 0.0, 110.0), saturated=saturated)
    assert calibrated(zeroed, sky_of(100.0, 2.0), 2.0).pixels[3, 4] == 0.0


def test_pixels_left_out_are_bad_and_change_no_other() -> None:
    variance = np.random.default_rng(1).uniform(1.0, 2.0, SHAPE).astype(np.float32)
    given = make_chip(np.full(SHAPE, 110.0), variance)
    whole = calibrated(given, sky_of(100.0, 2.0), 1.0)
    chip = calibrated(given, sky_of(100.0, 2.0), 1.0, left_out=np.array([3 * SHAPE[1] + 4]))
    assert (chip.pixels[3, 4], chip.weight[3, 4], chip.mask[3, 4]) == (0.0, 0.0, True)
    for plane in ("pixels", "weight", "mask"):
        differs = getattr(chip, plane) != getattr(whole, plane)
        np.testing.assert_array_equal(differs, one_pixel(3, 4))


@pytest.mark.parametrize("unit", [1.0, 1e-6, 50.0])
def test_a_variance_map_gives_its_shape_and_the_sky_its_size(unit: float) -> None:
    variance = np.full(SHAPE, 4.0, np.float32)
    variance[:, 20:] = 16.0
    mask = one_pixel(0, 0)
    variance[0, 0] = 0.0
    chip = calibrated(
        make_chip(np.zeros(SHAPE), variance * np.float32(unit), mask), sky_of(0.0, 2.0), 3.0
    )
    np.testing.assert_allclose(chip.weight[1:, :20], 1 / (2.0 * 3.0) ** 2, rtol=1e-5)
    np.testing.assert_allclose(chip.weight[1:, 20:], 0.25 / (2.0 * 3.0) ** 2, rtol=1e-5)
    assert chip.weight[0, 0] == 0.0


def test_the_gain_is_per_calibrated_unit() -> None:
    pixels = np.zeros(SHAPE)
    assert calibrated(make_chip(pixels, gain=6.0), sky_of(0.0, 1.0), 3.0).gain == 2.0
    assert calibrated(make_chip(pixels), sky_of(0.0, 1.0), 3.0).gain is None


def test_a_chip_without_a_good_pixel_weighs_nothing() -> None:
    mask = np.ones(SHAPE, bool)
    chip = make_chip(np.zeros(SHAPE), np.zeros(SHAPE, np.float32), mask)
    assert not calibrated(chip, sky_of(0.0, 1.0), 1.0).weight.any()


@pytest.mark.parametrize(
    ("chip", "rms"),
    [
        (make_chip(np.zeros(SHAPE)), 0.0),
        (make_chip(np.zeros(SHAPE), np.zeros(SHAPE, np.float32)), 1.0),
        (make_chip(np.zeros(SHAPE), np.full(SHAPE, np.inf, np.float32)), 1.0),
    ],
    ids=["constant sky", "zero variance", "infinite variance"],
)
def test_noise_that_is_not_known_is_refused(chip: Chip, rms: float) -> None:
    with pytest.raises(DataError, match="HDU 0") as caught:
        calibrated(chip, sky_of(0.0, rms), 1.0)
    assert caught.value.kind is FailureKind.BAD_WEIGHT


def test_inputs_stay_and_results_cannot_be_changed() -> None:
    chip = make_chip(np.full(SHAPE, 5.0))
    result = calibrated(chip, sky_of(1.0, 1.0), 2.0)
    assert (chip.pixels == 5.0).all()
    with pytest.raises(ValueError, match="read-only"):
        result.pixels[0, 0] = 1.0


def test_planes_of_different_shapes_do_not_make_a_chip() -> None:
    plane, mask = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, bool)
    with pytest.raises(ValueError, match="weight has"):
        CalibratedChip("HDU 0", plane, np.zeros((2, 2), np.float32), mask, mask)
