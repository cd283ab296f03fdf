"""Rays are found, on the sky and on stars; stars and noise are left alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from full_frame_rays import RayPlanes, cubics, left_of, rays_of_all_pixels
from scipy import ndimage

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.sources import chip_blots
from alignsvc.numerics.sources.chip_blots import OthersUnderChip
from alignsvc.numerics.sources.cosmic_rays import CosmicRayRejection
from alignsvc.numerics.sources.laplacian import LaplacianRejection

SHAPE = (200, 220)
SIDE_BY_SIDE = np.mgrid[30:190:40, 30:200:40].reshape(2, -1) + 0.3
STARS = Points(SIDE_BY_SIDE[1], SIDE_BY_SIDE[0])
#: Fluxes from a faint star to one of 10^4 times the noise in its peak; gain 1.
FLUXES = np.geomspace(300.0, 2e5, len(STARS.x))
DEPTH = 7
rejection = CosmicRayRejection()


def rays_of(chip: CalibratedChip, others: OthersUnderChip) -> RayPlanes:
    return RayPlanes.of(rejection(chip, others), chip.shape)


def find(chip: CalibratedChip, others: OthersUnderChip) -> BoolArray:
    """Where rays are."""
    return rays_of(chip, others).mask


@dataclass(frozen=True)
class Straight:
    """A pixel map from a chip to a grid of pixels of the same size."""

    shape: tuple[int, int] = SHAPE
    offset: float = 0.0

    def to_grid(self, chip: Points) -> Points:
        return Points(np.asarray(chip.x) + self.offset, np.asarray(chip.y) - 0.5 * self.offset)

    def positions_at(self, row: IntArray, column: IntArray) -> FloatArray:
        return np.stack(self.to_grid(Points(column.astype(float), row.astype(float))))

    def areas_at(self, row: IntArray, column: IntArray) -> Float32Array:
        return np.ones(len(row), np.float32)


def starlight(shift: float = 0.0, fwhm: float = 4.0) -> FloatArray:
    """Gaussian stars, as they fall on the middle of each pixel."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    s2 = fwhm**2 / (8 * np.log(2))
    image = np.zeros(SHAPE)
    for x0, y0, flux in zip(STARS.x, STARS.y, FLUXES, strict=True):
        r2 = (x - x0 - shift) ** 2 + (y - y0) ** 2
        image += flux / (2 * np.pi * s2) * np.exp(-0.5 * r2 / s2)
    return image


def moffats(fwhm: float) -> FloatArray:
    """Stars with the wings of real seeing, in units of the sky's noise; up to 4000 of it."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    scale2 = (0.5 * fwhm) ** 2 / (2 ** (1 / 3) - 1)
    image = np.zeros(SHAPE)
    for x0, y0, flux in zip(STARS.x, STARS.y, 0.3 * FLUXES, strict=True):
        r2 = (x - x0) ** 2 + (y - y0) ** 2
        image += 2 * flux / (np.pi * scale2) * (1 + r2 / scale2) ** -3
    return image


def noisy(light: FloatArray, seed: int) -> FloatArray:
    """Light with the noise of sky and photons, where the sky's is 24 electrons."""
    return light + np.random.default_rng(seed).normal(size=SHAPE) * np.sqrt(1 + light / 24)


def exposed(light: FloatArray) -> CalibratedChip:
    """An exposure of light in units of the sky's noise."""
    none = np.zeros(SHAPE, bool)
    weight = np.ones(SHAPE, np.float32)
    return CalibratedChip("chip", noisy(light, 1).astype(np.float32), weight, none, none, 24.0)


def stacked(lights: list[FloatArray], full: float = np.inf) -> OthersUnderChip:
    """The mean of exposures of these, each without its pixels that are brighter than full."""
    good = [light <= full for light in lights]
    seen = [noisy(light, seed) for seed, light in enumerate(lights, 50)]
    total = np.sum([np.where(*one, 0) for one in zip(good, seen, strict=True)], axis=0)
    left = Contribution(PixelBox(0, 0, SHAPE[1], SHAPE[0]), total, np.sum(good, axis=0) * 1.0)
    return others_left(left, Straight(), None)


