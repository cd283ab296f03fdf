"""Laws of the family of resamplers, then what is peculiar to drizzle."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from drizzle.resample import Drizzle
from others_by_subtraction import leave_one_out

from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.domain.grid import MosaicGrid
from alignsvc.errors import ConfigError
from alignsvc.numerics.resampling import grid_units
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import Contribution, merge
from alignsvc.numerics.resampling.drops import SumPlanes
from alignsvc.numerics.resampling.grid_units import chip_box, in_grid_units
from alignsvc.numerics.resampling.resamplers import RESAMPLERS, Resampler
from alignsvc.numerics.resampling.resamplers.drizzle import DrizzleResampler
from alignsvc.numerics.sky.pixel_map import PixelMap, build_pixel_map

NY, NX = 90, 110
FAMILY: list[tuple[str, dict[str, object]]] = [(name, {}) for name in RESAMPLERS.names()]
KERNELS = ("square", "point", "gaussian", "lanczos3")
FAMILY += [("drizzle", {"kernel": kernel}) for kernel in KERNELS]
FAMILY += [("drizzle", {"pixfrac": 0.7}), ("adaptive", {"kernel": "hann"})]
FAMILY += [("interpolate", {"kernel": kernel}) for kernel in ("cubic", "bilinear")]

every_resampler = pytest.mark.parametrize(
    "resampler",
    [RESAMPLERS.build(name, settings) for name, settings in FAMILY],
    ids=[f"{name}-{settings}" for name, settings in FAMILY],
)


def star(x: float, y: float, fwhm: float = 4.0) -> np.ndarray:
    rows, columns = np.mgrid[:NY, :NX]
    r2 = (columns - x) ** 2 + (rows - y) ** 2
    return np.exp(-4 * np.log(2) * r2 / fwhm**2).astype(np.float32)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(NY, NX)).astype(np.float32)


def is_drizzle(resampler: Resampler, *kernels: str) -> bool:
    return isinstance(resampler, DrizzleResampler) and resampler.kernel in kernels


def centroid(contribution: Contribution, about: Points) -> tuple[float, float, float]:
    """Return flux and centroid within 12 px of a place, of the mean image."""
    value = contribution.mean().value.astype(float)
    box = contribution.box
    y, x = np.mgrid[box.y0 : box.y1, box.x0 : box.x1]
    value = np.where(np.hypot(x - about.x, y - about.y) < 12, value, 0.0)
    flux = value.sum()
    return flux, (value * x).sum() / flux, (value * y).sum() / flux


@every_resampler
def test_the_contribution_covers_the_chip_within_the_grid(resampler, small_sky, make_chip):
    pixel_map = small_sky.pixel_map()
    result = resampler(make_chip(noise(0)), pixel_map, small_sky.grid)
    assert result.numerator.dtype == result.weight.dtype == np.float32
    assert result.box == result.box.intersect(small_sky.grid.box)
    corners = pixel_map.to_grid(pixel_map.wcs.corners())
    assert result.box.intersect(PixelBox.around(corners)) == PixelBox.around(corners)
    assert (result.weight >= 0).all()
    assert not result.numerator[result.weight == 0].any()


@every_resampler
def test_the_weight_given_is_the_weight_found(resampler, small_sky, make_chip):
    pixel_map = small_sky.pixel_map(scale_arcsec=0.23)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, (NY, NX)).astype(np.float32)
    chip = make_chip(noise(0), weight)
    given = in_grid_units(chip, pixel_map, pixel_map.box).weight.sum(dtype=float)
    found = resampler(chip, pixel_map, small_sky.grid).weight.sum(dtype=float)
    exactly = isinstance(resampler, DrizzleResampler) and not is_drizzle(
        resampler, "gaussian", "lanczos3"
    )
    assert found == pytest.approx(given, rel=1e-6 if exactly else 0.02)


@every_resampler
def test_a_surface_of_constant_brightness_stays_constant(resampler, small_sky, make_chip):
    pixel_map = small_sky.pixel_map(scale_arcsec=0.25)
    # Constant per grid pixel: each chip pixel holds its share of area.
    chip = make_chip(3.0 * pixel_map.areas(pixel_map.box))
    result = resampler(chip, pixel_map, small_sky.grid)
    value, hole = result.mean()
    solid = ~hole & (result.weight > 1e-3)
    np.testing.assert_allclose(value[solid], 3.0, rtol=1e-4)


@every_resampler
@pytest.mark.parametrize("scale_arcsec", [0.2, 0.13, 0.3])
def test_the_flux_of_a_star_is_conserved(resampler, scale_arcsec, small_sky, make_chip):
    if is_drizzle(resampler, "point") or getattr(resampler, "pixfrac", 1.0) < 1:
        return  # leaves holes in a single exposure, and flux falls in them
    pixel_map = small_sky.pixel_map(scale_arcsec=scale_arcsec)
    pixels = star(55.3, 44.8)
    result = resampler(make_chip(pixels), pixel_map, small_sky.grid)
    found = result.mean().value.sum(dtype=float)
    tolerance = 1e-5 if is_drizzle(resampler, "square") else 5e-3
    assert found == pytest.approx(float(pixels.sum(dtype=float)), rel=tolerance)


@every_resampler
def test_what_a_bad_pixel_holds_changes_nothing(resampler, small_sky, make_chip):
    weight = np.ones((NY, NX), np.float32)
    weight[40:43, 50:53] = 0.0
    weight[0, :] = 0.0
    plain, spoilt = noise(0), noise(0)
    spoilt[weight == 0] = 1e9
    spoilt[41, 51], spoilt[0, 5] = np.nan, np.inf
    pixel_map = small_sky.pixel_map()
    first = resampler(make_chip(plain, weight), pixel_map, small_sky.grid)
    second = resampler(make_chip(spoilt, weight), pixel_map, small_sky.grid)
    np.testing.assert_array_equal(first.numerator, second.numerator)
    np.testing.assert_array_equal(first.weight, second.weight)


@every_resampler
def test_the_same_input_gives_the_same_bits_and_is_not_changed(resampler, small_sky, make_chip):
    pixels = noise(0)
    chip, pixel_map = make_chip(pixels), small_sky.pixel_map()
    first = resampler(chip, pixel_map, small_sky.grid)
    second = resampler(chip, pixel_map, small_sky.grid)
    np.testing.assert_array_equal(first.numerator, second.numerator)
    np.testing.assert_array_equal(pixels, noise(0))


@every_resampler
def test_the_borders_of_the_grid_lose_no_weight(resampler, small_sky, make_chip):
    """A grid that ends on the chip gets what a larger one has there."""
    pixel_map, chip = small_sky.pixel_map(), make_chip(noise(0))
    whole = small_sky.grid
    small = MosaicGrid(
        0, whole.plane, whole.scale_arcsec, whole.origin_x, whole.origin_y, (125, 120), (64, 64)
    )
    there = resampler(chip, pixel_map, small)
    wanted = resampler(chip, pixel_map, whole).cut(there.box)
    np.testing.assert_allclose(there.weight, wanted.weight, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(there.numerator, wanted.numerator, rtol=1e-4, atol=1e-4)


@every_resampler
def test_a_chip_outside_the_grid_gives_nothing(resampler, small_sky, make_chip):
    whole = small_sky.grid
    away = MosaicGrid(0, whole.plane, whole.scale_arcsec, -900.0, 120.0, (99, 99), (64, 64))
    pixel_map = build_pixel_map(small_sky.pixel_map().wcs, away)
    result = resampler(make_chip(noise(0)), pixel_map, away)
    assert result.is_empty


@pytest.mark.parametrize(
    ("kernel", "rotation_deg", "worst_px"),
    [
        ("turbo", 0.0, 1e-6),
        ("turbo", 1.0, 5e-5),
        ("turbo", 20.0, 5e-3),
        ("square", 0.0, 1e-6),
        ("square", 20.0, 1e-4),
    ],
)
def test_the_place_of_a_star_is_kept(kernel, rotation_deg, worst_px, small_sky, make_chip):
    """Turbo's drops do not turn with the chip: on a turned chip their weights make a pattern,
    which moves a star of 4 px by 0.002 px rms in one exposure, at random; square's do."""
    resampler = DrizzleResampler(kernel)
    rng = np.random.default_rng(5)
    offsets = []
    for _ in range(12):
        pixel_map = small_sky.pixel_map(
            rotation_deg=rotation_deg, offset_px=tuple(rng.uniform(-3, 3, 2)), distortion=0.0
        )
        x, y = 55 + rng.uniform(-0.5, 0.5), 45 + rng.uniform(-0.5, 0.5)
        result = resampler(make_chip(star(x, y)), pixel_map, small_sky.grid)
        true = pixel_map.to_grid(Points(np.array(x), np.array(y)))
        _, found_x, found_y = centroid(result, true)
        offsets.append((found_x - true.x, found_y - true.y))
    assert np.abs(offsets).max() < worst_px
    assert np.abs(np.mean(offsets, axis=0)).max() < 1e-3


