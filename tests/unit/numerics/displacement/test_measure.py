"""Displacements of stars whose true displacement is known."""

from dataclasses import replace

import numpy as np
import pytest
from displacement_scenes import (
    SAME,
    AffineMap,
    catalog,
    drizzled_noise,
    gaussian,
    moffat,
    positions,
    reference_of,
    segmented,
    stars,
    view_of,
)

from alignsvc.domain.geometry import Points
from alignsvc.domain.quality import DisplacementFlag as Flag
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.displacement.correlators import CORRELATORS
from alignsvc.numerics.displacement.fitting.centroids import CatalogCentroids, WindowedCentroids
from alignsvc.numerics.displacement.fitting.refine import TemplateFit
from alignsvc.numerics.displacement.measure import CorrelationMeasurement
from alignsvc.numerics.displacement.windows.psf_matching import PsfMatching
from alignsvc.numerics.displacement.windows.sizes import SizeClasses

NCC = CORRELATORS.build("ncc", {})
PLAIN = CorrelationMeasurement(NCC)
FITTED = CorrelationMeasurement(NCC, TemplateFit(), matching=PsfMatching())
CENTROIDS = CorrelationMeasurement(NCC, WindowedCentroids())
BOTH = pytest.mark.parametrize("measure", [PLAIN, FITTED], ids=["plain", "fitted"])
ALL = pytest.mark.parametrize(
    "measure", [PLAIN, FITTED, CENTROIDS], ids=["plain", "fitted", "centroids"]
)


def errors(found, truth):
    return np.concatenate([found.dx - truth.x, found.dy - truth.y])


def scene(n=49, fwhm=4.0, flux=1e4, seed=1, largest=0.5, profile=moffat):
    """Where the mosaic has its stars, where the exposure has them, and the two images."""
    rng = np.random.default_rng(seed)
    at, shape = positions(n, rng)
    truth = Points(*rng.uniform(-largest, largest, (2, n)))
    seen = Points(at.x - truth.x, at.y - truth.y)
    return (
        at,
        truth,
        stars(shape, at, flux, fwhm, profile),
        stars(shape, seen, flux, fwhm, profile),
    )


# ---- truth in, truth out --------------------------------------------------------------------


@ALL
@pytest.mark.parametrize(
    ("fwhm", "profile", "plain_mpx", "fitted_mpx"),
    [
        (2.0, gaussian, 2.5, 2.5),
        (2.5, moffat, 1.2, 1.2),
        (3.0, moffat, 0.5, 0.4),
        (5.0, moffat, 0.1, 0.02),
    ],
)
def test_bias_with_the_phase_of_the_pixel(measure, fwhm, profile, plain_mpx, fitted_mpx):
    """The ancestor: 8.5, 5, 3.9, 1.4 mpx rms, with blots that were exact."""
    at, truth, mosaic, exposure = scene(fwhm=fwhm, profile=profile)
    found = measure(view_of(exposure), reference_of(mosaic, 1e6), catalog(at, fwhm))
    limit = fitted_mpx if measure.refinement else plain_mpx
    assert (found.flags == 0).all()
    assert 1e3 * np.sqrt(np.mean(errors(found, truth) ** 2)) < limit


@ALL
@pytest.mark.parametrize("fwhm", [2.0, 3.0, 5.0])
def test_the_response_to_a_shift_is_one_even_if_the_template_is_blurred(measure, fwhm):
    at, truth, mosaic, exposure = scene(fwhm=fwhm)
    blurred = sum(
        stars(mosaic.shape, Points(at.x + x, at.y + y), 1e4 / 9, fwhm)
        for x in (-0.4, 0, 0.4)
        for y in (-0.4, 0, 0.4)
    )
    found = measure(view_of(exposure), reference_of(blurred, 1e6), catalog(at, fwhm))
    slope, offset = np.polyfit(np.concatenate(truth), np.concatenate([found.dx, found.dy]), 1)
    assert slope == pytest.approx(1, abs=4e-3)
    assert offset == pytest.approx(0, abs=1e-3)