def chip_of(light: FloatArray, mask: BoolArray | None = None, seed: int = 1) -> CalibratedChip:
    """An exposure of some light: sky noise 1, and the noise of the light's own photons."""
    noise = np.random.default_rng(seed).normal(size=SHAPE) * np.sqrt(1.0 + light)
    mask = np.zeros(SHAPE, bool) if mask is None else mask
    weight = np.where(mask, 0, 1).astype(np.float32)
    pixels = np.where(mask, 0, light + noise).astype(np.float32)
    return CalibratedChip("chip", pixels, weight, mask, np.zeros(SHAPE, bool), 1.0)


def others_of(
    light: FloatArray, misalignment_px: int | None = None, depth: float = DEPTH
) -> OthersUnderChip:
    """The mean of `depth` exposures of some light."""
    noise = np.random.default_rng(2).normal(size=SHAPE) * np.sqrt((1.0 + light) / max(depth, 1))
    ny, nx = SHAPE
    left = Contribution(PixelBox(0, 0, nx, ny), (light + noise) * depth, np.full(SHAPE, depth))
    return others_left(left, Straight(), misalignment_px)


def others_left(
    left: Contribution, pixel_map: Straight, misalignment_px: int | None
) -> OthersUnderChip:
    """Others of whom this is left when an exposure of any pixels is taken away."""
    rng = np.random.default_rng(3)
    weight = rng.uniform(0.5, 1.5, SHAPE).astype(np.float32)
    own = Contribution(left.box, rng.normal(size=SHAPE).astype(np.float32) * weight, weight)
    total = Contribution(left.box, left.numerator + own.numerator, left.weight + own.weight)
    return OthersUnderChip((total,), own, pixel_map, misalignment_px)  # type: ignore[arg-type]


def rays_at(*places: tuple[int, int], charge: float) -> FloatArray:
    """Tracks of three pixels along a row."""
    image = np.zeros(SHAPE)
    for y, x in places:
        image[y, x - 1 : x + 2] = charge
    return image


def core(radius: float = 3.0) -> BoolArray:
    """Pixels near a star's centre."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    near = np.zeros(SHAPE, bool)
    for x0, y0 in zip(STARS.x, STARS.y, strict=True):
        near |= np.hypot(x - x0, y - y0) < radius
    return near


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3, 0.5])
def test_a_star_that_lies_half_a_pixel_off_is_no_ray(shift: float) -> None:
    found = find(chip_of(starlight(shift)), others_of(starlight()))
    assert not (found & core()).any()


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5, 5.0])
def test_before_the_first_alignment_a_star_may_be_anywhere_near(shift: float) -> None:
    blurred = np.mean([starlight(-shift), starlight(), starlight(shift)], axis=0)
    found = find(chip_of(starlight(shift)), others_of(blurred, misalignment_px=8))
    assert not (found & core(6.0)).any()


@pytest.mark.parametrize(("here", "there"), [(3.0, 4.5), (4.5, 3.0), (4.0, 5.0), (2.5, 3.5)])
def test_a_star_that_others_see_otherwise_keeps_its_core(here: float, there: float) -> None:
    """At half a seeing's difference, and 10^4 times the noise, a few pixels in all are lost."""
    found = find(chip_of(starlight(fwhm=here)), others_of(starlight(fwhm=there)))
    assert (found & core(2.0)).sum() <= 0.02 * core(2.0).sum()


def test_wings_of_worse_seeing_are_no_rays() -> None:
    """No derivatives of what others see make its wings wide enough, far from the core."""
    found = find(exposed(moffats(5.4)), stacked([moffats(fwhm) for fwhm in (3.2, 3.6, 4.0, 4.4)]))
    assert found.sum() <= 0.002 * found.size


SEEINGS = (3.0, 3.2, 3.4, 4.0, 4.4, 4.8)


@pytest.mark.parametrize("full", [0.2, 0.4, 0.6, 0.8])
def test_a_core_that_some_or_all_of_the_others_saturate_is_no_ray(full: float) -> None:
    """Its mean changes its members from pixel to pixel, by those of the best seeing, or ends."""
    others = stacked([moffats(fwhm) for fwhm in SEEINGS], full * moffats(3.6).max())
    assert find(exposed(moffats(3.6)), others).sum() <= 2


@pytest.mark.parametrize("offset", [0, 1, 2, 3])
def test_a_ray_on_a_core_that_some_of_the_others_saturate_is_found(offset: int) -> None:
    """As bright as the star, where a tenth was enough if the mean were one."""
    star = (round(STARS.y[-1]), round(STARS.x[-1]) + offset)
    light = moffats(3.6)
    others = stacked([moffats(fwhm) for fwhm in SEEINGS], 0.6 * light.max())
    assert find(exposed(light + rays_at(star, charge=light.max())), others)[star]


