"""A template is given the seeing of an exposure."""

from dataclasses import replace

import numpy as np
import pytest
from displacement_scenes import catalog, gaussian, positions, reference_of, stars, view_of

from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.correlators import CORRELATORS
from alignsvc.numerics.displacement.fitting.refine import TemplateFit
from alignsvc.numerics.displacement.measure import CorrelationMeasurement
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.windows.psf_matching import (
    MatchedSource,
    MatchingKernel,
    PsfMatching,
)

FITTED = CorrelationMeasurement(CORRELATORS.build("ncc", {}), TemplateFit(), matching=PsfMatching())
SIDE, TEMPLATE_SIDE = 32, 46


def star_pairs(fwhm, template_fwhm, n=9):
    """Stars of two widths, in the middle of cutouts and templates of unit noise."""
    where = [Points(np.array([s / 2]), np.array([s / 2])) for s in (SIDE - 1.0, TEMPLATE_SIDE - 1)]
    sharp = stars((SIDE, SIDE), where[0], 1e4, fwhm, gaussian)
    blurred = stars((TEMPLATE_SIDE,) * 2, where[1], 1e4, template_fwhm, gaussian)
    pixels = np.broadcast_to(sharp.astype(np.float32), (n, SIDE, SIDE))
    templates = np.broadcast_to(blurred.astype(np.float32), (n, *blurred.shape))
    none = np.zeros(n)
    ones = np.ones(pixels.shape, np.float32)
    terms = PsfMatching().start(np.full(n, template_fwhm)).terms(TemplateSpline.through(templates))
    return MatchedSource(pixels, ones, terms, Points(none, none))


def fitted(pairs, fwhm):
    matching = PsfMatching()
    kernel = matching.start(np.full(len(pairs.pixels), fwhm))
    for _ in range(matching.passes):
        improved = matching.improved(kernel, [pairs])
        kernel, (pairs,) = improved.kernel, improved.sources
    return kernel


@pytest.mark.parametrize(("fwhm", "template_fwhm"), [(5.0, 4.0), (4.0, 5.0), (4.0, 4.0)])
def test_a_matched_template_has_the_width_of_the_exposure(fwhm, template_fwhm):
    pairs = star_pairs(fwhm, template_fwhm)
    kernel = fitted(pairs, template_fwhm)
    shown = kernel.applied(pairs.terms.plain).shifted(pairs.shift, SIDE).value[0]
    plain = pairs.terms.plain.shifted(pairs.shift, SIDE).value[0]
    left, before = (np.abs(one - pairs.pixels[0]).max() for one in (shown, plain))
    assert left < max(0.3 * before, 1e-3 * pairs.pixels.max())
    assert (kernel.response > 1) == (fwhm < template_fwhm) or fwhm == template_fwhm


def test_a_kernel_is_the_sum_of_its_terms():
    plain = star_pairs(4.0, 5.0).terms.plain
    kernel = MatchingKernel((1.3, 2.0), (0.4, -0.7), 0.3, -0.2)
    whole, summed = kernel.applied(plain), kernel.terms(plain).matched(kernel)
    np.testing.assert_allclose(summed.coefficients, whole.coefficients, rtol=1e-4, atol=1e-3)


def test_a_kernel_keeps_flux_and_moves_nothing():
    plain = star_pairs(4.0, 5.0).terms.plain
    shift = Points(np.zeros(len(plain.coefficients)), np.zeros(len(plain.coefficients)))
    kernel = MatchingKernel((2.0,), (-0.7,), 0.3, -0.2)
    old, new = (
        spline.shifted(shift, SIDE).value[0].astype(float)
        for spline in (plain, kernel.applied(plain))
    )
    offset = np.arange(SIDE) - 0.5 * (SIDE - 1)
    assert new.sum() == pytest.approx(old.sum(), rel=1e-4)
    for image in (new, new.T):
        assert (image * offset).sum() == pytest.approx(0, abs=1e-3 * old.sum())


def test_too_few_bright_sources_match_nothing():
    assert fitted(star_pairs(4.0, 5.0, n=4), 5.0).is_identity


def test_faint_sources_have_no_say():
    pairs = star_pairs(4.0, 5.0)
    faint = MatchedSource(pairs.pixels / 1000, pairs.weight, pairs.terms, pairs.shift)
    assert fitted(faint, 5.0).is_identity


def displaced(pairs, by_px):
    """Calibrators taken to be elsewhere along x."""
    return replace(pairs, shift=Points(np.full(len(pairs.pixels), by_px), pairs.shift.y))


def test_a_step_places_calibrators_beside_the_kernel():
    kernel = PsfMatching().start(np.full(9, 5.0))
    improved = PsfMatching().improved(kernel, [displaced(star_pairs(4.0, 5.0), 0.1)])
    np.testing.assert_allclose(improved.sources[0].shift.x, 0, atol=0.03)
    np.testing.assert_allclose(improved.sources[0].shift.y, 0, atol=1e-3)
    wanted, found = (
        fitted(star_pairs(4.0, 5.0), 5.0),
        fitted(displaced(star_pairs(4.0, 5.0), 0.1), 5.0),
    )
    np.testing.assert_allclose(found.coefficients, wanted.coefficients, atol=2e-3)


def test_a_calibrator_that_is_elsewhere_has_no_say():
    sound, lost = star_pairs(4.0, 5.0), displaced(star_pairs(4.0, 5.0), 3.0)
    kernel = PsfMatching().start(np.full(9, 5.0))
    both, alone = (PsfMatching().improved(kernel, some) for some in ([sound, lost], [sound]))
    assert both.kernel == alone.kernel
    np.testing.assert_array_equal(both.sources[1].shift.x, lost.shift.x)


def test_a_blurred_mosaic_weighs_less_than_its_pixels():
    """The share of a sharp exposure in the mosaic's position exceeds that of its weight."""
    rng = np.random.default_rng(3)
    at, shape = positions(25, rng)
    sharp = stars(shape, at, 1e5, 4.0)
    blurred = stars(shape, at, 1e5, 5.5)
    share = {
        name: FITTED(view_of(sharp), reference_of(mosaic, 7.0), catalog(at, 4.0)).weight_share
        for name, mosaic in (("same", sharp), ("blurred", blurred))
    }
    np.testing.assert_allclose(share["same"], 1 / 8, rtol=0.02)
    assert (share["blurred"] > 0.15).all()