@ALL
def test_shifts_of_some_pixels_come_back(measure):
    at, truth, mosaic, exposure = scene(n=25, largest=2.8)
    found = measure(view_of(exposure), reference_of(mosaic, 1e6), catalog(at, 4.0))
    np.testing.assert_allclose(errors(found, truth), 0, atol=2e-3)


@ALL
def test_a_turned_and_scaled_map_is_followed(measure):
    """Displacements are in pixels of the chip, whatever the grid's."""
    rng = np.random.default_rng(5)
    chip_at, shape = positions(25, rng)
    angle = np.radians(30.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    pixel_map = AffineMap(0.9 * turn, (160.0, 20.0))
    truth = Points(*rng.uniform(-0.5, 0.5, (2, 25)))
    exposure = stars(shape, Points(chip_at.x - truth.x, chip_at.y - truth.y), 1e4, 4.0)
    grid_at = pixel_map.to_grid(chip_at)
    mosaic = stars((420, 440), grid_at, 1e4, 4.0 * 0.9)
    view = view_of(exposure, pixel_map)
    found = measure(view, reference_of(mosaic, 1e6), catalog(grid_at, 3.6))
    assert len(found) == 25
    np.testing.assert_allclose(errors(found, truth), 0, atol=2e-3)
    np.testing.assert_allclose(found.x, chip_at.x, atol=1e-9)


# ---- errors ---------------------------------------------------------------------------------


def bound(fwhm, flux):
    """The Cramér-Rao bound of a star's position in unit noise, px per axis."""
    size, h = (41, 41), 0.01
    right, left = (
        stars(size, Points(np.array([20.0 + d]), np.array([20.0])), flux, fwhm) for d in (h, -h)
    )
    return 1 / np.sqrt(np.sum(((right - left) / (2 * h)) ** 2))


def flux_for(snr, fwhm):
    star = stars((41, 41), Points(np.array([20.0]), np.array([20.0])), 1.0, fwhm)
    return snr / np.sqrt(np.sum(star**2))


@pytest.mark.parametrize(
    ("measure", "snr", "depth", "limit"),
    [
        (FITTED, 100, 8, 1.1),
        (FITTED, 30, 8, 1.12),
        (FITTED, 30, 1, 1.15),
        (CENTROIDS, 100, 8, 1.1),
        (CENTROIDS, 30, 8, 1.1),
        (PLAIN, 100, 8, 1.1),
        (PLAIN, 30, 8, 1.3),
    ],
)
def test_noise_is_near_the_bound_and_the_covariance_is_honest(measure, snr, depth, limit):
    fwhm, n = 4.0, 256
    rng = np.random.default_rng(8)
    flux = flux_for(snr, fwhm)
    at, truth, mosaic, exposure = scene(n=n, fwhm=fwhm, flux=flux)
    exposure = exposure + rng.normal(size=exposure.shape)
    mosaic = mosaic + drizzled_noise(mosaic.shape, rng) / np.sqrt(depth)
    found = measure(view_of(exposure), reference_of(mosaic, depth), catalog(at, fwhm, 6.0))
    good = found.flags == 0
    assert good.mean() > 0.97
    found, truth = found.select(good), Points(truth.x[good], truth.y[good])
    error = errors(found, truth)
    assert np.sqrt(np.mean(error**2)) < limit * bound(fwhm, flux) * np.sqrt(1 + 1 / depth)
    variance = (found.own_covariance + found.template_covariance)[:, [0, 2]].T.ravel()
    pull = np.sqrt(np.mean(error**2 / variance))
    assert pull == pytest.approx(1, abs=0.12 if measure.refinement else 0.2)
    if measure.refinement:  # the exposure's own part is its bound, however noisy the template
        own = np.sqrt(np.median(found.own_covariance[:, 0]))
        assert own == pytest.approx(bound(fwhm, flux), rel=0.1)


def test_the_sources_own_noise_enters_where_the_gain_is_known():
    flux, gain, rng = 3000.0, 0.5, np.random.default_rng(3)
    at, truth, mosaic, clean = scene(n=196, flux=flux)
    exposure = clean + rng.normal(size=clean.shape) * np.sqrt(1 + np.maximum(clean, 0) / gain)
    found = FITTED(view_of(exposure, gain=gain), reference_of(mosaic, 1e6), catalog(at, 4.0, 6.0))
    pull = errors(found, truth) / np.sqrt(found.own_covariance[:, [0, 2]].T.ravel())
    assert np.sqrt(np.mean(pull**2)) == pytest.approx(1, abs=0.12)


def test_deeper_templates_add_less_error_and_leave_the_exposures_own():
    at, _, mosaic, exposure = scene(n=25)
    shallow, deep = (
        FITTED(view_of(exposure), reference_of(mosaic, depth), catalog(at, 4.0))
        for depth in (2.0, 20.0)
    )
    np.testing.assert_allclose(
        shallow.template_covariance[:, 0], 10 * deep.template_covariance[:, 0], rtol=0.02
    )
    np.testing.assert_allclose(shallow.own_covariance[:, 0], deep.own_covariance[:, 0], rtol=0.01)


# ---- masks, neighbours, weights -------------------------------------------------------------


@ALL
def test_a_masked_pixel_changes_nothing(measure):
    at, _, mosaic, exposure = scene(n=9)
    mask = np.zeros(exposure.shape, bool)
    for x, y in zip(at.x, at.y, strict=True):
        mask[round(y) + 5, round(x) - 2] = True
    struck = np.where(mask, 1e6, exposure)
    reference = reference_of(mosaic)
    clean, dirty = (
        measure(view_of(pixels, mask=mask), reference, catalog(at, 4.0))
        for pixels in (exposure, struck)
    )
    np.testing.assert_array_equal(clean.dx, dirty.dx)
    np.testing.assert_array_equal(clean.own_covariance, dirty.own_covariance)


@ALL
def test_masks_bring_no_bias(measure):
    at, truth, mosaic, exposure = scene(n=25)
    mask = np.zeros(exposure.shape, bool)
    for x, y in zip(at.x, at.y, strict=True):
        mask[round(y) - 1 : round(y) + 2, round(x) + 4 : round(x) + 7] = True
    found = measure(view_of(exposure, mask=mask), reference_of(mosaic, 1e6), catalog(at, 4.0))
    np.testing.assert_allclose(errors(found, truth), 0, atol=2e-3)


@BOTH
def test_a_neighbour_that_moved_is_masked_by_the_segmentation(measure):
    at, truth, mosaic, exposure = scene(n=9)
    beside = Points(at.x + 8, at.y)
    moved = Points(at.x + 8.5, at.y + 0.5)
    segmentation = np.zeros(mosaic.shape, np.int64)
    for x, y in zip(beside.x, beside.y, strict=True):
        segmentation[round(y) - 4 : round(y) + 5, round(x) - 3 : round(x) + 6] = 99
    mosaic = mosaic + stars(mosaic.shape, beside, 5e3, 3.0, gaussian)
    exposure = exposure + stars(mosaic.shape, moved, 5e3, 3.0, gaussian)
    sources = catalog(at, 4.0)
    blind = measure(view_of(exposure), reference_of(mosaic, 1e6), sources)
    seeing = measure(
        view_of(exposure), reference_of(mosaic, 1e6, segmentation=segmented(segmentation)), sources
    )
    assert np.abs(errors(seeing, truth)).max() < 0.02
    assert np.abs(errors(seeing, truth)).max() < 0.3 * np.abs(errors(blind, truth)).max()


def test_the_weight_share_is_the_exposures_part():
    at, _, mosaic, exposure = scene(n=9)
    found = FITTED(view_of(exposure), reference_of(mosaic, 3.0, own=1.0), catalog(at, 4.0))
    np.testing.assert_allclose(found.weight_share, 0.25, atol=1e-4)


def test_inputs_are_left_as_they_were():
    at, _, mosaic, exposure = scene(n=4)
    view, reference = view_of(exposure), reference_of(mosaic)
    pixels, coefficients = view.chip.pixels.copy(), reference.coefficients.copy()
    FITTED(view, reference, catalog(at, 4.0))
    np.testing.assert_array_equal(view.chip.pixels, pixels)
    np.testing.assert_array_equal(reference.coefficients, coefficients)


def test_a_source_measures_the_same_in_any_company():
    at, _, mosaic, exposure = scene(n=16)
    view, reference, sources = view_of(exposure), reference_of(mosaic), catalog(at, 4.0)
    together = FITTED(view, reference, sources)
    alone = FITTED(view, reference, sources.select(np.array([5])))
    assert together.dx[5] == pytest.approx(alone.dx[0], abs=1e-6)


@ALL
def test_pixels_beyond_the_apertures_do_not_matter(measure):
    """Boxes about the apertures are compared, not cutouts: the same comes out, in a third."""
    at, truth, mosaic, exposure = scene(n=16, largest=2.8)
    reference, sources = reference_of(mosaic, 1e6), catalog(at, 4.0)
    small, large = (
        replace(measure, sizes=SizeClasses((side,), search_radius_px=3))(
            view_of(exposure), reference, sources
        )
        for side in (24, 48)
    )
    np.testing.assert_allclose(small.dx, large.dx, atol=2e-4)
    np.testing.assert_allclose(
        small.own_covariance[:, [0, 2]], large.own_covariance[:, [0, 2]], rtol=1e-2
    )
    np.testing.assert_allclose(errors(small, truth), 0, atol=2e-3)


# ---- what cannot be measured says so --------------------------------------------------------


def one_star(**planes):
    at = Points(np.array([60.2]), np.array([59.7]))
    image = stars((120, 120), at, 1e4, 4.0)
    return at, image, planes


@pytest.mark.parametrize(
    ("flag", "where"),
    [
        (Flag.MASKED_CORE, np.s_[60:61, 61:62]),
        (Flag.MASKED_MANY, np.s_[:, 64:]),
    ],
)
def test_bad_pixels_are_flagged(flag, where):
    at, image, _ = one_star()
    mask = np.zeros(image.shape, bool)
    mask[where] = True
    if flag is Flag.MASKED_MANY:
        mask[:56] = True
    found = FITTED(view_of(image, mask=mask), reference_of(image), catalog(at, 4.0))
    assert found.flags[0] & flag


def test_saturated_pixels_are_flagged():
    at, image, _ = one_star()
    saturated = image > 0.8 * image.max()
    view = view_of(image, mask=saturated, saturated=saturated)
    assert FITTED(view, reference_of(image), catalog(at, 4.0)).flags[0] & Flag.SATURATED


def test_holes_in_the_template_are_flagged():
    at, image, _ = one_star()
    weight = np.full(image.shape, 8.0)
    weight[62, 62] = 0
    found = FITTED(view_of(image), reference_of(image, weight), catalog(at, 4.0))
    assert found.flags[0] & Flag.TEMPLATE_HOLE


def test_a_star_near_the_mosaics_edge_is_measured_if_its_aperture_is_within():
    at, image, _ = one_star()
    weight = np.full(image.shape, 8.0)
    weight[:, round(at.x[0]) + 9 :] = 0
    found = FITTED(
        view_of(image), reference_of(np.where(weight > 0, image, 0), weight), catalog(at, 4.0)
    )
    assert found.flags[0] == Flag.GOOD
    assert np.hypot(found.dx[0], found.dy[0]) < 0.002
    weight[:, round(at.x[0]) + 2 :] = 0
    cut = FITTED(
        view_of(image), reference_of(np.where(weight > 0, image, 0), weight), catalog(at, 4.0)
    )
    assert cut.flags[0] & Flag.TEMPLATE_HOLE


def test_a_template_that_is_all_hole_gives_no_displacement():
    at, image, _ = one_star()
    for measure in (PLAIN, FITTED):
        found = measure(view_of(image), reference_of(image, 0.0), catalog(at, 4.0))
        assert found.flags[0] & Flag.TEMPLATE_HOLE
        assert np.isnan(found.dx[0])


def test_an_exposure_that_carries_the_mosaic_is_flagged():
    at, image, _ = one_star()
    found = FITTED(view_of(image), reference_of(image, 0.01, own=1.0), catalog(at, 4.0))
    assert found.flags[0] & Flag.DOMINATED


def test_a_star_beyond_the_search_is_at_the_edge_and_not_a_number():
    at, image, _ = one_star()
    moved = stars(image.shape, Points(at.x + 4.5, at.y), 1e4, 4.0)
    for measure in (PLAIN, FITTED):
        found = measure(view_of(moved), reference_of(image), catalog(at, 4.0))
        assert found.flags[0] & Flag.PEAK_AT_EDGE
        assert np.isnan(found.dx[0])


def test_noise_against_noise_is_no_good_measurement():
    rng = np.random.default_rng(4)
    at, shape = positions(49, rng)
    view = view_of(rng.normal(size=shape))
    reference = reference_of(drizzled_noise(shape, rng) / np.sqrt(8))
    found = FITTED(view, reference, catalog(at, 4.0))
    assert np.mean(found.flags != 0) > 0.8


def test_sources_off_the_chip_are_left_out_and_cut_cores_flagged():
    at = Points(np.array([-30.0, 0.5, 60.0, np.nan]), np.array([60.0, 60.0, 60.0, 60.0]))
    image = stars((120, 120), Points(at.x[1:3], at.y[1:3]), 1e4, 4.0)
    found = FITTED(view_of(image), reference_of(image), catalog(at, 4.0))
    assert found.source.tolist() == [2, 3]
    assert found.flags[0] & Flag.OUTSIDE
    assert found.flags[1] == 0


def test_cutouts_of_all_sizes_come_back_in_the_order_of_the_catalogue():
    at, truth, mosaic, exposure = scene(n=16, fwhm=3.0)
    sources = catalog(at, np.tile([1.5, 3.0, 5.0, 9.0], 4))
    found = FITTED(view_of(exposure), reference_of(mosaic, 1e6), sources)
    assert found.source.tolist() == sources.id.tolist()
    np.testing.assert_allclose(errors(found, truth), 0, atol=3e-3)


def test_no_sources_give_no_displacements():
    _, image, _ = one_star()
    found = FITTED(view_of(image, SAME), reference_of(image), SourceCatalog.empty())
    assert len(found) == 0


def test_the_first_pass_reads_exposures_against_the_catalogue_however_smeared_the_mosaic():
    """Multiplied by 1 - share, as the joint solve does, it is the offset from the catalogue."""
    at, truth, _, exposure = scene(largest=1.5)
    smeared = sum(
        stars(exposure.shape, Points(at.x + x, at.y + y), 1e4 / 4, 4.0)
        for x, y in ((-1.4, 0.3), (1.8, 0.6), (0.2, -1.5), (0.9, 1.6))
    )
    measure = replace(FITTED, first=CatalogCentroids())
    reference = reference_of(smeared, 3.0, own=1.0)
    found = measure.in_pass(1)(view_of(exposure), reference, catalog(at, 4.0))
    offset = (1 - found.weight_share) * np.stack([found.dx, found.dy])
    np.testing.assert_allclose(offset, np.stack(truth), atol=5e-3)
    assert measure.in_pass(2) == measure