@pytest.mark.parametrize("misalignment_px", [None, 8])
def test_a_ray_on_the_sky_is_found(misalignment_px: int | None) -> None:
    rays = rays_at((10, 10), (50, 51), (130, 130), charge=40.0)
    found = find(chip_of(starlight() + rays), others_of(starlight(), misalignment_px))
    assert found[rays > 0].all()


@pytest.mark.parametrize("offset", [0, 1, 2, 3])
def test_a_ray_on_a_bright_star_is_found(offset: int) -> None:
    star = (round(STARS.y[-1]), round(STARS.x[-1]) + offset)
    peak = starlight().max()
    found = find(chip_of(starlight() + rays_at(star, charge=0.6 * peak)), others_of(starlight()))
    assert found[star]


@pytest.mark.parametrize("misalignment_px", [None, 8])
def test_noise_is_no_ray(misalignment_px: int | None) -> None:
    """Beyond 4.5 sigma lie 3.4 pixels of normal noise in a million."""
    dark = np.zeros(SHAPE)
    found = [
        find(chip_of(dark, seed=seed), others_of(dark, misalignment_px)).sum()
        for seed in range(10, 20)
    ]
    assert sum(found) <= 8


def test_a_ray_that_hit_another_exposure_makes_up_none_here() -> None:
    rays = rays_at((50, 50), (70, 70), (90, 95), charge=4000.0)
    found = find(chip_of(starlight()), others_of(starlight() + rays / DEPTH))
    assert not found.any()


@pytest.mark.parametrize("misalignment_px", [None, 8])
def test_a_masked_pixel_is_never_found_and_its_value_changes_nothing(
    misalignment_px: int | None,
) -> None:
    rays = rays_at((50, 50), (90, 91), charge=500.0)
    mask = np.zeros(SHAPE, bool)
    mask[50, 45:55] = True
    others = others_of(starlight(), misalignment_px)
    chip = chip_of(starlight() + rays, mask)
    pixels = np.where(mask, np.float32(1e6), chip.pixels)
    wild = CalibratedChip("chip", pixels, chip.weight, mask, chip.saturated, 1.0)
    found = find(chip, others)
    assert not (found & mask).any()
    assert found[90, 91]
    np.testing.assert_array_equal(find(wild, others), found)


def test_a_ray_on_a_star_is_replaced_by_what_the_others_expect() -> None:
    star = (round(STARS.y[-1]), round(STARS.x[-1]))
    light = starlight(fwhm=3.7)
    found = rays_of(
        chip_of(light + rays_at(star, charge=0.6 * light.max())), others_of(starlight())
    )
    assert found.instead[star] == pytest.approx(light[star], rel=0.05)
    known = np.isfinite(found.instead)
    assert not (known & ~found.mask).any()
    assert (starlight(fwhm=5.0)[known] > 0.3).all()  # on sources only: the sky is left out


def test_where_nobody_else_was_edges_tell() -> None:
    rays = rays_at((10, 10), (50, 50), (130, 130), charge=60.0)
    found = find(chip_of(starlight() + rays), others_of(np.zeros(SHAPE), depth=0))
    assert found[rays > 0].all()
    assert not (found & core()).any()


def test_edges_alone_find_no_ray_in_noise() -> None:
    alone, anywhere = LaplacianRejection(), np.arange(SHAPE[0] * SHAPE[1])
    dark = [chip_of(np.zeros(SHAPE), seed=seed) for seed in range(5)]
    assert sum(alone(chip, anywhere).sum() for chip in dark) <= 8


def test_two_exposures_are_enough() -> None:
    rays = rays_at((10, 10), (50, 50), charge=60.0)
    found = find(chip_of(starlight() + rays), others_of(starlight(0.2), depth=1))
    np.testing.assert_array_equal(found & (rays > 0), rays > 0)
    assert not (found & core()).any()


