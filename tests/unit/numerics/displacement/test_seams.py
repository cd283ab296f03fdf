"""A seam of the mosaic runs through a star: it is placed all the same, and its error is known."""

from dataclasses import replace

import numpy as np
import pytest
from displacement_scenes import PITCH, catalog, positions, reference_of, stars, view_of

from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.correlators import CORRELATORS
from alignsvc.numerics.displacement.fitting.centroids import CatalogCentroids, WindowedCentroids
from alignsvc.numerics.displacement.fitting.refine import TemplateFit
from alignsvc.numerics.displacement.measure import CorrelationMeasurement

NCC = CORRELATORS.build("ncc", {})
FITTED = CorrelationMeasurement(NCC, TemplateFit())
FWHM = 5.0
SIDE = 64


def seams_beside(at, shape, offset_px):
    """True beyond a vertical edge that runs `offset_px` to the right of each star."""
    beyond = np.zeros(shape, bool)
    half = PITCH // 2
    for x, y, offset in zip(at.x, at.y, offset_px, strict=True):
        rows = slice(max(0, round(y) - half), round(y) + half)
        beyond[rows, round(x + offset) : round(x) + half] = True
    return beyond


def sky(flux, *, n=36, seeing=(4.0, 6.0), n_others=3, seed=1):
    """Stars in an exposure and in a mosaic of others, of which the first ends beside each star.

    Every star has its own draw of seeing in all of them.
    """
    rng = np.random.default_rng(seed)
    at, shape = positions(n, rng)
    beyond = seams_beside(at, shape, rng.uniform(-6, 6, n))
    weight = np.ones((n_others, *shape))
    weight[0][beyond] = 0
    drawn = rng.uniform(*seeing, (n_others + 1, n))
    seen = [
        sum(
            stars(shape, Points(at.x[i : i + 1], at.y[i : i + 1]), flux, f) for i, f in enumerate(w)
        )
        + rng.normal(size=shape)
        for w in drawn
    ]
    mean = (weight * np.array(seen[1:])).sum(axis=0) / weight.sum(axis=0)
    return view_of(seen[0]), reference_of(mean, weight.sum(axis=0)), catalog(at, FWHM)


def stated(found):
    """Standard deviations across the seams, and along them."""
    both = found.own_covariance + found.template_covariance
    return np.sqrt(both[:, 0]), np.sqrt(both[:, 2])


def pull(found):
    """Errors across the seams over stated errors, rms; the truth is 0."""
    return np.sqrt(np.mean((found.dx / stated(found)[0]) ** 2))


@pytest.mark.parametrize("refinement", [TemplateFit(), WindowedCentroids(), None])
@pytest.mark.parametrize("flux", [2e3, 1e4, 1e5])
def test_errors_beside_seams_are_as_stated(flux, refinement):
    found = CorrelationMeasurement(NCC, refinement)(*sky(flux))
    assert np.all(found.flags == 0)
    assert 0.78 < pull(found) < 1.4


@pytest.mark.parametrize(("flux", "times"), [(1e4, 2.5), (1e5, 20)])
def test_seams_that_nobody_thinks_of_are_many_times_the_stated_errors(flux, times):
    assert pull(replace(FITTED, seams=None)(*sky(flux))) > times


def test_a_bright_star_tells_by_itself_how_unlike_the_exposures_are():
    """What is known beforehand would leave 0.03 px: it is placed better, and says so."""
    found = FITTED(*sky(1e5))
    across, along = stated(found)
    assert np.median(np.abs(found.dx)) < 0.004
    assert np.median(across) < 0.009
    assert np.median(along) < 0.001


def test_exposures_that_are_alike_lose_little():
    """A tenth of the information where stars are as bright as most are."""
    found = FITTED(*sky(1e3, seeing=(5.0, 5.0)))
    plain = replace(FITTED, seams=None)(*sky(1e3, seeing=(5.0, 5.0)))
    kept = np.sum(stated(found)[0] ** -2.0) / np.sum(stated(plain)[0] ** -2.0)
    assert 0.7 < kept < 1.0


def test_a_star_that_one_of_two_holds_by_half_is_put_where_it_is():
    """One twice as bright ends 1.5 px from the star, which looked 0.2 px displaced."""
    at = Points(np.array([31.6]), np.array([32.0]))
    image = stars((SIDE, SIDE), at, 1e4, 4.0)
    weight = np.full((SIDE, SIDE), 2.0)
    weight[:, 34:] = 1.0
    mean = np.where(weight > 1, 1.5 * image, image)
    scene = view_of(image), reference_of(mean, weight), catalog(at, 4.0)
    assert np.abs(replace(FITTED, seams=None)(*scene).dx[0]) > 0.1
    found = FITTED(*scene)
    error = np.abs(found.dx[0])
    assert error < 0.02
    assert error < 3 * stated(found)[0][0]


def test_where_the_mosaic_is_even_nothing_changes():
    at = Points(np.array([32.2]), np.array([31.9]))
    image = stars((SIDE, SIDE), at, 1e4, FWHM)
    even = np.full((SIDE, SIDE), 8.0)
    holed = even.copy()
    holed[:, 42:] = 0
    for weight in (even, holed):
        scene = view_of(image), reference_of(image, weight), catalog(at, FWHM)
        found, plain = FITTED(*scene), replace(FITTED, seams=None)(*scene)
        assert found.dx[0] == plain.dx[0]
        assert np.array_equal(found.own_covariance, plain.own_covariance)


def test_a_star_that_moves_a_tenth_of_a_pixel_keeps_nearly_its_weight():
    lattice, shape = positions(100, np.random.default_rng(1))
    whole = Points(np.rint(lattice.x), np.rint(lattice.y))
    at = Points(whole.x + np.arange(-5, 5, 0.1), whole.y)
    image = stars(shape, at, 1e4, FWHM)
    weight = np.full(shape, 2.0)
    weight[seams_beside(whole, shape, np.zeros(100))] = 1.0
    found = FITTED(view_of(image), reference_of(image, weight), catalog(at, FWHM))
    kept = 1 / found.own_covariance[:, 0]
    assert kept.min() < 0.2 * kept.max()
    assert np.abs(np.diff(kept)).max() < 0.25 * kept.max()


def test_places_in_a_catalogue_know_no_seams():
    first = replace(FITTED, first=CatalogCentroids())
    assert first.in_pass(1).seams is None
    assert first.in_pass(2).seams is not None


def test_a_faint_star_is_no_worse_for_what_it_cannot_tell():
    ours, plain = [], []
    for seed in range(2, 6):
        scene = sky(400.0, seed=seed)
        found, without = FITTED(*scene), replace(FITTED, seams=None)(*scene)
        assert np.array_equal(found.flags, without.flags)
        seen = found.flags == 0
        assert pull(found.select(seen)) < 1.5
        ours.extend(found.dx[seen])
        plain.extend(without.dx[seen])
    assert np.std(ours) < 1.1 * np.std(plain)