def test_pixels_come_in_units_of_grid_pixels(small_sky, make_chip):
    pixel_map = small_sky.pixel_map(scale_arcsec=0.4)  # four grid pixels a chip pixel
    weight = np.full((NY, NX), 2.0, np.float32)
    part = PixelBox(0, 40, NX, 50)
    rows = in_grid_units(make_chip(np.full((NY, NX), 8.0, np.float32), weight), pixel_map, part)
    np.testing.assert_allclose(rows.area, 4.0, rtol=0.01)
    np.testing.assert_allclose(rows.pixels, 2.0, rtol=0.01)
    # Four times less value, four times less error: sixteen times the weight.
    np.testing.assert_allclose(rows.weight, 32.0, rtol=0.02)


def by_the_library(
    chips: Sequence[tuple[CalibratedChip, PixelMap]], box: PixelBox, pixfrac: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and weight of turbo drops, by the library whose kernel it was first."""
    mean, weight = np.zeros(box.shape, np.float32), np.zeros(box.shape, np.float32)
    sums = Drizzle(kernel="turbo", out_img=mean, out_wht=weight, disable_ctx=True)
    for chip, pixel_map in chips:
        part = in_grid_units(chip, pixel_map, pixel_map.box)
        middle = pixel_map.jacobian(Points(np.array((NX - 1) / 2), np.array((NY - 1) / 2)))
        x, y = pixel_map.positions(pixel_map.box)
        sums.add_image(
            part.pixels,
            exptime=1.0,
            pixmap=np.stack([x - box.x0, y - box.y0], axis=-1),
            weight_map=part.weight,
            pixfrac=pixfrac,
            pixel_scale_ratio=1.0 / np.sqrt(np.linalg.det(middle)),
            in_units="cps",
        )
    return mean, weight


@pytest.mark.parametrize("pixfrac", [1.0, 0.6])
@pytest.mark.parametrize("scale_arcsec", [0.2, 0.11, 0.47])
@pytest.mark.parametrize("rotation_deg", [0.0, 33.0, 180.0])
def test_turbo_is_the_librarys_to_the_rounding(
    pixfrac, scale_arcsec, rotation_deg, small_sky, make_chip
):
    pixel_map = small_sky.pixel_map(scale_arcsec=scale_arcsec, rotation_deg=rotation_deg)
    given = np.random.default_rng(1).uniform(0.5, 2.0, (NY, NX)).astype(np.float32)
    given[30:35, 20:60] = 0.0
    chip = make_chip(noise(0), given)
    found = DrizzleResampler(pixfrac=pixfrac)(chip, pixel_map, small_sky.grid)
    whole = chip_box(pixel_map, 5)  # at the border of its planes, the library drops by halves
    inside = found.box.slices_in(whole)
    mean, weight = (plane[inside] for plane in by_the_library([(chip, pixel_map)], whole, pixfrac))
    largest = weight.max()
    np.testing.assert_allclose(found.weight, weight, rtol=2e-6, atol=3e-7 * largest)
    np.testing.assert_allclose(found.numerator, mean * weight, rtol=1e-5, atol=3e-6 * largest)


@pytest.mark.parametrize("resampler", [DrizzleResampler(), DrizzleResampler().for_templates()])
def test_part_of_a_chip_added_again_gives_its_grid_pixels_the_same_bits(
    resampler, small_sky, make_chip
):
    """Whoever changes a few pixels of a chip drizzles again only what reaches the same places."""
    pixel_map = small_sky.pixel_map(rotation_deg=2.0, scale_arcsec=0.201)
    chip = make_chip(noise(0))
    whole = resampler(chip, pixel_map, small_sky.grid)
    middle = pixel_map.to_grid(Points(np.array(50.0), np.array(40.0)))
    box = PixelBox.around(middle).expand(5)
    again = SumPlanes.zeros(box)
    for y0, y1 in ((25, 33), (33, 34), (34, 60)):
        resampler.add(chip, pixel_map, PixelBox(30, y0, 70, y1), again)
    assert again.weight.all()
    assert again.weight.tobytes() == whole.cut(box).weight.tobytes()
    assert again.numerator.tobytes() == whole.cut(box).numerator.tobytes()


def test_subtracting_an_exposure_is_as_good_as_not_having_drizzled_it(small_sky, make_chip):
    """Leave-one-out by subtraction, against drizzling the others into one image."""
    maps = [
        small_sky.pixel_map(rotation_deg=10.0 * k, offset_px=(5.0 * k, 3.0 * k)) for k in range(4)
    ]
    weights = [np.full((NY, NX), 1.0 + k, np.float32) for k in range(4)]
    for weight in weights:
        weight[30:35, 20:60] = 0.0
    chips = [make_chip(noise(k), weight) for k, weight in enumerate(weights)]
    resampler, grid = DrizzleResampler(), small_sky.grid
    parts = [resampler(chip, one, grid) for chip, one in zip(chips, maps, strict=True)]
    without_2 = leave_one_out(merge(parts, grid.box), parts[2])

    mean, weight = by_the_library([(chips[k], maps[k]) for k in (0, 1, 3)], grid.box)
    np.testing.assert_allclose(without_2.weight, weight, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(without_2.weight == 0, weight == 0)
    np.testing.assert_allclose(without_2.numerator, mean * weight, rtol=0, atol=3e-5)


@pytest.mark.parametrize("kernel", ["turbo", "square", "gaussian"])
def test_drizzling_in_bands_of_rows_leaves_no_seams(kernel, small_sky, make_chip, monkeypatch):
    chip, pixel_map = make_chip(noise(0)), small_sky.pixel_map()
    whole = DrizzleResampler(kernel)(chip, pixel_map, small_sky.grid)
    monkeypatch.setattr(grid_units, "_PIXELS_AT_ONCE", 7 * NX)
    in_bands = DrizzleResampler(kernel)(chip, pixel_map, small_sky.grid)
    np.testing.assert_allclose(in_bands.weight, whole.weight, rtol=0, atol=2e-6)
    np.testing.assert_allclose(in_bands.numerator, whole.numerator, rtol=0, atol=1e-5)


def test_the_box_of_a_chip_follows_its_bulging_edges(small_sky):
    pixel_map = small_sky.pixel_map(distortion=2e-3)
    y = np.linspace(-0.5, NY - 0.5, 200)
    edge = pixel_map.to_grid(Points(np.full(200, NX - 0.5), y))
    box = chip_box(pixel_map, 0)
    assert box.x0 - 0.5 <= edge.x.min()
    assert edge.x.max() <= box.x1 - 0.5
    assert chip_box(pixel_map, 3) == box.expand(3)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("drizzle", {"kernel": "round"}, "one of gaussian"),
        ("drizzle", {"pixfrac": 0.0}, "above 0"),
        ("drizzle", {"pixfrac": 1.5}, "at most 1"),
        ("drizzle", {"kernl": "turbo"}, "did you mean 'kernel'"),
        ("interp", {"order": 3}, "0 or 1"),
        ("adaptive", {"kernel": "box"}, "hann"),
        ("interpolate", {"kernel": "spline"}, "lanczos3"),
        ("interpolate", {"most_bad": 1.5}, "from 0 to 1"),
        ("drizle", {}, "did you mean 'drizzle'"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_wanted(name, settings, words):
    with pytest.raises(ConfigError, match=words):
        RESAMPLERS.build(name, settings)


def test_looking_for_resamplers_does_not_load_dask():
    code = (
        "import sys; from alignsvc.numerics.resampling.resamplers import RESAMPLERS; "
        "RESAMPLERS.build('interp', {}); "
        "sys.exit(any(name in sys.modules for name in ('dask', 'distributed', 'zarr')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def third_moment(contribution: Contribution, about: Points) -> tuple[float, float]:
    """Return the mean cubes of distances along x and along y from the centroid."""
    _, x0, y0 = centroid(contribution, about)
    value, box = contribution.mean().value.astype(float), contribution.box
    y, x = np.mgrid[box.y0 : box.y1, box.x0 : box.x1]
    value = np.where(np.hypot(x - x0, y - y0) < 12, value, 0.0)
    return tuple((value * (at) ** 3).sum() / value.sum() for at in (x - x0, y - y0))


@pytest.mark.parametrize("turned_deg", [0.0, 90.0, 180.0])
def test_templates_are_symmetric_whatever_the_phase(small_sky, make_chip, turned_deg):
    """A grid pixel is a mean of two pixels of the chip, and lopsided unless they weigh alike."""
    plain = DrizzleResampler()
    skews: dict[bool, list[float]] = {False: [], True: []}
    for phase in (0.0, 0.2, 0.5, 0.8):
        pixel_map = small_sky.pixel_map(
            rotation_deg=turned_deg, offset_px=(phase, 0.3), distortion=0.0
        )
        at = pixel_map.to_grid(Points(np.array(54.3), np.array(44.8)))
        for resampler in (plain, plain.for_templates()):
            found = resampler(make_chip(star(54.3, 44.8)), pixel_map, small_sky.grid)
            skews[resampler.unskewed] += third_moment(found, at)
    assert np.abs(skews[False]).max() > 0.08
    assert np.abs(skews[True]).max() < 0.01


def test_where_the_phase_goes_round_within_a_star_its_pixels_stay(small_sky, make_chip):
    chip = make_chip(star(54.3, 44.8))
    pixel_map = small_sky.pixel_map(rotation_deg=20.0)
    one, other = DrizzleResampler(), DrizzleResampler().for_templates()
    np.testing.assert_array_equal(
        one(chip, pixel_map, small_sky.grid).numerator,
        other(chip, pixel_map, small_sky.grid).numerator,
    )


def test_what_a_bad_pixel_holds_makes_nothing_symmetric(small_sky, make_chip):
    pixel_map = small_sky.pixel_map(rotation_deg=0.0, offset_px=(0.2, 0.3))
    pixels, weight = star(54.3, 44.8), np.ones((NY, NX), np.float32)
    weight[44, 56] = 0.0
    struck = pixels.copy()
    struck[44, 56] = 1e6
    resampler = DrizzleResampler().for_templates()
    one, other = (
        resampler(make_chip(each, weight), pixel_map, small_sky.grid) for each in (pixels, struck)
    )
    np.testing.assert_array_equal(one.numerator, other.numerator)


def test_drops_of_unknown_lopsidedness_are_left_as_they_are():
    assert not DrizzleResampler(pixfrac=0.7).for_templates().unskewed
    assert not DrizzleResampler(kernel="lanczos3").for_templates().unskewed