def random_scene(seed: int, misalignment_px: int | None) -> tuple[CalibratedChip, OthersUnderChip]:
    """Stars of any sharpness and rays anywhere: on stars, at edges, beside holes; bad pixels."""
    rng = np.random.default_rng(seed)
    fwhm, blurred = rng.uniform(1.3, 4.0), rng.uniform(1.0, 1.3)
    light, other = starlight(rng.uniform(0, 0.4), fwhm), starlight(0.0, fwhm * blurred)
    bright = light > 100.0
    hit = (rng.random(SHAPE) < 0.002) | (bright & (rng.random(SHAPE) < 0.01))
    hit[0, rng.integers(0, SHAPE[1], 4)] = True
    rays = hit * rng.uniform(5, 20, SHAPE) * np.sqrt(1 + light)
    mask = rng.random(SHAPE) < 0.002
    chip = chip_of(light + rays, mask, seed)
    full = ~mask & (chip.pixels > rng.uniform(2e3, 2e4))
    chip = replace(chip, saturated=full, gain=(None, 1.0)[seed % 2])
    mean = other + rng.normal(size=SHAPE) * 0.2
    weight = DEPTH * rng.choice([0.0, 0.3, 1.0], SHAPE, p=[0.001, 0.001, 0.998])
    weight[:, : int(rng.integers(0, 40))] = 0.0
    left = Contribution(PixelBox(0, 0, SHAPE[1], SHAPE[0]), mean * weight, weight)
    offset = 0.0 if misalignment_px else rng.uniform(-0.5, 0.5)
    return chip, others_left(left, Straight(offset=offset), misalignment_px)


@pytest.mark.parametrize("misalignment_px", [None, 8])
@pytest.mark.parametrize("seed", range(8))
def test_some_pixels_are_judged_as_if_all_were(seed: int, misalignment_px: int | None) -> None:
    chip, others = random_scene(seed, misalignment_px)
    found, wanted = rays_of(chip, others), rays_of_all_pixels(rejection, chip, others)
    assert wanted.mask.sum() > 10
    np.testing.assert_array_equal(found.mask, wanted.mask)
    np.testing.assert_allclose(found.instead, wanted.instead, rtol=1e-4, atol=1e-3)


def test_too_few_stars_to_tell_the_seeing_leave_the_blot_as_it_is() -> None:
    chip, others = random_scene(4, None)
    bled = replace(chip, saturated=core(4.0))
    found, wanted = rays_of(bled, others), rays_of_all_pixels(rejection, bled, others)
    np.testing.assert_array_equal(found.mask, wanted.mask)
    assert (found.mask != find(chip, others)).any()


def test_the_others_are_interpolated_by_cubics_where_all_sixteen_pixels_are_known() -> None:
    _, others = random_scene(1, None)
    at = np.flatnonzero(core())
    found, wanted = chip_blots.interpolated(others, at), cubics(others, SHAPE)
    assert 0 < found.is_known.sum() < len(at)
    assert 0 < (found.jump[found.is_known] > 0.5).sum() < found.is_known.sum()
    for one, plane in zip(found[1:], wanted, strict=True):
        np.testing.assert_allclose(one, plane.ravel()[at], rtol=1e-5, atol=1e-4)


def quarters(of: Contribution) -> tuple[Contribution, ...]:
    """The tiles that a mosaic may be cut into."""
    boxes = [PixelBox(x0, y0, x0 + 110, y0 + 100) for y0 in (0, 100) for x0 in (0, 110)]
    return tuple(of.cut(box) for box in boxes)


@pytest.mark.parametrize("misalignment_px", [None, 8])
def test_tiles_of_the_mosaic_tell_what_the_whole_does(misalignment_px: int | None) -> None:
    chip, others = random_scene(2, misalignment_px)
    (total,) = others.total
    whole, tiled = rejection(chip, others), rejection(chip, replace(others, total=quarters(total)))
    assert whole.pixel.size > 10
    for one, other in zip(whole, tiled, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("reach", [0, 1, 5])
def test_the_brightest_pixel_near_is_that_of_a_maximum_filter(reach: int) -> None:
    _, others = random_scene(1, 8)
    at = np.flatnonzero(np.random.default_rng(4).random(SHAPE) < 0.2)
    mean, _, weight = left_of(others)
    wanted = np.maximum(ndimage.maximum_filter(mean, 2 * reach + 1, mode="constant"), 0)
    wanted = np.where(weight > 0, wanted, 0).ravel()[at]
    without_end = np.full(at.size, np.inf, np.float32)
    found = chip_blots.brightest_nearby(others, reach, at, without_end)
    np.testing.assert_array_equal(found.is_known, weight.ravel()[at] > 0)
    np.testing.assert_allclose(found.value, wanted, rtol=1e-6)
    enough = (0.5 * wanted).astype(np.float32)
    found = chip_blots.brightest_nearby(others, reach, at, enough)
    assert (found.value >= enough)[found.is_known].all()
    assert (found.value <= wanted * (1 + 1e-6)).all()
